package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/jackc/pgx/v5"
)

// Standby starts a second server as a streaming standby of this one, from a copy
// of its data made under an online backup (PostgreSQL documentation, section
// 25.3.4). It has a physical slot of the given name on this server.
func (s *Server) Standby(ctx context.Context, slot string, settings map[string]string) (*Server, error) {
	f, err := newFolder()
	if err != nil {
		return nil, err
	}
	cfg := s.cfg
	cfg.Port = 0
	cfg.Settings = map[string]string{
		"primary_conninfo":     fmt.Sprintf("host=127.0.0.1 port=%d user=%s password=%s dbname=postgres", s.port, User, Password),
		"primary_slot_name":    slot,
		"hot_standby_feedback": "on",
	}
	for _, more := range []map[string]string{s.cfg.Settings, settings} {
		for k, v := range more {
			cfg.Settings[k] = v
		}
	}
	standby := &Server{cfg: cfg, install: s.install, folder: f}
	if err := s.backup(ctx, slot, f); err != nil {
		return nil, errors.Join(err, f.remove())
	}
	if standby.port, err = freePort(); err == nil {
		standby.mu.Lock()
		defer standby.mu.Unlock()
		err = standby.launch(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, f.remove())
	}
	return standby, nil
}

// backup copies the data folder while the server writes to it.
func (s *Server) backup(ctx context.Context, slot string, to *folder) error {
	conn, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	defer conn.Close(ctx)
	begin, end := "SELECT pg_backup_start('copy', true)", "SELECT labelfile FROM pg_backup_stop(false)"
	if s.Major() < 15 {
		begin, end = "SELECT pg_start_backup('copy', true, false)", "SELECT labelfile FROM pg_stop_backup(false, false)"
	}
	for _, sql := range []string{"SELECT pg_create_physical_replication_slot('" + slot + "', true)", begin} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	if err := copyData(ctx, s.folder.data(), to.data()); err != nil {
		return err
	}
	var label string
	if err := conn.QueryRow(ctx, end).Scan(&label); err != nil {
		return fmt.Errorf("%s: %w", end, err)
	}
	for name, content := range map[string]string{"backup_label": label, "standby.signal": ""} {
		if err := to.write(filepath.Join(to.data(), name), []byte(content)); err != nil {
			return fmt.Errorf("backup: %w", err)
		}
	}
	return nil
}

// copyData fills a data folder with the files of another, but for what belongs to
// its running server and for its slots (section 25.3.4.3).
func copyData(ctx context.Context, from, to string) error {
	// Files vanish while the server runs; cp goes on and says so with its status.
	out, err := exec.CommandContext(ctx, "cp", "-a", from+"/.", to).CombinedOutput()
	if _, missing := os.Stat(filepath.Join(to, "PG_VERSION")); missing != nil {
		return fmt.Errorf("copy %s: %w: %s", from, errors.Join(err, missing), out)
	}
	if err := os.Remove(filepath.Join(to, "postmaster.pid")); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("copy %s: %w", from, err)
	}
	slots, err := filepath.Glob(filepath.Join(to, "pg_replslot", "*"))
	for _, slot := range slots {
		err = errors.Join(err, os.RemoveAll(slot))
	}
	return err
}

// Save keeps the data as they are now, and Restore brings them back: the storage is
// rolled back under the server, slots included. The server runs afterwards.
func (s *Server) Save(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.halt(fast)
	if out, err := exec.CommandContext(ctx, "cp", "-a", s.folder.data(), s.folder.path("saved")).CombinedOutput(); err != nil {
		return fmt.Errorf("save %s: %w: %s", s.folder.data(), err, out)
	}
	return s.launch(ctx)
}

// Restore brings back what Save kept.
func (s *Server) Restore(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.halt(immediate)
	if err := os.RemoveAll(s.folder.data()); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if err := os.Rename(s.folder.path("saved"), s.folder.data()); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return s.launch(ctx)
}
