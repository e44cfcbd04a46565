package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// runner does steps one after the other and remembers those that failed.
type runner struct {
	ctx      context.Context
	out      io.Writer
	only     string
	services *services
	done     int
	failed   []string
}

// wanted tells whether a step is to be done.
func (r *runner) wanted(name string) bool {
	return r.ctx.Err() == nil && strings.Contains(name, r.only)
}

// step runs a command against the shared servers.
func (r *runner) step(name string, command func(addresses) (env, args []string)) {
	if !r.wanted(name) {
		return
	}
	at, err := r.services.shared()
	if err != nil {
		r.fail(name, err)
		return
	}
	env, args := command(at)
	r.bare(name, append([]string{"TAILRACE_TEST_KAFKA=" + at.kafka, "TAILRACE_TEST_REGISTRY=" + at.registry}, env...), args)
}

// bare runs a command that brings its servers. An interrupt reaches it too: it is
// asked to end, so that it stops what it has started.
func (r *runner) bare(name string, env, args []string) {
	if !r.wanted(name) {
		return
	}
	began := time.Now()
	env = append(env, "TAILRACE_TEST_PARTS="+r.services.cache)
	fmt.Fprintf(r.out, "=== %s: %s %s\n", name, strings.Join(env, " "), strings.Join(args, " "))
	cmd := exec.CommandContext(r.ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = r.out, r.out
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	if err := cmd.Run(); err != nil {
		r.fail(name, err)
		return
	}
	r.done++
	fmt.Fprintf(r.out, "=== %s: ok, %.0f s\n", name, time.Since(began).Seconds())
}

func (r *runner) fail(name string, err error) {
	r.done++
	r.failed = append(r.failed, name)
	fmt.Fprintf(r.out, "=== %s: %v\n", name, err)
}

func (r *runner) verdict() error {
	if err := r.ctx.Err(); err != nil {
		return errors.Join(errors.New("interrupted"), err)
	}
	if len(r.failed) > 0 {
		return fmt.Errorf("%d of %d steps failed: %s", len(r.failed), r.done, strings.Join(r.failed, "; "))
	}
	if r.done == 0 {
		return fmt.Errorf("no step's name contains %q", r.only)
	}
	fmt.Fprintf(r.out, "=== OK, %d steps\n", r.done)
	return nil
}
