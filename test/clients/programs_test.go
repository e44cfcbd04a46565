package clients

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/tailrace/tailrace/internal/embedded/real"
)

// The libraries under test.
var (
	pythonPackages = []string{"confluent-kafka[avro]==2.16.0"}
	nodePackages   = []string{"kafkajs@2.2.4", "@kafkajs/confluent-schema-registry@4.1.0"}
)

// unreachable is what package managers say when they cannot reach their source.
var unreachable = regexp.MustCompile(`(?i)connection (error|refused|reset|timed out)|NewConnectionError|timed? ?out|ENOTFOUND|ECONNREFUSED|EAI_AGAIN|unreachable|unknown host|temporary failure in name resolution`)

// install makes a folder of the cache by commands that are run in it, once. Where
// the program or the source of the libraries is missing, the test is skipped.
func install(t *testing.T, dir string, commands ...[]string) {
	t.Helper()
	done := filepath.Join(dir, "installed")
	if _, err := os.Stat(done); err == nil {
		return
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range commands {
		cmd := exec.CommandContext(t.Context(), c[0], c[1:]...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		skipUnreachable(t, err, string(out))
		if err != nil {
			t.Fatalf("%s: %v\n%s", cmd, err, tail(string(out)))
		}
	}
	if err := os.WriteFile(done, nil, 0o644); err != nil {
		t.Fatal(err)
	}
}

// skipUnreachable skips a test whose libraries cannot be had.
func skipUnreachable(t *testing.T, err error, output string) {
	t.Helper()
	if err != nil && (errors.Is(err, exec.ErrNotFound) || unreachable.MatchString(output)) {
		t.Skipf("what this client needs cannot be installed: %v\n%s", err, tail(output))
	}
}

func python(t *testing.T, cache string, s *source) *exec.Cmd {
	t.Helper()
	dir := filepath.Join(cache, "python")
	install(t, dir,
		[]string{"python3", "-m", "venv", "venv"},
		append([]string{filepath.Join(dir, "venv", "bin", "pip"), "install", "--quiet"}, pythonPackages...))
	return exec.CommandContext(t.Context(), filepath.Join(dir, "venv", "bin", "python"), testdata(t, "read.py"), s.kafka, s.registry, s.topic, last)
}

func node(t *testing.T, cache string, s *source) *exec.Cmd {
	t.Helper()
	dir := filepath.Join(cache, "node")
	install(t, dir, append([]string{"npm", "install", "--no-audit", "--no-fund", "--prefix", dir}, nodePackages...))
	cmd := exec.CommandContext(t.Context(), "node", testdata(t, "read.js"), s.kafka, s.registry, s.topic, last)
	cmd.Env = append(os.Environ(), "NODE_PATH="+filepath.Join(dir, "node_modules"))
	return cmd
}

func java(t *testing.T, parts real.Parts, s *source) *exec.Cmd {
	t.Helper()
	classes, err := parts.InstallReader(t.Context(), t.Logf)
	if err != nil {
		skipUnreachable(t, err, err.Error())
		t.Fatal(err)
	}
	return exec.CommandContext(t.Context(), parts.Java(), "-Xmx512m", "-cp", filepath.Join(classes, "*"), testdata(t, "Read.java"),
		s.kafka, real.NativeURL(s.registry), s.topic, last)
}

func testdata(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}
