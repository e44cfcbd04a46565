package processors_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/processors"
)

// picky refuses rows with the name bad while it is set.
func picky(refuses *atomic.Bool) logOption {
	return logSteps(processors.StepFunc(func(_ context.Context, c *processors.Change, _ processors.State, emit processors.Emit) error {
		if name, err := c.Row().Text("name"); err == nil && name == "bad" && refuses.Load() {
			return errors.New("refused")
		}
		return emit(c)
	}))
}

func skipInLog(s *logSetup) { s.config.OnPoison = processors.PolicySkip }

// parkedInLog leaves row 1 parked with two dead letters behind offset 4; row 2 flows.
func parkedInLog(t *testing.T) (w *world, refuses *atomic.Bool) {
	t.Helper()
	w, refuses = newLogWorld(t, 1), &atomic.Bool{}
	refuses.Store(true)
	w.publish(w.put(1, 1, "one", "x", 1), w.put(2, 1, "bad", "x", 2), w.put(3, 1, "three", "x", 3), w.put(4, 2, "two", "x", 4))
	return w, refuses
}

func TestLogParkedRowsGoOnInOrder(t *testing.T) {
	t.Parallel()
	w, refuses := parkedInLog(t)
	p := w.startLog(picky(refuses))
	w.reachLog(topic, 0, 4)
	dead := w.dead(2)
	first, second := letterOf(t, dead[0]), letterOf(t, dead[1])
	c := w.console()
	c.send(processors.DoReplay, second, first, nil)
	c.want(second.ID, processors.VerdictFailed, "fails again, and the row stays parked")
	w.wantSaid(outTopic, "u 1,one,x,1", "u 2,two,x,4")
	refuses.Store(false)
	c.send(processors.DoResolve, second, first, nil)
	c.want(first.ID, processors.VerdictApplied, "")
	c.want(second.ID, processors.VerdictApplied, "")
	w.wantSaid(outTopic, "u 1,one,x,1", "u 2,two,x,4", "u 1,bad,x,2", "u 1,three,x,3")
	// The row flows, what a relay repeats is a repetition, and so it is after a restart.
	w.publish(w.put(3, 1, "three", "x", 3), w.put(5, 1, "five", "x", 5))
	w.reachLog(topic, 0, 6)
	p.wantCounters(map[string]int{"applied": 3, "dead_lettered": 1, "parked": 1, "duplicate": 1})
	p.stop()
	w.publish(w.put(2, 1, "bad", "x", 2), w.put(6, 1, "six", "x", 6))
	w.startLog(picky(refuses))
	w.reachLog(topic, 0, 8)
	w.wantSaid(outTopic, "u 1,one,x,1", "u 2,two,x,4", "u 1,bad,x,2", "u 1,three,x,3", "u 1,five,x,5", "u 1,six,x,6")
}

func TestLogDiscardLeavesTheRecordItselfOut(t *testing.T) {
	t.Parallel()
	w, refuses := parkedInLog(t)
	w.startLog(picky(refuses))
	w.reachLog(topic, 0, 4)
	dead := w.dead(2)
	first := letterOf(t, dead[0])
	c := w.console()
	c.send(processors.DoResolve, first, first, func(c *processors.Command) { c.Discard = true })
	c.want(first.ID, processors.VerdictDiscarded, "")
	c.want(letterOf(t, dead[1]).ID, processors.VerdictApplied, "")
	w.wantSaid(outTopic, "u 1,one,x,1", "u 2,two,x,4", "u 1,three,x,3")
}

// What others have passed is judged by what was applied to its row, not by what was
// seen of it; nothing is replayed twice.
func TestLogReplayIsJudgedByWhatTheRowHasApplied(t *testing.T) {
	t.Parallel()
	w, refuses := newLogWorld(t, 1), &atomic.Bool{}
	refuses.Store(true)
	w.publish(w.put(1, 1, "bad", "x", 1), w.put(2, 2, "bad", "x", 2), w.put(3, 2, "newer", "x", 3))
	p := w.startLog(picky(refuses), skipInLog)
	w.reachLog(topic, 0, 3)
	refuses.Store(false)
	c := w.console()
	dead := w.dead(2)
	one, two := letterOf(t, dead[0]), letterOf(t, dead[1])
	c.send(processors.DoReplay, one, processors.Letter{}, nil)
	c.send(processors.DoReplay, two, processors.Letter{}, nil)
	c.want(one.ID, processors.VerdictApplied, "")
	c.want(two.ID, processors.VerdictSuperseded, "later change")
	w.wantSaid(outTopic, "u 2,newer,x,3", "u 1,bad,x,1")
	c.send(processors.DoReplay, one, processors.Letter{}, func(c *processors.Command) { c.Force = true })
	c.send(processors.DoReplay, two, processors.Letter{}, func(c *processors.Command) { c.Force = true })
	c.want(two.ID, processors.VerdictApplied, "")
	w.wantSaid(outTopic, "u 2,newer,x,3", "u 1,bad,x,1", "u 2,bad,x,2")
	outs := w.outputs(outTopic)
	if got, want := outs[2].pos, at(3).String()+"/ffff"; got != want {
		t.Errorf("position of what was forced: got %s, want %s", got, want)
	}
	w.publish(w.put(3, 2, "newer", "x", 3), w.put(1, 1, "bad", "x", 1), w.put(4, 2, "four", "x", 4))
	w.reachLog(topic, 0, 6)
	w.wantSaid(outTopic, "u 2,newer,x,3", "u 1,bad,x,1", "u 2,bad,x,2", "u 2,four,x,4")
	p.wantCounters(map[string]int{"applied": 2, "dead_lettered": 2, "duplicate": 1, "stale": 1})
	if n := c.count(one.ID); n != 1 {
		t.Errorf("results of a dead letter that was replayed: got %d, want 1", n)
	}
}

// A row that was missing comes whole: its dead letter is closed by itself.
func TestLogMissingBaseClosesItsDeadLetterByItself(t *testing.T) {
	t.Parallel()
	w := newLogWorld(t, 1)
	whole := processors.StepFunc(func(_ context.Context, c *processors.Change, _ processors.State, emit processors.Emit) error {
		if _, err := c.After.Text("note"); err != nil {
			return err
		}
		return emit(c)
	})
	w.publish(w.putName(1, 1, "a", 1))
	w.startLog(logSteps(whole))
	w.reachLog(topic, 0, 1)
	first := letterOf(t, w.dead(1)[0])
	if first.Class != "missing_base" {
		t.Fatalf("class %s", first.Class)
	}
	c := w.console()
	w.publish(w.put(2, 1, "whole", "x", 2))
	c.want(first.ID, processors.VerdictResolved, "")
	w.wantSaid(outTopic, "u 1,whole,x,2")
}

// A dead letter that is too large for the output topic fails again alone.
func TestLogAReplayThatIsTooLargeStaysOpen(t *testing.T) {
	t.Parallel()
	w, refuses := newLogWorld(t, 1), &atomic.Bool{}
	refuses.Store(true)
	w.publish(w.put(1, 1, "bad", "x", 1), w.put(2, 2, "bad", "x", 2), w.put(3, 3, "three", "x", 3))
	large := &atomic.Bool{}
	grows := processors.StepFunc(func(_ context.Context, c *processors.Change, _ processors.State, emit processors.Emit) error {
		if name, _ := c.Row().Text("name"); name == "bad" && refuses.Load() {
			return errors.New("refused")
		}
		if id, _ := c.Row().Text("id"); id == "1" && large.Load() {
			if err := c.Set("note", processors.Text(strings.Repeat("y", 3<<20))); err != nil {
				return err
			}
		}
		return emit(c)
	})
	w.startLog(logSteps(grows), skipInLog)
	w.reachLog(topic, 0, 3)
	refuses.Store(false)
	large.Store(true)
	c := w.console()
	dead := w.dead(2)
	for _, d := range dead {
		c.send(processors.DoReplay, letterOf(t, d), processors.Letter{}, nil)
	}
	c.want(letterOf(t, dead[1]).ID, processors.VerdictApplied, "")
	c.want(letterOf(t, dead[0]).ID, processors.VerdictFailed, "larger than the output topic takes")
	w.wantSaid(outTopic, "u 3,three,x,3", "u 2,bad,x,2")
}

// The crash table at the top of inlog_obey.go, row by row.

func TestLogCommandWaitsForAnOwner(t *testing.T) {
	t.Parallel()
	w, refuses := parkedInLog(t)
	p := w.startLog(picky(refuses))
	w.reachLog(topic, 0, 4)
	first := letterOf(t, w.dead(2)[0])
	p.stop()
	refuses.Store(false)
	c := w.console()
	c.send(processors.DoResolve, first, first, nil)
	w.startLog(picky(refuses))
	c.want(first.ID, processors.VerdictApplied, "")
	w.wantSaid(outTopic, "u 1,one,x,1", "u 2,two,x,4", "u 1,bad,x,2", "u 1,three,x,3")
}

func TestLogCommandKilledBeforeEndTxn(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"changelog", "produce", "offsets"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			w, refuses := parkedInLog(t)
			p := w.startLog(picky(refuses))
			w.reachLog(topic, 0, 4)
			first := letterOf(t, w.dead(2)[0])
			p.stop()
			refuses.Store(false)
			c := w.console()
			c.send(processors.DoResolve, first, first, nil)
			at := dieAt(point, 1)
			w.startLog(picky(refuses), func(s *logSetup) { s.inlog.Fault = at.ask }).dies(at)
			w.startLog(picky(refuses))
			c.want(first.ID, processors.VerdictApplied, "")
			w.wantSaid(outTopic, "u 1,one,x,1", "u 2,two,x,4", "u 1,bad,x,2", "u 1,three,x,3")
		})
	}
}

func TestLogCommandEndTxnUnknown(t *testing.T) {
	t.Parallel()
	for name, commits := range map[string]bool{"it was committed": true, "it was not": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, refuses := parkedInLog(t)
			left := &atomic.Int32{}
			w.startLog(picky(refuses), func(s *logSetup) {
				s.wrap = func(in processors.LogSession) processors.LogSession { return &unsure{in, commits, left} }
			})
			w.reachLog(topic, 0, 4)
			first := letterOf(t, w.dead(2)[0])
			refuses.Store(false)
			c := w.console()
			left.Store(1)
			c.send(processors.DoResolve, first, first, nil)
			c.want(first.ID, processors.VerdictApplied, "")
			w.publish(w.put(5, 1, "five", "x", 5))
			w.reachLog(topic, 0, 5)
			w.wantSaid(outTopic, "u 1,one,x,1", "u 2,two,x,4", "u 1,bad,x,2", "u 1,three,x,3", "u 1,five,x,5")
			if n := c.count(first.ID); n != 1 {
				t.Errorf("results: got %d, want 1", n)
			}
		})
	}
}

// A document of a step with state counts what is applied again.
func TestLogReplayGoesThroughTheState(t *testing.T) {
	t.Parallel()
	w, refuses := parkedInLog(t)
	counts := processors.StepFunc(func(ctx context.Context, c *processors.Change, s processors.State, emit processors.Emit) error {
		if name, _ := c.Row().Text("name"); name == "bad" && refuses.Load() {
			return errors.Join(s.Put(ctx, processors.EntityState("all"), []byte("lost")), errors.New("refused"))
		}
		if c.Op == cdc.OpDelete {
			return emit(c)
		}
		return counting(ctx, c, s, emit)
	})
	with := func(s *logSetup) {
		s.config.Stateful = true
		s.config.Steps = []processors.StepConfig{{Name: "count", Stateful: true, New: func() processors.Step { return counts }}}
	}
	p := w.startLog(with)
	w.reachLog(topic, 0, 4)
	first := letterOf(t, w.dead(2)[0])
	c := w.console()
	c.send(processors.DoResolve, first, first, nil)
	c.want(first.ID, processors.VerdictFailed, "stays parked")
	refuses.Store(false)
	c.send(processors.DoResolve, first, first, nil)
	c.want(first.ID, processors.VerdictApplied, "")
	p.stop()
	w.publish(w.put(5, 1, "five", "x", 5))
	w.startLog(with)
	w.reachLog(topic, 0, 5)
	w.wantSaid(outTopic, "u 1,one,+,1", "u 2,two,++,4", "u 1,bad,+++,2", "u 1,three,++++,3", "u 1,five,+++++,5")
}

// A command sets a partition back while it runs: what stands there is applied again, in
// the new generation, and a restart begins where it was.
func TestLogCommandSetsAPartitionBack(t *testing.T) {
	t.Parallel()
	w := newLogWorld(t, 1)
	w.publish(w.put(1, 1, "one", "x", 1), w.put(2, 2, "two", "x", 2), w.put(3, 1, "three", "x", 3))
	p := w.startLog()
	w.reachLog(topic, 0, 3)
	c := w.console()
	cmd := &processors.Command{Version: 1, Command: "back", Do: processors.DoSeek, ID: "seek/1", Topic: topic, Next: 1, Generation: 2}
	if err := c.control.Write(t.Context(), []string{topic}, []kafka.Message{cmd.Message()}); err != nil {
		t.Fatal(err)
	}
	c.want(cmd.ID, processors.VerdictSetBack, "from offset 3 to 1")
	p.wantCounters(map[string]int{"applied": 5})
	w.wantSaid(outTopic, "u 1,one,x,1", "u 2,two,x,2", "u 1,three,x,3", "u 2,two,x,2", "u 1,three,x,3")
	p.stop()
	w.publish(w.put(2, 2, "two", "x", 2), w.put(4, 2, "four", "x", 4))
	p = w.startLog()
	w.reachLog(topic, 0, 5)
	p.wantCounters(map[string]int{"applied": 1, "duplicate": 1})
}
