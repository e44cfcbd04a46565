// Package pgtest gives the tests of a package one real PostgreSQL, started when
// the first test asks for it, and a database for each test.
//
//	func TestMain(m *testing.M) { pgtest.Main(m) }
//
//	func TestX(t *testing.T) {
//		t.Parallel()
//		url := pgtest.NewDatabase(t)
//
// A package without that TestMain works too: the server then dies with the test
// process, and its folder is removed by the next one.
package pgtest

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tailrace/tailrace/internal/embedded/postgres"
)

// EnvVersion names the environment variable with the PostgreSQL version that
// tests run against; postgres.DefaultVersion when unset.
const EnvVersion = "TAILRACE_POSTGRES_VERSION"

var (
	once   sync.Once
	shared *postgres.Server
	failed error
	count  atomic.Int64
)

// Shared is the server of this test process. Tests share it, so they leave its
// settings and each other's databases and slots alone; slot names are global to
// a server, so make them unique with the database's name. A test that stops or
// reconfigures a server starts its own.
func Shared(t testing.TB) *postgres.Server {
	t.Helper()
	once.Do(func() {
		shared, failed = postgres.Start(context.Background(), postgres.Config{Version: os.Getenv(EnvVersion), Logf: t.Logf})
	})
	if failed != nil {
		t.Fatalf("start PostgreSQL for the tests: %v", failed)
	}
	return shared
}

// NewDatabase creates a database for t and returns its URL. It is dropped with
// its slots when t ends.
func NewDatabase(t testing.TB) string {
	t.Helper()
	s := Shared(t)
	name := fmt.Sprintf("test_%d", count.Add(1))
	if err := s.CreateDatabase(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.DropDatabase(context.Background(), name); err != nil {
			t.Errorf("clean up: %v", err)
		}
	})
	return s.URL(name)
}

// Main runs the tests, stops the server if one was started, and exits.
func Main(m *testing.M) { os.Exit(Run(m)) }

// Run is Main without the exit, for a TestMain that has something of its own to
// clean up; it returns the exit code.
func Run(m *testing.M) int {
	code := m.Run()
	if shared != nil {
		if err := shared.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stop PostgreSQL:", err)
			code = 1
		}
	}
	return code
}
