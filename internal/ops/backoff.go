package ops

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff is the time to wait between tries: doubled each time from Initial to
// Max, of which a random part from half to all is taken, so that many clients
// do not come back at once. Its zero value waits 100 ms to 30 s. It is not safe
// for concurrent use.
type Backoff struct {
	Initial time.Duration
	Max     time.Duration

	next time.Duration
}

// Next is how long to wait before the next try.
func (b *Backoff) Next() time.Duration {
	initial, most := b.Initial, b.Max
	if initial <= 0 {
		initial = 100 * time.Millisecond
	}
	if most <= 0 {
		most = 30 * time.Second
	}
	if b.next == 0 {
		b.next = initial
	}
	d := min(b.next, most)
	b.next = min(2*d, most)
	return d/2 + time.Duration(rand.Int64N(int64(d/2)+1))
}

// Reset makes the next wait the first one again; call it after a success.
func (b *Backoff) Reset() { b.next = 0 }

// Wait waits for Next, or returns the context's error.
func (b *Backoff) Wait(ctx context.Context) error { return Sleep(ctx, b.Next()) }

// Sleep waits for d, or returns the context's error.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// Retry calls f until it succeeds, returns an error that is not transient, or
// ctx ends; it returns f's last error. failed may be nil; it is told each
// transient error and the wait that follows.
func Retry(ctx context.Context, b Backoff, transient func(error) bool, failed func(err error, wait time.Duration), f func(context.Context) error) error {
	for {
		err := f(ctx)
		if err == nil || ctx.Err() != nil || !transient(err) {
			return err
		}
		wait := b.Next()
		if failed != nil {
			failed(err, wait)
		}
		if Sleep(ctx, wait) != nil {
			return err
		}
	}
}
