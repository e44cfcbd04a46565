package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/internal/embedded/broker"
	"github.com/tailrace/tailrace/internal/embedded/pgtest"
	embedded "github.com/tailrace/tailrace/internal/embedded/registry"
	"github.com/tailrace/tailrace/schema"
	"github.com/tailrace/tailrace/schema/registry"
)

// asProcessor makes the test binary the command itself.
const asProcessor = "TAILRACE_TEST_AS_PROCESSOR"

func TestMain(m *testing.M) {
	if os.Getenv(asProcessor) != "" {
		os.Exit(run(os.Args[1:]))
	}
	pgtest.Main(m)
}

// command runs the processor as a process of its own.
func command(ctx context.Context, args ...string) (*exec.Cmd, *bytes.Buffer, *bytes.Buffer) {
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProcessor+"=1")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	return cmd, &out, &errs
}

func runToEnd(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd, out, errs := command(t.Context(), args...)
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good, bad, ahead, wrong := filepath.Join(dir, "good.yaml"), filepath.Join(dir, "bad.yaml"), filepath.Join(dir, "ahead.yaml"), filepath.Join(dir, "wrong.yaml")
	closed := strings.Replace(minimal, "name:", "ops: {listen: 127.0.0.1:1}\nname:", 1)
	for file, text := range map[string]string{good: closed, bad: "nam: x\n", ahead: minimal + "state: {store: pebble}\n", wrong: minimal + "steps: [{filter: row.a >}]\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		args []string
		code int
		text string // in stdout or stderr
	}{
		{[]string{"version"}, 0, "processor"},
		{[]string{"config", "show", "-c", good}, 0, "on_poison: park_key"},
		{[]string{"config", "reference"}, 0, "sink.postgres.url"},
		{[]string{"config", "reference", "--markdown"}, 0, "|"},
		{[]string{"status", "-c", good}, 1, "processor run -c"},
		{[]string{"run", "-c", bad}, 2, "bad.yaml:1:1"},
		{[]string{"run", "-c", filepath.Join(dir, "none.yaml")}, 2, "none.yaml"},
		{[]string{"run", "-c", ahead}, 2, "state.store"},
		{[]string{"run", "-c", wrong}, 2, "wrong.yaml:9:24: steps[0].filter: unexpected token EOF"},
		{[]string{"lint", "-c", wrong}, 4, "wrong.yaml:9:24: error: steps[0].filter: unexpected token EOF"},
		{[]string{"config", "show", "-c", wrong}, 0, "filter: \"row.a >\""},
		{[]string{"run", "--nonsense"}, 2, "nonsense"},
		{[]string{"run", "more"}, 2, "more"},
		{[]string{}, 2, "which command"},
	} {
		code, out, errs := runToEnd(t, test.args...)
		if code != test.code || !strings.Contains(out+errs, test.text) {
			t.Errorf("processor %v: exit %d, want %d with %q in:\n%s%s", test.args, code, test.code, test.text, out, errs)
		}
	}
}

// stack is what a processor needs around it.
type stack struct {
	t        *testing.T
	broker   string
	registry string
	database string
	client   *kgo.Client
	plan     *schema.Plan
	listen   string
	file     string
}

func newStack(t *testing.T) *stack {
	t.Helper()
	b, err := broker.Start(broker.Config{AutoCreate: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	r, err := embedded.Start(embedded.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	s := &stack{t: t, broker: b.Addr(), registry: r.URL(), database: pgtest.NewDatabase(t)}
	if s.client, err = kgo.NewClient(kgo.SeedBrokers(s.broker), kgo.AllowAutoTopicCreation(), kgo.DefaultProduceTopic("shop.public.orders")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.client.Close)
	base := func(name string) *cdc.Type {
		return &cdc.Type{Schema: "pg_catalog", Name: name, Kind: cdc.KindBase}
	}
	table := &cdc.Table{Schema: "public", Name: "orders", Facts: true, Key: []int{0}, Columns: []cdc.Column{
		{Name: "id", Type: base("int4"), Modifier: -1, NotNull: true}, {Name: "total", Type: base("numeric"), Modifier: 10<<16 | 2 + 4},
	}}
	client := registry.New(registry.Config{URLs: []string{s.registry}})
	if s.plan, err = schema.NewEncoder(schema.Settings{Name: "shop", Database: "shop", Version: "test"}, client).Plan(t.Context(), table, "shop.public.orders"); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.listen = l.Addr().String()
	_ = l.Close()
	s.file = filepath.Join(t.TempDir(), "processor.yaml")
	text := fmt.Sprintf("name: warehouse\nkafka: {brokers: [%q]}\nregistry: {url: %q}\nsource: {topics: [shop.public.orders]}\nsink: {postgres: {url: \"${SINK}\", schema: add}}\ngroup: {session_timeout: 5s}\nops: {listen: %q}\n", s.broker, s.registry, s.listen)
	if err := os.WriteFile(s.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *stack) publish(n int, id, total string) {
	s.t.Helper()
	s.publishAt(n, time.Time{}, id, total)
}

// publishAt publishes a change that was committed at a time.
func (s *stack) publishAt(n int, at time.Time, id, total string) {
	s.t.Helper()
	committed := int64(0)
	if !at.IsZero() {
		committed = at.UnixMicro()
	}
	row := []cdc.Value{{State: cdc.Text, Data: []byte(id)}, {State: cdc.Text, Data: []byte(total)}}
	key, err := s.plan.AppendKey(nil, row)
	if err != nil {
		s.t.Fatal(err)
	}
	s.send(n, key, &cdc.Envelope{Op: cdc.OpCreate, After: row, Tx: &cdc.Transaction{CommitTime: committed}})
}

// remove publishes the deletion of a row.
func (s *stack) remove(n int, id string) {
	s.t.Helper()
	row := []cdc.Value{{State: cdc.Text, Data: []byte(id)}, {State: cdc.Absent}}
	key, err := s.plan.AppendKey(nil, row)
	if err != nil {
		s.t.Fatal(err)
	}
	s.send(n, key, &cdc.Envelope{Op: cdc.OpDelete, Before: row})
}

func (s *stack) send(n int, key []byte, e *cdc.Envelope) {
	s.t.Helper()
	if e.Tx == nil {
		e.Tx = &cdc.Transaction{}
	}
	e.Tx.CommitLSN, e.LSN = cdc.LSN(n), cdc.LSN(n)
	value, err := s.plan.AppendValue(nil, e)
	if err != nil {
		s.t.Fatal(err)
	}
	pos := cdc.Position{Epoch: 1, LSN: cdc.LSN(n), Ordinal: 1}.String()
	r := &kgo.Record{Key: key, Value: value, Headers: []kgo.RecordHeader{{Key: cdc.HeaderPosition, Value: []byte(pos)}}}
	if err := s.client.ProduceSync(s.t.Context(), r).FirstErr(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stack) totals() string {
	s.t.Helper()
	conn, err := pgx.Connect(s.t.Context(), s.database)
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var got *string
	if err := conn.QueryRow(s.t.Context(), "SELECT string_agg(id || ':' || total, ' ' ORDER BY id) FROM public.orders").Scan(&got); err != nil || got == nil {
		return ""
	}
	return *got
}

func (s *stack) get(path string) (int, string) {
	resp, err := http.Get("http://" + s.listen + path)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	_, _ = b.ReadFrom(resp.Body)
	return resp.StatusCode, b.String()
}

func until(t *testing.T, what string, met func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !met(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited 30s for: %s", what)
		}
	}
}

func TestRunAppliesShowsItselfAndDrains(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.publish(1, "1", "12.50")
	cmd, out, errs := command(t.Context(), "run", "-c", s.file)
	cmd.Env = append(cmd.Env, "SINK="+s.database)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	defer func() {
		if !ended {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}()
	until(t, "the row", func() bool { return s.totals() == "1:12.50" })
	until(t, "readiness", func() bool {
		code, body := s.get("/readyz")
		return code == http.StatusOK && strings.Contains(body, `"streaming"`)
	})
	if code, _ := s.get("/healthz"); code != http.StatusOK {
		t.Errorf("/healthz: got %d", code)
	}
	_, metrics := s.get("/metrics")
	for _, want := range []string{
		`tailrace_processor_changes_total{outcome="applied"} 1`, `tailrace_processor_changes_total{outcome="parked"} 0`, "tailrace_processor_lag_seconds 0",
		"tailrace_processor_process_to_commit_seconds_count 1", "tailrace_processor_circuit_state 0", `tailrace_processor_dead_letters_total{class="decode"} 0`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("/metrics has no %s", want)
		}
	}
	code, text, _ := runToEndWith(t, "SINK="+s.database, "status", "-c", s.file, "-o", "json")
	var status struct {
		Name, State, Circuit, Version string
		Partitions                    []struct {
			Topic  string
			Offset int64
			Parked int
		}
	}
	if err := json.Unmarshal([]byte(text), &status); err != nil || code != 0 || status.Name != "warehouse" || status.State != "streaming" || status.Circuit != "closed" || len(status.Partitions) == 0 || status.Version == "" {
		t.Errorf("status: exit %d, %v: %s", code, err, text)
	}
	if code, text, _ := runToEndWith(t, "SINK="+s.database, "status", "-c", s.file); code != 0 || !strings.Contains(text, "PARTITION") || strings.Contains(text, "\x1b") {
		t.Errorf("status: exit %d\n%s", code, text)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	err := cmd.Wait()
	ended = true
	if err != nil || !strings.Contains(errs.String(), "stopped cleanly") || out.Len() != 0 {
		t.Errorf("after Ctrl-C: %v\nstdout: %s\nstderr: %s", err, out, errs)
	}
	if password := "postgres:postgres@"; strings.Contains(errs.String(), password) {
		t.Error("the log shows the password")
	}
}

func runToEndWith(t *testing.T, env string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd, out, errs := command(t.Context(), args...)
	cmd.Env = append(cmd.Env, env)
	_ = cmd.Run() // the exit code says it
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

func TestKillInTheMiddleLosesAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	n := 0
	var cmd *exec.Cmd
	start := func() {
		cmd, _, _ = command(t.Context(), "run", "-c", s.file, "--log-level", "error")
		cmd.Env = append(cmd.Env, "SINK="+s.database)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
	}
	start()
	for range 3 {
		for range 30 {
			n++
			s.publish(n, fmt.Sprint(n%10), fmt.Sprintf("%d.00", n))
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		start()
	}
	var want []string
	for id := range 10 {
		last := n - (n-id)%10
		want = append(want, fmt.Sprintf("%d:%d.00", id, last))
	}
	until(t, strings.Join(want, " "), func() bool { return s.totals() == strings.Join(want, " ") })
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

func TestRunTakesTheStepsOfItsFile(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	file := s.write("steps.yaml", s.configuration("steps: [{filter: row.total > 10}, {map: {set: {total: row.total * 2}}}]\n"))
	for i, total := range []string{"12.50", "9.00", "20.00"} {
		s.publish(i+1, fmt.Sprint(i+1), total)
	}
	cmd, _, errs := command(t.Context(), "run", "-c", file)
	cmd.Env = append(cmd.Env, "SINK="+s.database)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, "the rows that meet the condition", func() bool { return s.totals() == "1:25.00 3:40.00" })
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, errs)
	}
}
