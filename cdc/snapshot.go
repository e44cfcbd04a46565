package cdc

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// SnapshotSource reads the rows of tables as of one exported snapshot.
type SnapshotSource interface {
	// Tables lists what is to be read, in order.
	Tables() []*Table
	// XID is the transaction id that was next when the snapshot was taken.
	XID() uint32
	// Rows calls row for every row of the i-th table. The values are valid during
	// the call only. A row that is too long to be held goes to what long gives.
	Rows(ctx context.Context, i int, row func([]Value) error, long func() (LongRow, error)) error
}

// snapshotPrefix begins the keys of tables whose snapshot is whole.
const snapshotPrefix = "snapshot/"

// SnapshotKey is the progress topic's key for a table whose snapshot is whole.
func SnapshotKey(t *Table) string { return snapshotPrefix + t.String() }

// Cursor is its value.
type Cursor struct {
	Version int    `json:"version"` // 1
	OID     uint32 `json:"oid"`
	At      LSN    `json:"at"`
	Rows    uint64 `json:"rows"`
	Epoch   uint32 `json:"epoch"` // in which the table was read
	// Member are the entries of the publication's list by which it had the table then,
	// or a table above it: their OIDs. None: it has the table's schema, or all tables.
	Member []uint32 `json:"member,omitempty"`
}

// read tells whether it says that the table of this OID was read, not before an
// epoch.
func (c Cursor) read(oid, epoch uint32) bool { return c.OID == oid && c.Epoch >= epoch }

// Snapshot publishes every row of src at the position of the slot's consistent
// point, with a running number in place of the part, and marks each table that is
// finished. done names tables that an earlier run has finished.
//
// Killed inside of it: finished tables count, the others are read again whole, in
// a newer snapshot, before the stream starts; the stream from the slot's LSN then
// brings every row up to date. So r rows can repeat; the running number goes on
// from the last durable one, so a later copy of a row passes every gate.
func (r *Relay) Snapshot(ctx context.Context, src SnapshotSource, done map[string]Cursor, report func(table string, rows uint64)) error {
	run := r.tracker.next.Snapshot
	s := &snapshotRun{relay: r, at: run.At, number: run.Rows, started: time.Now(), report: report}
	s.tx = &Transaction{XID: src.XID(), CommitLSN: run.At, CommitTime: s.started.UnixMicro()}
	for i, t := range src.Tables() {
		if done[t.String()].read(t.OID, r.tracker.next.SnapshotEpoch) {
			continue
		}
		if err := s.table(ctx, src, i, t); err != nil {
			return fmt.Errorf("snapshot of %s: %w", t, err)
		}
	}
	if err := s.emit(ctx, true); err != nil {
		return err
	}
	if run.Sweep {
		if err := s.sweep(ctx, src.Tables()); err != nil {
			return err
		}
	}
	r.tracker.EndSnapshot()
	r.open.noted = true
	err := r.commit(ctx)
	// The stream reads rows with versions of its own; thousands of tables would have
	// two plans each.
	clear(r.routes)
	r.recent = nil
	return err
}

// snapshotRun holds one row back, because whether a row is the last of its table
// or of all is known only when the next one has come.
type snapshotRun struct {
	relay   *Relay
	at      LSN
	number  uint64
	started time.Time
	tx      *Transaction
	report  func(string, uint64)
	any     bool // a row was emitted
	nth     int  // of the tables, the one that is read now

	held     *route // of the row that is held back; nil for none
	heldLast bool   // it is its table's last
	heldNth  int    // its table's number
	row      []Value
	buf      []byte
	route    *route // of the table that is being read
	rows     uint64 // of it
	finished []*Table
}

func (s *snapshotRun) table(ctx context.Context, src SnapshotSource, i int, t *Table) error {
	r := s.relay
	var err error
	if s.route, err = r.route(ctx, t); err != nil {
		return err
	}
	if s.route.filtered {
		s.finished = append(s.finished, t)
		return nil
	}
	s.rows, s.nth = 0, s.nth+1
	next := func(row []Value) error {
		if keep, err := s.admit(ctx, row); !keep || err != nil {
			return err
		}
		if err := s.emit(ctx, false); err != nil {
			return err
		}
		s.hold(s.route, row)
		if s.rows++; s.rows%1000 == 0 {
			s.report(t.String(), s.rows)
		}
		return nil
	}
	if err := src.Rows(ctx, i, next, func() (LongRow, error) { return s.long(ctx, next) }); err != nil {
		return err
	}
	s.heldLast = s.held != nil
	s.finished = append(s.finished, t)
	s.report(t.String(), s.rows)
	return nil
}

// long takes a row that the source does not hold. next takes it once it turns out to
// be short enough without the columns that are left out.
func (s *snapshotRun) long(ctx context.Context, next func([]Value) error) (LongRow, error) {
	if err := s.emit(ctx, false); err != nil {
		return nil, err
	}
	r := s.relay
	r.env = Envelope{Op: OpRead, Tx: s.tx, LSN: s.at, Now: time.Now().UnixNano()}
	l := r.takeLong(ctx, s.route, Position{Epoch: r.epoch, LSN: s.at, Part: s.number + 1}, OpRead)
	l.whole = func(_, row []Value, _ bool) error { return next(row) }
	l.lettered = func() {
		s.number++
		s.rows++
		r.tracker.SnapshotRow(s.number)
	}
	return l, nil
}

// admit tells whether the row filter lets a row through. One that it cannot judge
// takes its place as a dead letter.
func (s *snapshotRun) admit(ctx context.Context, row []Value) (bool, error) {
	r, rt := s.relay, s.route
	if rt.filter == nil {
		return true, nil
	}
	keep, err := rt.filter(rt.source, row)
	if err != nil {
		s.number++
		pos := Position{Epoch: r.epoch, LSN: s.at, Part: s.number}
		r.env = Envelope{Op: OpRead, Tx: s.tx, LSN: s.at, Now: time.Now().UnixNano()}
		r.tracker.SnapshotRow(s.number)
		return false, r.unfiltered(ctx, rt, pos, &change{op: OpRead, row: row}, err)
	}
	if !keep {
		rt.tally.row++
	}
	return keep, nil
}

// hold copies a row: its memory is the reader's.
func (s *snapshotRun) hold(rt *route, row []Value) {
	s.held, s.heldLast, s.heldNth = rt, false, s.nth
	s.buf = s.buf[:0]
	n := 0
	for _, v := range row {
		n += len(v.Data)
	}
	if cap(s.buf) < n {
		s.buf = make([]byte, 0, n+n/2)
	}
	s.row = s.row[:0]
	for _, v := range row {
		at := len(s.buf)
		s.buf = append(s.buf, v.Data...)
		s.row = append(s.row, Value{Data: s.buf[at:len(s.buf):len(s.buf)], State: v.State})
	}
}

// emit publishes the row that is held back and marks tables that are whole with
// it.
func (s *snapshotRun) emit(ctx context.Context, last bool) error {
	r := s.relay
	now := time.Now()
	if rt := s.held; rt != nil {
		s.number++
		pos := Position{Epoch: r.epoch, LSN: s.at, Part: s.number}
		r.env = Envelope{Op: OpRead, Tx: s.tx, LSN: s.at, Now: now.UnixNano(), Snapshot: s.marker(last, rt)}
		// A row that contradicts the table's facts brings another route.
		used, err := r.encode(ctx, rt, pos, now.UnixNano(), &change{op: OpRead, row: s.row})
		if err != nil {
			return err
		}
		s.any, s.held = true, nil
		used.seen = rt.seen + 1
		if s.route == rt {
			s.route = used
		}
		r.tracker.SnapshotRow(s.number)
	}
	for _, t := range s.finished {
		v, err := json.Marshal(Cursor{Version: 1, OID: t.OID, At: s.at, Rows: s.number, Epoch: r.epoch, Member: r.members[t.String()]})
		if err != nil {
			return fmt.Errorf("cursor of %s: %w", t, err)
		}
		if err := r.Log.Note(ctx, Note{Key: SnapshotKey(t), Value: v}); err != nil {
			return err
		}
		r.open.noted = true
	}
	s.finished = s.finished[:0]
	if r.due(&Event{Read: now.UnixNano()}) {
		return r.commit(ctx)
	}
	return nil
}

// sweep follows the snapshot of another epoch with its mark, in every partition of
// every table that it had. It is repeated after a crash, which does no harm.
func (s *snapshotRun) sweep(ctx context.Context, tables []*Table) error {
	r := s.relay
	s.number++
	pos := Position{Epoch: r.epoch, LSN: s.at, Part: s.number}
	for _, t := range tables {
		rt, err := r.route(ctx, t)
		if err != nil {
			return err
		}
		if rt.filtered {
			continue
		}
		p := &r.tracker.next
		mark, err := json.Marshal(Sweep{Version: 1, Name: r.Config.Name, Database: p.Database, Schema: t.Schema, Table: t.Name, Partitions: int(rt.partitions)})
		if err != nil {
			return fmt.Errorf("mark of %s: %w", t, err)
		}
		if err := r.room(ctx, time.Now().UnixNano()); err != nil {
			return err
		}
		for partition := range rt.partitions {
			b := r.batch
			rec := Record{Topic: rt.topic, Partition: partition, Start: len(b.Buf), Tombstone: true, Bare: true, Extra: []Header{{HeaderSweep, string(mark)}}}
			rec.Pos = b.appended(func(dst []byte) []byte { return pos.Append(dst) })
			b.Records = append(b.Records, rec)
			r.open.records++
		}
	}
	r.tracker.SnapshotRow(s.number)
	return nil
}

// marker is source.snapshot of the held row, as Debezium 3.7 sets it: the very
// last row is last, the first table's first one first, and a middle table's only row
// last_in_data_collection.
func (s *snapshotRun) marker(last bool, rt *route) Marker {
	switch {
	case last:
		return SnapshotLast
	case !s.any && s.heldNth == 1: // where the first table is empty, no row is first
		return SnapshotFirst
	case s.heldLast:
		return SnapshotLastInTable
	case rt.seen == 0:
		return SnapshotFirstInTable
	}
	return SnapshotTrue
}
