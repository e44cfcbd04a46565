package processors_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/internal/embedded/broker"
	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/processors"
	"github.com/tailrace/tailrace/processors/state"
)

// benchWorld is a world with a topic of four partitions.
func benchWorld(b *testing.B) *world {
	b.Helper()
	s, err := broker.Start(broker.Config{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(s.Close)
	w := &world{t: b, broker: s}
	w.connect()
	w.createTopic(topic, 4)
	return w
}

// fillTopic writes n rows of their own, many at once.
func (w *world) fillTopic(n int) { w.fillTopicWith(n, 0, cdc.OpUpdate) }

// fillTopicWith is fillTopic with a row in so many whose amount is large (0: none), of
// changes of one kind.
func (w *world) fillTopicWith(n, large int, op cdc.Op) {
	w.t.Helper()
	p := w.plan(table)
	for i := range n {
		amount := i
		if large > 0 && i%large == large/2 {
			amount = 2_000_000_000
		}
		row := []cdc.Value{text(strconv.Itoa(i)), text("a name of some length"), text("a note that nobody reads, of sixty-odd characters, as notes are"), text(strconv.Itoa(amount))}
		key, err := p.AppendKey(nil, row)
		if err != nil {
			w.t.Fatal(err)
		}
		value, err := p.AppendValue(nil, &cdc.Envelope{Op: op, After: row, Tx: &cdc.Transaction{XID: 7, CommitLSN: cdc.LSN(i + 1), CommitTime: 1}, LSN: cdc.LSN(i + 1), Now: 1})
		if err != nil {
			w.t.Fatal(err)
		}
		w.client.Produce(w.t.Context(), &kgo.Record{Topic: topic, Partition: int32(i % 4), Key: key, Value: value,
			Headers: []kgo.RecordHeader{{Key: cdc.HeaderPosition, Value: at(i + 1).Append(nil)}}}, nil)
	}
	if err := w.client.Flush(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// benchRows is how many rows an iteration has: few enough that running each benchmark
// once is cheap. Figures come from TAILRACE_BENCH_ROWS=1000000.
func benchRows(b *testing.B, few int) int {
	b.Helper()
	n := os.Getenv("TAILRACE_BENCH_ROWS")
	if n == "" {
		return few
	}
	rows, err := strconv.Atoi(n)
	if err != nil {
		b.Fatal(err)
	}
	return rows
}

// BenchmarkLogDrain is a backlog from topic to topic, exactly once, each row with its
// state. Broker and processor are one process.
func BenchmarkLogDrain(b *testing.B) {
	touch := processors.StepFunc(func(ctx context.Context, c *processors.Change, s processors.State, emit processors.Emit) error {
		if err := c.Set("name", processors.Text("changed")); err != nil {
			return err
		}
		return emit(c)
	})
	for name, options := range map[string][]logOption{"untouched": nil, "changed": {logSteps(touch)}} {
		for _, sessions := range []int{1, 2} {
			b.Run(fmt.Sprintf("%s/sessions=%d", name, sessions), func(b *testing.B) {
				rows := benchRows(b, 5000)
				for b.Loop() {
					b.StopTimer()
					w := benchWorld(b)
					w.fillTopic(rows)
					b.StartTimer()
					p := w.startLog(append(slices.Clone(options), func(s *logSetup) {
						s.inlog.Sessions, s.config.BatchRows = sessions, processors.DefaultConfig().BatchRows
						s.consumer.SessionTimeout = 30 * time.Second
						s.consumer.FetchBytes = 8 << 20
					})...)
					for part := range int32(4) {
						w.reachLog(topic, part, int64(rows/4))
					}
					b.StopTimer()
					p.stop()
					b.StartTimer()
				}
				b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "rows/s")
			})
		}
	}
}

// BenchmarkLogLatency is the time from a record's due time to a committed reader of the
// output, at a fixed rate.
func BenchmarkLogLatency(b *testing.B) {
	const rate = 1000
	rows := benchRows(b, 300)
	for b.Loop() {
		w := benchWorld(b)
		p := w.startLog(func(s *logSetup) {
			s.consumer.SessionTimeout, s.config.BatchRows = 30*time.Second, processors.DefaultConfig().BatchRows
		})
		w.publish(w.put(1, 0, "first", "x", 1))
		w.reachLog(topic, 0, 1)
		reader, err := kgo.NewClient(kgo.SeedBrokers(w.broker.Addr()), kgo.ConsumeTopics(outTopic), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMinBytes(1))
		if err != nil {
			b.Fatal(err)
		}
		records := make([]*kgo.Record, rows)
		one := w.put(2, 1, "name", "note", 1)
		for i := range records { // one row: what the gate sees of it is its position
			records[i] = &kgo.Record{Topic: topic, Key: one.key, Value: one.value, Headers: []kgo.RecordHeader{{Key: cdc.HeaderPosition, Value: at(i + 2).Append(nil)}}}
		}
		begin := time.Now().Add(200 * time.Millisecond)
		due := func(i int) time.Time { return begin.Add(time.Duration(i) * time.Second / rate) }
		go func() {
			for i, r := range records {
				time.Sleep(time.Until(due(i)))
				w.client.Produce(context.Background(), r, nil)
			}
		}()
		var took []time.Duration
		for len(took) < rows {
			fetches := reader.PollFetches(b.Context())
			now := time.Now()
			for r := range fetches.RecordsAll() {
				pos, err := cdc.ParsePosition(headers(r)[cdc.HeaderPosition])
				if err != nil {
					b.Fatal(err)
				}
				if i := int(pos.LSN) - 2; i >= 0 {
					took = append(took, now.Sub(due(i)))
				}
			}
		}
		reader.Close()
		p.stop()
		slices.Sort(took)
		b.ReportMetric(float64(took[rows/2].Microseconds())/1000, "p50-ms")
		b.ReportMetric(float64(took[rows*99/100].Microseconds())/1000, "p99-ms")
	}
}

// BenchmarkRestore reads the state of rows from its changelog.
func BenchmarkRestore(b *testing.B) {
	rows := benchRows(b, 20_000)
	w := benchWorld(b)
	changelog, err := kafka.NewChangelog(kafka.Config{Brokers: []string{w.broker.Addr()}, ClientID: "bench"}, "tailrace.p.state", 1)
	if err != nil {
		b.Fatal(err)
	}
	defer changelog.Close()
	if _, err := changelog.Prepare(b.Context(), 1); err != nil {
		b.Fatal(err)
	}
	row := state.RowRecord{Generation: 1, KeySchema: 7}
	for i := range rows {
		row.Seen = state.Place{Position: cdc.Position{Epoch: 1, LSN: cdc.LSN(i * 1000), Ordinal: 1}}
		row.Applied = row.Seen
		key := state.Key{Scope: state.Row, Table: "shop/shop.public.items", Key: strconv.Itoa(i)}
		w.client.Produce(b.Context(), &kgo.Record{Topic: changelog.Topic(), Key: key.Append(nil), Value: row.Append(nil)}, nil)
	}
	if err := w.client.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		replica := state.NewReplica()
		if _, err := changelog.Read(b.Context(), 0, 0, replica.Take); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		runtime.GC()
		runtime.ReadMemStats(&after)
		keys, _ := replica.Size()
		if keys != rows {
			b.Fatalf("%d keys", keys)
		}
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(rows), "bytes/row")
		b.StartTimer()
	}
	b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "rows/s")
}
