package kafka

import (
	"bytes"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

func newLetters(t *testing.T, s *shelf) *DeadLetters {
	t.Helper()
	d, err := NewDeadLetters(Config{Brokers: []string{s.addr}, ClientID: "test"}, "dead", 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

func TestDeadLettersKeepPartitionTimestampAndBytes(t *testing.T) {
	t.Parallel()
	s := newShelf(t, "t", 5)
	d := newLetters(t, s)
	want := Message{TopicPartition: TopicPartition{"t", 3}, Time: time.UnixMilli(1234), Key: []byte{0, 255}, Value: []byte("v"), Headers: []MessageHeader{{Name: "h", Value: []byte{0}}, {Name: "h", Value: nil}}}
	tombstone := Message{TopicPartition: TopicPartition{"t", 3}, Time: time.UnixMilli(5678)}
	if err := d.Write(t.Context(), []string{"t"}, []Message{want, tombstone}); err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(s.addr), kgo.ConsumeTopics("dead"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var got []*kgo.Record
	for len(got) < 2 {
		got = append(got, client.PollFetches(t.Context()).Records()...)
	}
	r := got[0]
	if r.Partition != 3 || r.Timestamp.UnixMilli() != 1234 || !bytes.Equal(r.Key, want.Key) || string(r.Value) != "v" || len(r.Headers) != 2 || r.Headers[0].Key != "h" {
		t.Errorf("dead letter: got %+v", r)
	}
	if got[1].Key != nil || got[1].Value != nil {
		t.Errorf("nulls: got key %v, value %v", got[1].Key, got[1].Value)
	}
	details, err := kadm.NewClient(s.client).ListTopics(t.Context(), "dead")
	if err != nil || len(details["dead"].Partitions) != 5 {
		t.Errorf("partitions: got %d, %v; want as many as the source", len(details["dead"].Partitions), err)
	}
}

func TestDeadLetterTopicGrowsWithTheSource(t *testing.T) {
	t.Parallel()
	s := newShelf(t, "t", 2)
	admin := kadm.NewClient(s.client)
	if _, err := admin.CreateTopic(t.Context(), 1, 1, nil, "dead"); err != nil {
		t.Fatal(err)
	}
	d := newLetters(t, s)
	for _, partition := range []int32{0, 1} {
		if err := d.Write(t.Context(), []string{"t"}, []Message{{TopicPartition: TopicPartition{"t", partition}, Value: []byte("v")}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := admin.CreatePartitions(t.Context(), 4, "t"); err != nil {
		t.Fatal(err)
	}
	if err := d.Write(t.Context(), []string{"t"}, []Message{{TopicPartition: TopicPartition{"t", 5}, Value: []byte("v")}}); err != nil {
		t.Fatal(err)
	}
	details, err := admin.ListTopics(t.Context(), "dead")
	if err != nil || len(details["dead"].Partitions) != 6 {
		t.Errorf("partitions: got %d, %v; want 6", len(details["dead"].Partitions), err)
	}
}

func TestDeadLetterTopicTakesTheLargestRecordOfItsSource(t *testing.T) {
	t.Parallel()
	s := newShelf(t, "unused", 1)
	limit := "3000000"
	if _, err := kadm.NewClient(s.client).CreateTopic(t.Context(), 1, 1, map[string]*string{"max.message.bytes": &limit}, "t"); err != nil {
		t.Fatal(err)
	}
	d := newLetters(t, s)
	large := Message{TopicPartition: TopicPartition{"t", 0}, Value: bytes.Repeat([]byte{1, 2, 3}, 990_000), Headers: []MessageHeader{{Name: "dlq.message", Value: bytes.Repeat([]byte{'x'}, 100_000)}}}
	if err := d.Write(t.Context(), []string{"t"}, []Message{large, large}); err != nil {
		t.Fatal(err)
	}
}
