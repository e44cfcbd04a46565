package cdc

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// tables is a snapshot.
type tables []struct {
	table *Table
	rows  [][]Value
}

func (s tables) Tables() (out []*Table) {
	for _, t := range s {
		out = append(out, t.table)
	}
	return out
}

func (tables) XID() uint32 { return 77 }

func (s tables) Rows(_ context.Context, i int, row func([]Value) error, long func() (LongRow, error)) error {
	for _, r := range s[i].rows {
		if strings.HasPrefix(string(r[len(r)-1].Data), "long ") {
			to, err := long()
			if err == nil {
				err = tell(to, false, true, r, 700)
			}
			if err == nil {
				err = to.End()
			}
			if err != nil {
				return err
			}
			continue
		}
		if err := row(slices.Clone(r)); err != nil {
			return err
		}
	}
	return nil
}

// snapshot reads tables and gives what is durable, without what repeats.
func (w *world) snapshot(t *testing.T, src tables) []string {
	t.Helper()
	r := &Relay{Config: w.config, Encoder: w.encoder, Log: w.log, Observer: w.sums, Logger: discard, Source: w.server.stream(nil)}
	p := Progress{Version: 1, Confirmed: 0x1000, Epochs: []Epoch{{Epoch: 1}}, Snapshot: &SnapshotRun{At: 0x1000}}
	w.log.progress = &p
	r.Resume(p, p.Confirmed)
	if err := r.Snapshot(t.Context(), src, nil, func(string, uint64) {}); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, r := range w.log.records {
		value, _, _ := strings.Cut(r.value, " xid=")
		marker := r.value[strings.LastIndex(r.value, " ")+1:]
		out = append(out, strings.Join([]string{strings.TrimPrefix(r.topic, "shop."), r.pos[len(r.pos)-2:], value, marker}, " "))
	}
	return out
}

func equal(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// TestSnapshotGoesThroughTheRules: rows that are filtered have no number, so the
// markers are those of what is published; there is no transaction, and c, u and d
// are what can be skipped.
func TestSnapshotGoesThroughTheRules(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.config.Transactions, w.config.Skip = true, "cud"
	w.config.XMin = func() int64 { return 5 }
	w.config.Rules = rules(Rules{Keep: without("w"), Mask: stars("v"), Filter: func(_ *Table, row []Value) (bool, error) {
		if string(row[2].Data) == "?" {
			return false, &ValueError{Column: "w", Reason: "no"}
		}
		return string(row[2].Data) == "yes", nil
	}})
	got := w.snapshot(t, tables{
		{tableOf(1, "a", "id", "v", "w"), [][]Value{text("0", "x", "no"), text("1", "x", "yes"), text("2", "x", "no"), text("3", "x", "yes"), text("4", "x", "no")}},
		{tableOf(2, "b", "id", "v", "w"), [][]Value{text("1", "x", "no")}},
		{tableOf(3, "hidden", "id", "v", "w"), [][]Value{text("1", "x", "yes")}},
		{tableOf(4, "c", "id", "v", "w"), [][]Value{text("1", "x", "yes"), text("2", "x", "yes"), text("3", "x", "no")}},
	})
	equal(t, got, "public.a 01 r - {id=1 v=***} first", "public.a 02 r - {id=3 v=***} last_in_data_collection",
		"public.c 03 r - {id=1 v=***} first_in_data_collection", "public.c 04 r - {id=2 v=***} last")
	if w.sums.filtered["row"] != 5 || w.sums.filtered["column"] != 4 || w.sums.filtered["table"] != 0 {
		t.Errorf("filtered %v", w.sums.filtered)
	}
	for _, r := range w.log.records {
		if strings.Contains(r.value, "tx=") || strings.Contains(r.value, "xmin") {
			t.Errorf("%s", r)
		}
	}
}

// TestSnapshotOfARefusedTable: its rows are dead letters, the others go on.
func TestSnapshotOfARefusedTable(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.encoder.refuse = picky("bad")
	w.config.OnIncompatible = IncompatibleDeadLetter
	w.snapshot(t, tables{
		{tableOf(1, "a", "id", "bad"), [][]Value{text("1", "x"), text("2", "y")}},
		{tableOf(2, "b", "id"), [][]Value{text("1")}},
	})
	if got := w.log.in("dead_letter"); len(got) != 2 || !strings.Contains(got[1].value, `"after":{"id":"2","bad":"y"}`) || !strings.Contains(got[1].value, `"op":"r"`) {
		t.Errorf("dead letters %v", got)
	}
	if n := len(w.log.in("public.b")); n != 1 || w.log.progress.Snapshot != nil {
		t.Errorf("%d rows of the other table, progress %+v", n, w.log.progress)
	}
}

// TestSnapshotRowWithoutAVerdict: a row that the filter cannot judge is a dead
// letter with a number of its own.
func TestSnapshotRowWithoutAVerdict(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.config.Rules = rules(Rules{Filter: func(_ *Table, row []Value) (bool, error) {
		if row[1].State == Unchanged {
			return false, &ValueError{Column: "v", Reason: "no verdict"}
		}
		return true, nil
	}})
	w.snapshot(t, tables{{tableOf(1, "a", "id", "v"), [][]Value{text("1", "x"), text("2", "?"), text("3", "z")}}})
	var parts []string
	for _, r := range w.log.records {
		parts = append(parts, fmt.Sprint(r.topic, " ", r.pos[len(r.pos)-1:]))
	}
	// A row is held back until the next one has come, a dead letter is not.
	equal(t, parts, "shop.dead_letter 1", "shop.public.a 2", "shop.public.a 3")
	if n := w.log.progress.Snapshot; n != nil {
		t.Errorf("snapshot %+v is not over", n)
	}
}
