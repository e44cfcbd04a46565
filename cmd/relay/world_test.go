package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
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
	database string // URL, of a role that owns the database
	dba      string // URL, of a superuser
	name     string // of the relay
	file     string // relay.yaml
	listen   string
	kafka    string // address of the broker
	registry string // URL
	marks    int    // rows of the table zz_mark
}

func newWorld(t *testing.T, extra string) *world {
	t.Helper()
	w := &world{dba: pgtest.NewDatabase(t)}
	w.database = owned(t, w.dba)
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
	w.name, w.listen, w.kafka, w.registry = "cli_"+conf.Database, freeAddress(t), b.Addr(), r.URL()
	w.file = write(t, "relay.yaml", fmt.Sprintf("name: %s\npostgres: {url: %q%s}\nkafka: {brokers: [%s], single_broker: true, topics: {partitions: 2}%s}\nregistry: {url: %s%s}\nops: {listen: %s}\n%s",
		w.name, w.database, inside(&extra, "postgres"), b.Addr(), inside(&extra, "kafka"), r.URL(), inside(&extra, "registry"), w.listen, extra))
	return w
}

// owned gives a database to a role that may log in and replicate, and no more, and
// returns the URL by which it does: what the tests make is its own, and no test runs
// as superuser.
func owned(t *testing.T, database string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	role := conn.Config().Database + "_owner"
	for _, q := range []string{
		fmt.Sprintf("DO $$ BEGIN CREATE ROLE %s LOGIN REPLICATION PASSWORD 'x'; EXCEPTION WHEN duplicate_object THEN NULL; END $$", role), fmt.Sprintf("ALTER DATABASE %s OWNER TO %s", conn.Config().Database, role),
		fmt.Sprintf("ALTER SCHEMA public OWNER TO %s", role),
	} {
		if _, err := conn.Exec(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	login, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	login.User = url.UserPassword(role, "x")
	return login.String()
}

// inside takes a section in one line, as in "kafka: {compression: none}", out of a
// configuration that is added to one with that section, and gives its keys.
func inside(extra *string, section string) string {
	head, rest, ok := strings.Cut("\n"+*extra, "\n"+section+": {")
	if !ok {
		return ""
	}
	keys, tail, _ := strings.Cut(rest, "}\n")
	*extra = strings.TrimPrefix(head+"\n"+tail, "\n")
	return ", " + keys
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
	if err := w.try(t, statements...); err != nil {
		t.Fatal(err)
	}
}

// asDBA is sql for what only a superuser may do.
func (w *world) asDBA(t *testing.T, statements ...string) {
	t.Helper()
	if err := execute(t, w.dba, statements); err != nil {
		t.Fatal(err)
	}
}

// try is sql for statements that the server may refuse.
func (w *world) try(t *testing.T, statements ...string) error {
	t.Helper()
	return execute(t, w.database, statements)
}

func execute(t *testing.T, database string, statements []string) error {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	for _, q := range statements {
		if _, err := conn.Exec(t.Context(), q); err != nil {
			return fmt.Errorf("%s: %w", q, err)
		}
	}
	return nil
}

// start runs the relay until it streams; it is stopped with the test.
func (w *world) start(t *testing.T) {
	t.Helper()
	w.run(t)
}

// run is start, and returns what stops the relay earlier.
func (w *world) run(t *testing.T) (stop func()) {
	t.Helper()
	cmd := exec.Command(filepath.Join(bin, "relay"), "run", "-c", w.file)
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	var err error
	go func() { err = cmd.Wait(); close(ended) }()
	stop = sync.OnceFunc(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Error(err)
		}
		<-ended
		if err != nil || t.Failed() {
			t.Errorf("relay: %v\n%s", err, log.String())
		}
	})
	t.Cleanup(stop)
	eventually(t, "the relay streams", func() bool {
		select {
		case <-ended:
			t.Fatalf("the relay ended: %v", err)
		default:
		}
		return w.health().State == ops.StateStreaming
	})
	return stop
}

// health is what /readyz says; nothing when nobody answers.
func (w *world) health() (h ops.Health) {
	resp, err := http.Get("http://" + w.listen + "/readyz")
	if err != nil {
		return h
	}
	defer func() { _ = resp.Body.Close() }()
	if json.NewDecoder(resp.Body).Decode(&h) != nil {
		return ops.Health{}
	}
	return h
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
	return w.found(t, append([]string{"check"}, args...)...)
}

// verdicts runs relay schema check.
func (w *world) verdicts(t *testing.T, args ...string) (map[string][]cdc.Finding, int) {
	t.Helper()
	return w.found(t, append([]string{"schema", "check"}, args...)...)
}

func (w *world) found(t *testing.T, args ...string) (map[string][]cdc.Finding, int) {
	t.Helper()
	r := w.relay(t, append(args, "-o", "json")...)
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

// latest is the text of a subject's latest version.
func (w *world) latest(t *testing.T, subject string) string {
	t.Helper()
	resp, err := http.Get(w.registry + "/subjects/" + url.PathEscape(subject) + "/versions/latest/schema")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("subject %s: %s %s %v", subject, resp.Status, text, err)
	}
	return string(text)
}

// metric is the value of a series on /metrics; "" if it is not there.
func (w *world) metric(t *testing.T, series string) string {
	t.Helper()
	resp, err := http.Get("http://" + w.listen + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
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
