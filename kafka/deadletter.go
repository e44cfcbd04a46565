package kafka

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// DeadLetters writes to a dead-letter topic: each record to the partition that
// it came from, with its own timestamp, idempotently and acknowledged by all
// replicas. Its methods may be called from several goroutines; the order of
// records holds within one partition when one goroutine writes it.
type DeadLetters struct {
	config      Config
	topic       string
	replication int16
	admin       *kadm.Client

	mu         sync.Mutex // guards the following
	client     *kgo.Client
	partitions int32 // of the topic, as last seen; 0: not looked at
}

// deadLetterSlack is what a dead letter may be longer than its record: the dlq
// headers.
const deadLetterSlack = 256 << 10

// NewDeadLetters prepares a writer; it dials when first used. replication -1 is
// the broker's default.
func NewDeadLetters(c Config, topic string, replication int16) (*DeadLetters, error) {
	opts, err := c.options()
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("kafka client of dead letters: %w", err)
	}
	return &DeadLetters{config: c, topic: topic, replication: replication, admin: kadm.NewClient(client)}, nil
}

// Close ends the clients.
func (d *DeadLetters) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.client != nil {
		d.client.Close()
	}
	d.admin.Close()
}

// Write returns when all records are acknowledged. After an error some of them
// may be; writing them again is harmless but for the repeat. sources are the
// topics that records come from: the dead-letter topic is made with as many
// partitions as the largest of them, and grows with it.
func (d *DeadLetters) Write(ctx context.Context, sources []string, letters []Message) error {
	client, err := d.ready(ctx, sources, letters)
	if err != nil {
		return fmt.Errorf("dead-letter topic %q: %w", d.topic, err)
	}
	records := make([]*kgo.Record, len(letters))
	for i, m := range letters {
		r := &kgo.Record{Topic: d.topic, Partition: m.Partition, Timestamp: m.Time, Key: m.Key, Value: m.Value}
		for _, h := range m.Headers {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Name, Value: h.Value})
		}
		records[i] = r
	}
	if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		if errors.Is(err, kerr.MessageTooLarge) {
			err = fmt.Errorf("%w; raise the topic's max.message.bytes above that of the source topics", err)
			d.forget()
		}
		return fmt.Errorf("dead-letter topic %q: %w", d.topic, err)
	}
	return nil
}

// Ready makes sure that the topic has a partition for each letter, and names it: the
// letters go there in a transaction of the caller's.
func (d *DeadLetters) Ready(ctx context.Context, sources []string, letters []Message) (topic string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	need := int32(1)
	for _, m := range letters {
		need = max(need, m.Partition+1)
	}
	if need <= d.partitions {
		return d.topic, nil
	}
	if _, err := d.prepare(ctx, sources, need); err != nil {
		return "", fmt.Errorf("dead-letter topic %q: %w", d.topic, err)
	}
	return d.topic, nil
}

// forget makes the next Write look at the topic again.
func (d *DeadLetters) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.partitions = 0
}

// ready returns a producer for a topic that has a partition for each letter.
func (d *DeadLetters) ready(ctx context.Context, sources []string, letters []Message) (*kgo.Client, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	need := int32(1)
	for _, m := range letters {
		need = max(need, m.Partition+1)
	}
	if d.client != nil && need <= d.partitions {
		return d.client, nil
	}
	limit, err := d.prepare(ctx, sources, need)
	if err != nil {
		return nil, err
	}
	if d.client != nil {
		d.client.Close()
		d.client = nil
	}
	opts, err := d.config.options()
	if err != nil {
		return nil, err
	}
	d.client, err = kgo.NewClient(append(opts,
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchMaxBytes(int32(min(limit, 64<<20))),
		kgo.BrokerMaxWriteBytes(int32(max(100<<20, min(limit, 64<<20)+1<<20))),
		kgo.ProducerBatchCompression(kgo.Lz4Compression(), kgo.NoCompression()),
	)...)
	return d.client, err
}

// prepare makes the topic, or gives it more partitions, and returns its
// max.message.bytes.
func (d *DeadLetters) prepare(ctx context.Context, sources []string, need int32) (limit int, err error) {
	details, err := d.admin.ListTopics(ctx, append([]string{d.topic}, sources...)...)
	if err != nil {
		return 0, err
	}
	limits, err := d.limits(ctx, append([]string{d.topic}, sources...))
	if err != nil {
		return 0, err
	}
	largest := 1 << 20
	for _, s := range sources {
		if t, ok := details[s]; ok && t.Err == nil {
			need = max(need, int32(len(t.Partitions)))
			largest = max(largest, limits[s])
		}
	}
	have := details[d.topic]
	switch {
	case have.Err == nil && len(have.Partitions) > 0:
		d.partitions, limit = int32(len(have.Partitions)), limits[d.topic]
		if d.partitions < need {
			if _, err := d.admin.UpdatePartitions(ctx, int(need), d.topic); err != nil {
				return 0, fmt.Errorf("give it %d partitions, as many as the largest source topic: %w", need, err)
			}
		}
	case errors.Is(have.Err, kerr.UnknownTopicOrPartition) || have.Topic == "":
		limit = largest + deadLetterSlack
		text := strconv.Itoa(limit)
		resp, err := d.admin.CreateTopic(ctx, need, d.replication, map[string]*string{"max.message.bytes": &text}, d.topic)
		if err == nil {
			err = resp.Err
		}
		if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			return 0, fmt.Errorf("create it with %d partitions: %w", need, err)
		}
	default:
		return 0, have.Err
	}
	for d.partitions < need { // until the brokers know
		details, err := d.admin.ListTopics(ctx, d.topic)
		if err != nil {
			return 0, err
		}
		if d.partitions = int32(len(details[d.topic].Partitions)); d.partitions >= need {
			break
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return limit, nil
}

// limits reads max.message.bytes of topics; a topic that cannot be read counts
// as having the brokers' default.
func (d *DeadLetters) limits(ctx context.Context, topics []string) (map[string]int, error) {
	limits := map[string]int{}
	for _, t := range topics {
		limits[t] = 1 << 20
	}
	described, err := d.admin.DescribeTopicConfigs(ctx, topics...)
	if err != nil {
		return nil, err
	}
	for _, t := range described {
		for _, c := range t.Configs {
			if c.Key != "max.message.bytes" || c.Value == nil {
				continue
			}
			if n, err := strconv.Atoi(*c.Value); err == nil {
				limits[t.Name] = n
			}
		}
	}
	return limits, nil
}
