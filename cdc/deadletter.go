package cdc

import "context"

// deadLetter puts a change that has no record form into the dead-letter topic,
// with PostgreSQL's text values as the rules leave them, in the order of the
// stream. The change is fitted to the route.
func (r *Relay) deadLetter(ctx context.Context, rt *route, pos Position, c *change, cause *ValueError) error {
	l, err := r.newLetter(ctx, r.Config.DeadLetter, r.headOf(rt, pos, c.op, "mapping", cause.Error(), known(c.keyRow())))
	if err != nil {
		return err
	}
	if err := l.change(rt, c); err != nil {
		return err
	}
	if err := l.end(cause.Column, cause.Reason); err != nil {
		return err
	}
	reason := "value"
	if rt.refused != nil {
		reason = "schema"
	}
	r.Observer.DeadLetter(reason)
	r.Logger.Warn("a change went to the dead letters", "table", rt.table.String(), "position", pos.String(), "column", cause.Column, "reason", cause.Reason)
	return nil
}

// headOf is the head of a letter about a row. row is asked for the row that has the
// record key when the first part is written.
func (r *Relay) headOf(rt *route, pos Position, op Op, class, message string, row func() []Value) letterHead {
	return letterHead{class: class, message: message, pos: pos, op: op, schema: rt.table.Schema, table: rt.table.Name,
		key: func(dst []byte) ([]byte, bool) {
			row := row()
			if rt.plan == nil || !keyKnown(rt.table, row) {
				return nil, false
			}
			key, err := rt.plan.AppendKey(dst, row)
			return key, err == nil
		}}
}

// known is for headOf, where the row is there already.
func known(row []Value) func() []Value { return func() []Value { return row } }

// keyRow is the row that the record key is taken from.
func (c *change) keyRow() []Value {
	if c.after != nil {
		return c.after
	}
	return c.before
}

// change writes both rows and the key.
func (l *letter) change(rt *route, c *change) error {
	if err := l.row("before", rt.table, c.before); err != nil {
		return err
	}
	if err := l.row("after", rt.table, c.after); err != nil {
		return err
	}
	return l.keyOf(rt.table, c.keyRow())
}

// keyKnown tells whether a row carries the whole record key.
func keyKnown(t *Table, row []Value) bool {
	for _, i := range t.Key {
		if row == nil || row[i].State == Absent || row[i].State == Unchanged {
			return false
		}
	}
	return len(t.Key) > 0
}
