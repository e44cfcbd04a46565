package processors

import (
	"context"
	"errors"
	"math"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/kafka"
)

// Rehearsal runs a pipeline on records that it is given one by one: decoding, steps,
// gate and commit are those of a Runtime, and there is no log, no group and no
// retry. It is not safe for concurrent use.
type Rehearsal struct {
	runtime *Runtime
	owners  map[kafka.TopicPartition]*owner
}

// NewRehearsal makes a Rehearsal. Of c it needs what a Runtime needs but Outbox and
// Letters: dead letters stay in the sink.
func NewRehearsal(c Config) *Rehearsal {
	return &Rehearsal{runtime: New(c), owners: map[kafka.TopicPartition]*owner{}}
}

// Take makes one record a batch of its own. A *cdc.StopError says that its
// partition would have stopped, before or behind it; any other error would have
// been tried again.
func (r *Rehearsal) Take(ctx context.Context, m kafka.Message) error {
	o := r.owners[m.TopicPartition]
	if o == nil {
		c := r.runtime.take(ctx, kafka.Assigned{TopicPartition: m.TopicPartition, Committed: -1, End: math.MaxInt64, Start: m.Offset})
		if c.err != nil {
			return c.err
		}
		o = r.runtime.owner(m.TopicPartition, c, func() {})
		r.owners[m.TopicPartition] = o
	}
	if o.stopped != nil {
		return o.stopped
	}
	err := o.commit(ctx, []kafka.Message{m}, attempts{count: 1})
	var stop *cdc.StopError
	if errors.As(err, &stop) {
		o.stopped = err
	}
	return err
}
