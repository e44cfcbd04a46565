package processors

import (
	"context"
	"sync"
	"time"
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
	config CircuitConfig

	mu     sync.Mutex // guards the following
	writes []write    // of the window, oldest first
	state  int
	until  time.Time // open: when the next try may be made
	trying bool      // half open: somebody tries
}

type write struct {
	at     time.Time
	failed bool
}

// maxWrites bounds what a window remembers.
const maxWrites = 1024

func newCircuit(c CircuitConfig) *circuit { return &circuit{config: c} }

// enter waits until a write may be tried. Each nil is followed by one leave.
func (c *circuit) enter(ctx context.Context) error {
	for {
		wait := c.admit(time.Now())
		if wait <= 0 {
			return nil
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// admit is zero when a write may be tried, else how long to wait.
func (c *circuit) admit(now time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == circuitOpen && !now.Before(c.until) {
		c.state = circuitHalfOpen
	}
	switch {
	case c.state == circuitOpen:
		return c.until.Sub(now)
	case c.state == circuitHalfOpen && c.trying:
		return 50 * time.Millisecond
	case c.state == circuitHalfOpen:
		c.trying = true
	}
	return 0
}

// leave reports what became of a write: failed is for what the sink would
// answer to another record as well.
func (c *circuit) leave(failed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if c.state == circuitHalfOpen {
		c.trying = false
		if failed {
			c.open(now)
		} else {
			c.state, c.writes = circuitClosed, nil
		}
		return
	}
	c.writes = append(c.writes, write{now, failed})
	drop := 0
	for drop < len(c.writes) && (now.Sub(c.writes[drop].at) > c.config.Window || len(c.writes)-drop > maxWrites) {
		drop++
	}
	c.writes = append(c.writes[:0], c.writes[drop:]...)
	failures := 0
	for _, w := range c.writes {
		if w.failed {
			failures++
		}
	}
	if failed && c.state == circuitClosed && len(c.writes) >= minWrites && float64(failures) >= c.config.Failures*float64(len(c.writes)) {
		c.open(now)
	}
}

func (c *circuit) open(now time.Time) {
	c.state, c.until, c.writes = circuitOpen, now.Add(c.config.Open), nil
}

// current is the state, for metric and status.
func (c *circuit) current() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
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
