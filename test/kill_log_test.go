package test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/schema"
	client "github.com/tailrace/tailrace/schema/registry"
)

// The kill harness of topics to topics: fault points crossed with deaths, while
// records come in, some of them delivered twice as a relay does.
//
// The pipeline gathers the rows of two topics into documents (step latest), so every
// change that is applied twice, lost, or applied to a state that is not the one it was
// made for shows: the versions of a document count its changes one by one. In the end
// each document is what its rows are, and its versions are dense, each there once; each
// record without a position is one dead letter; and where one processor did all, without
// a transaction whose outcome it did not learn, its counters add up to what was consumed.
// Where the seed is odd, the key is an expression, and rows go through the pipeline's
// internal topic to the owner of their document.
//
//	TAILRACE_LOG_KILL_RUNS=300 go test ./test -run 'TestKillLogHarness$' -timeout 3h
//	TAILRACE_SEED=7 TAILRACE_KILL='before EndTxn/SIGKILL' go test ./test -run 'TestKillLogHarness$'

type logPoint struct {
	name, kind string
	after      bool
	most       int
	start      bool // the trap is set before the processor runs
}

var logPoints = []logPoint{
	{name: "poll", kind: kafkaFetched, most: 40},
	{name: "step", kind: kafkaFetched, after: true, most: 40},
	{name: "outputs", kind: kafkaData, most: 20},
	{name: "outputs acknowledged", kind: kafkaAck, most: 20},
	{name: "changelog", kind: kafkaChangelog, most: 20},
	{name: "offset commit", kind: kafkaTxnOffsets, most: 20},
	{name: "before EndTxn", kind: kafkaEnd, most: 20},
	{name: "in EndTxn", kind: kafkaEnded, most: 20},
	{name: "after EndTxn", kind: kafkaEnded, after: true, most: 20},
	{name: "rebalance", kind: kafkaJoin, start: true, most: 2},
	{name: "restore", kind: kafkaMark, start: true},
}

type logDeath struct {
	name   string
	strike func(*logRun)
	mend   func(*logRun)
}

var logDeaths = []logDeath{
	{"SIGKILL", func(r *logRun) { r.process("one").kill() }, func(r *logRun) { r.start("one") }},
	{"broker stopped", func(r *logRun) { r.worker.stopBroker() }, func(r *logRun) { r.worker.restartBroker(r.t) }},
	{"connections cut", func(r *logRun) { r.worker.tap.cut() }, nil},
	{"a second processor, and the first is killed", func(r *logRun) { r.start("two") }, func(r *logRun) { r.process("one").kill() }},
	{"frozen, and a second processor", func(r *logRun) { r.must(r.process("one").cmd.Process.Signal(syscall.SIGSTOP)); r.start("two") },
		func(r *logRun) {
			pause(r.t, 1000*sessionSeconds(3)+1000)
			r.must(r.process("one").cmd.Process.Signal(syscall.SIGCONT))
		}},
}

// logWorker has a broker and a registry for one run after the other.
type logWorker struct {
	ownServers
	trap *trap
	tap  *kafkaTap
	runs int
}

type logRun struct {
	t      *testing.T
	worker *logWorker
	name   string
	dir    string
	// dynamic members have no name in the group.
	dynamic bool

	mu        sync.Mutex // guards the following
	processes map[string]*process

	stages bool // two, with the internal topic between them
}

// sessionSeconds is the length of a session, or the least that the brokers take.
func sessionSeconds(seconds int) int {
	if os.Getenv(envKafka) != "" {
		seconds = max(seconds, 6)
	}
	return seconds
}

// process is one by its instance; the taps' goroutines ask as well.
func (r *logRun) process(instance string) *process {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.processes[instance]
}

func (r *logRun) must(err error) {
	if err != nil {
		r.t.Error(err)
	}
}

func TestKillLogHarness(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts servers of its own")
	}
	runs := drawKills(t, seed(t), names(logPoints, func(p logPoint) string { return p.name }), names(logDeaths, func(d logDeath) string { return d.name }),
		"TAILRACE_LOG_KILL_RUNS", 10)
	runDrawn(t, runs, newLogWorker, func(w *logWorker, t *testing.T, c drawn) {
		w.runs++
		r := &logRun{t: t, worker: w, name: fmt.Sprintf("log%d", w.runs), dir: t.TempDir(), processes: map[string]*process{}}
		r.run(logPoints[c.point], logDeaths[c.death], c.seed)
	})
}

func newLogWorker(t *testing.T) *logWorker {
	t.Helper()
	w := &logWorker{ownServers: newOwnServers(t), trap: &trap{}}
	t.Cleanup(func() { w.end(t) })
	address := w.broker.Addr() // also of the one that is started again
	w.tap = newKafkaTap(t, w.trap, func() string { return address })
	w.tap.linger = 20 * time.Second
	return w
}

func (r *logRun) run(point logPoint, death logDeath, number uint64) {
	rng := rand.New(rand.NewPCG(number, 0))
	r.stages = number%2 == 1
	feed := newLogFeed(r.t, r.worker, r.name, logPartitions, rand.New(rand.NewPCG(number, 1)))
	skip := 0
	if point.most > 0 {
		skip = rng.IntN(point.most)
	}
	var hit <-chan struct{}
	strike := func() { death.strike(r) }
	if point.start {
		hit = r.worker.trap.set(point.kind, point.after, skip, strike)
	}
	r.start("one")
	if !point.start {
		hit = r.worker.trap.set(point.kind, point.after, skip, strike)
	}
	defer r.explain()
	done := make(chan struct{})
	stop := make(chan struct{})
	go func() {
		defer close(done)
		feed.run(stop)
	}()
	select {
	case <-hit:
	case <-time.After(60 * time.Second):
		close(stop)
		<-done
		r.t.Fatalf("%s: not reached within 60 s", point.name)
	}
	pause(r.t, rng.IntN(800))
	if death.mend != nil {
		death.mend(r)
	}
	pause(r.t, 100+rng.IntN(400))
	close(stop)
	<-done
	feed.write(20)
	feed.verify()
	feed.verifyLetters()
	if one := r.process("one"); len(r.processes) == 1 && death.name != "SIGKILL" {
		consumed := feed.sent
		if r.stages {
			for _, changes := range feed.count {
				consumed += changes // each is handed on once
			}
		}
		await(r.t, func() (bool, string) {
			sum, text := one.counters()
			unknown := strings.Contains(one.log.String(), "begins anew")
			return sum == consumed || unknown && sum < consumed, fmt.Sprintf("counters %s add up to %d, and %d records were consumed", text, sum, consumed)
		})
	}
	for _, p := range r.processes {
		p.kill()
	}
}

// explain shows what each processor says of itself when the run has failed.
func (r *logRun) explain() {
	if !r.t.Failed() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, p := range r.processes {
		resp, err := http.Get("http://" + p.ops + "/status")
		if err != nil {
			r.t.Logf("%s: %v", name, err)
			continue
		}
		b, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		r.t.Logf("%s: %v %s", name, err, b)
		if err := p.cmd.Process.Signal(syscall.SIGQUIT); err == nil { // for what its goroutines wait
			<-p.done
			r.t.Logf("%s: %s", name, tail(p.log.String(), 1500))
		}
	}
}

func (r *logRun) start(instance string) {
	addr := freeAddr(r.t)
	file := filepath.Join(r.dir, instance+".yaml")
	member := ""
	if !r.dynamic {
		member = "instance_id: " + instance + ", "
	}
	text := fmt.Sprintf(`name: %s
kafka: {brokers: [%q]}
registry: {url: %q}
source: {topics: [%s.public.a, %s.public.b]}
steps:
  - latest: {table: docs.items%s}
sink: {kafka: {topic: "{pipeline}.{schema}.{table}", topics: {replication_factor: 1}, sessions: 2}}
group: {%ssession_timeout: %ds}
errors: {retry: {initial: 20ms, max: 500ms}}
ops: {listen: %q}
`, r.name, r.worker.tap.addr(), r.worker.registry.URL(), r.name, r.name, map[bool]string{true: ", key: row.id"}[r.stages], member, sessionSeconds(3), addr)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		r.t.Error(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.processes[instance] = start(r.t, addr, "processor", "run", "-c", file)
}

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
}

const (
	logPartitions = 3
	logEntities   = 40
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

// run writes until it is told to stop.
func (f *logFeed) run(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(f.rng.IntN(6)) * time.Millisecond):
			f.write(1 + f.rng.IntN(8))
		}
	}
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
	f.sent += len(records)
	for _, r := range records {
		f.client.Produce(context.Background(), r, func(_ *kgo.Record, err error) { // in order: idempotent
			if err != nil {
				f.t.Errorf("write: %v", err)
			}
		})
	}
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
