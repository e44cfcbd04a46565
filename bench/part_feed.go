package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"
)

// feed writes the first records of a topic into another at a fixed rate, and reads
// what a processor makes of them in a third one, where they come in the same order.
// All have one partition.
type feed struct {
	client  *kgo.Client
	brokers string
	records []*kgo.Record
	every   time.Duration
	begin   time.Time
	arrived []time.Duration // after begin; the consumer's alone
}

// runFeed is like runClock, with a topic in place of the table.
func runFeed(ctx context.Context, args []string) error {
	if os.Getenv(pinned) == "" {
		return pin("feed", args)
	}
	f := flag.NewFlagSet("feed", flag.ContinueOnError)
	brokers := f.String("brokers", "", "")
	from := f.String("from", "", "")
	into := f.String("into", "", "")
	out := f.String("out", "", "")
	rate := f.Int("rate", 1000, "")
	seconds := f.Int("seconds", 30, "")
	warm := f.Int("warm", 10, "")
	if err := f.Parse(args); err != nil {
		return err
	}
	w := &feed{brokers: *brokers, every: time.Second / time.Duration(*rate)}
	var err error
	if w.client, err = kgo.NewClient(kgo.SeedBrokers(*brokers), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0), kgo.DefaultProduceTopic(*into),
		kgo.ProducerBatchCompression(kgo.Lz4Compression())); err != nil {
		return err
	}
	defer w.client.Close()
	n := (*seconds + *warm) * *rate
	if err := w.read(ctx, *from, n); err != nil {
		return err
	}
	w.arrived, w.begin = make([]time.Duration, n), time.Now().Add(100*time.Millisecond)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return w.write(ctx) })
	g.Go(func() error { return w.consume(ctx, *out) })
	if err := g.Wait(); err != nil {
		return err
	}
	var took []float64
	for i := *warm * *rate; i < n; i++ {
		took = append(took, milliseconds(w.arrived[i]-w.due(i)))
	}
	if err := say(clocked{Begin: w.begin.UnixMicro(), Rows: int64(n), Latency: newLatency(took)}); err != nil {
		return err
	}
	return hold()
}

func (w *feed) due(i int) time.Duration { return time.Duration(i) * w.every }

func (w *feed) reader(topic string) (*kgo.Client, error) {
	return kgo.NewClient(kgo.SeedBrokers(w.brokers), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}))
}

// read takes the first n records.
func (w *feed) read(ctx context.Context, topic string, n int) error {
	client, err := w.reader(topic)
	if err != nil {
		return err
	}
	defer client.Close()
	for len(w.records) < n {
		limited, cancel := context.WithTimeout(ctx, 20*time.Second)
		fetches := client.PollFetches(limited)
		cancel()
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("%d of %d records of %s are read: %w", len(w.records), n, topic, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			w.records = append(w.records, &kgo.Record{Key: r.Key, Value: r.Value, Headers: r.Headers})
		})
	}
	w.records = w.records[:n]
	return nil
}

// write sends each record as soon as it is due; what is due in the same millisecond
// goes together.
func (w *feed) write(ctx context.Context) error {
	var failed atomic.Pointer[error]
	done := func(_ *kgo.Record, err error) {
		if err != nil {
			failed.CompareAndSwap(nil, &err)
		}
	}
	for i := 0; i < len(w.records); {
		if rest := w.due(i) - time.Since(w.begin); rest > 0 {
			time.Sleep(max(rest, time.Millisecond))
		}
		for now := time.Since(w.begin); i < len(w.records) && w.due(i) <= now; i++ {
			w.client.Produce(ctx, w.records[i], done)
		}
	}
	if err := w.client.Flush(ctx); err != nil {
		return err
	}
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// consume notes when each record has come.
func (w *feed) consume(ctx context.Context, topic string) error {
	client, err := w.reader(topic)
	if err != nil {
		return err
	}
	defer client.Close()
	for n := 0; n < len(w.arrived); {
		fetches := client.PollFetches(ctx)
		now := time.Since(w.begin)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("%d of %d records have come: %w", n, len(w.arrived), err)
		}
		var failed error
		fetches.EachRecord(func(r *kgo.Record) {
			if n < len(w.arrived) && string(r.Key) == string(w.records[n].Key) {
				w.arrived[n] = now
				n++
				return
			}
			failed = errors.New("a record comes that is not the one that is due")
		})
		if failed != nil {
			return failed
		}
	}
	return nil
}
