package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// shelf is a broker with one topic.
type shelf struct {
	t      *testing.T
	addr   string
	client *kgo.Client
}

func newShelf(t *testing.T, topic string, partitions int32, opts ...kgo.Opt) *shelf {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, topic), kfake.GroupMinSessionTimeout(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	s := &shelf{t: t, addr: c.ListenAddrs()[0]}
	s.client, err = kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(s.addr), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic(topic)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.client.Close)
	return s
}

func (s *shelf) put(partition int32, values ...string) {
	s.t.Helper()
	for _, v := range values {
		r := &kgo.Record{Partition: partition, Value: []byte(v), Headers: []kgo.RecordHeader{{Key: "h", Value: []byte(v)}}}
		if err := s.client.ProduceSync(s.t.Context(), r).FirstErr(); err != nil {
			s.t.Fatal(err)
		}
	}
}

// ledger is an Owner that begins where it is told, and notes who owns what.
type ledger struct {
	name   string
	start  map[TopicPartition]int64 // else 0
	refuse map[TopicPartition]bool
	shared *registerOfOwners

	mu    sync.Mutex // guards the following
	owned map[TopicPartition]Assigned
}

// registerOfOwners knows all members' partitions.
type registerOfOwners struct {
	t  *testing.T
	mu sync.Mutex // guards the following
	by map[TopicPartition]string
}

func (l *ledger) Assign(_ context.Context, given []Assigned) (map[TopicPartition]int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[TopicPartition]int64{}
	for _, a := range given {
		if l.refuse[a.TopicPartition] {
			continue
		}
		if l.shared != nil {
			l.shared.mu.Lock()
			if other := l.shared.by[a.TopicPartition]; other != "" {
				l.shared.t.Errorf("%s was given to %s while %s had it", a.TopicPartition, l.name, other)
			}
			l.shared.by[a.TopicPartition] = l.name
			l.shared.mu.Unlock()
		}
		l.owned[a.TopicPartition] = a
		out[a.TopicPartition] = l.start[a.TopicPartition]
	}
	return out, nil
}

func (l *ledger) Revoke(_ context.Context, parts []TopicPartition) { l.Lose(parts) }

func (l *ledger) Lose(parts []TopicPartition) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, tp := range parts {
		delete(l.owned, tp)
		if l.shared != nil {
			l.shared.mu.Lock()
			delete(l.shared.by, tp)
			l.shared.mu.Unlock()
		}
	}
}

func (l *ledger) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.owned)
}

func (s *shelf) member(l *ledger, change func(*ConsumerConfig)) *Consumer {
	s.t.Helper()
	l.owned = map[TopicPartition]Assigned{}
	config := ConsumerConfig{Config: Config{Brokers: []string{s.addr}, ClientID: "test"}, Group: "g", SessionTimeout: 3 * time.Second, Topics: []string{"t"}, FetchBytes: 1 << 20,
		Owner: l, Log: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&config)
	}
	c, err := NewConsumer(config)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := c.Join(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	return c
}

// read polls until n messages that are no markers have come.
func (s *shelf) read(c *Consumer, n int) []Message {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	var out []Message
	for len(out) < n {
		fetched, err := c.Poll(ctx)
		if err != nil {
			s.t.Fatalf("poll: %v; got %d messages, want %d", err, len(out), n)
		}
		for _, f := range fetched {
			if f.Err != nil {
				s.t.Fatalf("%s: %v", f.TopicPartition, f.Err)
			}
			for _, m := range f.Messages {
				if !m.Control {
					out = append(out, m)
				}
			}
		}
	}
	return out
}

func until(t *testing.T, what string, met func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !met(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited 20s for: %s", what)
		}
	}
}

func TestConsumerBeginsWhereItsOwnerSays(t *testing.T) {
	t.Parallel()
	s := newShelf(t, "t", 2)
	s.put(0, "a", "b", "c")
	s.put(1, "d")
	l := &ledger{start: map[TopicPartition]int64{{"t", 0}: 2}, refuse: map[TopicPartition]bool{{"t", 1}: true}}
	c := s.member(l, nil)
	got := s.read(c, 1)
	if m := got[0]; string(m.Value) != "c" || m.Offset != 2 || m.Key != nil || len(m.Headers) != 1 || m.Headers[0].Name != "h" {
		t.Errorf("first message: got %+v", m)
	}
	l.mu.Lock()
	a := l.owned[TopicPartition{"t", 0}]
	l.mu.Unlock()
	if a.First != 0 || a.End != 3 || a.Committed != -1 || a.Start != 0 || a.TopicID == "" {
		t.Errorf("assigned: got %+v", a)
	}
	if err := c.Commit(t.Context(), map[TopicPartition]int64{{"t", 0}: 3}); err != nil {
		t.Fatal(err)
	}
	offsets, err := kadm.NewClient(s.client).FetchOffsets(t.Context(), "g")
	if err != nil {
		t.Fatal(err)
	}
	if o, _ := offsets.Lookup("t", 0); o.At != 3 {
		t.Errorf("committed: got %d, want 3", o.At)
	}
	s.put(1, "e")
	s.put(0, "f")
	if got := s.read(c, 1); string(got[0].Value) != "f" {
		t.Errorf("a partition that its owner left out was read: %q", got[0].Value)
	}
	ends, err := c.Ends(t.Context(), []TopicPartition{{"t", 0}, {"t", 1}, {"none", 0}})
	if want := map[TopicPartition]int64{{"t", 0}: 4, {"t", 1}: 2}; err != nil || !maps.Equal(ends, want) {
		t.Errorf("ends: got %v, %v; want %v", ends, err, want)
	}
}

func TestConsumerSeesCommittedRecordsAndMarkersOnly(t *testing.T) {
	t.Parallel()
	s := newShelf(t, "t", 1, kgo.TransactionalID("x"))
	transaction := func(commit bool, values ...string) {
		if err := s.client.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		s.put(0, values...)
		if err := s.client.EndTransaction(t.Context(), kgo.TransactionEndTry(commit)); err != nil {
			t.Fatal(err)
		}
	}
	transaction(true, "a")
	transaction(false, "aborted")
	transaction(true, "b")
	c := s.member(&ledger{}, nil)
	got := s.read(c, 2)
	if string(got[0].Value) != "a" || string(got[1].Value) != "b" {
		t.Errorf("values: got %q, %q; want a, b", got[0].Value, got[1].Value)
	}
	// The last marker moves the position past the end of the transaction.
	transaction(true, "c")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for last := (Message{}); !last.Control; {
		fetched, err := c.Poll(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range fetched {
			for _, m := range f.Messages {
				last = m
			}
		}
	}
}

func TestPartitionHasOneOwnerAtATime(t *testing.T) {
	t.Parallel()
	s := newShelf(t, "t", 6)
	shared := &registerOfOwners{t: t, by: map[TopicPartition]string{}}
	var members []*Consumer
	var ledgers []*ledger
	join := func() {
		l := &ledger{name: fmt.Sprint("member ", len(ledgers)), shared: shared}
		members, ledgers = append(members, s.member(l, nil)), append(ledgers, l)
		go func(c *Consumer) {
			for {
				if _, err := c.Poll(t.Context()); err != nil {
					return
				}
			}
		}(members[len(members)-1])
	}
	join()
	until(t, "all partitions with the first", func() bool { return ledgers[0].count() == 6 })
	join()
	until(t, "half with each", func() bool { return ledgers[0].count() == 3 && ledgers[1].count() == 3 })
	join()
	until(t, "a third with each", func() bool {
		return ledgers[0].count() == 2 && ledgers[1].count() == 2 && ledgers[2].count() == 2
	})
	if err := members[0].Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, "half with those who stayed", func() bool {
		return ledgers[0].count() == 0 && ledgers[1].count() == 3 && ledgers[2].count() == 3
	})
}

func TestPausedPartitionIsNotRead(t *testing.T) {
	t.Parallel()
	s := newShelf(t, "t", 2)
	s.put(0, "a")
	c := s.member(&ledger{}, nil)
	s.read(c, 1)
	c.Pause(TopicPartition{"t", 0})
	s.put(0, "b")
	s.put(1, "c")
	if got := s.read(c, 1); string(got[0].Value) != "c" {
		t.Errorf("while paused: got %q, want c", got[0].Value)
	}
	c.Resume(TopicPartition{"t", 0})
	if got := s.read(c, 1); string(got[0].Value) != "b" {
		t.Errorf("after resume: got %q, want b", got[0].Value)
	}
}

func TestOffsetOutsideOfTheLogIsAnError(t *testing.T) {
	t.Parallel()
	s := newShelf(t, "t", 1)
	s.put(0, "a", "b", "c")
	offsets := kadm.Offsets{}
	offsets.AddOffset("t", 0, 2, -1)
	if _, err := kadm.NewClient(s.client).DeleteRecords(t.Context(), offsets); err != nil {
		t.Fatal(err)
	}
	c := s.member(&ledger{}, nil) // begins at 0
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		fetched, err := c.Poll(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range fetched {
			if len(f.Messages) > 0 {
				t.Fatalf("read on at offset %d: records were left out in silence", f.Messages[0].Offset)
			}
			if errors.Is(f.Err, ErrLost) {
				return
			}
		}
	}
}

func TestStartFrom(t *testing.T) {
	t.Parallel()
	s := newShelf(t, "t", 1)
	for i := range 3 {
		r := &kgo.Record{Value: []byte("x"), Timestamp: time.UnixMilli(1000 * int64(i+1))}
		if err := s.client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	for i, test := range []struct {
		from StartFrom
		want int64
	}{{StartFrom{}, 0}, {StartFrom{Latest: true}, 3}, {StartFrom{Time: time.UnixMilli(1500)}, 1}, {StartFrom{Time: time.UnixMilli(9000)}, 3}} {
		l := &ledger{}
		c := s.member(l, func(c *ConsumerConfig) { c.Group, c.Start = fmt.Sprint("g", i), test.from })
		go func() { _, _ = c.Poll(t.Context()) }()
		until(t, "the partition", func() bool { return l.count() == 1 })
		l.mu.Lock()
		if got := l.owned[TopicPartition{"t", 0}].Start; got != test.want {
			t.Errorf("%+v: got offset %d, want %d", test.from, got, test.want)
		}
		l.mu.Unlock()
	}
}

// TestTheGroupsRefusalIsHandedOut: nobody would know otherwise why nothing is read.
func TestTheGroupsRefusalIsHandedOut(t *testing.T) {
	t.Parallel()
	s := newShelf(t, "t", 1)
	s.put(0, "one")
	c := s.member(&ledger{name: "one"}, func(c *ConsumerConfig) { c.SessionTimeout = 25 * time.Minute })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		fetched, err := c.Poll(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range fetched {
			var group *GroupError
			if !errors.As(f.Err, &group) || !errors.Is(f.Err, kerr.InvalidSessionTimeout) || !strings.Contains(f.Err.Error(), "group.session_timeout") || f.Topic != "" {
				t.Errorf("%s: %v, %d messages; want the group's refusal", f.TopicPartition, f.Err, len(f.Messages))
			}
			return
		}
	}
}
