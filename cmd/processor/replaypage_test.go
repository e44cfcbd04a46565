package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tailrace/tailrace/internal/docsgen"
)

// TestPageOfReplaysFromTheLog makes the transcripts of docs/replay.md that are the
// processor's.
func TestPageOfReplaysFromTheLog(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	dir := t.TempDir()
	if err := os.WriteFile(s.file, []byte(s.configuration("state: {retention: 876000h}\n")), 0o600); err != nil { // the page's dates are long ago
		t.Fatal(err)
	}
	transcript := func(code int, lines ...string) string {
		t.Helper()
		text := "```console\n"
		for _, line := range lines {
			text += "$ " + line + "\n"
			if sql, ok := strings.CutPrefix(line, `psql -c "`); ok {
				s.exec(strings.TrimSuffix(sql, `"`))
				continue
			}
			args := strings.Fields(line)[1:]
			for i, a := range args {
				if strings.HasSuffix(a, ".yaml") {
					args[i] = filepath.Join(dir, a)
				}
			}
			if !strings.Contains(line, " -c ") {
				args = append(args, "-c", s.file)
			}
			got, out, errs := runToEndWith(t, "SINK="+s.database, args...)
			if got != code {
				t.Fatalf("%s: exit %d, want %d\n%s%s", line, got, code, out, errs)
			}
			text += out
			if code != 0 {
				text += errs
			}
		}
		return text + "```"
	}
	section := func(name string, code int, lines ...string) {
		t.Helper()
		docsgen.Section(t, "docs/replay.md", name, transcript(code, lines...))
	}
	monday := time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)
	n := 0
	put := func(hours float64, id, total string) {
		n++
		s.publishAt(n, monday.Add(time.Duration(hours*float64(time.Hour))), id, total)
	}
	for i, hours := range []float64{0, 1, 2, 26, 27, 27.5, 50} { // the last on Wednesday
		put(hours, fmt.Sprint(i%4+1), fmt.Sprintf("%d.00", i+1))
	}
	const right = "1:5.00 2:6.00 3:7.00 4:4.00"
	stop := s.runs(s.file)
	until(t, right, func() bool { return s.totals() == right })
	section("log-runs", 3, "processor replay --from 2026-03-03T09:00:00Z")
	stop()
	s.exec("UPDATE public.orders SET total = 0")
	section("log-dry", 0, "processor replay --from 2026-03-03T09:00:00Z --dry-run")
	section("log-back", 0, "processor replay --from 2026-03-03T09:00:00Z")
	stop = s.runs(s.file)
	until(t, right, func() bool { return s.totals() == right })
	section("log-live", 0, "processor replay --from 2026-03-03T09:00:00Z --to 2026-03-04T00:00:00Z --live")
	stop()
	s.exec("DELETE FROM public.orders WHERE id > 2")
	section("log-missing", 0, "processor replay --from 2026-03-02T00:00:00Z --only-missing")
	stop = s.runs(s.file)
	until(t, right, func() bool { return s.totals() == right })
	stop()
	// Another pipeline beside this one.
	next := strings.NewReplacer("name: warehouse", "name: warehouse_next", "schema: add", `schema: add, table: "next.{table}"`).Replace(s.configuration("steps: [{map: {set: {vat: row.total * 0.19}}}]\n"))
	if err := os.WriteFile(filepath.Join(dir, "next.yaml"), []byte(next), 0o600); err != nil {
		t.Fatal(err)
	}
	stop = s.runs(filepath.Join(dir, "next.yaml"))
	until(t, "the second pipeline", func() bool { return s.count("SELECT count(*) FROM next.orders WHERE vat > 0") == 4 })
	section("log-swap", 0, `psql -c "BEGIN; ALTER TABLE public.orders RENAME TO orders_before; CREATE VIEW public.orders AS SELECT * FROM next.orders; COMMIT"`)
	stop()
	state := s.configuration("steps: [{latest: {table: public.customers}}]\n")
	if err := os.WriteFile(filepath.Join(dir, "latest.yaml"), []byte(state), 0o600); err != nil {
		t.Fatal(err)
	}
	section("log-state", 3, "processor replay --from 2026-03-03T09:00:00Z -c latest.yaml")
}
