package test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/schema"
	client "github.com/tailrace/tailrace/schema/registry"
)

// logFeed writes the changes of two tables, as a relay would, and knows what the rows
// are.
type logFeed struct {
	t      *testing.T
	worker *logWorker
	name   string
	rng    *rand.Rand
	client *kgo.Client
	plans  [2]*schema.Plan
	n      int
	rows   [2]map[int]string // what each row is, as JSON
	count  map[int]int       // changes of each entity that are to be applied
	poison int               // records without a position
	sent   int               // all records
	last   [][]*kgo.Record   // the last records of each partition
	waits  func() bool       // for what bursts make come; nil: for nothing
}

const (
	logPartitions = 3
	logEntities   = 40
	burst         = 25_000 // messages; a chunk has 5,000
)

var logTables = [2]string{"a", "b"}

func newLogFeed(t *testing.T, w *logWorker, name string, partitions int32, rng *rand.Rand) *logFeed {
	t.Helper()
	f := &logFeed{t: t, worker: w, name: name, rng: rng, rows: [2]map[int]string{{}, {}}, count: map[int]int{}, last: make([][]*kgo.Record, partitions)}
	var err error
	if f.client, err = kgo.NewClient(kgo.SeedBrokers(w.broker.Addr()), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MetadataMinAge(50*time.Millisecond), kgo.UnknownTopicRetries(-1)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.client.Close)
	known := client.New(client.Config{URLs: []string{w.registry.URL()}})
	for i, table := range logTables {
		topic := name + ".public." + table
		if _, err := kadm.NewClient(f.client).CreateTopic(t.Context(), partitions, 1, nil, topic); err != nil {
			t.Fatal(err)
		}
		base := func(name string) *cdc.Type {
			return &cdc.Type{Schema: "pg_catalog", Name: name, Kind: cdc.KindBase}
		}
		def := &cdc.Table{Schema: "public", Name: table, Identity: cdc.IdentityDefault, Facts: true, Key: []int{0}, Columns: []cdc.Column{
			{Name: "id", Type: base("int4"), Modifier: -1, NotNull: true, Replicated: true}, {Name: "n", Type: base("int8"), Modifier: -1}}}
		if f.plans[i], err = schema.NewEncoder(schema.Settings{Name: name, Database: "shop", Version: "test"}, known).Plan(t.Context(), def, topic); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// run writes until it is told to stop, and then as long as there is something to wait for, but
// for a minute: another burst, now and then, makes it come.
func (f *logFeed) run(stop <-chan struct{}) {
	waits := func() bool { return f.waits != nil && f.waits() }
	began, last := time.Now(), time.Now()
	for {
		if waits() && time.Since(last) > time.Second {
			f.burst(burst)
			last = time.Now()
		}
		select {
		case <-stop:
			if !waits() || time.Since(began) > time.Minute {
				return
			}
		default:
		}
		<-time.After(time.Duration(f.rng.IntN(6)) * time.Millisecond)
		f.write(1 + f.rng.IntN(8))
	}
}

// burst writes changes of one table that all stand in one partition, thousands of them at
// once: whoever reads meanwhile does not keep up.
func (f *logFeed) burst(n int) {
	f.must(f.client.Flush(f.t.Context())) // what is before stands before
	at := f.client
	var err error
	if f.client, err = kgo.NewClient(kgo.SeedBrokers(f.worker.broker.Addr()), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ManualFlushing(), kgo.MaxBufferedRecords(n), kgo.UnknownTopicRetries(-1)); err != nil {
		f.t.Error(err)
		return
	}
	defer func() {
		f.must(f.client.Flush(f.t.Context()))
		f.client.Close()
		f.client = at
	}()
	table, partition := f.rng.IntN(len(logTables)), f.rng.Int32N(int32(len(f.last)))
	for range n {
		id := f.rng.IntN(logEntities)
		for f.partition(table, id) != partition {
			id = f.rng.IntN(logEntities)
		}
		f.count[id]++
		f.send(f.record(table, id, true))
	}
}

func (f *logFeed) must(err error) {
	if err != nil {
		f.t.Error(err)
	}
}

// partition is that of a row.
func (f *logFeed) partition(table, id int) int32 {
	key, err := f.plans[table].AppendKey(nil, []cdc.Value{{State: cdc.Text, Data: []byte(strconv.Itoa(id))}, {}})
	if err != nil {
		f.t.Error(err)
	}
	return cdc.Partition(key[cdc.KeyHeaderBytes:], int32(len(f.last)))
}

// write writes changes; now and then what a partition had last comes again.
func (f *logFeed) write(n int) {
	var records []*kgo.Record
	for range n {
		if f.rng.IntN(25) == 0 {
			f.poison++
			records = append(records, f.record(f.rng.IntN(2), 1000+f.poison%3, false)) // of rows of their own, which are parked
			continue
		}
		r := f.change()
		records = append(records, r)
		f.last[r.Partition] = append(f.last[r.Partition], copied(r)) // the client writes into what it sends
		if len(f.last[r.Partition]) > 4 {
			f.last[r.Partition] = f.last[r.Partition][1:]
		}
		if f.rng.IntN(10) == 0 {
			for _, old := range f.last[r.Partition] {
				records = append(records, copied(old))
			}
		}
	}
	for _, r := range records {
		f.send(r)
	}
}

func (f *logFeed) send(r *kgo.Record) {
	f.sent++
	f.client.Produce(context.Background(), r, func(_ *kgo.Record, err error) { // in order: idempotent
		if err != nil {
			f.t.Errorf("write: %v", err)
		}
	})
}

func copied(r *kgo.Record) *kgo.Record {
	return &kgo.Record{Topic: r.Topic, Partition: r.Partition, Key: r.Key, Value: r.Value, Headers: r.Headers}
}

func (f *logFeed) change() *kgo.Record {
	table, id := f.rng.IntN(2), f.rng.IntN(logEntities)
	f.count[id]++
	return f.record(table, id, true)
}

// record is a change of a row, with or without its position.
func (f *logFeed) record(table, id int, positioned bool) *kgo.Record {
	f.n++
	text := func(n int) cdc.Value { return cdc.Value{State: cdc.Text, Data: []byte(strconv.Itoa(n))} }
	row := []cdc.Value{text(id), text(f.n)}
	key, err := f.plans[table].AppendKey(nil, row)
	if err != nil {
		f.t.Error(err)
	}
	e := &cdc.Envelope{Op: cdc.OpUpdate, After: row, Tx: &cdc.Transaction{XID: 7, CommitLSN: cdc.LSN(f.n), CommitTime: 1}, LSN: cdc.LSN(f.n), Now: 1}
	if _, there := f.rows[table][id]; there && f.rng.IntN(5) == 0 {
		e.Op, e.Before, e.After = cdc.OpDelete, []cdc.Value{text(id), {State: cdc.Absent}}, nil
		delete(f.rows[table], id)
	} else {
		f.rows[table][id] = fmt.Sprintf(`{"id":%d,"n":%d}`, id, f.n)
	}
	value, err := f.plans[table].AppendValue(nil, e)
	if err != nil {
		f.t.Error(err)
	}
	r := &kgo.Record{Topic: f.name + ".public." + logTables[table], Partition: cdc.Partition(key[cdc.KeyHeaderBytes:], int32(len(f.last))), Key: key, Value: value}
	if pos := (cdc.Position{Epoch: 1, LSN: cdc.LSN(f.n), Ordinal: 1}); positioned {
		r.Headers = []kgo.RecordHeader{{Key: cdc.HeaderPosition, Value: pos.Append(nil)}}
	}
	return r
}

// verifyLetters reads the dead letters, committed ones only: one of each record without a
// position.
func (f *logFeed) verifyLetters() {
	f.t.Helper()
	if f.poison == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(f.t.Context(), 60*time.Second)
	defer cancel()
	reader, err := kgo.NewClient(kgo.SeedBrokers(f.worker.broker.Addr()), kgo.ConsumeTopics(f.name+".dead_letter"), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.MetadataMinAge(50*time.Millisecond), kgo.MetadataMaxAge(time.Second))
	if err != nil {
		f.t.Fatal(err)
	}
	defer reader.Close()
	seen := map[string]bool{}
	for len(seen) < f.poison {
		fetches := reader.PollFetches(ctx)
		if ctx.Err() != nil {
			f.t.Fatalf("%d dead letters, and %d records have no position", len(seen), f.poison)
		}
		for r := range fetches.RecordsAll() {
			for _, h := range r.Headers {
				if h.Key == "dlq.id" {
					if seen[string(h.Value)] {
						f.t.Errorf("dead letter %s is there twice", h.Value)
					}
					seen[string(h.Value)] = true
				}
			}
		}
	}
}

// want is an entity's document in the end; "" when it has no rows.
func (f *logFeed) want(id int) string {
	var parts []string
	for i, table := range logTables {
		if row, ok := f.rows[i][id]; ok {
			parts = append(parts, fmt.Sprintf(`"public.%s":[%s]`, table, row))
		}
	}
	if parts == nil {
		return ""
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// verify reads the documents as they come, committed ones only, until each has as many
// versions as it has changes.
func (f *logFeed) verify() {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), 90*time.Second)
	defer cancel()
	if err := f.client.Flush(ctx); err != nil {
		f.t.Fatal(err)
	}
	reader, err := kgo.NewClient(kgo.SeedBrokers(f.worker.broker.Addr()), kgo.ConsumeTopics(f.name+".docs.items"), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.MetadataMinAge(50*time.Millisecond), kgo.MetadataMaxAge(time.Second))
	if err != nil {
		f.t.Fatal(err)
	}
	defer reader.Close()
	known := client.New(client.Config{URLs: []string{f.worker.registry.URL()}})
	readers := map[int]*schema.Reader{}
	versions, documents := map[int]int{}, map[int]string{}
	left := 0
	for _, n := range f.count {
		left += n
	}
	for total := left; left > 0; {
		fetches := reader.PollFetches(ctx)
		if ctx.Err() != nil {
			for id, n := range f.count {
				if versions[id] != n {
					f.t.Errorf("entity %d has %d versions, its changes are %d", id, versions[id], n)
				}
			}
			f.t.Fatalf("%d of %d versions are missing", left, total)
		}
		for r := range fetches.RecordsAll() {
			if r.Value == nil {
				continue // the tombstone behind a delete
			}
			id, document := f.decode(ctx, r, readers, known)
			version := -1
			for _, h := range r.Headers {
				if h.Key == cdc.HeaderPosition {
					p, err := cdc.ParsePosition(string(h.Value))
					if err != nil {
						f.t.Fatal(err)
					}
					version = int(p.LSN)
				}
			}
			if version != versions[id]+1 {
				f.t.Fatalf("entity %d: version %d behind %d", id, version, versions[id])
			}
			versions[id], documents[id] = version, document
			left--
		}
	}
	for id := range logEntities {
		if got, want := documents[id], f.want(id); got != want {
			f.t.Errorf("entity %d: got %s, want %s", id, got, want)
		}
	}
}

// decode is an entity and its document, "" of a delete.
func (f *logFeed) decode(ctx context.Context, r *kgo.Record, readers map[int]*schema.Reader, known *client.Client) (int, string) {
	n, body, err := schema.SplitHeader(r.Value)
	if err != nil {
		f.t.Fatal(err)
	}
	if readers[n] == nil {
		text, err := known.SchemaByID(ctx, n)
		if err != nil {
			f.t.Fatal(err)
		}
		if readers[n], err = schema.NewReader(text); err != nil {
			f.t.Fatal(err)
		}
	}
	var e schema.Event
	if err := readers[n].Read(body, &e); err != nil {
		f.t.Fatal(err)
	}
	row := e.After
	if e.Op == cdc.OpDelete {
		row = e.Before
	}
	id, err := strconv.Atoi(string(row[0].Data))
	if err != nil {
		f.t.Fatal(err)
	}
	if e.Op == cdc.OpDelete {
		return id, ""
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, row[1].Data); err != nil {
		f.t.Fatal(err)
	}
	return id, compact.String()
}
