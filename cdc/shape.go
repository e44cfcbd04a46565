package cdc

import (
	"fmt"
	"slices"
)

// shape is what the rules of a table make of its rows: which columns are left, in
// the source's order, and what stands in the place of masked values. It is applied
// once, before a record, a dead letter or a log line sees the row; nothing behind
// it knows the source's values. A table without such rules has none (nil).
type shape struct {
	columns []int // of the source, for each that is published
	masks   []*Mask
	// debezium masks values that an old row does not carry like NULL: its asterisks
	// stand there too.
	debezium      bool
	removed       bool // columns are left out
	before, after scratch
}

// scratch is the memory of one shaped row, reused from row to row.
type scratch struct {
	row []Value
	buf []byte
}

// newShape makes the published version of a table and the shape that turns its
// rows into that version's. A rule that does not fit the table is a StopError: a
// key without one of its columns, or a value that nobody masks, must not be
// published.
func newShape(t *Table, rules Rules, debezium bool) (*shape, *Table, error) {
	if rules.Key == nil && rules.Keep == nil && rules.Mask == nil {
		return nil, t, nil
	}
	s := &shape{debezium: debezium}
	out := *t
	out.Columns = make([]Column, 0, len(t.Columns))
	masked := false
	for i := range t.Columns {
		c := t.Columns[i]
		if rules.Keep != nil && !rules.Keep(c.Name) {
			s.removed = true
			if !debezium || !inKey(t, i, rules.Key) {
				continue
			}
			c.KeyOnly = true
		}
		var m *Mask
		if rules.Mask != nil {
			m = rules.Mask(c.Name)
		}
		if m != nil {
			if !debezium && !Truncatable(&c) {
				return nil, nil, &StopError{What: fmt.Sprintf("table %s: column %q is masked, but its type %s has no characters to replace", t, c.Name, c.Type.Name),
					Next: "leave the column out by tables.overrides.columns.exclude, or remove its mask"}
			}
			masked = true
			c.Params = append(slices.Clone(c.Params), m.Params...)
			c.Type = withoutLabels(c.Type)
		}
		s.columns, s.masks = append(s.columns, i), append(s.masks, m)
		out.Columns = append(out.Columns, c)
	}
	var err error
	if out.Key, err = shapedKey(t, &out, rules.Key); err != nil {
		return nil, nil, err
	}
	if !masked {
		s.masks = nil
	}
	if !masked && !s.removed {
		s = nil
	}
	return s, &out, nil
}

// inKey tells whether column i is in the record key, which may be a configured one.
func inKey(t *Table, i int, configured []string) bool {
	if configured == nil {
		return t.IsKey(i)
	}
	return slices.Contains(configured, t.Columns[i].Name)
}

// shapedKey finds the columns of the record key among those that are left.
func shapedKey(t, out *Table, configured []string) ([]int, error) {
	names, whose := configured, "the key that tables.overrides gives it"
	if configured == nil {
		whose = "its key"
		for _, i := range t.Key {
			names = append(names, t.Columns[i].Name)
		}
	}
	var key []int
	for _, name := range names {
		i := slices.IndexFunc(out.Columns, func(c Column) bool { return c.Name == name })
		if i < 0 {
			why, next := "which it does not have", "correct tables.overrides.key"
			if slices.ContainsFunc(t.Columns, func(c Column) bool { return c.Name == name }) {
				why, next = "which is left out", "publish the column, or give the table another key by tables.overrides.key"
			}
			return nil, &StopError{What: fmt.Sprintf("table %s: %s (%v) names column %q, %s", t, whose, names, name, why), Next: next}
		}
		key = append(key, i)
	}
	return key, nil
}

// withoutLabels is the type of a masked column: what stands in the place of an
// enum's value is none of its labels.
func withoutLabels(t *Type) *Type {
	if t == nil {
		return nil
	}
	n := *t
	switch {
	case t.Kind == KindEnum && len(t.Labels) > 0:
		n.Labels = nil
	case t.Kind == KindDomain:
		if n.Base = withoutLabels(t.Base); n.Base == t.Base {
			return t
		}
	default:
		return t
	}
	return &n
}

// removes tells whether columns are left out of the value.
func (s *shape) removes() bool { return s != nil && s.removed }

// apply shapes a row into its scratch memory.
func (s *shape) apply(to *scratch, source *Table, row []Value) []Value {
	if s == nil || row == nil {
		return row
	}
	to.row, to.buf = to.row[:0], to.buf[:0]
	for i, from := range s.columns {
		v := row[from]
		if s.masks != nil && s.masks[i] != nil {
			v = s.mask(to, s.masks[i], v, &source.Columns[from])
		}
		to.row = append(to.row, v)
	}
	return to.row
}

// mask is the value that is published in the place of v.
func (s *shape) mask(to *scratch, m *Mask, v Value, c *Column) Value {
	in := v
	switch v.State {
	case Unchanged:
		return v
	case Absent:
		if !s.debezium {
			return v
		}
		in = Value{}
	}
	start := len(to.buf)
	text, state := m.Append(to.buf, in, c)
	to.buf = text
	switch {
	case state == Text:
		// When the arena moves, values that lie in its old place stay valid there.
		return Value{Data: text[start:len(text):len(text)], State: Text}
	case v.State == Absent:
		return v
	}
	return Value{}
}

// fold brings what was learned about a published table version back to the
// source's: the history and everything that is asked of the source speak of that.
func (rt *route) fold(wide *Table) *Table {
	switch rt.table {
	case rt.source:
		return wide
	case wide:
		return rt.source
	}
	source := *rt.source
	source.Facts = wide.Facts
	source.Columns = slices.Clone(source.Columns)
	for i := range wide.Columns {
		at := rt.sourceColumn(i)
		c, was := wide.Columns[i], &source.Columns[at]
		c.Params = was.Params
		if rt.masked(i) {
			c.Type = was.Type
		}
		*was = c
	}
	return &source
}

// sourceColumn is the source's column behind a published one.
func (rt *route) sourceColumn(i int) int {
	if rt.shape == nil {
		return i
	}
	return rt.shape.columns[i]
}

func (rt *route) masked(i int) bool {
	return rt.shape != nil && rt.shape.masks != nil && rt.shape.masks[i] != nil
}

// admit is what the table's row filter makes of a change's operation; 0 when
// nothing is published. The rule keeps readers right who only ever saw the rows
// that pass: one that comes to pass is created, one that no longer passes is
// deleted. What the old row was is known only where it is complete (REPLICA
// IDENTITY FULL); otherwise it may have been published.
func (rt *route) admit(ev *Event) (Op, error) {
	was := true // as far as is known
	if ev.OldFull && ev.Old != nil {
		var err error
		if was, err = rt.filter(rt.source, ev.Old); err != nil {
			return 0, err
		}
	}
	is := false
	if ev.Op != OpDelete {
		var err error
		if is, err = rt.filter(rt.source, ev.New); err != nil {
			return 0, err
		}
	}
	switch {
	case ev.Op == OpCreate && is:
		return OpCreate, nil
	case ev.Op == OpUpdate && is && was:
		return OpUpdate, nil
	case ev.Op == OpUpdate && is:
		return OpCreate, nil
	case ev.Op != OpCreate && was:
		return OpDelete, nil
	}
	return 0, nil
}
