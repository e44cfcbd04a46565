// Package postgres runs a real PostgreSQL as a child process, for the demo and
// for tests: fetched once into a cache folder, started on a temporary data
// folder with wal_level=logical, and gone with the process that started it.
//
// It works as root, too: initdb and postgres refuse to run as root, so they run
// as an unprivileged user of the machine who owns the data folder. An
// installation named by TAILRACE_POSTGRES_BIN (the folder that holds initdb and
// postgres) is used instead of a fetched one.
//
// It is not for data that matters: fsync is off unless Config.Fsync is set.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tailrace/tailrace/internal/embedded/child"
)

// User and Password are the superuser's name and password of every Server.
const (
	User     = "postgres"
	Password = "postgres"
)

// Config says which PostgreSQL to run and how. Its zero value is usable.
type Config struct {
	// Version is a full version (17.7.0) or a major one (17); DefaultVersion
	// when empty.
	Version string
	// Port on 127.0.0.1; 0 takes a free one.
	Port int
	// Databases are created before Start returns.
	Databases []string
	// Settings are added to, or replace, the server settings of defaults.
	Settings map[string]string
	// Fsync keeps fsync and full_page_writes on: slower, and safe against a
	// crash of the machine. A killed server loses nothing either way.
	Fsync bool
	// Cache is the folder for fetched binaries; "" is one per user of the machine.
	Cache string
	// Logf receives a line when something slow happens, such as the first
	// download. nil discards them.
	Logf func(format string, args ...any)
}

// Server is one running PostgreSQL. Its methods may be called from several
// goroutines; Stop, Kill and Restart exclude each other.
type Server struct {
	cfg     Config
	install installation
	folder  *folder
	port    int

	mu   sync.Mutex     // guards the following
	proc *child.Process // nil: not running
}

// Start fetches PostgreSQL when it is not in the cache, makes a new data folder
// and returns when the server answers and the databases exist.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	if cfg.Logf == nil {
		cfg.Logf = func(string, ...any) {}
	}
	install, err := findInstallation(ctx, cfg)
	if err != nil {
		return nil, err
	}
	f, err := newFolder()
	if err != nil {
		return nil, err
	}
	if f.owner.other && !reachable(install.dir) {
		return nil, errors.Join(fmt.Errorf("PostgreSQL runs as %s, who cannot pass through to %s; name a cache folder that all users can reach in %s, or an installation in %s",
			f.owner, install.dir, EnvCache, EnvBin), f.remove())
	}
	s := &Server{cfg: cfg, install: install, folder: f, port: cfg.Port}
	if err := s.start(ctx); err != nil {
		f.remove()
		return nil, err
	}
	for _, db := range cfg.Databases {
		if err := s.CreateDatabase(ctx, db); err != nil {
			return nil, errors.Join(err, s.Stop())
		}
	}
	return s, nil
}

// start makes the cluster and starts it. When the port is ours to choose,
// another process may take it between the choice and the start; then another
// one is tried.
func (s *Server) start(ctx context.Context) error {
	if err := s.initdb(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for try := 1; ; try++ {
		if s.cfg.Port == 0 {
			port, err := freePort()
			if err != nil {
				return err
			}
			s.port = port
		}
		err := s.launch(ctx)
		if err == nil || s.cfg.Port != 0 || try == 5 || !strings.Contains(err.Error(), "Address already in use") {
			return err
		}
	}
}

// PID is the process id of the postmaster, the parent of all backends; 0 when it
// does not run.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return 0
	}
	return s.proc.Pid()
}

// Port is the TCP port on 127.0.0.1.
func (s *Server) Port() int { return s.port }

// Version is the version of the server as asked for, or as the installation of
// TAILRACE_POSTGRES_BIN reports it.
func (s *Server) Version() string { return s.install.version }

// Major is the major version: 17.
func (s *Server) Major() int { return major(s.install.version) }

// URL is the connection URL of the superuser for database db.
func (s *Server) URL(db string) string {
	u := url.URL{
		Scheme: "postgres",
		User:   url.UserPassword(User, Password),
		Host:   net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)),
		Path:   "/" + db,
	}
	return u.String()
}

// LogFile is the path of the server's log. It is gone after Stop.
func (s *Server) LogFile() string { return s.folder.log() }

// DataDir is the path of the cluster. It is gone after Stop.
func (s *Server) DataDir() string { return s.folder.data() }

// CreateDatabase creates database name.
func (s *Server) CreateDatabase(ctx context.Context, name string) error {
	return s.exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize())
}

// DropDatabase drops database name with its replication slots, and ends the
// connections to it. A prepared transaction in it is an error.
func (s *Server) DropDatabase(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		return fmt.Errorf("drop database %q: %w", name, err)
	}
	defer conn.Close(ctx)
	for {
		// DROP DATABASE takes unused slots with it and refuses used ones; the end
		// of a walsender is asynchronous.
		_, err := conn.Exec(ctx, `SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots
			WHERE database = $1 AND active_pid IS NOT NULL`, name)
		if err == nil {
			_, err = conn.Exec(ctx, "DROP DATABASE IF EXISTS "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)")
		}
		var pgErr *pgconn.PgError
		if err == nil {
			return nil
		}
		if !errors.As(err, &pgErr) || pgErr.Code != "55006" { // object_in_use
			return fmt.Errorf("drop database %q: %w", name, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("drop database %q: %w", name, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (s *Server) exec(ctx context.Context, sql string) error {
	conn, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		return fmt.Errorf("%s: %w", sql, err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, sql); err != nil {
		return fmt.Errorf("%s: %w", sql, err)
	}
	return nil
}

// Stop ends the server at once and removes its data folder. A second call does
// nothing.
func (s *Server) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.halt(immediate)
	return s.folder.remove()
}

// Kill ends the server at once, as in a crash; Restart recovers it.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.halt(immediate)
}

// Halt is a fast shutdown, which waits for walsenders as long as ctx allows; after an
// error the server may still be ending. Restart starts it again.
func (s *Server) Halt(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return nil
	}
	s.proc.Signal(fast)
	select {
	case <-s.proc.Done():
		s.proc = nil
		return nil
	case <-ctx.Done():
		return fmt.Errorf("fast shutdown: %w; the log ends: %s", ctx.Err(), s.logTail())
	}
}

// Restart starts the server again with the same port and data, after a fast
// shutdown if it runs.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.halt(fast)
	return s.launch(ctx)
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// logTail is the end of the server's log, for error messages.
func (s *Server) logTail() string {
	b, err := os.ReadFile(s.folder.log())
	if err != nil {
		return ""
	}
	if len(b) > 2000 {
		b = b[len(b)-2000:]
	}
	return strings.TrimSpace(string(b))
}

func (i installation) bin(name string) string { return filepath.Join(i.dir, name) }
