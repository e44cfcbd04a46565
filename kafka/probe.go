package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Probe asks a cluster whether it answers, over connections of its own. Safe for
// concurrent use.
type Probe struct{ client *kgo.Client }

// NewProbe dials nothing.
func NewProbe(c Config) (*Probe, error) {
	opts, err := c.options()
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(append(opts, kgo.RequestRetries(0))...)
	if err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	return &Probe{client: client}, nil
}

// Ping returns nil when a broker answers.
func (p *Probe) Ping(ctx context.Context) error {
	err := p.client.Ping(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("no answer in time")
	}
	return err
}

// Close ends the connections.
func (p *Probe) Close() { p.client.Close() }
