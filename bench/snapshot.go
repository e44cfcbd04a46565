package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"time"

	"github.com/tailrace/tailrace/internal/embedded/postgres"
)

// full makes a stage whose table holds so many rows; nothing is behind the slot.
func full(ctx context.Context, r *rig, rows int) (*stage, error) {
	s, err := newStage(ctx, r, itemsSQL, "items")
	if err != nil {
		return nil, err
	}
	s.rows = int64(rows)
	return s, s.exec(ctx, fmt.Sprintf("SELECT pg_drop_replication_slot('%s_base')", s.name),
		fmt.Sprintf("INSERT INTO items SELECT %s FROM generate_series(1::bigint, %d) i", items("i"), rows), "VACUUM FREEZE ANALYZE", "CHECKPOINT")
}

// copyOut is the floor of a snapshot: psql throws away what COPY gives it.
func (s *stage) copyOut() contender {
	return contender{"COPY TO STDOUT", func(ctx context.Context, m *meter) error {
		defer m.close()
		path, err := exec.LookPath("psql")
		if err != nil {
			return errors.New("psql is missing: it comes with PostgreSQL's client tools (Debian: apt-get install postgresql-client)")
		}
		if err := m.begin(); err != nil {
			return err
		}
		p, err := m.start(m.name(), []string{"PGPASSWORD=" + postgres.Password}, path, "-X", "-h", "127.0.0.1", "-p", strconv.Itoa(m.postgres.Port()), "-U", postgres.User,
			"-d", s.name, "-v", "ON_ERROR_STOP=1", "-o", "/dev/null", "-c", "COPY items TO STDOUT")
		if err != nil {
			return err
		}
		defer p.stop()
		if err := m.watch(roleClient, p.Pid(), true); err != nil {
			return err
		}
		select {
		case <-p.Done():
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := m.end(time.Now(), s.rows); err != nil || p.State().Success() {
			return err
		}
		return p.ended()
	}}
}

// snapshot is the relay's initial snapshot up to the records.
func (s *stage) snapshot() contender {
	return contender{"snapshot, discarded", func(ctx context.Context, m *meter) error {
		defer m.close()
		if err := m.begin(); err != nil {
			return err
		}
		p, err := m.startPart(m.name(), "discard", "--url", s.url)
		if err != nil {
			return err
		}
		defer p.stop()
		if err := m.watch(roleClient, p.Pid(), true); err != nil {
			return err
		}
		var n int64
		if err := p.read(ctx, &n); err != nil {
			return err
		}
		if err := m.end(time.Now(), s.rows); err != nil {
			return err
		}
		if n != s.rows {
			return fmt.Errorf("%d records, want %d", n, s.rows)
		}
		return nil
	}}
}
