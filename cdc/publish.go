package cdc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// route is where and how the rows of one table version go.
type route struct {
	table      *Table
	plan       Plan
	topic      string
	partitions int32
	keyless    int32 // the partition of rows without key: by the table's name, never random
	filtered   bool
	skipped    int
	counts     [4]int // since the last report: r, c, u, d
	seen       int    // rows of a snapshot, for markers
}

var countedOps = [4]Op{OpRead, OpCreate, OpUpdate, OpDelete}

func (rt *route) count(op Op) {
	for i, o := range countedOps {
		if o == op {
			rt.counts[i]++
		}
	}
}

func (rt *route) report(o Observer) {
	for i, n := range rt.counts {
		if n > 0 {
			o.Changes(rt.table.String(), countedOps[i], n)
			rt.counts[i] = 0
		}
	}
	if rt.skipped > 0 {
		o.Filtered("table", rt.skipped)
		rt.skipped = 0
	}
}

// route finds or makes the route of a table version: its schemas are accepted by
// the registry, its topic exists and the version stands in the schema topic
// before the first row that needs it.
func (r *Relay) route(ctx context.Context, t *Table) (*route, error) {
	if rt := r.routes[t]; rt != nil {
		return rt, nil
	}
	rt := &route{table: t, topic: r.Config.Topic(t)}
	if err := r.commit(ctx); err != nil {
		return nil, err
	}
	included, err := r.Config.Include(ctx, t)
	if err != nil {
		return nil, err
	}
	if !included {
		rt.filtered = true
		r.routes[t] = rt
		return rt, nil
	}
	if rt.plan, rt.table, err = r.Encoder.Plan(ctx, t, rt.topic); err != nil {
		return nil, fmt.Errorf("schemas of %s: %w", t, err)
	}
	if r.tables[t.OID] == t {
		r.tables[t.OID] = rt.table
	}
	if rt.partitions, err = r.Log.Topic(ctx, rt.topic); err != nil {
		return nil, fmt.Errorf("topic of %s: %w", t, err)
	}
	rt.keyless = Partition([]byte(t.String()), rt.partitions)
	version, err := json.Marshal(relationVersion{Version: 1, From: r.here(), Topic: rt.topic, Table: rt.table})
	if err != nil {
		return nil, fmt.Errorf("describe %s: %w", t, err)
	}
	if err := r.Log.Note(ctx, Note{Schema: true, Key: t.String(), Value: version}); err != nil {
		return nil, err
	}
	r.open.noted = true
	r.routes[t], r.routes[rt.table] = rt, rt
	return rt, nil
}

// relationVersion is an entry of the schema topic: how rows are to be read from
// a position on.
type relationVersion struct {
	Version int    `json:"version"` // 1
	From    string `json:"from"`
	Topic   string `json:"topic"`
	Table   *Table `json:"table"`
}

// here is the position of the change that is being read.
func (r *Relay) here() string {
	p := Position{Epoch: r.epoch, LSN: r.tracker.next.Confirmed}
	if tx := r.tracker.tx; tx != nil {
		p.LSN, p.Ordinal = tx.CommitLSN, r.tracker.ordinal+1
	}
	return p.String()
}

// publish encodes one change of the stream into the batch: one record, or two
// for a delete, or three for a key change. It is all or nothing: on an error
// nothing of the change is in the batch.
func (r *Relay) publish(ctx context.Context, rt *route, ev *Event) error {
	pos := Position{Epoch: r.epoch, LSN: ev.Tx.CommitLSN, Ordinal: r.tracker.ordinal + 1}
	if ev.Old != nil && !ev.OldFull {
		for i := range rt.table.Columns {
			if !rt.table.Columns[i].Replicated {
				ev.Old[i] = Value{State: Absent}
			}
		}
	}
	if ev.New != nil && ev.Old != nil {
		FillUnchanged(ev.New, ev.Old)
	}
	r.env = Envelope{Tx: ev.Tx, LSN: ev.LSN, LastCommit: r.last, Now: ev.Read}
	return r.encode(ctx, rt, pos, ev.Read, func(rt *route) error { return r.change(rt, ev, pos) })
}

// encode runs write, which appends the records of one change, and settles what
// can be wrong with its values: facts that the row contradicts are read again,
// a value without a form sends the change to the dead letters.
func (r *Relay) encode(ctx context.Context, rt *route, pos Position, read int64, write func(*route) error) error {
	asked := false
	for try := 0; ; try++ {
		if err := r.room(ctx, read); err != nil {
			return err
		}
		b := r.batch
		bytes, records := len(b.Buf), len(b.Records)
		err := write(rt)
		if err == nil {
			r.open.records += len(b.Records) - records
			return nil
		}
		b.Buf, b.Records = b.Buf[:bytes], b.Records[:records]
		var fact *FactError
		var value *ValueError
		switch {
		case errors.As(err, &fact) && try < 2*len(rt.table.Columns)+2:
			// A label that is new may be in the catalog by now; it is asked once.
			ask := fact.Fact == FactEnumLabel && !asked && r.env.Op != OpRead
			asked = asked || ask
			if rt, err = r.contradicted(ctx, rt, fact, ask); err != nil {
				return err
			}
		case errors.As(err, &value) && r.Config.DeadLetter != "":
			return r.deadLetter(ctx, rt, pos, value)
		default:
			return &StopError{What: "a change cannot be encoded", Pos: pos.String() + " of " + rt.table.String(), Err: err,
				Next: "mend the row at the source, or choose format.nonfinite or another format for this column"}
		}
	}
}

// room makes sure that there is a batch, and a new one when the last is full.
func (r *Relay) room(ctx context.Context, read int64) error {
	if r.batch != nil && len(r.batch.Buf) >= r.Config.Limits.BatchBytes {
		if err := r.flush(ctx); err != nil {
			return err
		}
	}
	if r.batch == nil {
		b, err := r.Log.Batch(ctx)
		if err != nil {
			return err
		}
		r.batch = b
	}
	if r.open.records == 0 {
		r.open.since = read
	}
	return nil
}

// contradicted replaces a table version that a row does not fit. The row wins.
func (r *Relay) contradicted(ctx context.Context, rt *route, fact *FactError, ask bool) (*route, error) {
	old := rt.table
	var t *Table
	if ask {
		fresh, err := r.Source.Refresh(ctx, old.OID)
		if err != nil {
			return nil, fmt.Errorf("facts of %s: %w", old, err)
		}
		if len(fresh.Columns) == len(old.Columns) {
			t = fresh
		}
	}
	if t == nil {
		t = r.Encoder.Widen(old, fact, r.text(fact.Column))
	}
	rt, err := r.route(ctx, t)
	if err != nil {
		return nil, err
	}
	delete(r.routes, old)
	if r.tables[t.OID] == old {
		r.tables[t.OID] = t
	}
	r.recent = rt
	return rt, nil
}

// text is a column's value in the row that is being encoded.
func (r *Relay) text(column int) []byte {
	for _, row := range [][]Value{r.env.After, r.env.Before} {
		if column < len(row) && row[column].State == Text {
			return row[column].Data
		}
	}
	return nil
}

// change appends the records of one streamed change.
func (r *Relay) change(rt *route, ev *Event, pos Position) error {
	switch ev.Op {
	case OpCreate:
		r.env.Op, r.env.Before, r.env.After = OpCreate, nil, ev.New
		return r.record(rt, pos, ev.New, nil, WholeRow)
	case OpUpdate:
		if ev.Old != nil && keyChanged(rt.table, ev.Old, ev.New) {
			return r.keyChange(rt, ev, pos)
		}
		r.env.Op, r.env.Before, r.env.After = OpUpdate, nil, ev.New
		if ev.OldFull {
			r.env.Before = ev.Old
		}
		return r.record(rt, pos, ev.New, nil, WholeRow)
	default:
		return r.delete(rt, pos, ev.Old, nil, WholeRow)
	}
}

// keyChange is an update that moves a row to another key: a delete of the old
// one, its tombstone, and a create of the new one, each naming the other.
func (r *Relay) keyChange(rt *route, ev *Event, pos Position) error {
	if err := r.delete(rt, pos, ev.Old, ev.New, OldHalf); err != nil {
		return err
	}
	pos.Part = PartCreate
	r.env.Op, r.env.Before, r.env.After = OpCreate, nil, ev.New
	return r.record(rt, pos, ev.New, ev.Old, NewHalf)
}

// delete appends a delete and, for a table with a key, its tombstone.
func (r *Relay) delete(rt *route, pos Position, old, other []Value, half KeyHalf) error {
	r.env.Op, r.env.Before, r.env.After = OpDelete, old, nil
	if err := r.record(rt, pos, old, other, half); err != nil {
		return err
	}
	if !r.Config.Tombstones || len(rt.table.Key) == 0 {
		return nil
	}
	b := r.batch
	first := b.Records[len(b.Records)-1]
	tomb := Record{Topic: rt.topic, Partition: first.Partition, Start: len(b.Buf), Key: first.Key, Tombstone: true, Half: half}
	b.Buf = append(b.Buf, b.Buf[first.Start:first.Start+first.Key]...)
	pos.Part = PartTombstone
	tomb.Pos = b.appended(func(dst []byte) []byte { return pos.Append(dst) })
	json := first.Start + first.Key + first.Value + first.Pos + first.Unavailable
	b.Buf = append(b.Buf, b.Buf[json:json+first.KeyJSON]...)
	tomb.KeyJSON = first.KeyJSON
	b.Records = append(b.Records, tomb)
	return nil
}

// appended runs f on the arena and returns how many bytes it added.
func (b *Batch) appended(f func([]byte) []byte) int {
	n := len(b.Buf)
	b.Buf = f(b.Buf)
	return len(b.Buf) - n
}

// record appends one record with the envelope as it stands. key is the row that
// the record key is taken from, other the row of a key change's other half.
func (r *Relay) record(rt *route, pos Position, key, other []Value, half KeyHalf) error {
	b := r.batch
	rec := Record{Topic: rt.topic, Partition: rt.keyless, Start: len(b.Buf), Half: half}
	var err error
	if b.Buf, err = rt.plan.AppendKey(b.Buf, key); err != nil {
		return err
	}
	if rec.Key = len(b.Buf) - rec.Start; rec.Key > KeyHeaderBytes {
		rec.Partition = Partition(b.Buf[rec.Start+KeyHeaderBytes:], rt.partitions)
	}
	at := len(b.Buf)
	if b.Buf, err = rt.plan.AppendValue(b.Buf, &r.env); err != nil {
		return err
	}
	rec.Value = len(b.Buf) - at
	if rec.Key+rec.Value > r.Config.MaxRow {
		return &oversizeError{Bytes: rec.Key + rec.Value, Max: r.Config.MaxRow}
	}
	at = len(b.Buf)
	b.Buf = pos.Append(b.Buf)
	rec.Pos = len(b.Buf) - at
	at = len(b.Buf)
	b.Buf = appendUnavailable(b.Buf, rt.table, r.env.Before, r.env.After)
	rec.Unavailable = len(b.Buf) - at
	if other != nil {
		at = len(b.Buf)
		if b.Buf, err = rt.plan.AppendKeyJSON(b.Buf, other); err != nil {
			return err
		}
		rec.KeyJSON = len(b.Buf) - at
	}
	b.Records = append(b.Records, rec)
	rt.count(r.env.Op)
	return nil
}

type oversizeError struct{ Bytes, Max int }

func (e *oversizeError) Error() string {
	return fmt.Sprintf("the record takes %d bytes, more than max_row (%d)", e.Bytes, e.Max)
}

// keyChanged tells whether the key columns of two rows differ.
func keyChanged(t *Table, old, row []Value) bool {
	for _, i := range t.Key {
		if old[i].State == Absent || row[i].State == Unchanged {
			continue
		}
		if old[i].State != row[i].State || string(old[i].Data) != string(row[i].Data) {
			return true
		}
	}
	return false
}

// appendUnavailable lists the columns whose value the WAL did not carry, as
// before.<column> and after.<column>, comma-separated.
func appendUnavailable(dst []byte, t *Table, before, after []Value) []byte {
	start := len(dst)
	add := func(prefix string, row []Value, state State) {
		for i := range row {
			if row[i].State != state {
				continue
			}
			if len(dst) > start {
				dst = append(dst, ',')
			}
			dst = append(append(dst, prefix...), t.Columns[i].Name...)
		}
	}
	add("before.", before, Absent)
	add("after.", after, Unchanged)
	return dst
}

// deadLetter puts a change that has no record form into the dead-letter topic,
// with PostgreSQL's text values, in the order of the stream.
func (r *Relay) deadLetter(ctx context.Context, rt *route, pos Position, cause *ValueError) error {
	partitions, err := r.Log.Topic(ctx, r.Config.DeadLetter)
	if err != nil {
		return fmt.Errorf("dead-letter topic: %w", err)
	}
	value, err := json.Marshal(map[string]any{
		"schema": rt.table.Schema, "table": rt.table.Name, "op": r.env.Op.String(), "position": pos.String(),
		"before": textRow(rt.table, r.env.Before), "after": textRow(rt.table, r.env.After),
		"key": textKey(rt.table, r.env.Before, r.env.After), "column": cause.Column, "reason": cause.Reason,
	})
	if err != nil {
		return fmt.Errorf("dead letter: %w", err)
	}
	b := r.batch
	rec := Record{Topic: r.Config.DeadLetter, Start: len(b.Buf), Partition: Partition([]byte(rt.table.String()), partitions)}
	row := r.env.After
	if row == nil {
		row = r.env.Before
	}
	if key, err := rt.plan.AppendKey(b.Buf, row); err == nil {
		b.Buf = key
		if rec.Key = len(b.Buf) - rec.Start; rec.Key > KeyHeaderBytes {
			rec.Partition = Partition(b.Buf[rec.Start+KeyHeaderBytes:], partitions)
		}
	}
	b.Buf = append(b.Buf, value...)
	rec.Value = len(value)
	rec.Pos = b.appended(func(dst []byte) []byte { return pos.Append(dst) })
	rec.Extra = []Header{
		{"dlq.class", "mapping"}, {"dlq.message", cause.Error()}, {"dlq.version", pos.String()},
		{"dlq.table", rt.table.String()}, {"dlq.op", r.env.Op.String()},
	}
	b.Records = append(b.Records, rec)
	r.open.records++
	r.Observer.DeadLetter("value")
	r.Logger.Warn("a change went to the dead letters", "table", rt.table.String(), "position", pos.String(), "column", cause.Column, "reason", cause.Reason)
	return nil
}

func textRow(t *Table, row []Value) map[string]any {
	if row == nil {
		return nil
	}
	m := map[string]any{}
	for i, v := range row {
		switch v.State {
		case Text:
			m[t.Columns[i].Name] = strings.ToValidUTF8(string(v.Data), "\uFFFD")
		case Null:
			m[t.Columns[i].Name] = nil
		}
	}
	return m
}

func textKey(t *Table, before, after []Value) map[string]any {
	row := after
	if row == nil {
		row = before
	}
	all, key := textRow(t, row), map[string]any{}
	for _, i := range t.Key {
		key[t.Columns[i].Name] = all[t.Columns[i].Name]
	}
	return key
}
