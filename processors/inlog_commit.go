package processors

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/processors/state"
	"github.com/tailrace/tailrace/sinks"
)

// worthwhile tells whether there is something to commit, beyond the ends of other
// transactions.
func (rd *round) worthwhile() bool {
	worth := rd.open || len(rd.records) > 0
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

// commitRound is one Kafka transaction, and what becomes of its messages.
func (m *member) commitRound(ctx context.Context, rd *round) error {
	done, err := m.transact(ctx, rd)
	switch {
	case err != nil:
		return err
	case done.refused != nil:
		m.rewound(rd)
		m.blame(rd, done.refused)
		return nil
	}
	m.adapt(rd, done.committed)
	if !done.committed {
		m.rewound(rd)
		return nil
	}
	m.applied(rd, done.ends)
	m.runtime.log.Debug("a round is committed", "session", m.number, "messages", rd.messages(), "took", time.Since(rd.started))
	m.finished(rd)
	return nil
}

// transacted is how a transaction ended, when that is known.
type transacted struct {
	committed bool
	refused   *kafka.SendError // why it was aborted: a record that was not taken; nil: a rebalance
	ends      map[kafka.TopicPartition]int64
}

// transact is one Kafka transaction. An error ends the session: its outcome is not known.
func (m *member) transact(ctx context.Context, rd *round) (done transacted, err error) {
	r := m.runtime
	for t, overlay := range rd.tasks {
		m.remember(rd, t, overlay)
	}
	if err := m.fault("changelog"); err != nil {
		return done, err
	}
	if err := m.send(ctx, rd); err != nil {
		return done, err
	}
	if err := m.fault("produce"); err != nil {
		return done, err
	}
	// From here on, the end of the process's context does not end the transaction: it
	// takes as long as the brokers let it.
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitWithin)
	defer cancel()
	if done.ends, err = m.flush(bounded, rd); err != nil {
		done.refused, err = m.aborted(bounded, err)
		return done, err
	}
	offsets := map[kafka.TopicPartition]kafka.Stored{}
	for _, p := range rd.parts {
		offsets[p.owner.tp] = kafka.Stored{Offset: p.next, Metadata: p.owner.metadata(p.stretch(), done.ends, r.config.InLog.Changelog.Topic())}
	}
	if err := m.fault("offsets"); err != nil {
		return done, err
	}
	if done.committed, err = m.session.End(bounded, offsets); err == nil {
		err = m.fault("end")
	}
	if err != nil {
		return done, fmt.Errorf("%w: %w", errRestart, err)
	}
	return done, nil
}

// ship sends what a round has so far, with the state behind it, ahead of its end.
func (m *member) ship(ctx context.Context, rd *round) error {
	if m.careful {
		return nil
	}
	for t, overlay := range rd.tasks {
		m.remember(rd, t, overlay)
	}
	if err := m.send(ctx, rd); err != nil {
		return err
	}
	m.runtime.log.Debug("a chunk of a round is sent", "session", m.number)
	return m.fault("ship")
}

// send sends the round's records, but for a careful one's: those go one by one in the
// end. The transaction is open then.
func (m *member) send(ctx context.Context, rd *round) error {
	if !rd.open {
		if err := m.session.Begin(ctx); err != nil {
			return fmt.Errorf("%w: %w", errRestart, err)
		}
		rd.open = true
	}
	if !m.careful {
		m.session.Send(rd.records)
		clear(rd.records)
		rd.records = rd.records[:0]
	}
	return nil
}

// remember adds what is new in a task's state to the changelog's records.
func (m *member) remember(rd *round, t *task, overlay *state.Overlay) {
	tp := kafka.TopicPartition{Topic: m.runtime.config.InLog.Changelog.Topic(), Partition: t.number}
	overlay.Take(func(prefix, key string, value []byte) {
		size := len(prefix) + len(key)
		if cap(m.keys)-len(m.keys) < size {
			m.keys = make([]byte, 0, max(keysRoom, size)) // the records have what is full
		}
		at := len(m.keys)
		m.keys = append(append(m.keys, prefix...), key...)
		rd.add(kafka.Message{TopicPartition: tp, Time: rd.started, Key: m.keys[at:len(m.keys):len(m.keys)], Value: value}, source{})
	})
}

// keysRoom is the room for keys of the changelog that is made at once.
const keysRoom = 64 << 10

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

// aborted ends a transaction of which a record was not taken.
func (m *member) aborted(ctx context.Context, cause error) (refused *kafka.SendError, err error) {
	if !errors.As(cause, &refused) {
		return nil, fmt.Errorf("%w: %w", errRestart, cause)
	}
	if err := m.session.Abort(ctx); err != nil {
		return nil, fmt.Errorf("%w: %w", errRestart, errors.Join(cause, err))
	}
	return refused, nil
}

// blame finds out whose fault a record is that was not taken. One that is too large is
// its message's own; anything else may pass by itself.
func (m *member) blame(rd *round, refused *kafka.SendError) {
	large := kafka.TooLarge(refused.Err)
	if large && !m.careful {
		m.careful = true
		return
	}
	if from := rd.of[refused.Index]; large && from.message != nil {
		from.part.owner.blamed[from.message.Offset] = tooLarge(refused)
		return
	}
	for _, p := range rd.parts {
		m.holdBack(p.owner, refused)
	}
}

func tooLarge(refused *kafka.SendError) *sinks.RecordError {
	return &sinks.RecordError{Class: sinks.ClassTooLarge, Reason: "what the record becomes is larger than the output topic takes: " + refused.Err.Error(),
		Next: "raise the topic's max.message.bytes"}
}

// rewound forgets a round that was aborted: the client reads again from the offsets
// that are committed, and so does each owner.
func (m *member) rewound(rd *round) {
	for _, p := range rd.parts {
		p.owner.passed(p.owner.expect)
		if p.plans != nil {
			p.owner.parked = p.parked
		}
		if m.owns(p.owner) {
			m.session.Seek(p.owner.tp, p.owner.expect)
		}
	}
	m.runtime.log.Debug("a transaction was aborted; its records are read again", "session", m.number, "partitions", len(rd.parts))
}

// applied lets memory follow a durable round.
func (m *member) applied(rd *round, ends map[kafka.TopicPartition]int64) {
	now := time.Now()
	m.careful = false
	for t, overlay := range rd.tasks {
		overlay.Apply(t.replica.Memory)
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
		if p.plans == nil {
			continue
		}
		for i, plan := range p.plans {
			o.faults.note(o.tp.Topic, p.judged[i])
			o.metrics.committed(plan, sinks.Result{})
			o.tell(plan)
		}
		o.mu.Lock()
		o.parkedRows = len(o.parked)
		o.mu.Unlock()
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
