package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tailrace/tailrace/bench/measure"
)

// work is one row of what is measured: contenders that do the same.
type work struct {
	name, about string
	prepare     func(ctx context.Context, r *rig, w string) (contenders []contender, done func(), err error)
	goals       []goal
}

// contender does a work once. It begins and ends the meter around what counts;
// what it prepares and cleans up lies outside.
type contender struct {
	name string
	run  func(ctx context.Context, m *meter) error
}

const (
	tries      = 3                // of a run that is disturbed
	runLimit   = 10 * time.Minute // one run
	workLimit  = time.Hour        // one work, its preparation included
	quietLimit = time.Minute      // how long a quiet machine is waited for
)

// rig does works and keeps what they gave. One goroutine uses it.
type rig struct {
	o        options
	dir      string
	file     *os.File
	progress *progress
	*services

	runs   []*result
	failed []string // works that could not be prepared, and contenders that failed
	done   []string // works that were done, whole or in part
	names  int
}

func newRig(o options, stderr io.Writer) (*rig, error) {
	if err := os.MkdirAll(filepath.Dir(o.out), 0o755); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "tailrace-bench-")
	if err != nil {
		return nil, err
	}
	file, err := os.OpenFile(o.out, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	p := newProgress(stderr)
	r := &rig{o: o, dir: dir, file: file, progress: p, services: &services{dir: dir, cache: o.parts, logf: p.say}}
	return r, errors.Join(r.raw(machine()))
}

// close stops what was started. The logs stay when something failed.
func (r *rig) close() error {
	r.progress.clear()
	err := errors.Join(r.services.stop(), r.file.Close())
	if len(r.failed) > 0 {
		r.progress.say("the logs are in %s", r.dir)
		return err
	}
	return errors.Join(err, os.RemoveAll(r.dir))
}

// raw writes one line of the raw numbers.
func (r *rig) raw(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = r.file.Write(append(b, '\n'))
	return err
}

// name is one that no run has had: of slots, topics and groups.
func (r *rig) name() string {
	r.names++
	return fmt.Sprintf("bench%d", r.names)
}

// work does one work: its contenders in turn, and that as often as asked for.
func (r *rig) work(ctx context.Context, w work) {
	ctx, cancel := context.WithTimeout(ctx, workLimit)
	defer cancel()
	r.done = append(r.done, w.name)
	r.progress.begin("%s: preparing", w.name)
	contenders, done, err := w.prepare(ctx, r, w.name)
	if done != nil {
		defer done()
	}
	r.progress.clear()
	if err != nil {
		r.fail(w.name, "preparation", err)
		return
	}
	contenders = slices.DeleteFunc(contenders, func(c contender) bool { return slices.Contains(r.o.without, c.name) })
	for round := 1; round <= r.o.runs; round++ {
		for _, c := range contenders {
			if ctx.Err() == nil {
				r.once(ctx, w.name, round, c)
			}
		}
	}
}

// once does one run, again when it was disturbed. The last disturbed one is kept,
// and refused.
func (r *rig) once(ctx context.Context, work string, round int, c contender) {
	for try := 1; ; try++ {
		if !r.o.allowDisturbed {
			r.quiet(ctx)
		}
		r.progress.begin("%s: %s, run %d of %d", work, c.name, round, r.o.runs)
		limited, cancel := context.WithTimeout(ctx, runLimit)
		m := &meter{rig: r, result: &result{At: time.Now().UTC(), Work: work, Contender: c.name, Round: round, Try: try}}
		err := c.run(limited, m)
		cancel()
		r.progress.clear()
		if err == nil && !m.ended {
			err = errors.New("the run did not come to its end")
		}
		res := m.result
		if err != nil {
			res.Error = err.Error()
			r.fail(work, c.name, err)
		} else {
			res.judge(r.o.disturbedAbove, r.o.allowDisturbed)
			r.progress.say("%s", res)
		}
		if err := r.raw(res); err != nil {
			r.fail(work, c.name, fmt.Errorf("write the raw numbers: %w", err))
		}
		if res.Refused && try < tries && ctx.Err() == nil {
			continue
		}
		r.runs = append(r.runs, res)
		return
	}
}

func (r *rig) fail(work, what string, err error) {
	r.failed = append(r.failed, work+", "+what)
	r.progress.say("%s, %s: FAILED: %v", work, what, err)
}

// complete tells whether every run was made and counts.
func (r *rig) complete() bool {
	return len(r.failed) == 0 && !slices.ContainsFunc(r.runs, func(x *result) bool { return x.Refused })
}

// quiet waits until others leave the machine alone for a second, but not for ever:
// the run itself tells whether it was disturbed.
func (r *rig) quiet(ctx context.Context) {
	r.progress.begin("waiting for a quiet machine")
	defer r.progress.clear()
	for deadline := time.Now().Add(quietLimit); time.Now().Before(deadline); {
		before, err := measure.Take()
		if err != nil || !pause(ctx, time.Second) {
			return
		}
		after, err := measure.Take()
		if err != nil {
			return
		}
		o := measure.OthersBetween(before, after, os.Getpid())
		if o.CPU+o.Steal <= r.o.disturbedAbove {
			return
		}
		r.progress.begin("waiting for a quiet machine: %s", strings.Join(o.Who, ", "))
	}
}

// pause is false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
