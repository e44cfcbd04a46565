package sinks

import (
	"strings"
	"testing"
	"time"

	"github.com/tailrace/tailrace/cdc"
)

func TestDeadLetterIDDoesNotDependOnOffsets(t *testing.T) {
	t.Parallel()
	a := Record{Topic: "t", Partition: 1, Offset: 5}
	b := Record{Topic: "t", Partition: 1, Offset: 9} // the relay delivered it again
	pos := "00000001/0000000000000001/00000001/00"
	if DeadLetterID("p", "sink", pos, 1, a) != DeadLetterID("p", "sink", pos, 1, b) {
		t.Error("two deliveries of one change have two ids")
	}
	ids := map[string]bool{DeadLetterID("p", "sink", pos, 1, a): true}
	for _, id := range []string{DeadLetterID("q", "sink", pos, 1, a), DeadLetterID("p", "map", pos, 1, a), DeadLetterID("p", "sink", "", 1, a), DeadLetterID("p", "sink", "", 1, b)} {
		if ids[id] || len(id) != 32 {
			t.Errorf("id %s is another record's too, or not 32 digits", id)
		}
		ids[id] = true
	}
	if got, want := DeadLetterID("p", "sink", pos, 1, a), DeadLetterID("p", "sink", pos, 1, Record{}); got != want {
		t.Errorf("with a position only that counts: got %s, want %s", got, want)
	}
}

func TestDeadLetterKeepsTheRecordAndAddsHeaders(t *testing.T) {
	t.Parallel()
	r := Record{Topic: "t", Partition: 1, Offset: 5, Timestamp: time.UnixMilli(7), Key: []byte("k"), Value: []byte("v"), Headers: []Header{{Name: "a", Value: []byte("b")}}}
	again := r
	again.Headers = append(NewDeadLetter(r, Reason{Err: &RecordError{Stack: strings.Repeat("s", maxStack+1)}}).Headers, Header{Name: "dlq.replay.count", Value: []byte("4")})
	found := map[string]string{}
	for _, h := range NewDeadLetter(again, Reason{Err: &RecordError{}}).Headers {
		found[h.Name] = string(h.Value)
	}
	if found["dlq.replay.count"] != "5" || found["dlq.replayed_from"] != DeadLetterID("", "", "", 0, r) || len(found["dlq.stack"]) != maxStack {
		t.Errorf("of a record that was a dead letter before: %s %s, a stack of %d bytes", found["dlq.replay.count"], found["dlq.replayed_from"], len(found["dlq.stack"]))
	}
	d := NewDeadLetter(r, Reason{Pipeline: "p", Step: "sink", Err: &RecordError{Class: ClassConstraint, Code: "23505", Reason: "r", Next: "n"}, Attempts: 2, LastFailed: time.Unix(1, 0)})
	var got []string
	for _, h := range d.Headers {
		if h.Name != "dlq.id" {
			got = append(got, h.Name+"="+string(h.Value))
		}
	}
	want := "a=b dlq.pipeline=p dlq.step=sink dlq.class=constraint dlq.code=23505 dlq.message=r; n dlq.attempts=2 dlq.last_failed_at=1970-01-01T00:00:01Z " +
		"dlq.original.topic=t dlq.original.partition=1 dlq.original.offset=5 dlq.original.timestamp=7"
	if s := strings.Join(got, " "); s != want {
		t.Errorf("headers:\ngot  %s\nwant %s", s, want)
	}
	if len(r.Headers) != 1 || d.Timestamp != r.Timestamp || string(d.Key) != "k" || string(d.Value) != "v" {
		t.Errorf("record: got %+v", d)
	}
}

func TestRowKeyHasOneFormForEachKey(t *testing.T) {
	t.Parallel()
	text := func(s string) cdc.Value { return cdc.Value{State: cdc.Text, Data: []byte(s)} }
	for _, test := range []struct {
		values []cdc.Value
		want   string
	}{
		{[]cdc.Value{text("1")}, `["1"]`},
		{[]cdc.Value{text("a\"\\\n"), text("")}, `["a\"\\\u000a",""]`},
		{[]cdc.Value{text("a"), {}}, `["a",null]`},
	} {
		if got := RowKey(test.values); got != test.want {
			t.Errorf("got %s, want %s", got, test.want)
		}
	}
	long := RowKey([]cdc.Value{text(strings.Repeat("x", 3000))})
	if !strings.HasPrefix(long, "sha256:") || len(long) != 7+64 {
		t.Errorf("a long key: got %s", long)
	}
}

func TestParkKeyIgnoresTheSchemaID(t *testing.T) {
	t.Parallel()
	if ParkKey([]byte{0, 0, 0, 0, 1, 'k'}) != ParkKey([]byte{0, 0, 0, 0, 9, 'k'}) {
		t.Error("a new schema id makes another row")
	}
	if ParkKey([]byte("plain")) == ParkKey([]byte("other")) {
		t.Error("two keys have one digest")
	}
}
