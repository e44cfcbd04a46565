package postgres

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// childVariable makes this test binary a program that starts a server, prints
// its data folder and port, and waits to be killed.
const childVariable = "TAILRACE_TEST_POSTGRES_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		s, err := Start(context.Background(), Config{})
		if err != nil {
			println(err.Error())
			os.Exit(1)
		}
		pid, _ := os.ReadFile(filepath.Join(s.DataDir(), "postmaster.pid"))
		first, _, _ := strings.Cut(string(pid), "\n")
		os.Stdout.WriteString(first + "\n")
		select {}
	}
	os.Exit(m.Run())
}

func start(t *testing.T, cfg Config) *Server {
	t.Helper()
	cfg.Logf = t.Logf
	s, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func queryOne(t *testing.T, url, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var v string
	if err := conn.QueryRow(t.Context(), sql).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

func TestServerIsReadyForLogicalReplication(t *testing.T) {
	t.Parallel()
	s := start(t, Config{Databases: []string{"shop", "ware house"}})
	for sql, want := range map[string]string{
		"SHOW wal_level":             "logical",
		"SHOW timezone":              "UTC",
		"SHOW server_encoding":       "UTF8",
		"SHOW max_replication_slots": "100",
		"SHOW fsync":                 "off",
		"SELECT current_database()":  "ware house",
		"SELECT pg_create_logical_replication_slot('probe', 'pgoutput') IS NOT NULL || ''": "true",
	} {
		if got := queryOne(t, s.URL("ware house"), sql); got != want {
			t.Errorf("%s: got %q, want %q", sql, got, want)
		}
	}
	if s.Major() != major(queryOne(t, s.URL("shop"), "SHOW server_version")) {
		t.Errorf("Major: got %d, want the server's", s.Major())
	}
	if err := s.DropDatabase(t.Context(), "ware house"); err != nil {
		t.Errorf("a database with a slot is not dropped: %v", err)
	}
}

func TestKilledServerKeepsWhatWasCommitted(t *testing.T) {
	t.Parallel()
	s := start(t, Config{Databases: []string{"shop"}, Settings: map[string]string{"wal_sender_timeout": "7s"}})
	queryOne(t, s.URL("shop"), "SELECT 'x' FROM (SELECT set_config('a.b', 'c', false)) t")
	if err := s.exec(t.Context(), "CREATE TABLE kept AS SELECT 42 AS v"); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	if _, err := pgx.Connect(t.Context(), s.URL("shop")); err == nil {
		t.Fatal("a killed server answers")
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := queryOne(t, s.URL("postgres"), "SELECT v::text FROM kept"); got != "42" {
		t.Errorf("after Kill and Restart: got %s, want 42", got)
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatalf("Restart of a running server: %v", err)
	}
	if got := queryOne(t, s.URL("postgres"), "SHOW wal_sender_timeout"); got != "7s" {
		t.Errorf("wal_sender_timeout: got %s, want 7s", got)
	}
}

func TestStopRemovesEverythingAndMayBeRepeated(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if exists(s.folder.dir) {
		t.Errorf("%s is still there", s.folder.dir)
	}
	if err := s.Stop(); err != nil {
		t.Errorf("second Stop: %v", err)
	}
}

func TestServerDiesWithItsKilledParent(t *testing.T) {
	t.Parallel()
	start(t, Config{}).Stop() // so that no download delays the child
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64)
	n, err := out.Read(buf)
	if err != nil {
		t.Fatalf("read the child's answer: %v", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(buf[:n])))
	if err != nil {
		t.Fatalf("the child answered %q, want a process id", buf[:n])
	}
	_ = cmd.Process.Kill()
	_, _ = io.Copy(io.Discard, out)
	_ = cmd.Wait()
	deadline := time.Now().Add(15 * time.Second)
	for alive(pid) {
		if time.Now().After(deadline) {
			t.Fatalf("postmaster %d outlived its killed parent by 15 s", pid)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// alive tells whether process pid runs; one that ended and waits to be reaped
// does not.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) == syscall.ESRCH {
		return false
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return !os.IsNotExist(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}

func TestSweepRemovesFoldersOfKilledMakersOnly(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	old := time.Now().Add(-time.Hour)
	mk := func(name string) string {
		dir := filepath.Join(parent, folderPrefix+name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "lock"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	left, young, held := mk("left"), mk("young"), mk("held")
	lock, err := os.Open(filepath.Join(held, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{left, held} {
		if err := os.Chtimes(dir, old, old); err != nil {
			t.Fatal(err)
		}
	}
	sweep(parent)
	for dir, want := range map[string]bool{left: false, young: true, held: true} {
		if exists(dir) != want {
			t.Errorf("%s exists: %v, want %v", filepath.Base(dir), !want, want)
		}
	}
}

func TestVersionsAndInstallations(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"": DefaultVersion, "16": "16.9.0", "18.1.0": "18.1.0", "9": "", "17.7": ""} {
		got, err := resolveVersion(in)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("version %q: got %q, %v; want %q", in, got, err, want)
		}
	}
	s := start(t, Config{})
	for _, dir := range []string{s.install.dir, filepath.Dir(s.install.dir)} {
		i, err := namedInstallation(t.Context(), dir, strconv.Itoa(s.Major()))
		if err != nil || i.dir != s.install.dir || major(i.version) != s.Major() {
			t.Errorf("installation %s: got %+v, %v", dir, i, err)
		}
	}
	if _, err := namedInstallation(t.Context(), s.install.dir, strconv.Itoa(s.Major()-1)); err == nil {
		t.Error("an installation is taken for the version before it")
	}
	if _, err := namedInstallation(t.Context(), t.TempDir(), ""); err == nil {
		t.Error("an empty folder is taken for an installation")
	}
}
