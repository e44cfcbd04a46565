package postgres

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/sinks"
)

// Sink writes batches into one PostgreSQL database. It keeps the promises of
// sinks.Sink and sinks.Outbox; its methods may be called from several
// goroutines.
type Sink struct {
	cfg      Config
	log      *slog.Logger
	template template
	state    string // quoted state schema
	pool     *pool
	tables   *tables

	prepareMu sync.Mutex // guards the following
	prepared  bool

	purged   atomic.Int64 // Unix seconds of the last purge of tombstones
	wary     atomic.Int32 // batches that are written in parts at once
	screens  screens
	hopes    hopes
	foresees atomic.Bool // the last refusals were those that the screens named

	// atCommit, when set by a test, runs when a batch is written and its COMMIT
	// is about to be sent.
	atCommit func(*pgx.Conn)
	// doubts, when set by a test, makes all rows of a batch in parts unlikely ones.
	doubts bool
}

var (
	_ sinks.Sink   = (*Sink)(nil)
	_ sinks.Outbox = (*Sink)(nil)
)

// New makes a Sink. It dials when first used.
func New(cfg Config, log *slog.Logger) (*Sink, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	tmpl, err := parseTemplate(cfg.Table)
	if err != nil {
		return nil, err
	}
	pool, err := newPool(cfg)
	if err != nil {
		return nil, err
	}
	return &Sink{cfg: cfg, log: log, template: tmpl, state: quote(cfg.StateSchema), pool: pool, tables: newTables(cfg.Schema)}, nil
}

// Close ends the connections that are not in use; the others end with their use.
func (s *Sink) Close() { s.pool.close() }

// Write applies one batch in one transaction:
//
//	BEGIN
//	the offset row moves from Expect to Next, if the epoch is ours   no row: ErrFenced
//	floors of tables, with the deletion of what stands below them
//	rows, tombstones, dead letters, parked markers
//	COMMIT
//
// The offset row comes first: its lock makes a successor's claim wait for this
// batch, and a zombie do nothing at all.
func (s *Sink) Write(ctx context.Context, b *sinks.Batch) (sinks.Result, error) {
	conn, err := s.pool.acquire(ctx)
	if err != nil {
		return sinks.Result{}, judge(fmt.Errorf("write %s/%d: %w", b.Claim.Topic, b.Claim.Number, err))
	}
	defer s.pool.release(conn)
	t := &transaction{sink: s, conn: conn, batch: b, scope: scope{
		state: s.state, pipeline: s.cfg.Pipeline, partition: b.Claim.Number, generation: b.Generation,
		expires: time.Now().Add(s.cfg.Retention).UTC().Format(time.RFC3339),
	}}
	result, err := t.run(ctx)
	if err != nil {
		if outdated(err) {
			s.tables.forget()
		}
		return result, fmt.Errorf("write %s/%d offsets %d to %d: %w", b.Claim.Topic, b.Claim.Number, b.Expect, b.Next-1, err)
	}
	s.purge(ctx, conn)
	return result, nil
}

// purgeEvery and purgeRows bound what the removal of expired tombstones costs.
const (
	purgeEvery = 30 * time.Second
	purgeRows  = 5000
)

// purge removes some expired tombstones, now and then, and raises the floor in their
// place, in one statement: every other statement sees the one or the other. Rows that
// another transaction holds are left for the next time; a failure is of no consequence.
func (s *Sink) purge(ctx context.Context, conn *pgx.Conn) {
	now, last := time.Now().Unix(), s.purged.Load()
	if now-last < int64(purgeEvery/time.Second) || !s.purged.CompareAndSwap(last, now) {
		return
	}
	n, err := s.expire(ctx, conn)
	if err != nil {
		s.log.Debug("expired tombstones stay for now", "error", err)
	} else if n > 0 {
		s.log.Debug("removed expired tombstones", "rows", n)
	}
}

func (s *Sink) expire(ctx context.Context, conn *pgx.Conn) (int64, error) {
	var removed int64
	err := conn.QueryRow(ctx, `WITH d AS (DELETE FROM `+s.state+`.tombstones d USING (SELECT pipeline, target, key FROM `+s.state+`.tombstones
		WHERE pipeline = $1 AND expires < now() ORDER BY expires LIMIT $2 FOR UPDATE SKIP LOCKED) e
		WHERE d.pipeline = e.pipeline AND d.target = e.target AND d.key = e.key RETURNING d.target, d.partition, d.generation, d.pos),
		x AS (INSERT INTO `+s.state+`.expired AS x (pipeline, target, partition, generation, pos)
		SELECT DISTINCT ON (target, partition) $1, target, partition, generation, pos FROM d ORDER BY target, partition, generation DESC, pos COLLATE "C" DESC
		ON CONFLICT (pipeline, target, partition) DO UPDATE SET generation = EXCLUDED.generation, pos = EXCLUDED.pos WHERE (x.generation, x.pos) < (EXCLUDED.generation, EXCLUDED.pos))
		SELECT count(*) FROM d`, s.cfg.Pipeline, purgeRows).Scan(&removed)
	return removed, err
}
