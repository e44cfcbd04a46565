package kafka

import (
	"context"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tailrace/tailrace/cdc"
)

// OutputsConfig says how output topics are made.
type OutputsConfig struct {
	Create      bool
	Partitions  int32 // 0: as many as the source's topic has
	Replication int16 // -1: the broker's default
	Config      map[string]string
}

// Outputs knows the topics that a pipeline writes to. Safe for concurrent use.
type Outputs struct {
	config OutputsConfig
	admin  *kadm.Client

	mu    sync.Mutex // guards the following
	known map[string]int32
}

// NewOutputs prepares it; it dials when first used.
func NewOutputs(c Config, o OutputsConfig) (*Outputs, error) {
	opts, err := c.options()
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("kafka client of the outputs: %w", err)
	}
	return &Outputs{config: o, admin: kadm.NewClient(client), known: map[string]int32{}}, nil
}

// Close ends the client.
func (o *Outputs) Close() { o.admin.Close() }

// Partitions makes the topic where it is missing, with as many partitions as the
// configuration says, else like, and says how many it has.
func (o *Outputs) Partitions(ctx context.Context, topic string, like int32) (int32, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if n, ok := o.known[topic]; ok {
		return n, nil
	}
	n := o.config.Partitions
	if n == 0 {
		n = like
	}
	if !o.config.Create {
		found, err := o.admin.ListTopics(ctx, topic)
		if err != nil {
			return 0, fmt.Errorf("output topic %q: %w", topic, err)
		}
		t := found[topic]
		if !found.Has(topic) {
			return 0, &cdc.StopError{What: fmt.Sprintf("output topic %q does not exist, and sink.kafka.topics.create is false", topic), Next: "create it and restart"}
		}
		if t.Err != nil {
			return 0, fmt.Errorf("output topic %q: %w", topic, t.Err)
		}
		o.known[topic] = int32(len(t.Partitions))
		return o.known[topic], nil
	}
	made, err := prepareTopic(ctx, o.admin, topic, n, o.config.Replication, o.config.Config)
	if err != nil {
		return 0, fmt.Errorf("output topic %q: %w", topic, err)
	}
	o.known[topic] = made.Partitions
	return made.Partitions, nil
}
