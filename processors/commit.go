package processors

// How a batch commits: the protocol "in the sink".
//
//	decode → steps → gate → one transaction of the sink:
//	    the offset row moves from expect to next, where the epoch is ours
//	    rows, tombstones, dead letters, parked markers
//	→ COMMIT → memory follows → dead letters to their topic → the group's offset, lazily
//
// What a crash leaves at each point, and the test that makes it so:
//
//	killed after                    log      sink          on restart
//	writes, before COMMIT           –        rolled back   the batch again                      TestCrashInTheSinkWritesBeforeCommit
//	COMMIT unknown                  –        either        the offset row decides               TestCrashInTheSinkCommitUnknown
//	COMMIT, before Kafka's commit   behind   done          seek to the offset row               TestCrashInTheSinkCommitBeforeKafkaCommit
//	zombie's COMMIT after a         –        fenced by     the zombie stops                     TestCrashInTheSinkZombieCommitAfterTakeOver
//	take-over                                the epoch
//	COMMIT, before the dead         –        outbox has    the owner takes them to their topic  TestCrashInTheSinkDeadLettersBeforeTheirTopic
//	letters' topic has them                  them          (repeated at worst, with their ids)
//
// Memory follows the sink and never leads it: expect, claim, parked rows and what
// steps remember change only after COMMIT was answered, or after Reclaim told
// what became of it.

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/sinks"
)

// attempts says how often a batch failed already.
type attempts struct {
	count int // the running one included
	first time.Time
}

// commit tries once to make the effects of messages durable. Errors of
// cdc.StopError and sinks.ErrFenced end the owner, others are tried again.
func (o *owner) commit(ctx context.Context, messages []kafka.Message, tries attempts) error {
	if o.task != nil {
		return o.commitShared(ctx, messages, tries)
	}
	next := messages[len(messages)-1].Offset + 1
	items, err := o.transform(ctx, messages, nil, o.parked)
	if err != nil {
		return err
	}
	if len(items) == 0 { // only ends of transactions
		o.passed(next)
		return nil
	}
	for {
		judged := o.faults.judge(o.tp.Topic, o.parked, items)
		if judged.err != nil {
			return judged.err
		}
		p := o.plan(items, next, tries)
		if err := o.keep(ctx, p); err != nil {
			return err
		}
		amended := p
		if !o.line.stateful() && !o.stretch.ends() {
			p.batch.Without = func(refusals []sinks.Refusal) *sinks.Batch {
				p.fault(refusals)
				again := o.faults.judge(o.tp.Topic, o.parked, items)
				if again.err != nil {
					return nil // with the refusals in hand, it is said below
				}
				if q := o.plan(items, next, tries); q.stop == nil {
					amended, judged = q, again
					return q.batch
				}
				return nil
			}
		}
		result, err := o.write(ctx, p.batch)
		var refused *sinks.RefusedError
		if errors.As(err, &refused) {
			p.fault(refused.Refusals)
			if o.line.stateful() {
				if items, err = o.transform(ctx, messages, items, o.parked); err != nil {
					return err
				}
			}
			continue // each round has fewer changes than the one before
		}
		if err != nil {
			return err
		}
		o.committed(amended, result)
		o.faults.note(o.tp.Topic, judged)
		return amended.stop
	}
}

// fault notes what the sink says of a plan's changes.
func (p *plan) fault(refusals []sinks.Refusal) {
	for _, r := range refusals {
		p.items[r.Index].fault = r.Err
	}
}

// transform decodes messages and takes them through the steps, but those behind
// rows. before are the items of the round before, whose faults stay.
func (o *owner) transform(ctx context.Context, messages []kafka.Message, before []item, rows parked) ([]item, error) {
	items, err := o.decode(ctx, messages)
	if err != nil || o.line == nil {
		return items, err
	}
	for i := range before {
		items[i].fault, items[i].extra.step = before[i].fault, before[i].extra.step
	}
	return items, o.line.batch(ctx, items, rows, o.config.OnPoison == PolicyParkKey)
}

// write is one transaction of the sink. When its COMMIT got no answer, the
// offset row is asked until it tells.
func (o *owner) write(ctx context.Context, b *sinks.Batch) (sinks.Result, error) {
	if err := o.circuit.enter(ctx); err != nil {
		return sinks.Result{}, err
	}
	if o.ahead.idle() { // or the copy would be for nothing
		o.ahead.begin(ctx, o.queue.peek(o.config.BatchRows, o.config.BatchBytes))
	}
	result, err := o.config.Sink.Write(ctx, b)
	var unknown *sinks.CommitUnknownError
	var refused *sinks.RefusedError
	o.circuit.leave(err != nil && !errors.As(err, &refused) && !errors.Is(err, sinks.ErrFenced) && ctx.Err() == nil)
	if !errors.As(err, &unknown) {
		return result, err
	}
	o.log.Warn("the sink's answer to COMMIT is missing; asking its offset row", "error", unknown.Err)
	claim, err := o.reclaim(ctx)
	switch {
	case err != nil:
		return sinks.Result{}, err
	case claim.Next == b.Next && b.Next == b.Expect: // a command's: its result in the outbox tells
		o.adopt(claim)
		return sinks.Result{}, fmt.Errorf("%w: %w", errUnsure, unknown.Err)
	case claim.Next == b.Next:
		o.claim.Epoch = claim.Epoch
		return unknown.Result, nil
	case claim.Next == b.Expect:
		o.claim.Epoch = claim.Epoch
		return sinks.Result{}, fmt.Errorf("the batch was not committed: %w", unknown.Err)
	}
	return sinks.Result{}, fmt.Errorf("%w: its offset row is at %d, not at %d or %d", sinks.ErrFenced, claim.Next, b.Expect, b.Next)
}

// errUnsure says that a batch that moves no offset is durable or not.
var errUnsure = errors.New("the outcome of a commit that moves no offset is unknown")

// adopt takes over what the sink says is durable.
func (o *owner) adopt(claim sinks.Claim) {
	o.claim, o.backlog, o.generation = claim, claim.Backlog, max(claim.Generation, 1)
	o.stretch, _ = ParseStretch(claim.Note) // this owner wrote it
	o.parked = parked{}
	for _, p := range claim.Parked {
		o.parked[p.Key] = p
	}
	o.mu.Lock()
	o.parkedRows = len(o.parked)
	o.mu.Unlock()
}

func (o *owner) reclaim(ctx context.Context) (sinks.Claim, error) {
	wait := backoff{config: o.config.Retry}
	for {
		claim, err := o.config.Sink.Reclaim(ctx, o.claim)
		if err == nil && o.task != nil {
			o.task.claim(claim)
		}
		if err == nil || errors.Is(err, sinks.ErrFenced) || ctx.Err() != nil {
			return claim, err
		}
		o.failing(err)
		if err := o.pauseFor(ctx, wait.next()); err != nil {
			return claim, err
		}
	}
}

// committed lets memory follow a durable batch.
func (o *owner) committed(p *plan, result sinks.Result) {
	o.expect, o.parked, o.stretch = p.batch.Next, p.next, o.stretch.after(p.batch)
	o.line.applied()
	o.passed(p.batch.Next)
	if n := len(p.batch.DeadLetters); n > 0 {
		o.backlog = true
		o.letters += n
		if slices.ContainsFunc(p.batch.DeadLetters, isResult) { // the gate goes by it from the next batch on
			o.letters = lettersAtOnce
		}
		if o.lettersSince.IsZero() {
			o.lettersSince = time.Now()
		}
	}
	o.metrics.committed(p, result)
	o.mu.Lock()
	o.parkedRows = len(o.parked)
	o.mu.Unlock()
	o.tell(p)
}

// untold are dead letters that the log does not show yet.
type untold struct {
	records int
	classes map[sinks.Class]int
	shown   time.Time // when the log showed some
}

// tell shows that records went to the dead-letter topic: the first at once, those that
// follow together, twice a minute at most.
func (o *owner) tell(p *plan) {
	u := &o.untold
	if u.classes == nil {
		u.classes = map[sinks.Class]int{}
	}
	u.records += p.faults + p.diverted
	for class, n := range p.classes {
		u.classes[class] += n
	}
	if u.records == 0 || time.Since(u.shown) < showFailureEvery {
		return
	}
	o.log.Warn("records went to the dead-letter topic", "records", u.records, "parked_rows", len(o.parked), "classes", u.classes)
	o.untold = untold{shown: time.Now()}
}

// settle moves the offset row over ends of transactions and filtered records at
// the end of the log, so that it does not fall behind a log that expires.
func (o *owner) settle(ctx context.Context) error {
	if o.position() == o.expect {
		return nil
	}
	b := o.batch(o.position())
	if _, err := o.write(ctx, b); err != nil {
		return err
	}
	o.expect, o.stretch = b.Next, o.stretch.after(b)
	return nil
}
