package postgres_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/internal/embedded/pgtest"
	server "github.com/tailrace/tailrace/internal/embedded/postgres"
)

const stored = "CREATE TABLE t (id int PRIMARY KEY, s int GENERATED ALWAYS AS (id * 2) STORED, v text); INSERT INTO t (id, v) VALUES (1, 'a')"

// generated writes two more rows and compares: the snapshot's rows have the columns
// of the stream's, and one version reads both.
func generated(t *testing.T, url, setup, publication string, want ...string) {
	t.Helper()
	l := prepareLive(t, url, setup, named(publication))
	l.create()
	l.exec("INSERT INTO t (id, v) VALUES (2, 'b'); UPDATE t SET v = 'c' WHERE id = 2")
	versions := l.versions()
	got := append(slices.Clone(l.read), l.changes(2)...)
	if !slices.Equal(got, want) {
		t.Errorf("publication %s:\n got %q\nwant %q", publication, got, want)
	}
	if now := l.versions(); now != versions {
		t.Errorf("publication %s: the stream's version is %s, the snapshot's %s", publication, now, versions)
	}
}

// versions are the tables as they were read last.
func (l *live) versions() string {
	l.Helper()
	var out []string
	rows, _ := l.conn.Query(l.Context(), "SELECT oid FROM pg_class WHERE relkind = 'r' AND oid >= 16384 ORDER BY oid")
	list, err := pgx.CollectRows(rows, pgx.RowTo[uint32])
	if err != nil {
		l.Fatal(err)
	}
	for _, oid := range list {
		if v := l.history.At(oid, newest); v != nil {
			out = append(out, describe(v.Table))
		}
	}
	return strings.Join(out, "; ")
}

// TestGeneratedColumnsAreAbsentFromBoth the stream and the snapshot where the
// publication does not have them.
func TestGeneratedColumnsAreAbsentFromBoth(t *testing.T) {
	t.Parallel()
	generated(t, pgtest.NewDatabase(t), stored, "live", "r public.t 1 a", "c t 2 b", "u t 2 c")
}

// TestGeneratedColumnsOfPostgreSQL18 are in both where the publication has them:
// stored ones only.
func TestGeneratedColumnsOfPostgreSQL18(t *testing.T) {
	t.Parallel()
	s := pgtest.Shared(t)
	if s.Major() < 18 {
		if os.Getenv(pgtest.EnvVersion) != "" || os.Getenv(server.EnvBin) != "" {
			t.Skip("the environment asks for another PostgreSQL than 18")
		}
		var err error
		if s, err = server.Start(t.Context(), server.Config{Version: "18", Logf: t.Logf}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Stop(); err != nil {
				t.Error(err)
			}
		})
	}
	const virtual = stored + "; ALTER TABLE t ADD g int GENERATED ALWAYS AS (id * 3) VIRTUAL"
	for name, test := range map[string]struct {
		publication string
		want        []string
	}{
		"generated_none":   {"FOR ALL TABLES", []string{"r public.t 1 a", "c t 2 b", "u t 2 c"}},
		"generated_stored": {"FOR ALL TABLES WITH (publish_generated_columns = stored)", []string{"r public.t 1 2 a", "c t 2 4 b", "u t 2 4 c"}},
		"generated_listed": {"FOR TABLE t (id, s)", []string{"r public.t 1 2", "c t 2 4", "u t 2 4"}},
	} {
		if err := s.CreateDatabase(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.DropDatabase(context.Background(), name); err != nil {
				t.Error(err)
			}
		})
		generated(t, s.URL(name), virtual+"; CREATE PUBLICATION pub "+test.publication, "pub", test.want...)
	}
}
