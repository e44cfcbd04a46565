package processors

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/sinks"
)

// worthwhile tells whether there is something to commit, beyond the ends of other
// transactions.
func (rd *round) worthwhile() bool {
	worth := len(rd.records) > 0
	for _, o := range rd.tasks {
		worth = worth || o.Dirty()
	}
	for _, p := range rd.parts {
		worth = worth || !p.control || p.jump
	}
	if worth {
		return true
	}
	for _, p := range rd.parts {
		if p.owner.position() == p.owner.expect {
			p.owner.moved = rd.started
		}
		p.owner.passed(p.next) // stored with the next batch, or by settle
	}
	return false
}

// commitRound is one Kafka transaction.
func (m *member) commitRound(ctx context.Context, rd *round) error {
	r := m.runtime
	for t, overlay := range rd.tasks {
		for _, e := range overlay.Changes() {
			rd.add(kafka.Message{TopicPartition: kafka.TopicPartition{Topic: r.config.InLog.Changelog.Topic(), Partition: t.number}, Time: rd.started, Key: e.Key.Append(nil), Value: e.Value}, source{})
		}
	}
	if err := m.fault("changelog"); err != nil {
		return err
	}
	if err := m.session.Begin(ctx); err != nil {
		return fmt.Errorf("%w: %w", errRestart, err)
	}
	if !m.careful {
		m.session.Send(rd.records)
	}
	if err := m.fault("produce"); err != nil {
		return err
	}
	// From here on, the end of the process's context does not end the transaction: it
	// takes as long as the brokers let it.
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitWithin)
	defer cancel()
	ends, err := m.flush(bounded, rd)
	if err != nil {
		return m.aborted(bounded, rd, err)
	}
	offsets := map[kafka.TopicPartition]kafka.Stored{}
	for _, p := range rd.parts {
		offsets[p.owner.tp] = kafka.Stored{Offset: p.next, Metadata: p.owner.metadata(p.stretch(), ends, r.config.InLog.Changelog.Topic())}
	}
	if err := m.fault("offsets"); err != nil {
		return err
	}
	committed, err := m.session.End(bounded, offsets)
	if err == nil {
		err = m.fault("end")
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errRestart, err)
	}
	m.adapt(rd, committed)
	if !committed {
		m.rewound(rd)
		return nil
	}
	m.applied(rd, ends)
	return nil
}

// flush waits until the records are acknowledged.
func (m *member) flush(ctx context.Context, rd *round) (map[kafka.TopicPartition]int64, error) {
	if !m.careful {
		return m.session.Flush(ctx)
	}
	var ends map[kafka.TopicPartition]int64
	for i := range rd.records {
		m.session.Send(rd.records[i : i+1])
		var err error
		if ends, err = m.session.Flush(ctx); err != nil {
			var refused *kafka.SendError
			if errors.As(err, &refused) {
				refused.Index = i
			}
			return nil, err
		}
	}
	return ends, nil
}

// commitWithin bounds the end of a transaction; the brokers end it themselves
// before.
const commitWithin = 30 * time.Second

// aborted ends a transaction of which a record was not taken. One that is too large
// is its message's own fault; anything else may pass by itself.
func (m *member) aborted(ctx context.Context, rd *round, cause error) error {
	var refused *kafka.SendError
	if !errors.As(cause, &refused) {
		return fmt.Errorf("%w: %w", errRestart, cause)
	}
	if err := m.session.Abort(ctx); err != nil {
		return fmt.Errorf("%w: %w", errRestart, errors.Join(cause, err))
	}
	m.rewound(rd)
	large := kafka.TooLarge(refused.Err)
	if large && !m.careful {
		m.careful = true
		return nil
	}
	if from := rd.of[refused.Index]; large && from.message != nil {
		from.part.owner.blamed[from.message.Offset] = &sinks.RecordError{Class: sinks.ClassTooLarge, Reason: "what the record becomes is larger than the output topic takes: " + refused.Err.Error(),
			Next: "raise the topic's max.message.bytes"}
		return nil
	}
	for _, p := range rd.parts {
		m.holdBack(p.owner, cause)
	}
	return nil
}

// rewound forgets a round that was aborted: the client reads again from the offsets
// that are committed, and so does each owner.
func (m *member) rewound(rd *round) {
	for _, p := range rd.parts {
		p.owner.passed(p.owner.expect)
		if m.owns(p.owner) {
			m.session.Seek(p.owner.tp, p.owner.expect)
		}
	}
	m.runtime.log.Debug("a transaction was aborted; its records are read again", "partitions", len(rd.parts))
}

// applied lets memory follow a durable round.
func (m *member) applied(rd *round, ends map[kafka.TopicPartition]int64) {
	now := time.Now()
	m.careful = false
	for t, overlay := range rd.tasks {
		t.replica.Memory.Apply(overlay.Changes())
		t.replica.As = now
		if end := ends[kafka.TopicPartition{Topic: m.runtime.config.InLog.Changelog.Topic(), Partition: t.number}]; end > 0 {
			t.replica.Next = end
		}
	}
	for _, p := range rd.parts {
		o := p.owner
		o.expect, o.first, o.moved, o.stretch = p.next, false, now, p.stretch()
		o.passed(p.next)
		if p.jump {
			m.session.Seek(o.tp, p.next)
		}
		if o.tries.count > 0 {
			o.recovered(o.tries)
			o.tries = attempts{}
		}
		clear(o.blamed)
		if p.plan == nil {
			continue
		}
		o.parked = p.plan.next
		o.faults.note(o.tp.Topic, p.judged)
		o.metrics.committed(p.plan, sinks.Result{Outcomes: make([]sinks.Outcome, len(p.plan.batch.Changes))})
		o.mu.Lock()
		o.parkedRows = len(o.parked)
		o.mu.Unlock()
		if n := len(p.plan.batch.DeadLetters); n > 0 {
			o.log.Warn("records went to the dead-letter topic", "records", n, "parked_rows", len(o.parked), "classes", p.plan.classes)
		}
		if p.stop != nil {
			m.holdBack(o, p.stop)
		}
	}
	m.runtime.metrics.seconds.Observe(now.Sub(rd.started).Seconds())
}

func (m *member) fault(point string) error {
	if f := m.runtime.config.InLog.Fault; f != nil {
		return f(point)
	}
	return nil
}
