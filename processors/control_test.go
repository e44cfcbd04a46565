package processors_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/processors"
)

// console is a person's side of the control topic.
type console struct {
	w       *world
	control *kafka.Control
	n       int

	mu      sync.Mutex // guards the following
	results []processors.Result
}

func (w *world) console() *console {
	w.t.Helper()
	control, err := kafka.NewControl(kafka.Config{Brokers: []string{w.broker.Addr()}}, "p", 1)
	if err != nil {
		w.t.Fatal(err)
	}
	c := &console{w: w, control: control}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = control.Follow(ctx, func(m kafka.Message) { // ends with ctx
			if _, r, _ := processors.ReadControl(&m); r != nil {
				c.mu.Lock()
				defer c.mu.Unlock()
				c.results = append(c.results, *r)
			}
		})
	}()
	w.t.Cleanup(func() {
		cancel()
		<-done
		control.Close()
	})
	return c
}

// letter is a record of the dead-letter topic as a console sees it.
func letterOf(t *testing.T, r *kgo.Record) processors.Letter {
	t.Helper()
	m := kafka.Message{Offset: r.Offset, Key: r.Key, Value: r.Value}
	for _, h := range r.Headers {
		m.Headers = append(m.Headers, kafka.MessageHeader{Name: h.Key, Value: h.Value})
	}
	l, ok := processors.ReadLetter(&m)
	if !ok {
		t.Fatalf("not a dead letter: %v", r)
	}
	return l
}

// send commands one dead letter; first is that of its row.
func (c *console) send(do string, l, first processors.Letter, change func(*processors.Command)) string {
	c.w.t.Helper()
	c.n++
	cmd := &processors.Command{Version: 1, Command: fmt.Sprintf("command-%d", c.n), Do: do, ID: l.ID, Topic: l.Topic, Partition: l.Partition, Offset: l.At, Behind: l.Behind, First: first.At}
	if change != nil {
		change(cmd)
	}
	if err := c.control.Write(c.w.t.Context(), []string{topic}, []kafka.Message{cmd.Message()}); err != nil {
		c.w.t.Fatal(err)
	}
	return cmd.Command
}

// verdicts are the last results by dlq.id.
func (c *console) verdicts() map[string]processors.Result {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := map[string]processors.Result{}
	for _, r := range c.results {
		m[r.ID] = r
	}
	return m
}

func (c *console) want(id string, v processors.Verdict, text string) {
	c.w.t.Helper()
	until(c.w.t, fmt.Sprintf("the result %s of %s", v, id), func() bool { return c.verdicts()[id].Outcome == v })
	if got := c.verdicts()[id].Message; !strings.Contains(got, text) {
		c.w.t.Errorf("message of the result: got %q, want %q in it", got, text)
	}
}

// count is how many results there are of one dead letter.
func (c *console) count(id string) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.results {
		if r.ID == id {
			n++
		}
	}
	return n
}

// lift takes away the constraint of narrow.
func (w *world) lift() { w.exec("ALTER TABLE public.items DROP CONSTRAINT items_amount_check") }

// parkedRow leaves row 1 parked at offset 5 with three dead letters: an insert that
// is too wide, a change of one column and a delete; row 2 flows.
func parkedRow(w *world) {
	narrow(w)
	gone := w.del(5, 1)
	w.publish(w.put(1, 1, "one", "x", 1), w.wide(2, 1, "5000"), w.put(3, 2, "two", "x", 2), w.putName(4, 1, "uno", 7), gone, tombstone(gone))
}

func TestParkedRecordsAreAppliedInOrderAndTheMarkerIsCleared(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	parkedRow(w)
	w.publish(w.wide(6, 1, "6000")) // else the delete before would be all that counts
	p := w.start(oneByOne)
	w.reach(0, 7)
	dead := w.dead(4)
	first := letterOf(t, dead[0])
	c := w.console()
	c.send(processors.DoResolve, first, first, nil)
	c.want(first.ID, processors.VerdictFailed, "stays parked")
	w.wantRows(map[int]row{1: {"one", "x", "1"}, 2: {"two", "x", "2"}})
	w.lift()
	// Asked for by one of the records behind.
	c.send(processors.DoResolve, letterOf(t, dead[1]), first, nil)
	for _, r := range dead {
		c.want(letterOf(t, r).ID, processors.VerdictApplied, "")
	}
	w.wantRows(map[int]row{1: {"wide", "wide", "6000"}, 2: {"two", "x", "2"}})
	if got := w.value("SELECT count(*)::text FROM tailrace.parked"); got != "0" {
		t.Errorf("markers: got %s, want 0", got)
	}
	// The row flows again, and the last change before stands in its version.
	w.publish(w.put(3, 1, "late", "x", 1), w.put(7, 1, "again", "x", 1))
	w.reach(0, 9)
	w.wantRows(map[int]row{1: {"again", "x", "1"}, 2: {"two", "x", "2"}})
	p.wantCounters(map[string]int{"applied": 3, "dead_lettered": 1, "parked": 3, "filtered": 1, "stale": 1})
	if n := c.count(first.ID); n != 2 {
		t.Errorf("results of the first dead letter: got %d, want 2", n)
	}
}

func TestDiscardLeavesTheRecordItselfOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	narrow(w)
	w.publish(w.put(1, 1, "one", "x", 1), w.wide(2, 1, "5000"), w.put(3, 1, "three", "y", 3))
	w.start(oneByOne)
	w.reach(0, 3)
	dead := w.dead(2)
	first, second := letterOf(t, dead[0]), letterOf(t, dead[1])
	c := w.console()
	c.send(processors.DoResolve, first, first, func(c *processors.Command) { c.Discard = true })
	c.want(first.ID, processors.VerdictDiscarded, "")
	c.want(second.ID, processors.VerdictApplied, "")
	w.wantRows(map[int]row{1: {"three", "y", "3"}})
}

// oneByOne keeps changes of a row apart: of a batch, only the last one counts.
func oneByOne(s *setup) { s.config.BatchRows = 1 }

func skip(s *setup) { s.config.OnPoison, s.config.BatchRows = processors.PolicySkip, 1 }

// Dead-lettering has moved what was seen of the row, not what was applied to it.
func TestReplayIsJudgedByWhatTheRowHasApplied(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	narrow(w)
	w.publish(w.put(1, 1, "one", "x", 1), w.wide(2, 1, "5000"), w.wide(3, 2, "6000"), w.put(4, 2, "newer", "x", 4), w.wide(5, 3, "7000"))
	p := w.start(skip)
	w.reach(0, 5)
	w.lift()
	c := w.console()
	var letters []processors.Letter
	for _, r := range w.dead(3) {
		letters = append(letters, letterOf(t, r))
		c.send(processors.DoReplay, letters[len(letters)-1], processors.Letter{}, nil)
	}
	c.want(letters[0].ID, processors.VerdictApplied, "")
	c.want(letters[1].ID, processors.VerdictSuperseded, "later change")
	c.want(letters[2].ID, processors.VerdictApplied, "")
	w.wantRows(map[int]row{1: {"wide", "wide", "5000"}, 2: {"newer", "x", "4"}, 3: {"wide", "wide", "7000"}})

	// Nothing is replayed twice, whoever asks again; and a row that went on is safe.
	w.publish(w.put(6, 1, "six", "x", 6))
	w.reach(0, 6)
	c.send(processors.DoReplay, letters[0], processors.Letter{}, func(c *processors.Command) { c.Force = true })
	c.send(processors.DoReplay, letters[1], processors.Letter{}, func(c *processors.Command) { c.Force = true })
	c.want(letters[1].ID, processors.VerdictApplied, "")
	w.wantRows(map[int]row{1: {"six", "x", "6"}, 2: {"wide", "wide", "6000"}, 3: {"wide", "wide", "7000"}})
	// What the forced one stands behind is not repeated, and later changes pass.
	w.publish(w.put(4, 2, "newer", "x", 4), w.put(7, 2, "seven", "x", 7))
	w.reach(0, 8)
	w.wantRows(map[int]row{1: {"six", "x", "6"}, 2: {"seven", "x", "7"}, 3: {"wide", "wide", "7000"}})
	if n := c.count(letters[0].ID); n != 1 {
		t.Errorf("results of a dead letter that was replayed: got %d, want 1", n)
	}
	p.wantCounters(map[string]int{"applied": 4, "dead_lettered": 3, "stale": 1})
}

func TestAReplayThatFailsAgainStaysOpenAndTheOthersPass(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	narrow(w)
	w.publish(w.put(1, 1, "one", "x", 1), w.wide(2, 1, "5000"), w.wide(3, 2, "6000"), w.wide(4, 3, "7000"))
	w.start(skip)
	w.reach(0, 4)
	w.exec("ALTER TABLE public.items DROP CONSTRAINT items_amount_check, ADD CHECK (amount <> 6000)")
	c := w.console()
	var letters []processors.Letter
	for _, r := range w.dead(3) {
		letters = append(letters, letterOf(t, r))
		c.send(processors.DoReplay, letters[len(letters)-1], processors.Letter{}, nil)
	}
	c.want(letters[0].ID, processors.VerdictApplied, "")
	c.want(letters[1].ID, processors.VerdictFailed, "check constraint")
	c.want(letters[2].ID, processors.VerdictApplied, "")
	c.send(processors.DoResolve, letters[1], processors.Letter{}, nil)
	c.want(letters[1].ID, processors.VerdictClosed, "")
	w.wantRows(map[int]row{1: {"wide", "wide", "5000"}, 3: {"wide", "wide", "7000"}})
}

func TestMissingBaseClosesItsDeadLetterByItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.publish(w.putName(1, 1, "a", 1))
	w.start(oneByOne)
	w.reach(0, 1)
	first := letterOf(t, w.dead(1)[0])
	w.publish(w.put(2, 1, "whole", "x", 2))
	w.console().want(first.ID, processors.VerdictResolved, "")
	w.wantRows(map[int]row{1: {"whole", "x", "2"}})
}

// A whole row that is older than what waits for one is what that is applied on top of, and
// does not take its place.
func TestMissingBaseWaitsForAllThatIsNewerThanTheRow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.publish(w.putName(5, 1, "five", 5))
	p := w.start(oneByOne)
	w.reach(0, 1)
	w.publish(w.putName(7, 1, "seven", 7), w.put(3, 1, "three", "x", 3))
	w.reach(0, 3)
	w.wantRows(map[int]row{1: {"three", "x", "3"}})
	dead := w.dead(2)
	first := letterOf(t, dead[0])
	if n := w.value("SELECT count || ' ' || last_pos FROM tailrace.parked"); n != "2 "+at(7).String() {
		t.Errorf("marker: got %s", n)
	}
	p.stop()
	w.start(oneByOne) // the next owner knows it from the sink
	w.publish(w.put(6, 1, "six", "y", 6))
	w.reach(0, 4)
	w.wantRows(map[int]row{1: {"six", "y", "6"}})
	c := w.console()
	c.send(processors.DoReplay, first, first, nil)
	c.want(letterOf(t, dead[1]).ID, processors.VerdictApplied, "")
	w.wantRows(map[int]row{1: {"seven", "y", "7"}})
	if got := w.value("SELECT count(*)::text FROM tailrace.parked"); got != "0" {
		t.Errorf("markers: got %s, want 0", got)
	}
}

// The crash table at the top of control.go, row by row.

func TestControlCommandWaitsForAnOwner(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	parkedRow(w)
	p := w.start(oneByOne)
	w.reach(0, 6)
	first := letterOf(t, w.dead(3)[0])
	p.stop()
	w.lift()
	c := w.console()
	c.send(processors.DoResolve, first, first, nil)
	w.start(oneByOne)
	c.want(first.ID, processors.VerdictApplied, "")
	w.wantRows(map[int]row{2: {"two", "x", "2"}})
}

func TestControlKilledBeforeCommit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	parkedRow(w)
	link := newProxy(t, w.database)
	p := w.start(through(link), oneByOne)
	w.reach(0, 6)
	first := letterOf(t, w.dead(3)[0])
	w.lift()
	killed := make(chan struct{})
	link.onCommit(func() verdict {
		go func() { link.kill(); close(killed) }()
		<-killed
		return swallow
	})
	c := w.console()
	c.send(processors.DoResolve, first, first, nil)
	<-killed
	p.stop()
	if got := w.value("SELECT count::text FROM tailrace.parked"); got != "3" {
		t.Errorf("parked records after the kill: got %q, want 3", got)
	}
	w.start(oneByOne)
	c.want(first.ID, processors.VerdictApplied, "")
	w.wantRows(map[int]row{2: {"two", "x", "2"}})
}

func TestControlCommitUnknown(t *testing.T) {
	t.Parallel()
	for name, outcome := range map[string]verdict{"it was committed": muteReply, "it was not": swallow} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			parkedRow(w)
			link := newProxy(t, w.database)
			w.start(through(link), oneByOne)
			w.reach(0, 6)
			first := letterOf(t, w.dead(3)[0])
			w.lift()
			link.onCommit(func() verdict { return outcome })
			c := w.console()
			c.send(processors.DoResolve, first, first, nil)
			c.want(first.ID, processors.VerdictApplied, "")
			w.publish(w.put(7, 1, "flows", "x", 7))
			w.reach(0, 7)
			w.wantRows(map[int]row{1: {"flows", "x", "7"}, 2: {"two", "x", "2"}})
			if n := c.count(first.ID); n != 1 {
				t.Errorf("results: got %d, want 1", n)
			}
		})
	}
}

// muffled is a control topic that takes no results.
type muffled struct {
	processors.Control
	asked chan struct{}
	once  sync.Once
}

func (m *muffled) Write(context.Context, []string, []kafka.Message) error {
	m.once.Do(func() { close(m.asked) })
	return errors.New("killed before")
}

func TestControlKilledBeforeTheResult(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	narrow(w)
	w.publish(w.put(1, 1, "one", "x", 1), w.wide(2, 1, "5000"), w.put(3, 1, "three", "y", 3))
	m := &muffled{Control: w.console().control, asked: make(chan struct{})}
	p := w.start(skip, func(s *setup) { s.config.Control = m; s.config.DrainTimeout = 100 * time.Millisecond })
	w.reach(0, 3)
	first := letterOf(t, w.dead(1)[0])
	w.lift()
	c := w.console()
	c.send(processors.DoReplay, first, processors.Letter{}, func(c *processors.Command) { c.Force = true })
	<-m.asked
	p.stop()
	w.wantRows(map[int]row{1: {"wide", "wide", "5000"}})
	if n := c.count(first.ID); n != 0 {
		t.Errorf("results before the restart: got %d, want 0", n)
	}
	// The row goes on elsewhere meanwhile; a second replay would undo that.
	w.publish(w.put(4, 1, "four", "x", 4))
	w.start(skip)
	w.reach(0, 4)
	c.want(first.ID, processors.VerdictApplied, "")
	w.wantRows(map[int]row{1: {"four", "x", "4"}})
	if n := c.count(first.ID); n != 1 {
		t.Errorf("results: got %d, want 1", n)
	}
}
