package processors

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/sinks"
)

var _ kafka.Owner = (*Runtime)(nil)

// Assign claims the partitions in the sink and answers with the sink's offsets.
// While the sink is away it tries again, for all of them: nothing could be done
// with their records anyway.
func (r *Runtime) Assign(ctx context.Context, given []kafka.Assigned) (map[kafka.TopicPartition]int64, error) {
	r.abandon(given)
	starts := make(map[kafka.TopicPartition]int64, len(given))
	claims := make([]claimed, len(given))
	limit := make(chan struct{}, max(1, r.config.Parallel))
	var all sync.WaitGroup
	for i, a := range given {
		all.Go(func() {
			limit <- struct{}{}
			defer func() { <-limit }()
			claims[i] = r.take(ctx, a)
		})
	}
	all.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.claiming = nil
	for _, c := range claims {
		if c.err != nil && !cdc.Stopped(c.err) {
			return nil, c.err // only with the end of ctx: the group assigns all of them again
		}
	}
	if r.draining {
		return nil, context.Canceled
	}
	r.joined = true
	for i, c := range claims {
		tp := given[i].TopicPartition
		if c.err != nil {
			r.refused[tp] = c.err
			r.log.Error("the partition is stopped before it was read", "topic", tp.Topic, "partition", tp.Partition, "error", c.err)
			continue
		}
		if err := r.begin(given[i], c); err != nil {
			r.refused[tp] = err
			r.log.Error("the partition is stopped before it was read", "topic", tp.Topic, "partition", tp.Partition, "error", err)
			continue
		}
		starts[tp] = c.start
	}
	return starts, nil
}

// abandon ends what is left of owners of partitions that are given anew.
func (r *Runtime) abandon(given []kafka.Assigned) {
	parts := make([]kafka.TopicPartition, len(given))
	for i, a := range given {
		parts[i] = a.TopicPartition
	}
	r.Lose(parts)
	r.source.Resume(parts...)
}

// claimed is what came of taking one partition.
type claimed struct {
	claim   sinks.Claim
	start   int64
	stretch *Stretch
	err     error
}

// take claims one partition and finds where it begins.
func (r *Runtime) take(ctx context.Context, a kafka.Assigned) claimed {
	wait := backoff{config: r.config.Retry}
	var shown time.Time
	for {
		c, err := r.config.Sink.Claim(ctx, sinks.Partition{Topic: a.Topic, Number: a.Partition, ID: a.TopicID})
		if err == nil {
			var start int64
			var stretch *Stretch
			if stretch, err = ParseStretch(c.Note); err == nil {
				start, err = r.start(ctx, a, &c)
			}
			if err == nil {
				return claimed{claim: c, start: start, stretch: stretch.at(start)}
			}
		}
		if cdc.Stopped(err) || ctx.Err() != nil {
			return claimed{err: errors.Join(err, ctx.Err())}
		}
		r.mu.Lock()
		r.claiming = err
		r.mu.Unlock()
		if time.Since(shown) >= showFailureEvery {
			shown = time.Now()
			r.log.Warn("the partition cannot be claimed in the sink; trying again", "topic", a.Topic, "partition", a.Partition, "error", err)
		}
		if err := sleep(ctx, wait.next()); err != nil {
			return claimed{err: err}
		}
	}
}

// start is where reading begins: at the sink's offset, if the log still has it.
// A partition without one gets its first offset here, durably, so that it
// cannot begin elsewhere after a restart.
func (r *Runtime) start(ctx context.Context, a kafka.Assigned, c *sinks.Claim) (int64, error) {
	if a.TopicID != "" && c.ID != "" && a.TopicID != c.ID {
		return 0, &cdc.StopError{What: fmt.Sprintf("topic %q was deleted and made anew: the sink has applied offsets of topic id %s, and it is %s now", a.Topic, c.ID, a.TopicID), Pos: a.TopicPartition.String(),
			Next: forget}
	}
	if c.Local && a.Committed > c.Next {
		b := &sinks.Batch{Claim: *c, Expect: c.Next, Next: a.Committed, Generation: max(c.Generation, 1), Note: c.Note}
		if _, err := r.config.Sink.Write(ctx, b); err != nil {
			return 0, fmt.Errorf("take over the group's offset of %s: %w", a.TopicPartition, err)
		}
		c.Next = a.Committed
	}
	if c.Next == sinks.NoOffset {
		if a.Committed >= 0 {
			r.log.Warn("the sink has no offset for a partition that the group has one for; it begins as source.start says", "topic", a.Topic, "partition", a.Partition, "group_offset", a.Committed, "begins", a.Start)
		}
		b := &sinks.Batch{Claim: *c, Expect: sinks.NoOffset, Next: a.Start, Generation: max(c.Generation, 1)}
		if _, err := r.config.Sink.Write(ctx, b); err != nil {
			return 0, fmt.Errorf("store the first offset of %s: %w", a.TopicPartition, err)
		}
		c.Next = a.Start
		return c.Next, nil
	}
	if c.Next < a.First {
		return 0, &cdc.StopError{What: fmt.Sprintf("%d records were removed from the log before they were applied: the sink is at offset %d, the log begins at %d", a.First-c.Next, c.Next, a.First), Pos: a.TopicPartition.String(),
			Next: "raise the topic's retention; take a new snapshot of its tables at the relay, and " + forget}
	}
	if c.Next > a.End {
		if err := r.reaches(ctx, a, c.Next); err != nil {
			return 0, err
		}
	}
	return c.Next, nil
}

// forget is how a person lets a partition begin anew.
const forget = "delete the partition's row from the sink's table offsets to begin as source.start says; then restart"

// reaches waits a while for a log that seems to end before the sink's offset: a
// new leader may be behind in saying where it ends.
func (r *Runtime) reaches(ctx context.Context, a kafka.Assigned, next int64) error {
	end := a.End
	for range 10 {
		if err := sleep(ctx, time.Second); err != nil {
			return err
		}
		ends, err := r.source.Ends(ctx, []kafka.TopicPartition{a.TopicPartition})
		if err != nil {
			continue
		}
		if found, ok := ends[a.TopicPartition]; ok {
			if end = found; end >= next {
				return nil
			}
		}
	}
	return &cdc.StopError{What: fmt.Sprintf("the sink has applied records that the log does not have: it is at offset %d, the log ends at %d", next, end), Pos: a.TopicPartition.String(),
		Next: "was the topic made anew, or did the brokers lose data? " + forget}
}

// begin starts the owner of a partition. r.mu is held.
func (r *Runtime) begin(a kafka.Assigned, c claimed) error {
	tp := a.TopicPartition
	ctx, cancel := context.WithCancel(context.Background()) // ended by Revoke, Lose or drain
	o := r.owner(tp, c, cancel)
	if r.config.Stateful {
		if err := r.share(o, a.Of); err != nil {
			cancel()
			return err
		}
	}
	r.owners[tp] = o
	delete(r.refused, tp)
	go o.run(ctx)
	o.log.Info("owns the partition", "offset", c.start, "epoch", c.claim.Epoch, "parked_rows", o.parkedRows)
	return nil
}

// owner makes the owner of a partition, which does nothing yet.
func (r *Runtime) owner(tp kafka.TopicPartition, c claimed, cancel context.CancelFunc) *owner {
	o := &owner{
		config: &r.config, log: r.log.With("topic", tp.Topic, "partition", tp.Partition), tp: tp, source: r.source,
		circuit: r.circuit, limiter: r.limiter, faults: r.faults, orders: r.orders, metrics: r.metrics, slots: r.slots, topics: r.topics, reposition: r.reposition, budget: r.budget, renew: r.renew, queue: newQueue(),
		decoder: newDecoder(r.config.Schemas, r.shapes, len(r.config.Steps) > 0), claim: c.claim, expect: c.start, next: c.start, settled: c.start,
		generation: max(c.claim.Generation, 1), stretch: c.stretch, parked: parked{}, backlog: c.claim.Backlog, cancel: cancel, leaving: make(chan struct{}), done: make(chan struct{}),
	}
	if r.config.InLog == nil && !r.config.Stateful {
		o.ahead.decoder = newDecoder(r.config.Schemas, r.shapes, len(r.config.Steps) > 0)
	}
	o.wake = o.queue.poke
	o.line = newLine(r.config.Steps, r.config.State, &o.decoder.arena)
	for _, p := range c.claim.Parked {
		o.parked[p.Key] = p
	}
	o.parkedRows = len(o.parked)
	return o
}

// Revoke lets batches under way finish, commits the group's offsets and lets go.
func (r *Runtime) Revoke(ctx context.Context, parts []kafka.TopicPartition) {
	owners, offsets := r.detach(parts), map[kafka.TopicPartition]int64{}
	r.release(owners)
	for _, o := range owners {
		offsets[o.tp] = o.committable()
		o.log.Info("gave the partition back", "offset", o.position())
	}
	r.commit(ctx, offsets)
}

// Lose lets go at once: another member may own the partitions already. What it
// was writing is fenced by that one's claim.
func (r *Runtime) Lose(parts []kafka.TopicPartition) {
	for _, o := range r.detach(parts) {
		o.queue.close()
		o.cancel()
		<-o.done
		o.log.Info("lost the partition", "offset", o.position())
	}
}

func (r *Runtime) detach(parts []kafka.TopicPartition) []*owner {
	r.mu.Lock()
	defer r.mu.Unlock()
	var owners []*owner
	for _, tp := range parts {
		if o := r.owners[tp]; o != nil {
			owners = append(owners, o)
			delete(r.owners, tp)
			if o.task != nil {
				o.task.unclaim(tp.Topic)
			}
		}
		delete(r.refused, tp)
		delete(r.sent, tp)
		delete(r.ends, tp)
	}
	r.unshare()
	return owners
}

// lost stops a partition whose log no longer holds what is asked for.
func (r *Runtime) lost(f kafka.Fetched, o *owner) {
	if o == nil {
		return
	}
	err := &cdc.StopError{What: "records were removed from the log before they were read", Pos: fmt.Sprintf("%s offset %d", f.TopicPartition, o.position()), Err: f.Err,
		Next: "raise the topic's retention; take a new snapshot of its tables at the relay, and " + forget}
	o.queue.close()
	o.end(err)
	o.log.Error("the partition is stopped; the others go on", "error", err)
}
