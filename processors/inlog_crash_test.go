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

// One test for each row of the crash table at the top of inlog.go.

// firstInLog is a world whose row 1 has its first change, and the process that made it.
func firstInLog(t *testing.T, options ...logOption) (*world, *logProcess) {
	t.Helper()
	w := newLogWorld(t, 1)
	w.publish(w.put(1, 1, "first", "x", 1))
	p := w.startLog(options...)
	w.reachLog(topic, 0, 1)
	return w, p
}

func TestCrashInTheLogProduceBeforeEndTxn(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"poll", "changelog", "produce", "offsets"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			w, p := firstInLog(t)
			p.stop()
			at := dieAt(point, 1)
			w.publish(w.put(2, 1, "second", "x", 2), w.put(3, 2, "two", "x", 3))
			w.startLog(func(s *logSetup) { s.inlog.Fault = at.ask }).dies(at)
			w.wantSaid(outTopic, "u 1,first,x,1")

			w.publish(w.put(2, 1, "second", "x", 2)) // repeated by a relay
			p = w.startLog()
			w.reachLog(topic, 0, 4)
			w.wantSaid(outTopic, "u 1,first,x,1", "u 1,second,x,2", "u 2,two,x,3")
			p.wantCounters(map[string]int{"applied": 2, "duplicate": 1})
		})
	}
}

// Dead letters and the marks of parked rows are of the transaction, too.
func TestCrashInTheLogDeadLettersBeforeEndTxn(t *testing.T) {
	t.Parallel()
	w := newLogWorld(t, 1)
	var refuses atomic.Bool
	refuses.Store(true)
	w.publish(w.put(1, 1, "one", "x", 1), w.put(2, 1, "bad", "x", 2))
	at := dieAt("offsets", 1)
	w.startLog(picky(&refuses), func(s *logSetup) { s.inlog.Fault = at.ask }).dies(at)
	if n := len(w.outputs("p.dead_letter")); n != 0 {
		t.Errorf("%d dead letters of a transaction that did not end", n)
	}
	// Nor is the row parked: what was wrong has been mended.
	refuses.Store(false)
	w.publish(w.put(3, 1, "three", "x", 3))
	p := w.startLog(picky(&refuses))
	w.reachLog(topic, 0, 3)
	w.wantSaid(outTopic, "u 1,one,x,1", "u 1,bad,x,2", "u 1,three,x,3")
	p.wantCounters(map[string]int{"applied": 3})
}

// unsure is a session whose End has no answer, once.
type unsure struct {
	processors.LogSession
	commits bool
	left    *atomic.Int32
}

func (u *unsure) End(ctx context.Context, offsets map[kafka.TopicPartition]kafka.Stored) (bool, error) {
	if u.left.Add(-1) != 0 {
		return u.LogSession.End(ctx, offsets)
	}
	var err error
	if u.commits {
		_, err = u.LogSession.End(ctx, offsets)
	}
	return false, errors.Join(err, errors.New("the connection was lost"))
}

func TestCrashInTheLogEndTxnUnknown(t *testing.T) {
	t.Parallel()
	for name, commits := range map[string]bool{"it was committed": true, "it was not": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			left := &atomic.Int32{}
			w, p := firstInLog(t, func(s *logSetup) {
				s.wrap = func(in processors.LogSession) processors.LogSession { return &unsure{in, commits, left} }
			})
			left.Store(1)
			w.publish(w.put(2, 1, "second", "x", 2))
			w.reachLog(topic, 0, 2)
			w.publish(w.put(2, 1, "second", "x", 2), w.put(3, 1, "third", "x", 3))
			w.reachLog(topic, 0, 4)
			w.wantSaid(outTopic, "u 1,first,x,1", "u 1,second,x,2", "u 1,third,x,3")
			p.wantRestores(map[string]int{"full": 1, "suffix": 1})
		})
	}
}

func TestCrashInTheLogEndTxnBeforeTheOverlayIsApplied(t *testing.T) {
	t.Parallel()
	at := dieAt("end", 2)
	once := func(point string) error {
		err := at.ask(point)
		at.mu.Lock()
		defer at.mu.Unlock()
		if err != nil {
			at.after = 1 << 20
		}
		return err
	}
	w, p := firstInLog(t, func(s *logSetup) { s.inlog.Fault = once })
	w.publish(w.put(2, 1, "second", "x", 2))
	<-at.died
	// What it has forgotten, the changelog tells it: the relay's repetition is one.
	w.publish(w.put(2, 1, "second", "x", 2), w.put(3, 1, "third", "x", 3))
	w.reachLog(topic, 0, 4)
	w.wantSaid(outTopic, "u 1,first,x,1", "u 1,second,x,2", "u 1,third,x,3")
	p.wantRestores(map[string]int{"full": 1, "suffix": 1})
}

// A session that hangs with its transaction open, while the group has given its
// partition to another: what it has written is never seen, and it goes on with what it
// is given then.
func TestCrashInTheLogZombieAfterATakeOver(t *testing.T) {
	t.Parallel()
	hangs, goOn := make(chan struct{}), make(chan struct{})
	count := &atomic.Int32{}
	w, zombie := firstInLog(t, func(s *logSetup) {
		s.id = "zombie"
		s.wrap = func(in processors.LogSession) processors.LogSession {
			return &hanging{LogSession: in, count: count, hangs: hangs, goOn: goOn}
		}
	})
	w.publish(w.put(2, 1, "second", "x", 2))
	<-hangs
	// Its member is put out of the group, as after a session timeout.
	w.expel()
	successor := w.startLog(func(s *logSetup) { s.id = "successor" })
	w.reachLog(topic, 0, 2)
	close(goOn)
	w.publish(w.put(3, 1, "third", "x", 3))
	w.reachLog(topic, 0, 3)
	w.wantSaid(outTopic, "u 1,first,x,1", "u 1,second,x,2", "u 1,third,x,3")
	until(t, "each change applied once", func() bool {
		return zombie.counters()["applied"]+successor.counters()["applied"] == 3
	})
}

// hanging is a session that stands still before the end of its second transaction.
type hanging struct {
	processors.LogSession
	count       *atomic.Int32
	hangs, goOn chan struct{}
}

func (h *hanging) End(ctx context.Context, offsets map[kafka.TopicPartition]kafka.Stored) (bool, error) {
	if h.count.Add(1) == 2 {
		close(h.hangs)
		<-h.goOn
	}
	return h.LogSession.End(ctx, offsets)
}

// State that is lost is not made up for: the group's offset stays, and the partition
// stops.
func TestLogStateTopicMadeAnewStopsThePartition(t *testing.T) {
	t.Parallel()
	w, p := firstInLog(t)
	p.stop()
	w.makeAnew(kafka.StateTopic("p"))
	w.publish(w.put(2, 1, "second", "x", 2))
	p = w.startLog()
	p.wantStopped("the topic of the state was deleted and made anew")
	w.wantSaid(outTopic, "u 1,first,x,1")
}

func TestLogSourceTopicMadeAnewStopsThePartition(t *testing.T) {
	t.Parallel()
	w, p := firstInLog(t)
	p.stop()
	w.makeAnew(topic)
	w.publish(w.put(2, 1, "second", "x", 2), w.put(3, 1, "third", "x", 3))
	p = w.startLog()
	p.wantStopped("was deleted and made anew")
	w.wantSaid(outTopic, "u 1,first,x,1")
}

func TestLogOffsetsBelowTheLogsStartStopThePartition(t *testing.T) {
	t.Parallel()
	w, p := firstInLog(t)
	p.stop()
	w.publish(w.put(2, 1, "second", "x", 2), w.put(3, 1, "third", "x", 3))
	w.deleteRecords(topic, 3)
	p = w.startLog()
	p.wantStopped("2 records were removed from the log before they were processed")
}

// One partition whose state cannot be read yet keeps none of the others waiting.
func TestLogRestoreOfOnePartitionBlocksNoOther(t *testing.T) {
	t.Parallel()
	w := newLogWorld(t, 2)
	other := w.put(2, 2, "two", "x", 2)
	other.partition = 1
	w.publish(w.put(1, 1, "one", "x", 1), other)
	held := make(chan struct{})
	w.startLog(withSlowState(0, held))
	w.reachLog(topic, 1, 1)
	if got := w.said(outTopic); len(got) != 1 || got[0] != "u 2,two,x,2" {
		t.Errorf("while partition 0 is read: got %v", got)
	}
	close(held)
	w.reachLog(topic, 0, 1)
}

// withSlowState holds the reading of a partition's state until held is closed.
func withSlowState(partition int32, held chan struct{}) logOption {
	return func(s *logSetup) {
		s.slow = func(in processors.Changelog) processors.Changelog { return &slowChangelog{in, partition, held} }
	}
}

type slowChangelog struct {
	processors.Changelog
	partition int32
	held      chan struct{}
}

func (c *slowChangelog) Read(ctx context.Context, partition int32, from int64, take func(key, value []byte) error) (int64, error) {
	if partition == c.partition {
		select {
		case <-c.held:
		case <-time.After(20 * time.Second):
			return 0, errors.New("held for too long")
		}
	}
	return c.Changelog.Read(ctx, partition, from, take)
}
