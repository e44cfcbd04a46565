package rehearsal

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/processors/state"
)

// WantWrite is a write that a person expects.
type WantWrite struct {
	Op       string // upsert, update, delete, truncate or sweep
	Table    string
	Row      map[string]Value
	Position string // "": any
}

// WantLetter is a dead letter that a person expects; what is empty may be anything.
type WantLetter struct {
	Change  int // by number, from 1
	Class   string
	Step    string
	Message string // a part of it
}

// WantState is a piece of state that a person expects.
type WantState struct{ Step, Key, Value string }

// Want is what a person expects of a rehearsal. Outcomes and Rows are compared where
// they are given, the rest always.
type Want struct {
	Writes   []WantWrite
	Letters  []WantLetter
	State    []WantState
	Rows     map[string][]map[string]Value
	Outcomes map[int]string // by the number of the change, from 1
}

// effect is something that happened, or should have.
type effect struct {
	change int // that it came of; 0: at the end
	line   string
	fits   func(wanted string) bool // nil: by the line
}

// Compare tells what happened as a script: each change, and under it what became of
// it. Where that differs from what was wanted, a line begins with + for what was not
// expected and - for what did not come. same tells that there is no such line.
func (r *Result) Compare(w *Want) (script string, same bool) {
	d := &differ{same: true, marks: map[int][]string{}}
	var writes, letters, states []effect
	for i, p := range r.Played {
		for _, x := range p.Writes {
			if x.Outcome == 0 {
				writes = append(writes, writeEffect(i+1, x))
			}
		}
		for _, l := range p.Letters {
			letters = append(letters, effect{change: i + 1, line: fmt.Sprintf("dead letter  class=%s step=%s message=%q", header(l, "dlq.class"), header(l, "dlq.step"), header(l, "dlq.message"))})
		}
		if want := w.Outcomes[i+1]; want != "" && want != p.Outcome {
			d.add(i+1, "-", "outcome  "+want)
			d.add(i+1, "+", "outcome  "+p.Outcome)
		}
	}
	for _, e := range r.State {
		states = append(states, effect{line: fmt.Sprintf("state  step=%s key=%s value=%q", e.Key.Step, e.Key.Key, valueText(e))})
	}
	var wantWrites, wantLetters, wantStates []effect
	for _, x := range w.Writes {
		wantWrites = append(wantWrites, effect{line: x.line()})
	}
	for _, x := range w.Letters {
		wantLetters = append(wantLetters, effect{change: x.Change, line: x.line()})
	}
	for _, x := range w.State {
		wantStates = append(wantStates, effect{line: fmt.Sprintf("state  step=%s key=%s value=%q", x.Step, x.Key, x.Value)})
	}
	d.diff(writes, wantWrites, func(got, want effect) bool { return got.line == want.line || got.fits != nil && got.fits(want.line) })
	d.diff(letters, wantLetters, letterFits)
	d.diff(states, wantStates, func(got, want effect) bool { return got.line == want.line })
	for _, table := range slices.Sorted(maps.Keys(w.Rows)) {
		var got, want []effect
		for _, row := range r.Sink.Rows(table) {
			got = append(got, effect{line: "row  " + table + rowText(row)})
		}
		for _, row := range w.Rows[table] {
			want = append(want, effect{line: "row  " + table + valuesText(row)})
		}
		d.diff(got, want, func(a, b effect) bool { return a.line == b.line })
	}
	return d.script(r), d.same
}

// valueText is a step's value for people: an entity is told by what it has.
func valueText(e state.Entry) string {
	if entity, err := state.ParseEntity(e.Value); e.Key.Scope == state.Entity && err == nil {
		return fmt.Sprintf("sequence %d, rows %d", entity.Sequence, len(entity.Contributions))
	}
	return string(e.Value)
}

// differ collects lines under the changes that they belong to.
type differ struct {
	same  bool
	marks map[int][]string
}

func (d *differ) add(change int, mark, line string) {
	if mark != " " {
		d.same = false
	}
	d.marks[change] = append(d.marks[change], mark+"   "+line)
}

// diff is the longest common subsequence of what came and what was wanted.
func (d *differ) diff(got, want []effect, fits func(got, want effect) bool) {
	best := make([][]int, len(got)+1)
	for i := range best {
		best[i] = make([]int, len(want)+1)
	}
	for i := len(got) - 1; i >= 0; i-- {
		for j := len(want) - 1; j >= 0; j-- {
			best[i][j] = max(best[i+1][j], best[i][j+1])
			if fits(got[i], want[j]) {
				best[i][j] = max(best[i][j], best[i+1][j+1]+1)
			}
		}
	}
	at := 1
	for i, j := 0, 0; i < len(got) || j < len(want); {
		switch {
		case i < len(got) && j < len(want) && fits(got[i], want[j]) && best[i][j] == best[i+1][j+1]+1:
			at = got[i].change
			d.add(at, " ", got[i].line)
			i, j = i+1, j+1
		case j < len(want) && (i == len(got) || best[i][j+1] >= best[i+1][j]):
			under := want[j].change
			if under == 0 && i < len(got) {
				under = got[i].change
			} else if under == 0 && len(got) > 0 {
				under = at
			}
			d.add(under, "-", want[j].line)
			j++
		default:
			at = got[i].change
			d.add(at, "+", got[i].line)
			i++
		}
	}
}

// script writes the lines in the order of the changes.
func (d *differ) script(r *Result) string {
	var b strings.Builder
	for i, p := range r.Played {
		fmt.Fprintf(&b, "  %d  %s\n", i+1, p.Change.line())
		lines := d.marks[i+1]
		for _, line := range lines {
			fmt.Fprintf(&b, "%s\n", line)
		}
		if p.Stop != nil {
			fmt.Fprintf(&b, "    stopped  %v\n", p.Stop)
		}
		if len(p.Letters) == 0 && p.Outcome != "applied" && p.Stop == nil {
			fmt.Fprintf(&b, "    %s\n", p.Outcome)
		}
	}
	for _, i := range slices.Sorted(maps.Keys(d.marks)) {
		if i < 1 || i > len(r.Played) {
			for _, line := range d.marks[i] {
				fmt.Fprintf(&b, "%s\n", line)
			}
		}
	}
	return b.String()
}

// line is a change of the source in one line.
func (c *Change) line() string {
	s := c.Op + " " + c.Table
	if c.Before != nil {
		s += " before" + valuesText(c.Before)
		if c.Row != nil {
			s += " row"
		}
	}
	if c.Row != nil {
		s += valuesText(c.Row)
	}
	for _, name := range c.Unavailable {
		s += " " + name + "=unavailable"
	}
	return s
}

// writeEffect is a write in one line; the position is added when it is asked for.
func writeEffect(change int, w Write) effect {
	c := w.Change
	line := "write  "
	switch {
	case c.Floor != nil && c.Floor.Sweep:
		line += "sweep " + w.Target
	case c.Floor != nil:
		line += "truncate " + w.Target
	case c.Op == cdc.OpDelete:
		row := map[string]string{}
		for _, k := range c.Shape.Key {
			row[c.Shape.Columns[k].Name] = shown(string(c.Row[k].Data))
		}
		line += "delete " + w.Target + fields(row)
	default:
		op := "upsert "
		if !c.Full() {
			op = "update "
		}
		row := map[string]string{}
		for i, v := range c.Row {
			switch v.State {
			case cdc.Text:
				row[c.Shape.Columns[i].Name] = shown(string(v.Data))
			case cdc.Null:
				row[c.Shape.Columns[i].Name] = "null"
			}
		}
		line += op + w.Target + fields(row)
	}
	return effect{change: change, line: line, fits: func(wanted string) bool { return wanted == line+" at "+c.Pos }}
}

func (w *WantWrite) line() string {
	s := "write  " + w.Op + " " + w.Table + valuesText(w.Row)
	if w.Position != "" {
		s += " at " + w.Position
	}
	return s
}

func (w *WantLetter) line() string {
	s := "dead letter "
	for _, f := range []struct{ name, value string }{{"class", w.Class}, {"step", w.Step}} {
		if f.value != "" {
			s += " " + f.name + "=" + f.value
		}
	}
	if w.Message != "" {
		s += fmt.Sprintf(" message=…%q…", w.Message)
	}
	return s
}

// letterFits compares the parts that are given.
func letterFits(got, want effect) bool {
	if want.change != 0 && want.change != got.change {
		return false
	}
	for part := range strings.FieldsSeq(strings.Split(strings.TrimPrefix(want.line, "dead letter "), " message=")[0]) {
		if !strings.Contains(got.line+" ", " "+part+" ") {
			return false
		}
	}
	_, message, ok := strings.Cut(want.line, "message=…\"")
	return !ok || strings.Contains(got.line, strings.TrimSuffix(message, "\"…"))
}

func rowText(r Row) string {
	out := map[string]string{}
	for name, v := range r {
		out[name] = "null"
		if v != nil {
			out[name] = shown(*v)
		}
	}
	return fields(out)
}

func valuesText(row map[string]Value) string {
	out := map[string]string{}
	for name, v := range row {
		out[name] = shown(v.Text)
		if v.Null {
			out[name] = "null"
		}
	}
	return fields(out)
}

// shown is a text without quotes where it needs none. What YAML calls true and
// false, PostgreSQL prints as t and f.
func shown(s string) string {
	switch s {
	case "true":
		return "t"
	case "false":
		return "f"
	}
	if s == "" || s == "null" || strings.ContainsAny(s, " =\"\t\n") {
		return fmt.Sprintf("%q", s)
	}
	return s
}

func fields(row map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(row)) {
		b.WriteString(" " + name + "=" + row[name])
	}
	return b.String()
}
