package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sort"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tailrace/tailrace/internal/embedded/child"
)

// startTimeout bounds the time from the start of the process to its first
// answer, crash recovery included.
const startTimeout = 60 * time.Second

// defaults are the settings of every server. Everything that a test or the demo
// may want many of is generous; nothing leaves 127.0.0.1.
func defaults(cfg Config) map[string]string {
	s := map[string]string{
		"listen_addresses":           "127.0.0.1",
		"unix_socket_directories":    "",
		"wal_level":                  "logical",
		"max_replication_slots":      "100",
		"max_wal_senders":            "100",
		"max_connections":            "200",
		"max_prepared_transactions":  "20",
		"timezone":                   "UTC",
		"log_timezone":               "UTC",
		"dynamic_shared_memory_type": "mmap", // files of the data folder: nothing stays behind in /dev/shm
		"log_min_messages":           "warning",
		"log_line_prefix":            "%m [%p] %q%u@%d ",
	}
	if !cfg.Fsync {
		s["fsync"] = "off"
		s["full_page_writes"] = "off"
	}
	for k, v := range cfg.Settings {
		s[k] = v
	}
	return s
}

// initdb makes the cluster: UTF-8, locale C, so that the same data sorts the same
// on every machine.
func (s *Server) initdb(ctx context.Context) error {
	pw := s.folder.path("password")
	if err := s.folder.write(pw, []byte(Password+"\n")); err != nil {
		return err
	}
	defer os.Remove(pw)
	cmd := s.folder.command(ctx, s.install.bin("initdb"),
		"-D", s.folder.data(), "-U", User, "--pwfile", pw, "-A", "scram-sha-256",
		"--encoding", "UTF8", "--no-locale", "--no-sync", "--no-instructions")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s (as %s): %w\n%s", cmd.Path, s.folder.owner, err, out)
	}
	return nil
}

// launch starts the server process and waits until it answers. Call it with
// s.mu held and no process running.
func (s *Server) launch(ctx context.Context) error {
	settings := defaults(s.cfg)
	names := make([]string, 0, len(settings))
	for k := range settings {
		names = append(names, k)
	}
	sort.Strings(names)
	args := []string{"-D", s.folder.data(), "-p", strconv.Itoa(s.port)}
	for _, k := range names {
		args = append(args, "-c", k+"="+settings[k])
	}
	log, err := os.OpenFile(s.folder.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("open PostgreSQL's log: %w", err)
	}
	defer log.Close()
	// Not CommandContext: the server outlives the context of its start.
	cmd := s.folder.command(context.Background(), s.install.bin("postgres"), args...)
	cmd.Stdout, cmd.Stderr = log, log
	// SIGQUIT: the postmaster takes its children with it.
	proc, err := child.Start(cmd, immediate)
	if err != nil {
		return fmt.Errorf("start %s (as %s): %w", cmd.Path, s.folder.owner, err)
	}
	s.proc = proc
	if err := s.waitReady(ctx); err != nil {
		s.halt(immediate)
		return fmt.Errorf("start PostgreSQL %s on port %d: %w; its log ends:\n%s", s.install.version, s.port, err, s.logTail())
	}
	return nil
}

// waitReady polls until a connection works. A server that is starting up
// refuses connections with a FATAL error, which is no reason to give up.
func (s *Server) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	var last error
	for {
		try, done := context.WithTimeout(ctx, 5*time.Second)
		conn, err := pgconn.Connect(try, s.URL("postgres"))
		done()
		if err == nil {
			return conn.Close(ctx)
		}
		last = err
		select {
		case <-s.proc.Done():
			return errors.New("the server ended at once")
		case <-ctx.Done():
			return fmt.Errorf("no answer: %w", errors.Join(ctx.Err(), last))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// The two ways to end a server (PostgreSQL documentation, section 18.5).
const (
	fast      = syscall.SIGINT  // roll back what is open, checkpoint, end
	immediate = syscall.SIGQUIT // end; the next start recovers
)

// halt ends the process if there is one, at the latest by SIGKILL, and waits for
// its end. A fast shutdown can wait for ever on a walsender whose client does
// not read, so it becomes an immediate one after ten seconds.
func (s *Server) halt(sig syscall.Signal) {
	if s.proc == nil {
		return
	}
	for _, step := range []syscall.Signal{sig, immediate, syscall.SIGKILL} {
		s.proc.Signal(step)
		select {
		case <-s.proc.Done():
			s.proc = nil
			return
		case <-time.After(10 * time.Second):
		}
	}
	<-s.proc.Done()
	s.proc = nil
}
