package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// ControlTopic is the topic that holds the commands to a processor's partitions
// and their results.
func ControlTopic(name string) string { return "tailrace." + name + ".control" }

// Control is the control topic of a processor: compacted, with as many partitions
// as the largest source topic. A record in partition n is about partition n of a
// source. Its methods may be called from several goroutines.
type Control struct {
	config      Config
	topic       string
	replication int16

	mu         sync.Mutex // guards the following
	client     *kgo.Client
	admin      *kadm.Client
	partitions int32 // of the topic, as last seen; 0: not looked at
}

// NewControl prepares the topic of the processor of that name; it dials when first
// used. replication -1 is the broker's default.
func NewControl(c Config, name string, replication int16) (*Control, error) {
	opts, err := c.options()
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(append(opts, kgo.RequiredAcks(kgo.AllISRAcks()), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		return nil, fmt.Errorf("kafka client of the control topic: %w", err)
	}
	return &Control{config: c, topic: ControlTopic(name), replication: replication, client: client, admin: kadm.NewClient(client)}, nil
}

// Close ends the client.
func (c *Control) Close() { c.client.Close() }

// Write returns when all records are acknowledged; each goes to the partition that
// it names. The topic is made, or grows, to as many partitions as the largest of
// sources, which are the topics of the processor.
func (c *Control) Write(ctx context.Context, sources []string, messages []Message) error {
	need := int32(1)
	for _, m := range messages {
		need = max(need, m.Partition+1)
	}
	if err := c.prepare(ctx, sources, need); err != nil {
		return fmt.Errorf("control topic %q: %w", c.topic, err)
	}
	records := make([]*kgo.Record, len(messages))
	for i, m := range messages {
		records[i] = &kgo.Record{Topic: c.topic, Partition: m.Partition, Key: m.Key, Value: m.Value}
	}
	if err := c.client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return fmt.Errorf("control topic %q: %w", c.topic, err)
	}
	return nil
}

// Ready makes sure that the topic has a partition for each message, and names it: they
// are written in a transaction of the caller's.
func (c *Control) Ready(ctx context.Context, sources []string, messages []Message) (topic string, err error) {
	need := int32(1)
	for _, m := range messages {
		need = max(need, m.Partition+1)
	}
	if err := c.prepare(ctx, sources, need); err != nil {
		return "", fmt.Errorf("control topic %q: %w", c.topic, err)
	}
	return c.topic, nil
}

// prepare makes the topic, or gives it more partitions.
func (c *Control) prepare(ctx context.Context, sources []string, need int32) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if need <= c.partitions {
		return nil
	}
	details, err := c.admin.ListTopics(ctx, append([]string{c.topic}, sources...)...)
	if err != nil {
		return err
	}
	for _, s := range sources {
		if t, ok := details[s]; ok && t.Err == nil {
			need = max(need, int32(len(t.Partitions)))
		}
	}
	have := details[c.topic]
	switch {
	case have.Err == nil && len(have.Partitions) >= int(need):
		c.partitions = int32(len(have.Partitions))
		return nil
	case have.Err == nil && len(have.Partitions) > 0:
		if _, err := c.admin.UpdatePartitions(ctx, int(need), c.topic); err != nil {
			return fmt.Errorf("give it %d partitions, as many as the largest source topic: %w", need, err)
		}
	case errors.Is(have.Err, kerr.UnknownTopicOrPartition) || have.Topic == "":
		str := func(s string) *string { return &s }
		resp, err := c.admin.CreateTopic(ctx, need, c.replication, map[string]*string{
			"cleanup.policy": str("compact"), "segment.ms": str("600000"), "min.cleanable.dirty.ratio": str("0.1"),
		}, c.topic)
		if err == nil {
			err = resp.Err
		}
		if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("create it with %d partitions: %w", need, err)
		}
	default:
		return have.Err
	}
	for c.partitions < need { // until the brokers know
		details, err := c.admin.ListTopics(ctx, c.topic)
		if err != nil {
			return err
		}
		if c.partitions = int32(len(details[c.topic].Partitions)); c.partitions >= need {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

// Ends is where each partition ends: every record that was acknowledged before the
// call stands before. It is empty while the topic does not exist.
func (c *Control) Ends(ctx context.Context) (map[int32]int64, error) {
	ends := map[int32]int64{}
	listed, err := c.admin.ListCommittedOffsets(ctx, c.topic)
	if err != nil {
		return nil, fmt.Errorf("control topic %q: %w", c.topic, err)
	}
	var failed error
	listed.Each(func(o kadm.ListedOffset) {
		if o.Err != nil && !errors.Is(o.Err, kerr.UnknownTopicOrPartition) {
			failed = fmt.Errorf("control topic %q: partition %d: %w", c.topic, o.Partition, o.Err)
		}
		if o.Err == nil && o.Partition >= 0 {
			ends[o.Partition] = o.Offset
		}
	})
	return ends, failed
}

// Follow hands every record of the topic to f, from the beginning, and then those
// that come, until ctx ends; ends of transactions too, as Control. A topic that does
// not exist is waited for.
func (c *Control) Follow(ctx context.Context, f func(Message)) error {
	opts, err := c.config.options()
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(append(opts,
		kgo.ConsumeTopics(c.topic), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.MetadataMaxAge(5*time.Second), kgo.FetchMaxWait(time.Second),
	)...)
	if err != nil {
		return fmt.Errorf("kafka client of the control topic: %w", err)
	}
	defer client.Close()
	for {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			for _, m := range messages(p.Records) {
				f(m)
			}
		})
	}
}
