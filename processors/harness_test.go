package processors_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/internal/embedded/broker"
	"github.com/tailrace/tailrace/internal/embedded/pgtest"
	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/processors"
	"github.com/tailrace/tailrace/schema"
	"github.com/tailrace/tailrace/sinks"
	"github.com/tailrace/tailrace/sinks/postgres"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// topic is the data topic of the tests' table.
const topic = "shop.public.items"

// world is a broker with the topic, a registry of schemas, a database for the
// sink, and a relay's hand to write records with.
type world struct {
	t        testing.TB
	broker   *broker.Broker
	client   *kgo.Client
	database string // URL

	mu      sync.Mutex // guards the following
	schemas []string   // by id-1
}

func newWorld(t *testing.T, partitions int32) *world {
	t.Helper()
	w := bareWorld(t)
	w.createTopic(topic, partitions)
	return w
}

// bareWorld has no topic.
func bareWorld(t *testing.T) *world {
	t.Helper()
	b, err := broker.Start(broker.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	w := &world{t: t, broker: b, database: pgtest.NewDatabase(t)}
	w.connect()
	return w
}

// connect makes a client, which knows nothing of topics yet.
func (w *world) connect() {
	w.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(w.broker.Addr()), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(client.Close)
	w.client = client
}

func (w *world) createTopic(name string, partitions int32) {
	w.t.Helper()
	if _, err := kadm.NewClient(w.client).CreateTopic(w.t.Context(), partitions, 1, nil, name); err != nil {
		w.t.Fatal(err)
	}
}

// Register and SchemaByID are the registry.
func (w *world) Register(_ context.Context, _, text string) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if i := slices.Index(w.schemas, text); i >= 0 {
		return i + 1, nil
	}
	w.schemas = append(w.schemas, text)
	return len(w.schemas), nil
}

func (w *world) SchemaByID(_ context.Context, id int) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if id < 1 || id > len(w.schemas) {
		return "", processors.ErrUnknownSchema
	}
	return w.schemas[id-1], nil
}

// items is the tests' table: items(id integer key, name text, note text, amount …).
func items(amount string) *cdc.Table {
	base := func(name string) *cdc.Type {
		return &cdc.Type{Schema: "pg_catalog", Name: name, Kind: cdc.KindBase}
	}
	return &cdc.Table{Schema: "public", Name: "items", Identity: cdc.IdentityDefault, Facts: true, Key: []int{0}, Columns: []cdc.Column{
		{Name: "id", Type: base("int4"), Modifier: -1, NotNull: true, Replicated: true},
		{Name: "name", Type: base("text"), Modifier: -1},
		{Name: "note", Type: base("text"), Modifier: -1},
		{Name: "amount", Type: base(amount), Modifier: -1},
	}}
}

// record is one record as a relay would write it.
type record struct {
	partition  int32
	pos        string // "" for none
	key, value []byte
	headers    []kgo.RecordHeader
}

func (w *world) plan(t *cdc.Table) *schema.Plan {
	w.t.Helper()
	p, err := schema.NewEncoder(schema.Settings{Name: "shop", Database: "shop", Version: "test"}, w).Plan(w.t.Context(), t, topic)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func at(n int) cdc.Position { return cdc.Position{Epoch: 1, LSN: cdc.LSN(n), Ordinal: 1} }

func text(s string) cdc.Value { return cdc.Value{State: cdc.Text, Data: []byte(s)} }

var unchanged = cdc.Value{State: cdc.Unchanged}

// change makes a record of table t; under a delete, row is the old one.
func (w *world) change(t *cdc.Table, n int, op cdc.Op, row ...cdc.Value) record {
	w.t.Helper()
	p := w.plan(t)
	key, err := p.AppendKey(nil, row)
	if err != nil {
		w.t.Fatal(err)
	}
	e := &cdc.Envelope{Op: op, After: row, Tx: &cdc.Transaction{XID: 7, CommitLSN: cdc.LSN(n), CommitTime: 1}, LSN: cdc.LSN(n), Now: 1}
	if op == cdc.OpDelete {
		e.Before, e.After = row, nil
	}
	value, err := p.AppendValue(nil, e)
	if err != nil {
		w.t.Fatal(err)
	}
	r := record{pos: at(n).String(), key: key, value: value}
	if h := cdc.AppendUnavailable(nil, t, e.Before, e.After); len(h) > 0 {
		r.headers = append(r.headers, kgo.RecordHeader{Key: cdc.HeaderUnavailable, Value: h})
	}
	return r
}

var table = items("int4")

func (w *world) put(n, id int, name, note string, amount int) record {
	return w.change(table, n, cdc.OpUpdate, text(strconv.Itoa(id)), text(name), text(note), text(strconv.Itoa(amount)))
}

func (w *world) putName(n, id int, name string, amount int) record {
	return w.change(table, n, cdc.OpUpdate, text(strconv.Itoa(id)), text(name), unchanged, text(strconv.Itoa(amount)))
}

// del is a delete; tombstone is the record that follows it.
func (w *world) del(n, id int) record {
	absent := cdc.Value{State: cdc.Absent}
	return w.change(table, n, cdc.OpDelete, text(strconv.Itoa(id)), absent, absent, absent)
}

func tombstone(r record) record {
	p, err := cdc.ParsePosition(r.pos)
	if err != nil {
		panic(err)
	}
	p.Part = cdc.PartTombstone
	return record{partition: r.partition, pos: p.String(), key: r.key}
}

// wide is a change whose amount does not fit a target column of integer; the
// relay's column is bigint.
func (w *world) wide(n, id int, amount string) record {
	return w.change(items("int8"), n, cdc.OpUpdate, text(strconv.Itoa(id)), text("wide"), text("wide"), text(amount))
}

// publish writes records in order.
func (w *world) publish(records ...record) {
	w.t.Helper()
	w.publishTo(topic, records...)
}

func (w *world) publishTo(name string, records ...record) {
	w.t.Helper()
	for i, r := range records {
		if err := w.client.ProduceSync(w.t.Context(), r.to(name, i)).FirstErr(); err != nil {
			w.t.Fatal(err)
		}
	}
}

// to is a record as it is written to a topic as the i-th of several.
func (r *record) to(name string, i int) *kgo.Record {
	k := &kgo.Record{Topic: name, Partition: r.partition, Key: r.key, Value: r.value, Timestamp: time.UnixMilli(1_700_000_000_000 + int64(i))}
	if r.pos != "" {
		k.Headers = append(k.Headers, kgo.RecordHeader{Key: cdc.HeaderPosition, Value: []byte(r.pos)})
	}
	k.Headers = append(k.Headers, r.headers...)
	return k
}

// process is a running processor.
type process struct {
	w       *world
	runtime *processors.Runtime
	reg     *prometheus.Registry
	letters *kafka.DeadLetters
	stopped chan error
	cancel  context.CancelFunc
	once    sync.Once
}

// option changes what a process is made of.
type option func(*setup)

type setup struct {
	config   processors.Config
	consumer kafka.ConsumerConfig
	sink     postgres.Config
	wrap     func(processors.Source) processors.Source
}

func (w *world) start(options ...option) *process {
	w.t.Helper()
	s := &setup{config: processors.DefaultConfig(), sink: postgres.DefaultConfig(), wrap: func(s processors.Source) processors.Source { return s }}
	log := logger(w.t)
	connection := kafka.Config{Brokers: []string{w.broker.Addr()}, ClientID: "test"}
	s.config.Name, s.config.SinkKind, s.config.Log, s.config.Schemas = "p", "postgres", log, w
	s.config.Retry = processors.RetryConfig{Initial: 5 * time.Millisecond, Max: 100 * time.Millisecond}
	s.config.Circuit.Open = 50 * time.Millisecond
	s.config.DrainTimeout = 2 * time.Second
	s.consumer = kafka.ConsumerConfig{Config: connection, Group: "p", SessionTimeout: 3 * time.Second, Topics: []string{topic}, FetchBytes: 1 << 20, Log: log}
	s.sink.URL, s.sink.Pipeline = w.database, "p"
	for _, o := range options {
		o(s)
	}
	sink, err := postgres.New(s.sink, log)
	if err != nil {
		w.t.Fatal(err)
	}
	letters, err := kafka.NewDeadLetters(connection, "p.dead_letter", 1)
	if err != nil {
		w.t.Fatal(err)
	}
	control, err := kafka.NewControl(connection, "p", 1)
	if err != nil {
		w.t.Fatal(err)
	}
	p := &process{w: w, reg: prometheus.NewRegistry(), letters: letters, stopped: make(chan error, 1)}
	s.config.Sink, s.config.Outbox, s.config.Registry = sink, sink, p.reg
	if s.config.Letters == nil {
		s.config.Letters = letters
	}
	if s.config.Control == nil {
		s.config.Control = control
	}
	p.runtime = processors.New(s.config)
	s.consumer.Owner = p.runtime
	consumer, err := kafka.NewConsumer(s.consumer)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	go func() { p.stopped <- p.runtime.Run(ctx, s.wrap(consumer)) }()
	w.t.Cleanup(func() {
		p.stop()
		letters.Close()
		control.Close()
		sink.Close()
	})
	return p
}

// stop drains and waits.
func (p *process) stop() {
	p.once.Do(func() {
		p.cancel()
		select {
		case err := <-p.stopped:
			if err != nil {
				p.w.t.Errorf("run: %v", err)
			}
		case <-time.After(30 * time.Second):
			p.w.t.Errorf("run did not end within 30s of its context")
		}
	})
}

func logger(t testing.TB) *slog.Logger {
	if !testing.Verbose() {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, nil)).With("test", t.Name())
}

// until waits for a condition that other goroutines bring about, and says what
// it was waiting for when it does not come.
func until(t testing.TB, what string, met func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		if met() {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited 30s for: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// row is a row of the sink.
type row struct{ name, note, amount string }

// lock takes the target table away until the returned function runs.
func (w *world) lock() (unlock func()) {
	w.t.Helper()
	conn, err := pgx.Connect(w.t.Context(), w.database)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := conn.Exec(w.t.Context(), "BEGIN; LOCK TABLE public.items IN ACCESS EXCLUSIVE MODE", pgx.QueryExecModeSimpleProtocol); err != nil {
		w.t.Fatal(err)
	}
	return func() { _ = conn.Close(context.Background()) }
}

func (w *world) exec(sql string) {
	w.t.Helper()
	conn, err := pgx.Connect(w.t.Context(), w.database)
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(w.t.Context(), sql); err != nil {
		w.t.Fatal(err)
	}
}

// value is one text from the sink's database; "" when there is no row or table.
func (w *world) value(sql string, args ...any) string {
	w.t.Helper()
	conn, err := pgx.Connect(w.t.Context(), w.database)
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var s *string
	if err := conn.QueryRow(w.t.Context(), sql, args...).Scan(&s); err != nil || s == nil {
		return ""
	}
	return *s
}

func (w *world) rows() map[int]row {
	w.t.Helper()
	got := map[int]row{}
	if w.value("SELECT to_regclass('public.items')::text") == "" {
		return got
	}
	conn, err := pgx.Connect(w.t.Context(), w.database)
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close(context.Background())
	rows, err := conn.Query(w.t.Context(), "SELECT id, coalesce(name, ''), coalesce(note, ''), coalesce(amount::text, '') FROM public.items")
	if err != nil {
		w.t.Fatal(err)
	}
	var id int
	var r row
	if _, err := pgx.ForEachRow(rows, []any{&id, &r.name, &r.note, &r.amount}, func() error {
		got[id] = r
		return nil
	}); err != nil {
		w.t.Fatal(err)
	}
	return got
}

func (w *world) wantRows(want map[int]row) {
	w.t.Helper()
	if got := w.rows(); !maps.Equal(got, want) {
		w.t.Errorf("rows: got %v, want %v", got, want)
	}
}

// offset is the sink's offset of a partition.
func (w *world) offset(partition int) int64 {
	w.t.Helper()
	n, err := strconv.ParseInt(w.value("SELECT next_offset::text FROM tailrace.offsets WHERE topic = $1 AND partition = $2", topic, partition), 10, 64)
	if err != nil {
		return -2 // no row, no table
	}
	return n
}

// reach waits until the sink's offset of a partition is n.
func (w *world) reach(partition int, n int64) {
	w.t.Helper()
	until(w.t, fmt.Sprintf("offset %d of partition %d in the sink", n, partition), func() bool { return w.offset(partition) >= n })
}

// counters are the outcomes that a process counted, those above zero.
func (p *process) counters() map[string]int { return p.byLabel("tailrace_processor_changes_total") }

// byLabel are the values of a counter by its label.
func (p *process) byLabel(name string) map[string]int {
	p.w.t.Helper()
	out := map[string]int{}
	families, err := p.reg.Gather()
	if err != nil {
		p.w.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if n := int(m.GetCounter().GetValue()); n > 0 {
				out[m.GetLabel()[0].GetValue()] = n
			}
		}
	}
	return out
}

// gauge is the value of a metric without labels.
func (p *process) gauge(name string) float64 {
	p.w.t.Helper()
	families, err := p.reg.Gather()
	if err != nil {
		p.w.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	return -1
}

func (p *process) wantCounters(want map[string]int) {
	p.w.t.Helper()
	// They follow the commit that made the offset visible.
	until(p.w.t, fmt.Sprintf("counters %v, last %v", want, p.counters()), func() bool { return maps.Equal(p.counters(), want) })
}

// dead reads n records of the dead-letter topic.
func (w *world) dead(n int) []*kgo.Record {
	w.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(w.broker.Addr()), kgo.ConsumeTopics("p.dead_letter"), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.MetadataMinAge(50*time.Millisecond))
	if err != nil {
		w.t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	defer cancel()
	var out []*kgo.Record
	for len(out) < n {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			w.t.Fatalf("dead letters: got %d, want %d", len(out), n)
		}
		out = append(out, fetches.Records()...)
	}
	return out
}

// headers are a record's headers by name.
func headers(r *kgo.Record) map[string]string {
	m := map[string]string{}
	for _, h := range r.Headers {
		m[h.Key] = string(h.Value)
	}
	return m
}

func (p *process) partitionState() string {
	var states []string
	for _, s := range p.runtime.Status().Partitions {
		states = append(states, s.State)
	}
	return strings.Join(states, ",")
}

var _ sinks.Sink = (*postgres.Sink)(nil)

// groupOffset is what the consumer group has of partition 0; -1 for none.
func (w *world) groupOffset() int64 {
	w.t.Helper()
	offsets, err := kadm.NewClient(w.client).FetchOffsets(w.t.Context(), "p")
	if err != nil {
		w.t.Fatal(err)
	}
	o, ok := offsets.Lookup(topic, 0)
	if !ok {
		return -1
	}
	return o.At
}
