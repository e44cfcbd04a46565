package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/cmd/demo/workload"
)

// view shows what goes on: a block that is drawn again every second on a
// terminal, else a line now and then.
type view struct {
	stack    *stack
	load     *workload.Workload
	out      io.Writer
	terminal bool
	drawn    int // lines of the block that stands there
}

// look is what the view shows.
type look struct {
	changes      int64
	rate         float64 // changes per second
	source, sink map[string]int64
	relay        relayStatus
	relayErr     error
	proc         processorStatus
	procErr      error
}

// run draws until ctx ends.
func (v *view) run(ctx context.Context) error {
	tick := time.NewTicker(interval(v.terminal))
	defer tick.Stop()
	changes, at := v.load.Changes(), time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		l, err := v.look(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		l.rate = float64(l.changes-changes) / time.Since(at).Seconds()
		changes, at = l.changes, time.Now()
		if v.terminal {
			v.draw(l)
		} else {
			fmt.Fprintln(v.out, l.line())
		}
	}
}

func (v *view) look(ctx context.Context) (l look, err error) {
	l.changes = v.load.Changes()
	if l.source, err = counts(ctx, v.stack.source()); err != nil {
		return l, fmt.Errorf("look at the source: %w", err)
	}
	if l.sink, err = counts(ctx, v.stack.sink()); err != nil {
		return l, fmt.Errorf("look at the sink: %w", err)
	}
	l.relay, l.relayErr = status[relayStatus](ctx, v.stack.relayOps)
	l.proc, l.procErr = status[processorStatus](ctx, v.stack.procOps)
	return l, nil
}

// counts are the numbers of rows of the workload's tables that are there.
func counts(ctx context.Context, url string) (map[string]int64, error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	n := map[string]int64{}
	for _, name := range workload.Tables() {
		table := pgx.Identifier{"public", name}.Sanitize()
		var there bool
		if err := conn.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", table).Scan(&there); err != nil {
			return nil, err
		}
		if !there {
			continue
		}
		var rows int64
		if err := conn.QueryRow(ctx, "SELECT count(*) FROM "+table).Scan(&rows); err != nil {
			return nil, err
		}
		n[name] = rows
	}
	return n, nil
}

func total(n map[string]int64) (sum int64) {
	for _, v := range n {
		sum += v
	}
	return sum
}

// line is the look as one line.
func (l look) line() string {
	return fmt.Sprintf("%s  changes %d (%.0f/s)  rows source %d sink %d  relay %s  processor %s",
		time.Now().Format("15:04:05"), l.changes, l.rate, total(l.source), total(l.sink), l.relayText(), l.procText())
}

func (l look) relayText() string {
	if l.relayErr != nil {
		return "starting"
	}
	s := l.relay.State
	if l.relay.Reason != "" {
		s += " (" + l.relay.Reason + ")"
	}
	if snap := l.relay.Snapshot; snap != nil && snap.Total > 0 && snap.Done < snap.Total {
		return fmt.Sprintf("%s %s %d of %d rows", s, snap.Table, snap.Done, snap.Total)
	}
	return fmt.Sprintf("%s, lag %s, %.1f s", s, byteSize(l.relay.LagBytes), l.relay.LagSeconds)
}

func (l look) procText() string {
	if l.procErr != nil {
		return "starting"
	}
	records, seconds := l.proc.lag()
	return fmt.Sprintf("%s, lag %d records, %.1f s", l.proc.State, records, seconds)
}

func byteSize(n int64) string {
	switch {
	case n < 10<<10:
		return fmt.Sprintf("%d B", n)
	case n < 10<<20:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

// draw replaces the block that was drawn before.
func (v *view) draw(l look) {
	var b strings.Builder
	if v.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\x1b[J", v.drawn)
	}
	start := b.Len()
	fmt.Fprintf(&b, "relay      %s\nprocessor  %s\nworkload   %d changes, %.0f/s\n\n", l.relayText(), l.procText(), l.changes, l.rate)
	fmt.Fprintf(&b, "%-14s %10s %10s\n", "table", "source", "sink")
	for _, name := range workload.Tables() {
		fmt.Fprintf(&b, "%-14s %10d %10d\n", name, l.source[name], l.sink[name])
	}
	v.drawn = strings.Count(b.String()[start:], "\n")
	_, _ = io.WriteString(v.out, b.String())
}
