package main

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/tailrace/tailrace/bench/measure"
)

// clocked is what runClock says at its end. Begin is when row 1 was due, in
// microseconds since 1970; row n was due n-1 intervals later.
type clocked struct {
	Begin   int64
	Rows    int64
	Late    float64  // ms: by how much the latest insert began after it was due
	Latency *latency // with a topic
}

// pinned is set in the environment of a clock that has its core.
const pinned = "TAILRACE_BENCH_PINNED"

// connections are how many sessions insert in turn, so that one slow commit does
// not hold up the next one's start.
const connections = 4

// runClock commits single rows into items at fixed times, and with a topic reads
// them there, on one core of its own choice. A row's latency is counted from when
// it was due, however late it was inserted. Rows of the first seconds do not count.
func runClock(ctx context.Context, args []string) error {
	if os.Getenv(pinned) == "" {
		return pin("clock", args)
	}
	f := flag.NewFlagSet("clock", flag.ContinueOnError)
	url := f.String("url", "", "")
	brokers := f.String("brokers", "", "")
	topic := f.String("topic", "", "")
	rate := f.Int("rate", 1000, "")
	seconds := f.Int("seconds", 30, "")
	warm := f.Int("warm", 10, "")
	if err := f.Parse(args); err != nil {
		return err
	}
	c := &clock{every: time.Second / time.Duration(*rate), rows: (*warm + *seconds) * *rate, skip: *warm * *rate}
	c.arrived = make([]time.Duration, c.rows)
	if *topic != "" {
		client, err := kgo.NewClient(kgo.SeedBrokers(*brokers), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
			kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{*topic: {0: kgo.NewOffset().AtStart()}}))
		if err != nil {
			return err
		}
		defer client.Close()
		c.client = client
	}
	for range connections {
		conn, err := pgx.Connect(ctx, *url)
		if err != nil {
			return err
		}
		defer conn.Close(context.Background())
		if _, err := conn.Prepare(ctx, "insert", "INSERT INTO items VALUES ("+items("$1::bigint")+")"); err != nil {
			return err
		}
		c.conns = append(c.conns, conn)
	}
	if err := c.run(ctx); err != nil {
		return err
	}
	if err := say(c.result()); err != nil {
		return err
	}
	return hold()
}

// pin starts a part of this program again on one core.
func pin(name string, args []string) error {
	if err := pinThread(); err != nil {
		return err
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	return syscall.Exec(exe, append([]string{exe, name}, args...), append(os.Environ(), pinned+"=1"))
}

type clock struct {
	every      time.Duration
	rows, skip int
	conns      []*pgx.Conn
	client     *kgo.Client // nil: nobody reads
	begin      time.Time
	arrived    []time.Duration // after begin, by row; 0: not yet. The consumer's alone

	mu   sync.Mutex // guards the following
	late time.Duration
}

func (c *clock) run(ctx context.Context) error {
	c.begin = time.Now().Add(100 * time.Millisecond)
	g, ctx := errgroup.WithContext(ctx)
	for i, conn := range c.conns {
		g.Go(func() error { return c.insert(ctx, conn, i) })
	}
	if c.client != nil {
		g.Go(func() error { return c.consume(ctx) })
	}
	return g.Wait()
}

// due is when a row is to be inserted, counted from 0.
func (c *clock) due(row int) time.Duration { return time.Duration(row) * c.every }

func (c *clock) insert(ctx context.Context, conn *pgx.Conn, first int) error {
	var late time.Duration
	for row := first; row < c.rows; row += len(c.conns) {
		if rest := c.due(row) - time.Since(c.begin); rest > 0 {
			time.Sleep(rest)
		}
		if row >= c.skip {
			late = max(late, time.Since(c.begin)-c.due(row))
		}
		if _, err := conn.Exec(ctx, "insert", row+1); err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.late = max(c.late, late)
	return nil
}

// consume notes when each row has come, until all have.
func (c *clock) consume(ctx context.Context) error {
	for left := c.rows; left > 0; {
		f := c.client.PollFetches(ctx)
		now := time.Since(c.begin)
		if err := f.Err(); err != nil {
			return err
		}
		var failed error
		f.EachRecord(func(r *kgo.Record) {
			id, err := keyOf(r.Key)
			if err != nil || id < 1 || id > int64(c.rows) {
				failed = errors.Join(err, fmt.Errorf("a record of row %d, which was not inserted", id))
				return
			}
			if c.arrived[id-1] == 0 {
				c.arrived[id-1] = now
				left--
			}
		})
		if failed != nil {
			return failed
		}
	}
	return nil
}

// keyOf is the id in a record key: the registry's header, then {id} as Avro.
func keyOf(key []byte) (int64, error) {
	const header = 5
	if len(key) > header {
		if id, n := binary.Varint(key[header:]); n == len(key)-header {
			return id, nil
		}
	}
	return 0, fmt.Errorf("key % x is not an Avro record of one long", key)
}

func (c *clock) result() clocked {
	r := clocked{Begin: c.begin.UnixMicro(), Rows: int64(c.rows), Late: milliseconds(c.late)}
	if c.client != nil {
		var took []float64
		for row := c.skip; row < c.rows; row++ {
			took = append(took, milliseconds(c.arrived[row]-c.due(row)))
		}
		r.Latency = newLatency(took)
	}
	return r
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// newLatency sums up milliseconds.
func newLatency(took []float64) *latency {
	slices.Sort(took)
	l := &latency{Count: len(took)}
	for _, ms := range took {
		l.Mean += ms / float64(len(took))
	}
	if len(took) > 0 {
		l.P50, l.P95, l.P99, l.Max = measure.Quantile(took, 0.5), measure.Quantile(took, 0.95), measure.Quantile(took, 0.99), took[len(took)-1]
	}
	return l
}
