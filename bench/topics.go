package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// topics are those of one run: <name>.public.<table>, made with the same settings
// for every contender, one partition each.
type topics struct {
	brokers string
	name    string
	tables  []string // without the marks
	client  *kgo.Client
	admin   *kadm.Client
}

// makeTopics makes the topics of a run on a broker.
func makeTopics(ctx context.Context, brokers, name string, tables []string) (*topics, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers))
	if err != nil {
		return nil, err
	}
	t := &topics{brokers: brokers, name: name, tables: tables, client: client, admin: kadm.NewClient(client)}
	settings := map[string]*string{"max.message.bytes": kadm.StringPtr("8454144"), "retention.ms": kadm.StringPtr("-1")}
	made, err := t.admin.CreateTopics(ctx, 1, 1, settings, append(t.data(), t.topic("half"), t.topic("finish"))...)
	if err == nil {
		err = made.Error()
	}
	if err != nil {
		client.Close()
		return nil, fmt.Errorf("make the topics: %w", err)
	}
	return t, nil
}

func (t *topics) topic(table string) string { return t.name + ".public." + table }

// data are the topics of the tables, marks aside.
func (t *topics) data() []string {
	var names []string
	for _, table := range t.tables {
		names = append(names, t.topic(table))
	}
	return names
}

// drop removes them, and what a relay of the same name has made beside them.
func (t *topics) drop() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	defer t.client.Close()
	listed, err := t.admin.ListTopics(ctx)
	if err != nil {
		return // the broker is gone, and its topics with it
	}
	names := slices.DeleteFunc(listed.Names(), func(n string) bool {
		return !strings.HasPrefix(n, t.name+".") && !strings.HasPrefix(n, "tailrace."+t.name+".")
	})
	_, _ = t.admin.DeleteTopics(ctx, names...) // the next run has other names
}

// marks tells when the marks are durable: half and finish get the time at which
// a consumer of committed records had them. It ends with ctx.
type marks struct {
	half, finish chan time.Time
	client       *kgo.Client
	done         chan struct{}
}

func (t *topics) await(ctx context.Context) (*marks, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(t.brokers), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(time.Second),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{t.topic("half"): {0: kgo.NewOffset().AtStart()}, t.topic("finish"): {0: kgo.NewOffset().AtStart()}}))
	if err != nil {
		return nil, err
	}
	m := &marks{half: make(chan time.Time, 1), finish: make(chan time.Time, 1), client: client, done: make(chan struct{})}
	go func() {
		defer close(m.done)
		for {
			f := client.PollFetches(ctx)
			now := time.Now()
			if f.IsClientClosed() || ctx.Err() != nil {
				return
			}
			f.EachRecord(func(r *kgo.Record) {
				to := m.half
				if r.Topic == t.topic("finish") {
					to = m.finish
				}
				select {
				case to <- now:
				default: // the second row
				}
			})
		}
	}()
	return m, nil
}

func (m *marks) close() {
	m.client.Close()
	<-m.done
}

// total counts the committed records of the data topics.
func (t *topics) total(ctx context.Context) (int64, error) {
	ends, err := t.admin.ListCommittedOffsets(ctx, t.data()...)
	if err != nil {
		return 0, err
	}
	at, left := map[string]map[int32]kgo.Offset{}, map[string]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		err = errors.Join(err, o.Err)
		if o.Offset > 0 {
			at[o.Topic], left[o.Topic] = map[int32]kgo.Offset{o.Partition: kgo.NewOffset().AtStart()}, o.Offset
		}
	})
	if err != nil {
		return 0, err
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(t.brokers), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.ConsumePartitions(at))
	if err != nil {
		return 0, err
	}
	defer client.Close()
	var n int64
	for len(left) > 0 {
		f := client.PollFetches(ctx)
		if err := f.Err(); err != nil {
			return n, err
		}
		f.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				n++
			}
			if r.Offset+1 >= left[r.Topic] {
				delete(left, r.Topic)
			}
		})
	}
	return n, nil
}

// verify fails unless exactly so many records have arrived.
func (t *topics) verify(ctx context.Context, want int64) error {
	got, err := t.total(ctx)
	if err != nil {
		return fmt.Errorf("count the records: %w", err)
	}
	if got != want {
		return fmt.Errorf("%d records have arrived, want %d", got, want)
	}
	return nil
}

// warmUp has a broker that was just started do once what contenders will ask of it:
// internal topics are made then, and Java compiles what runs often.
func warmUp(ctx context.Context, brokers string) error {
	t, err := makeTopics(ctx, brokers, "warmup", []string{"items"})
	if err != nil {
		return err
	}
	defer t.drop()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers), kgo.TransactionalID("warmup"), kgo.DefaultProduceTopic(t.topic("items")), kgo.ProducerBatchCompression(kgo.Lz4Compression()))
	if err != nil {
		return err
	}
	defer client.Close()
	const transactions, records = 40, 5000
	for n := range transactions {
		if err := client.BeginTransaction(); err != nil {
			return err
		}
		for i := range records {
			client.Produce(ctx, &kgo.Record{Value: fmt.Appendf(nil, "%0250d", n*records+i)}, nil)
		}
		if err := errors.Join(client.Flush(ctx), client.EndTransaction(ctx, kgo.TryCommit)); err != nil {
			return err
		}
	}
	return t.verify(ctx, transactions*records)
}
