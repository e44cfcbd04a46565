package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// stage is a database whose slot has WAL behind it that no reader has seen. Each
// run drains a copy of that slot. One goroutine uses it.
type stage struct {
	rig              *rig
	name             string // of the database; the slot is <name>_base
	url              string
	conn             *pgx.Conn
	tables           []string // those that are written to, beside the marks
	rows             int64    // row changes that are behind the slot, without the marks
	inserts, deletes int64    // of them
	count            int64    // records that they become: a delete is two
	end              string   // the LSN at which the last mark has committed
}

// The marks: a row of each is written, and committed, when half of the changes
// and when all have been. A reader that has made them durable has made durable
// what came before. The table finish gets a second row, so that something follows
// the first.
const marksSQL = `CREATE TABLE half (n int PRIMARY KEY); CREATE TABLE finish (n int PRIMARY KEY); CREATE PUBLICATION bench FOR ALL TABLES;`

// newStage makes a database with tables, and the slot.
func newStage(ctx context.Context, r *rig, sql string, tables ...string) (*stage, error) {
	s := &stage{rig: r, name: r.name(), tables: tables}
	var err error
	if s.url, err = r.database(ctx, s.name); err != nil {
		return nil, err
	}
	if s.conn, err = pgx.Connect(ctx, s.url); err != nil {
		return nil, errors.Join(err, r.postgres.DropDatabase(ctx, s.name))
	}
	if err := s.exec(ctx, marksSQL+sql); err != nil {
		return nil, errors.Join(err, s.drop())
	}
	if err := s.exec(ctx, fmt.Sprintf("SELECT pg_create_logical_replication_slot('%s_base', 'pgoutput')", s.name)); err != nil {
		return nil, errors.Join(err, s.drop())
	}
	return s, nil
}

// exec runs statements, each in a transaction of its own unless one text holds
// several.
func (s *stage) exec(ctx context.Context, statements ...string) error {
	for _, sql := range statements {
		if _, err := s.conn.PgConn().Exec(ctx, sql).ReadAll(); err != nil {
			return fmt.Errorf("%.60s: %w", sql, err)
		}
	}
	return nil
}

// finish writes the last marks and has the server write out what it has in memory,
// so that no checkpoint comes into a run.
func (s *stage) finish(ctx context.Context) error {
	if err := s.exec(ctx, "INSERT INTO finish VALUES (1)"); err != nil {
		return err
	}
	if err := s.conn.QueryRow(ctx, "SELECT pg_current_wal_insert_lsn()::text").Scan(&s.end); err != nil {
		return err
	}
	return s.exec(ctx, "INSERT INTO finish VALUES (2)", "CHECKPOINT")
}

// copySlot gives a run a slot of its own.
func (s *stage) copySlot(ctx context.Context) (string, error) {
	name := s.rig.name()
	_, err := s.conn.Exec(ctx, "SELECT pg_copy_logical_replication_slot($1, $2)", s.name+"_base", name)
	return name, err
}

// dropSlot drops a run's slot when its reader is gone.
func (s *stage) dropSlot(slot string) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for {
		_, err := s.conn.Exec(ctx, "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1", slot)
		if err == nil {
			return
		}
		if !pause(ctx, 50*time.Millisecond) {
			s.rig.fail("cleaning up", "slot "+slot, err)
			return
		}
	}
}

// reader returns the process that reads the WAL for a slot's client, as soon as
// there is one. gone ends the wait.
func (s *stage) reader(ctx context.Context, slot string, gone <-chan struct{}) (pid int, err error) {
	for {
		var p *int
		if err := s.conn.QueryRow(ctx, "SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1", slot).Scan(&p); err != nil {
			return 0, err
		}
		if p != nil {
			return *p, nil
		}
		select {
		case <-gone:
			return 0, errors.New("it ended before it read from its slot")
		case <-ctx.Done():
			return 0, fmt.Errorf("nobody reads from slot %s: %w", slot, ctx.Err())
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// drop removes the database with its slots.
func (s *stage) drop() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return errors.Join(s.conn.Close(ctx), s.rig.postgres.DropDatabase(ctx, s.name))
}

// cleanup is drop for a work's end.
func (s *stage) cleanup() {
	if err := s.drop(); err != nil {
		s.rig.fail("cleaning up", "database "+s.name, err)
	}
}
