package processors

import (
	"errors"
	"fmt"
	"slices"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/sinks"
)

// maxGiven is how many changes one record may give: their numbers have four
// hexadecimal digits.
const maxGiven = 0xffff

// output makes what the steps gave a change of the sink. The record's own one is
// used for the first, so that a record that gives one costs nothing.
func (l *line) output(c *Change) error {
	out := l.item.change
	if l.given > 0 {
		if l.given > maxGiven {
			return fmt.Errorf("one record gives more than %d changes", maxGiven)
		}
		more := *out
		more.Pos = fmt.Sprintf("%s/%04x", l.item.pos, l.given)
		out = &more
	}
	whole := l.same(c)
	if err := l.fill(out, c); err != nil {
		return err
	}
	out.Same = whole && out.SameKey
	if c.own {
		out.Position, out.Pos, out.Versioned = c.Position, c.Position.String(), true
	}
	if l.given > 0 {
		l.item.extra.more = append(l.item.extra.more, out)
	}
	l.given++
	return nil
}

// same tells whether c is what the record said: the steps let it pass as it was.
func (l *line) same(c *Change) bool {
	in := l.item.change
	if l.given > 0 || l.item.expanded || c.Op != in.Op || c.Target != in.Origin || c.own || in.Floor != nil {
		return false
	}
	row, was := c.Row(), l.was
	if row.Columns != in.Shape || len(row.Values) != len(in.Row) {
		return false
	}
	old := was[len(in.Row):]
	if c.Op == cdc.OpDelete {
		if len(old) > 0 {
			return equalRows(row.Values, old)
		}
		return equalRows(row.Values, was[:len(in.Row)])
	}
	return equalRows(row.Values, was[:len(in.Row)]) && equalRows(c.Before.Values, old)
}

func equalRows(a, b []cdc.Value) bool {
	return slices.EqualFunc(a, b, func(x, y cdc.Value) bool {
		return x.State == y.State && (len(x.Data) == len(y.Data)) && (len(x.Data) == 0 || &x.Data[0] == &y.Data[0] || string(x.Data) == string(y.Data))
	})
}

// sameKey tells whether a row has the record's key, under the same names.
func (l *line) sameKey(row Row) bool {
	if !slices.EqualFunc(l.key, l.fresh, func(a, b cdc.Value) bool { return string(a.Data) == string(b.Data) }) {
		return false
	}
	if row.Columns == l.shape {
		return true
	}
	return slices.EqualFunc(row.Columns.Key, l.shape.Key, func(a, b int) bool {
		x, y := &row.Columns.Columns[a], &l.shape.Columns[b]
		return x.Name == y.Name && x.Type == y.Type
	})
}

// fill writes c into out.
func (l *line) fill(out *sinks.Change, c *Change) error {
	out.Op, out.Origin, out.Floor = c.Op, c.Target, c.floor
	if c.Op == cdc.OpTruncate || c.floor != nil {
		if c.Op != cdc.OpTruncate || c.floor == nil {
			return errors.New("a step made a change of a row one of a table, or the reverse")
		}
		out.Row, out.Key = nil, ""
		return nil
	}
	row := c.Row()
	switch {
	case !row.Exists():
		return fmt.Errorf("a step emitted op %s without its row", c.Op)
	case len(row.Values) != len(row.Columns.Columns):
		return fmt.Errorf("a step emitted a row of %d values for %d columns", len(row.Values), len(row.Columns.Columns))
	}
	out.Shape, out.Row, out.Before = row.Columns, row.Values, nil
	if c.Before.Columns == row.Columns {
		out.Before = c.Before.Values
	}
	l.fresh = keyOf(row, l.fresh[:0])
	for i, v := range l.fresh {
		if v.State != cdc.Text {
			return fmt.Errorf("key column %q of the row is null or not known after the steps", row.Columns.Columns[row.Columns.Key[i]].Name)
		}
	}
	if out.SameKey = l.sameKey(row); !slices.EqualFunc(l.key, l.fresh, func(a, b cdc.Value) bool { return string(a.Data) == string(b.Data) }) {
		out.Key = sinks.RowKey(l.fresh)
	} else {
		out.Key = l.item.entity
	}
	if len(l.fresh) == 0 {
		out.Key = ""
	}
	if c.Op == cdc.OpDelete { // of which the sink wants the key alone
		out.Row = l.arena.row(nil, len(row.Values))
		for i, at := range row.Columns.Key {
			out.Row[at] = l.fresh[i]
		}
	}
	return nil
}

// finish makes changes of one target row one change.
func (l *line) finish() error {
	if l.given < 2 {
		return nil
	}
	all := append([]*sinks.Change{l.item.change}, l.item.extra.more...)
	type rowID struct {
		target sinks.Origin
		key    string
	}
	last := make(map[rowID]int, len(all))
	for i, c := range all {
		if c.Floor != nil || c.Key == "" {
			continue
		}
		id := rowID{*c.Origin, c.Key}
		if j, ok := last[id]; ok {
			if err := behind(c, all[j]); err != nil {
				return err
			}
			all[j] = nil
			c.Same = false
		}
		last[id] = i
	}
	all = slices.DeleteFunc(all, func(c *sinks.Change) bool { return c == nil })
	l.item.change, l.item.extra.more = all[0], all[1:]
	return nil
}

// behind makes c what c does behind earlier, which is about the same row.
func behind(c, earlier *sinks.Change) error {
	if c.Op == cdc.OpDelete || c.Full() {
		return nil
	}
	if earlier.Op == cdc.OpDelete {
		return errors.New("the steps delete a row and then change some of its columns")
	}
	row := slices.Clone(c.Row)
	for i := range row {
		if there(row[i]) {
			continue
		}
		for j := range earlier.Shape.Columns {
			if earlier.Shape.Columns[j].Name == c.Shape.Columns[i].Name {
				row[i] = earlier.Row[j]
			}
		}
	}
	c.Row = row
	return nil
}
