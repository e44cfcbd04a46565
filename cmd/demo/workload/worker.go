package workload

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"
)

// worker is one connection that writes its own rows. Its goroutine is the only
// one that touches it.
type worker struct {
	*random
	of       *Workload
	index    int
	conn     *pgconn.PgConn
	tables   []*table
	weights  int
	rows     map[string]*rows
	counters map[string]int64
	quota    int // rows to insert in all
	inserted int
	channel  bool // the added column is there, and ours to write
	coupon   bool // the column to be dropped is still ours to write
	dropped  bool
	platinum bool // the added label is there, and ours to write
	tx       transaction
}

func newWorker(l *Workload, index, quota int) *worker {
	w := &worker{
		random:   newRandom(l.cfg.Seed, index),
		of:       l,
		index:    index,
		tables:   tables(),
		rows:     map[string]*rows{},
		counters: map[string]int64{},
		quota:    quota,
		coupon:   true,
	}
	for _, t := range w.tables {
		w.weights += t.weight
		w.rows[t.name] = &rows{}
	}
	return w
}

func (w *worker) usesCoupon() bool  { return w.coupon }
func (w *worker) usesChannel() bool { return w.channel }
func (w *worker) usesLabel() bool   { return w.platinum }
func (w *worker) lacksLabel() bool  { return !w.platinum }

func (w *worker) next(name string) int64 {
	w.counters[name]++
	return w.counters[name]
}

// part is how much of its rows the worker has inserted, from 0 to 1.
func (w *worker) part() float64 {
	if w.quota == 0 {
		return 1
	}
	return float64(w.inserted) / float64(w.quota)
}

// serial is a key of one integer that no other worker makes.
func serial(w *worker) []string {
	n := w.next("serial")
	return []string{strconv.FormatInt(n*int64(w.of.cfg.Workers)+int64(w.index), 10)}
}

func (w *worker) table() *table {
	n := w.IntN(w.weights)
	for _, t := range w.tables {
		if n -= t.weight; n < 0 {
			return t
		}
	}
	return w.tables[0]
}

// load inserts the first rows, many at a time.
func (w *worker) load(ctx context.Context) error {
	until := int(loaded * float64(w.quota))
	for w.inserted < until {
		w.tx.begin()
		w.insert(w.table(), min(1+w.IntN(200), until-w.inserted-w.tx.inserts))
		if err := w.execute(ctx, true); err != nil {
			return err
		}
	}
	return nil
}

// run does transactions until all rows are inserted.
func (w *worker) run(ctx context.Context) error {
	first := w.part()
	for w.of.cfg.Endless || w.inserted < w.quota {
		if err := w.of.pace(ctx, (w.part()-first)/(1-first)); err != nil {
			return err
		}
		if !w.of.cfg.Endless {
			if err := w.shapes(ctx); err != nil {
				return err
			}
		}
		commit := w.compose()
		if err := w.execute(ctx, commit); err != nil {
			return err
		}
	}
	return w.shapes(ctx)
}

// shapes changes a table, or what the worker writes of it, when it is time.
func (w *worker) shapes(ctx context.Context) error {
	part := w.part()
	if part >= addColumnAt && w.index == 0 && !w.channel {
		if err := w.addColumn(ctx); err != nil {
			return err
		}
	}
	if part >= useColumnAt && !w.channel {
		select {
		case <-w.of.added:
			w.channel = true
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if part >= leaveColumn && w.coupon {
		w.coupon = false
		if w.of.writing.Add(-1) == 0 {
			close(w.of.left)
		}
	}
	if part >= dropColumnAt && w.index == 0 && !w.dropped {
		w.dropped = true
		select {
		case <-w.of.left:
		case <-ctx.Done():
			return ctx.Err()
		}
		w.tx.begin()
		w.tx.add("ALTER TABLE orders DROP COLUMN coupon")
		if err := w.execute(ctx, true); err != nil {
			return err
		}
	}
	if part >= addLabelAt && w.index == 0 && !w.platinum {
		w.platinum = true
		w.tx.begin()
		w.tx.add("ALTER TYPE tier ADD VALUE 'platinum' BEFORE 'gold'")
		return w.execute(ctx, true)
	}
	return nil
}

// addColumn adds it between changes of the table, in one transaction.
func (w *worker) addColumn(ctx context.Context) error {
	orders := w.tableNamed("orders")
	w.tx.begin()
	w.insert(orders, 2)
	w.update(orders)
	w.tx.add("ALTER TABLE orders ADD COLUMN channel text")
	w.channel = true
	w.insert(orders, 2)
	w.update(orders)
	if err := w.execute(ctx, true); err != nil {
		return err
	}
	close(w.of.added)
	return nil
}

func (w *worker) tableNamed(name string) *table {
	for _, t := range w.tables {
		if t.name == name {
			return t
		}
	}
	panic("no table " + name)
}

// execute runs the composed transaction and counts what it changed.
func (w *worker) execute(ctx context.Context, commit bool) error {
	for try := 1; ; try++ {
		changes, err := w.send(ctx, commit)
		if err == nil {
			if commit {
				w.inserted += w.tx.inserts
				w.of.inserted.Add(int64(w.tx.inserts))
				w.of.changes.Add(changes)
			} else {
				w.tx.undoTo(0)
			}
			return nil
		}
		if !deadlock(err) || try == 10 {
			return fmt.Errorf("workload, seed %d, worker %d: %w", w.of.cfg.Seed, w.index, err)
		}
		if _, err := w.conn.Exec(ctx, "ROLLBACK").ReadAll(); err != nil {
			return fmt.Errorf("workload: %w", err)
		}
	}
}

func (w *worker) send(ctx context.Context, commit bool) (changes int64, err error) {
	end := []string{"COMMIT"}
	switch {
	case !commit:
		end = []string{"ROLLBACK"}
	case w.tx.twoPhase:
		name := fmt.Sprintf("'worker %d'", w.index)
		end = []string{"PREPARE TRANSACTION " + name, "COMMIT PREPARED " + name}
	}
	if _, err := w.conn.Exec(ctx, "BEGIN").ReadAll(); err != nil {
		return 0, err
	}
	for _, s := range w.tx.statements {
		results, err := w.conn.Exec(ctx, s.sql).ReadAll()
		if err != nil {
			return 0, fmt.Errorf("%w\n%s", err, s.sql)
		}
		if s.kept {
			for _, r := range results {
				changes += r.CommandTag.RowsAffected()
			}
		}
	}
	for _, sql := range end {
		if _, err := w.conn.Exec(ctx, sql).ReadAll(); err != nil {
			return 0, err
		}
	}
	return changes, nil
}
