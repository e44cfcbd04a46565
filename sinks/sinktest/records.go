package sinktest

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"strconv"
	"testing"
	"time"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/sinks"
)

// Writer is a sink that makes records of changes, for a log whose transaction has them
// together with the offsets and the gate's state (processors.Outputs).
type Writer interface {
	// Append appends the records of a change that came from in.
	Append(ctx context.Context, dst []sinks.Record, c *sinks.Change, in *sinks.Source) ([]sinks.Record, error)
}

// Log is one fresh destination of records.
type Log struct {
	Open func(t *testing.T) Writer
	// Encode makes the record of a change as the source would have it.
	Encode func(t *testing.T, c *sinks.Change) sinks.Record
	// Decode reads a record back: its op, its key's text, and its columns that are known;
	// nil columns under a delete, and op "" for a tombstone.
	Decode func(t *testing.T, r sinks.Record) (op, key string, columns map[string]string)
	// Partitions is how many partitions outputs have; sources have as many.
	Partitions int32
}

// RunRecords is the suite of sinks that make records. What Run tries beside it (order,
// repeated and cut batches, resuming, floors, fencing) is not theirs: the runtime keeps it
// for them all, and its TestLogContract has Run over a log.
func RunRecords(t *testing.T, fresh func(t *testing.T) Log) {
	for name, test := range map[string]func(*testing.T, *records){
		"UntouchedIsByteForByte":     untouched,
		"ChangedKeepsItsKey":         changedKeepsKey,
		"ChangedHasAPlaceOfItsOwn":   changedPlace,
		"TheSameTwice":               sameTwice,
		"AKeyHasOnePartition":        onePartition,
		"DeleteAndItsTombstone":      deleteAndTombstone,
		"UnchangedValuesStayUnknown": unchangedUnknown,
		"VersionsOfDocuments":        versioned,
		"PoisonIsNamed":              poisonRecord,
		"NeverIntoItsSource":         intoItsSource,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := fresh(t)
			test(t, &records{Log: l, t: t, w: l.Open(t)})
		})
	}
}

// records is a writer under test.
type records struct {
	Log
	t *testing.T
	w Writer
}

// source is a change's record, in the partition of the source that its key says.
func (r *records) source(c *sinks.Change) *sinks.Source {
	made := r.Encode(r.t, c)
	made.Topic, made.Timestamp = Origin.Topic, time.UnixMilli(1_700_000_000_000)
	made.Headers = append(made.Headers, sinks.Header{Name: "traceparent", Value: []byte("00-1")}, sinks.Header{Name: cdc.HeaderPosition, Value: []byte(c.Pos)})
	made.Partition = cdc.Partition(made.Key[cdc.KeyHeaderBytes:], r.Partitions)
	return &sinks.Source{Record: &made, Partitions: r.Partitions, LSN: c.Position.LSN, Time: made.Timestamp}
}

func (r *records) append(c *sinks.Change, in *sinks.Source) []sinks.Record {
	r.t.Helper()
	out, err := r.w.Append(r.t.Context(), nil, c, in)
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

func position(m sinks.Record) string {
	for _, h := range m.Headers {
		if h.Name == cdc.HeaderPosition {
			return string(h.Value)
		}
	}
	return ""
}

// changed is a change whose note a step has set.
func changed(n, id int, note string) *sinks.Change {
	c := Put(n, id, Row{"name", note, "1"})
	c.SameKey = true
	return c
}

func (r *records) wantColumns(m sinks.Record, want map[string]string) {
	r.t.Helper()
	if _, _, got := r.Decode(r.t, m); !maps.Equal(got, want) {
		r.t.Errorf("columns: got %v, want %v", got, want)
	}
}

func untouched(t *testing.T, r *records) {
	c := Put(5, 7, Row{"name", "note", "1"})
	c.Same, c.SameKey = true, true
	in := r.source(c)
	out := r.append(c, in)
	if len(out) != 1 || !bytes.Equal(out[0].Key, in.Key) || !bytes.Equal(out[0].Value, in.Value) || out[0].Partition != in.Partition || !out[0].Timestamp.Equal(in.Timestamp) || position(out[0]) != c.Pos {
		t.Errorf("got %+v, want the bytes of %+v", out, in.Record)
	}
	if len(out[0].Headers) != len(in.Headers) || out[0].Topic == in.Topic {
		t.Errorf("headers %v of %v, topic %s", out[0].Headers, in.Headers, out[0].Topic)
	}
}

func changedKeepsKey(t *testing.T, r *records) {
	c := changed(5, 7, "set by a step")
	in := r.source(Put(5, 7, Row{"name", "as it was", "1"}))
	out := r.append(c, in)
	if len(out) != 1 || !bytes.Equal(out[0].Key, in.Key) || out[0].Partition != in.Partition {
		t.Errorf("its key or its partition is another one: a compacted topic would keep both rows")
	}
	r.wantColumns(out[0], map[string]string{"id": "7", "name": "name", "note": "set by a step", "amount": "1"})
}

func changedPlace(t *testing.T, r *records) {
	c := changed(5, 7, "set by a step")
	in := r.source(Put(5, 7, Row{"name", "as it was", "1"}))
	first := position(r.append(c, in)[0])
	second := changed(5, 7, "the second of the record")
	second.Pos = c.Pos + "/0001"
	if next := position(r.append(second, in)[0]); !(c.Pos < first && first < next && next < At(6).String()) {
		t.Errorf("positions %s, %s: want them behind %s, in their order, and before the next change", first, next, c.Pos)
	}
	if _, err := cdc.ParsePosition(first); err != nil {
		t.Error(err)
	}
}

func sameTwice(t *testing.T, r *records) {
	c, in := changed(5, 7, "x"), r.source(Put(5, 7, Row{"name", "y", "1"}))
	a, again := r.append(c, in), r.append(c, in)
	other := &records{Log: r.Log, t: t, w: r.Open(t)}
	for _, b := range [][]sinks.Record{again, other.append(c, in)} {
		if !bytes.Equal(a[0].Key, b[0].Key) || !bytes.Equal(a[0].Value, b[0].Value) || position(a[0]) != position(b[0]) || a[0].Partition != b[0].Partition {
			t.Error("the same change gives another record the second time: a replay would not repeat it")
		}
	}
}

// A row that a step has given another key goes where all of that key go, whichever
// partition it comes from.
func onePartition(t *testing.T, r *records) {
	at := map[string]int32{}
	for from := range r.Partitions {
		for id := range 5 {
			c := Put(5, id, Row{"name", "note", "1"})
			in := r.source(Put(5, 100+id, Row{}))
			in.Partition = from
			out := r.append(c, in)[0]
			_, key, _ := r.Decode(t, out)
			if known, ok := at[key]; ok && known != out.Partition {
				t.Errorf("key %s is in partitions %d and %d", key, known, out.Partition)
			}
			at[key] = out.Partition
		}
	}
	if len(at) != 5 {
		t.Errorf("keys: got %v, want 5", at)
	}
}

func deleteAndTombstone(t *testing.T, r *records) {
	c := Delete(5, 7)
	c.Same, c.SameKey = true, true
	in := r.source(c)
	out := r.append(c, in)
	if len(out) != 2 || out[0].Value == nil || out[1].Value != nil || !bytes.Equal(out[0].Key, out[1].Key) || out[0].Partition != out[1].Partition {
		t.Fatalf("got %+v, want the delete and its tombstone", out)
	}
	if op, _, _ := r.Decode(t, out[0]); op != cdc.OpDelete.String() {
		t.Errorf("op %s", op)
	}
	if a, b := position(out[0]), position(out[1]); a >= b || b >= At(6).String() {
		t.Errorf("positions %s and %s", a, b)
	}
}

func unchangedUnknown(t *testing.T, r *records) {
	c := PutName(5, 7, "set by a step", "1")
	c.SameKey = true
	out := r.append(c, r.source(PutName(5, 7, "name", "1")))
	r.wantColumns(out[0], map[string]string{"id": "7", "name": "set by a step", "amount": "1"})
}

// An output of many rows has a version of its own, and no record's position.
func versioned(t *testing.T, r *records) {
	in := r.source(Put(900, 7, Row{"name", "note", "1"}))
	for n := 1; n <= 3; n++ {
		c := Put(n, 7, Row{"document", strconv.Itoa(n), "1"})
		c.Versioned = true
		if got := position(r.append(c, in)[0]); got != At(n).String() {
			t.Errorf("version %d: got %s, want %s", n, got, At(n))
		}
	}
}

func poisonRecord(t *testing.T, r *records) {
	before := []sinks.Record{{Topic: "before"}}
	out, err := r.w.Append(t.Context(), before, Put(5, 7, Row{"name", "note", "no number"}), r.source(Put(5, 7, Row{})))
	var fault *sinks.RecordError
	if !errors.As(err, &fault) || fault.Class != sinks.ClassMapping {
		t.Errorf("got %v, want the record's fault", err)
	}
	if len(out) != 1 || out[0].Topic != "before" {
		t.Errorf("a change that is refused leaves %d records", len(out))
	}
}

func intoItsSource(t *testing.T, r *records) {
	c := Put(5, 7, Row{"name", "note", "1"})
	c.Same, c.SameKey = true, true
	in := r.source(c)
	in.Topic = r.append(c, in)[0].Topic
	if _, err := r.w.Append(t.Context(), nil, c, in); !cdc.Stopped(err) {
		t.Errorf("got %v, want a stop: readers of the source would go back", err)
	}
}
