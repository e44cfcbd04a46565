package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Range are the offsets of one partition that hold records now: from First, and before
// End, which is as far as no transaction is open.
type Range struct {
	First, End int64
	TopicID    string
}

// Found is what a search came to. Offset is where to begin; Message is the first record
// that counts at or after it, nil for none before the end.
type Found struct {
	Offset  int64
	Message *Message
}

// Finder reads single records of partitions, by offset and without a group: one request
// for each look, so that a search in a partition of any size takes a few dozen. Its
// methods may be called from several goroutines.
//
// What lies between two records that count, and how it is passed:
//
//   - offsets that compaction has taken away: the brokers answer with what comes next;
//   - ends of transactions, and records of aborted ones: they are left out, and reading
//     goes on behind them;
//   - records of a transaction that is open: they stand behind End;
//   - records that do not count for who searches: the next one decides.
type Finder struct {
	client *kgo.Client
	admin  *kadm.Client

	mu      sync.Mutex // guards the following
	topics  kadm.TopicDetails
	looks   int64
	refresh bool
}

// NewFinder dials nothing.
func NewFinder(c Config) (*Finder, error) {
	opts, err := c.options()
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	return &Finder{client: client, admin: kadm.NewClient(client)}, nil
}

// Close ends the connections.
func (f *Finder) Close() { f.client.Close() }

// Looks is how many requests for records were sent.
func (f *Finder) Looks() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.looks
}

// Matching are the names of the topics that a member of a group with such a pattern
// reads.
func (f *Finder) Matching(ctx context.Context, pattern string) ([]string, error) {
	want, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	listed, err := f.admin.ListTopics(ctx)
	if err != nil {
		return nil, fmt.Errorf("kafka: list the topics: %w", err)
	}
	return slices.DeleteFunc(listed.Names(), func(name string) bool {
		return !want.MatchString(name) || slices.ContainsFunc(notData, func(not string) bool { return regexp.MustCompile(not).MatchString(name) })
	}), nil
}

// Ranges lists the partitions of topics. A topic that does not exist has none.
func (f *Finder) Ranges(ctx context.Context, topics ...string) (map[TopicPartition]Range, error) {
	fail := func(err error) (map[TopicPartition]Range, error) {
		return nil, fmt.Errorf("kafka: list the offsets of %v: %w", topics, err)
	}
	if len(topics) == 0 {
		return nil, nil
	}
	details, err := f.admin.ListTopics(ctx, topics...)
	if err != nil {
		return fail(err)
	}
	there := slices.DeleteFunc(slices.Sorted(maps.Keys(details)), func(t string) bool {
		return errors.Is(details[t].Err, kerr.UnknownTopicOrPartition)
	})
	if len(there) == 0 {
		return nil, nil
	}
	firsts, err := f.admin.ListStartOffsets(ctx, there...)
	if err != nil {
		return fail(err)
	}
	ends, err := f.admin.ListCommittedOffsets(ctx, there...)
	if err != nil {
		return fail(err)
	}
	f.mu.Lock()
	f.topics = details
	f.mu.Unlock()
	out := map[TopicPartition]Range{}
	var failed error
	ends.Each(func(end kadm.ListedOffset) {
		first, _ := firsts.Lookup(end.Topic, end.Partition)
		if err := errors.Join(details[end.Topic].Err, first.Err, end.Err); err != nil {
			failed = err
		}
		r := Range{First: first.Offset, End: end.Offset}
		if id := details[end.Topic].ID; id != [16]byte{} {
			r.TopicID = id.String()
		}
		out[TopicPartition{end.Topic, end.Partition}] = r
	})
	if failed != nil {
		return fail(failed)
	}
	return out, nil
}

// Since brings the beginnings of ranges up to the first record that was written at or
// after a time.
func (f *Finder) Since(ctx context.Context, ranges map[TopicPartition]Range, at time.Time) (map[TopicPartition]Range, error) {
	listed, err := f.admin.ListOffsetsAfterMilli(ctx, at.UnixMilli(), topicNames(ranges)...)
	if err != nil {
		return nil, fmt.Errorf("kafka: list the offsets of %s: %w", at.Format(time.RFC3339), err)
	}
	out := map[TopicPartition]Range{}
	for tp, r := range ranges {
		o, ok := listed.Lookup(tp.Topic, tp.Partition)
		if !ok || o.Err != nil {
			return nil, fmt.Errorf("kafka: list the offset of %s in %s: %w", at.Format(time.RFC3339), tp, o.Err)
		}
		r.First = min(max(r.First, o.Offset), r.End)
		out[tp] = r
	}
	return out, nil
}

func topicNames[V any](m map[TopicPartition]V) []string {
	var names []string
	for tp := range m {
		if !slices.Contains(names, tp.Topic) {
			names = append(names, tp.Topic)
		}
	}
	return names
}

// searchAtOnce is how many partitions are searched at the same time.
const searchAtOnce = 16

// each runs g for every partition, some at a time.
func each[V any](ctx context.Context, ranges map[TopicPartition]Range, g func(context.Context, TopicPartition, Range) (V, error)) (map[TopicPartition]V, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	out := map[TopicPartition]V{}
	var mu sync.Mutex // guards out
	slots := make(chan struct{}, searchAtOnce)
	var all sync.WaitGroup
	for tp, r := range ranges {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			v, err := g(ctx, tp, r)
			if err != nil {
				cancel(fmt.Errorf("%s: %w", tp, err))
				return
			}
			mu.Lock()
			defer mu.Unlock()
			out[tp] = v
		})
	}
	all.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return out, nil
}

// Search finds in each range an offset before which judge says that records stand before
// a place, and at which it says that one stands at or behind it. known is false for a
// record that does not count. The records have to be in runs that rise, each of which
// may be repeated whole: then everything at or behind the place stands at or after the
// offset, wherever the search has ended.
func (f *Finder) Search(ctx context.Context, ranges map[TopicPartition]Range, judge func(*Message) (reached, known bool)) (map[TopicPartition]Found, error) {
	return each(ctx, ranges, func(ctx context.Context, tp TopicPartition, r Range) (Found, error) {
		low, found := r.First, Found{Offset: r.End} // what is before low is before the place; what is at found is not
		for low < found.Offset {
			middle := low + (found.Offset-low)/2
			m, err := f.first(ctx, tp, middle, found.Offset, func(m *Message) bool { _, known := judge(m); return known })
			if err != nil {
				return found, err
			}
			if m == nil { // nothing counts from middle up to what was found
				found.Offset = middle
				continue
			}
			if reached, _ := judge(m); reached {
				found = Found{middle, m}
			} else {
				low = m.Offset + 1
			}
		}
		return found, nil
	})
}

// First finds the first record of each range that counts.
func (f *Finder) First(ctx context.Context, ranges map[TopicPartition]Range, counts func(*Message) bool) (map[TopicPartition]Found, error) {
	return each(ctx, ranges, func(ctx context.Context, tp TopicPartition, r Range) (Found, error) {
		m, err := f.first(ctx, tp, r.First, r.End, counts)
		if err != nil || m == nil {
			return Found{Offset: r.End}, err
		}
		return Found{m.Offset, m}, nil
	})
}

// Last finds the last record of each range that counts.
func (f *Finder) Last(ctx context.Context, ranges map[TopicPartition]Range, counts func(*Message) bool) (map[TopicPartition]Found, error) {
	return each(ctx, ranges, func(ctx context.Context, tp TopicPartition, r Range) (Found, error) {
		for step, high := int64(1), r.End; high > r.First; step *= 2 {
			var last *Message
			low := max(r.First, high-step)
			_, err := f.first(ctx, tp, low, high, func(m *Message) bool {
				if counts(m) {
					last = m
				}
				return false
			})
			if err != nil || last != nil {
				return Found{high, last}, err
			}
			high = low
		}
		return Found{Offset: r.First}, nil
	})
}

// fetchBytes is what a look asks for; the brokers give one batch at least.
const fetchBytes = 64 << 10

// first is the first committed record from an offset up to another that counts; nil for
// none.
func (f *Finder) first(ctx context.Context, tp TopicPartition, from, until int64, counts func(*Message) bool) (*Message, error) {
	empty := 0
	for wait := 50 * time.Millisecond; from < until; {
		p, next, err := f.look(ctx, tp, from)
		if err == nil && next <= from { // a leader that is new to it may be behind for a moment
			if empty++; empty > 20 {
				return nil, fmt.Errorf("the brokers hold nothing at offset %d, and say that the partition goes on to %d", from, until)
			}
			err = errNothing
		}
		if again(err) {
			f.mu.Lock()
			f.refresh = true
			f.mu.Unlock()
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(wait):
			}
			wait = min(2*wait, 2*time.Second)
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, m := range messages(p.Records) {
			if m.Offset >= until {
				return nil, nil
			}
			if m.Offset >= from && !m.Control && counts(&m) {
				return &m, nil
			}
		}
		from, empty = next, 0
	}
	return nil, nil
}

// again tells whether an error may pass by itself.
func again(err error) bool {
	return kerr.IsRetriable(err) || errors.Is(err, errNoLeader) || errors.Is(err, errNothing)
}

var (
	errNoLeader = errors.New("the partition has no leader")
	errNothing  = errors.New("the brokers answered with nothing")
)

// look is one request. next is the offset behind what it has brought.
func (f *Finder) look(ctx context.Context, tp TopicPartition, from int64) (p kgo.FetchPartition, next int64, err error) {
	id, leader, err := f.leader(ctx, tp)
	if err != nil {
		return p, from, err
	}
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.IsolationLevel = 100, 1, 64<<20, 1
	t, part := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
	t.Topic, t.TopicID = tp.Topic, id
	part.Partition, part.FetchOffset, part.PartitionMaxBytes, part.CurrentLeaderEpoch = tp.Partition, from, fetchBytes, -1
	t.Partitions = append(t.Partitions, part)
	req.Topics = append(req.Topics, t)
	answer, err := f.client.Broker(int(leader)).RetriableRequest(ctx, req)
	if err != nil {
		return p, from, err
	}
	got := answer.(*kmsg.FetchResponse)
	if err := kerr.ErrorForCode(got.ErrorCode); err != nil {
		return p, from, err
	}
	if len(got.Topics) != 1 || len(got.Topics[0].Partitions) != 1 {
		return p, from, fmt.Errorf("the broker answered for %d topics, and was asked for one", len(got.Topics))
	}
	rp := &got.Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(rp.ErrorCode); err != nil {
		return p, from, lost(err)
	}
	p, next = kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		KeepControlRecords: true, Offset: from, IsolationLevel: kgo.ReadCommitted(), Topic: tp.Topic, Partition: tp.Partition,
	}, rp, kgo.DefaultDecompressor(), nil)
	return p, next, p.Err
}

// leader is who to ask for a partition.
func (f *Finder) leader(ctx context.Context, tp TopicPartition) (id [16]byte, leader int32, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looks++
	if f.refresh {
		details, err := f.admin.ListTopics(ctx, slices.Sorted(maps.Keys(f.topics))...)
		if err != nil {
			return id, 0, err
		}
		f.topics, f.refresh = details, false
	}
	t := f.topics[tp.Topic]
	p, ok := t.Partitions[tp.Partition]
	if !ok || p.Leader < 0 {
		return id, 0, errNoLeader
	}
	return t.ID, p.Leader, nil
}
