package processors

import (
	"context"
	"fmt"
	"strconv"
	"testing"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/schema"
)

// benchRegistry keeps schemas for the benchmarks.
type benchRegistry []string

func (r *benchRegistry) Register(_ context.Context, _, text string) (int, error) {
	*r = append(*r, text)
	return len(*r), nil
}

func (r *benchRegistry) SchemaByID(_ context.Context, id int) (string, error) { return (*r)[id-1], nil }

// BenchMessages are updates of n rows of a table of ten columns.
func BenchMessages(b testing.TB, n int, full bool) ([]kafka.Message, *benchRegistry) {
	b.Helper()
	registry := &benchRegistry{}
	base := func(name string) *cdc.Type {
		return &cdc.Type{Schema: "pg_catalog", Name: name, Kind: cdc.KindBase}
	}
	t := &cdc.Table{Schema: "public", Name: "orders", Facts: true, Key: []int{0}, Columns: []cdc.Column{{Name: "id", Type: base("int8"), Modifier: -1, NotNull: true}}}
	for _, c := range []struct {
		name, typ string
		modifier  int32
	}{{"customer", "int8", -1}, {"amount", "numeric", 10<<16 | 2 + 4}, {"qty", "int4", -1}, {"status", "text", -1}, {"mail", "text", -1}, {"note", "text", -1}, {"placed", "timestamptz", -1}, {"paid", "bool", -1}, {"ratio", "float8", -1}} {
		t.Columns = append(t.Columns, cdc.Column{Name: c.name, Type: base(c.typ), Modifier: c.modifier})
	}
	p, err := schema.NewEncoder(schema.Settings{Name: "shop", Database: "shop", Version: "bench"}, registry).Plan(b.Context(), t, "shop.public.orders")
	if err != nil {
		b.Fatal(err)
	}
	messages := make([]kafka.Message, n)
	for i := range messages {
		text := func(s string) cdc.Value { return cdc.Value{State: cdc.Text, Data: []byte(s)} }
		row := []cdc.Value{text(strconv.Itoa(i)), text(strconv.Itoa(i % 97)), text(fmt.Sprintf("%d.50", i%100)), text(strconv.Itoa(i % 7)), text([]string{"new", "paid", "sent"}[i%3]),
			text("somebody@example.org"), text("a note of some length that nobody reads"), text("2026-11-21 15:04:05.25+00"), text("t"), text("0.25")}
		key, err := p.AppendKey(nil, row)
		if err != nil {
			b.Fatal(err)
		}
		e := &cdc.Envelope{Op: cdc.OpUpdate, After: row, Tx: &cdc.Transaction{CommitLSN: cdc.LSN(i + 1)}, LSN: cdc.LSN(i + 1)}
		if full {
			e.Before = row
		}
		value, err := p.AppendValue(nil, e)
		if err != nil {
			b.Fatal(err)
		}
		pos := cdc.Position{Epoch: 1, LSN: cdc.LSN(i + 1), Ordinal: 1}
		messages[i] = kafka.Message{TopicPartition: kafka.TopicPartition{Topic: "shop.public.orders"}, Offset: int64(i), Key: key, Value: value,
			Headers: []kafka.MessageHeader{{Name: cdc.HeaderPosition, Value: pos.Append(nil)}}}
	}
	return messages, registry
}

// BenchmarkWithoutSteps is what a batch costs before the sink gets it.
func BenchmarkWithoutSteps(b *testing.B) {
	messages, registry := BenchMessages(b, 5000, false)
	o := &owner{config: &Config{Name: "p", OnPoison: PolicyParkKey}, parked: parked{}, decoder: newDecoder(registry, newShapes(), false)}
	b.ReportAllocs()
	for b.Loop() {
		items, err := o.decoder.batch(b.Context(), messages)
		if err != nil {
			b.Fatal(err)
		}
		if p := o.plan(items, 5000, attempts{}); len(p.batch.Changes) != 5000 {
			b.Fatalf("%d changes", len(p.batch.Changes))
		}
	}
	b.ReportMetric(float64(b.N)*5000/b.Elapsed().Seconds(), "rows/s")
}

// TakeMessages is Rehearsal.Take of messages as a consumer gives them.
func (r *Rehearsal) TakeMessages(ctx context.Context, messages []kafka.Message) error {
	return r.take(ctx, messages)
}
