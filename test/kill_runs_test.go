package test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/tailrace/tailrace/cdc"
)

// wholeRuns fails unless the positions of the stream in every partition rise, but
// for repeats of whole runs: a run that goes back begins at a position that was
// there, goes on through every position that followed it then, in that order and
// with the same rows, and may go beyond them only from the last one. A search by
// position in a partition rests on that.
func wholeRuns(t *testing.T, got []record) {
	t.Helper()
	type place struct {
		topic     string
		partition int32
	}
	runs := map[place][]record{}
	for _, r := range got {
		if r.pos.Ordinal > 0 { // a snapshot row can repeat after a crash
			at := place{r.topic, r.partition}
			runs[at] = append(runs[at], r)
		}
	}
	elsewhere := map[cdc.Position]int32{}
	for at, all := range runs {
		var known []record // each position once, rising
		next := 0          // the place in known that is due; its length: something new
		for _, r := range all {
			if p, ok := elsewhere[r.pos]; ok && p != at.partition && (r.value == nil || r.op() != "t") {
				t.Errorf("%s: position %s stands in partitions %d and %d", at.topic, r.pos, p, at.partition)
			}
			elsewhere[r.pos] = at.partition
			i, found := slices.BinarySearchFunc(known, r.pos, func(k record, pos cdc.Position) int { return k.pos.Compare(pos) })
			switch {
			case found && i == next:
				next++
			case found: // back to the beginning of a repeat
				if i > next {
					t.Errorf("%s/%d@%d: a repeat leaves out the positions between %s and %s", at.topic, at.partition, r.offset, known[next].pos, r.pos)
				}
				next = i + 1
			case i == len(known) && next == len(known):
				known, next = append(known, r), next+1
				continue
			case i == len(known):
				t.Errorf("%s/%d@%d: position %s is new, but the repeat before it ended at %s, not at %s", at.topic, at.partition, r.offset, r.pos, known[next-1].pos, known[len(known)-1].pos)
				known = append(known, r)
				next = len(known)
				continue
			default:
				t.Errorf("%s/%d@%d: position %s came late, behind %s", at.topic, at.partition, r.offset, r.pos, known[len(known)-1].pos)
				known = slices.Insert(known, i, r)
				next = i + 1
				continue
			}
			if was := content(known[i]); content(r) != was {
				t.Errorf("%s/%d@%d: position %s came again as %s, and was %s", at.topic, at.partition, r.offset, r.pos, content(r), was)
			}
		}
	}
}

// content is what must be the same when a record comes again; the time at which it
// was made may differ.
func content(r record) string {
	if r.value == nil {
		return fmt.Sprint("tombstone ", r.key)
	}
	return fmt.Sprint(r.op(), " ", r.key, r.row("before"), r.row("after"))
}

// firsts is each position of each partition once, as it came first; rows of a
// snapshot as they are.
func firsts(got []record) []record {
	seen := map[string]bool{}
	var out []record
	for _, r := range got {
		at := fmt.Sprintf("%d/%s", r.partition, r.pos)
		if r.pos.Ordinal > 0 && seen[at] {
			continue
		}
		seen[at] = true
		out = append(out, r)
	}
	return out
}

// TestWholeRunsSeesWhatIsNone is the oracle against itself.
func TestWholeRunsSeesWhatIsNone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		positions []uint32
		ok        bool
	}{
		"rising":                              {[]uint32{1, 2, 3}, true},
		"a run again":                         {[]uint32{1, 2, 3, 2, 3, 4}, true},
		"a run again, cut off, and again":     {[]uint32{1, 2, 3, 4, 2, 3, 1, 2, 3, 4, 5}, true},
		"nothing new behind a repeat":         {[]uint32{1, 2, 3, 2, 3}, true},
		"a repeat that stops short":           {[]uint32{1, 2, 3, 1, 2, 4}, false},
		"a repeat with a hole":                {[]uint32{1, 2, 3, 1, 3, 4}, false},
		"one that was left out comes later":   {[]uint32{1, 3, 2, 3, 4}, false},
		"a late one of a relay that was lost": {[]uint32{1, 2, 3, 4, 2, 5}, false},
	} {
		var got []record
		for i, n := range c.positions {
			got = append(got, record{topic: "t", offset: int64(i), pos: cdc.Position{Epoch: 1, LSN: cdc.LSN(n), Ordinal: 1}})
		}
		probe := &testing.T{}
		wholeRuns(probe, got)
		if probe.Failed() == c.ok {
			t.Errorf("%s: %v: failed is %t", name, c.positions, probe.Failed())
		}
	}
}
