package processors_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/internal/embedded/broker"
	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/processors"
	"github.com/tailrace/tailrace/schema"
	sinkkafka "github.com/tailrace/tailrace/sinks/kafka"
)

// newLogWorld is a world without a database: topics go to topics.
func newLogWorld(t *testing.T, partitions int32, topics ...string) *world {
	t.Helper()
	b, err := broker.Start(broker.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	w := &world{t: t, broker: b}
	w.connect()
	for _, name := range append(topics, topic) {
		w.createTopic(name, partitions)
	}
	return w
}

// logSetup is what a processor in the log is made of.
type logSetup struct {
	config   processors.Config
	inlog    processors.LogConfig
	consumer kafka.ConsumerConfig
	// wrap changes a session before it is used.
	wrap func(processors.LogSession) processors.LogSession
	slow func(processors.Changelog) processors.Changelog
	id   string // of the instance
}

type logOption func(*logSetup)

// logProcess is a running processor in the log.
type logProcess struct {
	*process
	changelog *kafka.Changelog
}

// startLog runs a processor from topic to out.<table>.
func (w *world) startLog(options ...logOption) *logProcess {
	w.t.Helper()
	s := &logSetup{config: processors.DefaultConfig(), id: "a", wrap: func(s processors.LogSession) processors.LogSession { return s }}
	log := logger(w.t)
	connection := kafka.Config{Brokers: []string{w.broker.Addr()}, ClientID: "test"}
	s.config.Name, s.config.SinkKind, s.config.Log, s.config.Schemas = "p", "kafka", log, w
	s.config.Retry = processors.RetryConfig{Initial: 5 * time.Millisecond, Max: 100 * time.Millisecond}
	s.config.DrainTimeout = 2 * time.Second
	s.config.BatchRows = 4 // so that rounds have several chunks
	s.consumer = kafka.ConsumerConfig{Config: connection, Group: "p", SessionTimeout: 3 * time.Second, Topics: []string{topic}, FetchBytes: 1 << 20, Log: log, Tasks: true}
	s.inlog = processors.LogConfig{Sessions: 1}
	for _, o := range options {
		o(s)
	}
	var err error
	p := &logProcess{process: &process{w: w, reg: prometheus.NewRegistry(), stopped: make(chan error, 1)}}
	if p.letters, err = kafka.NewDeadLetters(connection, "p.dead_letter", 1); err != nil {
		w.t.Fatal(err)
	}
	if p.changelog, err = kafka.NewChangelog(connection, kafka.StateTopic("p"), 1); err != nil {
		w.t.Fatal(err)
	}
	outputs, err := kafka.NewOutputs(connection, kafka.OutputsConfig{Create: true, Replication: 1})
	if err != nil {
		w.t.Fatal(err)
	}
	s.inlog.Changelog, s.inlog.Letters = p.changelog, p.letters
	s.config.Letters = p.letters
	control, err := kafka.NewControl(connection, "p", 1)
	if err != nil {
		w.t.Fatal(err)
	}
	s.config.Control = control
	if s.slow != nil {
		s.inlog.Changelog = s.slow(p.changelog)
	}
	s.inlog.Outputs = func() processors.Outputs {
		made, err := sinkkafka.New(sinkkafka.Config{Pipeline: "p", Topic: "out.{table}", Tombstones: true, Version: "test"}, w, outputs)
		if err != nil {
			panic(err)
		}
		return made
	}
	s.inlog.Session = func(n int, owner kafka.Owner) (processors.LogSession, error) {
		c := kafka.SessionConfig{ConsumerConfig: s.consumer, TransactionalID: fmt.Sprintf("p.%s.%d", s.id, n), MaxRecord: 1 << 20}
		if c.InstanceID != "" {
			c.InstanceID = fmt.Sprintf("%s.%d", c.InstanceID, n)
		}
		c.Owner = owner
		made, err := kafka.NewSession(c)
		if err != nil {
			return nil, err
		}
		return &fenced{s.wrap(made), w.t, map[int32]bool{}}, nil
	}
	s.config.InLog, s.config.Registry = &s.inlog, p.reg
	p.runtime = processors.New(s.config)
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	go func() { p.stopped <- p.runtime.RunInLog(ctx) }()
	w.t.Cleanup(func() {
		p.stop()
		p.letters.Close()
		p.changelog.Close()
		control.Close()
		outputs.Close()
	})
	return p
}

// fenced sees to it that every transaction that writes state stores an offset of the same
// task: it is the only thing by which the brokers know a member that was put out of the
// group, and refuse what it writes.
type fenced struct {
	processors.LogSession
	t     testing.TB
	state map[int32]bool // partitions of the changelog in the transaction
}

func (f *fenced) Begin(ctx context.Context) error {
	clear(f.state)
	return f.LogSession.Begin(ctx)
}

func (f *fenced) Send(records []kafka.Message) {
	for _, r := range records {
		if r.Topic == kafka.StateTopic("p") {
			f.state[r.Partition] = true
		}
	}
	f.LogSession.Send(records)
}

func (f *fenced) End(ctx context.Context, offsets map[kafka.TopicPartition]kafka.Stored) (bool, error) {
	for tp := range offsets {
		delete(f.state, tp.Partition)
	}
	for partition := range f.state {
		f.t.Errorf("a transaction writes the state of task %d without an offset of it", partition)
	}
	return f.LogSession.End(ctx, offsets)
}

// outTopic is where the rows of the tests' table go.
const outTopic = "out.items"

// out is one record of an output topic.
type out struct {
	partition int32
	pos       string
	key       []byte
	value     []byte // nil: a tombstone
	headers   map[string]string
}

// outputs reads what is committed of a topic, in the order of its partitions.
func (w *world) outputs(name string) []out {
	w.t.Helper()
	ends, err := kadm.NewClient(w.client).ListCommittedOffsets(w.t.Context(), name)
	if err != nil {
		w.t.Fatal(err)
	}
	left := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Err == nil && o.Offset > 0 {
			left[o.Partition] = o.Offset
		}
	})
	if len(left) == 0 {
		return nil
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(w.broker.Addr()), kgo.ConsumeTopics(name), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	if err != nil {
		w.t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	defer cancel()
	var all []out
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			w.t.Fatalf("reading %s: %v are missing", name, left)
		}
		for r := range fetches.RecordsAll() {
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
			if !r.Attrs.IsControl() {
				h := headers(r)
				all = append(all, out{r.Partition, h[cdc.HeaderPosition], r.Key, r.Value, h})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b out) int { return int(a.partition - b.partition) })
	return all
}

// say is an output for people: op, row, position.
func (w *world) say(o out) string {
	w.t.Helper()
	if o.value == nil {
		return "tombstone " + w.keyText(o.key)
	}
	e, _ := w.event(o)
	if e.Op == cdc.OpDelete {
		return "d " + w.keyText(o.key)
	}
	var values []string
	for _, v := range e.After {
		values = append(values, string(v.Data))
	}
	return e.Op.String() + " " + strings.Join(values, ",")
}

// event is what an output says, and the columns of its rows; of no tombstone.
func (w *world) event(o out) (*schema.Event, []schema.Field) {
	w.t.Helper()
	r, body := w.reader(o.value)
	e := &schema.Event{}
	if err := r.Read(body, e); err != nil {
		w.t.Fatal(err)
	}
	return e, r.Columns()
}

// reader is that of a key or a value.
func (w *world) reader(b []byte) (r *schema.Reader, body []byte) {
	w.t.Helper()
	id, body, err := schema.SplitHeader(b)
	if err != nil {
		w.t.Fatal(err)
	}
	text, err := w.SchemaByID(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	if r, err = schema.NewReader(text); err != nil {
		w.t.Fatal(err)
	}
	return r, body
}

func (w *world) keyText(key []byte) string {
	w.t.Helper()
	r, body := w.reader(key)
	row, err := r.ReadRow(body)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(row[0].Data)
}

// said are all outputs of a topic for people.
func (w *world) said(name string) []string {
	w.t.Helper()
	var lines []string
	for _, o := range w.outputs(name) {
		lines = append(lines, w.say(o))
	}
	return lines
}

func (w *world) wantSaid(name string, want ...string) {
	w.t.Helper()
	if got := w.said(name); !slices.Equal(got, want) {
		w.t.Errorf("%s:\ngot  %s\nwant %s", name, strings.Join(got, " | "), strings.Join(want, " | "))
	}
}

// reachLog waits until the group's offset of a partition is n.
func (w *world) reachLog(name string, partition int32, n int64) {
	w.t.Helper()
	admin := kadm.NewClient(w.client)
	until(w.t, fmt.Sprintf("the group's offset %d of %s/%d", n, name, partition), func() bool {
		offsets, err := admin.FetchOffsets(w.t.Context(), "p")
		if err != nil {
			return false
		}
		o, ok := offsets.Lookup(name, partition)
		return ok && o.At >= n
	})
}

// points makes the process die at a point of a round, the n-th time it comes there.
type points struct {
	mu    sync.Mutex
	point string
	after int
	died  chan struct{}
}

func dieAt(point string, after int) *points {
	return &points{point: point, after: after, died: make(chan struct{})}
}

var errDied = fmt.Errorf("killed here")

func (p *points) ask(point string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if point != p.point {
		return nil
	}
	if p.after--; p.after == 0 {
		close(p.died)
	}
	if p.after <= 0 {
		return errDied
	}
	return nil
}

// dies makes a process end at a point, and waits for it.
func (p *logProcess) dies(at *points) {
	p.w.t.Helper()
	<-at.died
	p.once.Do(func() {
		if err := <-p.stopped; err == nil {
			p.w.t.Error("the process was killed and ended without an error")
		}
	})
}

// wantRestores compares how states were read.
func (p *process) wantRestores(want map[string]int) {
	p.w.t.Helper()
	until(p.w.t, fmt.Sprintf("restores %v, last %v", want, p.byLabel("tailrace_processor_restores_total")), func() bool {
		return maps.Equal(p.byLabel("tailrace_processor_restores_total"), want)
	})
}

// wantStopped waits until a partition stands still, and says why.
func (p *process) wantStopped(why string) {
	p.w.t.Helper()
	until(p.w.t, "a stop: "+why, func() bool {
		state, reason := p.runtime.Health()
		return state == "stopped" && strings.Contains(reason, why)
	})
}

// makeAnew deletes a topic and makes another of its name.
func (w *world) makeAnew(name string) {
	w.t.Helper()
	admin := kadm.NewClient(w.client)
	found, err := admin.ListTopics(w.t.Context(), name)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := admin.DeleteTopics(w.t.Context(), name); err != nil {
		w.t.Fatal(err)
	}
	w.connect()
	w.createTopic(name, int32(len(found[name].Partitions)))
}

// deleteRecords removes what a topic has before an offset.
func (w *world) deleteRecords(name string, before int64) {
	w.t.Helper()
	offsets := kadm.Offsets{}
	offsets.Add(kadm.Offset{Topic: name, At: before, LeaderEpoch: -1})
	if _, err := kadm.NewClient(w.client).DeleteRecords(w.t.Context(), offsets); err != nil {
		w.t.Fatal(err)
	}
}

// expel puts all members out of the group.
func (w *world) expel() {
	w.t.Helper()
	admin := kadm.NewClient(w.client)
	groups, err := admin.DescribeGroups(w.t.Context(), "p")
	if err != nil {
		w.t.Fatal(err)
	}
	for _, m := range groups["p"].Members {
		r := kmsg.NewPtrLeaveGroupRequest()
		r.Group, r.MemberID = "p", m.MemberID
		member := kmsg.NewLeaveGroupRequestMember()
		member.MemberID, member.InstanceID = m.MemberID, m.InstanceID
		r.Members = append(r.Members, member)
		if _, err := r.RequestWith(w.t.Context(), w.client); err != nil {
			w.t.Fatal(err)
		}
	}
}
