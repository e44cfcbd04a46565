package test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// killTables are the tables of the kill harness: a plain one with a column that
// is stored out of line, one with a composite key and full identity, one without
// a key, one for loads, and one that is only ever inserted into.
var killTables = []killTable{
	{name: "accounts", columns: []string{"id", "note", "big"}, key: []string{"id"}},
	{name: "pairs", columns: []string{"a", "b", "note", "big"}, key: []string{"a", "b"}},
	{name: "loose", columns: []string{"n", "note"}},
	{name: "loads", columns: []string{"id", "note"}, key: []string{"id"}},
	{name: "done", columns: []string{"id"}, key: []string{"id"}},
}

type killTable struct {
	name    string
	columns []string
	key     []string
}

const killSchema = `
CREATE TABLE accounts (id int PRIMARY KEY, note text, big text);
ALTER TABLE accounts ALTER COLUMN big SET STORAGE EXTERNAL;
CREATE TABLE pairs (a int, b text, note text, big text, PRIMARY KEY (b, a));
ALTER TABLE pairs REPLICA IDENTITY FULL;
ALTER TABLE pairs ALTER COLUMN big SET STORAGE EXTERNAL;
CREATE TABLE loose (n int, note text);
ALTER TABLE loose REPLICA IDENTITY FULL;
CREATE TABLE loads (id bigint PRIMARY KEY, note text);
CREATE TABLE done (id int PRIMARY KEY);
`

// workload changes the kill tables at random, and counts the records that are due
// for what it committed. One goroutine runs it.
type workload struct {
	url        string
	rng        *rand.Rand
	partitions int64
	next       int
	columns    int
	due        map[string]int64 // records by table
	commits    int
}

func newWorkload(url string, rng *rand.Rand, partitions int) *workload {
	return &workload{url: url, rng: rng, partitions: int64(partitions), due: map[string]int64{}}
}

// busyCommits is after how many transactions the workload takes its time: a relay that
// waits a minute until it may go on would find gigabytes, all of which are compared.
const busyCommits = 400

// run works until stop is closed. A server that is away is waited for.
func (w *workload) run(ctx context.Context, stop <-chan struct{}) error {
	var conn *pgx.Conn
	defer func() {
		if conn != nil {
			_ = conn.Close(context.WithoutCancel(ctx)) // nothing depends on a clean goodbye
		}
	}()
	for {
		pause := time.Duration(w.rng.IntN(6)) * time.Millisecond
		if w.commits > busyCommits {
			pause += 50 * time.Millisecond
		}
		select {
		case <-stop:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		if conn == nil || conn.IsClosed() {
			var err error
			if conn, err = w.connect(ctx); err != nil {
				return err
			}
		}
		if err := w.transaction(ctx, conn); err != nil {
			if !conn.IsClosed() {
				return err
			}
		}
	}
}

func (w *workload) connect(ctx context.Context) (*pgx.Conn, error) {
	for {
		conn, err := pgx.Connect(ctx, w.url)
		if err == nil || ctx.Err() != nil {
			return conn, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// transaction commits some changes, or rolls them back. When the answer to COMMIT
// is missing, the server is asked what became of the transaction
// (pg_xact_status).
func (w *workload) transaction(ctx context.Context, conn *pgx.Conn) error {
	due := map[string]int64{}
	var xid uint64
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, "SELECT pg_current_xact_id()::text::bigint").Scan(&xid); err != nil {
			return err
		}
		for range 1 + w.rng.IntN(12) {
			if err := w.change(ctx, tx, due); err != nil {
				return err
			}
		}
		if w.rng.IntN(10) == 0 {
			return errRollBack
		}
		return nil
	})
	var refused *pgconn.PgError
	switch {
	case errors.Is(err, errRollBack):
		return nil
	case errors.As(err, &refused) && refused.Code == "40P01" && !conn.IsClosed():
		return nil // a TRUNCATE or ALTER TABLE and a snapshot waited for each other
	case err == nil:
	case xid == 0 || !conn.IsClosed():
		return err
	default:
		committed, asked := w.committed(ctx, xid)
		if asked != nil || !committed {
			return errors.Join(err, asked)
		}
	}
	w.commits++
	for table, n := range due {
		w.due[table] += n
	}
	return nil
}

var errRollBack = errors.New("rolled back on purpose")

func (w *workload) committed(ctx context.Context, xid uint64) (bool, error) {
	conn, err := w.connect(ctx)
	if err != nil {
		return false, err
	}
	defer conn.Close(ctx)
	var status string
	err = conn.QueryRow(ctx, "SELECT pg_xact_status($1::text::xid8)", fmt.Sprint(xid)).Scan(&status)
	return status == "committed", err
}

// change makes one change, or several in a savepoint that may be rolled back.
func (w *workload) change(ctx context.Context, tx pgx.Tx, due map[string]int64) error {
	if w.rng.IntN(12) == 0 {
		inner := map[string]int64{}
		err := pgx.BeginFunc(ctx, tx, func(sp pgx.Tx) error {
			for range 1 + w.rng.IntN(4) {
				if err := w.one(ctx, sp, inner); err != nil {
					return err
				}
			}
			if w.rng.IntN(2) == 0 {
				return errRollBack
			}
			return nil
		})
		if errors.Is(err, errRollBack) {
			return nil
		}
		for table, n := range inner {
			due[table] += n
		}
		return err
	}
	return w.one(ctx, tx, due)
}

// one makes one change. A delete has a tombstone too where there is a key; a key
// change is a delete, its tombstone and a create; a truncate goes to every
// partition.
func (w *workload) one(ctx context.Context, tx pgx.Tx, due map[string]int64) error {
	exec := func(table string, records int64, query string, args ...any) error {
		tag, err := tx.Exec(ctx, query, args...)
		due[table] += records * tag.RowsAffected()
		return err
	}
	id, text := 1+w.rng.IntN(w.next+3), fmt.Sprintf("n%d", w.rng.Uint32())
	big := func() string { return strings.Repeat(text, 400+w.rng.IntN(400)) }
	switch n := w.rng.IntN(1000); {
	case n < 250:
		w.next++
		return exec("accounts", 1, `INSERT INTO accounts VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, w.next, text, big())
	case n < 450:
		return exec("accounts", 1, `UPDATE accounts SET note = $2 WHERE id = $1`, id, text) // big is unchanged
	case n < 520:
		return exec("accounts", 2, `DELETE FROM accounts WHERE id = $1`, id)
	case n < 580:
		w.next++
		return exec("accounts", 3, `UPDATE accounts SET id = $2 WHERE id = $1`, id, w.next)
	case n < 700:
		return exec("pairs", 1, `INSERT INTO pairs VALUES ($1, $2, $2, $3) ON CONFLICT DO NOTHING`, id%50, text[:3], big())
	case n < 780:
		return exec("pairs", 1, `UPDATE pairs SET note = $2 WHERE a = $1`, id%50, text)
	case n < 810:
		return exec("pairs", 3, `UPDATE pairs SET b = b || $2 WHERE (a, b) = (SELECT a, b FROM pairs WHERE a = $1 LIMIT 1)`, id%50, text)
	case n < 850:
		return exec("loose", 1, `INSERT INTO loose SELECT g, $2 FROM generate_series(1, $1) g`, 1+id%5, text)
	case n < 880:
		return exec("loose", 1, `UPDATE loose SET note = $2 WHERE n = $1`, id%5, text)
	case n < 900:
		return exec("loose", 1, `DELETE FROM loose WHERE n = $1`, id%5)
	case n < 960:
		w.next += 200
		return exec("loads", 1, `INSERT INTO loads SELECT g, $3 FROM generate_series($1::bigint, $2) g`, w.next-199, w.next, text)
	case n < 965:
		w.next += 6_000
		return exec("loads", 1, `INSERT INTO loads SELECT g, $3 FROM generate_series($1::bigint, $2) g`, w.next-5_999, w.next, text)
	case n < 980:
		return exec("loads", 1, `UPDATE loads SET note = $2 WHERE id % 100 = $1`, id%100, text)
	case n < 985 && w.columns < 5:
		w.columns++
		_, err := tx.Exec(ctx, fmt.Sprintf("ALTER TABLE accounts ADD COLUMN IF NOT EXISTS extra%d int DEFAULT 1", w.columns))
		return err
	case n < 990:
		due["loads"] += w.partitions
		_, err := tx.Exec(ctx, "TRUNCATE loads")
		return err
	case n < 993:
		due["accounts"] += w.partitions
		_, err := tx.Exec(ctx, "TRUNCATE accounts")
		return err
	}
	return exec("loose", 1, `INSERT INTO loose VALUES ($1, NULL)`, id)
}
