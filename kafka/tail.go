package kafka

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

// TailConfig says what a Tail reads.
type TailConfig struct {
	Config
	Name string // of the relay, whose data topics are read where Topics is empty
	// Topics are names, or the ends of names of data topics: orders, public.orders.
	Topics []string
	// Also are data topics of other names, read where Topics is empty.
	Also     []string
	Only     *int32 // this partition of each topic; nil: all
	From     TailFrom
	UntilEnd bool // stop at what is committed when the reading begins
}

// TailFrom is where the reading of every partition begins: its beginning, its
// end, or an offset, brought within what the partition holds.
type TailFrom struct {
	End    bool
	Offset int64 // 0 without End is the beginning
}

// ErrEnough ends a Tail without error when its function returns it.
var ErrEnough = errors.New("enough")

// refreshEvery is how soon a following Tail finds new topics and partitions.
const refreshEvery = 3 * time.Second

// tail is one reading, without a group.
type tail struct {
	config TailConfig
	client *kgo.Client
	admin  *kadm.Client
	ends   map[TopicPartition]int64 // of the partitions that are read; only with UntilEnd are they ends
	left   int                      // partitions that have not reached their end
}

// Tail reads committed records, without a group, from all partitions of the
// topics, and hands each to record in the order of arrival. It returns nil at
// the ends (UntilEnd), when record returns ErrEnough, or when ctx ends; else
// record's error or its own. A message's bytes may be kept.
func Tail(ctx context.Context, c TailConfig, record func(Message) error) error {
	opts, err := c.options()
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(append(opts,
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // a partition's last record can be one
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchMaxWait(250*time.Millisecond),
	)...)
	if err != nil {
		return fmt.Errorf("kafka: %w", err)
	}
	defer client.Close()
	t := &tail{config: c, client: client, admin: kadm.NewClient(client), ends: map[TopicPartition]int64{}}
	if err := t.begin(ctx); err != nil {
		return ended(ctx, err)
	}
	return ended(ctx, t.follow(ctx, record))
}

func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil || errors.Is(err, ErrEnough) {
		return nil
	}
	return err
}

// begin finds the topics and where to start in each.
func (t *tail) begin(ctx context.Context) error {
	names, err := t.topics(ctx)
	if err != nil {
		return err
	}
	return t.consume(ctx, names, t.config.From)
}

// follow polls until the ends, or for ever.
func (t *tail) follow(ctx context.Context, record func(Message) error) error {
	refreshed := time.Now()
	for !t.config.UntilEnd || t.left > 0 {
		bounded, cancel := context.WithTimeout(ctx, refreshEvery)
		fetches := t.client.PollFetches(bounded)
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := t.deliver(fetches, record); err != nil {
			return err
		}
		if !t.config.UntilEnd && time.Since(refreshed) >= refreshEvery {
			if err := t.refresh(ctx); err != nil {
				return err
			}
			refreshed = time.Now()
		}
	}
	return nil
}

func (t *tail) deliver(fetches kgo.Fetches, record func(Message) error) error {
	var failed error
	fetches.EachError(func(topic string, partition int32, err error) {
		if failed == nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
			failed = fmt.Errorf("read %s/%d: %w", topic, partition, lost(err))
		}
	})
	if failed != nil {
		return failed
	}
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		tp := TopicPartition{p.Topic, p.Partition}
		for _, m := range messages(p.Records) {
			if failed != nil || t.passed(tp, m.Offset) {
				return
			}
			if !m.Control {
				failed = record(m)
			}
			t.reached(tp, m.Offset+1)
		}
	})
	return failed
}

// passed tells whether an offset lies at or after the end where reading stops.
func (t *tail) passed(tp TopicPartition, offset int64) bool {
	return t.config.UntilEnd && offset >= t.ends[tp]
}

func (t *tail) reached(tp TopicPartition, next int64) {
	if t.config.UntilEnd && next >= t.ends[tp] {
		t.left--
	}
}

// refresh adds topics and partitions that appeared since.
func (t *tail) refresh(ctx context.Context) error {
	names, err := t.topics(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		return nil // the brokers are away for a moment; reading goes on by itself
	}
	return t.consume(ctx, names, TailFrom{})
}

// consume begins to read partitions that are not read yet.
func (t *tail) consume(ctx context.Context, names []string, from TailFrom) error {
	if len(names) == 0 {
		return nil
	}
	starts, err := t.admin.ListStartOffsets(ctx, names...)
	if err != nil {
		return fmt.Errorf("list offsets: %w", err)
	}
	ends, err := t.admin.ListCommittedOffsets(ctx, names...)
	if err != nil {
		return fmt.Errorf("list offsets: %w", err)
	}
	add := map[string]map[int32]kgo.Offset{}
	var failed error
	ends.Each(func(end kadm.ListedOffset) {
		tp := TopicPartition{end.Topic, end.Partition}
		if t.config.Only != nil && *t.config.Only != end.Partition {
			return
		}
		start, _ := starts.Lookup(end.Topic, end.Partition)
		if err := errors.Join(start.Err, end.Err); err != nil {
			failed = fmt.Errorf("list offsets of %s: %w", tp, err)
			return
		}
		if _, known := t.ends[tp]; known {
			return
		}
		at := min(max(from.Offset, start.Offset), end.Offset)
		if from.End {
			at = end.Offset
		}
		t.ends[tp] = end.Offset
		if at < end.Offset {
			t.left++
		}
		if add[tp.Topic] == nil {
			add[tp.Topic] = map[int32]kgo.Offset{}
		}
		add[tp.Topic][tp.Partition] = kgo.NewOffset().At(at)
	})
	if failed != nil {
		return failed
	}
	t.client.AddConsumePartitions(add)
	return nil
}

// topics are the names to read: those asked for, or all data topics.
func (t *tail) topics(ctx context.Context) ([]string, error) {
	listed, err := t.admin.ListTopics(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the topics: %w", err)
	}
	all := listed.Names()
	data := slices.DeleteFunc(slices.Clone(all), func(name string) bool {
		return !IsDataTopic(t.config.Name, name) && !slices.Contains(t.config.Also, name)
	})
	if len(t.config.Topics) == 0 {
		return data, nil
	}
	var names []string
	for _, asked := range t.config.Topics {
		found, err := match(asked, all, data)
		if err != nil {
			return nil, err
		}
		names = append(names, found)
	}
	return names, nil
}

// match finds the topic that a person means.
func match(asked string, all, data []string) (string, error) {
	if slices.Contains(all, asked) {
		return asked, nil
	}
	var found []string
	for _, name := range data {
		if strings.HasSuffix(name, "."+asked) {
			found = append(found, name)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return "", fmt.Errorf("no topic %s; there are: %s", asked, some(data))
	}
	return "", fmt.Errorf("topic %s: which of %s?", asked, some(found))
}

// IsDataTopic tells whether a topic is one of <name>.<schema>.<table>: not the
// relay's other topics, whose names have one part less, and no replay.
func IsDataTopic(name, topic string) bool {
	rest, ok := strings.CutPrefix(topic, name+".")
	return ok && strings.Contains(rest, ".") && !strings.Contains(topic, ".replay.") && !strings.HasSuffix(topic, ".dead_letter")
}
