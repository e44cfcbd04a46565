package schema

import (
	"context"
	"errors"

	"github.com/tailrace/tailrace/cdc"
)

// Messages makes the plan of the records of logical messages.
func (e *Encoder) Messages(ctx context.Context, topic string) (cdc.MessagePlan, error) {
	return nil, errors.ErrUnsupported
}

// Transactions makes the plan of the records of transaction metadata.
func (e *Encoder) Transactions(ctx context.Context, topic string) (cdc.TransactionPlan, error) {
	return nil, errors.ErrUnsupported
}

// Heartbeats makes the plan of heartbeat records.
func (e *Encoder) Heartbeats(ctx context.Context, topic string) (cdc.HeartbeatPlan, error) {
	return nil, errors.ErrUnsupported
}
