package steps_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/processors"
	"github.com/tailrace/tailrace/processors/rehearsal"
	"github.com/tailrace/tailrace/processors/steps"
)

func latestOf(table string) []steps.Config {
	return []steps.Config{{Name: "latest", Step: must(steps.NewLatest(steps.LatestConfig{Table: table}))}}
}

func tablesOf(t interface{ Fatal(...any) }, definitions map[string]string) []*cdc.Table {
	var out []*cdc.Table
	for _, name := range slices.Sorted(maps.Keys(definitions)) {
		table, err := rehearsal.ParseTable(name, definitions[name])
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, table)
	}
	return out
}

// Random histories of two tables, with runs that are delivered again, end as what the
// rows of the source are.
func TestLatestIsTheCurrentRowsOfAllTables(t *testing.T) {
	t.Parallel()
	definitions := map[string]string{"public.customers": "id bigint primary key, name text", "public.profiles": "id bigint primary key, note text, score numeric(6,2)"}
	rapid.Check(t, func(t *rapid.T) {
		w := rehearsal.NewWorld("shop", tablesOf(t, definitions))
		rows := map[string]map[int]string{"public.customers": {}, "public.profiles": {}}
		var history []rehearsal.Change
		for n := 1; n <= rapid.IntRange(1, 30).Draw(t, "changes"); n++ {
			table := rapid.SampledFrom([]string{"public.customers", "public.profiles"}).Draw(t, "table")
			id := rapid.IntRange(1, 4).Draw(t, "id")
			c := rehearsal.Change{Table: table, Position: strconv.Itoa(n)}
			key := rehearsal.Value{Text: strconv.Itoa(id)}
			_, there := rows[table][id]
			switch op := rapid.SampledFrom([]string{"put", "put", "put", "delete", "truncate"}).Draw(t, "op"); {
			case op == "truncate":
				c.Op = "t"
				clear(rows[table])
			case op == "delete" && there:
				c.Op, c.Before = "d", map[string]rehearsal.Value{"id": key}
				delete(rows[table], id)
			default:
				c.Op = map[bool]string{true: "u", false: "c"}[there]
				c.Row = map[string]rehearsal.Value{"id": key}
				if table == "public.customers" {
					c.Row["name"] = rehearsal.Value{Text: fmt.Sprint("n", n)}
					rows[table][id] = fmt.Sprintf(`{"id":%d,"name":"n%d"}`, id, n)
				} else {
					c.Row["score"] = rehearsal.Value{Text: fmt.Sprintf("%d.50", n)}
					note := fmt.Sprintf(`"x%d"`, n)
					if there && rapid.Bool().Draw(t, "toast") {
						c.Unavailable = []string{"note"}
						note = strings.Split(strings.Split(rows[table][id], `"note":`)[1], ",")[0]
					} else {
						c.Row["note"] = rehearsal.Value{Text: fmt.Sprint("x", n)}
					}
					rows[table][id] = fmt.Sprintf(`{"id":%d,"note":%s,"score":%d.50}`, id, note, n)
				}
			}
			history = append(history, c)
			if len(history) > 3 && rapid.IntRange(0, 5).Draw(t, "again") == 0 {
				history = append(history, history[len(history)-3:]...)
			}
		}
		r, err := rehearsal.Play(t.Context(), rehearsal.Pipeline{Name: "p", Steps: steps.Build(latestOf("docs.customers")), OnPoison: processors.PolicyStop}, w, history)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{}
		for id := range 5 {
			var parts []string
			for _, table := range []string{"public.customers", "public.profiles"} {
				if row, ok := rows[table][id]; ok {
					parts = append(parts, fmt.Sprintf("%q:[%s]", table, row))
				}
			}
			if len(parts) > 0 {
				want[strconv.Itoa(id)] = "{" + strings.Join(parts, ",") + "}"
			}
		}
		got := map[string]string{}
		for _, row := range r.Sink.Rows("docs.customers") {
			got[*row["key"]] = *row["document"]
		}
		if !maps.Equal(got, want) {
			t.Fatalf("got  %v\nwant %v", got, want)
		}
	})
}

// Without the row's part, a column that was not carried is nobody's to know.
func TestLatestWithoutABaseIsMendedByTheNextFullImage(t *testing.T) {
	t.Parallel()
	w := rehearsal.NewWorld("shop", tablesOf(t, map[string]string{"public.items": "id bigint primary key, note text"}))
	id := rehearsal.Value{Text: "1"}
	r, err := rehearsal.Play(t.Context(), rehearsal.Pipeline{Name: "p", Steps: steps.Build(latestOf("docs.items"))}, w, []rehearsal.Change{
		{Table: "public.items", Op: "u", Row: map[string]rehearsal.Value{"id": id}, Unavailable: []string{"note"}},
		{Table: "public.items", Op: "u", Row: map[string]rehearsal.Value{"id": id, "note": {Text: "whole"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.Played[0].Outcome != "dead_lettered" || r.Played[1].Outcome != "applied" {
		t.Errorf("outcomes: %s, %s", r.Played[0].Outcome, r.Played[1].Outcome)
	}
	if rows := r.Sink.Rows("docs.items"); len(rows) != 1 || *rows[0]["document"] != `{"public.items":[{"id":1,"note":"whole"}]}` {
		t.Errorf("rows: %v", rows)
	}
}

func TestLatestRefusesWhatHasNoPlace(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "documents", "a.b.c", ".b"} {
		if _, err := steps.NewLatest(steps.LatestConfig{Table: bad}); err == nil {
			t.Errorf("table %q: no error", bad)
		}
	}
}
