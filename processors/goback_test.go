package processors_test

import (
	"testing"
	"time"

	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/processors"
)

// goBack commands partition 0 to go back.
func (c *console) goBack(id string, change func(*processors.Command)) string {
	c.w.t.Helper()
	tp := kafka.TopicPartition{Topic: topic}
	cmd := &processors.Command{Version: 1, Command: "command-" + id, Do: processors.DoSeek, ID: processors.SeekID(id, tp), Topic: topic}
	change(cmd)
	if err := c.control.Write(c.w.t.Context(), []string{topic}, []kafka.Message{cmd.Message()}); err != nil {
		c.w.t.Fatal(err)
	}
	return cmd.ID
}

// changed puts five records of three rows into the topic and damages what they become.
func changed(w *world) {
	w.publish(w.put(1, 1, "one", "x", 1), w.put(2, 2, "two", "x", 2), w.put(3, 3, "three", "x", 3), w.put(4, 1, "one b", "x", 4), w.put(5, 2, "two b", "x", 5))
}

func damage(w *world) { w.exec("UPDATE public.items SET name = 'wrong'") }

// A running owner goes back: what stands there is applied again in the new generation, and
// what does not stays as it is.
func TestGoBackWhileRunning(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	changed(w)
	w.start()
	w.reach(0, 5)
	damage(w)
	c := w.console()
	id := c.goBack("a", func(cmd *processors.Command) { cmd.Next, cmd.Generation = 3, 2 })
	c.want(id, processors.VerdictSetBack, "from offset 5 to 3, generation 2")
	w.publish(w.put(6, 4, "four", "x", 6))
	w.reach(0, 6)
	w.wantRows(map[int]row{1: {"one b", "x", "4"}, 2: {"two b", "x", "5"}, 3: {"wrong", "x", "3"}, 4: {"four", "x", "6"}})
	if got := w.value("SELECT generation::text || note FROM tailrace.offsets WHERE topic = $1", topic); got != "2" {
		t.Errorf("generation and note: got %q, want 2 and none", got)
	}
	// What is commanded again under another name is done again, and never forward.
	again := c.goBack("b", func(cmd *processors.Command) { cmd.Next, cmd.Generation = 100, 3 })
	c.want(again, processors.VerdictSetBack, "from offset 6 to 6, generation 3")
	if n := c.count(id); n != 1 {
		t.Errorf("results of the first command: got %d, want 1", n)
	}
}

// A stretch with an end: rows that have changed behind it keep what they have, and the
// partition goes on where it was.
func TestGoBackThroughAStretch(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	changed(w)
	w.publish(w.put(6, 5, "five", "x", 6), w.del(7, 5), w.put(8, 6, "six", "x", 8))
	w.start(oneByOne)
	w.reach(0, 8)
	damage(w)
	c := w.console()
	// From the first record to before the fourth, whose row and the fifth's keep theirs.
	id := c.goBack("a", func(cmd *processors.Command) { cmd.Next, cmd.Generation, cmd.End, cmd.Until = 0, 2, 3, at(4).String() })
	c.want(id, processors.VerdictSetBack, "")
	w.publish(w.put(9, 7, "seven", "x", 9))
	w.reach(0, 9)
	w.wantRows(map[int]row{1: {"wrong", "x", "4"}, 2: {"wrong", "x", "5"}, 3: {"three", "x", "3"}, 6: {"wrong", "x", "8"}, 7: {"seven", "x", "9"}})
	// The row whose creation is in the stretch and whose deletion is behind it stays away.
	id = c.goBack("b", func(cmd *processors.Command) { cmd.Next, cmd.Generation, cmd.End, cmd.Until = 5, 3, 6, at(7).String() })
	c.want(id, processors.VerdictSetBack, "")
	w.publish(w.put(10, 7, "seven b", "x", 10))
	w.reach(0, 10)
	w.wantRows(map[int]row{1: {"wrong", "x", "4"}, 2: {"wrong", "x", "5"}, 3: {"three", "x", "3"}, 6: {"wrong", "x", "8"}, 7: {"seven b", "x", "10"}})
}

// A TRUNCATE in a stretch ends rows wherever they stand, so all behind it comes again.
func TestGoBackThroughATruncateHasNoEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.publish(w.put(1, 1, "one", "x", 1), w.truncate(2), w.put(3, 2, "two", "x", 3), w.put(4, 3, "three", "x", 4))
	w.start()
	w.reach(0, 4)
	damage(w)
	c := w.console()
	id := c.goBack("a", func(cmd *processors.Command) { cmd.Next, cmd.Generation, cmd.End, cmd.Until = 0, 2, 3, at(4).String() })
	c.want(id, processors.VerdictSetBack, "")
	w.publish(w.put(5, 4, "four", "x", 5))
	w.reach(0, 5)
	w.wantRows(map[int]row{2: {"two", "x", "3"}, 3: {"three", "x", "4"}, 4: {"four", "x", "5"}})
}

// In the same generation only what is missing is applied.
func TestGoBackForWhatIsMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	changed(w)
	p := w.start()
	w.reach(0, 5)
	damage(w)
	w.exec("DELETE FROM public.items WHERE id = 2")
	c := w.console()
	id := c.goBack("a", func(cmd *processors.Command) { cmd.Next = 0 })
	c.want(id, processors.VerdictSetBack, "generation 1")
	w.publish(w.put(6, 4, "four", "x", 6))
	w.reach(0, 6)
	w.wantRows(map[int]row{1: {"wrong", "x", "4"}, 2: {"two b", "x", "5"}, 3: {"wrong", "x", "3"}, 4: {"four", "x", "6"}})
	p.stop()
}

// Also where an older generation has applied what a row has.
func TestGoBackForWhatIsMissingInALaterGeneration(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	changed(w)
	w.start()
	w.reach(0, 5)
	c := w.console()
	id := c.goBack("a", func(cmd *processors.Command) { cmd.Next, cmd.Generation = 4, 2 })
	c.want(id, processors.VerdictSetBack, "generation 2")
	w.publish(w.put(6, 4, "four", "x", 6))
	w.reach(0, 6)
	damage(w)
	w.exec("DELETE FROM public.items WHERE id = 3")
	id = c.goBack("b", func(cmd *processors.Command) { cmd.Next = 0 })
	c.want(id, processors.VerdictSetBack, "generation 2")
	w.publish(w.put(7, 5, "five", "x", 7))
	w.reach(0, 7)
	w.wantRows(map[int]row{1: {"wrong", "x", "4"}, 2: {"wrong", "x", "5"}, 3: {"three", "x", "3"}, 4: {"wrong", "x", "6"}, 5: {"five", "x", "7"}})
}

// A stretch with an end inside of one that is under way: the rest of that one is gone
// through afterwards, and nothing of it is taken for what rows have.
func TestGoBackWhileGoingBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	changed(w)
	p := w.start(oneByOne)
	w.reach(0, 5)
	p.stop()
	damage(w)
	// As it is at offset 3 on the way through everything in generation 2.
	w.exec(`UPDATE tailrace.offsets SET next_offset = 3, generation = 2, note = '{"v":1,"id":"a","from":0,"then":5}'`)
	c := w.console()
	missing := c.goBack("b", func(cmd *processors.Command) { cmd.Next = 0 })
	w.start(oneByOne)
	until(t, "an answer", func() bool { return c.verdicts()[missing].Outcome != "" })
	if r := c.verdicts()[missing]; r.Outcome == processors.VerdictFailed && r.Message != processors.StillOverwriting {
		t.Errorf("refused: %s", r.Message) // it is carried out when the first stretch is over by then
	}
	// Also if it is not yet, the rows come out right.
	id := c.goBack("c", func(cmd *processors.Command) { cmd.Next, cmd.Generation, cmd.End, cmd.Until = 2, 3, 3, at(4).String() })
	c.want(id, processors.VerdictSetBack, "generation 3")
	w.publish(w.put(6, 4, "four", "x", 6))
	w.reach(0, 6)
	w.wantRows(map[int]row{1: {"one b", "x", "4"}, 2: {"two b", "x", "5"}, 3: {"three", "x", "3"}, 4: {"four", "x", "6"}})
}

// Rows that are parked behind a record that comes again go on with it.
func TestGoBackEndsParking(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	parkedRow(w)
	w.start(oneByOne)
	w.reach(0, 6)
	first := letterOf(t, w.dead(3)[0])
	w.lift()
	c := w.console()
	id := c.goBack("a", func(cmd *processors.Command) {
		cmd.Next, cmd.Generation, cmd.Unpark = first.Offset, 2, []string{first.ID}
	})
	c.want(id, processors.VerdictSetBack, "")
	c.want(first.ID, processors.VerdictResolved, "set back")
	w.publish(w.put(7, 3, "three", "x", 7))
	w.reach(0, 7)
	w.wantRows(map[int]row{2: {"two", "x", "2"}, 3: {"three", "x", "7"}})
	if got := w.value("SELECT count(*)::text FROM tailrace.parked"); got != "0" {
		t.Errorf("parked rows: got %s, want none", got)
	}
}

// What fails again in a new generation is another dead letter.
func TestGoBackFailsAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	narrow(w)
	w.publish(w.put(1, 1, "one", "x", 1), w.wide(2, 1, "5000"))
	w.start(skip)
	w.reach(0, 2)
	was := letterOf(t, w.dead(1)[0])
	c := w.console()
	c.goBack("a", func(cmd *processors.Command) { cmd.Next, cmd.Generation = 0, 2 })
	if is := letterOf(t, w.dead(2)[1]); is.ID == was.ID {
		t.Errorf("the dead letters of two generations have one id, %s", is.ID)
	}
}

func TestGoBackCommitUnknown(t *testing.T) {
	t.Parallel()
	for name, outcome := range map[string]verdict{"it was committed": muteReply, "it was not": swallow} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			changed(w)
			link := newProxy(t, w.database)
			w.start(through(link), oneByOne)
			w.reach(0, 5)
			damage(w)
			link.onCommit(func() verdict { return outcome })
			c := w.console()
			id := c.goBack("a", func(cmd *processors.Command) { cmd.Next, cmd.Generation = 1, 2 })
			c.want(id, processors.VerdictSetBack, "")
			w.publish(w.put(6, 1, "six", "x", 6))
			w.reach(0, 6)
			w.wantRows(map[int]row{1: {"six", "x", "6"}, 2: {"two b", "x", "5"}, 3: {"three", "x", "3"}})
			if n := c.count(id); n != 1 {
				t.Errorf("results: got %d, want 1", n)
			}
		})
	}
}

func TestGoBackKilledBeforeCommit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	changed(w)
	link := newProxy(t, w.database)
	p := w.start(through(link), oneByOne)
	w.reach(0, 5)
	damage(w)
	killed := make(chan struct{})
	link.onCommit(func() verdict {
		go func() { link.kill(); close(killed) }()
		<-killed
		return swallow
	})
	c := w.console()
	id := c.goBack("a", func(cmd *processors.Command) { cmd.Next, cmd.Generation = 0, 2 })
	<-killed
	p.stop()
	if got := w.value("SELECT next_offset || '/' || generation FROM tailrace.offsets WHERE topic = $1", topic); got != "5/1" {
		t.Errorf("after the kill: got %s, want it where it was", got)
	}
	w.start(oneByOne)
	c.want(id, processors.VerdictSetBack, "generation 2")
	want := map[int]row{1: {"one b", "x", "4"}, 2: {"two b", "x", "5"}, 3: {"three", "x", "3"}}
	until(t, "the rows are right again", func() bool {
		got := w.rows()
		return got[1] == want[1] && got[2] == want[2] && got[3] == want[3]
	})
}

func TestGoBackKilledBeforeTheResult(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	changed(w)
	c := w.console()
	m := &muffled{Control: c.control, asked: make(chan struct{})}
	p := w.start(func(s *setup) { s.config.Control = m; s.config.DrainTimeout = 100 * time.Millisecond })
	w.reach(0, 5)
	damage(w)
	id := c.goBack("a", func(cmd *processors.Command) { cmd.Next, cmd.Generation = 3, 2 })
	<-m.asked
	p.stop()
	w.start()
	c.want(id, processors.VerdictSetBack, "from offset 5 to 3, generation 2")
	w.publish(w.put(6, 4, "four", "x", 6))
	w.reach(0, 6)
	w.wantRows(map[int]row{1: {"one b", "x", "4"}, 2: {"two b", "x", "5"}, 3: {"wrong", "x", "3"}, 4: {"four", "x", "6"}})
	if got := w.value("SELECT generation::text FROM tailrace.offsets WHERE topic = $1", topic); got != "2" {
		t.Errorf("generation: got %s, want 2: it is not raised twice", got)
	}
}

// In the log, a stretch with an end is cut and left in the transactions of its records.
func TestLogGoBackThroughAStretch(t *testing.T) {
	t.Parallel()
	w := newLogWorld(t, 1)
	w.publish(w.put(1, 1, "one", "x", 1), w.put(2, 2, "two", "x", 2), w.put(3, 3, "three", "x", 3), w.put(4, 1, "one b", "x", 4), w.put(5, 2, "two b", "x", 5))
	p := w.startLog()
	w.reachLog(topic, 0, 5)
	p.stop()
	was := w.said(outTopic)
	w.setBack(0, 0, 2, map[string]any{"v": 1, "id": "a", "from": 0, "then": 5, "end": 4, "until": at(5).String()})
	p = w.startLog()
	w.publish(w.put(6, 4, "four", "x", 6))
	w.reachLog(topic, 0, 6)
	w.wantSaid(outTopic, append(was, "u 1,one,x,1", "u 3,three,x,3", "u 1,one b,x,4", "u 4,four,x,6")...)
	p.wantCounters(map[string]int{"applied": 4, "stale": 1})
}

// A TRUNCATE that comes again ends the rows that were applied since, too: those that came
// behind it come again.
func TestLogGoBackThroughATruncate(t *testing.T) {
	t.Parallel()
	w := newLogWorld(t, 1)
	w.publish(w.put(1, 1, "one", "x", 1), w.truncate(2), w.put(3, 2, "two", "x", 3))
	p := w.startLog()
	w.reachLog(topic, 0, 3)
	p.stop()
	was := w.said(outTopic)
	w.setBack(0, 0, 2, nil)
	w.startLog()
	w.publish(w.put(4, 3, "three", "x", 4))
	w.reachLog(topic, 0, 4)
	got := w.said(outTopic)[len(was):]
	want := map[string]bool{"u 1,one,x,1": true, "d 1": true, "tombstone 1": true, "d 2": true, "tombstone 2": true, "u 2,two,x,3": true, "u 3,three,x,4": true}
	for _, s := range got {
		if !want[s] {
			t.Errorf("said %q, which is not due", s)
		}
		delete(want, s)
	}
	if len(want) > 0 || len(got) > 0 && got[len(got)-1] != "u 3,three,x,4" {
		t.Errorf("said %q; missing %v", got, want)
	}
}
