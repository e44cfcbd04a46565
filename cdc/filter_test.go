package cdc

import (
	"fmt"
	"strings"
	"testing"
)

// published gives the published operations of a table, with the key of each.
func (w *world) published(t checker, name string) string {
	t.Helper()
	w.run(t)
	var out []string
	for _, r := range w.log.in("public." + name) {
		op, _, _ := strings.Cut(r.value, " ")
		out = append(out, strings.TrimSuffix(op+strings.TrimPrefix(r.key, "key  "), ";")+r.note)
	}
	return strings.Join(out, " ")
}

// TestRowFilterFollowsTheRows: readers have what passes, and nothing else, after
// every change.
func TestRowFilterFollowsTheRows(t *testing.T) {
	t.Parallel()
	old := text
	for _, c := range []struct {
		name     string
		change   Event
		want     string
		filtered int
	}{
		{"insert that passes", insert(1, "1", "yes"), "c1", 0},
		{"insert that does not", insert(1, "1", "no"), "", 1},
		{"update that passes", update(1, nil, "1", "yes"), "u1", 0},
		{"update that does not, the old row unknown", update(1, nil, "1", "no"), "d1 unavailable=before.v tombstone1", 0},
		{"key change that passes", update(1, old("1", "x"), "2", "yes"), "d1 unavailable=before.v newkey=id:2 tombstone1 newkey=id:2 c2 oldkey=id:1", 0},
		{"key change that does not", update(1, old("1", "x"), "2", "no"), "d1 unavailable=before.v tombstone1", 0},
		{"from passing to passing", full(update(1, old("1", "yes"), "1", "yes")), "u1", 0},
		{"from passing to not", full(update(1, old("1", "yes"), "1", "no")), "d1 tombstone1", 0},
		{"from not to passing", full(update(1, old("1", "no"), "1", "yes")), "c1", 0},
		{"from not to passing, under another key", full(update(1, old("1", "no"), "2", "yes")), "c2", 0},
		{"from passing to not, under another key", full(update(1, old("1", "yes"), "2", "no")), "d1 tombstone1", 0},
		{"from not to not", full(update(1, old("1", "no"), "1", "no")), "", 1},
		{"delete of an unknown row", remove(1, "1", "x"), "d1 unavailable=before.v tombstone1", 0},
		{"delete of a row that passed", full(remove(1, "1", "yes")), "d1 tombstone1", 0},
		{"delete of a row that did not", full(remove(1, "1", "no")), "", 1},
		{"a value that the WAL does not carry", update(1, nil, "1", "?"), "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			table := tableOf(1, "t", "id", "v")
			if c.change.OldFull {
				table.Identity, table.Columns[1].Replicated = IdentityFull, true
			}
			w := newWorld(table)
			w.config.Rules = rules(Rules{Filter: func(t *Table, row []Value) (bool, error) {
				if row[1].State == Unchanged {
					return false, &ValueError{Column: t.Columns[1].Name, Reason: "the WAL does not carry it"}
				}
				return string(row[1].Data) == "yes", nil
			}})
			w.server.transaction(c.change, insert(1, "9", "no"))
			if got := w.published(t, "t"); got != c.want {
				t.Errorf("published %q, want %q", got, c.want)
			}
			if got := w.sums.filtered["row"]; got != c.filtered+1 {
				t.Errorf("%d rows filtered, want %d", got, c.filtered+1)
			}
			if got, want := len(w.log.in("dead_letter")), strings.Count(c.name, "does not carry"); got != want {
				t.Errorf("%d dead letters, want %d", got, want)
			}
		})
	}
}

func TestFilterErrorStopsWithoutDeadLetters(t *testing.T) {
	t.Parallel()
	w := newWorld(tableOf(1, "t", "id", "v"))
	w.config.Rules = rules(Rules{Filter: func(*Table, []Value) (bool, error) { return false, fmt.Errorf("no such function") }})
	w.server.transaction(insert(1, "1", "v"))
	w.stops(t, "the row filter cannot judge a change at 00000001/")
}

// TestSkippedOperations: each event is skipped by its own operation, so a key
// change loses the half whose operation it is.
func TestSkippedOperations(t *testing.T) {
	t.Parallel()
	const d, c = "d1 unavailable=before.v newkey=id:2 tombstone1 newkey=id:2", "c2 oldkey=id:1"
	for _, test := range []struct {
		skip, want string
		filtered   int
	}{
		{"", "c5 " + d + " " + c + " u2 d2 unavailable=before.v tombstone2", 0},
		{"c", d + " u2 d2 unavailable=before.v tombstone2", 2},
		{"d", "c5 " + c + " u2", 2},
		{"u", "c5 " + d + " " + c + " d2 unavailable=before.v tombstone2", 1},
		{"cud", "", 5},
	} {
		w := newWorld(tableOf(1, "t", "id", "v"))
		w.config.Skip, w.config.Transactions = test.skip, true
		w.server.transaction(insert(1, "5", "v"), update(1, text("1", "x"), "2", "v"), update(1, nil, "2", "w"), remove(1, "2", "x"))
		if got := w.published(t, "t"); got != test.want {
			t.Errorf("skip %q: published %q,\nwant %q", test.skip, got, test.want)
		}
		if got := w.sums.filtered["operation"]; got != test.filtered {
			t.Errorf("skip %q: %d operations filtered, want %d", test.skip, got, test.filtered)
		}
		events := 5 - test.filtered
		if end := w.log.in(".transaction")[1].value; events > 0 != strings.HasSuffix(end, fmt.Sprintf("[{public.t %d}]", events)) {
			t.Errorf("skip %q: %s, want %d events", test.skip, end, events)
		}
	}
}
