package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tailrace/tailrace/cmd/demo/compare"
	"github.com/tailrace/tailrace/cmd/demo/workload"
)

// workers is the number of connections that write.
const workers = 4

// shown is how many differences are printed at most.
const shown = 100

// runCheck is --check. Its verdict is on stdout; everything else, and where the
// logs are when it failed, goes to stderr.
func runCheck(ctx context.Context, o options, stdout, stderr io.Writer) (ok bool, err error) {
	fmt.Fprintf(stdout, "seed=%d\n", o.seed)
	dir, err := os.MkdirTemp("", "tailrace-check-")
	if err != nil {
		return false, fmt.Errorf("make a temporary folder: %w", err)
	}
	o.postgresPort, o.kafkaPort, o.registryPort = 0, 0, 0
	c := check{options: o, stdout: stdout, stderr: stderr}
	result, err := c.run(ctx, dir)
	if err == nil && result.Differences == 0 {
		fmt.Fprintf(stdout, "OK seed=%d tables=%d rows=%d changes=%d kills=%d+%d\n",
			o.seed, result.Tables, c.load.Inserted(), c.load.Changes(), o.kills, o.kills)
		return true, os.RemoveAll(dir)
	}
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(stderr, "demo: interrupted")
	case err != nil:
		fmt.Fprintln(stderr, "demo:", err)
	}
	if os.Remove(dir) != nil { // not empty
		fmt.Fprintf(stderr, "demo: configurations and logs are in %s\n", dir)
	}
	for _, d := range result.Lines {
		fmt.Fprintln(stdout, d)
	}
	differences := fmt.Sprint(result.Differences)
	if result.Tables == 0 { // it never came to a comparison
		differences = "unknown"
	}
	fmt.Fprintf(stdout, "FAILED seed=%d differences=%s\n", o.seed, differences)
	return false, nil
}

type check struct {
	options
	stdout, stderr io.Writer
	load           *workload.Workload
	stack          *stack
}

// run returns the last comparison, and an error when something else than the
// comparison failed.
func (c *check) run(ctx context.Context, dir string) (result compare.Result, err error) {
	c.stack, err = startStack(ctx, c.options, dir, dir, [2]int{}, c.stderr)
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, c.stack.down()) }()
	// The more kills, the longer: each finds the programs at something else.
	duration := 6*time.Second + time.Duration(c.kills)*3*time.Second
	c.load = workload.New(workload.Config{
		URL: c.stack.source(), Seed: c.seed, Rows: c.rows, Workers: workers, Duration: duration,
	})
	if err := c.load.Setup(ctx); err != nil {
		return result, err
	}
	if err := c.load.Load(ctx); err != nil {
		return result, err
	}
	fmt.Fprintf(c.stderr, "%d rows loaded; %d more and the changes of all of them follow within %s, with %d+%d kills\n",
		c.load.Inserted(), int64(c.rows)-c.load.Inserted(), duration, c.kills, c.kills)
	if err := c.stack.startPrograms(); err != nil {
		return result, err
	}
	if err := c.watched(ctx, func(ctx context.Context) error {
		if err := c.disturb(ctx, duration); err != nil {
			return err
		}
		fmt.Fprintf(c.stderr, "%d changes committed, all kills done; waiting until the sink has them\n", c.load.Changes())
		return c.drain(ctx)
	}); err != nil {
		return c.compareAnyway(ctx, err)
	}
	if err := c.stack.stopPrograms(); err != nil {
		return c.compareAnyway(ctx, err)
	}
	return c.compare(ctx)
}

// disturb runs the workload and the kills.
func (c *check) disturb(ctx context.Context, duration time.Duration) error {
	g, ctx := errgroup.WithContext(ctx)
	worked := make(chan struct{})
	g.Go(func() error {
		defer close(worked)
		return c.load.Run(ctx)
	})
	g.Go(func() error { return c.kill(ctx, duration, worked) })
	return g.Wait()
}

// watched calls do, and ends it with an error when a program ends by itself.
func (c *check) watched(ctx context.Context, do func(context.Context) error) error {
	g, ctx := errgroup.WithContext(ctx)
	finished := make(chan struct{})
	g.Go(func() error {
		defer close(finished)
		return do(ctx)
	})
	g.Go(func() error { return c.stack.watch(finished) })
	return g.Wait()
}

func (c *check) compare(ctx context.Context) (compare.Result, error) {
	return compare.Tables(ctx, c.stack.source(), c.stack.sink(), workload.Tables(), shown)
}

// compareAnyway adds to an error what the comparison says at that moment.
func (c *check) compareAnyway(ctx context.Context, err error) (compare.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	result, cmpErr := c.compare(ctx)
	return result, errors.Join(err, cmpErr)
}
