package processors

import (
	"context"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/ratelimiter"
)

// CircuitConfig says when the circuit to the sink opens: when at least this
// share of the writes of a window failed, and for how long.
type CircuitConfig struct {
	Failures float64 // 0.5: half of them
	Window   time.Duration
	Open     time.Duration
}

// minWrites is how many writes a window must have before their share counts.
const minWrites = 5

// The states of a circuit; their numbers are the values of the metric.
const (
	circuitClosed = iota
	circuitHalfOpen
	circuitOpen
)

var circuitStates = [...]string{"closed", "half_open", "open"}

// circuit is shared by the owners of all partitions: while it is open none of
// them asks the sink; then one of them tries, and its success closes it for
// all. Safe for concurrent use.
type circuit struct {
	breaker circuitbreaker.CircuitBreaker[any]
}

func newCircuit(c CircuitConfig) *circuit {
	return &circuit{breaker: circuitbreaker.NewBuilder[any]().
		WithFailureRateThreshold(c.Failures, minWrites, c.Window).
		WithSuccessThreshold(1).
		WithDelay(c.Open).
		Build()}
}

// askAgain is how long to wait for what another owner's try will show.
const askAgain = 50 * time.Millisecond

// enter waits until a write may be tried. Each nil is followed by one leave.
func (c *circuit) enter(ctx context.Context) error {
	for !c.breaker.TryAcquirePermit() {
		wait := c.breaker.RemainingDelay()
		if wait <= 0 {
			wait = askAgain
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
	return nil
}

// leave reports what became of a write: failed is for what the sink would
// answer to another record as well.
func (c *circuit) leave(failed bool) {
	if failed {
		c.breaker.RecordFailure()
	} else {
		c.breaker.RecordSuccess()
	}
}

// rest is how long the sink is not asked yet; 0 unless the circuit is open.
func (c *circuit) rest() time.Duration { return max(0, c.breaker.RemainingDelay()) }

// current is the state, for metric and status.
func (c *circuit) current() int {
	switch c.breaker.State() {
	case circuitbreaker.OpenState:
		return circuitOpen
	case circuitbreaker.HalfOpenState:
		return circuitHalfOpen
	}
	return circuitClosed
}

// limiter bounds the records per second of all partitions together. Safe for
// concurrent use.
type limiter struct {
	rate  int                          // 0: no bound
	limit ratelimiter.RateLimiter[any] // nil without a bound
}

func newLimiter(rate int) *limiter {
	l := &limiter{rate: rate}
	if rate > 0 {
		l.limit = ratelimiter.NewSmooth[any](uint(rate), time.Second)
	}
	return l
}

// rows is how many of a batch's rows may be taken at once: a tenth of a second's,
// so that a low rate flows and does not come in bursts.
func (l *limiter) rows(batch int) int {
	if l.limit == nil {
		return batch
	}
	return min(batch, max(1, l.rate/10))
}

// reserve is how long to wait before n records may be processed. They count as
// processed.
func (l *limiter) reserve(n int) time.Duration {
	if l.limit == nil || n == 0 {
		return 0
	}
	return l.limit.ReservePermits(uint(n))
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
