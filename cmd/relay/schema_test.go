package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/tailrace/tailrace/cdc"
)

// TestSchemaCommandsBeforeAMigration goes the way of a service's CI: show what
// would be registered, register it by running the relay, migrate, and ask again.
func TestSchemaCommandsBeforeAMigration(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "tables: {overrides: {public.orders: {columns: {exclude: [secret]}}}}\n")
	w.sql(t, "CREATE TABLE orders (id int PRIMARY KEY, total numeric(10,2) NOT NULL, note text, secret text)", "CREATE TABLE log (line text)")

	r := w.relay(t, "schema", "show", "public.orders")
	if r.code != 0 || !strings.Contains(r.out, "subject "+w.name+".public.orders-key\n{\n") || !strings.Contains(r.out, "subject "+w.name+".public.orders-value\n{\n") {
		t.Errorf("exit %d\n%s%s", r.code, r.out, r.err)
	}
	shown := func(args ...string) []string {
		t.Helper()
		r := w.relay(t, append([]string{"schema", "show", "-o", "json"}, args...)...)
		if r.code != 0 {
			t.Fatalf("exit %d: %s", r.code, r.err)
		}
		return strings.Split(strings.TrimSuffix(r.out, "\n"), "\n")
	}
	lines := shown("public.orders")
	if len(lines) != 2 || !json.Valid([]byte(lines[0])) || !strings.Contains(lines[0], `"name":"Key"`) || !strings.Contains(lines[1], `"name":"Envelope"`) || strings.Contains(lines[1], "secret") {
		t.Errorf("got %s", lines)
	}
	if key := shown("public.orders", "--key"); len(key) != 1 || key[0] != lines[0] {
		t.Errorf("--key: %s", key)
	}
	if value := shown("public.log"); len(value) != 1 || !strings.Contains(value[0], `"name":"Envelope"`) {
		t.Errorf("a table without key: %s", value)
	}
	if r := w.relay(t, "schema", "show", "public.log", "--key"); r.code != 1 || r.out != "" || !strings.Contains(r.err, "public.log has no key") {
		t.Errorf("exit %d: %s%s", r.code, r.out, r.err)
	}
	if r := w.relay(t, "schema", "show", "public.nothing"); r.code != 1 || !strings.Contains(r.err, "there are: public.log, public.orders") {
		t.Errorf("exit %d: %s", r.code, r.err)
	}
	if found, code := w.verdicts(t); code != 0 || len(found["schema"]) != 3 || !has(found, "schema", cdc.LevelInfo, "is new") {
		t.Errorf("exit %d: %+v", code, found)
	}
	if r := w.relay(t, "schema", "diff", "public.orders"); r.code != 0 || strings.Count(r.out, "does not exist yet") != 2 {
		t.Errorf("exit %d: %s%s", r.code, r.out, r.err)
	}
	// Slot, publication and topics are not touched, and nothing was registered: the
	// relay begins as on a first start.
	if found, _ := w.findings(t); !has(found, "slot", cdc.LevelInfo, "relay run makes it") || !has(found, "publication", cdc.LevelInfo, "relay run makes it") {
		t.Errorf("%+v", found)
	}

	w.sql(t, "INSERT INTO orders VALUES (1, 1)", "INSERT INTO log VALUES ('x')")
	w.start(t)
	if registered := w.latest(t, w.name+".public.orders-value"); registered != lines[1] {
		t.Errorf("shown\n%s\nregistered\n%s", lines[1], registered)
	}
	if found, code := w.verdicts(t, "public.orders"); code != 0 || !has(found, "schema", cdc.LevelInfo, "is registered already") {
		t.Errorf("exit %d: %+v", code, found)
	}
	if r := w.relay(t, "schema", "diff", "public.orders"); r.code != 0 || strings.Count(r.out, "no differences") != 2 {
		t.Errorf("exit %d: %s%s", r.code, r.out, r.err)
	}

	w.sql(t, "ALTER TABLE orders ADD COLUMN added text, ALTER COLUMN total TYPE bigint")
	found, code := w.verdicts(t, "public.orders")
	if code != 4 || !has(found, "schema", cdc.LevelError, `column "total"`) || !has(found, "schema", cdc.LevelError, w.name+".public.orders-value") || !has(found, "schema", cdc.LevelError, "BACKWARD") {
		t.Errorf("exit %d: %+v", code, found)
	}
	if r := w.relay(t, "schema", "check", "public.orders"); r.code != 4 || !strings.Contains(r.out, "relay schema diff public.orders") {
		t.Errorf("exit %d: %s", r.code, r.out)
	}
	if r := w.relay(t, "schema", "diff", "public.orders"); r.code != 0 || !strings.Contains(r.out, `column "added": added`) || !strings.Contains(r.out, `column "total": type`) {
		t.Errorf("exit %d: %s%s", r.code, r.out, r.err)
	}
	var d struct{ Table, Part, Subject, Column, Change, Backward string }
	if r := w.relay(t, "schema", "diff", "public.orders", "-o", "json"); json.Unmarshal([]byte(strings.SplitN(r.out, "\n", 2)[0]), &d) != nil ||
		d.Table != "public.orders" || d.Part != "value" || d.Column != "total" || d.Change != "type" || d.Backward == "" {
		t.Errorf("%+v of %s", d, r.out)
	}
}

// TestSchemaCheckKnowsWhatTheRelayFallsBackTo: a column that was nullable cannot
// be NOT NULL under FORWARD, and the relay publishes it as nullable then.
func TestSchemaCheckKnowsWhatTheRelayFallsBackTo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.sql(t, "CREATE TABLE orders (id int PRIMARY KEY, note text)", "INSERT INTO orders VALUES (1, 'x')")
	w.start(t)
	w.sql(t, "ALTER TABLE orders ALTER note SET NOT NULL")
	found, code := w.verdicts(t)
	if code != 0 || !has(found, "schema", cdc.LevelWarning, "nullable, which the relay then publishes") {
		t.Errorf("exit %d: %+v", code, found)
	}
}

func TestSchemaCommandsWhenNothingAnswers(t *testing.T) {
	t.Parallel()
	w := &world{file: write(t, "relay.yaml", strings.ReplaceAll(strings.ReplaceAll(minimal, "127.0.0.1:5432", "u:hunter2@"+freeAddress(t)), "tailrace@u", "u"))}
	for _, args := range [][]string{{"show", "public.t"}, {"check"}, {"diff", "public.t"}} {
		r := w.relay(t, append([]string{"schema"}, args...)...)
		if r.code != 1 || r.out != "" || !strings.Contains(r.err, "start PostgreSQL") || strings.Contains(r.err, "hunter2") {
			t.Errorf("%v: exit %d: %s%s", args, r.code, r.out, r.err)
		}
	}
	for _, args := range [][]string{{}, {"show"}, {"show", "orders"}, {"show", "a.b", "c.d"}, {"diff"}, {"nonsense"}} {
		if r := w.relay(t, append([]string{"schema"}, args...)...); r.code != 2 || r.out != "" {
			t.Errorf("%v: exit %d: %s%s", args, r.code, r.out, r.err)
		}
	}
}
