package kafka

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// StateTopic is the changelog of a pipeline's state.
func StateTopic(name string) string { return "tailrace." + name + ".state" }

// EntityTopic carries the changes of a pipeline whose entities have another key than
// its records.
func EntityTopic(name string) string { return "tailrace." + name + ".entity" }

// Changelog makes and reads the topic of a pipeline's state. Its methods may be
// called from several goroutines.
type Changelog struct {
	config      Config
	topic       string
	replication int16
	client      *kgo.Client // writes marks

	// MaxRecord is how many bytes a record may have in a topic that is made; 0: what the
	// brokers allow.
	MaxRecord int
	admin     *kadm.Client
}

// ChangelogInfo is what a changelog is.
type ChangelogInfo struct {
	ID              string // of the topic
	Partitions      int32
	DeleteRetention time.Duration // how long a deletion can still be read
}

// NewChangelog prepares a changelog; it dials when first used. replication -1 is the
// broker's default.
func NewChangelog(c Config, topic string, replication int16) (*Changelog, error) {
	opts, err := c.options()
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(append(opts, kgo.RequiredAcks(kgo.AllISRAcks()), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))...)
	if err != nil {
		return nil, fmt.Errorf("kafka client of the changelog: %w", err)
	}
	return &Changelog{config: c, topic: topic, replication: replication, client: client, admin: kadm.NewClient(client)}, nil
}

// Topic is the topic's name.
func (c *Changelog) Topic() string { return c.topic }

// Close ends the client.
func (c *Changelog) Close() { c.client.Close() }

// Prepare makes the topic where it is missing, with as many partitions, and says
// what it is.
func (c *Changelog) Prepare(ctx context.Context, partitions int32) (ChangelogInfo, error) {
	settings := map[string]string{"cleanup.policy": "compact", "segment.ms": "600000", "min.cleanable.dirty.ratio": "0.1"}
	if c.MaxRecord > 0 {
		settings["max.message.bytes"] = strconv.Itoa(c.MaxRecord + topicSlack)
	}
	info, err := prepareTopic(ctx, c.admin, c.topic, partitions, c.replication, settings)
	if err != nil {
		return info, fmt.Errorf("changelog %q: %w", c.topic, err)
	}
	info.DeleteRetention = 24 * time.Hour
	described, err := c.admin.DescribeTopicConfigs(ctx, c.topic)
	if err != nil {
		return info, fmt.Errorf("changelog %q: %w", c.topic, err)
	}
	for _, t := range described {
		for _, s := range t.Configs {
			if s.Key != "delete.retention.ms" || s.Value == nil {
				continue
			}
			if ms, err := strconv.ParseInt(*s.Value, 10, 64); err == nil {
				info.DeleteRetention = time.Duration(min(ms, 1<<40)) * time.Millisecond
			}
		}
	}
	return info, nil
}

// prepareTopic makes a topic where it is missing and waits until the brokers know
// it.
func prepareTopic(ctx context.Context, admin *kadm.Client, topic string, partitions int32, replication int16, settings map[string]string) (ChangelogInfo, error) {
	for {
		topics, err := admin.ListTopics(ctx, topic)
		if err != nil {
			return ChangelogInfo{}, err
		}
		t := topics[topic]
		switch {
		case t.Err == nil && len(t.Partitions) > 0:
			return ChangelogInfo{ID: t.ID.String(), Partitions: int32(len(t.Partitions))}, nil
		case t.Err != nil && !errors.Is(t.Err, kerr.UnknownTopicOrPartition) && !errors.Is(t.Err, kerr.LeaderNotAvailable):
			return ChangelogInfo{}, t.Err
		}
		config := map[string]*string{}
		for k, v := range settings {
			config[k] = &v
		}
		made, err := admin.CreateTopic(ctx, partitions, replication, config, topic)
		if err == nil {
			err = made.Err
		}
		if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			return ChangelogInfo{}, fmt.Errorf("create it with %d partitions: %w", partitions, err)
		}
		select {
		case <-ctx.Done():
			return ChangelogInfo{}, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// End is the offset at which a partition ends, whatever is committed of it.
func (c *Changelog) End(ctx context.Context, partition int32) (int64, error) {
	ends, err := c.admin.ListEndOffsets(ctx, c.topic)
	if err != nil {
		return 0, fmt.Errorf("changelog %q: %w", c.topic, err)
	}
	end, ok := ends.Lookup(c.topic, partition)
	if !ok {
		return 0, fmt.Errorf("changelog %q has no partition %d", c.topic, partition)
	}
	return end.Offset, end.Err
}

// keyMark is the key of the mark that a reader writes to find the end.
const keyMark = "reader"

// Read reads a partition, committed records only, from an offset to where it ends,
// and returns the offset behind that. take may keep key and value.
//
// Where the end is, a mark of the reader's own shows. An offset would not do: the
// brokers answer EndTxn before the changelog has the transaction's marker, so its
// last stable offset may still stand before what the group's offset says is done;
// and compaction removes what stands at the end. A committed reader reaches the mark
// only when every transaction before it has ended.
func (c *Changelog) Read(ctx context.Context, partition int32, from int64, take func(key, value []byte) error) (next int64, err error) {
	nonce := []byte(rand.Text())
	mark := &kgo.Record{Topic: c.topic, Partition: partition, Key: []byte(keyMark), Value: nonce}
	if err := c.client.ProduceSync(ctx, mark).FirstErr(); err != nil {
		return 0, fmt.Errorf("changelog %s/%d: %w", c.topic, partition, err)
	}
	opts, err := c.config.options()
	if err != nil {
		return 0, err
	}
	start := kgo.NewOffset().AtStart()
	if from > 0 {
		start = kgo.NewOffset().At(from)
	}
	client, err := kgo.NewClient(append(opts,
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{c.topic: {partition: start}}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchMaxBytes(8<<20),
	)...)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	for {
		fetches := client.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		for _, f := range fetches.Errors() {
			return 0, fmt.Errorf("changelog %s/%d: %w", c.topic, partition, lost(f.Err))
		}
		for r := range fetches.RecordsAll() {
			if string(r.Key) == keyMark {
				if bytes.Equal(r.Value, nonce) {
					return r.Offset + 1, nil
				}
				continue
			}
			if err := take(r.Key, r.Value); err != nil {
				return 0, fmt.Errorf("changelog %s/%d offset %d: %w", c.topic, partition, r.Offset, err)
			}
		}
	}
}

// Partitions is how many the topic has; 0 while there is none.
func (c *Changelog) Partitions(ctx context.Context) (int32, error) {
	listed, err := c.admin.ListTopics(ctx, c.topic)
	if err != nil {
		return 0, fmt.Errorf("topic %q: %w", c.topic, err)
	}
	t, ok := listed[c.topic]
	if !ok || errors.Is(t.Err, kerr.UnknownTopicOrPartition) {
		return 0, nil
	}
	if t.Err != nil {
		return 0, fmt.Errorf("topic %q: %w", c.topic, t.Err)
	}
	return int32(len(t.Partitions)), nil
}

// Committed hands what is committed of a partition to take, up to where it ends now, and
// writes nothing: what a transaction holds that is about to end may be missing. Without a
// value, a key is removed. take may keep both.
func (c *Changelog) Committed(ctx context.Context, partition int32, take func(key, value []byte) error) error {
	err := Tail(ctx, TailConfig{Config: c.config, Topics: []string{c.topic}, Only: &partition, UntilEnd: true}, func(m Message) error {
		if m.Control || string(m.Key) == keyMark {
			return nil
		}
		return take(m.Key, m.Value)
	})
	if err != nil {
		return fmt.Errorf("changelog %s/%d: %w", c.topic, partition, err)
	}
	return ctx.Err()
}
