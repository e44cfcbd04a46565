package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/internal/embedded/broker"
	"github.com/tailrace/tailrace/internal/embedded/pgtest"
	"github.com/tailrace/tailrace/internal/embedded/registry"
	"github.com/tailrace/tailrace/internal/ops"
)

// world is a database, a broker and a registry of a test's own, and a
// configuration for them.
type world struct {
	database string // URL
	name     string // of the relay
	file     string // relay.yaml
	listen   string
}

func newWorld(t *testing.T, extra string) *world {
	t.Helper()
	w := &world{database: pgtest.NewDatabase(t)}
	conf, err := pgx.ParseConfig(w.database)
	if err != nil {
		t.Fatal(err)
	}
	b, err := broker.Start(broker.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	r, err := registry.Start(registry.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	w.name, w.listen = "cli_"+conf.Database, freeAddress(t)
	w.file = write(t, "relay.yaml", fmt.Sprintf("name: %s\npostgres: {url: %q}\nkafka: {brokers: [%s], single_broker: true, topics: {partitions: 2}}\nregistry: {url: %s}\nops: {listen: %s}\n%s",
		w.name, w.database, b.Addr(), r.URL(), w.listen, extra))
	return w
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.Addr().String()
}

func (w *world) sql(t *testing.T, statements ...string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), w.database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	for _, q := range statements {
		if _, err := conn.Exec(t.Context(), q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
}

// start runs the relay until it streams; it is stopped with the test.
func (w *world) start(t *testing.T) {
	t.Helper()
	cmd := exec.Command(filepath.Join(bin, "relay"), "run", "-c", w.file)
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil || t.Failed() {
			t.Errorf("relay: %v\n%s", err, log.String())
		}
	})
	eventually(t, "the relay streams", func() bool {
		resp, err := http.Get("http://" + w.listen + "/readyz")
		if err != nil {
			return false
		}
		defer func() { _ = resp.Body.Close() }()
		var h ops.Health
		return json.NewDecoder(resp.Body).Decode(&h) == nil && h.State == ops.StateStreaming
	})
}

// eventually asks again until ok holds, for a minute.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	backoff := ops.Backoff{Initial: 20 * time.Millisecond, Max: 200 * time.Millisecond}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for !ok() {
		if backoff.Wait(ctx) != nil {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func (w *world) relay(t *testing.T, args ...string) result {
	t.Helper()
	return command(t, nil, "relay", append(args, "-c", w.file)...)
}

// findings runs relay check and gives what it says by check and level.
func (w *world) findings(t *testing.T, args ...string) (map[string][]cdc.Finding, int) {
	t.Helper()
	r := w.relay(t, append([]string{"check", "-o", "json"}, args...)...)
	found := map[string][]cdc.Finding{}
	for line := range strings.Lines(r.out) {
		var f cdc.Finding
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if f.Name == "" || f.What == "" || f.Remedy == "" && f.Level != cdc.LevelInfo {
			t.Errorf("incomplete: %s", line)
		}
		found[f.Name] = append(found[f.Name], f)
	}
	if r.err != "" {
		t.Errorf("stderr: %s", r.err)
	}
	return found, r.code
}

// has tells whether a check found something of a level with a text in it.
func has(found map[string][]cdc.Finding, check string, level cdc.Level, text string) bool {
	for _, f := range found[check] {
		if f.Level == level && strings.Contains(f.What, text) {
			return true
		}
	}
	return false
}
