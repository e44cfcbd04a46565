package processors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/processors/state"
)

// work does rounds until ctx ends, or the session has to.
func (m *member) work(ctx context.Context) error {
	hearing, stop := context.WithCancel(ctx)
	defer stop()
	for ctx.Err() == nil {
		if err := m.obey(hearing); err != nil {
			return err
		}
		wait, cancel := context.WithTimeout(ctx, m.patience())
		m.polls(cancel)
		fetched, err := m.session.PollSome(wait, m.limit())
		m.polls(nil)
		cancel()
		if errors.Is(err, kafka.ErrUnread) {
			return fmt.Errorf("%w: %w", errRestart, err)
		}
		if err != nil && wait.Err() == nil {
			return err
		}
		m.resume()
		if err := m.admitted(ctx, fetched); err != nil {
			return err
		}
		err = m.round(ctx, fetched)
		<-m.runtime.slots
		if err != nil {
			return err
		}
	}
	return nil
}

// admitted waits until the limits of the process let a round begin, and takes one of its
// slots.
func (m *member) admitted(ctx context.Context, fetched []kafka.Fetched) error {
	n := 0
	for i := range fetched {
		n += len(fetched[i].Messages)
	}
	if wait := m.runtime.limiter.reserve(n); wait > 0 {
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
	select {
	case m.runtime.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// fewMessages is how many messages a round has at least room for, and a careful one at
// most.
const fewMessages = 100

// limit is how many messages a round has at most.
func (m *member) limit() int {
	if m.careful {
		return m.runtime.limiter.rows(fewMessages)
	}
	return m.runtime.limiter.rows(m.size)
}

// patience is how long a poll may wait: until a partition is to be tried again, or
// offsets that only passed ends of transactions are to be stored.
func (m *member) patience() time.Duration {
	d := settleAfter
	for _, o := range m.mine() {
		if at := o.retryAt; !at.IsZero() {
			d = min(d, max(time.Until(at), time.Millisecond))
		}
		if o.task.ready.Load() && o.first {
			d = min(d, 100*time.Millisecond)
		}
		switch {
		case !o.orders.any(o.tp):
		case o.obeys.heard.Load():
			d = min(d, max(time.Until(o.obeys.at), time.Millisecond))
		default:
			d = min(d, 100*time.Millisecond)
		}
	}
	return d
}

// mine are the owners of this session.
func (m *member) mine() []*owner {
	r := m.runtime
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []*owner
	for _, o := range r.owners {
		if o.source == m.session {
			out = append(out, o)
		}
	}
	return out
}

// owns tells whether o is still the owner of its partition: the group may have taken it
// away, and have given it to this member or another one anew.
func (m *member) owns(o *owner) bool {
	r := m.runtime
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.owners[o.tp] == o
}

// resume makes partitions be read again whose pause is over.
func (m *member) resume() {
	for _, o := range m.mine() {
		if !o.retryAt.IsZero() && !time.Now().Before(o.retryAt) && o.task.ready.Load() {
			o.retryAt = time.Time{}
			m.session.Resume(o.tp)
		}
	}
}

// round takes what was polled through the pipeline and commits it.
func (m *member) round(ctx context.Context, fetched []kafka.Fetched) error {
	last := m.last
	rd := &round{tasks: map[*task]*state.Overlay{}, started: time.Now(), spare: last.tasks, records: last.records[:0], of: last.of[:0]}
	m.last = round{} // what did not become durable is not touched again
	if len(fetched) > 0 {
		if err := m.fault("poll"); err != nil {
			return err
		}
	}
	m.triedFirst(fetched)
	for i := range fetched {
		if err := m.take(ctx, rd, &fetched[i]); err != nil {
			return err
		}
	}
	able := m.able()
	m.settle(rd, able)
	m.expire(rd, able)
	if !rd.worthwhile() {
		return nil
	}
	return m.commitRound(ctx, rd)
}

// finished keeps the room of a round that is durable for the next one.
func (m *member) finished(rd *round) {
	clear(rd.of)
	m.last = round{tasks: rd.tasks, records: rd.records, of: rd.of}
}

// take makes a fetch a part of the round.
func (m *member) take(ctx context.Context, rd *round, f *kafka.Fetched) error {
	r := m.runtime
	r.mu.Lock()
	o := r.owners[f.TopicPartition]
	r.mu.Unlock()
	r.noteFetch(*f, o)
	if o == nil || o.source != m.session || len(f.Messages) == 0 {
		return nil
	}
	if !o.task.ready.Load() || o.isStopped() || !o.retryAt.IsZero() {
		m.session.Seek(o.tp, o.position()) // polled before the pause took hold
		return nil
	}
	p, err := m.prepare(ctx, rd, o, f.Messages)
	var lost *lostSession
	switch {
	case err == nil:
		rd.parts = append(rd.parts, p)
		return nil
	case errors.As(err, &lost):
		return lost.error
	case ctx.Err() != nil && !rd.open:
		return ctx.Err()
	case ctx.Err() == nil:
		m.holdBack(o, err)
	}
	return nil // with ctx at its end, what is complete is committed
}

// triedFirst puts partitions first that have failed: nothing is open yet that they
// could keep open.
func (m *member) triedFirst(fetched []kafka.Fetched) {
	if len(fetched) < 2 {
		return
	}
	failed := map[kafka.TopicPartition]bool{}
	for _, o := range m.mine() {
		failed[o.tp] = o.tries.count > 0
	}
	slices.SortStableFunc(fetched, func(a, b kafka.Fetched) int {
		switch {
		case failed[a.TopicPartition] == failed[b.TopicPartition]:
			return 0
		case failed[a.TopicPartition]:
			return -1
		}
		return 1
	})
}

// holdBack leaves a partition alone for a while, or for good; the others go on.
func (m *member) holdBack(o *owner, err error) {
	if !m.owns(o) {
		return
	}
	m.session.Seek(o.tp, o.position())
	if cdc.Stopped(err) {
		o.end(err)
		o.log.Error("the partition is stopped; the others go on", "error", err)
		return
	}
	if o.tries.count == 0 {
		o.tries = attempts{first: time.Now()}
		o.wait = backoff{config: m.runtime.config.Retry}
	}
	o.tries.count++
	if limit := m.runtime.config.Retry.GiveUpAfter; limit > 0 && time.Since(o.tries.first) >= limit {
		o.end(&cdc.StopError{What: fmt.Sprintf("gave up after %d tries", o.tries.count), Pos: o.tp.String(), Err: err, Next: "mend the cause and restart; errors.retry.give_up_after: 0s never gives up"})
		return
	}
	o.failing(err)
	rest := o.wait.next()
	o.waits(rest)
	o.retryAt = time.Now().Add(rest)
}

// settle adds partitions whose offset is not stored: those that begin, and those that
// have only passed ends of transactions for a while.
func (m *member) settle(rd *round, idle []*owner) {
	for _, o := range idle {
		if o.first {
			rd.overlay(o.task).Put(o.sourceKey(), []byte(o.topicID))
		}
		if o.first || o.position() != o.expect && time.Since(o.moved) >= settleAfter {
			rd.store(o)
		}
	}
}

// able are the owners whose offsets may be stored.
func (m *member) able() []*owner {
	owned := m.session.Owned()
	return slices.DeleteFunc(m.mine(), func(o *owner) bool {
		return !owned[o.tp] || !o.task.ready.Load() || o.isStopped() || !o.retryAt.IsZero()
	})
}

// roundWithin is how long a round may take: a rebalance makes all of it void, and
// readers of the outputs wait for it.
const roundWithin = 200 * time.Millisecond

// adapt makes rounds shorter that take too long, or were in vain: on a machine that has
// no time, a member would be put out of the group again and again before it is through.
func (m *member) adapt(rd *round, committed bool) {
	most, n := m.runtime.config.BatchRows*4, rd.messages()
	switch {
	case !committed || time.Since(rd.started) > roundWithin:
		m.size = max(fewMessages, min(m.size, max(n, fewMessages))/2)
	case 2*n >= m.size:
		m.size = min(most, 2*m.size)
	}
}
