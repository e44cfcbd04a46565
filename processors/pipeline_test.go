package processors_test

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/processors"
)

func TestChangesReachTheSinkOnceAndInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	two := func(r record) record { r.partition = 1; return r }
	gone := w.del(5, 2)
	w.publish(
		w.put(1, 1, "one", "long", 1),
		two(w.put(2, 2, "two", "long", 2)),
		w.putName(3, 1, "uno", 11),
		w.put(3, 1, "uno", "again", 11), // delivered again
		w.put(1, 1, "one", "long", 1),   // and older
		two(gone), two(tombstone(gone)),
		two(w.put(4, 2, "late", "late", 0)),
	)
	p := w.start()
	w.reach(0, 4)
	w.reach(1, 4)
	w.wantRows(map[int]row{1: {"uno", "long", "11"}})
	p.wantCounters(map[string]int{"applied": 4, "duplicate": 1, "stale": 2, "filtered": 1})
	if got := w.value("SELECT string_agg(attname, ',' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'public.items'::regclass AND attnum > 0"); got != "id,name,note,amount,_tailrace_gen,_tailrace_pos" {
		t.Errorf("columns of the target: got %s", got)
	}
}

func TestKeyChangeMovesTheRow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	w.publish(w.put(1, 1, "a", "b", 1))
	gone, made := w.del(2, 1), w.put(2, 9, "a", "b", 1)
	made.pos = cdc.Position{Epoch: 1, LSN: 2, Ordinal: 1, Part: cdc.PartCreate}.String()
	made.partition = 1 // another key, another partition: it may be first
	w.publish(made, gone, tombstone(gone))
	w.start()
	w.reach(0, 3)
	w.reach(1, 1)
	w.wantRows(map[int]row{9: {"a", "b", "1"}})
}

func TestFaultyRecordsGoToTheDeadLetterTopicByteForByte(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	ok := w.put(1, 1, "one", "x", 1)
	noPosition := w.put(2, 2, "two", "x", 2)
	noPosition.pos = ""
	noPosition.headers = []kgo.RecordHeader{{Key: "other", Value: []byte{0, 1, 0xff}}}
	garbage := w.put(3, 3, "three", "x", 3)
	garbage.value = append(append([]byte{}, garbage.value[:5]...), 0xff, 0xff)
	noSchema := record{pos: at(4).String(), key: []byte("plain"), value: []byte("not avro")}
	for _, r := range []*record{&ok, &noPosition, &garbage, &noSchema} {
		r.partition = 2
	}
	w.publish(ok, noPosition, garbage, noSchema)
	p := w.start()
	w.reach(2, 4)
	dead := w.dead(3)
	for i, want := range []struct {
		record
		class string
	}{{noPosition, "no_position"}, {garbage, "decode"}, {noSchema, "decode"}} {
		r, h := dead[i], headers(dead[i])
		if string(r.Key) != string(want.key) || string(r.Value) != string(want.value) || r.Partition != 2 || r.Timestamp.UnixMilli() != 1_700_000_000_000+int64(i+1) {
			t.Errorf("dead letter %d: bytes, partition or timestamp differ: %v", i, r)
		}
		if h["dlq.class"] != want.class || h["dlq.pipeline"] != "p" || h["dlq.original.topic"] != topic || h["dlq.original.partition"] != "2" ||
			h["dlq.original.offset"] != strconv.Itoa(i+1) || len(h["dlq.id"]) != 32 || h["dlq.message"] == "" || h["dlq.attempts"] != "1" {
			t.Errorf("headers of dead letter %d: got %v", i, h)
		}
	}
	if h := headers(dead[0]); h["other"] != "\x00\x01\xff" {
		t.Errorf("original header: got %q", h["other"])
	}
	w.wantRows(map[int]row{1: {"one", "x", "1"}})
	p.wantCounters(map[string]int{"applied": 1, "dead_lettered": 3})
	until(t, "an empty outbox", func() bool { return w.value("SELECT count(*)::text FROM tailrace.dead_letters") == "0" })
}

// A target column that is too narrow for some values makes single rows poison.
func narrow(w *world) {
	w.exec("CREATE TABLE public.items (id integer PRIMARY KEY, name text, note text, amount bigint CHECK (amount < 1000), _tailrace_gen bigint, _tailrace_pos text COLLATE \"C\")")
}

func TestLaterChangesOfAPoisonRowAreParkedBehindIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	narrow(w)
	w.publish(w.put(1, 1, "one", "x", 1), w.put(2, 2, "two", "x", 2), w.wide(3, 1, "5000"))
	p := w.start()
	w.reach(0, 3)
	gone := w.del(6, 1)
	w.publish(w.put(4, 1, "later", "x", 4), w.put(5, 2, "flows", "x", 5), gone, tombstone(gone))
	w.reach(0, 7)
	p.stop()
	// The marker outlives the process.
	w.publish(w.put(7, 1, "after", "x", 7))
	p = w.start()
	w.reach(0, 8)
	dead := w.dead(4)
	first := headers(dead[0])
	if first["dlq.class"] != "constraint" || first["dlq.code"] != "23514" || first["dlq.parked"] != "" || first["dlq.version"] != at(3).String() ||
		first["dlq.table"] != "public.items" || first["dlq.op"] != "u" || first["dlq.entity"] != `["1"]` || first["dlq.txid"] != "7" || first["dlq.schema.id"] == "" {
		t.Errorf("poison: got %v", first)
	}
	for i, n := range []int{4, 6, 7} {
		h := headers(dead[i+1])
		if h["dlq.parked"] != "true" || h["dlq.parked.behind"] != first["dlq.id"] || h["dlq.version"] != at(n).String() {
			t.Errorf("diverted %d: got %v", n, h)
		}
	}
	w.wantRows(map[int]row{1: {"one", "x", "1"}, 2: {"flows", "x", "5"}})
	if got := w.value("SELECT count::text FROM tailrace.parked"); got != "4" {
		t.Errorf("records of the parked row: got %s, want 4", got)
	}
	p.wantCounters(map[string]int{"parked": 1})
}

func TestMissingBaseResolvesItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.publish(w.putName(1, 1, "a", 1))
	p := w.start()
	w.reach(0, 1)
	w.publish(w.putName(2, 1, "b", 2))
	w.reach(0, 2)
	if got := w.value("SELECT class || ' ' || count FROM tailrace.parked"); got != "missing_base 2" {
		t.Errorf("marker: got %q, want missing_base 2", got)
	}
	w.publish(w.put(3, 1, "c", "whole", 3), w.putName(4, 1, "d", 4))
	w.reach(0, 4)
	w.wantRows(map[int]row{1: {"d", "whole", "4"}})
	if got := w.value("SELECT count(*)::text FROM tailrace.parked"); got != "0" {
		t.Errorf("markers after the full image: got %s, want 0", got)
	}
	p.wantCounters(map[string]int{"dead_lettered": 1, "parked": 1, "applied": 2})
}

func TestPolicySkipLetsLaterChangesPass(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	narrow(w)
	w.publish(w.put(1, 1, "one", "x", 1), w.wide(2, 1, "5000"))
	w.start(func(s *setup) { s.config.OnPoison = processors.PolicySkip })
	w.reach(0, 2)
	w.publish(w.put(3, 1, "later", "x", 3))
	w.reach(0, 3)
	w.dead(1)
	w.wantRows(map[int]row{1: {"later", "x", "3"}})
}

func TestPolicyStopStopsBeforeTheRecordAndSaysWhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	narrow(w)
	w.publish(w.put(1, 1, "one", "x", 1), w.wide(2, 1, "5000"), w.put(3, 2, "two", "x", 2))
	p := w.start(func(s *setup) { s.config.OnPoison = processors.PolicyStop })
	until(t, "the partition to stop", func() bool { return p.partitionState() == "stopped" })
	w.wantRows(map[int]row{1: {"one", "x", "1"}})
	if got := w.offset(0); got != 1 {
		t.Errorf("offset: got %d, want 1", got)
	}
	if state, reason := p.runtime.Health(); state != "stopped" || !contains(reason, at(2).String(), "offset 1", "public.items", "23514") {
		t.Errorf("health: got %s, %s", state, reason)
	}
}

func TestMessagesAreFilteredAndTruncatesApplied(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	truncate := w.put(3, 1, "x", "x", 1)
	id, err := w.Register(t.Context(), "", `{"type":"record","name":"Envelope","namespace":"m","fields":[{"name":"op","type":"string"},{"name":"message","type":["null","bytes"]}]}`)
	if err != nil {
		t.Fatal(err)
	}
	message := record{pos: at(2).String(), key: nil, value: []byte{0, 0, 0, 0, byte(id), 2, 'm', 0}}
	plan := w.plan(table)
	value, err := plan.AppendValue(nil, &cdc.Envelope{Op: cdc.OpTruncate, Tx: &cdc.Transaction{}})
	if err != nil {
		t.Fatal(err)
	}
	truncate.value, truncate.key = value, nil
	w.publish(w.put(1, 1, "gone", "x", 1), message, truncate, w.put(4, 2, "one", "x", 1))
	p := w.start()
	w.reach(0, 4)
	w.wantRows(map[int]row{2: {"one", "x", "1"}})
	p.wantCounters(map[string]int{"applied": 2, "stale": 1, "filtered": 1})
}

// A snapshot of another epoch brings rows 2 and 3; row 1 was deleted in the gap.
func TestSweepDeletesWhatAnotherEpochLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	mark := func(partition int32) record {
		return record{partition: partition, pos: "00000002/0000000000000009/00000000/0000000000000003", headers: []kgo.RecordHeader{{Key: cdc.HeaderSweep,
			Value: []byte(`{"version":1,"name":"shop","db":"shop","schema":"public","table":"items","partitions":2}`)}}}
	}
	again := func(r record) record {
		r.pos = "00000002" + r.pos[8:]
		return r
	}
	other := w.put(3, 3, "three", "x", 1)
	other.partition = 1
	w.publish(w.put(1, 1, "one", "x", 1), w.put(2, 2, "two", "x", 1), other, again(w.put(4, 2, "zwei", "x", 2)), mark(0))
	p := w.start()
	w.reach(0, 4)
	w.reach(1, 1)
	w.wantRows(map[int]row{1: {"one", "x", "1"}, 2: {"zwei", "x", "2"}, 3: {"three", "x", "1"}})
	snapshot := again(w.put(5, 3, "drei", "x", 2))
	snapshot.partition = 1
	w.publish(snapshot, mark(1))
	w.reach(1, 3)
	w.wantRows(map[int]row{2: {"zwei", "x", "2"}, 3: {"drei", "x", "2"}})
	p.wantCounters(map[string]int{"applied": 7})
}

func TestNewColumnsAreAdded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.publish(w.put(1, 1, "one", "x", 1))
	w.start()
	w.reach(0, 1)
	wider := items("int4")
	wider.Columns = append(wider.Columns, cdc.Column{Name: "Added Column", Type: &cdc.Type{Schema: "pg_catalog", Name: "timestamptz", Kind: cdc.KindBase}, Modifier: -1})
	w.publish(w.change(wider, 2, cdc.OpUpdate, text("1"), text("one"), text("x"), text("2"), text("2026-11-21 10:00:00.5+00")))
	w.reach(0, 2)
	if got := w.value(`SELECT ("Added Column" AT TIME ZONE 'UTC')::text FROM public.items`); got != "2026-11-21 10:00:00.5" {
		t.Errorf("added column: got %q", got)
	}
}

// asked notes which schemas were asked for.
type asked struct {
	processors.Schemas
	mu  sync.Mutex // guards the following
	ids map[int]bool
}

func (a *asked) SchemaByID(ctx context.Context, id int) (string, error) {
	a.mu.Lock()
	a.ids[id] = true
	a.mu.Unlock()
	return a.Schemas.SchemaByID(ctx, id)
}

// While the sink is at one batch, the next one is decoded.
func TestTheNextBatchIsDecodedWhileTheSinkWrites(t *testing.T) {
	t.Parallel()
	const rows = 300
	w := newWorld(t, 1)
	w.publish(w.put(1, 0, "zero", "x", 0))
	p := w.start()
	w.reach(0, 1)
	p.stop()
	w.exec("ALTER TABLE items ALTER COLUMN amount TYPE bigint")
	var records []record
	for i := range rows {
		records = append(records, w.put(2+i, i, "first", "x", i))
	}
	known := len(w.schemas)
	for i := range rows {
		records = append(records, w.wide(2+rows+i, i/2, strconv.Itoa(i)))
	}
	w.publish(records...)
	schemas := &asked{Schemas: w, ids: map[int]bool{}}
	unlock := w.lock()
	w.start(func(s *setup) { s.config.BatchRows, s.config.Schemas = rows, schemas })
	until(t, "the schema of the batch behind the one that waits for the table", func() bool {
		schemas.mu.Lock()
		defer schemas.mu.Unlock()
		return slices.ContainsFunc(slices.Collect(maps.Keys(schemas.ids)), func(id int) bool { return id > known })
	})
	unlock()
	w.reach(0, 1+2*rows)
	if got := w.value("SELECT count(*) || ' ' || sum(amount) FROM items WHERE name = 'wide'"); got != "150 22500" {
		t.Errorf("rows of the second batch: got %s, want 150 22500", got)
	}
}
