package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tailrace/tailrace/cdc"
)

// AdoptConfig is what taking over Debezium's topics needs.
type AdoptConfig struct {
	// Decode reads a record's value: of a table, of logical messages, or of
	// transaction metadata.
	Decode func(value []byte) (cdc.Adopted, error)
	// Also are data topics whose names do not begin with the relay's.
	Also []string
}

// firstWindow is how many records of a partition's end are read at first. One
// record tells everything but how many at the end share its LSN; rows of a COPY
// do, by the page.
const firstWindow = 256

// silence is how long brokers may take to send records that they have.
const silence = 2 * time.Second

// Tails reads the ends of the topics that a Debezium connector of the relay's name
// has written: data topics, logical messages and transaction metadata. Their
// partition counts are pinned as they are, with the next commit.
//
// It reads a window at the end of each partition and a larger one where the window
// does not show where the last run of equal records begins: because the run fills
// it, or because it holds nothing but tombstones and rows of an incremental
// snapshot, which say nothing of the stream. Memory does not depend on that.
func (p *Publisher) Tails(ctx context.Context) ([]cdc.Tail, error) {
	names, err := p.adoptable(ctx)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	for _, name := range names {
		if _, err := p.Topic(ctx, name); err != nil {
			return nil, err
		}
	}
	starts, err := p.admin.ListStartOffsets(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("kafka: list offsets: %w", err)
	}
	ends, err := p.admin.ListCommittedOffsets(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("kafka: list offsets: %w", err)
	}
	open := map[TopicPartition]*window{}
	var failed error
	ends.Each(func(end kadm.ListedOffset) {
		start, _ := starts.Lookup(end.Topic, end.Partition)
		if err := errors.Join(start.Err, end.Err); err != nil {
			failed = fmt.Errorf("kafka: list offsets of %s/%d: %w", end.Topic, end.Partition, err)
		} else if start.Offset < end.Offset {
			open[TopicPartition{end.Topic, end.Partition}] = &window{start: start.Offset, end: end.Offset}
		}
	})
	if failed != nil {
		return nil, failed
	}
	var tails []cdc.Tail
	for size := int64(firstWindow); len(open) > 0; size *= 8 {
		if err := p.readWindows(ctx, open, size); err != nil {
			return nil, err
		}
		for tp, w := range open {
			if w.at > w.start && !w.whole {
				continue
			}
			if w.events > 0 {
				tails = append(tails, cdc.Tail{Topic: tp.Topic, Partition: tp.Partition, Last: w.last, Events: w.events, Before: w.before})
			}
			delete(open, tp)
		}
	}
	return append(tails, keyless(tails)...), nil
}

// adoptable lists the topics to read.
func (p *Publisher) adoptable(ctx context.Context) ([]string, error) {
	listed, err := p.admin.ListTopics(ctx)
	if err != nil {
		return nil, fmt.Errorf("kafka: list the topics: %w", err)
	}
	name := p.config.Name
	return slices.DeleteFunc(listed.Names(), func(topic string) bool {
		return !IsDataTopic(name, topic) && topic != cdc.MessageTopic(name) && topic != cdc.TransactionTopic(name) && !slices.Contains(p.config.Adopt.Also, topic)
	}), nil
}

// window is what was read of one partition's end.
type window struct {
	start, end int64 // of the partition
	at         int64 // where the window begins
	reached    bool  // the end

	// The last run of records that have the same transaction and LSN.
	last   cdc.Adopted
	before cdc.Adopted // the record before it
	events int
	whole  bool // it begins inside of the window
}

func (w *window) add(a cdc.Adopted) {
	if w.events > 0 && w.last.XID == a.XID && w.last.LSN == a.LSN && w.last.Status == a.Status {
		w.last, w.events = a, w.events+1
		return
	}
	// Rows of a snapshot share one LSN and are not counted.
	w.last, w.before, w.whole, w.events = a, w.last, w.events > 0 || !a.Streamed(), 1
}

// keyless are the ends of the topics. Debezium leaves the partition of a record
// without key to chance, so those are one sequence over all partitions.
func keyless(tails []cdc.Tail) []cdc.Tail {
	topics := map[string]cdc.Tail{}
	for _, t := range tails {
		t.Partition = cdc.Keyless
		switch other, ok := topics[t.Topic]; {
		case ok && other.Last.XID == t.Last.XID && other.Last.LSN == t.Last.LSN:
			t.Events += other.Events
		case ok && later(other.Last, t.Last):
			continue
		}
		topics[t.Topic] = t
	}
	return slices.Collect(maps.Values(topics))
}

// later orders the ends of two partitions of one topic.
func later(a, b cdc.Adopted) bool {
	if a.After != b.After {
		return a.After > b.After
	}
	return a.LSN > b.LSN
}

// readWindows reads the last size records of each partition.
func (p *Publisher) readWindows(ctx context.Context, open map[TopicPartition]*window, size int64) error {
	opts, err := p.config.options()
	if err != nil {
		return err
	}
	at := map[string]map[int32]kgo.Offset{}
	for tp, w := range open {
		*w = window{start: w.start, end: w.end, at: max(w.start, w.end-size)}
		if at[tp.Topic] == nil {
			at[tp.Topic] = map[int32]kgo.Offset{}
		}
		at[tp.Topic][tp.Partition] = kgo.NewOffset().At(w.at)
	}
	client, err := kgo.NewClient(append(opts,
		kgo.ConsumePartitions(at),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // a partition's last record can be one
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchMaxWait(250*time.Millisecond),
	)...)
	if err != nil {
		return fmt.Errorf("kafka: %w", err)
	}
	defer client.Close()
	silent := 0
	for left := len(open); left > 0 && silent < 2; {
		bounded, cancel := context.WithTimeout(ctx, silence)
		fetches := client.PollFetches(bounded)
		cancel()
		if err := fetches.Err(); err != nil && (ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded)) {
			return fmt.Errorf("kafka: read what Debezium published: %w", err)
		}
		// A compacted partition need not have a record at its last offset. Where
		// brokers that answer have nothing more, that is its end.
		if silent++; fetches.NumRecords() > 0 {
			silent = 0
		} else if _, err := p.admin.ListEndOffsets(ctx, slices.Collect(maps.Keys(at))...); err != nil {
			return fmt.Errorf("kafka: list offsets: %w", err)
		}
		var failed error
		fetches.EachPartition(func(f kgo.FetchTopicPartition) {
			w := open[TopicPartition{f.Topic, f.Partition}]
			for _, r := range f.Records {
				if w.reached || failed != nil {
					return
				}
				failed = p.see(w, r)
				if r.Offset+1 >= w.end {
					w.reached = true
					left--
				}
			}
		})
		if failed != nil {
			return failed
		}
	}
	return nil
}

// see takes one record into its partition's window.
func (p *Publisher) see(w *window, r *kgo.Record) error {
	if r.Attrs.IsControl() || r.Value == nil || r.Offset >= w.end {
		return nil
	}
	a, err := p.config.Adopt.Decode(r.Value)
	if err != nil {
		return &cdc.StopError{What: "a record of Debezium's cannot be read", Pos: fmt.Sprintf("%s/%d offset %d", r.Topic, r.Partition, r.Offset), Err: err,
			Next: "adopt only topics that a Debezium PostgreSQL connector with Avro and this registry wrote"}
	}
	if a.Snapshot == "incremental" {
		return nil
	}
	w.add(a)
	return nil
}
