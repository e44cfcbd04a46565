package cdc

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
)

// deadLetter puts a change that has no record form into the dead-letter topic,
// with PostgreSQL's text values as the rules leave them, in the order of the
// stream. The change is fitted to the route.
func (r *Relay) deadLetter(ctx context.Context, rt *route, pos Position, c *change, cause *ValueError) error {
	partitions, err := r.Log.Topic(ctx, r.Config.DeadLetter)
	if err != nil {
		return fmt.Errorf("dead-letter topic: %w", err)
	}
	if err := r.room(ctx, r.env.Now); err != nil {
		return err
	}
	row := c.after
	if row == nil {
		row = c.before
	}
	known := keyKnown(rt.table, row)
	value, err := json.Marshal(map[string]any{
		"schema": rt.table.Schema, "table": rt.table.Name, "op": c.op.String(), "position": pos.String(),
		"before": textRow(rt.table, c.before), "after": textRow(rt.table, c.after),
		"key": textKey(rt.table, row, known), "column": cause.Column, "reason": cause.Reason,
	})
	if err != nil {
		return fmt.Errorf("dead letter: %w", err)
	}
	b := r.batch
	before := len(b.Records)
	r.opening()
	rec := Record{Topic: r.Config.DeadLetter, Start: len(b.Buf), Partition: Partition([]byte(rt.table.String()), partitions)}
	if known && rt.plan != nil {
		if key, err := rt.plan.AppendKey(b.Buf, row); err == nil {
			b.Buf = key
			rec.Key = len(b.Buf) - rec.Start
			rec.Partition = r.partition(b.Buf[rec.Start:], partitions, rec.Partition)
		}
	}
	b.Buf = append(b.Buf, value...)
	rec.Value = len(value)
	rec.Pos = b.appended(func(dst []byte) []byte { return pos.Append(dst) })
	rec.Extra = []Header{
		{"dlq.class", "mapping"}, {"dlq.message", cause.Error()}, {"dlq.version", pos.String()},
		{"dlq.table", rt.table.String()}, {"dlq.op", c.op.String()},
	}
	b.Records = append(b.Records, rec)
	r.open.records += len(b.Records) - before
	reason := "value"
	if rt.refused != nil {
		reason = "schema"
	}
	r.Observer.DeadLetter(reason)
	r.Logger.Warn("a change went to the dead letters", "table", rt.table.String(), "position", pos.String(), "column", cause.Column, "reason", cause.Reason)
	return nil
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

// textKey is the record key; null where the row does not carry all of it.
func textKey(t *Table, row []Value, known bool) map[string]any {
	if !known {
		return nil
	}
	all, key := textRow(t, row), map[string]any{}
	for _, i := range t.Key {
		key[t.Columns[i].Name] = all[t.Columns[i].Name]
	}
	return key
}
