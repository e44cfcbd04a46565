package processors

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/processors/state"
	"github.com/tailrace/tailrace/sinks"
)

// owner has one partition from its claim to its end: one goroutine (run) does
// all of its work, in the log's order.
type owner struct {
	config     *Config
	log        *slog.Logger
	tp         kafka.TopicPartition
	source     Source
	circuit    *circuit
	limiter    *limiter
	faults     *faults
	orders     *orders
	metrics    *metrics
	slots      chan struct{} // one element per batch that runs, of all partitions
	topics     func() []string
	reposition func(*owner)
	budget     func() int // bytes that the partition may hold
	renew      func(o *owner, c sinks.Claim, robbed bool)
	queue      *queue
	wake       func() // makes the owner's goroutine look at its commands

	// The following belong to run.
	decoder    *decoder
	ahead      ahead
	line       *line // nil without steps
	claim      sinks.Claim
	expect     int64 // the sink's offset row
	generation int64
	stretch    *Stretch       // that it goes through again; nil: none
	parked     parked         // rows whose changes are diverted
	redone     *state.Overlay // what dead letters that are applied again write; nil: nothing
	backlog    bool           // the outbox has dead letters
	letters    int            // so many of its own at least
	// lettersSince is since when; zero: none of its own.
	lettersSince time.Time
	untold       untold // dead letters that the log does not show yet

	// The following belong to a session's worker (inlog.go).
	task     *task
	of       int32 // partitions of the topic
	topicID  string
	gated    [3]int // the last batch's, by verdict of the gate by row
	tries    attempts
	wait     backoff
	retryAt  time.Time                    // paused until then; zero: not
	first    bool                         // the group has no offset of it yet
	moved    time.Time                    // since when next is ahead of expect
	blamed   map[int64]*sinks.RecordError // what is known to be wrong with messages that come again
	space    string                       // of the gate
	entities string                       // the internal topic
	member   *member                      // nil in the protocol in the sink
	obeys    obedience

	cancel  context.CancelFunc // of run
	suspect atomic.Bool        // an owner of the same task was robbed: its claims were one decision
	leave   sync.Once          // closes leaving
	leaving chan struct{}      // closed by release: what fails is not tried again
	done    chan struct{}      // closed when run has returned

	mu         sync.Mutex // guards the following
	next       int64      // everything before it is done
	settled    int64      // and everything before this, its dead letters in their topic included
	oldest     time.Time  // of the batch that runs; zero: none runs
	parkedRows int
	paused     bool
	failure    error // of the last try, until one succeeds
	since      time.Time
	failures   int // tries since then
	nextTry    time.Time
	rate       rate
	shown      time.Time // when failure was last logged
	stopped    error     // why run ended by itself
}

// settleAfter is how long the offset row may stand behind the log's end once
// there is nothing more to write.
const settleAfter = 5 * time.Second

// run works until the queue is closed, ctx ends, or the partition must be let go.
func (o *owner) run(ctx context.Context) {
	defer close(o.done)
	defer o.ahead.wait()
	defer o.cancel()
	err := o.work(ctx)
	if errors.Is(err, sinks.ErrFenced) && ctx.Err() == nil {
		o.queue.close()
		robbed := !o.suspect.Load()
		var claim sinks.Claim
		if claim, err = o.regain(ctx, err); err == nil {
			o.renew(o, claim, robbed)
			return
		}
	}
	switch {
	case err == nil, ctx.Err() != nil, errors.Is(err, errLeaving):
	default:
		o.end(err)
		o.log.Error("the partition is stopped; the others go on", "error", err)
	}
}

func (o *owner) end(err error) {
	o.source.Pause(o.tp)
	o.queue.close()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stopped, o.failure = err, nil
}

func (o *owner) work(ctx context.Context) error {
	drain := func() error {
		return o.persist(ctx, func(ctx context.Context, _ attempts) error { return o.drain(ctx) })
	}
	if err := drain(); err != nil {
		return err
	}
	timer := time.NewTimer(settleAfter)
	defer timer.Stop()
	for {
		if o.stretch.over(o.position()) {
			if err := o.persist(ctx, func(ctx context.Context, _ attempts) error { return o.jump(ctx) }); err != nil {
				return err
			}
		}
		if o.suspect.Load() {
			return sinks.ErrFenced
		}
		if o.orders.any(o.tp) {
			if err := o.persist(ctx, o.obey); err != nil {
				return err
			}
		}
		var idle <-chan time.Time
		if o.position() != o.expect {
			timer.Reset(settleAfter)
			idle = timer.C
		}
		messages, ok := o.queue.take(ctx, idle, o.limiter.rows(o.config.BatchRows), o.config.BatchBytes)
		if !ok {
			return drain()
		}
		if wait := o.limiter.reserve(len(messages)); wait > 0 {
			if err := drain(); err != nil {
				return err
			}
			if err := o.pauseFor(ctx, wait); err != nil {
				return err
			}
		}
		if len(messages) == 0 && o.orders.any(o.tp) {
			continue
		}
		if err := o.persist(ctx, func(ctx context.Context, tries attempts) error { return o.turn(ctx, messages, tries) }); err != nil {
			return err
		}
		o.queue.done(messages)
		o.mayResume()
	}
}

// turn carries out one batch, or settles when there is none, and then delivers
// the dead letters that are due. It is tried again as a whole: what is durable already has
// left messages, by offset.
func (o *owner) turn(ctx context.Context, messages []kafka.Message, tries attempts) error {
	select {
	case o.slots <- struct{}{}:
		defer func() { <-o.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if tries.count > 1 {
		if err := o.drain(ctx); err != nil {
			return err
		}
	}
	var stop error
	beyond := len(messages) > 0 && o.stretch.over(messages[len(messages)-1].Offset)
	if len(messages) == 0 {
		if err := o.settle(ctx); err != nil {
			return err
		}
	} else if messages = o.stretch.within(o.fresh(messages)); len(messages) > 0 {
		o.starts(messages[0].Time)
		defer o.starts(time.Time{})
		started := time.Now()
		err := o.commit(ctx, messages, tries)
		if err != nil && !cdc.Stopped(err) {
			return err
		}
		if stop = err; stop == nil && o.line == nil && o.task == nil {
			o.decoder.letGo()
		}
		o.metrics.seconds.Observe(time.Since(started).Seconds())
	}
	over := stop != nil || len(messages) == 0 || o.stretch.over(o.position()) || beyond
	if over || o.due() {
		if err := o.drain(ctx); err != nil {
			return err
		}
	}
	if !o.backlog {
		o.settles()
	}
	switch {
	case stop != nil:
		return stop
	case o.stretch.over(o.position()), beyond && o.stretch.ends():
		return o.jump(ctx)
	case beyond: // the stretch has no end any more, and what was beyond it was left out
		o.reposition(o)
	}
	return nil
}

// fresh drops messages that are done: a fetch may begin before the offset that
// was asked for, and a batch may be tried again after its commit.
func (o *owner) fresh(messages []kafka.Message) []kafka.Message {
	next := o.position()
	i, _ := slices.BinarySearchFunc(messages, next, func(m kafka.Message, at int64) int {
		switch {
		case m.Offset < at:
			return -1
		case m.Offset > at:
			return 1
		}
		return 0
	})
	return messages[i:]
}

// give hands messages to the owner. It never waits: a partition that holds too
// much is paused.
func (o *owner) give(messages []kafka.Message) {
	if held := o.queue.put(messages); held > o.budget() {
		o.pause()
	}
}

func (o *owner) pause() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.paused {
		o.paused = true
		o.source.Pause(o.tp)
	}
}

// mayResume undoes pause once half of the room is free and nothing fails.
func (o *owner) mayResume() {
	room := o.budget() / 2 // before the lock: status takes the runtime's lock first, then this one
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.paused && o.failure == nil && o.stopped == nil && o.queue.size() <= room {
		o.paused = false
		o.source.Resume(o.tp)
	}
}

// showFailureEvery is the least time between two lines about one failure.
const showFailureEvery = 30 * time.Second

// failing notes an error that is tried again, and pauses the partition.
func (o *owner) failing(err error) {
	o.pause()
	o.mu.Lock()
	now := time.Now()
	if o.failure == nil {
		o.since, o.failures = now, 0
	}
	o.failure, o.nextTry = err, time.Time{}
	o.failures++
	show := now.Sub(o.shown) >= showFailureEvery
	if show {
		o.shown = now
	}
	since := o.since
	o.mu.Unlock()
	if show {
		o.log.Warn("the batch failed and is tried again", "error", err, "systemic", sinks.Systemic(err), "failing_for", now.Sub(since).Round(time.Millisecond))
	}
}

// waits notes when what failed is tried again.
func (o *owner) waits(d time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.nextTry = time.Now().Add(d)
}

func (o *owner) fails() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.failure != nil
}

// recovered notes that what failed has succeeded.
func (o *owner) recovered(tries attempts) {
	o.mu.Lock()
	since := o.since
	o.failure, o.shown = nil, time.Time{}
	o.mu.Unlock()
	o.log.Info("going on", "tries", tries.count, "after", time.Since(since).Round(time.Millisecond))
	o.mayResume()
}

// passed notes that everything before next is done.
func (o *owner) passed(next int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.next = next
}

// committable is what the group may know: behind a sink without a durable outbox,
// its offset is all that a restart has.
func (o *owner) committable() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.settled
}

func (o *owner) settles() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.settled = o.next
}

func (o *owner) position() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.next
}

func (o *owner) isStopped() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.stopped != nil
}

func (o *owner) starts(t time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.oldest = t
}

// release ends the owner: no more messages, and the batch under way may take
// until ctx ends, unless it fails before. It may be called again.
func (o *owner) release(ctx context.Context) {
	o.queue.close()
	o.leave.Do(func() { close(o.leaving) })
	select {
	case <-o.done:
	case <-ctx.Done():
		o.cancel()
		<-o.done
	}
}
