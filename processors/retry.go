package processors

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/sinks"
)

// backoff is exponential with full jitter: a random time up to Initial, then up
// to twice that, and so on up to Max. Not safe for concurrent use.
type backoff struct {
	config RetryConfig
	limit  time.Duration
}

func (b *backoff) next() time.Duration {
	switch {
	case b.limit == 0:
		b.limit = max(b.config.Initial, time.Millisecond)
	default:
		b.limit = min(2*b.limit, max(b.config.Max, b.config.Initial))
	}
	return time.Duration(rand.Int64N(int64(b.limit)) + 1)
}

// persist runs f until it succeeds. It gives up when ctx ends, when the owner
// must let go of its partition (sinks.ErrFenced, a *cdc.StopError), and after
// RetryConfig.GiveUpAfter. The partition is paused while f fails.
func (o *owner) persist(ctx context.Context, f func(context.Context, attempts) error) error {
	wait := backoff{config: o.config.Retry}
	tries := attempts{count: 1}
	for {
		err := f(ctx, tries)
		if err == nil {
			if tries.count > 1 || o.fails() { // reclaim fails within a try
				o.recovered(tries)
			}
			return nil
		}
		if ctx.Err() != nil || errors.Is(err, sinks.ErrFenced) || errors.Is(err, errLeaving) || cdc.Stopped(err) {
			return err
		}
		if tries.first.IsZero() {
			tries.first = time.Now()
		}
		if limit := o.config.Retry.GiveUpAfter; limit > 0 && time.Since(tries.first) >= limit {
			return &cdc.StopError{What: fmt.Sprintf("gave up after %d tries in %s", tries.count, time.Since(tries.first).Round(time.Second)), Pos: o.tp.String(), Err: err,
				Next: "mend the cause and restart; errors.retry.give_up_after: 0s never gives up"}
		}
		o.failing(err)
		rest := wait.next()
		o.waits(rest)
		if err := o.pauseFor(ctx, rest); err != nil {
			return err
		}
		tries.count++
	}
}

// errLeaving says that what failed is left to the partition's next owner.
var errLeaving = errors.New("the partition is given back")

// pauseFor waits before another try. It ends early with ctx, and when the
// partition is given back: the next owner tries better than one in a hurry.
func (o *owner) pauseFor(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-o.leaving:
		return errLeaving
	case <-t.C:
		return nil
	}
}
