package processors

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestCircuitOpensOnAShareOfFailuresAndTriesOneWriteFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCircuit(CircuitConfig{Failures: 0.5, Window: 30 * time.Second, Open: 10 * time.Second})
		write := func(failed bool) {
			if err := c.enter(t.Context()); err != nil {
				t.Fatal(err)
			}
			c.leave(failed)
		}
		for range 4 {
			write(true)
		}
		if got := c.current(); got != circuitClosed {
			t.Errorf("after 4 writes: got state %d, want closed: they are too few to count", got)
		}
		time.Sleep(31 * time.Second) // out of the window
		for i := range 6 {
			write(i >= 3)
		}
		if got := c.current(); got != circuitOpen {
			t.Fatalf("half of the writes failed: got state %d, want open", got)
		}
		began := time.Now()
		if err := c.enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(began); waited != 10*time.Second || c.current() != circuitHalfOpen {
			t.Errorf("the first try: after %s in state %d, want 10s, half open", waited, c.current())
		}
		bounded, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.enter(bounded); err == nil {
			t.Error("a second try beside the first: want none")
		}
		c.leave(true)
		if got := c.current(); got != circuitOpen {
			t.Errorf("after a failed try: got state %d, want open", got)
		}
		write(false)
		if got := c.current(); got != circuitClosed {
			t.Errorf("after a good try: got state %d, want closed", got)
		}
	})
}

func TestBackoffIsBoundedAndRandom(t *testing.T) {
	t.Parallel()
	b := backoff{config: RetryConfig{Initial: 100 * time.Millisecond, Max: time.Second}}
	limits := []time.Duration{100, 200, 400, 800, 1000, 1000}
	for i, limit := range limits {
		if d := b.next(); d <= 0 || d > limit*time.Millisecond {
			t.Errorf("wait %d: got %s, want more than 0 and at most %s", i, d, limit*time.Millisecond)
		}
	}
}
