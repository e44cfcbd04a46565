package postgres

import (
	"context"
	"log/slog"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/internal/embedded/pgtest"
	"github.com/tailrace/tailrace/sinks"
	"github.com/tailrace/tailrace/sinks/sinktest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func TestContractWithSchemaAdd(t *testing.T) {
	t.Parallel()
	sinktest.Run(t, func(t *testing.T) sinktest.Destination { return destination(t, SchemaAdd, "") })
}

func TestContractWithSideTable(t *testing.T) {
	t.Parallel()
	sinktest.Run(t, func(t *testing.T) sinktest.Destination {
		return destination(t, SchemaNone, `CREATE TABLE public.items (id integer PRIMARY KEY, name text, note text, amount integer)`)
	})
}

func destination(t *testing.T, mode SchemaMode, setup string) sinktest.Destination {
	url := pgtest.NewDatabase(t)
	if setup != "" {
		exec(t, url, setup)
	}
	return sinktest.Destination{
		Open: func(t *testing.T) sinks.Sink { return open(t, url, mode) },
		Rows: func(t *testing.T) map[int]sinktest.Row {
			rows := map[int]sinktest.Row{}
			conn := connect(t, url)
			defer conn.Close(context.Background())
			var exists bool
			if err := conn.QueryRow(t.Context(), "SELECT to_regclass('public.items') IS NOT NULL").Scan(&exists); err != nil {
				t.Fatal(err)
			}
			if !exists {
				return rows
			}
			res, err := conn.Query(t.Context(), "SELECT id, name, note, amount::text FROM public.items")
			if err != nil {
				t.Fatal(err)
			}
			var id int
			var r sinktest.Row
			if _, err := pgx.ForEachRow(res, []any{&id, &r.Name, &r.Note, &r.Amount}, func() error {
				rows[id] = r
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			return rows
		},
		Cut: func(t *testing.T, s sinks.Sink) {
			sink := s.(*Sink)
			sink.atCommit = func(conn *pgx.Conn) {
				sink.atCommit = nil
				kill(t, url, conn.PgConn().PID())
			}
		},
	}
}

// open makes a sink as a pipeline named p would.
func open(t *testing.T, url string, mode SchemaMode) *Sink {
	t.Helper()
	cfg := DefaultConfig()
	cfg.URL, cfg.Schema, cfg.Pipeline = url, mode, "p"
	s, err := New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func exec(t *testing.T, url, sql string) {
	t.Helper()
	conn := connect(t, url)
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

// kill ends a session of the server and waits until it is gone.
func kill(t *testing.T, url string, pid uint32) {
	t.Helper()
	exec(t, url, "SELECT pg_terminate_backend("+itoa(pid)+", 10000)")
}

func itoa(pid uint32) string { return strconv.FormatUint(uint64(pid), 10) }
