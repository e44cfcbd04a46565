package cdc

import (
	"context"
	"encoding/base64"
	"fmt"
)

// This file is about changes that are longer than max_row: rows whose record is,
// rows that the source does not hold because their text is, and logical messages.
// They go to the dead letters, in parts, or the stream stops (on_oversize).

// classOversize is dlq.class of their letters.
const classOversize = "too_large"

func (r *Relay) oversizeReason() string {
	return fmt.Sprintf("the record is longer than max_row, which is %d bytes", r.Config.MaxRow)
}

// tooLong is the stop at one where there are no dead letters for it.
func (r *Relay) tooLong(what string, pos Position, of string) error {
	return &StopError{What: what + " is longer than max_row", Pos: pos.String() + " of " + of, Err: fmt.Errorf("max_row is %d bytes", r.Config.MaxRow),
		Next: "raise max_row and the max.message.bytes of the topics, leave the column out by tables.overrides.columns.exclude, or set on_oversize: dead_letter, which writes the change to the dead letters in parts"}
}

// oversize puts a row that is held, and whose record is too long, into the dead
// letters. The change is fitted to the route.
func (r *Relay) oversize(ctx context.Context, rt *route, pos Position, c *change) error {
	if r.Config.Oversize == "" {
		return r.tooLong("a row", pos, rt.table.String())
	}
	l, err := r.newLetter(ctx, r.Config.Oversize, r.headOf(rt, pos, c.op, classOversize, r.oversizeReason(), known(c.keyRow())))
	if err != nil {
		return err
	}
	if err := l.change(rt, c); err != nil {
		return err
	}
	return r.endOversize(l, rt.table.String(), longest(rt.table, c.before, c.after))
}

// longest is the column with the longest value.
func longest(t *Table, rows ...[]Value) string {
	column, most := "", -1
	for _, row := range rows {
		for i, v := range row {
			if len(v.Data) > most {
				column, most = t.Columns[i].Name, len(v.Data)
			}
		}
	}
	return column
}

func (r *Relay) endOversize(l *letter, of, column string) error {
	if err := l.end(column, r.oversizeReason()); err != nil {
		return err
	}
	r.Observer.DeadLetter("oversize")
	r.Logger.Warn("a change that is longer than max_row went to the dead letters", "table", of, "position", l.head.pos.String(), "column", column, "bytes", l.size, "parts", l.part)
	return nil
}

// oversizeMessage puts a logical message into the dead letters, its content in
// base64.
func (r *Relay) oversizeMessage(ctx context.Context, ev *Event, pos Position) error {
	if r.Config.Oversize == "" {
		err := r.tooLong("a logical message", pos, fmt.Sprintf("prefix %q", ev.Prefix)).(*StopError)
		err.Next = "raise max_row, leave its prefix out by messages.exclude, or set on_oversize: dead_letter, which writes it to the dead letters in parts"
		return err
	}
	l, err := r.newLetter(ctx, r.Config.Oversize, letterHead{class: classOversize, message: r.oversizeReason(), pos: pos, op: OpMessage, table: LogicalMessages,
		key: func([]byte) ([]byte, bool) { return nil, false }})
	if err != nil {
		return err
	}
	l.raw(`,"prefix":`)
	l.quote(ev.Prefix)
	l.raw(`,"content":"`)
	to := &messageLetter{letter: l}
	to.base64 = base64.NewEncoder(base64.StdEncoding, to)
	if ev.Long == nil {
		if err := to.Data(ev.Content); err != nil {
			return err
		}
		if err := to.End(); err != nil {
			return err
		}
	} else if err := ev.Long(ctx, to); err != nil {
		return err
	}
	return r.endOversize(l, LogicalMessages, "content")
}

// messageLetter takes the content of a message.
type messageLetter struct {
	letter *letter
	base64 interface {
		Write([]byte) (int, error)
		Close() error
	}
}

// Write takes digits.
func (m *messageLetter) Write(p []byte) (int, error) {
	m.letter.buf = append(m.letter.buf, p...)
	return len(p), m.letter.flow()
}

// Row implements LongRow.
func (m *messageLetter) Row(bool, bool) error { return nil }

// Value implements LongRow.
func (m *messageLetter) Value(int, State) error { return nil }

// Data implements LongRow.
func (m *messageLetter) Data(p []byte) error {
	_, err := m.base64.Write(p)
	return err
}

// End implements LongRow.
func (m *messageLetter) End() error {
	err := m.base64.Close()
	m.letter.raw(`"`)
	return err
}
