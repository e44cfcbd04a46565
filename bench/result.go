package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/tailrace/tailrace/bench/measure"
	"github.com/tailrace/tailrace/internal/ops"
)

// The roles of processes whose CPU time and memory a result has.
const (
	roleClient    = "client"    // the contender itself
	roleSecond    = "second"    // a second program of the contender
	roleWalsender = "walsender" // PostgreSQL's process that reads the WAL for it
	roleServer    = "server"    // all of PostgreSQL, walsender included
	roleBroker    = "broker"
)

// result is one run, and one line of the raw numbers.
type result struct {
	At        time.Time        `json:"at"`
	Work      string           `json:"work"`
	Contender string           `json:"contender"`
	Round     int              `json:"round"`
	Try       int              `json:"try"`
	Rows      int64            `json:"rows"`
	Seconds   float64          `json:"seconds"`
	Half      float64          `json:"seconds_of_second_half,omitempty"`
	CPU       map[string]used  `json:"cpu_seconds"`
	Peak      map[string]int64 `json:"peak_bytes"`
	Latency   *latency         `json:"latency_ms,omitempty"`
	Others    measure.Others   `json:"others"`
	Disturbed bool             `json:"disturbed"`
	Refused   bool             `json:"refused"`
	Error     string           `json:"error,omitempty"`
}

// used is CPU seconds.
type used struct {
	User   float64 `json:"user"`
	System float64 `json:"system"`
}

// latency is what 1,000 commits a second met, in milliseconds.
type latency struct {
	Count int     `json:"count"`
	Mean  float64 `json:"mean"`
	P50   float64 `json:"p50"`
	P95   float64 `json:"p95"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
}

// cpu is the CPU seconds of a role; 0 when it is not known.
func (r *result) cpu(role string) float64 { return r.CPU[role].User + r.CPU[role].System }

// rate is rows per second.
func (r *result) rate() float64 { return float64(r.Rows) / r.Seconds }

// counts tells whether the run is one to be reported.
func (r *result) counts() bool { return r.Error == "" && !r.Refused }

// judge says whether others disturbed the run: by share of one core.
func (r *result) judge(above float64, allow bool) {
	r.Disturbed = r.Others.CPU+r.Others.Steal > above*r.Seconds+0.02 // two ticks are within what can be told
	r.Refused = r.Disturbed && !allow
}

// String is one line for people.
func (r *result) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-12s %-20s run %d", r.Work, r.Contender, r.Round)
	if r.Latency != nil {
		fmt.Fprintf(&b, "  p50 %.1f  p95 %.1f  p99 %.1f  max %.1f ms", r.Latency.P50, r.Latency.P95, r.Latency.P99, r.Latency.Max)
	} else {
		fmt.Fprintf(&b, "  %10s rows/s", ops.Count(int64(r.rate())))
	}
	for _, role := range []string{roleClient, roleSecond, roleWalsender, roleServer, roleBroker} {
		if u, ok := r.CPU[role]; ok {
			fmt.Fprintf(&b, "  %s %.2f s", role, u.User+u.System)
		}
	}
	if peak := r.Peak[roleClient]; peak > 0 {
		fmt.Fprintf(&b, "  peak %s", ops.Bytes(peak))
	}
	switch {
	case r.Refused:
		b.WriteString("  REFUSED, disturbed by ")
	case r.Disturbed:
		b.WriteString("  disturbed by ")
	default:
		return b.String()
	}
	return b.String() + r.by()
}

func (r *result) by() string {
	who := r.Others.Who
	if r.Others.Steal > 0.1 {
		who = append([]string{fmt.Sprintf("the hypervisor %.2f s", r.Others.Steal)}, who...)
	}
	if len(who) == 0 {
		return fmt.Sprintf("many small processes, %.2f s", r.Others.CPU)
	}
	return strings.Join(who, ", ")
}

// meter measures one run, between begin and end. One goroutine uses it.
type meter struct {
	*rig
	result  *result
	before  measure.Snapshot
	began   time.Time
	half    time.Time
	ended   bool
	watches map[string]*watched
}

type watched struct {
	*measure.Watch
	whole bool // from the start of the process on
	pid   int
}

// watch has a process's CPU time and memory in the result, under a role. whole
// counts what it had used before.
func (m *meter) watch(role string, pid int, whole bool) error {
	w, err := measure.WatchPID(pid)
	if err != nil {
		return fmt.Errorf("watch the %s: %w", role, err)
	}
	if m.watches == nil {
		m.watches = map[string]*watched{}
	}
	m.watches[role] = &watched{Watch: w, whole: whole, pid: pid}
	return nil
}

// begin starts the clock.
func (m *meter) begin() error {
	var err error
	m.before, err = measure.Take()
	m.began = time.Now()
	return err
}

// end stops the clock at a time that has just been.
func (m *meter) end(at time.Time, rows int64) error {
	after, err := measure.Take()
	if err != nil {
		return err
	}
	res := m.result
	res.Rows, res.Seconds = rows, at.Sub(m.began).Seconds()
	if !m.half.IsZero() {
		res.Half = at.Sub(m.half).Seconds()
	}
	res.Others = measure.OthersBetween(m.before, after, os.Getpid())
	res.CPU, res.Peak = map[string]used{}, map[string]int64{}
	if m.postgres != nil {
		pid := m.postgres.PID()
		res.CPU[roleServer] = used{User: after.Tree(pid) - m.before.Tree(pid)}
	}
	for role, w := range m.watches {
		user, system, peak := w.Used(w.whole)
		res.CPU[role], res.Peak[role] = used{user, system}, peak
	}
	m.ended = true
	return nil
}

// close ends the watches; every contender defers it.
func (m *meter) close() {
	for _, w := range m.watches {
		w.Close()
	}
}
