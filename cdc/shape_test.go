package cdc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// people is a table with something to hide; its replica identity is FULL where
// asked.
func people(identity Identity) *Table {
	t := tableOf(1, "people", "id", "name", "secret", "mail")
	t.Identity = identity
	for i := range t.Columns {
		t.Columns[i].Replicated = i == 0 || identity == IdentityFull
	}
	return t
}

func rules(r Rules) func(*Table) Rules { return func(*Table) Rules { return r } }

func without(columns ...string) func(string) bool {
	return func(c string) bool { return !slices.Contains(columns, c) }
}

func stars(columns ...string) func(string) *Mask {
	return func(c string) *Mask {
		if slices.Contains(columns, c) {
			return Asterisks(3)
		}
		return nil
	}
}

func TestRulesApplyBeforeAnythingSeesTheRow(t *testing.T) {
	t.Parallel()
	w := newWorld(people(IdentityFull))
	var published *Table
	w.encoder.compile = func(t *Table) { published = t }
	w.config.Rules = rules(Rules{Key: []string{"mail", "id"}, Keep: without("secret"), Mask: stars("name")})
	w.server.transaction(insert(1, "1", "ada", "x", "a@b"), full(update(1, text("1", "ada", "x", "a@b"), "1", "eve", "y", "e@b")), insert(1, "2", "NaN", "NaN", "NaN"))
	w.run(t)
	for _, r := range append(w.log.records, record{value: fmt.Sprint(w.log.notes)}) {
		for _, hidden := range []string{"ada", "eve", "=x", "=y"} {
			if strings.Contains(r.String(), hidden) {
				t.Errorf("%q is in %s", hidden, r)
			}
		}
	}
	var got []string
	for _, r := range w.log.in("public.people") {
		value, _, _ := strings.Cut(r.value, " xid")
		got = append(got, r.key+" "+value+r.note)
	}
	want := []string{
		"key  a@b;1; c - {id=1 name=*** mail=a@b}",
		"key  a@b;1; d {id=1 name=*** mail=a@b} - newkey=mail:e@bid:1",
		"key  a@b;1; tombstone newkey=mail:e@bid:1",
		"key  e@b;1; c - {id=1 name=*** mail=e@b} oldkey=mail:a@bid:1",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %s\nwant %s", strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
	if letter := w.log.in("dead_letter"); len(letter) != 1 || !strings.Contains(letter[0].value, `"name":"***"`) || strings.Contains(letter[0].value, "secret") {
		t.Errorf("dead letter %v: want the row as it is published", letter)
	}
	if n := w.sums.filtered["column"]; n != 2 {
		t.Errorf("%d rows lost columns, want the 2 that were published", n)
	}
	if p := published.Columns[1].Params; len(p) != 1 || p[0] != (Param{"masked", "true"}) {
		t.Errorf("parameters of the masked column %v", p)
	}
	// The history has the source's table, so that a change of the rules needs no
	// other history.
	for _, n := range w.log.notes {
		if !n.Schema {
			continue
		}
		var v Version
		if err := json.Unmarshal(n.Value, &v); err != nil {
			t.Fatal(err)
		}
		if len(v.Table.Columns) != 4 || v.Table.Key[0] != 0 || v.Table.Columns[1].Params != nil {
			t.Errorf("history %s", n.Value)
		}
	}
}

func TestMaskLeavesWhatTheWALDoesNotCarry(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		debezium bool
		want     string
	}{{false, "name=_"}, {true, "name=***"}} {
		w := newWorld(people(IdentityDefault))
		w.config.Debezium = c.debezium
		w.config.Rules = rules(Rules{Mask: stars("name")})
		w.server.transaction(update(1, nil, "1", "?", "x", "y"), remove(1, "1", "NULL", "NULL", "NULL"))
		got := w.run(t)
		if !strings.Contains(got[0].value, "name=?") {
			t.Errorf("an unchanged value: %s", got[0])
		}
		if !strings.Contains(got[1].value, "d {id=1 "+c.want+" secret=_") {
			t.Errorf("Debezium %v: %s, want %s", c.debezium, got[1], c.want)
		}
	}
}

func TestAContradictionIsAboutTheSourcesColumn(t *testing.T) {
	t.Parallel()
	table := people(IdentityDefault)
	table.Columns[3].NotNull = true
	w := newWorld(table)
	w.config.Rules = rules(Rules{Keep: without("name"), Mask: stars("secret")})
	w.server.transaction(insert(1, "1", "a", "s", "NULL"))
	w.run(t)
	if got := w.log.in("public.people"); len(got) != 1 || !strings.Contains(got[0].value, "mail=NULL") {
		t.Fatalf("%v", got)
	}
	v := w.log.history(w.log.notes).At(1, Position{Epoch: 2})
	if v == nil || v.Table.Columns[3].NotNull || !v.Table.Columns[0].NotNull || len(v.Table.Columns) != 4 {
		t.Errorf("history %+v: want mail nullable, and nothing else changed", v)
	}
}

// TestAWiderPlanIsRememberedForTheSource: the encoder may publish a wider table
// than it was asked for.
func TestAWiderPlanIsRememberedForTheSource(t *testing.T) {
	t.Parallel()
	table := people(IdentityDefault)
	table.Columns[3].NotNull = true
	w := newWorld(table)
	w.config.Rules = rules(Rules{Keep: without("name"), Mask: stars("secret")})
	w.server.transaction(insert(1, "1", "a", "s", "m"), insert(1, "2", "b", "s", "NULL"))
	r, _ := w.relay()
	r.Encoder = widening{w.encoder}
	if err := r.Stream(t.Context()); !errors.Is(err, errRead) {
		t.Fatal(err)
	}
	v := w.log.history(w.log.notes).At(1, Position{Epoch: 2})
	if v.Table.Columns[3].NotNull || v.Table.Facts || v.Table.Columns[2].Params != nil || len(v.Table.Columns) != 4 {
		t.Errorf("history %+v", v.Table)
	}
	if n := len(w.log.in("public.people")); n != 2 || len(w.encoder.plans) != 1 {
		t.Errorf("%d rows by %d plans", n, len(w.encoder.plans))
	}
}

// widening publishes every column as nullable.
type widening struct{ *texts }

func (e widening) Plan(ctx context.Context, t *Table, topic, key string) (Plan, *Table, error) {
	wide := *t
	wide.Facts = false
	wide.Columns = slices.Clone(t.Columns)
	for i := range wide.Columns {
		wide.Columns[i].NotNull = false
	}
	return e.texts.Plan(ctx, &wide, topic, key)
}

func TestRulesThatDoNotFitStop(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rules Rules
		want  string
	}{
		{Rules{Key: []string{"nme"}}, `public.people: the key that tables.overrides gives it ([nme]) names column "nme", which it does not have`},
		{Rules{Key: []string{"mail"}, Keep: without("mail")}, `names column "mail", which is left out`},
		{Rules{Keep: without("id")}, `its key ([id]) names column "id", which is left out`},
		{Rules{Mask: stars("n")}, `column "n" is masked, but its type int4`},
	} {
		table := people(IdentityDefault)
		table.Columns = append(table.Columns, Column{Name: "n", Type: &Type{Name: "int4", Kind: KindBase}})
		w := newWorld(table)
		w.config.Rules = rules(c.rules)
		w.server.transaction(insert(1, "1", "a", "b", "c", "1"))
		w.stops(t, c.want)
	}
}

// TestAKeyKeepsAColumnThatIsLeftOut where Debezium's form is asked for.
func TestAKeyKeepsAColumnThatIsLeftOut(t *testing.T) {
	t.Parallel()
	w := newWorld(people(IdentityDefault))
	var published *Table
	w.encoder.compile = func(t *Table) { published = t }
	w.config.Debezium = true
	w.config.Rules = rules(Rules{Keep: without("id", "mail")})
	w.server.transaction(insert(1, "1", "ada", "x", "a@b"))
	if got := w.run(t); len(got) != 1 || strings.TrimSpace(strings.TrimPrefix(got[0].key, "key")) != "1;" {
		t.Errorf("records %v: want the key 1", got)
	}
	var columns []string
	for i := range published.Columns {
		if c := &published.Columns[i]; !c.KeyOnly {
			columns = append(columns, c.Name)
		}
	}
	if !slices.Equal(columns, []string{"name", "secret"}) || w.sums.filtered["column"] != 1 {
		t.Errorf("values have %q, and %d rows lost columns; want name and secret, and 1", columns, w.sums.filtered["column"])
	}
}

func TestAMaskedEnumHasNoLabels(t *testing.T) {
	t.Parallel()
	table := people(IdentityDefault)
	table.Columns[1].Type = &Type{Name: "mood", Kind: KindEnum, Labels: []string{"ok", "bad"}}
	w := newWorld(table)
	w.config.Rules = rules(Rules{Mask: stars("name")})
	w.server.transaction(insert(1, "1", "ok", "b", "c"))
	if got := w.run(t); len(got) != 1 || len(w.encoder.plans) != 1 {
		t.Errorf("%v by %d plans: what stands in the place of a label is no new label", got, len(w.encoder.plans))
	}
}
