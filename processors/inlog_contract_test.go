package processors_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/schema"
	"github.com/tailrace/tailrace/sinks"
	"github.com/tailrace/tailrace/sinks/sinktest"
)

// What every sink promises, the protocol in the log promises for the sinks that make
// records: the suite writes to a source topic as a relay does, a processor stands behind
// it, and the rows are those of a reader of the outputs.
func TestLogContract(t *testing.T) {
	t.Parallel()
	elsewhere := map[string][]string{
		// A batch is not handed in: it is what was read from an offset that is committed with it.
		"RepeatedBatch":                 {"TestCrashInTheLogEndTxnUnknown", "TestCrashInTheLogProduceBeforeEndTxn"},
		"ZombieFenced":                  {"TestCrashInTheLogZombieAfterATakeOver"},
		"ReclaimOnlyOwnClaim":           {"TestCrashInTheLogZombieAfterATakeOver"},
		"SetBackByAnother":              {"TestLogCommandSetsAPartitionBack", "TestLogGoBackThroughAStretch"},
		"DeadLettersAndMarkersInCommit": {"TestLogPoisonIsParkedInTheSameTransaction", "TestCrashInTheLogDeadLettersBeforeEndTxn"},
		// Outputs are changes: columns that nobody knows are not known there, and no type is refused.
		"UnchangedValuesWithoutBase":   {"TestLogChangedRowsGetASchemaOfTheirOwn"},
		"PoisonRowInTheMiddle":         {"TestLogPoisonIsParkedInTheSameTransaction", "TestLogTooLargeForTheOutputIsADeadLetter"},
		"PoisonAfterGoodChangesOfARow": {"TestLogPoisonIsParkedInTheSameTransaction"},
	}
	wantTests(t, elsewhere)
	sinktest.Run(t, func(t *testing.T) sinktest.Destination {
		d := &logDestination{generation: map[int32]int64{}, ends: map[int32]int64{}}
		return sinktest.Destination{Log: true, Elsewhere: elsewhere,
			Open: func(t *testing.T) sinks.Sink {
				if d.world == nil {
					d.world = newLogWorld(t, 2)
				}
				return &logSink{d}
			},
			Rows: func(*testing.T) map[int]sinktest.Row { return d.table() },
			Cut:  func(*testing.T, sinks.Sink) { d.cut() },
		}
	})
}

// wantTests fails unless tests of these names are in this folder.
func wantTests(t *testing.T, all map[string][]string) {
	t.Helper()
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text.Write(b)
	}
	for name, tests := range all {
		for _, test := range tests {
			if !strings.Contains(text.String(), "\nfunc "+test+"(t *testing.T) {") {
				t.Errorf("%s: there is no %s", name, test)
			}
		}
	}
}

// logDestination is a log with a processor, and how far the suite is with it.
type logDestination struct {
	*world
	running    *logProcess
	owner      *logSink       // for whom it runs
	seen       map[string]int // its counters when Write answered last
	generation map[int32]int64
	ends       map[int32]int64 // of the source's partitions

	mu     sync.Mutex // guards the following
	armed  bool       // a transaction is to be cut
	polled bool       // a round has messages
	died   chan struct{}
}

// cut kills the processor with the next messages in a transaction that is about to end.
func (d *logDestination) cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.armed, d.died = true, make(chan struct{})
}

func (d *logDestination) fault(point string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case point == "poll":
		d.polled = true
	case point == "end":
		d.polled = false
	case point == "offsets" && d.armed && d.polled:
		close(d.died)
		d.armed = false
		return errDied
	}
	return nil
}

// begin starts a processor for s, and ends the one before.
func (d *logDestination) begin(s *logSink) {
	d.end()
	d.owner, d.seen = s, map[string]int{}
	d.running = d.startLog(func(s *logSetup) { s.inlog.Fault = d.fault })
}

func (d *logDestination) end() {
	if d.running != nil {
		d.running.stop()
		d.running = nil
	}
}

// next is the group's offset of a partition.
func (d *logDestination) next(ctx context.Context, partition int32) (int64, error) {
	offsets, err := kadm.NewClient(d.client).FetchOffsets(ctx, "p")
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return 0, err
	}
	if o, ok := offsets.Lookup(topic, partition); ok {
		return o.At, nil
	}
	return sinks.NoOffset, nil
}

// relayed is a change as a relay writes it.
func (d *logDestination) relayed(c *sinks.Change, partition int32) record {
	var r record
	switch {
	case c.Floor == nil:
		r = d.change(table, int(c.Position.LSN), c.Op, c.Row...)
	case c.Floor.Sweep:
		r = d.sweep(c.Position.Epoch, c.Floor.Partitions)
	default:
		r = d.truncate(int(c.Position.LSN))
	}
	r.pos, r.partition = c.Pos, partition
	return r
}

// table is what the outputs amount to.
func (d *logDestination) table() map[int]sinktest.Row {
	rows := map[int]sinktest.Row{}
	for _, o := range d.outputs(outTopic) {
		id, err := strconv.Atoi(d.keyText(o.key))
		if err != nil {
			d.t.Fatal(err)
		}
		if o.value == nil {
			delete(rows, id)
			continue
		}
		e, columns := d.event(o)
		schema.MarkUnavailable(o.headers[cdc.HeaderUnavailable], nil, e.After, columns)
		if e.Op == cdc.OpDelete {
			delete(rows, id)
			continue
		}
		r := rows[id]
		for i, column := range []*string{1: &r.Name, 2: &r.Note, 3: &r.Amount} {
			if column != nil && e.After[i].State == cdc.Text {
				*column = string(e.After[i].Data)
			}
		}
		rows[id] = r
	}
	return rows
}

// number is that of the log for one of the suite's two partitions.
func number(p sinks.Partition) int32 { return p.Number % 2 }

// logSink is one of several sinks for a destination.
type logSink struct{ *logDestination }

func (s *logSink) Claim(ctx context.Context, p sinks.Partition) (sinks.Claim, error) {
	if s.owner == s {
		next, err := s.next(ctx, number(p))
		return sinks.Claim{Partition: p, Next: next}, err
	}
	s.end()
	next, err := s.next(ctx, number(p))
	s.begin(s)
	return sinks.Claim{Partition: p, Next: next}, err
}

// Reclaim is a restart.
func (s *logSink) Reclaim(ctx context.Context, c sinks.Claim) (sinks.Claim, error) {
	s.owner = nil
	return s.Claim(ctx, c.Partition)
}

// Write publishes a batch, but for what of it the topic has since it was cut off, and
// waits until the processor has counted it.
func (s *logSink) Write(ctx context.Context, b *sinks.Batch) (sinks.Result, error) {
	partition := number(b.Claim.Partition)
	if known := max(s.generation[partition], 1); b.Generation != known {
		s.end()
		s.setBack(partition, b.Expect, b.Generation, nil)
		s.begin(s)
		s.generation[partition] = b.Generation
	}
	var records []*kgo.Record
	for i, c := range b.Changes {
		if c.Offset >= s.ends[partition] {
			r := s.relayed(c, partition)
			records = append(records, r.to(topic, i))
		}
	}
	s.mu.Lock()
	armed, died := s.armed, s.died
	s.mu.Unlock()
	if err := s.client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return sinks.Result{}, err
	}
	s.ends[partition] = b.Next
	if armed {
		s.running.dies(&points{died: died})
		return sinks.Result{}, errDied
	}
	return s.counted(len(b.Changes))
}

// counted waits for n more records, and tells what became of them.
func (s *logSink) counted(n int) (sinks.Result, error) {
	var now map[string]int
	until(s.t, fmt.Sprintf("%d records more than %v", n, s.seen), func() bool {
		now = s.running.counters()
		return sum(now) >= sum(s.seen)+n
	})
	var r sinks.Result
	for _, o := range []sinks.Outcome{sinks.Applied, sinks.Duplicate, sinks.Stale} {
		for range now[o.String()] - s.seen[o.String()] {
			r.Outcomes = append(r.Outcomes, o)
		}
	}
	s.seen = now
	if len(r.Outcomes) != n {
		return r, fmt.Errorf("of %d records, %d were applied or gated: counters %v", n, len(r.Outcomes), now)
	}
	return r, nil
}

func sum(all map[string]int) (n int) {
	for _, v := range all {
		n += v
	}
	return n
}

// Close leaves the processor to whoever claims next.
func (s *logSink) Close() {}
