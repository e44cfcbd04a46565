package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"
)

func (s *stack) exec(sql string) {
	s.t.Helper()
	conn, err := pgx.Connect(s.t.Context(), s.database)
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(s.t.Context(), sql); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stack) count(sql string) (n int) {
	s.t.Helper()
	conn, err := pgx.Connect(s.t.Context(), s.database)
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if err := conn.QueryRow(s.t.Context(), sql).Scan(&n); err != nil {
		return -1 // no table yet
	}
	return n
}

// dlq runs a dlq command and returns its answer.
func (s *stack) dlq(want int, args ...string) string {
	s.t.Helper()
	code, out, errs := runToEndWith(s.t, "SINK="+s.database, append([]string{"dlq", "-c", s.file}, args...)...)
	if code != want {
		s.t.Fatalf("dlq %v: exit %d, want %d\n%s%s", args, code, want, out, errs)
	}
	return out
}

// statuses counts the dead letters by status.
func (s *stack) statuses() map[string]int {
	s.t.Helper()
	m := map[string]int{}
	for line := range strings.Lines(s.dlq(0, "list", "--closed", "-o", "json")) {
		var e struct{ ID, Status string }
		if err := json.Unmarshal([]byte(line), &e); err != nil || len(e.ID) != 32 {
			s.t.Fatalf("%v in %s", err, line)
		}
		m[e.Status]++
	}
	return m
}

// process starts a processor and returns what kills it.
func (s *stack) process(extra string) (kill func()) {
	s.t.Helper()
	file := s.write("run.yaml", s.configuration("")+extra)
	cmd, _, _ := command(s.t.Context(), "run", "-c", file, "--log-level", "error")
	cmd.Env = append(cmd.Env, "SINK="+s.database)
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := false
	kill = func() {
		if !ended {
			ended = true
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
	s.t.Cleanup(kill)
	return kill
}

func TestDlqCommands(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(`CREATE TABLE orders (id integer PRIMARY KEY, total numeric CHECK (total < 100), _tailrace_gen bigint, _tailrace_pos text COLLATE "C")`)
	if got := s.dlq(0, "list"); !strings.Contains(got, "no dead letters") {
		t.Errorf("list without a topic: %s", got)
	}
	kill := s.process("")
	s.publish(1, "1", "500.00")
	until(t, "the first dead letter", func() bool { return s.count("SELECT count(*) FROM tailrace.parked") == 1 })
	s.publish(2, "1", "5.00")
	s.publish(3, "2", "700.00")
	s.publish(4, "3", "3.00")
	until(t, "all dead letters", func() bool { return s.statuses()["open"] == 3 })

	var stats struct {
		Class, Code, Step, Table string
		Count, Parked            int
	}
	if err := json.NewDecoder(strings.NewReader(s.dlq(0, "stats", "-o", "json"))).Decode(&stats); err != nil || stats.Count != 2 || stats.Parked != 0 || stats.Class != "constraint" || stats.Code != "23514" || stats.Table != "public.orders" {
		t.Errorf("stats: %v, %+v", err, stats)
	}
	table := s.dlq(0, "list", "--where", "entity == '[\"1\"]'")
	lines := strings.Split(strings.TrimSpace(table), "\n")
	if len(lines) != 3 || strings.Index(lines[0], "CLASS") != strings.Index(lines[1], "constraint") || strings.Index(lines[0], "MESSAGE") != strings.Index(lines[1], "a check") {
		t.Errorf("list does not line up:\n%s", table)
	}
	first := strings.Fields(lines[1])[0]
	if got := s.dlq(0, "show", first[:6]); !strings.Contains(got, `"500.00"`) || !strings.Contains(got, "23514") {
		t.Errorf("show:\n%s", got)
	}
	s.dlq(1, "show", "ffffffff")
	s.dlq(2, "list", "--where", "nothing == 1")
	s.dlq(2, "replay", first, "--all")
	s.dlq(2, "replay")

	// Still wrong: one error, nothing applied.
	if got := s.dlq(1, "replay", "--all", "--where", "entity == '[\"2\"]'"); !strings.Contains(got, "failed") {
		t.Errorf("replay of what is still wrong:\n%s", got)
	}
	s.exec("ALTER TABLE orders DROP CONSTRAINT orders_total_check")
	if got := s.dlq(0, "resolve", first); !strings.Contains(got, "1 applied") {
		t.Errorf("resolve:\n%s", got)
	}
	until(t, "the parked row", func() bool { return s.totals() == "1:5.00 3:3.00" })
	if got := s.dlq(0, "replay", "--all", "--rate", "50", "-o", "json"); !strings.Contains(got, `"outcome":"applied"`) {
		t.Errorf("replay --all:\n%s", got)
	}
	if got := s.totals(); got != "1:5.00 2:700.00 3:3.00" {
		t.Errorf("rows: %s", got)
	}
	if got := s.dlq(1, "replay", first); got != "" {
		t.Errorf("replay of what is closed:\n%s", got)
	}
	if got := s.dlq(0, "list"); got != "no dead letters\n" {
		t.Errorf("list at the end:\n%s", got)
	}
	kill()
}

// The command and the processor are killed while dead letters are replayed; given
// again, it sees the rest through. A trigger counts each write of a row.
func TestDlqReplayKilledInTheMiddle(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(`CREATE TABLE orders (id integer PRIMARY KEY, total numeric CONSTRAINT small CHECK (total < 100), _tailrace_gen bigint, _tailrace_pos text COLLATE "C")`)
	s.exec(`CREATE TABLE writes (id integer)`)
	s.exec(`CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO writes VALUES (NEW.id); RETURN NEW; END $$`)
	s.exec(`CREATE TRIGGER note AFTER INSERT OR UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION note()`)
	const n = 60
	for i := range n {
		s.publish(i+1, fmt.Sprint(i), "500.00")
	}
	extra := "errors: {on_poison: skip, systemic: {rows: 0}}\n"
	kill := s.process(extra)
	until(t, "all dead letters", func() bool { return s.statuses()["open"] == n })
	s.exec("ALTER TABLE orders DROP CONSTRAINT small")

	replay, _, _ := command(t.Context(), "dlq", "replay", "--all", "--rate", "40", "-c", s.file)
	replay.Env = append(replay.Env, "SINK="+s.database)
	if err := replay.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, "some rows", func() bool { return s.count("SELECT count(*) FROM writes") > 5 })
	_ = replay.Process.Kill()
	_ = replay.Wait()
	kill()
	kill = s.process(extra)
	s.dlq(0, "replay", "--all")
	if got := s.statuses(); got["applied"] != n || len(got) != 1 {
		t.Errorf("statuses: %v", got)
	}
	if rows, writes := s.count("SELECT count(*) FROM orders"), s.count("SELECT count(*) FROM writes"); rows != n || writes != n {
		t.Errorf("%d rows by %d writes, want %d by %d", rows, writes, n, n)
	}
	kill()
}

// From topics to topics, commands are carried out in the log itself.
func TestDlqCommandsInTheLog(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	into := s.into("{kafka: {}}")
	narrow := s.write("narrow.yaml", into+"steps: [{project: {cast: {total: 'numeric(3,1)'}}}]\n")
	wide := s.write("wide.yaml", into+"steps: [{project: {cast: {total: 'numeric(10,1)'}}}]\n")
	s.file = narrow
	cmd, _, errs := command(t.Context(), "run", "-c", narrow, "--log-level", "error")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.publish(1, "1", "5.00")
	s.publish(2, "1", "500.00")
	until(t, "the dead letter", func() bool { return s.statuses()["open"] == 1 })
	s.publish(3, "1", "6.00")
	until(t, "the change behind it", func() bool { return s.statuses()["open"] == 2 })
	if got := s.dlq(1, "replay", "--all"); !strings.Contains(got, "failed") {
		t.Errorf("replay of what is still wrong:\n%s", got)
	}
	if got := kinds(s.pieces(0, narrow, "get", "1")); got != "row public.orders 1 parked" {
		t.Errorf("state: %s", got)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, errs)
	}
	s.start(wide)
	if got := s.dlq(0, "replay", "--all"); !strings.Contains(got, "2 applied") {
		t.Errorf("replay:\n%s", got)
	}
	if got := s.statuses(); got["applied"] != 2 || len(got) != 1 {
		t.Errorf("statuses: %v", got)
	}
	if got := s.pieces(0, wide, "get", "1"); len(got) != 1 || got[0].Parked != nil || !strings.HasPrefix(got[0].Applied, "00000001/0000000000000003/") {
		t.Errorf("state at the end: %+v", got)
	}
}

// As TestDlqReplayKilledInTheMiddle, from topics to topics: each dead letter is in the
// output once.
func TestDlqReplayInTheLogKilledInTheMiddle(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	more := func(digits string) string {
		return s.into("{kafka: {}}") + "steps: [{project: {cast: {total: '" + digits + "'}}}]\nerrors: {on_poison: skip, systemic: {rows: 0}}\n"
	}
	narrow, wide := s.write("narrow.yaml", more("numeric(3,1)")), s.write("wide.yaml", more("numeric(10,1)"))
	s.file = narrow
	run := func(file string) (kill func()) {
		cmd, _, _ := command(t.Context(), "run", "-c", file, "--log-level", "error")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := false
		kill = func() {
			if !ended {
				ended = true
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
			}
		}
		t.Cleanup(kill)
		return kill
	}
	const n = 60
	for i := range n {
		s.publish(i+1, fmt.Sprint(i), "500.00")
	}
	kill := run(narrow)
	until(t, "all dead letters", func() bool { return s.statuses()["open"] == n })
	kill()
	kill = run(wide)
	replay, _, _ := command(t.Context(), "dlq", "replay", "--all", "--rate", "40", "-c", wide)
	if err := replay.Start(); err != nil {
		t.Fatal(err)
	}
	outputs := func() (rows int) {
		client, err := kgo.NewClient(kgo.SeedBrokers(s.broker), kgo.ConsumeTopics("warehouse.public.orders"), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		for {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			fetches := client.PollFetches(ctx)
			cancel()
			if got := len(fetches.Records()); got > 0 {
				rows += got
				continue
			}
			return rows
		}
	}
	until(t, "some results", func() bool { return s.statuses()["applied"] > 5 })
	_ = replay.Process.Kill()
	_ = replay.Wait()
	kill()
	kill = run(wide)
	s.dlq(0, "replay", "--all")
	if got := s.statuses(); got["applied"] != n || len(got) != 1 {
		t.Errorf("statuses: %v", got)
	}
	if got := outputs(); got != n {
		t.Errorf("%d records in the output, want %d", got, n)
	}
	kill()
}
