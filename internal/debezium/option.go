package debezium

import (
	"regexp"
	"slices"
	"strings"
)

// option is what becomes of one option of Debezium 3.7, or of all whose names
// have one form.
type option struct {
	name string // <n> stands for a part of the name, a star at the end for any rest
	fate fate
	key  string   // of relay.yaml, where there is one
	text string   // for the comment, the problem and the page
	fine []string // values that ask for nothing, the default among them
	open bool     // a value that the worker looks up can be handed on
	says bool     // read writes the comment itself
	read func(d *draft, s setting)
}

// fate is the kind of what becomes of an option.
type fate uint8

const (
	mapped   fate = iota // a key of relay.yaml
	differs              // something else here, said in a comment
	unneeded             // no effect on records: transport, tuning, metrics of Connect
	absent               // would change records or delivery, and there is nothing like it
)

func (f fate) String() string {
	return [...]string{"mapped", "means something else", "not needed", "no counterpart"}[f]
}

// options is the whole table, in the order of the page.
func options() []option {
	return slices.Concat(connectionOptions(), tableOptions(), columnOptions(), formatOptions(), streamOptions(), snapshotOptions(),
		signalOptions(), converterOptions(), connectOptions(), tuningOptions())
}

var placeholder = regexp.MustCompile(`<[a-z ]+>`)

// find is the option of this name, and the parts of it that the placeholders
// stand for. A name in full wins over a form, a longer form over a shorter one.
func find(table []option, name string) (found *option, parts []string) {
	length := -1
	for i := range table {
		o := &table[i]
		if o.name == name {
			return o, nil
		}
		if !strings.ContainsAny(o.name, "<*") {
			continue
		}
		if m := o.form().FindStringSubmatch(name); m != nil && len(o.name) > length {
			found, parts, length = o, m[1:], len(o.name)
		}
	}
	return found, parts
}

func (o *option) form() *regexp.Regexp {
	var b strings.Builder
	b.WriteString("(?s)^")
	rest, any := strings.CutSuffix(o.name, "*")
	for {
		at := placeholder.FindStringIndex(rest)
		if at == nil {
			break
		}
		b.WriteString(regexp.QuoteMeta(rest[:at[0]]))
		switch {
		case rest[at[0]:at[1]] == "<side>":
			b.WriteString("(key|value)") // of a record
		case at[1] == len(rest):
			b.WriteString("(.+)") // a salt, or a table's name, can have dots
		default:
			b.WriteString("([^.]+)")
		}
		rest = rest[at[1]:]
	}
	b.WriteString(regexp.QuoteMeta(rest))
	if any {
		b.WriteString("(.*)")
	}
	b.WriteString("$")
	return regexp.MustCompile(b.String())
}
