// Package sinktest is the suite that every sink passes: what package sinks
// promises, tried on a real destination.
package sinktest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/sinks"
)

// Destination is one fresh, empty destination.
type Destination struct {
	// Open makes a sink for it. It is closed by the suite.
	Open func(t *testing.T) sinks.Sink
	// Rows reads the table Items as it stands.
	Rows func(t *testing.T) map[int]Row
	// Cut makes the next Write of s fail after its rows were sent and before
	// they are durable.
	Cut func(t *testing.T, s sinks.Sink)
	// Changes says that the destination keeps changes and not rows: it refuses none,
	// nothing is stale for it, and Rows is what Fold makes of them.
	Changes bool
	// Forgets says that the destination knows of nothing behind its end: a sink begins
	// where the group is, and two of them do not know of each other.
	Forgets bool
	// Log says that the destination is a log behind the runtime, which keeps the promises
	// for it (processors/inlog.go): a truncate and a sweep end the rows of their own
	// partition, at once; a change that a later one of its batch ends was applied before;
	// a truncate below another one is stale; and Write tells how many changes had each
	// outcome, and not which.
	Log bool
	// Elsewhere are the cases that have no meaning through Sink for the destination, each
	// with the tests that stand for it, by their names. Run leaves them out.
	Elsewhere map[string][]string
}

// Run runs the suite; fresh makes a destination for each of its tests.
func Run(t *testing.T, fresh func(t *testing.T) Destination) {
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &bench{Destination: fresh(t), t: t}
			if tests, ok := b.Elsewhere[name]; ok {
				t.Skip("for the destination, the tests that stand for it are:", tests)
			}
			for other := range b.Elsewhere {
				if cases[other] == nil {
					t.Errorf("Elsewhere: there is no case %s", other)
				}
			}
			if b.Changes && slices.Contains(aboutRows, name) {
				t.Skip("the destination keeps changes, and has no rows to judge them by")
			}
			if b.Forgets && slices.Contains(aboutMemory, name) {
				t.Skip("the destination has no memory")
			}
			b.sink = b.Open(t)
			t.Cleanup(b.sink.Close)
			b.claim = b.mustClaim(b.sink)
			b.next = b.claim.Next
			test(t, b)
		})
	}
}

// cases are the tests of the suite, by their names.
var cases = map[string]func(*testing.T, *bench){
	"OrderPerKey":                     orderPerKey,
	"RepeatedBatch":                   repeatedBatch,
	"RepeatedChanges":                 repeatedChanges,
	"CutBatch":                        cutBatch,
	"UnchangedValues":                 unchangedValues,
	"UnchangedValuesBehindAnOldImage": behindAnOldImage,
	"UnchangedValuesWithoutBase":      unchangedWithoutBase,
	"DeleteOfTheAbsent":               deleteOfTheAbsent,
	"LateUpdateDoesNotResurrect":      lateUpdate,
	"DeletedRowComesBack":             comesBack,
	"KeyChange":                       keyChange,
	"Resume":                          resume,
	"PoisonRowInTheMiddle":            poison,
	"PoisonAfterGoodChangesOfARow":    poisonAfterGood,
	"ZombieFenced":                    zombie,
	"ReclaimOnlyOwnClaim":             reclaim,
	"NewGenerationOverwrites":         generation,
	"SetBackByAnother":                move,
	"DeadLettersAndMarkersInCommit":   outbox,
	"Truncate":                        truncate,
	"TruncateOverPartitions":          truncateOverPartitions,
	"TruncateRepeated":                truncateRepeated,
	"SweepAfterASnapshot":             sweep,
	"RandomChanges":                   random,
}

// aboutRows are the tests of what only a destination that keeps rows can do;
// aboutMemory those of what outlives a sink.
var (
	aboutRows   = []string{"UnchangedValuesWithoutBase", "PoisonRowInTheMiddle", "PoisonAfterGoodChangesOfARow"}
	aboutMemory = []string{"Resume", "ZombieFenced"}
)

// part is the partition of the suite.
var part = sinks.Partition{Topic: "shop.public.items", Number: 3, ID: "topic-1"}

// bench is a destination with one owner of one partition.
type bench struct {
	Destination
	t     *testing.T
	sink  sinks.Sink
	claim sinks.Claim
	next  int64
}

func (b *bench) ctx() context.Context { return b.t.Context() }

func (b *bench) mustClaim(s sinks.Sink) sinks.Claim {
	b.t.Helper()
	c, err := s.Claim(b.ctx(), part)
	if err != nil {
		b.t.Fatalf("claim: %v", err)
	}
	return c
}

func (b *bench) batch(changes ...*sinks.Change) *sinks.Batch {
	for i, c := range changes {
		c.Offset = max(b.next, 0) + int64(i)
	}
	return &sinks.Batch{Claim: b.claim, Expect: b.next, Next: max(b.next, 0) + int64(len(changes)), Generation: 1, Changes: changes}
}

func (b *bench) write(changes ...*sinks.Change) []sinks.Outcome {
	b.t.Helper()
	batch := b.batch(changes...)
	r, err := b.sink.Write(b.ctx(), batch)
	if err != nil {
		b.t.Fatalf("write: %v", err)
	}
	b.next = batch.Next
	return r.Outcomes
}

func (b *bench) wantOutcomes(got []sinks.Outcome, want ...sinks.Outcome) {
	b.t.Helper()
	if b.Changes { // all of them are kept
		want = make([]sinks.Outcome, len(want))
	}
	if b.Log {
		slices.Sort(want)
		slices.Sort(got)
	}
	if !slices.Equal(got, want) {
		b.t.Errorf("outcomes: got %v, want %v", got, want)
	}
}

func (b *bench) wantRows(want map[int]Row) {
	b.t.Helper()
	if got := b.Rows(b.t); !maps.Equal(got, want) {
		b.t.Errorf("rows: got %v, want %v", got, want)
	}
}

func (b *bench) wantRefused(err error, class sinks.Class, indexes ...int) {
	b.t.Helper()
	var refused *sinks.RefusedError
	if !errors.As(err, &refused) {
		b.t.Fatalf("got %v, want a *RefusedError", err)
	}
	var got []int
	for _, r := range refused.Refusals {
		got = append(got, r.Index)
		if r.Err.Class != class {
			b.t.Errorf("class of %d: got %s (%v), want %s", r.Index, r.Err.Class, r.Err, class)
		}
	}
	if !slices.Equal(got, indexes) {
		b.t.Errorf("refused: got %v, want %v", got, indexes)
	}
}

var (
	one = Row{"one", "note", "1"}
	two = Row{"two", "note", "2"}
)

func orderPerKey(t *testing.T, b *bench) {
	b.wantOutcomes(b.write(Put(1, 1, one), Put(2, 2, one), Put(3, 1, two)), sinks.Applied, sinks.Applied, sinks.Applied)
	b.wantRows(map[int]Row{1: two, 2: one})
	// Older than the row, in a batch of their own and behind a newer change.
	b.wantOutcomes(b.write(Put(2, 1, one)), sinks.Stale)
	b.wantOutcomes(b.write(Put(5, 1, one), Put(4, 1, two), Put(5, 1, two)), sinks.Applied, sinks.Stale, sinks.Duplicate)
	b.wantRows(map[int]Row{1: one, 2: one})
}

func repeatedBatch(t *testing.T, b *bench) {
	batch := b.batch(Put(1, 1, one))
	if _, err := b.sink.Write(b.ctx(), batch); err != nil {
		t.Fatal(err)
	}
	if _, err := b.sink.Write(b.ctx(), batch); !errors.Is(err, sinks.ErrFenced) {
		t.Errorf("the same batch again: got %v, want ErrFenced", err)
	}
	b.wantRows(map[int]Row{1: one})
}

func repeatedChanges(t *testing.T, b *bench) {
	changes := []*sinks.Change{Put(1, 1, one), Put(2, 2, one), Delete(3, 2), Put(4, 1, two)}
	b.write(changes...)
	b.wantOutcomes(b.write(changes...), sinks.Stale, sinks.Stale, sinks.Duplicate, sinks.Duplicate)
	b.wantRows(map[int]Row{1: two})
}

func cutBatch(t *testing.T, b *bench) {
	if b.Cut == nil {
		t.Skip("the destination has no way to cut a batch")
	}
	b.write(Put(1, 1, one))
	b.Cut(t, b.sink)
	batch := b.batch(Put(2, 1, two), Put(3, 2, two))
	if _, err := b.sink.Write(b.ctx(), batch); err == nil {
		t.Fatal("a write that was cut: got no error")
	}
	b.wantRows(map[int]Row{1: one})
	c, err := b.sink.Reclaim(b.ctx(), b.claim)
	if err != nil {
		t.Fatal(err)
	}
	if c.Next != b.next {
		t.Errorf("offset after the cut: got %d, want %d", c.Next, b.next)
	}
	b.claim = c
	b.write(Put(2, 1, two), Put(3, 2, two))
	b.wantRows(map[int]Row{1: two, 2: two})
}

func unchangedValues(t *testing.T, b *bench) {
	b.write(Put(1, 1, one), Put(2, 2, two))
	b.wantOutcomes(b.write(PutName(3, 1, "new", "7"), Put(4, 2, one), PutName(5, 2, "newer", "8"), PutName(6, 2, "newest", "9")),
		sinks.Applied, sinks.Applied, sinks.Applied, sinks.Applied)
	b.wantRows(map[int]Row{1: {"new", "note", "7"}, 2: {"newest", "note", "9"}})
	b.wantOutcomes(b.write(PutName(3, 1, "again", "0"), PutName(2, 2, "older", "0")), sinks.Duplicate, sinks.Stale)
	b.wantRows(map[int]Row{1: {"new", "note", "7"}, 2: {"newest", "note", "9"}})
}

// An image, or a delete, that is delivered again is not what a later change stands on.
func behindAnOldImage(t *testing.T, b *bench) {
	b.write(Put(1, 1, one))
	b.write(Put(3, 1, Row{"three", "newer", "3"}))
	b.wantOutcomes(b.write(Put(1, 1, one), PutName(4, 1, "four", "4")), sinks.Stale, sinks.Applied)
	b.wantRows(map[int]Row{1: {"four", "newer", "4"}})
	b.write(PutName(5, 1, "five", "5"), Put(6, 1, two), PutName(7, 1, "seven", "7"), PutName(8, 1, "eight", "8"))
	b.wantRows(map[int]Row{1: {"eight", two.Note, "8"}})
	b.write(Put(9, 2, one), PutName(10, 2, "ten", "10"), Delete(11, 2), Put(12, 2, two), PutName(13, 2, "last", "13"))
	b.wantRows(map[int]Row{1: {"eight", two.Note, "8"}, 2: {"last", two.Note, "13"}})
	b.write(Put(14, 3, one), Delete(15, 3))
	b.write(Put(16, 3, two))
	b.wantOutcomes(b.write(Delete(15, 3), PutName(17, 3, "seventeen", "17")), sinks.Stale, sinks.Applied)
	b.wantRows(map[int]Row{1: {"eight", two.Note, "8"}, 2: {"last", two.Note, "13"}, 3: {"seventeen", two.Note, "17"}})
}

func unchangedWithoutBase(t *testing.T, b *bench) {
	b.write(Put(1, 1, one))
	_, err := b.sink.Write(b.ctx(), b.batch(Put(2, 1, two), PutName(3, 9, "new", "7"), Delete(4, 1), PutName(5, 1, "new", "7")))
	b.wantRefused(err, sinks.ClassMissingBase, 1, 3)
	_, err = b.sink.Write(b.ctx(), b.batch(Put(2, 1, two), PutName(3, 9, "new", "7"), PutName(4, 9, "newer", "7")))
	b.wantRefused(err, sinks.ClassMissingBase, 1)
	b.wantRows(map[int]Row{1: one})
	b.write(PutName(3, 9, "new", "7"), Put(4, 9, two)) // a full image in the same batch resolves it
	b.wantRows(map[int]Row{1: one, 9: two})
}

func deleteOfTheAbsent(t *testing.T, b *bench) {
	b.wantOutcomes(b.write(Put(1, 1, one), Delete(5, 7)), sinks.Applied, sinks.Applied)
	b.wantOutcomes(b.write(Delete(5, 7), Delete(4, 7)), sinks.Duplicate, sinks.Stale)
	b.wantRows(map[int]Row{1: one})
}

func lateUpdate(t *testing.T, b *bench) {
	b.write(Put(1, 1, one))
	b.write(Delete(5, 1))
	b.wantOutcomes(b.write(Put(4, 1, two)), sinks.Stale)
	b.wantOutcomes(b.write(PutName(3, 1, "x", "1")), sinks.Stale)
	b.wantOutcomes(b.write(Delete(2, 1)), sinks.Stale)
	b.wantRows(map[int]Row{})
}

func comesBack(t *testing.T, b *bench) {
	b.write(Put(1, 1, one), Delete(2, 1))
	b.wantRows(map[int]Row{})
	b.wantOutcomes(b.write(Put(3, 1, two), Delete(4, 1), Put(5, 1, one)), sinks.Applied, sinks.Applied, sinks.Applied)
	b.wantRows(map[int]Row{1: one})
	b.wantOutcomes(b.write(Delete(4, 1)), sinks.Stale)
	b.wantRows(map[int]Row{1: one})
}

func keyChange(t *testing.T, b *bench) {
	// One UPDATE of the key from 1 to 2: two rows, whose halves share ordinal
	// and may come in either order.
	b.write(Put(1, 1, one))
	gone, made := Delete(2, 1), Put(2, 2, one)
	made.Position.Part = cdc.PartCreate
	made.Pos = made.Position.String()
	b.wantOutcomes(b.write(made), sinks.Applied)
	b.wantOutcomes(b.write(gone), sinks.Applied)
	b.wantRows(map[int]Row{2: one})
	b.wantOutcomes(b.write(gone, made), sinks.Duplicate, sinks.Duplicate)
}

func resume(t *testing.T, b *bench) {
	if b.claim.Next != sinks.NoOffset {
		t.Errorf("offset of a fresh partition: got %d, want %d", b.claim.Next, sinks.NoOffset)
	}
	b.write(Put(1, 1, one), Put(2, 2, one))
	later := b.Open(t)
	t.Cleanup(later.Close)
	c := b.mustClaim(later)
	if b.Log { // the brokers fence, and the state has the topic's id
		if c.Next != 2 {
			t.Errorf("offset after a restart: got %d, want 2", c.Next)
		}
		return
	}
	if c.Next != 2 || c.Epoch <= b.claim.Epoch || c.ID != part.ID {
		t.Errorf("claim after a restart: got %+v, want offset 2, an epoch above %d, topic id %q", c, b.claim.Epoch, part.ID)
	}
	other, err := later.Claim(b.ctx(), sinks.Partition{Topic: part.Topic, Number: part.Number, ID: "topic-2"})
	if err != nil || other.ID != part.ID {
		t.Errorf("claim of a topic made anew: got id %q, %v; want the stored id %q", other.ID, err, part.ID)
	}
}
