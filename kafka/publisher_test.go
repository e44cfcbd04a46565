package kafka

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/internal/embedded/broker"
)

func newBroker(t *testing.T) string {
	t.Helper()
	return startBroker(t).Addr()
}

func startBroker(t *testing.T) *broker.Broker {
	t.Helper()
	b, err := broker.Start(broker.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func newPublisher(t *testing.T, addr, name string) *Publisher {
	t.Helper()
	p, err := NewPublisher(PublisherConfig{
		Config: Config{Brokers: []string{addr}, ClientID: "test"}, Name: name, TransactionalID: "tailrace." + name, Compression: "lz4",
		MaxRecord: 1 << 20, CreateTopics: true, Partitions: 3, Replication: -1,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	if err := p.Fence(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

// publish hands a batch of n small records over.
func publish(t *testing.T, p *Publisher, topic string, n int) {
	t.Helper()
	b, err := p.Batch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		r := cdc.Record{Topic: topic, Partition: int32(i % 3), Start: len(b.Buf), Key: 7, Value: 5, Pos: 3}
		b.Buf = append(b.Buf, fmt.Sprintf("%07d", i)...)
		b.Buf = append(b.Buf, "valuepos"...)
		b.Records = append(b.Records, r)
	}
	if err := p.Publish(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

func progressAt(lsn cdc.LSN) cdc.Progress {
	return cdc.Progress{Version: 1, Confirmed: lsn, Epochs: []cdc.Epoch{{Epoch: 1}}}
}

// committed counts the records of a topic that readers of committed records get.
func committed(t *testing.T, addr, topic string, want int) []*kgo.Record {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var got []*kgo.Record
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for len(got) < want && ctx.Err() == nil {
		got = append(got, client.PollFetches(ctx).Records()...)
	}
	short, done := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer done()
	return append(got, client.PollFetches(short).Records()...)
}

func TestProgressIsRememberedWithTheRows(t *testing.T) {
	t.Parallel()
	addr := newBroker(t)
	p := newPublisher(t, addr, "shop")
	if n, err := p.Topic(t.Context(), "shop.t"); err != nil || n != 3 {
		t.Fatalf("%d partitions, %v", n, err)
	}
	if err := p.Intend(t.Context(), cdc.Intent{Version: 1, Slot: "s"}); err != nil {
		t.Fatal(err)
	}
	publish(t, p, "shop.t", 10)
	if err := p.Commit(t.Context(), progressAt(42)); err != nil {
		t.Fatal(err)
	}
	publish(t, p, "shop.t", 10) // never committed
	next := newPublisher(t, addr, "shop")
	rem, err := next.Read(t.Context())
	if err != nil || rem.Progress == nil || rem.Progress.Confirmed != 42 || rem.Intent.Slot != "s" {
		t.Fatalf("remembered %+v, %v", rem, err)
	}
	if n, err := next.Topic(t.Context(), "shop.t"); err != nil || n != 3 {
		t.Errorf("the pinned topic: %d partitions, %v", n, err)
	}
	got := committed(t, addr, "shop.t", 10)
	if len(got) != 10 {
		t.Errorf("%d committed records, want 10", len(got))
	}
	for _, r := range got {
		if len(r.Key) != 7 || string(r.Value) != "value" || string(r.Headers[0].Value) != "pos" {
			t.Fatalf("record %q %q %v", r.Key, r.Value, r.Headers)
		}
	}
}

func TestPredecessorIsFenced(t *testing.T) {
	t.Parallel()
	addr := newBroker(t)
	old := newPublisher(t, addr, "shop")
	if _, err := old.Topic(t.Context(), "shop.t"); err != nil {
		t.Fatal(err)
	}
	publish(t, old, "shop.t", 5)
	next := newPublisher(t, addr, "shop")
	err := old.Commit(t.Context(), progressAt(7))
	if err == nil {
		t.Fatal("a fenced producer could commit")
	}
	if again := old.Commit(t.Context(), progressAt(8)); !errors.Is(again, err) {
		t.Errorf("after a failure every call fails: got %v, want %v", again, err)
	}
	rem, err := next.Read(t.Context())
	if err != nil || rem.Progress != nil {
		t.Errorf("progress of the fenced producer: %+v, %v", rem.Progress, err)
	}
}

func TestTopicMadeAnewStops(t *testing.T) {
	t.Parallel()
	addr := newBroker(t)
	p := newPublisher(t, addr, "shop")
	if _, err := p.Topic(t.Context(), "shop.t"); err != nil {
		t.Fatal(err)
	}
	if err := p.Commit(t.Context(), progressAt(1)); err != nil {
		t.Fatal(err)
	}
	if _, err := p.admin.DeleteTopics(t.Context(), "shop.t"); err != nil {
		t.Fatal(err)
	}
	next := newPublisher(t, addr, "shop")
	if _, err := next.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := next.Topic(t.Context(), "shop.t"); !cdc.Stopped(err) {
		t.Errorf("a topic that was made anew: %v, want a StopError", err)
	}
}

func TestBatchesAreBounded(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, newBroker(t), "shop")
	for range maxBatches {
		if _, err := p.Batch(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := p.Batch(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("one batch more than the bound: %v, want to wait", err)
	}
}
