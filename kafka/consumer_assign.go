package kafka

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func commitResult(failed *error) func(*kgo.Client, *kmsg.OffsetCommitRequest, *kmsg.OffsetCommitResponse, error) {
	return func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		if err != nil {
			*failed = err
			return
		}
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					*failed = fmt.Errorf("%s/%d: %w", t.Topic, p.Partition, err)
				}
			}
		}
	}
}

// assign asks the Owner where newly given partitions begin. The group's own
// offsets are no more than a hint to it.
func (c *Consumer) assign(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	<-c.joined
	c.unread.Store(nil)
	var given []Assigned
	for topic, parts := range offsets {
		for number, o := range parts {
			a := Assigned{TopicPartition: TopicPartition{topic, number}, Committed: o.EpochOffset().Offset}
			if a.Committed < 0 {
				a.Committed = -1
			}
			given = append(given, a)
		}
	}
	if len(given) == 0 {
		return offsets, nil
	}
	for wait := 250 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := c.describe(ctx, given)
		if err == nil {
			break
		}
		if ctx.Err() == nil {
			c.config.Log.Warn("the offsets of assigned partitions cannot be read; trying again", "error", err, "wait", wait)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
		}
	}
	starts, err := c.config.Owner.Assign(ctx, given)
	if err != nil {
		return nil, err
	}
	out := map[string]map[int32]kgo.Offset{}
	for tp, at := range starts {
		if out[tp.Topic] == nil {
			out[tp.Topic] = map[int32]kgo.Offset{}
		}
		out[tp.Topic][tp.Partition] = kgo.NewOffset().At(at).WithEpoch(-1)
	}
	return out, nil
}

// describe fills in what the brokers know of the partitions.
func (c *Consumer) describe(ctx context.Context, given []Assigned) error {
	topics := topicsOf(given)
	details, err := c.admin.ListTopics(ctx, topics...)
	if err != nil {
		return err
	}
	firsts, err := c.admin.ListStartOffsets(ctx, topics...)
	if err != nil {
		return err
	}
	ends, err := c.admin.ListCommittedOffsets(ctx, topics...)
	if err != nil {
		return err
	}
	stored, err := c.admin.FetchOffsets(ctx, c.config.Group)
	if err != nil {
		return err
	}
	starts := firsts
	var found map[TopicPartition]int64
	switch from := c.config.Start; {
	case from.Find != nil:
		parts := make([]TopicPartition, len(given))
		for i, a := range given {
			parts[i] = a.TopicPartition
		}
		if found, err = from.Find(ctx, parts); err != nil {
			return err
		}
	case !from.Time.IsZero():
		if starts, err = c.admin.ListOffsetsAfterMilli(ctx, from.Time.UnixMilli(), topics...); err != nil {
			return err
		}
	case from.Latest:
		starts = ends
	}
	for i := range given {
		a := &given[i]
		first, ok1 := firsts.Lookup(a.Topic, a.Partition)
		end, ok2 := ends.Lookup(a.Topic, a.Partition)
		start, ok3 := starts.Lookup(a.Topic, a.Partition)
		if !ok1 || !ok2 || !ok3 {
			return fmt.Errorf("%s: the brokers list no offsets", a.TopicPartition)
		}
		for _, err := range []error{first.Err, end.Err, start.Err, details[a.Topic].Err} {
			if err != nil {
				return fmt.Errorf("%s: %w", a.TopicPartition, err)
			}
		}
		a.First, a.End, a.Start, a.Of = first.Offset, end.Offset, start.Offset, int32(len(details[a.Topic].Partitions))
		if at, ok := found[a.TopicPartition]; ok {
			a.Start = max(at, a.First)
		}
		if o, ok := stored.Lookup(a.Topic, a.Partition); ok {
			a.Metadata = o.Metadata
		}
		if id := details[a.Topic].ID; id != [16]byte{} {
			a.TopicID = id.String()
		}
	}
	return nil
}

func topicsOf(given []Assigned) []string {
	var topics []string
	seen := map[string]bool{}
	for _, a := range given {
		if !seen[a.Topic] {
			seen[a.Topic] = true
			topics = append(topics, a.Topic)
		}
	}
	return topics
}

// Ends returns, for each partition, the offset that the next committed record
// will stand at or after. Partitions that the brokers do not answer for are
// left out.
func (c *Consumer) Ends(ctx context.Context, parts []TopicPartition) (map[TopicPartition]int64, error) {
	given := make([]Assigned, len(parts))
	for i, tp := range parts {
		given[i].TopicPartition = tp
	}
	if len(parts) == 0 {
		return nil, nil
	}
	listed, err := c.admin.ListCommittedOffsets(ctx, topicsOf(given)...)
	if err != nil {
		return nil, fmt.Errorf("list the ends of partitions: %w", err)
	}
	ends := map[TopicPartition]int64{}
	for _, tp := range parts {
		if o, ok := listed.Lookup(tp.Topic, tp.Partition); ok && o.Err == nil {
			ends[tp] = o.Offset
		}
	}
	return ends, nil
}

// Missing lists the configured topics that do not exist.
func (c *Consumer) Missing(ctx context.Context) ([]string, error) {
	if c.config.Pattern != "" {
		return nil, nil
	}
	details, err := c.admin.ListTopics(ctx, c.config.Topics...)
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	var missing []string
	for _, t := range c.config.Topics {
		if d, ok := details[t]; !ok || d.Err != nil {
			missing = append(missing, t)
		}
	}
	return missing, nil
}
