package kafka

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/tailrace/tailrace/cdc"
)

// topicSlack is what a topic's max.message.bytes is above max_row: keys, headers
// and the batch around a record.
const topicSlack = 64 << 10

// noteBytes is how long a record of the relay's own topics can be: a version of a
// table with 1,600 columns, or how far a transaction over thousands of tables came.
const noteBytes = 4 << 20

// largestBatch is what a topic is made to take, in bytes.
func (c *PublisherConfig) largestBatch(topic string) int32 {
	size := c.MaxRecord + topicSlack
	if topic == ProgressTopic(c.Name) || topic == SchemaTopic(c.Name) {
		size = max(size, noteBytes)
	}
	return int32(min(size, 1<<30)) // the client's own limit
}

// refused is the error of a record that did not get into a topic. One that is too
// large for it would be so again: it asks for a person.
func (p *Publisher) refused(topic string, err error) error {
	if !errors.Is(err, kerr.MessageTooLarge) && !errors.Is(err, kerr.RecordListTooLarge) {
		return fmt.Errorf("kafka: write to %s: %w", topic, err)
	}
	need := p.config.largestBatch(topic)
	return &cdc.StopError{What: "a batch of records is larger than topic " + topic + " takes", Err: err,
		Next: fmt.Sprintf("kafka-configs.sh --alter --topic %s --add-config max.message.bytes=%d, or lower max_row; then relay resume", topic, need)}
}

// ProgressTopic is the topic that holds a relay's durable memory.
func ProgressTopic(name string) string { return "tailrace." + name + ".progress" }

// SchemaTopic is the topic that holds the history of a relay's tables.
func SchemaTopic(name string) string { return "tailrace." + name + ".schema" }

// pin is what the progress topic remembers of a data topic, so that a topic that
// was made anew or got more partitions is recognised: a row's key would go to
// another partition.
type pin struct {
	Version    int    `json:"version"` // 1
	TopicID    string `json:"topic_id"`
	Partitions int32  `json:"partitions"`
}

// prepare makes the relay's internal topics where they are missing.
func (p *Publisher) prepare(ctx context.Context) error {
	str := func(s string) *string { return &s }
	limit := str(strconv.Itoa(int(p.config.largestBatch(ProgressTopic(p.config.Name)))))
	progress := map[string]*string{
		"cleanup.policy": str("compact"), "segment.ms": str("600000"), "min.cleanable.dirty.ratio": str("0.1"), "max.message.bytes": limit,
	}
	if err := p.internal(ctx, p.config.memory(), progress); err != nil || p.config.Replay != nil {
		return err
	}
	return p.internal(ctx, SchemaTopic(p.config.Name), map[string]*string{"cleanup.policy": str("delete"), "retention.ms": str("-1"), "retention.bytes": str("-1"), "max.message.bytes": limit})
}

// internal makes one of the relay's own topics, which are read at once.
func (p *Publisher) internal(ctx context.Context, name string, config map[string]*string) error {
	if _, err := p.create(ctx, name, 1, config); err != nil {
		return err
	}
	_, err := p.await(ctx, name)
	return err
}

// Topic makes sure that a data topic exists and is the one that it was, and
// returns its partition count.
func (p *Publisher) Topic(ctx context.Context, name string) (int32, error) {
	name, wanted := p.config.target(name)
	if partitions, ok := p.seen[name]; ok {
		return partitions, nil
	}
	found, err := p.describe(ctx, name)
	known, pinned := p.pinned[name]
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		if pinned {
			return 0, &cdc.StopError{What: fmt.Sprintf("topic %q was deleted: its records are gone", name), Next: "begin anew under another name, which takes a new snapshot"}
		}
		if !p.config.CreateTopics {
			return 0, &cdc.StopError{What: fmt.Sprintf("topic %q does not exist, and kafka.topics.create is false", name), Next: "create it and start the relay again"}
		}
		max := strconv.Itoa(p.config.MaxRecord + topicSlack)
		config := map[string]*string{"max.message.bytes": &max}
		for k, v := range p.config.TopicConfig {
			config[k] = &v
		}
		if found, err = p.create(ctx, name, wanted, config); err != nil {
			return 0, err
		}
	}
	if err != nil {
		return 0, fmt.Errorf("kafka: look at topic %q: %w", name, err)
	}
	if pinned && known != found {
		what := fmt.Sprintf("topic %q has %d partitions, it had %d: keys would change their partition", name, found.Partitions, known.Partitions)
		if known.Partitions == found.Partitions {
			what = fmt.Sprintf("topic %q was deleted and made anew: its records are gone", name)
		}
		return 0, &cdc.StopError{What: what, Next: "begin anew under another name, which takes a new snapshot"}
	} else if !pinned {
		value, err := json.Marshal(found)
		if err != nil {
			return 0, fmt.Errorf("pin of topic %q: %w", name, err)
		}
		if err := p.Note(ctx, cdc.Note{Key: keyTopic + name, Value: value}); err != nil {
			return 0, err
		}
		p.pinned[name] = found
	}
	p.seen[name] = found.Partitions
	return found.Partitions, nil
}

func (p *Publisher) describe(ctx context.Context, name string) (pin, error) {
	topics, err := p.admin.ListTopics(ctx, name)
	if err != nil {
		return pin{}, err
	}
	t := topics[name]
	if t.Err != nil {
		return pin{}, t.Err
	}
	return pin{Version: 1, TopicID: t.ID.String(), Partitions: int32(len(t.Partitions))}, nil
}

// create makes a topic. Where the answer does not say what was made, as when it was
// there or the broker is old, it waits until the brokers know it; the producer, which
// tries again, waits for itself. (The client asks for metadata twice a second at most,
// which thousands of tables would feel.)
func (p *Publisher) create(ctx context.Context, name string, partitions int32, config map[string]*string) (pin, error) {
	resp, err := p.admin.CreateTopic(ctx, partitions, p.config.Replication, config, name)
	if err == nil {
		err = resp.Err
	}
	if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		return pin{}, fmt.Errorf("kafka: create topic %q: %w", name, err)
	}
	if err == nil && resp.ID != (kadm.TopicID{}) && resp.NumPartitions > 0 {
		return pin{Version: 1, TopicID: resp.ID.String(), Partitions: resp.NumPartitions}, nil
	}
	return p.await(ctx, name)
}

// await describes a topic as soon as the brokers know it.
func (p *Publisher) await(ctx context.Context, name string) (pin, error) {
	for {
		found, err := p.describe(ctx, name)
		if !errors.Is(err, kerr.UnknownTopicOrPartition) && !errors.Is(err, kerr.LeaderNotAvailable) {
			return found, err
		}
		select {
		case <-ctx.Done():
			return pin{}, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}
