package kafka

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func (s *shelf) session(l *ledger, id string) *Session {
	s.t.Helper()
	l.owned = map[TopicPartition]Assigned{}
	made, err := NewSession(SessionConfig{
		ConsumerConfig: ConsumerConfig{Config: Config{Brokers: []string{s.addr}, ClientID: "test"}, Group: "g", SessionTimeout: 3 * time.Second, Topics: []string{"t"}, FetchBytes: 1 << 20,
			Owner: l, Log: slog.New(slog.DiscardHandler)},
		TransactionalID: id, Compression: "none", MaxRecord: 1 << 20,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(made.Close)
	return made
}

// leaveOpen stores an offset of t/0 for group g in a transaction of id that nobody ends.
func (s *shelf) leaveOpen(id string) {
	s.t.Helper()
	ctx := s.t.Context()
	client, err := kgo.NewClient(kgo.SeedBrokers(s.addr), kgo.TransactionalID(id), kgo.TransactionTimeout(time.Minute))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(client.Close)
	number, epoch, err := client.ProducerID(ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	add := kmsg.NewPtrAddOffsetsToTxnRequest()
	add.TransactionalID, add.ProducerID, add.ProducerEpoch, add.Group = id, number, epoch, "g"
	added, err := add.RequestWith(ctx, client)
	if err == nil {
		err = kerr.ErrorForCode(added.ErrorCode)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	put := kmsg.NewPtrTxnOffsetCommitRequest()
	put.TransactionalID, put.ProducerID, put.ProducerEpoch, put.Group = id, number, epoch, "g"
	partition := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	partition.Offset = 1
	topic := kmsg.NewTxnOffsetCommitRequestTopic()
	listed, err := kadm.NewClient(client).ListTopics(ctx, "t")
	if err != nil {
		s.t.Fatal(err)
	}
	topic.Topic, topic.TopicID, topic.Partitions = "t", listed["t"].ID, []kmsg.TxnOffsetCommitRequestTopicPartition{partition}
	put.Topics = []kmsg.TxnOffsetCommitRequestTopic{topic}
	stored, err := put.RequestWith(ctx, client)
	if err == nil {
		err = kerr.ErrorForCode(stored.Topics[0].Partitions[0].ErrorCode)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// A transaction of the session's own id that the brokers keep open for too long: nothing
// is read before it ends, the session says so, and the next one ends it.
func TestOffsetsKeptBackForTooLong(t *testing.T) {
	s := newShelf(t, "t", 1)
	s.put(0, "a", "b")
	s.leaveOpen("mine")

	l := &ledger{name: "first"}
	first := s.session(l, "mine")
	first.unreadAtMost = 2 * time.Second
	if err := first.Join(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var err error
	for err == nil {
		short, done := context.WithTimeout(ctx, 100*time.Millisecond)
		_, err = first.PollSome(short, 10)
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			err = nil
		}
		done()
	}
	if !errors.Is(err, ErrUnread) || l.count() != 0 {
		t.Fatalf("%v, with %d partitions", err, l.count())
	}
	first.Close()

	next := &ledger{name: "next"}
	second := s.session(next, "mine")
	if err := second.Claim(ctx); err != nil {
		t.Fatal(err)
	}
	if err := second.Join(); err != nil {
		t.Fatal(err)
	}
	got := 0
	for got < 2 {
		fetched, err := second.PollSome(ctx, 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range fetched {
			got += len(f.Messages)
		}
	}
	if a := next.owned[TopicPartition{"t", 0}]; a.Committed != -1 {
		t.Errorf("it begins at %d, which was never committed", a.Committed)
	}
}

// A record that is refused is named by its place in the transaction, whichever Send it
// was part of, and the next transaction has nothing of this one.
func TestARefusedRecordIsNamed(t *testing.T) {
	s := newShelf(t, "t", 1)
	s.put(0, "a", "b")
	first := s.session(&ledger{name: "first"}, "mine")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := first.Join(); err != nil {
		t.Fatal(err)
	}
	for got := 0; got < 2; {
		fetched, err := first.PollSome(ctx, 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range fetched {
			got += len(f.Messages)
		}
	}
	small := func(text string) Message {
		return Message{TopicPartition: TopicPartition{"t", 0}, Value: []byte(text), Headers: []MessageHeader{{Name: "h", Value: []byte(text)}}}
	}
	large := Message{TopicPartition: TopicPartition{"t", 0}, Value: make([]byte, 3<<20)}
	for _, where := range []int{0, 4} {
		if err := first.Begin(ctx); err != nil {
			t.Fatal(err)
		}
		all := []Message{small("1"), small("2"), small("3"), small("4"), small("5")}
		all[where] = large
		first.Send(all[:3])
		first.Send(all[3:])
		var refused *SendError
		if _, err := first.Flush(ctx); !errors.As(err, &refused) || !TooLarge(err) || refused.Index != where {
			t.Fatalf("%v, want that record %d is too large", err, where)
		}
		if err := first.Abort(ctx); err != nil {
			t.Fatal(err)
		}
	}
	var end int64
	for i := range 3 {
		if err := first.Begin(ctx); err != nil {
			t.Fatal(err)
		}
		first.Send([]Message{small("x"), small("y")})
		first.Send([]Message{small("z")})
		ends, err := first.Flush(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if at := ends[TopicPartition{"t", 0}]; at < end+3 {
			t.Errorf("transaction %d ends at %d, the one before at %d", i, at, end)
		} else {
			end = at
		}
		if ok, err := first.End(ctx, map[TopicPartition]Stored{{"t", 0}: {Offset: 2}}); err != nil || !ok {
			t.Fatal(ok, err)
		}
	}
}
