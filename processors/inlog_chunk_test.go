package processors_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/processors"
)

// chunked is a topic with twelve rows, of which a processor with chunks of four, as
// startLog makes it, takes the first four in one round, and the others in another, in two
// chunks.
func chunked(t *testing.T) (w *world, said []string) {
	t.Helper()
	w = newLogWorld(t, 1)
	var records []record
	for i := 1; i <= 12; i++ {
		records = append(records, w.put(i, i, "name", "x", i))
		said = append(said, fmt.Sprintf("u %d,name,x,%d", i, i))
	}
	w.publish(records...)
	return w, said
}

// Killed with a part of a round at the brokers.
func TestCrashInTheLogARoundIsSentInPart(t *testing.T) {
	t.Parallel()
	w, said := chunked(t)
	at := dieAt("ship", 1)
	w.startLog(func(s *logSetup) { s.inlog.Fault = at.ask }).dies(at)
	w.wantSaid(outTopic, said[:4]...)
	p := w.startLog()
	w.reachLog(topic, 0, 12)
	w.wantSaid(outTopic, said...)
	p.wantCounters(map[string]int{"applied": 8})
}

// What a chunk meets is not the matter of those before it, which are at the brokers
// already: they are committed, also while it hangs, since readers of the outputs wait for
// the transaction.
func TestAChunkThatFailsLeavesThoseBeforeIt(t *testing.T) {
	t.Parallel()
	for name, hangs := range map[string]bool{"fails": false, "hangs": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, said := chunked(t)
			free, held := make(chan struct{}), make(chan struct{})
			if !hangs {
				close(held)
			}
			p := w.startLog(logSteps(processors.StepFunc(func(ctx context.Context, c *processors.Change, s processors.State, emit processors.Emit) error {
				if id, err := c.Row().Int("id"); err != nil || id != 10 {
					return errors.Join(err, emit(c))
				}
				select {
				case <-free:
					return emit(c)
				default:
				}
				select {
				case <-free:
					return emit(c)
				case <-held:
				case <-ctx.Done():
				}
				return processors.TryAgain(errors.New("not now"))
			})))
			w.reachLog(topic, 0, 8)
			w.wantSaid(outTopic, said[:8]...)
			close(free)
			w.reachLog(topic, 0, 12)
			w.wantSaid(outTopic, said...)
			p.wantCounters(map[string]int{"applied": 12})
		})
	}
}

// A chunk stands behind what the ones before it have parked; an aborted round takes that
// back, or the record that parked its row would stand behind itself.
func TestAnAbortedRoundTakesBackWhatItsChunksHaveParked(t *testing.T) {
	t.Parallel()
	w := newLogWorld(t, 1)
	var records []record
	for i := 1; i <= 12; i++ {
		row := i
		if i == 11 {
			row = 6
		}
		records = append(records, w.put(i, row, "name", "x", i))
	}
	w.publish(records...)
	var ends atomic.Int32
	p := w.startLog(logSteps(processors.StepFunc(func(ctx context.Context, c *processors.Change, s processors.State, emit processors.Emit) error {
		if v, err := c.Row().Int("amount"); err != nil || v == 6 {
			return errors.Join(err, errors.New("no six"))
		}
		return emit(c)
	})), func(s *logSetup) {
		s.wrap = func(in processors.LogSession) processors.LogSession { return &aborting{in, &ends} }
	})
	w.reachLog(topic, 0, 12)
	p.wantCounters(map[string]int{"applied": 10, "dead_lettered": 1, "parked": 1})
	if n := ends.Load(); n < 3 {
		t.Errorf("%d transactions: the second was not aborted", n)
	}
}

// aborting is a session whose second transaction is aborted, as by a rebalance.
type aborting struct {
	processors.LogSession
	ends *atomic.Int32
}

func (a *aborting) End(ctx context.Context, offsets map[kafka.TopicPartition]kafka.Stored) (bool, error) {
	if a.ends.Add(1) == 2 {
		return false, a.LogSession.Abort(ctx)
	}
	return a.LogSession.End(ctx, offsets)
}
