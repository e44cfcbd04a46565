package cdc

import (
	"context"
	"fmt"
)

// longChange takes a row in that the source does not hold. Columns that are not
// published are passed over; what is left is held up to twice max_row, which is the
// most that text is of its record, and is then a change like any other. A row that is longer becomes a dead letter while it is
// read: first what was held, then every piece as it comes.
type longChange struct {
	relay *Relay
	ctx   context.Context // of the call that reads the row
	rt    *route
	pos   Position
	op    Op
	// whole is told a row that could be held, as the source gave it; lettered that a
	// dead letter was written.
	whole    func(old, row []Value, full bool) error
	lettered func()

	published []int // by the source's columns; -1: left out
	full      bool  // the old row is complete
	rows      [2]*longSide
	now       *longSide // that is being read
	column    int       // of it; -1: none yet
	state     State
	start     int  // of its value in buf
	cut       bool // its value is not held any more
	size      int  // of its value
	buf       []byte

	letter   *letter // nil: the row is held so far
	first    bool    // no member of the row is written yet
	streams  bool    // the value goes to the letter as it comes
	longest  string  // column with the longest value
	most     int
	withheld []string // masked columns whose values are too long to be masked
	finished scratch  // of masks
}

// longSide is the old row or the new one.
type longSide struct {
	old    bool
	values []longValue // by the source's columns
	keys   []Value     // by the published columns; Absent where they are not held
}

type longValue struct {
	start, end int
	state      State
}

const (
	mostKey    = 64 << 10 // bytes of a key column that are held beside a letter
	mostLeft   = 64 << 10 // of a column that is not published, for the row filter
	mostMasked = 1 << 20  // of a masked column beside a letter
)

// takeLong is a LongRow for one row of a route.
func (r *Relay) takeLong(ctx context.Context, rt *route, pos Position, op Op) *longChange {
	l := &longChange{relay: r, ctx: ctx, rt: rt, pos: pos, op: op, column: -1, published: make([]int, len(rt.source.Columns)), lettered: func() {}}
	for i := range l.published {
		l.published[i] = i
		if rt.shape != nil {
			l.published[i] = -1
		}
	}
	if rt.shape != nil {
		for i, from := range rt.shape.columns {
			l.published[from] = i
		}
	}
	return l
}

// long publishes a row of the stream that the source does not hold.
func (r *Relay) long(ctx context.Context, rt *route, ev *Event) error {
	pos := Position{Epoch: r.epoch, LSN: ev.Tx.CommitLSN, Ordinal: r.tracker.ordinal + 1}
	l := r.takeLong(ctx, rt, pos, ev.Op)
	l.whole = func(old, row []Value, full bool) error {
		short := *ev
		short.Old, short.New, short.OldFull, short.Long = old, row, full, nil
		return r.publish(ctx, rt, &short)
	}
	return ev.Long(ctx, l)
}

// Row implements LongRow.
func (l *longChange) Row(old, whole bool) error {
	if err := l.endRow(); err != nil {
		return err
	}
	side := 1
	if old {
		side, l.full = 0, whole
	}
	l.now = &longSide{old: old, values: make([]longValue, len(l.rt.source.Columns)), keys: make([]Value, len(l.rt.table.Columns))}
	for i := range l.now.keys {
		l.now.keys[i].State = Absent
	}
	l.rows[side], l.column = l.now, -1
	if l.letter != nil {
		l.beginObject()
	}
	return nil
}

// Value implements LongRow.
func (l *longChange) Value(column int, state State) error {
	if err := l.endValue(); err != nil {
		return err
	}
	if column >= len(l.rt.source.Columns) {
		return l.misfit()
	}
	if l.now.old && !l.full && !l.rt.source.Columns[column].Replicated {
		state = Absent
	}
	l.column, l.state, l.start, l.cut, l.size = column, state, len(l.buf), false, 0
	if at := l.published[column]; l.letter != nil && state == Text && at >= 0 && !l.rt.masked(at) {
		l.stream(at)
	}
	return nil
}

// stream begins a value that goes to the letter as it comes.
func (l *longChange) stream(at int) {
	l.letter.name(l.rt.table, at, &l.first)
	l.letter.raw(`"`)
	l.streams = true
}

// Data implements LongRow.
func (l *longChange) Data(p []byte) error {
	l.size += len(p)
	at := l.published[l.column]
	hold := !l.cut
	switch {
	case at < 0:
		hold = hold && l.rt.filter != nil && l.size <= mostLeft
	case l.streams:
		if err := l.letter.text(p); err != nil {
			return err
		}
		hold = hold && l.rt.table.IsKey(at) && l.size <= mostKey
	case l.letter != nil:
		hold = hold && l.size <= mostMasked
	}
	if !hold {
		l.cut, l.buf = true, l.buf[:l.start]
		return nil
	}
	l.buf = append(l.buf, p...)
	if l.letter == nil && len(l.buf) > 2*l.relay.Config.MaxRow {
		return l.spill()
	}
	return nil
}

// endValue settles the value that was read last.
func (l *longChange) endValue() error {
	if l.now == nil || l.column < 0 {
		return nil
	}
	at := l.published[l.column]
	v := longValue{start: l.start, end: len(l.buf), state: l.state}
	if l.cut {
		v.state = Unchanged // a place is needed for it, and nobody may read it
	}
	l.now.values[l.column] = v
	if at >= 0 && l.size > l.most {
		l.most, l.longest = l.size, l.rt.table.Columns[at].Name
	}
	if l.letter == nil {
		return nil
	}
	if at < 0 {
		l.buf = l.buf[:l.start]
		return nil
	}
	shown := Value{Data: l.buf[v.start:v.end], State: v.state}
	if l.rt.masked(at) && !l.cut {
		l.finished.buf = l.finished.buf[:0]
		shown = l.rt.shape.mask(&l.finished, l.rt.shape.masks[at], shown, &l.rt.source.Columns[l.column])
	}
	switch {
	case l.streams:
		l.letter.close()
		l.streams = false
	case l.cut:
		l.withheld = append(l.withheld, l.rt.table.Columns[at].Name)
	default:
		if err := l.letter.value(l.rt.table, at, shown, &l.first); err != nil {
			return err
		}
	}
	l.keep(l.now, at, shown)
	l.buf = l.buf[:l.start]
	return l.letter.flow()
}

// keep holds a value of the record key.
func (l *longChange) keep(side *longSide, at int, v Value) {
	if l.rt.table.IsKey(at) && len(v.Data) <= mostKey {
		side.keys[at] = Value{Data: append([]byte(nil), v.Data...), State: v.State}
	}
}

func (l *longChange) endRow() error {
	if l.now == nil {
		return nil
	}
	if err := l.endValue(); err != nil {
		return err
	}
	if l.column+1 != len(l.rt.source.Columns) {
		return l.misfit()
	}
	if l.letter != nil {
		l.letter.raw("}")
	}
	l.now = nil
	return nil
}

func (l *longChange) misfit() error {
	return &StopError{What: fmt.Sprintf("a row has another number of columns than its RELATION message (%d)", len(l.rt.source.Columns)),
		Pos: l.pos.String() + " of " + l.rt.source.String(), Next: "report this with the server's version; restarting the relay reads the transaction again"}
}

// beginObject begins the row that is read now as a member of the letter.
func (l *longChange) beginObject() {
	if !l.now.old && l.rows[0] == nil {
		l.letter.raw(`,"before":null`)
	}
	l.letter.raw(map[bool]string{true: `,"before":{`, false: `,"after":{`}[l.now.old])
	l.first = true
}

// spill begins the letter with what is held.
func (l *longChange) spill() error {
	r, rt := l.relay, l.rt
	if r.Config.Oversize == "" {
		return r.tooLong("a row", l.pos, rt.table.String())
	}
	if rt.filter != nil {
		return &StopError{What: "the row filter cannot judge a row that is longer than max_row", Pos: l.pos.String() + " of " + rt.source.String(),
			Next: "raise max_row, or correct tables.overrides.where"}
	}
	held, rows, now := l.buf, l.rows, l.now
	var err error
	if l.letter, err = r.newLetter(l.ctx, r.Config.Oversize, r.headOf(rt, l.pos, l.op, classOversize, r.oversizeReason(), l.keyRow)); err != nil {
		return err
	}
	l.letter.whole = 0 // it is longer in any case
	for _, side := range rows {
		if side == nil {
			continue
		}
		l.now = side
		l.beginObject()
		upTo := len(side.values)
		if side == now {
			upTo = l.column
		}
		row := make([]Value, len(side.values))
		for i, v := range side.values[:upTo] {
			row[i] = Value{Data: held[v.start:v.end], State: v.state}
		}
		for i, from := range sourceColumns(rt) {
			if from >= upTo {
				break
			}
			v := row[from]
			if rt.masked(i) {
				l.finished.buf = l.finished.buf[:0]
				v = rt.shape.mask(&l.finished, rt.shape.masks[i], v, &rt.source.Columns[from])
			}
			l.keep(side, i, v)
			if err := l.letter.value(rt.table, i, v, &l.first); err != nil {
				return err
			}
		}
		if side != now {
			l.letter.raw("}")
		}
	}
	l.now = now
	value := held[l.start:]
	l.buf, l.start = nil, 0
	at := l.published[l.column]
	l.cut = true
	if rt.masked(at) {
		return nil
	}
	l.stream(at)
	return l.letter.text(value)
}

// sourceColumns are the source's columns behind the published ones, in order.
func sourceColumns(rt *route) []int {
	if rt.shape != nil {
		return rt.shape.columns
	}
	all := make([]int, len(rt.source.Columns))
	for i := range all {
		all[i] = i
	}
	return all
}

// keyRow is the row that has the record key as far as it is known by now: the new
// one, else the old one.
func (l *longChange) keyRow() []Value {
	for _, side := range []*longSide{l.rows[1], l.rows[0]} {
		if side != nil && keyKnown(l.rt.table, side.keys) {
			return side.keys
		}
	}
	return nil
}

// End implements LongRow.
func (l *longChange) End() error {
	if err := l.endRow(); err != nil {
		return err
	}
	if l.letter == nil {
		return l.whole(l.held(0), l.held(1), l.full)
	}
	if l.rows[1] == nil {
		l.letter.raw(`,"after":null`)
	}
	if err := l.letter.keyOf(l.rt.table, l.keyRow()); err != nil {
		return err
	}
	if len(l.withheld) > 0 {
		l.letter.raw(`,"withheld":[`)
		for i, name := range l.withheld {
			if i > 0 {
				l.letter.raw(",")
			}
			l.letter.quote(name)
		}
		l.letter.raw("]")
	}
	if err := l.relay.endOversize(l.letter, l.rt.table.String(), l.longest); err != nil {
		return err
	}
	l.lettered()
	return nil
}

// held is a row that could be held, as the source gave it.
func (l *longChange) held(side int) []Value {
	s := l.rows[side]
	if s == nil {
		return nil
	}
	row := make([]Value, len(s.values))
	for i, v := range s.values {
		row[i] = Value{Data: l.buf[v.start:v.end:v.end], State: v.state}
	}
	return row
}
