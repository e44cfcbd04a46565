package test

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

// writer changes the table orders at random and counts the records that are due
// for what it committed. Its counter may be read while it runs.
type writer struct {
	conn    *pgx.Conn
	rng     *rand.Rand
	next    int
	records atomic.Int64
}

// run writes until ctx ends, some hundred transactions a second. One whose commit
// was asked for is counted by its answer, so ctx does not interrupt it.
func (w *writer) run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := w.transaction(context.WithoutCancel(ctx)); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Millisecond):
		}
	}
	return ctx.Err()
}

// transaction is up to 20 changes, or now and then 3000; every tenth is rolled
// back.
func (w *writer) transaction(ctx context.Context) error {
	tx, err := w.conn.Begin(ctx)
	if err != nil {
		return err
	}
	size, due := 1+w.rng.IntN(20), int64(0)
	if w.rng.IntN(300) == 0 {
		size = 3000
	}
	for range size {
		n, err := w.change(ctx, tx)
		if err != nil {
			return err
		}
		due += n
	}
	if w.rng.IntN(10) == 0 {
		return tx.Rollback(ctx)
	}
	if err := tx.Commit(ctx); err != nil {
		return err
	}
	w.records.Add(due)
	return nil
}

// change makes one change and returns the number of its records: a delete has a
// tombstone too, and a key change is a delete and a create.
func (w *writer) change(ctx context.Context, tx pgx.Tx) (int64, error) {
	id := 1 + w.rng.IntN(w.next+1)
	records := int64(1)
	var query string
	args := []any{id}
	switch w.rng.IntN(10) {
	case 0, 1, 2, 3:
		w.next++
		query, args = `INSERT INTO orders VALUES ($1, 'new')`, []any{w.next}
	case 4, 5, 6, 7:
		query = `UPDATE orders SET note = coalesce(note, '') || 'x' WHERE id = $1`
	case 8:
		query, records = `DELETE FROM orders WHERE id = $1`, 2
	default:
		w.next++
		query, args, records = `UPDATE orders SET id = $2 WHERE id = $1`, []any{id, w.next}, 3
	}
	tag, err := tx.Exec(ctx, query, args...)
	return records * tag.RowsAffected(), err
}
