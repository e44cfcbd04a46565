package processors_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/processors"
)

// One test for each row of the crash table at the top of commit.go.

// through makes the sink go through a proxy, under sessions that give up soon.
func through(p *proxy) option {
	return func(s *setup) {
		s.sink.URL = p.url
		s.sink.IdleTimeout, s.sink.LockTimeout = time.Second, 2*time.Second
		s.config.DrainTimeout = 100 * time.Millisecond
	}
}

// firstApplied is a world whose row 1 has its first change, in a process that reaches its
// sink through a proxy.
func firstApplied(t *testing.T, options ...option) (*world, *proxy, *process) {
	t.Helper()
	w := newWorld(t, 1)
	w.publish(w.put(1, 1, "first", "x", 1))
	link := newProxy(t, w.database)
	p := w.start(append(options, through(link))...)
	w.reach(0, 1)
	return w, link, p
}

func TestCrashInTheSinkWritesBeforeCommit(t *testing.T) {
	t.Parallel()
	w, link, p := firstApplied(t)

	killed := make(chan struct{})
	link.onCommit(func() verdict {
		go func() { link.kill(); close(killed) }()
		<-killed
		return swallow
	})
	w.publish(w.put(2, 1, "second", "x", 2), w.put(3, 2, "two", "x", 3))
	<-killed
	p.stop()
	if got := w.offset(0); got != 1 {
		t.Errorf("offset after the kill: got %d, want 1", got)
	}
	w.wantRows(map[int]row{1: {"first", "x", "1"}})

	p = w.start()
	w.reach(0, 3)
	w.wantRows(map[int]row{1: {"second", "x", "2"}, 2: {"two", "x", "3"}})
	p.wantCounters(map[string]int{"applied": 2})
}

func TestCrashInTheSinkCommitUnknown(t *testing.T) {
	t.Parallel()
	for name, outcome := range map[string]verdict{"it was committed": muteReply, "it was not": swallow} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, link, p := firstApplied(t)
			epoch := w.value("SELECT epoch::text FROM tailrace.offsets")

			link.onCommit(func() verdict { return outcome })
			w.publish(w.put(2, 1, "second", "x", 2))
			w.reach(0, 2)
			w.publish(w.put(3, 1, "third", "x", 3))
			w.reach(0, 3)
			w.wantRows(map[int]row{1: {"third", "x", "3"}})
			p.wantCounters(map[string]int{"applied": 3}) // the gate never saw a batch again
			if again := w.value("SELECT epoch::text FROM tailrace.offsets"); again == epoch {
				t.Errorf("epoch: still %s; the offset row was not asked", epoch)
			}
		})
	}
}

// The offset row cannot be asked at once: the partition is paused meanwhile, and goes
// on when it has told.
func TestCrashInTheSinkCommitUnknownWhileTheSinkIsAway(t *testing.T) {
	t.Parallel()
	w, link, p := firstApplied(t)
	link.onCommit(func() verdict {
		link.kill()
		return swallow
	})
	w.publish(w.put(2, 1, "second", "x", 2))
	until(t, "the partition to retry", func() bool { return p.partitionState() == "retrying" })
	link.revive()
	w.reach(0, 2)
	until(t, "the partition to run", func() bool { return p.partitionState() == "running" })
	w.publish(w.put(3, 1, "third", "x", 3))
	w.reach(0, 3)
	w.wantRows(map[int]row{1: {"third", "x", "3"}})
}

// behindSource is a log that does not take the group's offsets.
type behindSource struct{ processors.Source }

func (behindSource) Commit(context.Context, map[kafka.TopicPartition]int64) error {
	return errors.New("killed before")
}

func TestCrashInTheSinkCommitBeforeKafkaCommit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.publish(w.put(1, 1, "first", "x", 1), w.put(2, 1, "second", "x", 2))
	p := w.start(func(s *setup) {
		s.wrap = func(in processors.Source) processors.Source { return behindSource{in} }
	})
	w.reach(0, 2)
	p.stop()
	if got := w.groupOffset(); got != -1 {
		t.Fatalf("the group's offset: got %d, want none", got)
	}
	w.publish(w.put(3, 1, "third", "x", 3))
	p = w.start()
	w.reach(0, 3)
	p.wantCounters(map[string]int{"applied": 1}) // not one record before the offset row was read again
	p.stop()
	if got := w.groupOffset(); got != 3 {
		t.Errorf("the group's offset after a drain: got %d, want 3", got)
	}
}

func TestCrashInTheSinkZombieCommitAfterTakeOver(t *testing.T) {
	t.Parallel()
	// The group knows it no more, which is all that the brokers would say to it.
	w, link, zombie := firstApplied(t, func(s *setup) {
		s.wrap = func(in processors.Source) processors.Source { return behindSource{in} }
	})

	// The zombie hangs with its rows written and its COMMIT about to be sent. A
	// successor in another group has the same pipeline; its claim waits for the
	// zombie's lock until the server ends the silent session.
	hangs, goOn := make(chan struct{}), make(chan struct{})
	link.onCommit(func() verdict {
		close(hangs)
		<-goOn
		return pass
	})
	w.publish(w.put(2, 1, "second", "x", 2))
	<-hangs
	successor := w.start(func(s *setup) { s.consumer.Group = "successor" })
	w.reach(0, 2)
	w.publish(w.put(3, 1, "third", "x", 3))
	w.reach(0, 3)
	close(goOn)
	until(t, "the zombie to ask the group", func() bool { return zombie.partitionState() == "retrying" })
	w.publish(w.put(4, 1, "fourth", "x", 4))
	w.reach(0, 4)
	w.wantRows(map[int]row{1: {"fourth", "x", "4"}})
	zombie.wantCounters(map[string]int{"applied": 1})
	successor.wantCounters(map[string]int{"applied": 3})
}

// deaf is a dead-letter topic that cannot be written.
type deaf struct{ asked atomic.Int32 }

func (d *deaf) Write(context.Context, []string, []kafka.Message) error {
	d.asked.Add(1)
	return errors.New("killed before")
}

func (*deaf) At(context.Context, int32, []int64, func(kafka.Message) error) error {
	return errors.New("deaf")
}

func (*deaf) Read(context.Context, int32, int64, int64, func(kafka.Message) error) error {
	return errors.New("deaf")
}

func TestCrashInTheSinkDeadLettersBeforeTheirTopic(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	bad := w.put(1, 1, "bad", "x", 1)
	bad.pos = ""
	w.publish(bad, w.put(2, 2, "good", "x", 2))
	topic := &deaf{}
	p := w.start(func(s *setup) { s.config.Letters = topic; s.config.DrainTimeout = 100 * time.Millisecond })
	w.reach(0, 2)
	until(t, "the topic to be tried", func() bool { return topic.asked.Load() > 1 })
	p.stop()
	if got := w.value("SELECT count(*)::text FROM tailrace.dead_letters"); got != "1" {
		t.Errorf("outbox: got %s dead letters, want 1", got)
	}
	w.start()
	if h := headers(w.dead(1)[0]); h["dlq.class"] != "no_position" {
		t.Errorf("dead letter: got %v", h)
	}
	until(t, "an empty outbox", func() bool { return w.value("SELECT count(*)::text FROM tailrace.dead_letters") == "0" })
}
