package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// write makes a file beside the stack's configuration.
func (s *stack) write(name, text string) string {
	s.t.Helper()
	file := filepath.Join(filepath.Dir(s.file), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return file
}

// configuration is the stack's, with more.
func (s *stack) configuration(more string) string {
	s.t.Helper()
	text, err := os.ReadFile(s.file)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text) + more
}

// The topic's table is orders(id integer, total numeric(10,2)).
func TestLintChecksExpressionsAgainstTheRegistry(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	file := s.write("lint.yaml", s.configuration(`steps:
  - filter: row.totl > 10
  - filter: "row.total > 'ten'"
    tables: [public.*]
  - project: {keep: [id, total, nothing]}
  - map: {set: {seen: now(), diff: row.total - before.total, id: text(row.id)}}
  - filter: row.seen > "2026-01-01 00:00:00+00"
  - filter: row.absent == 1
    tables: [public.customers]
  - route: {table: row.diff > 5}
`))
	code, out, errs := runToEndWith(t, "SINK="+s.database, "lint", file)
	if code != 4 || errs != "" {
		t.Errorf("exit %d, want 4; stderr: %s", code, errs)
	}
	for _, want := range []string{
		`lint.yaml:9:17: error: steps[0].filter: there is no column "totl"; did you mean total? (shop.public.orders)`,
		`lint.yaml:10:24: error: steps[1].filter: a decimal and a text cannot be compared`,
		`lint.yaml:12:33: error: steps[2].project.keep[2]: there is no column "nothing"`,
		`warning: steps[3].map.set.seen: reads the clock: a replay of the same records gives other values`,
		`warning: steps[3].map.set.diff: reads the row before the change, which needs REPLICA IDENTITY FULL`,
		`warning: steps[3].map.set.id: the column was integer and becomes text`,
		`warning: steps[5].filter: no topic holds a table that fits tables: public.customers`,
		`lint.yaml:17:29: error: steps[6].route.table: want a text; this is a boolean`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if n := strings.Count(out, "\n"); n != 8 {
		t.Errorf("%d findings, want 8:\n%s", n, out)
	}

	code, out, _ = runToEndWith(t, "SINK="+s.database, "lint", "-o", "json", file)
	var first finding
	if err := json.Unmarshal([]byte(strings.SplitN(out, "\n", 2)[0]), &first); err != nil || code != 4 || first.Line != 9 || first.Column != 17 || first.Level != "error" || first.Path != "steps[0].filter" || first.Topics[0] != "shop.public.orders" {
		t.Errorf("json: exit %d, %v: %+v", code, err, first)
	}
}

func TestLintTellsErrorsFromWarnings(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	good := s.write("good.yaml", s.configuration("steps: [{filter: row.total > 10}]\n"))
	warned := s.write("warned.yaml", s.configuration("steps: [{filter: row.total > before.total}]\n"))
	skips := s.write("skips.yaml", s.configuration("steps: [{filter: row.total > before.total}]\nerrors: {on_poison: skip}\n"))
	unknown := s.write("unknown.yaml", strings.Replace(s.configuration("steps: [{filter: row.total > 10}]\n"), "topics: [shop.public.orders]", "topics: [shop.public.none]", 1))
	pattern := s.write("pattern.yaml", strings.Replace(s.configuration("steps: [{filter: row.x > 10}]\n"), "topics: [shop.public.orders]", `topics_pattern: "^shop"`, 1))
	broken := s.write("broken.yaml", s.configuration("limits: {rate: 5, in_flght: 1}\n"))
	later := s.write("later.yaml", s.configuration("state: {store: pebble}\nsteps: [{filter: row.total > 10}]\n"))
	gone := s.write("gone.yaml", strings.Replace(s.configuration("steps: [{filter: row.total > 10}]\n"), s.registry, "http://127.0.0.1:1", 1))
	for _, test := range []struct {
		args []string
		code int
		text string
	}{
		{[]string{good}, 0, ""},
		{[]string{"--strict", good}, 0, ""},
		{[]string{warned}, 0, "warning: steps[0].filter: reads the row before"},
		{[]string{"--strict", warned}, 4, "warning"},
		{[]string{skips}, 4, "error: steps[0].filter: reads the row before the change, which needs REPLICA IDENTITY FULL at the source; with errors.on_poison: skip"},
		{[]string{unknown}, 0, "warning: source.topics: the registry has no subject shop.public.none-value"},
		{[]string{pattern}, 0, "warning: source.topics_pattern"},
		{[]string{"--topic", "shop.public.orders", pattern}, 4, `there is no column "x"`},
		{[]string{broken}, 4, `error: limits.in_flght: unknown key; did you mean "in_flight"?`},
		{[]string{later}, 4, "later.yaml:8:16: error: state.store: pebble is not in this version"},
		{[]string{"--offline", gone}, 0, ""},
		{[]string{good, warned, broken}, 4, "broken.yaml"},
		{[]string{filepath.Join(filepath.Dir(good), "absent.yaml")}, 2, "absent.yaml"},
	} {
		code, out, errs := runToEndWith(t, "SINK="+s.database, append([]string{"lint"}, test.args...)...)
		if code != test.code || !strings.Contains(out+errs, test.text) || test.text == "" && out+errs != "" {
			t.Errorf("lint %v: exit %d, want %d with %q in:\n%s%s", test.args, code, test.code, test.text, out, errs)
		}
	}
	// A registry that does not answer is no finding.
	code, out, errs := runToEndWith(t, "SINK="+s.database, "lint", gone)
	if code != 1 || out != "" || !strings.Contains(errs, "schemas of topic shop.public.orders") {
		t.Errorf("without a registry: exit %d\n%s%s", code, out, errs)
	}
}

func TestTestShowsWhatDiffers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	config := write("processor.yaml", minimal+"steps: [{filter: row.total > 10}]\n")
	const tables = "tables: {public.orders: \"id bigint primary key, total numeric(10,2)\"}\n"
	write("orders_test.yaml", tables+`tests:
  - name: passes
    changes: [{table: public.orders, op: c, row: {id: 1, total: 11}}]
    writes: [{upsert: public.orders, row: {id: 1, total: 11.00}}]
`)
	bad := write("bad.yaml", tables+`tests:
  - name: differs
    changes:
      - {table: public.orders, op: c, row: {id: 1, total: 11}, outcome: filtered}
      - {table: public.orders, op: c, row: {id: 2, total: 1}}
    writes:
      - {upsert: public.orders, row: {id: 1, total: 12.00}}
    dead_letters: [{change: 2, class: mapping}]
    rows: {public.orders: [{id: 1, total: 11.00}, {id: 2, total: 1.00}]}
    state: [{step: "steps[0].filter", key: x, value: y}]
`)
	code, out, errs := runToEnd(t, "test", "-c", config)
	if code != 0 || !strings.Contains(out, "ok     ") || !strings.Contains(out, "1 tests, 0 failed") {
		t.Errorf("fixtures beside the configuration: exit %d\n%s%s", code, out, errs)
	}
	code, out, _ = runToEnd(t, "test", "-c", config, bad)
	want := `FAILED ` + bad + `: differs
  1  c public.orders id=1 total=11
-   outcome  filtered
+   outcome  applied
-   write  upsert public.orders id=1 total=12.00
+   write  upsert public.orders id=1 total=11.00
  2  c public.orders id=2 total=1
-   dead letter  class=mapping
    filtered
-   state  step=steps[0].filter key=x value="y"
    row  public.orders id=1 total=11.00
-   row  public.orders id=2 total=1.00

1 tests, 1 failed
`
	if code != 4 || out != want {
		t.Errorf("exit %d, want 4; got:\n%s\nwant:\n%s", code, out, want)
	}
	for _, test := range []struct{ name, text, want string }{
		{"unknown.yaml", tables + "tests: [{name: a, changes: [{table: public.none, op: t}]}]\n", `change 1: there is no table "public.none"`},
		{"column.yaml", tables + "tests: [{name: a, changes: [{table: public.orders, op: c, row: {id: 1, x: 2}}]}]\n", `has no column "x"`},
		{"key.yaml", tables + "tests: [{name: a, changes: [{table: public.orders, op: c, row: {total: 2}}]}]\n", "column id is of the key"},
		{"op.yaml", tables + "tests: [{name: a, changes: [{table: public.orders, op: x}]}]\n", "want r, c, u, d, t or sweep"},
		{"type.yaml", "tables: {public.orders: id bigits}\ntests: [{name: a, changes: []}]\n", "type.yaml:1:25: tables.public.orders: column id: type bigits is not known here"},
		{"value.yaml", tables + "tests: [{name: a, changes: [{table: public.orders, op: c, row: {id: x}}]}]\n", "id"},
	} {
		code, out, errs := runToEnd(t, "test", "-c", config, write(test.name, test.text))
		if code != 2 || !strings.Contains(errs, test.want) {
			t.Errorf("%s: exit %d, want 2 with %q in:\n%s%s", test.name, code, test.want, out, errs)
		}
	}
	if code, _, errs := runToEnd(t, "test", "-c", filepath.Join(dir, "none", "processor.yaml")); code != 2 || !strings.Contains(errs, "no fixtures") {
		t.Errorf("without fixtures: exit %d: %s", code, errs)
	}
}
