package processors

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/processors/state"
	"github.com/tailrace/tailrace/sinks"
)

// Commands about dead letters in the protocol in the log. The outputs of what is applied
// again, the state, the cleared markers and the results are one Kafka transaction. It
// moves no offset, and stores the partition's again nevertheless: by that the brokers
// refuse it of a member that was put out of the group.
//
//	killed after                     control topic  outputs, state   then
//	the command was written          due            –                whoever owns the partition carries it out        TestLogCommandWaitsForAnOwner
//	produce, before EndTxn           due            aborted          carried out again                                TestLogCommandKilledBeforeEndTxn
//	EndTxn unknown                   either         either           the next session reads the results to the end    TestLogCommandEndTxnUnknown
//	                                                                 before it carries anything out
//	EndTxn, before memory follows    result         done             the same
//	zombie's EndTxn after a          due            refused with     the zombie's session begins anew
//	take-over                                       its offset
//
// A command is not carried out before the owner has heard everything that stands in the
// control topic (orders.hear), nor before the dead letters of a parked row are all there
// to be read (letGo counts them): what was committed a moment ago may not be visible yet.

// obedience is what an owner in the log knows of its commands.
type obedience struct {
	hearing bool        // the control topic is being read to its end
	heard   atomic.Bool // and was
	tries   attempts
	wait    backoff
	at      time.Time // of the next try
}

// errAborted says that a rebalance has ended a transaction without effect.
var errAborted = errors.New("the group was rebalanced meanwhile")

// lostSession says that the session has to end.
type lostSession struct{ error }

// poke ends the poll under way, or makes the next one short: there is something to do.
func (m *member) poke() {
	m.pollMu.Lock()
	defer m.pollMu.Unlock()
	m.poked = true
	if m.polled != nil {
		m.polled()
	}
}

// polls notes how a poll can be ended that begins now; nil when it has ended.
func (m *member) polls(cancel context.CancelFunc) {
	m.pollMu.Lock()
	defer m.pollMu.Unlock()
	if m.polled = cancel; cancel != nil && m.poked {
		m.poked = false
		cancel()
	}
}

// obey carries out some of the commands that are due, of each partition. ctx ends with
// the session. An error ends the session.
func (m *member) obey(ctx context.Context) error {
	r := m.runtime
	if r.config.Control == nil || !r.orders.some() {
		return nil
	}
	for _, o := range m.able() {
		if o.first || !o.orders.any(o.tp) || time.Now().Before(o.obeys.at) {
			continue
		}
		if !o.obeys.heard.Load() {
			if !o.obeys.hearing {
				o.obeys.hearing = true
				m.reading.Go(func() { m.hear(ctx, o) })
			}
			continue
		}
		o.obeys.tries.count++
		err := o.carryOut(ctx, o.obeys.tries)
		var lost *lostSession
		switch {
		case err == nil:
			o.obeys.tries, o.obeys.wait, o.obeys.at = attempts{}, backoff{}, time.Time{}
		case errors.As(err, &lost):
			return lost.error
		case ctx.Err() != nil:
			return ctx.Err()
		default:
			o.obeys.wait.config = r.config.Retry
			o.obeys.at = time.Now().Add(o.obeys.wait.next())
			o.log.Warn("a command about dead letters failed and is tried again", "tries", o.obeys.tries.count, "error", err)
		}
	}
	return nil
}

// hear reads the control topic as far as others have written it.
func (m *member) hear(ctx context.Context, o *owner) {
	wait := backoff{config: m.runtime.config.Retry}
	for {
		err := o.orders.hear(ctx, m.runtime.topics(), o.tp.Partition)
		if err == nil {
			o.obeys.heard.Store(true)
			m.poke()
			return
		}
		if ctx.Err() != nil || sleep(ctx, wait.next()) != nil {
			return
		}
	}
}

// conclude makes verdicts durable, with what dead letters become, the state behind it and
// the markers that it clears. A *sinks.RefusedError names what has no form as a record.
func (m *member) conclude(ctx context.Context, o *owner, list []*redo, d *order, unpark [][32]byte) error {
	for {
		err := m.concludeOnce(ctx, o, list, d, unpark)
		if !errors.Is(err, errCarefully) {
			return err
		}
	}
}

// errCarefully says that a record is too large, and that sending them one by one shows
// which.
var errCarefully = errors.New("a record is too large")

func (m *member) concludeOnce(ctx context.Context, o *owner, list []*redo, d *order, unpark [][32]byte) error {
	rd := &round{tasks: map[*task]*state.Overlay{}, started: time.Now()}
	overlay := rd.overlay(o.task)
	if o.redone != nil {
		overlay = o.redone
		rd.tasks[o.task] = overlay
	}
	p := &part{owner: o, plan: &plan{batch: &sinks.Batch{}}}
	var answers []kafka.Message
	results := results(list, d)
	for _, r := range list {
		r.addTo(p.plan)
	}
	for _, r := range results {
		answers = append(answers, messagesOf([]sinks.DeadLetter{o.answer(r)})...)
	}
	refused, err := m.encode(ctx, rd, p)
	if err != nil {
		return err
	}
	if refused != nil {
		return p.plan.refuses(refused.message, refused.fault)
	}
	for _, k := range unpark {
		overlay.Delete(state.Key{Scope: state.Parked, Table: o.tp.Topic, Key: string(k[:])})
	}
	if err := m.answers(ctx, rd, answers); err != nil {
		return err
	}
	rd.store(o)
	done, err := m.transact(ctx, rd)
	if err != nil {
		return &lostSession{err}
	}
	if f := done.refused; f != nil {
		m.rewound(rd)
		from := rd.of[f.Index]
		switch {
		case kafka.TooLarge(f) && !m.careful:
			m.careful = true
			return errCarefully
		case kafka.TooLarge(f) && from.message != nil:
			return p.plan.refuses(from.message, tooLarge(f))
		}
		return fmt.Errorf("apply dead letters again: %w", f)
	}
	if !done.committed {
		m.rewound(rd)
		return errAborted
	}
	m.applied(rd, done.ends)
	for _, r := range results {
		o.orders.note(r)
	}
	o.concluded(list, unpark)
	return nil
}

// refuses names the change that came from a message.
func (p *plan) refuses(m *kafka.Message, fault *sinks.RecordError) error {
	for i, it := range p.items {
		if it.message == m {
			return &sinks.RefusedError{Refusals: []sinks.Refusal{{Index: i, Err: fault}}}
		}
	}
	return fault
}

// goBack carries out a command that sets the partition back: one transaction stores the
// offset with generation and stretch, the cleared markers and the result.
func (m *member) goBack(ctx context.Context, o *owner, d *order) error {
	if why := o.refused(d); why != "" {
		return o.refuse(ctx, d, why)
	}
	b := o.seek(d)
	stretch, err := ParseStretch(b.Note)
	if err != nil {
		return err
	}
	rd := &round{tasks: map[*task]*state.Overlay{}, started: time.Now()}
	results := []*Result{{ID: d.ID, Command: d.Command.Command, Outcome: VerdictSetBack, Message: fmt.Sprintf("from offset %d to %d, generation %d", o.expect, b.Next, b.Generation)}}
	for _, key := range b.Unpark {
		results = append(results, &Result{ID: o.parked[key].FirstID, Outcome: VerdictResolved, Row: true, Message: beforeIt})
		rd.overlay(o.task).Delete(state.Key{Scope: state.Parked, Table: o.tp.Topic, Key: string(key[:])})
	}
	var answers []kafka.Message
	for _, r := range results {
		answers = append(answers, messagesOf([]sinks.DeadLetter{o.answer(r)})...)
	}
	if err := m.answers(ctx, rd, answers); err != nil {
		return err
	}
	from, generation, before := o.expect, o.generation, o.stretch
	o.generation, o.stretch = b.Generation, stretch // what is stored beside the offset
	rd.parts = append(rd.parts, &part{owner: o, next: b.Next})
	done, err := m.transact(ctx, rd)
	switch {
	case err != nil:
		return &lostSession{err}
	case done.committed:
		m.applied(rd, done.ends)
		m.session.Seek(o.tp, b.Next)
		for _, r := range results {
			o.orders.note(r)
		}
		o.concluded(nil, b.Unpark)
		o.log.Info("set back", "replay", d.ID, "from", from, "offset", b.Next, "generation", b.Generation)
		return nil
	}
	o.generation, o.stretch = generation, before
	m.rewound(rd)
	if done.refused != nil {
		return fmt.Errorf("set the partition back: %w", done.refused)
	}
	return errAborted
}
