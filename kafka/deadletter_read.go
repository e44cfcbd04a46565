package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// nearOffsets is how far two records may stand apart and be read in one go.
const nearOffsets = 1000

// At reads the records of one partition at the given offsets, which rise, and hands
// those that are there to f.
func (d *DeadLetters) At(ctx context.Context, partition int32, offsets []int64, f func(Message) error) error {
	wanted := make(map[int64]bool, len(offsets))
	for _, o := range offsets {
		wanted[o] = true
	}
	for len(offsets) > 0 {
		n := 1
		for n < len(offsets) && offsets[n]-offsets[n-1] <= nearOffsets {
			n++
		}
		err := d.Read(ctx, partition, offsets[0], offsets[n-1]+1, func(m Message) error {
			if !wanted[m.Offset] {
				return nil
			}
			return f(m)
		})
		if err != nil {
			return err
		}
		offsets = offsets[n:]
	}
	return nil
}

// Read hands the committed records of one partition from an offset up to another to
// f; until -1 is the partition's end when the reading begins. Offsets that the
// partition does not hold are left out.
func (d *DeadLetters) Read(ctx context.Context, partition int32, from, until int64, f func(Message) error) error {
	wrap := func(err error) error { return fmt.Errorf("dead-letter topic %q: %w", d.topic, err) }
	starts, err := d.admin.ListStartOffsets(ctx, d.topic)
	if err != nil {
		return wrap(err)
	}
	ends, err := d.admin.ListCommittedOffsets(ctx, d.topic)
	if err != nil {
		return wrap(err)
	}
	find := func(l kadm.ListedOffsets) (int64, error) {
		o, ok := l.Lookup(d.topic, partition)
		if !ok {
			return 0, fmt.Errorf("it has no partition %d", partition)
		}
		return o.Offset, o.Err
	}
	start, err := find(starts)
	if err != nil {
		return wrap(err)
	}
	end, err := find(ends)
	if err != nil {
		return wrap(err)
	}
	if until >= 0 {
		end = min(end, until)
	}
	from = max(from, start)
	if from >= end {
		return nil
	}
	opts, err := d.config.options()
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(append(opts,
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{d.topic: {partition: kgo.NewOffset().At(from)}}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.FetchMaxWait(250*time.Millisecond),
	)...)
	if err != nil {
		return wrap(err)
	}
	defer client.Close()
	for {
		fetches := client.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := fetches.Err0(); err != nil {
			return wrap(err)
		}
		for _, m := range messages(fetches.Records()) {
			if m.Offset < end && !m.Control {
				if err := f(m); err != nil {
					return err
				}
			}
			if m.Offset+1 >= end {
				return nil
			}
		}
	}
}

// All hands every committed record of the topic to f, up to where it ends now; none
// while there is no topic.
func (d *DeadLetters) All(ctx context.Context, f func(Message) error) error {
	return all(ctx, d.config, d.admin, d.topic, f)
}

// All hands every committed record of the topic to f, up to where it ends now; none
// while there is no topic.
func (c *Control) All(ctx context.Context, f func(Message) error) error {
	return all(ctx, c.config, c.admin, c.topic, f)
}

func all(ctx context.Context, c Config, admin *kadm.Client, topic string, f func(Message) error) error {
	listed, err := admin.ListTopics(ctx, topic)
	if err != nil {
		return fmt.Errorf("topic %q: %w", topic, err)
	}
	if t, ok := listed[topic]; !ok || errors.Is(t.Err, kerr.UnknownTopicOrPartition) {
		return nil
	}
	if err := Tail(ctx, TailConfig{Config: c, Topics: []string{topic}, UntilEnd: true}, f); err != nil {
		return fmt.Errorf("topic %q: %w", topic, err)
	}
	return ctx.Err()
}
