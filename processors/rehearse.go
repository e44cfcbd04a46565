package processors

import (
	"context"
	"errors"
	"math"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/sinks"
)

// Rehearsal runs a pipeline on records that it is given: decoding, steps,
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

// Take makes records of one partition a batch of their own. A *cdc.StopError says
// that the partition would have stopped, before or behind one of them; any other
// error would have been tried again.
func (r *Rehearsal) Take(ctx context.Context, records ...sinks.Record) error {
	messages := make([]kafka.Message, len(records))
	for i, x := range records {
		m := &messages[i]
		m.TopicPartition, m.Offset, m.Time, m.Key, m.Value = kafka.TopicPartition{Topic: x.Topic, Partition: x.Partition}, x.Offset, x.Timestamp, x.Key, x.Value
		m.Headers = x.Headers
	}
	return r.take(ctx, messages)
}

func (r *Rehearsal) take(ctx context.Context, messages []kafka.Message) error {
	if len(messages) == 0 {
		return nil
	}
	tp := messages[0].TopicPartition
	o := r.owners[tp]
	if o == nil {
		c := r.runtime.take(ctx, kafka.Assigned{TopicPartition: tp, Committed: -1, End: math.MaxInt64, Start: messages[0].Offset})
		if c.err != nil {
			return c.err
		}
		o = r.runtime.owner(tp, c, func() {})
		if r.runtime.config.Stateful {
			if err := r.runtime.share(o, 0); err != nil {
				return err
			}
		}
		r.owners[tp] = o
	}
	if o.stopped != nil {
		return o.stopped
	}
	err := o.commit(ctx, messages, attempts{count: 1})
	var stop *cdc.StopError
	if errors.As(err, &stop) {
		o.stopped = err
	}
	return err
}

// Gated is what the gate by row made of the last record of a partition: applied when it
// let it pass, or when the pipeline has no such gate.
func (r *Rehearsal) Gated(topic string, partition int32) sinks.Outcome {
	o := r.owners[kafka.TopicPartition{Topic: topic, Partition: partition}]
	switch {
	case o != nil && o.gated[duplicate] > 0:
		return sinks.Duplicate
	case o != nil && o.gated[stale] > 0:
		return sinks.Stale
	}
	return sinks.Applied
}
