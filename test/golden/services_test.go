package golden

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/internal/embedded/broker"
	"github.com/tailrace/tailrace/internal/embedded/postgres"
	"github.com/tailrace/tailrace/internal/embedded/registry"
)

// major is the PostgreSQL that the corpus was captured from. Another one prints
// some values and resolves some expressions otherwise.
const major = "17"

// services are what all cases share: one PostgreSQL, one broker, one registry and
// one relay binary. Topics, databases and slots have the cases' names.
type services struct {
	postgres *postgres.Server
	broker   *broker.Broker
	registry *registry.Server
	bin      string // folder of the relay
	schemas  *texts
	ports    ports
}

func startServices(t *testing.T) *services {
	t.Helper()
	s := &services{bin: t.TempDir()}
	var building sync.WaitGroup
	var built error
	building.Go(func() { built = build(s.bin) })
	var err error
	if s.postgres, err = postgres.Start(t.Context(), postgres.Config{Version: major, Logf: t.Logf}); err != nil {
		building.Wait()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.postgres.Stop(); err != nil {
			t.Error(err)
		}
	})
	building.Wait()
	if built != nil {
		t.Fatal(built)
	}
	if s.broker, err = broker.Start(broker.Config{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.broker.Close)
	if s.registry, err = registry.Start(registry.Config{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.registry.Close(); err != nil {
			t.Error(err)
		}
	})
	anyChange(t, s.registry.URL())
	s.schemas = newTexts(s.registry.URL())
	return s
}

func build(dir string) error {
	cmd := exec.Command("go", "build", "-o", dir, "github.com/tailrace/tailrace/cmd/relay")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the relay: %w\n%s", err, out)
	}
	return nil
}

// anyChange makes the registry take every schema, as the one did that the corpus
// was captured with.
func anyChange(t *testing.T, url string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url+"/config", strings.NewReader(`{"compatibility":"NONE"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("PUT /config: %s", resp.Status)
	}
}

// envPostGIS names the environment variable with the URL of a superuser of a
// server that has PostGIS and wal_level=logical: postgres://user:password@host/db.
// The embedded PostgreSQL does not have it; without the variable its cases are
// skipped.
const envPostGIS = "TAILRACE_TEST_POSTGIS"

// database makes a case's database, on the shared server or on the one that the
// case needs. It is dropped with its slots when the case ends.
func (s *services) database(t *testing.T, c *capture) string {
	t.Helper()
	if strings.Contains(c.Setup, "CREATE EXTENSION postgis") {
		return external(t, c.Name)
	}
	if err := s.postgres.CreateDatabase(t.Context(), c.Name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.postgres.DropDatabase(context.Background(), c.Name); err != nil {
			t.Errorf("clean up: %v", err)
		}
	})
	return s.postgres.URL(c.Name)
}

// external makes a database on the server with PostGIS.
func external(t *testing.T, name string) string {
	t.Helper()
	admin := os.Getenv(envPostGIS)
	if admin == "" {
		t.Skipf("needs PostGIS, which the embedded PostgreSQL does not have; %s does not name a server with it (make test-real does)", envPostGIS)
	}
	u, err := url.Parse(admin)
	if err != nil {
		t.Fatalf("%s: %v", envPostGIS, err)
	}
	database := pgx.Identifier{name}.Sanitize()
	// A database of an earlier test that was killed may be left.
	sql(t, admin, "DROP DATABASE IF EXISTS "+database+" WITH (FORCE)", "CREATE DATABASE "+database)
	t.Cleanup(func() {
		conn, err := pgx.Connect(context.Background(), admin)
		if err == nil {
			_, err = conn.Exec(context.Background(), "DROP DATABASE "+database+" WITH (FORCE)")
			err = errors.Join(err, conn.Close(context.Background()))
		}
		if err != nil {
			t.Errorf("clean up: %v", err)
		}
	})
	u.Path = "/" + name
	return u.String()
}

func sql(t *testing.T, url string, statements ...string) {
	t.Helper()
	conn := connect(t, url)
	for _, q := range statements {
		if _, err := conn.Exec(t.Context(), q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
}

// ports gives addresses to listen on, from below the range that systems take the
// ports of outgoing connections from: a port that was free a moment ago would
// otherwise be taken by one of the many connections that cases make.
type ports struct {
	mu   sync.Mutex // guards the following
	next int
}

const firstPort, lastPort = 21000, 29000

func (p *ports) address(t *testing.T) string {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next == 0 {
		p.next = firstPort + os.Getpid()%(lastPort-firstPort)
	}
	for range lastPort - firstPort {
		if p.next++; p.next >= lastPort {
			p.next = firstPort
		}
		addr := fmt.Sprintf("127.0.0.1:%d", p.next)
		if l, err := net.Listen("tcp", addr); err == nil {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			return addr
		}
	}
	t.Fatalf("no free port from %d to %d", firstPort, lastPort)
	return ""
}

// connect opens a connection that is closed with the test.
func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func (s *services) relay() string { return filepath.Join(s.bin, "relay") }
