package cdc

import (
	"fmt"
	"strings"
)

// This file appends the records of one change to the batch: one, two for a delete,
// three for a key change.

// write appends the records of one change.
func (r *Relay) write(rt *route, pos Position, c *change) error {
	switch c.op {
	case OpRead, OpCreate:
		_, err := r.event(rt, pos, c.op, nil, c.after, c.after, nil, WholeRow)
		return err
	case OpUpdate:
		if c.before != nil && keyChanged(rt.table, c.before, c.after) {
			return r.keyChange(rt, pos, c)
		}
		before := c.before
		if !c.full {
			before = nil
		}
		_, err := r.event(rt, pos, OpUpdate, before, c.after, c.after, nil, WholeRow)
		return err
	case OpTruncate:
		return r.truncateRecords(rt, pos)
	}
	for _, i := range rt.table.Key {
		if c.before == nil || c.before[i].State == Absent {
			return &ValueError{Column: rt.table.Columns[i].Name, Reason: "the old row does not carry this column of the record key, so it is not known which key is deleted (REPLICA IDENTITY FULL, or an identity index with the column, would tell)"}
		}
	}
	return r.delete(rt, pos, c.before, c.before, nil, WholeRow)
}

// keyChange is an update that moves a row to another key: a delete of the old
// one, its tombstone, and a create of the new one, each naming the other.
func (r *Relay) keyChange(rt *route, pos Position, c *change) error {
	old := rt.oldKey(c.before, c.after)
	if err := r.delete(rt, pos, c.before, old, c.after, OldHalf); err != nil {
		return err
	}
	pos.Part = PartCreate
	_, err := r.event(rt, pos, OpCreate, nil, c.after, c.after, old, NewHalf)
	return err
}

// oldKey is the old row with the key columns that the replica identity does not
// cover taken from the new one: what is known of the key that the row had.
func (rt *route) oldKey(old, row []Value) []Value {
	for _, i := range rt.table.Key {
		if old[i].State != Absent {
			continue
		}
		rt.keyRow = append(rt.keyRow[:0], old...)
		for _, j := range rt.table.Key {
			if old[j].State == Absent {
				rt.keyRow[j] = row[j]
			}
		}
		return rt.keyRow
	}
	return old
}

// delete appends a delete and, for a table with a key, its tombstone.
func (r *Relay) delete(rt *route, pos Position, old, key, other []Value, half KeyHalf) error {
	written, err := r.event(rt, pos, OpDelete, old, nil, key, other, half)
	if err != nil || !written || !r.Config.Tombstones || len(rt.table.Key) == 0 {
		return err
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

// event appends one event. key is the row that the record key is taken from,
// other the row of a key change's other half. Not written is what is skipped by
// its operation, and what an adopted slot had published.
func (r *Relay) event(rt *route, pos Position, op Op, before, after, key, other []Value, half KeyHalf) (written bool, err error) {
	if op != OpRead && strings.IndexByte(r.Config.Skip, byte(op)) >= 0 {
		rt.tally.operation++
		return false, nil
	}
	r.env.Op, r.env.Before, r.env.After = op, before, after
	if r.meta.counting {
		r.meta.number(&r.env, &rt.counter, r.Config.Debezium)
	}
	b := r.batch
	rec := Record{Topic: rt.topic, Start: len(b.Buf), Half: half}
	if key != nil {
		if b.Buf, err = rt.plan.AppendKey(b.Buf, key); err != nil {
			return false, err
		}
		rec.Key = len(b.Buf) - rec.Start
	}
	rec.Partition = r.partition(b.Buf[rec.Start:], rt.partitions, rt.keyless)
	if r.adopted != nil && op != OpRead {
		at := rec.Partition
		if rec.Key == 0 {
			at = Keyless
		}
		if r.adopted.passes(rt.topic, at, r.env.Tx, r.env.LSN, r) {
			b.Buf = b.Buf[:rec.Start]
			return false, nil
		}
	}
	at := len(b.Buf)
	if b.Buf, err = rt.plan.AppendValue(b.Buf, &r.env); err != nil {
		return false, err
	}
	rec.Value = len(b.Buf) - at
	if rec.Key+rec.Value > r.Config.MaxRow {
		return false, &oversizeError{Bytes: rec.Key + rec.Value, Max: r.Config.MaxRow}
	}
	at = len(b.Buf)
	b.Buf = pos.Append(b.Buf)
	rec.Pos = len(b.Buf) - at
	at = len(b.Buf)
	b.Buf = AppendUnavailable(b.Buf, rt.table, before, after)
	rec.Unavailable = len(b.Buf) - at
	if other != nil {
		at = len(b.Buf)
		if b.Buf, err = rt.plan.AppendKeyJSON(b.Buf, other); err != nil {
			return false, err
		}
		rec.KeyJSON = len(b.Buf) - at
	}
	// The headers have a share of their own in what a topic takes beyond max_row.
	if all := len(b.Buf) - rec.Start; all > r.Config.MaxRow+headerRoom {
		return false, &oversizeError{Bytes: all, Max: r.Config.MaxRow}
	}
	if origin := r.env.Tx.Origin; origin != "" {
		rec.Extra = []Header{{HeaderOrigin, origin}}
	}
	b.Records = append(b.Records, rec)
	rt.tally.count(op)
	return true, nil
}

// partition is where a record with this key goes: by the Avro body, or by all
// bytes where the configuration says so. keyless is for records without a key.
func (r *Relay) partition(key []byte, partitions, keyless int32) int32 {
	switch {
	case len(key) <= KeyHeaderBytes:
		return keyless
	case r.Config.WholeKey:
		return Partition(key, partitions)
	}
	return Partition(key[KeyHeaderBytes:], partitions)
}

func (r *Relay) xmin() int64 {
	if r.Config.XMin == nil {
		return 0
	}
	return r.Config.XMin()
}

// headerRoom is what headers may take: topics are made for 64 KiB more than max_row.
const headerRoom = 48 << 10

type oversizeError struct{ Bytes, Max int }

func (e *oversizeError) Error() string {
	return fmt.Sprintf("the record takes %d bytes, more than max_row (%d)", e.Bytes, e.Max)
}

// keyChanged tells whether the key columns of two rows differ, as far as the old
// one has them.
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
