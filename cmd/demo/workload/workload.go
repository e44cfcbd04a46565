// Package workload writes to a PostgreSQL database what an application might:
// inserts, updates, deletes, key changes, deleted keys that come back, rolled
// back transactions and savepoints, large values that updates leave alone, a
// column added and one dropped while it runs.
//
// It is deterministic: with the same seed, rows and workers, the database ends
// with the same content, however the transactions interleave. Each worker has
// its own source of random numbers and its own rows; what a worker does depends
// on nothing that another one does.
package workload

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"
)

// loaded is the part of the rows that Load inserts, before Run.
const loaded = 0.4

// The progress of a worker at which the shapes of tables change. A worker uses
// the new column some way after worker 0 has added it, and leaves the old one
// alone some way before worker 0 drops it, so that no worker has to wait long.
const (
	addColumnAt  = 0.55
	useColumnAt  = 0.60
	leaveColumn  = 0.72
	dropColumnAt = 0.78
	addLabelAt   = 0.85 // worker 0 uses it alone
)

// Config says what a Workload does.
type Config struct {
	URL     string // of the database
	Seed    int64
	Rows    int // inserted in all; rows that come back under a deleted key do not count
	Workers int // connections that write at the same time
	// Duration is the time that Run takes at least: its transactions are spread
	// over it. 0: as fast as possible.
	Duration time.Duration
	// Endless makes Run go on until its context ends, at about Rate transactions
	// per second, with about Rows rows.
	Endless bool
	Rate    float64
}

// Workload is one run. Its counters may be read while it runs; Setup, Load and
// Run are called once, one after the other.
type Workload struct {
	cfg      Config
	workers  []*worker
	inserted atomic.Int64
	changes  atomic.Int64
	added    chan struct{} // closed when the column is there
	writing  atomic.Int64  // workers that still write the column to be dropped
	left     chan struct{} // closed when there are none
	start    time.Time     // of Run
}

// New prepares a workload; it connects to nothing.
func New(cfg Config) *Workload {
	l := &Workload{cfg: cfg, added: make(chan struct{}), left: make(chan struct{})}
	for i := range cfg.Workers {
		quota := cfg.Rows / cfg.Workers
		if i < cfg.Rows%cfg.Workers {
			quota++
		}
		l.workers = append(l.workers, newWorker(l, i, quota))
	}
	l.writing.Store(int64(cfg.Workers))
	return l
}

// Tables are the names of the tables, all in schema public.
func Tables() []string {
	var names []string
	for _, t := range tables() {
		names = append(names, t.name)
	}
	return names
}

// Inserted is the number of committed inserts of new rows.
func (l *Workload) Inserted() int64 { return l.inserted.Load() }

// Changes is the number of committed row changes: inserts, updates, deletes.
func (l *Workload) Changes() int64 { return l.changes.Load() }

// Progress goes from 0 to 1 while Run runs.
func (l *Workload) Progress() float64 {
	if l.cfg.Rows == 0 {
		return 1
	}
	first := loaded * float64(l.cfg.Rows)
	return (float64(l.Inserted()) - first) / (float64(l.cfg.Rows) - first)
}

// Setup creates the tables.
func (l *Workload) Setup(ctx context.Context) error {
	conn, err := pgconn.Connect(ctx, l.cfg.URL)
	if err != nil {
		return fmt.Errorf("create the workload's tables: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, sql := range definitions() {
		if _, err := conn.Exec(ctx, sql).ReadAll(); err != nil {
			return fmt.Errorf("create the workload's tables: %w\n%s", err, sql)
		}
	}
	return nil
}

// Load inserts the first rows, for a snapshot to find.
func (l *Workload) Load(ctx context.Context) error {
	return l.each(ctx, (*worker).load)
}

// Run does the rest. It returns nil when all rows are inserted or, endless, when
// ctx ends.
func (l *Workload) Run(ctx context.Context) error {
	l.start = time.Now()
	err := l.each(ctx, (*worker).run)
	if l.cfg.Endless && ctx.Err() != nil {
		return nil
	}
	return err
}

func (l *Workload) each(ctx context.Context, do func(*worker, context.Context) error) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, w := range l.workers {
		g.Go(func() error {
			conn, err := pgconn.Connect(ctx, l.cfg.URL)
			if err != nil {
				return fmt.Errorf("workload: %w", err)
			}
			defer conn.Close(context.WithoutCancel(ctx))
			w.conn = conn
			return do(w, ctx)
		})
	}
	return g.Wait()
}

// pace waits until it is time for a transaction of a worker that has done part
// of its work.
func (l *Workload) pace(ctx context.Context, part float64) error {
	wait := time.Until(l.start.Add(time.Duration(part * float64(l.cfg.Duration))))
	if l.cfg.Endless {
		wait = time.Duration(float64(time.Second) * float64(l.cfg.Workers) / l.cfg.Rate)
	}
	if wait <= 0 {
		return ctx.Err()
	}
	select {
	case <-time.After(wait):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// deadlock tells whether a transaction was chosen as a deadlock's victim. The
// workers' rows are disjoint, but a table's change waits for all of them.
func deadlock(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && e.Code == "40P01"
}
