package oracle

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// disparity is one place in which two records differ.
type disparity struct {
	ours, theirs *record // as wholes; one is nil when the other side lacks the record
	part         string  // record, key, value, key schema, value schema, headers
	path         string  // of the leaf
	our, their   string
	rewritten    bool // of a table whose storage was written anew after both had begun to stream
}

// comparison collects what differs between the topics of both sides.
type comparison struct {
	records int
	wanted  map[string]int // how often each difference of the table was met
	failed  []failure
	topics  map[string]int // failures by topic
	// rewritten are the topics of tables that were made while both streamed, and
	// whose storage was written anew.
	rewritten map[string]bool
	seeds     map[uint64]bool // that failed
}

// failure is one disparity that nobody wants.
type failure struct {
	seed uint64
	text string
}

// perTopic is how many failures of one topic are told in full.
const perTopic = 3

func newComparison() *comparison {
	return &comparison{wanted: map[string]int{}, topics: map[string]int{}, rewritten: map[string]bool{}, seeds: map[uint64]bool{}}
}

// add takes over what another comparison found.
func (c *comparison) add(other *comparison) {
	c.records += other.records
	for k, n := range other.wanted {
		c.wanted[k] += n
	}
	for k, n := range other.topics {
		c.topics[k] += n
	}
	maps.Copy(c.seeds, other.seeds)
	c.failed = append(c.failed, other.failed...)
}

// report says how often each difference of the table was met.
func (c *comparison) report() []string {
	var list []string
	for _, w := range wantedDifferences() {
		if w.applies != nil || w.inSchema != nil {
			list = append(list, fmt.Sprintf("%6d times (%s) %s", c.wanted[w.kind], w.letter, w.kind))
		}
	}
	return list
}

// topic compares the records of one topic, in order.
func (c *comparison) topic(name string, ours, theirs []*record) {
	i, j := 0, 0
	for i < len(ours) || j < len(theirs) {
		var o, t *record
		if i < len(ours) {
			o = ours[i]
		}
		if j < len(theirs) {
			t = theirs[j]
		}
		switch {
		case o != nil && t != nil && (len(c.unwanted(o, t)) == 0 || !elsewhere(ours[i:], theirs[j:])):
			c.pair(name, i, j, o, t)
			i, j = i+1, j+1
		case o != nil && (t == nil || follows(ours[i+1:], t)):
			c.judge(name, i, j, &disparity{ours: o, part: "record", our: brief(o), their: "nothing", rewritten: c.rewritten[name]})
			i++
		default:
			c.judge(name, i, j, &disparity{theirs: t, part: "record", our: "nothing", their: brief(t)})
			j++
		}
	}
}

// elsewhere tells whether the first record of one side rather belongs to one
// behind the first of the other side.
func elsewhere(ours, theirs []*record) bool {
	if alike(ours[0], theirs[0]) {
		return false
	}
	return follows(theirs[1:], ours[0]) || follows(ours[1:], theirs[0])
}

// follows tells whether one of the next records is like r.
func follows(list []*record, r *record) bool {
	return slices.ContainsFunc(list[:min(len(list), 8)], func(x *record) bool { return alike(x, r) })
}

// alike tells whether two records tell of the same change, by where it stands in
// the WAL or, in a snapshot, by its key.
func alike(a, b *record) bool {
	return (a.value == nil) == (b.value == nil) && a.op() == b.op() && a.key.String() == b.key.String() &&
		(a.snapshot() || a.value.get("source.lsn") == b.value.get("source.lsn"))
}

// pair compares two records that belong to each other.
func (c *comparison) pair(name string, i, j int, o, t *record) {
	c.records++
	for _, d := range differences(o, t) {
		c.judge(name, i, j, d)
	}
}

func (c *comparison) unwanted(o, t *record) []*disparity {
	return slices.DeleteFunc(differences(o, t), func(d *disparity) bool { return find(d) != nil })
}

// judge looks a disparity up in the table of wanted ones.
func (c *comparison) judge(name string, i, j int, d *disparity) {
	if list := find(d); list != nil {
		for _, w := range list {
			c.wanted[w.kind]++
		}
		return
	}
	seed := seedOf(name, d)
	c.seeds[seed] = true
	c.topics[name]++
	if c.topics[name] > perTopic {
		return
	}
	of := d.theirs
	if of == nil {
		of = d.ours
	}
	c.failed = append(c.failed, failure{seed, fmt.Sprintf("%s, our record %d, Debezium's %d: %s %s\n  relay:    %s\n  Debezium: %s\n  of: %s",
		name, i, j, d.part, d.path, shorten(d.our, 700), shorten(d.their, 700), shorten(brief(of), 250))})
}

var (
	seedTopic = regexp.MustCompile(`\.s(\d+)\.[^.]*$`)
	seedText  = regexp.MustCompile(`"s(\d+)[."]`)
)

// seedOf is the seed of a topic's record: in its name, or in a message's prefix
// or a transaction's tables.
func seedOf(topic string, d *disparity) uint64 {
	m := seedTopic.FindStringSubmatch(topic)
	for _, r := range []*record{d.theirs, d.ours} {
		if m == nil && r != nil {
			m = seedText.FindStringSubmatch(r.key.String() + r.value.String())
		}
	}
	if m == nil {
		return 0
	}
	n, _ := strconv.ParseUint(m[1], 10, 64) // digits by the pattern
	return n
}

// differences are those of two records.
func differences(o, t *record) []*disparity {
	var list []*disparity
	add := func(part, path, our, their string) {
		if our != their {
			list = append(list, &disparity{ours: o, theirs: t, part: part, path: path, our: our, their: their})
		}
	}
	add("headers", "", headers(o), headers(t))
	for _, side := range []struct {
		name string
		o, t *datum
	}{{"key", o.key, t.key}, {"value", o.value, t.value}} {
		if side.o == nil || side.t == nil {
			add(side.name, "", side.o.String(), side.t.String())
			continue
		}
		our, their := around(side.o.schema, side.t.schema)
		add(side.name+" schema", "", our, their)
		skip := func(path string) bool {
			return side.name == "value" && (volatileAlways[path] || t.snapshot() && volatileInSnapshot[path])
		}
		for _, d := range leafDifferences(side.o.leaves, side.t.leaves, skip) {
			add(side.name, d.path, d.our, d.their)
		}
	}
	return list
}

// leafDifferences goes through the leaves of both by top-level column, so that a
// value that differs in its shape is one difference.
func leafDifferences(ours, theirs []leaf, skip func(string) bool) []*disparity {
	o, t := columns(ours, skip), columns(theirs, skip)
	var list []*disparity
	for _, x := range t.order {
		if o.text[x] != t.text[x] {
			list = append(list, &disparity{path: x, our: o.text[x], their: t.text[x]})
		}
	}
	for _, x := range o.order {
		if _, ok := t.text[x]; !ok {
			list = append(list, &disparity{path: x, our: o.text[x]})
		}
	}
	if len(list) == 0 && !slices.Equal(o.order, t.order) {
		list = append(list, &disparity{path: "(order)", our: fmt.Sprint(o.order), their: fmt.Sprint(t.order)})
	}
	return list
}

type grouped struct {
	order []string
	text  map[string]string
}

// columns puts the leaves of one column together: after.tags[0], after.tags[1]
// and after.tags are after.tags.
func columns(leaves []leaf, skip func(string) bool) grouped {
	g := grouped{text: map[string]string{}}
	for _, l := range leaves {
		if skip(l.path) {
			continue
		}
		name := columnOf(l.path)
		if _, ok := g.text[name]; !ok {
			g.order = append(g.order, name)
		}
		g.text[name] += strings.TrimPrefix(l.path, name) + "=" + l.text + " "
	}
	return g
}

func columnOf(path string) string {
	depth := 0
	for i, r := range path {
		switch r {
		case '[':
			return path[:i]
		case '.':
			if depth++; depth == 2 {
				return path[:i]
			}
		}
	}
	return path
}

// headers are those that both sides write, in their order.
func headers(r *record) string {
	var parts []string
	for _, h := range r.headers {
		switch {
		case ownHeader(h.path):
		case h.path == volatileHeader:
			parts = append(parts, h.path)
		default:
			parts = append(parts, h.path+": "+h.text)
		}
	}
	return strings.Join(parts, "; ")
}

// around is where two texts begin to differ, with what stands around it; both ""
// when they are equal.
func around(a, b string) (string, string) {
	if a == b {
		return "", ""
	}
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	from := max(0, i-160)
	return "…" + a[from:min(len(a), i+120)], "…" + b[from:min(len(b), i+120)]
}

func brief(r *record) string {
	value := r.value.String()
	if before, _, ok := strings.Cut(value, " source.version"); ok {
		value = before + " lsn=" + r.value.get("source.lsn") + " snapshot=" + r.value.get("source.snapshot")
	}
	return fmt.Sprintf("op %s, key %s, value %s", r.op(), r.key, value)
}

// shorten keeps the beginning of a long text, and a little of its end.
func shorten(s string, n int) string {
	if len(s) > n {
		s = s[:n-50] + " … " + s[len(s)-45:]
	}
	return s
}
