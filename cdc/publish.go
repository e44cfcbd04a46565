package cdc

import (
	"context"
	"errors"
	"fmt"
)

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
		bytes, records, counts := len(b.Buf), len(b.Records), rt.counts
		err := write(rt)
		if err == nil {
			r.open.records += len(b.Records) - records
			return nil
		}
		b.Buf, b.Records, rt.counts = b.Buf[:bytes], b.Records[:records], counts
		var fact *FactError
		var value *ValueError
		switch {
		case errors.As(err, &fact) && try < 2*len(rt.table.Columns)+2:
			// A label that is new may be in the catalog by now; it is asked once.
			ask := fact.Fact == FactEnumLabel && !asked && r.env.Op != OpRead
			asked = asked || ask
			next, err := r.contradicted(ctx, rt, fact, ask)
			if Stopped(err) && fact.Text != nil && r.Config.DeadLetter != "" {
				// One row's form must not end the stream of all tables.
				return r.deadLetter(ctx, rt, pos, &ValueError{Column: rt.table.Columns[fact.Column].Name,
					Reason: "the registry does not take the schema that this value needs: " + err.Error()})
			}
			if err != nil {
				return err
			}
			rt = next
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
	b.Buf = AppendUnavailable(b.Buf, rt.table, r.env.Before, r.env.After)
	rec.Unavailable = len(b.Buf) - at
	if other != nil {
		at = len(b.Buf)
		if b.Buf, err = rt.plan.AppendKeyJSON(b.Buf, other); err != nil {
			return err
		}
		rec.KeyJSON = len(b.Buf) - at
	}
	if origin := r.env.Tx.Origin; origin != "" {
		rec.Extra = []Header{{HeaderOrigin, origin}}
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
