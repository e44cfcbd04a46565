package test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
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

	"github.com/tailrace/tailrace/internal/embedded/pgtest"
)

// stack is a database of a test's own, with a broker and a registry.
type stack struct {
	t        *testing.T
	name     string // of the relay, unique on the servers
	dir      string
	database string // URL, of the superuser: tests act as the DBA and as the application
	login    string // URL, of the relay's role; "" until it is made
	broker   brokerServer
	registry registryServer
}

func newStack(t *testing.T) *stack {
	t.Helper()
	return newStackOn(t, pgtest.NewDatabase(t))
}

// newStackOn is a stack on a database that the test brings.
func newStackOn(t *testing.T, database string) *stack {
	t.Helper()
	s := &stack{t: t, dir: t.TempDir(), database: database}
	conf, err := pgx.ParseConfig(s.database)
	if err != nil {
		t.Fatal(err)
	}
	// A broker that is not the test's own lives longer than the test.
	s.name = fmt.Sprintf("shop_%s_%08x", conf.Database, rand.Uint32())
	s.startParts()
	return s
}

// sql runs statements, one transaction each.
func (s *stack) sql(statements ...string) {
	s.t.Helper()
	conn := s.connect()
	defer conn.Close(context.Background())
	for _, q := range statements {
		if _, err := conn.Exec(s.t.Context(), q); err != nil {
			s.t.Fatalf("%s: %v", q, err)
		}
	}
}

func (s *stack) connect() *pgx.Conn {
	s.t.Helper()
	conn, err := pgx.Connect(s.t.Context(), s.database)
	if err != nil {
		s.t.Fatal(err)
	}
	return conn
}

// value is one value of a query, as text.
func (s *stack) value(query string, args ...any) string {
	s.t.Helper()
	conn := s.connect()
	defer conn.Close(context.Background())
	var v *string
	if err := conn.QueryRow(s.t.Context(), query, args...).Scan(&v); err != nil {
		s.t.Fatalf("%s: %v", query, err)
	}
	if v == nil {
		return "<null>"
	}
	return *v
}

// awaitSlotFree waits until the server has noticed that the relay is gone.
func (s *stack) awaitSlotFree() {
	s.t.Helper()
	await(s.t, func() (bool, string) {
		return s.value(`SELECT active::text FROM pg_replication_slots WHERE slot_name = $1`, "tailrace_"+s.name) == "false", "the slot is still active"
	})
}

// relayConfig writes a relay.yaml; extra is YAML that is appended. The relay's role
// has exactly what relay check --grants prints for the tables that are there when
// it is first called; for later ones, see grant.
func (s *stack) relayConfig(extra string) (file, ops string) {
	s.t.Helper()
	if s.login == "" {
		s.grant(extra)
	}
	ops = freeAddr(s.t)
	return s.write("relay.yaml", s.login, ops, extra), ops
}

func (s *stack) write(name, database, ops, extra string) (file string) {
	s.t.Helper()
	file = filepath.Join(s.dir, name)
	text := fmt.Sprintf(`name: %s
postgres: {url: %q}
kafka: {brokers: [%q], single_broker: true, topics: {partitions: 3}}
registry: {url: %q}
ops: {listen: %q}
%s
`, s.name, database, s.broker.Addr(), s.registry.URL(), ops, extra)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return file
}

// grant does what a DBA does: it runs the SQL that relay check --grants prints. It
// is repeated when tables have come.
func (s *stack) grant(extra string) {
	s.t.Helper()
	role := s.role()
	cmd := exec.Command(filepath.Join(bin, "relay"), "check", "--grants", "--role", role, "-c", s.write("dba.yaml", s.database, "", extra))
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("relay check --grants: %v\n%s", err, log.String())
	}
	s.sql(string(out), `ALTER ROLE `+role+` PASSWORD 'relay'`)
	login, err := url.Parse(s.database)
	if err != nil {
		s.t.Fatal(err)
	}
	login.User = url.UserPassword(role, "relay")
	s.login = login.String()
}

func (s *stack) role() string { return s.name + "_relay" }

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// process is a running binary whose output is shown when the test fails.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	ops  string
	log  *logBuffer
	done chan struct{}
	err  error // after done
}

// logBuffer keeps what a process wrote. Safe for concurrent use.
type logBuffer struct {
	mu    sync.Mutex // guards the following
	b     bytes.Buffer
	text  string
	found func() // of each line with text; nil: nobody waits for it
	next  int    // the first line that was not looked at begins there
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, err := l.b.Write(p)
	l.look()
	return n, err
}

// watch calls found once for each line with a text, those included that are there. What
// found does holds nothing up, and may wait for the end of the process.
func (l *logBuffer) watch(text string, found func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text, l.found = text, found
	l.look()
}

// look goes through the lines that are new. l.mu is held.
func (l *logBuffer) look() {
	if l.found == nil {
		return
	}
	whole := l.b.Bytes()[l.next:]
	whole = whole[:bytes.LastIndexByte(whole, '\n')+1]
	l.next += len(whole)
	for range bytes.Count(whole, []byte(l.text)) {
		go l.found()
	}
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start runs a binary in the background.
func start(t *testing.T, opsAddr, name string, args ...string) *process {
	t.Helper()
	p := &process{t: t, ops: opsAddr, log: &logBuffer{}, done: make(chan struct{})}
	p.cmd = exec.Command(filepath.Join(bin, name), args...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s %s:\n%s", name, strings.Join(args, " "), tail(p.log.String(), 60))
		}
	})
	return p
}

func tail(s string, lines int) string {
	all := strings.Split(strings.TrimRight(s, "\n"), "\n")
	if len(all) > lines {
		all = all[len(all)-lines:]
	}
	return strings.Join(all, "\n")
}

// kill is SIGKILL; it returns when the process is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may be gone already
	<-p.done
}

// stop is SIGTERM; it returns the exit code.
func (p *process) stop() int {
	p.t.Helper()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		p.t.Fatal(err)
	}
	return p.exit()
}

// exit waits for the process to end by itself.
func (p *process) exit() int {
	p.t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(30 * time.Second):
		_ = p.cmd.Process.Signal(syscall.SIGQUIT) // for what its goroutines wait
		<-p.done
		p.t.Fatalf("the process did not end within 30 s:\n%s", tail(p.log.String(), 1000))
		return -1
	}
}

// ready is the answer of /readyz.
type ready struct {
	Code   int
	State  string `json:"state"`
	Reason string `json:"reason"`
}

func (p *process) ready() ready {
	var r ready
	resp, err := http.Get("http://" + p.ops + "/readyz")
	if err != nil {
		return ready{Reason: err.Error()}
	}
	defer resp.Body.Close()
	r.Code = resp.StatusCode
	if err := json.NewDecoder(resp.Body).Decode(&r); err != nil {
		r.Reason = err.Error()
	}
	return r
}

// awaitState waits until /readyz shows a state.
func (p *process) awaitState(state string) ready {
	p.t.Helper()
	var last ready
	await(p.t, func() (bool, string) {
		select {
		case <-p.done:
			p.t.Fatalf("the process has ended (%v), want state %q", p.err, state)
		default:
		}
		last = p.ready()
		return last.State == state, fmt.Sprintf("state %q (%s), want %q", last.State, last.Reason, state)
	})
	return last
}

// await polls until ok; what it says last is the failure.
func await(t *testing.T, ok func() (bool, string)) {
	t.Helper()
	var p patience
	for {
		done, why := ok()
		if done {
			return
		}
		if p.over() {
			t.Fatalf("not within 60 s: %s", why)
		}
		select {
		case <-t.Context().Done():
			t.Fatal(why)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// patience is 60 s of a machine that lets this process run: a round of waiting counts
// for 200 ms at most, so that a minute in which nobody gets anything done is not held
// against anybody.
type patience struct {
	last  time.Time
	spent time.Duration
}

func (p *patience) over() bool {
	now := time.Now()
	if !p.last.IsZero() {
		p.spent += min(now.Sub(p.last), 200*time.Millisecond)
	}
	p.last = now
	return p.spent > 60*time.Second
}
