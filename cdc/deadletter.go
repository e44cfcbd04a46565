package cdc

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
)

// deadLetter puts a change that has no record form into the dead-letter topic,
// with PostgreSQL's text values, in the order of the stream.
func (r *Relay) deadLetter(ctx context.Context, rt *route, pos Position, cause *ValueError) error {
	partitions, err := r.Log.Topic(ctx, r.Config.DeadLetter)
	if err != nil {
		return fmt.Errorf("dead-letter topic: %w", err)
	}
	if err := r.room(ctx, r.env.Now); err != nil {
		return err
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
