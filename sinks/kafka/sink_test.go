package kafka

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/schema"
	"github.com/tailrace/tailrace/sinks"
)

// world is a registry, and topics of a number of partitions.
type world struct {
	schemas    []string
	partitions int32
}

func (w *world) Register(_ context.Context, _, text string) (int, error) {
	if i := slices.Index(w.schemas, text); i >= 0 {
		return i + 1, nil
	}
	w.schemas = append(w.schemas, text)
	return len(w.schemas), nil
}

func (w *world) Partitions(context.Context, string, int32) (int32, error) { return w.partitions, nil }

func (w *world) sink(t *testing.T, template string) *Sink {
	t.Helper()
	s, err := New(Config{Pipeline: "p", Topic: template, Tombstones: true, Version: "test"}, w, w)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var everything = []struct {
	column sinks.Column
	text   string
}{
	{sinks.Column{Name: "id", Type: sinks.Int64}, "7"},
	{sinks.Column{Name: "t", Type: sinks.Text}, "text"},
	{sinks.Column{Name: "b", Type: sinks.Bool}, "t"},
	{sinks.Column{Name: "i2", Type: sinks.Int16}, "-2"},
	{sinks.Column{Name: "i4", Type: sinks.Int32}, "4"},
	{sinks.Column{Name: "f4", Type: sinks.Float32}, "1.5"},
	{sinks.Column{Name: "f8", Type: sinks.Float64}, "-2.25"},
	{sinks.Column{Name: "d", Type: sinks.Decimal, Precision: 10, Scale: 2}, "12.50"},
	{sinks.Column{Name: "v", Type: sinks.Decimal}, "123456789.123456789"},
	{sinks.Column{Name: "y", Type: sinks.Bytes}, `\x00ff`},
	{sinks.Column{Name: "j", Type: sinks.JSON}, `{"a": 1}`},
	{sinks.Column{Name: "u", Type: sinks.UUID}, "6f1f2c4e-0000-4000-8000-000000000001"},
	{sinks.Column{Name: "da", Type: sinks.Date}, "2026-11-22"},
	{sinks.Column{Name: "ti", Type: sinks.Time}, "12:34:56.789"},
	{sinks.Column{Name: "tz", Type: sinks.TimeTZ}, "12:34:56+00"},
	{sinks.Column{Name: "ts", Type: sinks.Timestamp}, "2026-11-22 12:34:56.123456"},
	{sinks.Column{Name: "tt", Type: sinks.TimestampTZ}, "2026-11-22 12:34:56.123456+00"},
	{sinks.Column{Name: "bi", Type: sinks.Bits}, "101"},
	{sinks.Column{Name: "a", Type: sinks.Int32, Array: true}, "{1,2,NULL}"},
	{sinks.Column{Name: "n", Type: sinks.Text}, ""},
}

// A row of every type that a column can have is read back as it was written.
func TestChangedRowsOfEveryTypeComeBack(t *testing.T) {
	t.Parallel()
	w := &world{partitions: 4}
	s := w.sink(t, "{pipeline}.{schema}.{table}")
	shape := &sinks.Shape{Key: []int{0}}
	var row []cdc.Value
	for _, e := range everything {
		shape.Columns = append(shape.Columns, e.column)
		v := cdc.Value{State: cdc.Text, Data: []byte(e.text)}
		if e.text == "" {
			v = cdc.Value{}
		}
		row = append(row, v)
	}
	c := &sinks.Change{Op: cdc.OpUpdate, Origin: &sinks.Origin{Name: "shop", Database: "shop", Schema: "public", Table: "all types"}, Shape: shape, Row: row, Pos: cdc.Position{Epoch: 1, LSN: 5, Ordinal: 1}.String()}
	in := &sinks.Source{Record: &sinks.Record{Topic: "shop.public.all"}, Partitions: 4, Time: time.UnixMilli(1)}
	records, err := s.Append(t.Context(), nil, c, in)
	if err != nil {
		t.Fatal(err)
	}
	r := records[0]
	if r.Topic != "p.public.all_types" || len(records) != 1 {
		t.Errorf("got %d records, the first to %s", len(records), r.Topic)
	}
	if want := cdc.Partition(r.Key[cdc.KeyHeaderBytes:], 4); r.Partition != want {
		t.Errorf("partition %d, want %d", r.Partition, want)
	}
	id, body, err := schema.SplitHeader(r.Value)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := schema.NewReader(w.schemas[id-1])
	if err != nil {
		t.Fatal(err)
	}
	var e schema.Event
	if err := reader.Read(body, &e); err != nil {
		t.Fatal(err)
	}
	for i, v := range e.After {
		if string(v.Data) != everything[i].text || (everything[i].text == "") != (v.State == cdc.Null) {
			t.Errorf("column %s: got %q, want %q", everything[i].column.Name, v.Data, everything[i].text)
		}
	}
	if e.Source.Name != "shop" || e.Source.Table != "all types" || e.Op != cdc.OpUpdate {
		t.Errorf("envelope: %+v", e.Source)
	}
}

// A pipeline that would write into the topic it reads from stops.
func TestOutputsNeverGoIntoTheirSource(t *testing.T) {
	t.Parallel()
	w := &world{partitions: 1}
	c := &sinks.Change{Op: cdc.OpUpdate, Same: true, SameKey: true, Origin: &sinks.Origin{Topic: "shop.public.items"}}
	_, err := w.sink(t, "{topic}").Append(t.Context(), nil, c, &sinks.Source{Record: &sinks.Record{Topic: "shop.public.items"}})
	if !cdc.Stopped(err) {
		t.Errorf("got %v, want a stop", err)
	}
}

// A value that a step gave and that the column's type does not have is the record's
// fault.
func TestValuesWithoutAFormAreTheRecordsFault(t *testing.T) {
	t.Parallel()
	w := &world{partitions: 1}
	c := &sinks.Change{Op: cdc.OpUpdate, Origin: &sinks.Origin{Schema: "public", Table: "items"}, Shape: &sinks.Shape{Columns: []sinks.Column{{Name: "n", Type: sinks.Int32}}},
		Row: []cdc.Value{{State: cdc.Text, Data: []byte("none")}}}
	_, err := w.sink(t, "out").Append(t.Context(), nil, c, &sinks.Source{Record: &sinks.Record{}})
	var fault *sinks.RecordError
	if !errors.As(err, &fault) || fault.Class != sinks.ClassMapping {
		t.Errorf("got %v, want a record's fault", err)
	}
}

func TestTemplatesOfTopicsAreChecked(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "{schma}", "out.{"} {
		if _, err := New(Config{Topic: bad}, nil, nil); err == nil {
			t.Errorf("template %q: no error", bad)
		}
	}
}
