package processors

// What an owner does whose batch the sink has refused for another claim.
//
// The newest claim says who can write to a partition in the sink; the group says whose
// the partition is. They differ when a member was frozen between the two: it wakes up,
// claims what the group has given to another one meanwhile, and the sink refuses that
// one, to whom the group will not give the partition again, because it has it. They
// differ, too, when the sink is restored from a backup, or a person has moved the offset
// row, below a running owner.
//
// So the owner asks the group. The brokers take an offset from a member of the newest
// generation only. If they take it, the partition is this member's: it claims it again,
// which fences the other one, and goes on from the offset row. If they do not, this is
// the one that was frozen: it claims nothing, and asks again until the client hears of
// the loss, which ends the owner.
//
//	frozen again behind the answer    its claim robs an owner, who asks in its turn and is answered
//	killed behind the claim           nothing was written under it
//	messages that were fetched        the goroutine that polls seeks, between two polls, and only
//	before the seek                   then the new owner begins: nothing is left out before what it gets
//	one of several partitions that    the sink compares the claims of all of them with each batch
//	share state was taken             that writes the state (Batch.Beside), and all claim again
//	the group takes the partition     the owner is not the partition's any more: none begins
//	back meanwhile

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/sinks"
)

// askGroupEvery is how long an owner whose claim was taken waits at most before it asks
// the group again.
const askGroupEvery = 5 * time.Second

// regain returns a new claim once the group has confirmed that the partition is this
// member's.
func (o *owner) regain(ctx context.Context, fenced error) (sinks.Claim, error) {
	wait := backoff{config: RetryConfig{Initial: o.config.Retry.Initial, Max: min(askGroupEvery, o.config.Retry.Max)}}
	for {
		o.failing(fmt.Errorf("somebody else has claimed the partition; asking the group whose it is: %w", fenced))
		if err := o.pauseFor(ctx, wait.next()); err != nil {
			return sinks.Claim{}, err
		}
		bounded, cancel := context.WithTimeout(ctx, commitEvery)
		err := o.source.Commit(bounded, map[kafka.TopicPartition]int64{o.tp: o.committable()})
		cancel()
		var claim sinks.Claim
		if err == nil {
			claim, err = o.reclaimShared(ctx)
		}
		if err == nil && claim.Next == sinks.NoOffset {
			return claim, &cdc.StopError{What: "the sink has lost the partition's offset", Pos: o.tp.String(), Next: "restart to begin as source.start says"}
		}
		if err == nil {
			o.log.Warn("somebody else had claimed the partition, which is this member's; going on from the sink's offset", "offset", claim.Next, "was", o.position(), "epoch", claim.Epoch)
			return claim, nil
		}
		if cdc.Stopped(err) || ctx.Err() != nil {
			return claim, err
		}
	}
}

// reclaimShared claims the partition. No other partition of its task writes meanwhile, and
// the next one that does reads the state anew: whoever robbed this one may have written it.
func (o *owner) reclaimShared(ctx context.Context) (sinks.Claim, error) {
	t := o.task
	if t == nil {
		return o.config.Sink.Claim(ctx, o.claim.Partition)
	}
	t.serial.Lock()
	defer t.serial.Unlock()
	claim, err := o.config.Sink.Claim(ctx, o.claim.Partition)
	if err == nil {
		t.loaded = false
		t.claim(claim)
	}
	return claim, err
}

// regained is an owner that has ended with a new claim.
type regained struct {
	owner *owner
	claim sinks.Claim
}

// renew has the next poll begin an owner anew. Where it was robbed of a partition that
// shares its state, the others of the task were probably robbed with it: they claim again.
func (r *Runtime) renew(o *owner, c sinks.Claim, robbed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, other := range r.owners {
		if robbed && o.task != nil && other.task == o.task && other != o {
			other.suspect.Store(true)
			other.queue.poke()
		}
	}
	r.regained = append(r.regained, regained{o, c})
	r.interrupt()
}

// reposition makes the reading of an owner's partition go on at its position, between two
// polls. What was fetched already is dropped.
func (r *Runtime) reposition(o *owner) {
	o.queue.refuse()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seeks = append(r.seeks, o)
	r.interrupt()
}

// polling begins owners anew and makes partitions be read elsewhere, and returns the
// context of the next poll, which renew and reposition end.
func (r *Runtime) polling(ctx context.Context) (context.Context, context.CancelFunc) {
	wait, cancel := context.WithCancel(ctx)
	r.mu.Lock()
	all, seeks := r.regained, slices.DeleteFunc(r.seeks, func(o *owner) bool { return r.owners[o.tp] != o })
	r.regained, r.seeks, r.interrupt = nil, nil, cancel
	r.mu.Unlock()
	for _, g := range all {
		r.beginAgain(g)
	}
	for _, o := range seeks {
		r.source.Seek(o.tp, o.position())
		o.queue.accept()
		o.mayResume()
	}
	return wait, cancel
}

func (r *Runtime) beginAgain(g regained) {
	<-g.owner.done // it has nothing more to do than to end
	tp := g.owner.tp
	stretch, err := ParseStretch(g.claim.Note)
	r.source.Seek(tp, g.claim.Next)
	r.source.Resume(tp)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.owners[tp] != g.owner || r.draining {
		return
	}
	delete(r.owners, tp)
	if err == nil {
		err = r.begin(kafka.Assigned{TopicPartition: tp, Of: g.owner.of}, claimed{claim: g.claim, start: g.claim.Next, stretch: stretch.at(g.claim.Next)})
	}
	if err != nil {
		r.refused[tp] = err
		r.log.Error("the partition is stopped", "topic", tp.Topic, "partition", tp.Partition, "error", err)
	}
}
