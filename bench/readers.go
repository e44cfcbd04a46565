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

// recvlogical is the floor: PostgreSQL's own client, which throws away what it
// reads. It leaves at the last mark.
func (s *stage) recvlogical() contender {
	return contender{"pg_recvlogical", func(ctx context.Context, m *meter) error {
		defer m.close()
		path, err := exec.LookPath("pg_recvlogical")
		if err != nil {
			return errors.New("pg_recvlogical is missing: it comes with PostgreSQL's client tools (Debian: apt-get install postgresql-client)")
		}
		slot, err := s.copySlot(ctx)
		if err != nil {
			return err
		}
		defer s.dropSlot(slot)
		p, err := m.start(slot, []string{"PGPASSWORD=" + postgres.Password}, path, "-h", "127.0.0.1", "-p", strconv.Itoa(m.postgres.Port()), "-U", postgres.User,
			"-d", s.name, "-S", slot, "--start", "-f", "/dev/null", "-o", "proto_version=1", "-o", "publication_names=bench", "--endpos", s.end)
		if err != nil {
			return err
		}
		defer p.stop()
		if err := m.watch(roleClient, p.Pid(), true); err != nil {
			return err
		}
		if err := s.beginRead(ctx, m, slot, p.Done()); err != nil {
			return errors.Join(err, p.ended())
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

// beginRead begins the meter when somebody reads from the slot.
func (s *stage) beginRead(ctx context.Context, m *meter, slot string, gone <-chan struct{}) error {
	pid, err := s.reader(ctx, slot, gone)
	if err != nil {
		return err
	}
	return errors.Join(m.begin(), m.watch(roleWalsender, pid, true))
}

// counting is the relay's reader alone.
func (s *stage) counting() contender {
	return contender{"decode and count", func(ctx context.Context, m *meter) error {
		defer m.close()
		slot, err := s.copySlot(ctx)
		if err != nil {
			return err
		}
		defer s.dropSlot(slot)
		p, err := m.startPart(slot, "count", "--url", s.url, "--slot", slot, "--end", s.end)
		if err != nil {
			return err
		}
		defer p.stop()
		if err := m.watch(roleClient, p.Pid(), true); err != nil {
			return err
		}
		if err := s.beginRead(ctx, m, slot, p.Done()); err != nil {
			return errors.Join(err, p.ended())
		}
		var n counted
		if err := p.read(ctx, &n); err != nil {
			return err
		}
		if err := m.end(time.Now(), s.rows); err != nil {
			return err
		}
		if marks := n.Rows - s.rows; marks < 1 || marks > 2 {
			return fmt.Errorf("%d rows were read, want %d and the marks", n.Rows, s.rows)
		}
		return nil
	}}
}
