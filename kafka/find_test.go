package kafka

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tailrace/tailrace/internal/embedded/broker"
)

// place is the number that a record of these tests stands for; what has none does not
// count.
func place(m *Message) (int, bool) {
	for _, h := range m.Headers {
		if h.Name == "place" {
			n, err := strconv.Atoi(string(h.Value))
			return n, err == nil
		}
	}
	return 0, false
}

func atLeast(x int) func(*Message) (bool, bool) {
	return func(m *Message) (reached, known bool) {
		n, ok := place(m)
		return n >= x, ok
	}
}

func placed(name string, n int) *kgo.Record {
	r := &kgo.Record{Topic: name, Value: []byte("v")}
	if n >= 0 {
		r.Headers = []kgo.RecordHeader{{Key: "place", Value: fmt.Appendf(nil, "%d", n)}}
	}
	return r
}

// TestSearchInRandomLogs: runs that rise and are repeated, in transactions that are
// committed, aborted or open, between records that do not count, behind a beginning that
// was removed: a search ends at an offset behind which everything stands that is to come.
func TestSearchInRandomLogs(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	if n, err := strconv.ParseUint(os.Getenv("TAILRACE_SEED"), 10, 64); err == nil {
		seed = n
	}
	t.Logf("repeat with TAILRACE_SEED=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	c, admin := cluster(t)
	f, err := NewFinder(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	client := writer(t, c)
	for round := range 12 {
		name := fmt.Sprintf("t%d", round)
		topic(t, admin, 1, name)
		next, most := 0, 0 // of the places, which are even numbers
		for range rng.IntN(12) {
			if err := client.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			from := next
			for range 1 + rng.IntN(8) {
				n := 2 * next
				if rng.IntN(5) == 0 {
					n = -1
				} else {
					next++
				}
				if err := client.ProduceSync(t.Context(), placed(name, n)).FirstErr(); err != nil {
					t.Fatal(err)
				}
			}
			end := kgo.TryCommit
			if rng.IntN(3) == 0 {
				end = kgo.TryAbort
			}
			if err := client.EndTransaction(t.Context(), end); err != nil {
				t.Fatal(err)
			}
			if end == kgo.TryAbort {
				next = from
			}
			most = max(most, next)
			switch {
			case end == kgo.TryAbort:
			case rng.IntN(4) == 0: // it was not noted how far it came
				next = rng.IntN(next + 1)
			}
		}
		if next < most { // whoever repeats a run goes on to its end
			if err := client.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			for ; next < most; next++ {
				if err := client.ProduceSync(t.Context(), placed(name, 2*next)).FirstErr(); err != nil {
					t.Fatal(err)
				}
			}
			if err := client.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
				t.Fatal(err)
			}
		}
		var all []Message
		if err := Tail(t.Context(), TailConfig{Config: c, Topics: []string{name}, UntilEnd: true}, func(m Message) error {
			if _, ok := place(&m); ok {
				all = append(all, m)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		ranges, err := f.Ranges(t.Context(), name, "none")
		if err != nil {
			t.Fatal(err)
		}
		tp := TopicPartition{name, 0}
		for x := range 2*most + 2 {
			found, err := f.Search(t.Context(), ranges, atLeast(x))
			if err != nil {
				t.Fatalf("round %d, place %d: %v", round, x, err)
			}
			at := found[tp].Offset
			var before, behind *Message
			later, copies := map[int]bool{}, map[int]bool{}
			for i := range all {
				n, _ := place(&all[i])
				if all[i].Offset < at {
					before = &all[i]
					later[n] = true
				} else {
					if behind == nil {
						behind = &all[i]
					}
					copies[n] = true
				}
			}
			if before != nil {
				if n, _ := place(before); n >= x {
					t.Errorf("round %d: place %d: offset %d, and place %d stands before it, at %d", round, x, at, n, before.Offset)
				}
			}
			if (behind == nil) != (found[tp].Message == nil) || behind != nil && behind.Offset != found[tp].Message.Offset {
				t.Errorf("round %d: place %d: found %+v, want the record %+v", round, x, found[tp].Message, behind)
			}
			if behind != nil {
				if n, _ := place(behind); n < x {
					t.Errorf("round %d: place %d: offset %d, and what comes there first is place %d", round, x, at, n)
				}
			}
			for n := range later {
				if n >= x && !copies[n] {
					t.Errorf("round %d: place %d: offset %d leaves place %d out", round, x, at, n)
				}
			}
		}
		last, err := f.Last(t.Context(), ranges, func(m *Message) bool { _, ok := place(m); return ok })
		if err != nil {
			t.Fatal(err)
		}
		if got := last[tp].Message; (got == nil) != (len(all) == 0) || got != nil && got.Offset != all[len(all)-1].Offset {
			t.Errorf("round %d: the last is %+v, want that of %d", round, got, len(all))
		}
	}
}

// TestSearchStopsBeforeAnOpenTransaction: its records may never be.
func TestSearchStopsBeforeAnOpenTransaction(t *testing.T) {
	t.Parallel()
	c, admin := cluster(t)
	topic(t, admin, 2, "t")
	client := writer(t, c)
	transaction(t, client, "t", kgo.TryAbort, "never")
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := client.ProduceSync(t.Context(), placed("t", 1)).FirstErr(); err != nil {
		t.Fatal(err)
	}
	f, err := NewFinder(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	ranges, err := f.Ranges(t.Context(), "t")
	if err != nil {
		t.Fatal(err)
	}
	found, err := f.Search(t.Context(), ranges, atLeast(0))
	if err != nil {
		t.Fatal(err)
	}
	tp := TopicPartition{"t", 0}
	if found[tp].Message != nil || found[tp].Offset > ranges[tp].End {
		t.Errorf("found %+v in %+v", found[tp], ranges[tp])
	}
	since, err := f.Since(t.Context(), ranges, time.Now().Add(time.Hour))
	if err != nil || since[tp].First != ranges[tp].End {
		t.Errorf("in an hour: %+v, %v", since[tp], err)
	}
}

// TestGroupOffsetsAreSetWhereNobodyIsAMember.
func TestGroupOffsetsAreSetWhereNobodyIsAMember(t *testing.T) {
	t.Parallel()
	c, admin := cluster(t)
	topic(t, admin, 2, "t")
	g, err := NewGroup(c, "g")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	if m, err := g.Members(t.Context()); err != nil || len(m) != 0 {
		t.Fatalf("members of a group that is not there: %v, %v", m, err)
	}
	want := map[TopicPartition]Stored{{"t", 0}: {7, "a"}, {"t", 1}: {8, "b"}}
	if err := g.Set(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	got, err := g.Offsets(t.Context())
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	member, err := kgo.NewClient(kgo.SeedBrokers(c.Brokers...), kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"), kgo.InstanceID("one"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(member.Close)
	for {
		names, err := g.Members(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(names) == 1 {
			break
		}
	}
	if err := g.Set(t.Context(), want); err == nil {
		t.Error("the offsets of a group with a member were set")
	}
}

// TestSearchInALargeTopic finds a place in six partitions; TAILRACE_FIND_RECORDS says how
// many records they have. A search takes a look for each halving of a partition, and
// each look is one request, whatever the topic's size.
func TestSearchInALargeTopic(t *testing.T) {
	t.Parallel()
	records := 60_000
	if n, err := strconv.Atoi(os.Getenv("TAILRACE_FIND_RECORDS")); err == nil {
		records = n
	}
	b, err := broker.Start(broker.Config{DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	c := Config{Brokers: []string{b.Addr()}}
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MaxBufferedRecords(50_000), kgo.ProducerBatchCompression(kgo.Lz4Compression()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	const partitions = 6
	topic(t, kadm.NewClient(client), partitions, "t")
	value := make([]byte, 100)
	var failed atomic.Pointer[error]
	for n := range records {
		r := &kgo.Record{Topic: "t", Partition: int32(n % partitions), Value: value, Headers: []kgo.RecordHeader{{Key: "place", Value: strconv.AppendInt(nil, int64(n), 10)}}}
		client.Produce(t.Context(), r, func(_ *kgo.Record, err error) {
			if err != nil {
				failed.Store(&err)
			}
		})
	}
	if err := client.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := failed.Load(); err != nil {
		t.Fatal(*err)
	}
	f, err := NewFinder(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	ranges, err := f.Ranges(t.Context(), "t")
	if err != nil {
		t.Fatal(err)
	}
	most := int64(partitions * (bits.Len(uint(records/partitions)) + 1))
	for range 5 {
		x := rand.IntN(records)
		before, started := f.Looks(), time.Now()
		found, err := f.Search(t.Context(), ranges, atLeast(x))
		if err != nil {
			t.Fatal(err)
		}
		looks := f.Looks() - before
		t.Logf("place %d of %d records in %s, %d looks", x, records, time.Since(started).Round(time.Microsecond), looks)
		if looks > most {
			t.Errorf("%d looks, want at most %d", looks, most)
		}
		for tp, at := range found {
			if want := int64((x - int(tp.Partition) + partitions - 1) / partitions); at.Offset != want {
				t.Errorf("%s: offset %d, want %d", tp, at.Offset, want)
			}
		}
	}
}
