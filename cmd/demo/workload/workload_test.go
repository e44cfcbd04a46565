package workload

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/internal/embedded/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// content is a digest of all tables.
func content(t *testing.T, conn *pgx.Conn) string {
	t.Helper()
	var all string
	for _, table := range Tables() {
		var n int
		var sum *string
		err := conn.QueryRow(t.Context(), fmt.Sprintf(`SELECT count(*), md5(string_agg(x::text, ',' ORDER BY x::text)) FROM %s x`, table)).Scan(&n, &sum)
		if err != nil {
			t.Fatal(err)
		}
		all += fmt.Sprintln(table, n, *sum)
	}
	return all
}

func do(t *testing.T, cfg Config) (w *Workload, result string) {
	t.Helper()
	cfg.URL = pgtest.NewDatabase(t)
	w = New(cfg)
	for _, step := range []func(context.Context) error{w.Setup, w.Load, w.Run} {
		if err := step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	conn, err := pgx.Connect(t.Context(), cfg.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var columns string
	err = conn.QueryRow(t.Context(), `SELECT string_agg(attname, ',' ORDER BY attname) FROM pg_attribute
		WHERE attrelid = 'orders'::regclass AND attname IN ('channel', 'coupon')`).Scan(&columns)
	if err != nil || columns != "channel" {
		t.Errorf("orders has %s of channel and coupon (%v), want channel", columns, err)
	}
	var large int
	err = conn.QueryRow(t.Context(), `SELECT count(*) FROM documents WHERE length(body) > 2500 AND revision <> 1`).Scan(&large)
	if err != nil || large == 0 && cfg.Rows > 100 {
		t.Errorf("%d documents with a large body (%v), want some", large, err)
	}
	return w, content(t, conn)
}

func TestSameSeedGivesTheSameContent(t *testing.T) {
	t.Parallel()
	cfg := Config{Seed: 7, Rows: 3000, Workers: 4}
	one, first := do(t, cfg)
	two, second := do(t, cfg)
	if first != second {
		t.Errorf("seed 7 twice:\n%s\n%s", first, second)
	}
	if one.Changes() != two.Changes() || one.Changes() < 4000 {
		t.Errorf("changes: got %d and %d, want the same, more than 4000", one.Changes(), two.Changes())
	}
	if one.Inserted() != 3000 || one.Progress() != 1 {
		t.Errorf("got %d inserted, progress %v; want 3000, 1", one.Inserted(), one.Progress())
	}
	cfg.Seed = 8
	if _, other := do(t, cfg); other == first {
		t.Error("seeds 7 and 8 give the same content")
	}
}

func TestSmallWorkloadsEnd(t *testing.T) {
	t.Parallel()
	for _, rows := range []int{0, 1, 3, 50} {
		w := New(Config{Seed: 1, Rows: rows, Workers: 4, URL: pgtest.NewDatabase(t)})
		for _, step := range []func(context.Context) error{w.Setup, w.Load, w.Run} {
			if err := step(t.Context()); err != nil {
				t.Fatalf("%d rows: %v", rows, err)
			}
		}
		if w.Inserted() != int64(rows) || w.Progress() != 1 {
			t.Errorf("%d rows: got %d inserted, progress %v", rows, w.Inserted(), w.Progress())
		}
	}
}
