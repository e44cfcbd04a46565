package broker

import (
	"context"
	"errors"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

func client(t *testing.T, b *Broker, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append(opts, kgo.SeedBrokers(b.Addr()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestTransactionsAndTopicsSurviveARestart(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	dir := t.TempDir()
	b, err := Start(Config{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	c := client(t, b, kgo.TransactionalID("tx"))
	topic, err := kadm.NewClient(c).CreateTopic(ctx, -1, -1, nil, "kept")
	if err != nil {
		t.Fatal(err)
	}
	if topic.NumPartitions != DefaultPartitions {
		t.Errorf("partitions: got %d, want %d", topic.NumPartitions, DefaultPartitions)
	}
	for _, end := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort} {
		if err := c.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		value := map[kgo.TransactionEndTry]string{kgo.TryCommit: "committed", kgo.TryAbort: "aborted"}[end]
		if err := c.ProduceSync(ctx, &kgo.Record{Topic: "kept", Value: []byte(value)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := c.EndTransaction(ctx, end); err != nil {
			t.Fatal(err)
		}
	}
	c.Close()
	b.Close()
	b.Close()

	_, port, err := net.SplitHostPort(b.Addr())
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Start(Config{DataDir: dir, Port: n})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if again.Addr() != b.Addr() {
		t.Errorf("address: got %s, want %s", again.Addr(), b.Addr())
	}
	r := client(t, again, kgo.ConsumeTopics("kept"), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	recs := r.PollFetches(ctx).Records()
	if len(recs) != 1 || string(recs[0].Value) != "committed" {
		t.Errorf("read committed: got %d records, want the committed one", len(recs))
	}
}

func TestTopicsAreCreatedOnlyOnRequest(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for _, auto := range []bool{false, true} {
		b, err := Start(Config{AutoCreate: auto})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		c := client(t, b, kgo.AllowAutoTopicCreation(), kgo.UnknownTopicRetries(1))
		err = c.ProduceSync(ctx, &kgo.Record{Topic: "named", Value: []byte("x")}).FirstErr()
		if auto && err != nil || !auto && !errors.Is(err, kerr.UnknownTopicOrPartition) {
			t.Errorf("produce to a topic that is not there, AutoCreate %v: %v", auto, err)
		}
	}
}

func TestTakenPortIsNamed(t *testing.T) {
	t.Parallel()
	b, err := Start(Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	_, port, _ := net.SplitHostPort(b.Addr())
	n, _ := strconv.Atoi(port)
	if second, err := Start(Config{Port: n}); err == nil {
		second.Close()
		t.Fatal("two brokers share a port")
	}
}
