package steps_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/processors"
	"github.com/tailrace/tailrace/processors/rehearsal"
	"github.com/tailrace/tailrace/processors/steps"
	"github.com/tailrace/tailrace/sinks"
)

func must[D steps.Definition](d D, err error) steps.Definition {
	if err != nil {
		panic(err)
	}
	return d
}

// source is a row of the test's table.
type source struct {
	amount, tenant int
	note           string
}

// TestRowsFollowTheirSource takes random histories through random pipelines, with
// runs that are delivered again, and compares the sink with what the rows of the
// source, as they are in the end, are by themselves.
func TestRowsFollowTheirSource(t *testing.T) {
	t.Parallel()
	table, err := rehearsal.ParseTable("public.items", "id bigint primary key, tenant integer, amount integer, note text")
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		filtered, keyed, routed := rapid.Bool().Draw(t, "filter"), rapid.Bool().Draw(t, "key"), rapid.Bool().Draw(t, "route")
		list := []steps.Config{{Name: "map", Step: must(steps.NewMap(map[string]string{"double": "row.amount * 2", "label": `upper(row.note) + text(row.tenant)`}))}}
		if filtered {
			list = append(list, steps.Config{Name: "filter", Step: must(steps.NewFilter("row.double > 8 and row.id < 1000"))})
		}
		if keyed {
			list = append(list, steps.Config{Name: "key", Step: must(steps.NewProject(steps.ProjectConfig{Key: []string{"tenant", "id"}, Rename: map[string]string{"note": "remark"}}))})
		}
		if routed {
			list = append(list, steps.Config{Name: "route", Step: must(steps.NewRoute(steps.RouteConfig{Table: `"t" + text(row.tenant)`, Targets: []string{"t0", "t1", "t2"}}))})
		}
		rows := map[int]source{}
		var history []rehearsal.Change
		value := func(s string) rehearsal.Value { return rehearsal.Value{Text: s} }
		image := func(id int, r source) map[string]rehearsal.Value {
			return map[string]rehearsal.Value{"id": value(strconv.Itoa(id)), "tenant": value(strconv.Itoa(r.tenant)), "amount": value(strconv.Itoa(r.amount)), "note": value(r.note)}
		}
		for n := 1; n <= rapid.IntRange(1, 30).Draw(t, "changes"); n++ {
			id := rapid.IntRange(0, 4).Draw(t, "id")
			next := source{rapid.IntRange(0, 9).Draw(t, "amount"), rapid.IntRange(0, 2).Draw(t, "tenant"), rapid.SampledFrom([]string{"a", "b"}).Draw(t, "note")}
			was, exists := rows[id]
			c := rehearsal.Change{Table: "public.items", Op: "c", Row: image(id, next), Position: strconv.Itoa(n)}
			switch {
			case rapid.IntRange(0, 15).Draw(t, "truncate") == 0:
				c = rehearsal.Change{Table: "public.items", Op: "t", Position: strconv.Itoa(n)}
				clear(rows)
				history = append(history, c)
				continue
			case exists && rapid.IntRange(0, 3).Draw(t, "delete") == 0:
				c.Op, c.Row, c.Before = "d", nil, image(id, was)
				delete(rows, id)
				history = append(history, c)
				continue
			case exists:
				c.Op, c.Before = "u", image(id, was)
			}
			rows[id] = next
			history = append(history, c)
		}
		var delivered []rehearsal.Change
		for i := 0; i < len(history); i++ {
			delivered = append(delivered, history[i])
			if back := rapid.IntRange(0, 8).Draw(t, "again"); back < 3 && i >= back {
				delivered = append(delivered, history[i-back:i+1]...)
			}
		}
		result, err := rehearsal.Play(context.Background(), rehearsal.Pipeline{Name: "p", Steps: steps.Build(list)}, rehearsal.NewWorld("shop", []*cdc.Table{table}), delivered)
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range result.Played {
			if p.Outcome == "dead_lettered" || p.Outcome == "parked" || p.Stop != nil {
				t.Fatalf("change %d: %s, %v", i+1, p.Outcome, p.Letters)
			}
		}
		var want, got []string
		for id, r := range rows {
			if filtered && r.amount*2 <= 8 {
				continue
			}
			target, note := "public.items", "note"
			if routed {
				target = fmt.Sprintf("public.t%d", r.tenant)
			}
			if keyed {
				note = "remark"
			}
			want = append(want, fmt.Sprintf("%s amount=%d double=%d id=%d label=%s%d %s=%s tenant=%d", target, r.amount, r.amount*2, id, strings.ToUpper(r.note), r.tenant, note, r.note, r.tenant))
		}
		for _, target := range result.Sink.Targets() {
			for _, r := range result.Sink.Rows(target) {
				var columns []string
				for name, v := range r {
					columns = append(columns, name+"="+*v)
				}
				slices.Sort(columns)
				got = append(got, target+" "+strings.Join(columns, " "))
			}
		}
		slices.Sort(want)
		slices.Sort(got)
		if keyed { // remark stands behind label
			for i := range want {
				want[i] = strings.Join(slices.Sorted(slices.Values(strings.Fields(want[i])[1:])), " ")
			}
			for i := range got {
				got[i] = strings.Join(slices.Sorted(slices.Values(strings.Fields(got[i])[1:])), " ")
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("steps: filter %v, key %v, route %v\ngot:\n%s\nwant:\n%s", filtered, keyed, routed, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// The hashes of a pipeline and those of a relay under one key are the same.
func TestHashesAreThoseOfTheRelay(t *testing.T) {
	t.Parallel()
	key := []byte("0123456789abcdef")
	shape := &sinks.Shape{Key: []int{0}, Columns: []sinks.Column{{Name: "id"}, {Name: "mail"}, {Name: "n", Type: sinks.Int32}}}
	m := must(steps.NewMask(map[string]steps.MaskConfig{"id": {HMAC: key}, "mail": {HMAC: key}, "n": {HMAC: key}}))
	out, faults := m.Check(shape)
	if len(faults) > 0 || out.Columns[2].Type != sinks.Text || out.Columns[2].Name != "n" {
		t.Fatalf("got %+v, %v", out, faults)
	}
	c := &processors.Change{Op: cdc.OpUpdate, After: processors.Row{Columns: shape, Values: []cdc.Value{processors.Text("7"), processors.Text("a@b"), processors.Null}}}
	err := m.New().Process(t.Context(), c, nil, func(c *processors.Change) error {
		relay := cdc.Hash(key, &cdc.Column{Type: &cdc.Type{Schema: "pg_catalog", Name: "text"}, Modifier: -1})
		for i, v := range []string{"7", "a@b"} {
			want, _ := relay.Append(nil, processors.Text(v), nil)
			if got := string(c.After.Values[i].Data); got != string(want) || len(got) != 64 {
				t.Errorf("hash of %s: got %s, want %s", v, got, want)
			}
		}
		if c.After.Values[2].State != cdc.Null {
			t.Error("null has a hash")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Two partitions give rows of one version of a table one shape, which sinks compare
// by address.
func TestShapesBehindAStepAreShared(t *testing.T) {
	t.Parallel()
	shape := &sinks.Shape{Key: []int{0}, Columns: []sinks.Column{{Name: "id", Type: sinks.Int64}, {Name: "a"}}}
	for name, d := range map[string]steps.Definition{
		"project": must(steps.NewProject(steps.ProjectConfig{Drop: []string{"a"}})),
		"map":     must(steps.NewMap(map[string]string{"b": "row.a"})),
		"mask":    must(steps.NewMask(map[string]steps.MaskConfig{"a": {Asterisks: new(int)}})),
		"flatten": must(steps.NewFlatten(steps.FlattenConfig{AddFields: []string{"op"}})),
	} {
		var found []*sinks.Shape
		for range 2 {
			step := d.New()
			for range 2 {
				c := &processors.Change{Op: cdc.OpCreate, After: processors.Row{Columns: shape, Values: []cdc.Value{processors.Int(1), processors.Text("x")}}}
				if err := step.Process(t.Context(), c, nil, func(c *processors.Change) error {
					found = append(found, c.After.Columns)
					return nil
				}); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
			}
		}
		for _, s := range found {
			if s != found[0] {
				t.Errorf("%s: the partitions have shapes of their own", name)
			}
		}
	}
}

func TestPatternsOfTables(t *testing.T) {
	t.Parallel()
	c := steps.Config{Tables: []string{"public.orders", "audit.*"}}
	for table, want := range map[string]bool{"public.orders": true, "public.orders2": false, "audit.x": true, "audits.x": false} {
		if got := c.Concerns(table); got != want {
			t.Errorf("%s: got %v", table, got)
		}
	}
	for pattern, ok := range map[string]bool{"*": true, "public.*": true, "*.orders": true, "orders": false, "a.b.c": false, "public.[a]": false, "public.a?": false} {
		if err := steps.ValidPattern(pattern); (err == nil) != ok {
			t.Errorf("%s: got %v", pattern, err)
		}
	}
}
