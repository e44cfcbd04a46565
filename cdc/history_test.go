package cdc

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// versions gives the entries of the schema topic.
func (w *world) versionsWritten(t *testing.T) []*Version {
	t.Helper()
	var out []*Version
	for _, n := range w.log.notes {
		if !n.Schema {
			continue
		}
		if n.Schema {
			h := &History{}
			if err := h.Add(n.Value); err != nil {
				t.Fatal(err)
			}
			out = append(out, h.At(1, Position{Epoch: 9}))
		}
	}
	return out
}

// TestAVersionIsWrittenOnceWithItsIds: with the position of the first row that
// needs it, before that row, and not again when a restart meets it again.
func TestAVersionIsWrittenOnceWithItsIds(t *testing.T) {
	t.Parallel()
	one, two := tableOf(1, "t", "id"), tableOf(1, "t", "id", "v")
	w := newWorld(one)
	w.config.Limits.Rows = 1
	w.server.transaction(insert(1, "1"), insert(1, "2"), w.altered(two), insert(1, "3", "v"))
	w.run(t)
	w.server.transaction(insert(1, "4", "w"))
	w.run(t)
	got := w.versionsWritten(t)
	c := w.server.units[0].start
	want := []string{Position{Epoch: 1, LSN: c, Ordinal: 1}.String(), Position{Epoch: 1, LSN: c, Ordinal: 4}.String()}
	if len(got) != 2 || got[0].From != want[0] || len(got[1].Table.Columns) != 2 {
		t.Fatalf("%d versions, %+v", len(got), got)
	}
	want[1] = Position{Epoch: 1, LSN: c, Ordinal: 3}.String()
	if got[1].From != want[1] || got[1].KeySchema != 1 || got[1].ValueSchema != 102 || got[1].Topic != "shop.public.t" {
		t.Errorf("second version %+v, want it from %s", got[1], want[1])
	}
}

// TestResolveIsAskedForThePlaceWhereTheShapeIsNeeded: a restart that begins inside
// of what is published asks for the first row that is not, and so finds the
// version that the row was to have.
func TestResolveIsAskedForThePlaceWhereTheShapeIsNeeded(t *testing.T) {
	t.Parallel()
	w := newWorld(tableOf(1, "t", "id", "v"))
	w.config.Limits.Rows = 1
	w.server.transaction(insert(1, "1", "a"), insert(1, "2", "b"), insert(1, "3", "c"))
	r, s := w.relay()
	s.lag = true
	w.log.killAt, w.log.survives = 2, true
	if err := r.Stream(t.Context()); !errors.Is(err, errKilled) {
		t.Fatal(err)
	}
	p := w.log.progress.Partial
	if p == nil || p.Ordinal == 0 || p.Ordinal == 3 {
		t.Fatalf("partial %+v", p)
	}
	w.server.resolved = nil
	w.run(t)
	want := Position{Epoch: 1, LSN: w.server.units[0].start, Ordinal: p.Ordinal + 1}.String()
	if len(w.server.resolved) != 1 || !strings.HasSuffix(w.server.resolved[0], want) {
		t.Errorf("resolved %v, want at %s", w.server.resolved, want)
	}
}

// TestATableThatIsSkippedIsNotResolved: nothing is asked for what is published
// already.
func TestATableThatIsSkippedIsNotResolved(t *testing.T) {
	t.Parallel()
	w := newWorld(tableOf(1, "t", "id"))
	w.server.transaction(insert(1, "1"))
	r, s := w.relay()
	s.lag = true
	if err := r.Stream(t.Context()); !errors.Is(err, errRead) {
		t.Fatal(err)
	}
	w.server.resolved, w.encoder.plans = nil, nil
	if got := w.run(t); len(got) != 1 || len(w.server.resolved) != 0 || len(w.encoder.plans) != 0 {
		t.Errorf("%v; resolved %v, plans %v", got, w.server.resolved, w.encoder.plans)
	}
}

func TestARowBeforeItsRelationStops(t *testing.T) {
	t.Parallel()
	w := newWorld(tableOf(1, "t", "id"))
	w.server.transaction(insert(1, "1"))
	r, s := w.relay()
	s.events[1] = Event{Kind: EventKeepalive}
	if err := r.Stream(t.Context()); !Stopped(err) || !strings.Contains(err.Error(), "before its RELATION") {
		t.Errorf("%v", err)
	}
}

// TestARelationThatComesAgainIsTheSameRoute: the server describes a relation again
// for many reasons that do not change it.
func TestARelationThatComesAgainIsTheSameRoute(t *testing.T) {
	t.Parallel()
	table := tableOf(1, "t", "id")
	w := newWorld(table)
	w.server.transaction(insert(1, "1"), insert(1, "2"))
	r, s := w.relay()
	s.events, s.shapes = slices.Insert(s.events, 3, s.events[1]), slices.Insert(s.shapes, 3, table)
	if err := r.Stream(t.Context()); !errors.Is(err, errRead) {
		t.Fatal(err)
	}
	if len(w.log.records) != 2 || len(w.server.resolved) != 2 || len(w.encoder.plans) != 1 {
		t.Errorf("%d rows, resolved %v, plans %v: want the second answer to be the first's route", len(w.log.records), w.server.resolved, w.encoder.plans)
	}
}
