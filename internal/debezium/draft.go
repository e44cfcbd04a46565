package debezium

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// setting is one option as it was given.
type setting struct {
	name, value string
	parts       []string // of the name, where the option has placeholders
}

// lower is the value as Debezium compares the names of modes.
func (s setting) lower() string { return strings.ToLower(strings.TrimSpace(s.value)) }

// draft is a relay.yaml in the making.
type draft struct {
	config map[string]string
	doc    *node
	notes  []placed
	lost   []Missing

	filters filters
	masks   []maskRule
	request int64 // bytes that the connector's producer sends at most

	caseless []string // options with names in which case does not matter
}

// placed is a note and the key whose comment it is.
type placed struct {
	Note
	key  string
	said bool // a comment has it already
}

func newDraft(config map[string]string) *draft {
	d := &draft{config: config, doc: &node{}, request: defaultRequest}
	for _, path := range strings.Fields(`name
		postgres.url postgres.slot.name postgres.slot.adopt postgres.slot.failover postgres.publication.name postgres.publication.create postgres.publication.via_root
		tables.include tables.exclude tables.skip tables.overrides
		kafka.brokers kafka.tls kafka.sasl kafka.topics.create kafka.topics.partitions kafka.topics.replication_factor kafka.topics.config kafka.compression kafka.partitioner
		registry.url registry.auto_register registry.subject registry.username registry.password_file
		delivery max_row snapshot.mode snapshot.parallel
		format.compat format.names format.decimal format.money_digits format.time format.interval format.binary format.hstore format.nonfinite format.unknown
		format.placeholder format.tombstones format.truncate format.transaction_metadata format.context_headers format.source_types format.source_datatypes format.xmin
		heartbeat.interval heartbeat.topic messages.include messages.exclude`) {
		d.key(path)
	}
	return d
}

// key is the node of a path with dots.
func (d *draft) key(path string) *node { return d.doc.at(strings.Split(path, ".")...) }

// set gives a key a text.
func (d *draft) set(path, value string) { d.key(path).value = quote(value) }

// plain gives a key a number, boolean or duration.
func (d *draft) plain(path, value string) { d.key(path).value = value }

func (d *draft) note(option, key, text string) {
	d.notes = append(d.notes, placed{Note: Note{hideName(option), text}, key: key})
}

// missing names an option that has no counterpart.
func (d *draft) missing(s setting, reason string) {
	d.lost = append(d.lost, Missing{Option: hideName(s.name), Value: hideValue(s), Reason: reason})
}

var (
	secretName  = regexp.MustCompile(`(?i)password|secret|token|credential|jaas|user\.info|private|(^|\.)key$|keystore|passphrase`)
	secretValue = regexp.MustCompile(`(?i)(password|secret|token)\s*=|://[^/@\s]*:[^@\s]*@`)
	saltInName  = regexp.MustCompile(`(\.with\.salt\.).*`)
)

const hidden = "(hidden)"

func hideName(name string) string { return saltInName.ReplaceAllString(name, "${1}"+hidden) }

func hideValue(s setting) string {
	if s.value != "" && !refers(s.value) && (secretName.MatchString(s.name) || secretValue.MatchString(s.value)) {
		return hidden
	}
	return s.value
}

// mode sets a key to what names says of the value.
func (d *draft) mode(s setting, path string, names map[string]string) {
	if to, ok := names[s.lower()]; ok {
		d.set(path, to)
		return
	}
	d.unreadable(s, "one of "+strings.Join(sortedKeys(names), ", "))
}

// same is mode for values that have the same name here.
func same(path string, names ...string) func(*draft, setting) {
	return func(d *draft, s setting) {
		m := map[string]string{}
		for _, n := range names {
			m[n] = n
		}
		d.mode(s, path, m)
	}
}

func (d *draft) unreadable(s setting, want string) {
	d.missing(s, "want "+want+"; Debezium does not take this value either")
}

// boolean reads true and false.
func (d *draft) boolean(s setting) (value, ok bool) {
	switch s.lower() {
	case "true":
		return true, true
	case "false":
		return false, true
	}
	d.unreadable(s, "true or false")
	return false, false
}

// toggle sets a key to the boolean.
func toggle(path string) func(*draft, setting) {
	return func(d *draft, s setting) {
		if v, ok := d.boolean(s); ok {
			d.plain(path, strconv.FormatBool(v))
		}
	}
}

// on tells whether a boolean option is set to true.
func (d *draft) on(name string) bool {
	return setting{value: d.config[name]}.lower() == "true"
}

// number reads a whole number, 0 or above.
func (d *draft) number(s setting) (int64, bool) {
	n, err := strconv.ParseInt(strings.TrimSpace(s.value), 10, 64)
	if err != nil || n < 0 {
		d.unreadable(s, "a whole number, 0 or above")
		return 0, false
	}
	return n, true
}

// millis is a duration as relay.yaml has it.
func millis(n int64) string {
	text := (time.Duration(n) * time.Millisecond).String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// pattern reads one regular expression of a list; nil where it was named as a
// problem.
func (d *draft) pattern(s setting, text string) *expr {
	e, err := parseRegex(text)
	if err != nil {
		d.missing(setting{name: s.name, value: text}, "is no regular expression that can stand in relay.yaml: "+err.Error()+"; write it without")
		return nil
	}
	return e
}

// patterns reads a list of regular expressions.
func (d *draft) patterns(s setting) []*expr {
	var list []*expr
	for _, text := range splitList(s.value) {
		if e := d.pattern(s, text); e != nil {
			list = append(list, e)
		}
	}
	return list
}

// result writes the file. A note of a key that is not in it stands at the top.
func (d *draft) result() Result {
	r := Result{Missing: d.lost}
	var top []string
	for _, n := range d.notes {
		r.Notes = append(r.Notes, n.Note)
		if n.said {
			continue
		}
		text := n.Option + ": " + n.Text
		if n.key != "" && !d.key(n.key).empty() {
			d.key(n.key).say(text)
		} else if !slices.Contains(top, text) {
			top = append(top, text)
		}
	}
	var b strings.Builder
	writeComment(&b, "", "", "Made by relay import of the configuration of a Debezium PostgreSQL connector. Stop the connector before this relay runs;"+
		" docs/migrating-from-debezium.md has the steps, and every option of Debezium with what it is here.")
	if len(d.lost) > 0 {
		b.WriteString("#\n")
		writeComment(&b, "", "", "WITHOUT A COUNTERPART. Records or their delivery differ from the connector's by:")
		for _, m := range d.lost {
			writeComment(&b, "", "", "- "+m.Option+" = "+m.Value)
			writeComment(&b, "", "  ", m.Reason)
		}
	}
	if len(top) > 0 {
		b.WriteString("#\n")
		writeComment(&b, "", "", "Options that mean something else here, beside those below:")
		for _, text := range top {
			writeComment(&b, "", "", "- "+text)
		}
	}
	b.WriteByte('\n')
	d.doc.write(&b, "")
	r.YAML = []byte(b.String())
	return r
}
