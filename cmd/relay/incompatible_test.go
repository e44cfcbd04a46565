package main

import (
	"strings"
	"testing"

	"github.com/tailrace/tailrace/internal/ops"
)

// changeType is a change that no compatibility level but NONE takes.
const changeType = "ALTER TABLE orders ALTER total TYPE bigint"

func TestIncompatibleSchemaIsForcedIntoANewTopicVersion(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "registry: {on_incompatible: force}\n")
	w.begin(t, "CREATE TABLE orders (id int PRIMARY KEY, total numeric(10,2))", "INSERT INTO orders VALUES (1, 1)")
	w.sql(t, changeType, "INSERT INTO orders VALUES (2, 2)")
	w.stream(t)
	w.expect(t, w.name+".public.orders", `r {"id":1} null {"id":1,"total":1.00}`)
	w.expect(t, w.name+".public.orders.v2", `c {"id":2} null {"id":2,"total":2}`)
}

func TestRowsOfAnIncompatibleSchemaAreDeadLetters(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "registry: {on_incompatible: dead_letter}\n")
	w.begin(t, "CREATE TABLE orders (id int PRIMARY KEY, total numeric(10,2))", "INSERT INTO orders VALUES (1, 1)")
	w.sql(t, changeType, "INSERT INTO orders VALUES (2, 2)")
	w.stream(t)
	w.expect(t, "public.orders", `r {"id":1} null {"id":1,"total":1.00}`)
	dead := w.records(t, w.name+".dead_letter", 1)
	if d := dead[0]; len(dead) != 1 || string(d.After) != `{"id":"2","total":"2"}` || d.Column != "total" || !strings.Contains(d.Reason, "refuses") {
		t.Errorf("%+v", d)
	}
	if r := w.relay(t, "tail", w.name+".dead_letter", "--until-end"); !strings.Contains(r.out, "{id:2 total:2}  (total: the registry refuses") {
		t.Errorf("%s%s", r.out, r.err)
	}
}

func TestIncompatibleSchemaStopsWithItsColumn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.begin(t, "CREATE TABLE orders (id int PRIMARY KEY, total numeric(10,2))", "INSERT INTO orders VALUES (1, 1)")
	w.sql(t, changeType, "INSERT INTO orders VALUES (2, 2)")
	w.stopped(t, `column "total"`, "public.orders")
}

func TestNonfiniteFailStopsWithPositionAndColumn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "format: {nonfinite: fail}\n")
	w.begin(t, "CREATE TABLE orders (id int PRIMARY KEY, total numeric(10,2))")
	w.sql(t, "INSERT INTO orders VALUES (2, 'NaN')")
	w.stopped(t, `column "total"`, "00000001/")
}

// stopped waits until the relay stays for a person, with these texts in its
// reason.
func (w *world) stopped(t *testing.T, texts ...string) {
	t.Helper()
	var h ops.Health
	eventually(t, "the relay stops", func() bool {
		h = w.health()
		return h.State == ops.StateStopped
	})
	for _, want := range texts {
		if !strings.Contains(h.Reason, want) {
			t.Errorf("no %q in %s", want, h.Reason)
		}
	}
}
