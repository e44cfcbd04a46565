package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// kill is one SIGKILL of the schedule.
type kill struct {
	relay bool
	at    float64       // progress of the workload; beyond 1, after its end
	after time.Duration // of having reached it
}

// schedule is the kills of a seed, in order. Some come at the start, in the
// snapshot; most fall into the workload; some come after it, when relay and
// processor catch up.
func schedule(seed int64, kills int) []kill {
	r := rand.New(rand.NewPCG(uint64(seed), 0x6b696c6c))
	var s []kill
	for range kills {
		for _, relay := range []bool{true, false} {
			k := kill{relay: relay, at: 1.1 * r.Float64(), after: time.Duration(r.Int64N(int64(500 * time.Millisecond)))}
			if r.IntN(5) == 0 {
				k.at, k.after = 0, 3*k.after
			}
			s = append(s, k)
		}
	}
	slices.SortStableFunc(s, func(a, b kill) int {
		switch {
		case a.at < b.at:
			return -1
		case a.at > b.at:
			return 1
		}
		return 0
	})
	return s
}

// kill carries out the schedule: it kills and starts again at once.
func (c *check) kill(ctx context.Context, duration time.Duration, worked <-chan struct{}) error {
	for _, k := range schedule(c.seed, c.kills) {
		if err := c.reach(ctx, k, duration, worked); err != nil {
			return err
		}
		p := c.stack.processor
		if k.relay {
			p = c.stack.relay
		}
		p.kill()
		fmt.Fprintf(c.stderr, "killed %s at %.0f%% of the workload\n", p.name, 100*min(k.at, c.load.Progress()))
		if err := p.start(); err != nil {
			return err
		}
	}
	select {
	case <-worked:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// reach waits until it is time for k.
func (c *check) reach(ctx context.Context, k kill, duration time.Duration, worked <-chan struct{}) error {
	for k.at <= 1 && c.load.Progress() < k.at {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-worked:
			k.at = 1
		case <-time.After(5 * time.Millisecond):
		}
	}
	if k.at > 1 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-worked:
		}
		k.after += time.Duration((k.at - 1) * float64(duration))
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(k.after):
		return nil
	}
}
