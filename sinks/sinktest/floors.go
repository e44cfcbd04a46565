package sinktest

import (
	"testing"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/sinks"
)

// Truncate ends the table's rows up to position n.
func Truncate(n int) *sinks.Change {
	return &sinks.Change{Origin: Origin, Op: cdc.OpTruncate, Position: At(n), Pos: At(n).String(), Shape: &sinks.Shape{Columns: Items.Columns},
		Floor: &sinks.Floor{Pos: At(n).String()}}
}

// Sweep is the mark behind a snapshot of an epoch, in a topic of two partitions.
func Sweep(epoch uint32) *sinks.Change {
	at := cdc.Position{Epoch: epoch, LSN: 1, Part: 9}
	return &sinks.Change{Origin: Origin, Op: cdc.OpTruncate, Position: at, Pos: at.String(), Shape: &sinks.Shape{},
		Floor: &sinks.Floor{Pos: cdc.EpochStart(epoch), Sweep: true, Partitions: 2}}
}

// later moves a change into another epoch.
func later(epoch uint32, c *sinks.Change) *sinks.Change {
	c.Position.Epoch = epoch
	c.Pos = c.Position.String()
	return c
}

// second is another partition of the suite's topic, with an owner of its own.
func (b *bench) second() *bench {
	b.t.Helper()
	other := *b
	var err error
	if other.claim, err = b.sink.Claim(b.ctx(), sinks.Partition{Topic: part.Topic, Number: part.Number + 1, ID: part.ID}); err != nil {
		b.t.Fatal(err)
	}
	other.next = other.claim.Next
	return &other
}

// ended is the outcome of a change whose row a later one of its batch ends.
func (b *bench) ended() sinks.Outcome {
	if b.Log {
		return sinks.Applied
	}
	return sinks.Stale
}

// older is the outcome of a truncate below another one.
func (b *bench) older() sinks.Outcome {
	if b.Log {
		return sinks.Stale
	}
	return sinks.Duplicate
}

func truncate(t *testing.T, b *bench) {
	b.write(Put(1, 1, one), Put(2, 2, one))
	b.wantOutcomes(b.write(Put(3, 3, two), Truncate(4), Put(5, 2, two)), b.ended(), sinks.Applied, sinks.Applied)
	b.wantRows(map[int]Row{2: two})
	b.wantOutcomes(b.write(Put(6, 1, one), PutName(7, 1, "new", "7")), sinks.Applied, sinks.Applied)
	b.wantRows(map[int]Row{1: {"new", "note", "7"}, 2: two})
}

// A partition that lags behind the one that brought the truncate first.
func truncateOverPartitions(t *testing.T, b *bench) {
	lagging := b.second()
	b.write(Put(1, 1, one), Truncate(5), Put(6, 1, two))
	late, again := sinks.Stale, sinks.Duplicate
	if b.Log { // each partition has its own
		late, again = sinks.Applied, sinks.Applied
	}
	b.wantOutcomes(lagging.write(Put(2, 2, one), PutName(3, 2, "new", "7"), Delete(4, 2)), late, late, late)
	b.wantOutcomes(lagging.write(PutName(4, 3, "without base", "7")), late)
	b.wantOutcomes(lagging.write(Truncate(5), Put(7, 2, two)), again, sinks.Applied)
	b.wantRows(map[int]Row{1: two, 2: two})
	b.wantOutcomes(b.write(Truncate(3)), b.older()) // it has nothing to end
	b.wantRows(map[int]Row{1: two, 2: two})
}

func truncateRepeated(t *testing.T, b *bench) {
	changes := []*sinks.Change{Put(1, 1, one), Truncate(2), Put(3, 2, two), Truncate(4), Put(5, 3, one)}
	b.write(changes...)
	b.wantRows(map[int]Row{3: one})
	b.wantOutcomes(b.write(changes...), sinks.Stale, b.older(), sinks.Stale, sinks.Duplicate, sinks.Duplicate)
	b.wantRows(map[int]Row{3: one})
}

// Rows 1 to 3 are of the first epoch; the snapshot of the second has 2 and 3,
// and 1 was deleted in between.
func sweep(t *testing.T, b *bench) {
	other := b.second()
	b.write(Put(1, 1, one), Put(2, 2, one))
	other.write(Put(3, 3, one))
	b.write(later(2, Put(1, 2, two)), Sweep(2))
	half := map[int]Row{1: one, 2: two, 3: one} // row 3 may still be on its way
	if b.Log {
		delete(half, 1) // of the partition that was swept
	}
	b.wantRows(half)
	other.write(later(2, Put(2, 3, two)))
	b.wantOutcomes(other.write(Sweep(2)), sinks.Applied)
	b.wantRows(map[int]Row{2: two, 3: two})
	b.wantOutcomes(b.write(Put(9, 1, one)), sinks.Stale) // a zombie of the first epoch
	b.wantOutcomes(b.write(Sweep(2)), sinks.Duplicate)
	b.wantRows(map[int]Row{2: two, 3: two})
}
