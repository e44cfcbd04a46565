package postgres_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/cdc/postgres"
	"github.com/tailrace/tailrace/internal/embedded/pgtest"
)

// where configures row filters for a publication of ours.
func where(filters map[string]string) func(*postgres.Config) {
	return func(c *postgres.Config) {
		c.Publication = "own"
		c.Where = func(table string) string { return filters[table] }
	}
}

func needs15(t *testing.T) {
	t.Helper()
	(&catalogDB{T: t}).needs(15)
}

// TestRowFiltersApplyToSnapshotAndStream: the same rows of both.
func TestRowFiltersApplyToSnapshotAndStream(t *testing.T) {
	t.Parallel()
	needs15(t)
	const filter = "a > 5 -- and no more"
	tests := []struct {
		name, setup string
		options     []func(*postgres.Config)
		read        []string
	}{
		{"a table", "CREATE TABLE t (a int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'no'), (6, 'yes'); CREATE TABLE u (a int PRIMARY KEY); INSERT INTO u VALUES (1)",
			[]func(*postgres.Config){where(map[string]string{"public.t": filter})}, []string{"r public.t 6 yes", "r public.u 1"}},
		{"a partition by its own name", "CREATE TABLE t (a int PRIMARY KEY, v text) PARTITION BY RANGE (a); CREATE TABLE t1 PARTITION OF t DEFAULT; INSERT INTO t VALUES (1, 'no'), (6, 'yes')",
			[]func(*postgres.Config){where(map[string]string{"public.t1": filter})}, []string{"r public.t1 6 yes"}},
		{"a partitioned table by its root", "CREATE TABLE t (a int PRIMARY KEY, v text) PARTITION BY RANGE (a); CREATE TABLE t1 PARTITION OF t DEFAULT; INSERT INTO t VALUES (1, 'no'), (6, 'yes')",
			[]func(*postgres.Config){where(map[string]string{"public.t": filter}), viaRoot}, []string{"r public.t 6 yes"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := newLive(t, test.setup, test.options...)
			if !slices.Equal(l.read, test.read) {
				t.Errorf("snapshot: got %q, want %q", l.read, test.read)
			}
			table := strings.Fields(strings.TrimPrefix(test.read[0], "r public."))[0]
			l.exec("INSERT INTO t VALUES (2, 'no'), (7, 'yes'); UPDATE t SET a = 8 WHERE a = 2; UPDATE t SET a = 3 WHERE a = 7")
			l.wantChanges("c "+table+" 7 yes", "c "+table+" 8 no", "d "+table+" 7 NULL")
			// A start finds the filters as they are configured.
			l.stop(false)
			l.db = postgres.New(l.config)
			defer l.db.Close()
			if err := l.db.Publication(t.Context()); err != nil {
				t.Error(err)
			}
			wantNone(t, l.config, "row_filter")
		})
	}
}

// TestAPartitionThatComesLaterIsFilteredToo: where partitions have filters, they
// are listed one by one.
func TestAPartitionThatComesLaterIsFilteredToo(t *testing.T) {
	t.Parallel()
	needs15(t)
	l := newLive(t, "CREATE TABLE t (a int PRIMARY KEY, v text) PARTITION BY RANGE (a); CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (10)",
		own, func(c *postgres.Config) {
			c.Where = func(table string) string {
				if strings.HasPrefix(table, "public.t") && table != "public.t" {
					return "a > 5"
				}
				return ""
			}
		})
	l.exec("CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (-10) TO (0)")
	if got, err := l.db.Appeared(t.Context(), l.conn); err != nil || !slices.Equal(got, []string{"public.t2"}) {
		t.Errorf("appeared: got %q, %v", got, err)
	}
	if err := l.db.Publication(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.exec("INSERT INTO t VALUES (-1, 'no'), (1, 'no'), (6, 'yes')")
	l.wantChanges("c t1 6 yes")
}

// TestARowFilterNeverKeepsTheApplicationFromItsRows: a filter over columns that
// the replica identity lacks would; the publication stays as it was.
func TestARowFilterNeverKeepsTheApplicationFromItsRows(t *testing.T) {
	t.Parallel()
	needs15(t)
	tests := []struct {
		name, setup string
		refused     bool
	}{
		{"outside the key", "CREATE TABLE t (a int PRIMARY KEY, v text)", true},
		{"FULL", "CREATE TABLE t (a int PRIMARY KEY, v text); ALTER TABLE t REPLICA IDENTITY FULL", false},
		{"an index that includes the column", "CREATE TABLE t (a int, v text, PRIMARY KEY (a) INCLUDE (v))", true},
		{"USING INDEX", "CREATE TABLE t (a int PRIMARY KEY, v text NOT NULL UNIQUE); ALTER TABLE t REPLICA IDENTITY USING INDEX t_v_key", false},
		{"beside USING INDEX", "CREATE TABLE t (a int NOT NULL UNIQUE, v text PRIMARY KEY); ALTER TABLE t REPLICA IDENTITY USING INDEX t_a_key", true},
		{"no identity", "CREATE TABLE t (a int, v text)", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := prepareLive(t, pgtest.NewDatabase(t), test.setup, where(map[string]string{"public.t": "v = 'x'"}))
			l.db = postgres.New(l.config)
			defer l.db.Close()
			err := l.db.Publication(t.Context())
			if !test.refused {
				if err != nil {
					t.Fatal(err)
				}
				wantNone(t, l.config, "row_filter")
				l.exec("INSERT INTO t VALUES (1, 'x'); UPDATE t SET a = 2; DELETE FROM t")
				return
			}
			wantStop(t, err, "public", "v", "REPLICA IDENTITY FULL")
			wantFinding(t, l.config, "error row_filter", "replica identity", "REPLICA IDENTITY FULL")
			var n int
			if err := l.conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_publication").Scan(&n); err != nil || n != 0 {
				t.Errorf("%d publications, %v; want none", n, err)
			}
			l.exec("INSERT INTO t VALUES (1, 'x'); UPDATE t SET a = 2; DELETE FROM t")
			// Nor is a table with such a filter added to a publication that is there.
			l.exec("CREATE TABLE u (a int PRIMARY KEY); CREATE PUBLICATION own FOR TABLE u")
			wantStop(t, l.db.Publication(t.Context()), "REPLICA IDENTITY FULL")
			l.exec("INSERT INTO t VALUES (1, 'x'); UPDATE t SET a = 2; DELETE FROM t")
		})
	}
}

// TestADifferenceOfRowFiltersIsSaidAndNotMended: changed, removed or new in the
// configuration.
func TestADifferenceOfRowFiltersIsSaidAndNotMended(t *testing.T) {
	t.Parallel()
	needs15(t)
	const create = "CREATE TABLE t (a int PRIMARY KEY, v text); ALTER TABLE t REPLICA IDENTITY FULL; "
	tests := []struct {
		name, setup, filter string
		says                []string // nothing: they are the same
	}{
		{"the same, written otherwise", create + "CREATE PUBLICATION own FOR TABLE t WHERE (a > 5 AND v = 'x')", "((a>5)) and v   = 'x'::text", nil},
		{"the same letters, another value", create + "CREATE PUBLICATION own FOR TABLE t WHERE (v = 'a b')", "v = 'a  b'", []string{"WHERE (v = 'a b'::text)", "where: v = 'a  b'"}},
		{"changed", create + "CREATE PUBLICATION own FOR TABLE t WHERE (a > 5)", "a > 6",
			[]string{"WHERE (a > 5)", "where: a > 6", `ALTER PUBLICATION "own" DROP TABLE "public"."t"; ALTER PUBLICATION "own" ADD TABLE "public"."t" WHERE (a > 6)`}},
		{"removed", create + "CREATE PUBLICATION own FOR TABLE t WHERE (a > 5)", "", []string{"has no where", `ADD TABLE "public"."t"; COMMIT`}},
		{"new", create + "CREATE PUBLICATION own FOR TABLE t", "a > 5", []string{"all rows", `ADD TABLE "public"."t" WHERE (a > 5)`}},
		{"not understood", create + "CREATE PUBLICATION own FOR TABLE t WHERE (a > 5)", "b > 5", []string{`column "b" does not exist`}},
		{"all tables", create + "CREATE PUBLICATION own FOR ALL TABLES", "a > 5", []string{"all rows", "one by one"}},
		{"a partitioned table by its partitions", "CREATE TABLE t (a int PRIMARY KEY) PARTITION BY RANGE (a)", "a > 5", []string{"partitioned table", "via_root"}},
		{"not understood, and no publication yet", create, "b > 5", []string{`column "b" does not exist`}},
		{"a function of the user's", create + "CREATE FUNCTION f(int) RETURNS bool LANGUAGE sql AS 'SELECT true'", "f(a)", []string{"User-defined"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := prepareLive(t, pgtest.NewDatabase(t), test.setup, where(map[string]string{"public.t": test.filter}))
			l.db = postgres.New(l.config)
			defer l.db.Close()
			before := l.publications()
			err := l.db.Publication(t.Context())
			if test.says == nil {
				if err != nil {
					t.Error(err)
				}
				wantNone(t, l.config, "row_filter")
				return
			}
			wantStop(t, err, test.says...)
			if after := l.publications(); after != before {
				t.Errorf("the publication changed from %s to %s", before, after)
			}
			if test.name != "a function of the user's" { // the planner takes it
				wantFinding(t, l.config, "error row_filter", test.says...)
			}
		})
	}
}

func (l *live) publications() string {
	l.Helper()
	rows, _ := l.conn.Query(l.Context(), "SELECT t::text FROM pg_publication_tables t ORDER BY 1")
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		l.Fatal(err)
	}
	return strings.Join(list, ", ")
}

// TestForeignFiltersApplyAndAreNotJudged: one that somebody else's publication
// has, and of which the configuration says nothing.
func TestForeignFiltersApplyAndAreNotJudged(t *testing.T) {
	t.Parallel()
	needs15(t)
	l := newLive(t, "CREATE TABLE t (a int PRIMARY KEY); INSERT INTO t VALUES (1), (6); CREATE PUBLICATION dbz_publication FOR TABLE t WHERE (a > 5)",
		func(c *postgres.Config) { c.Publication, c.Adopt = "dbz_publication", true })
	if want := []string{"r public.t 6"}; !slices.Equal(l.read, want) {
		t.Errorf("got %q, want %q", l.read, want)
	}
	wantNone(t, l.config, "row_filter")
}

// TestPostgreSQL14HasNoRowFilters names the version.
func TestPostgreSQL14HasNoRowFilters(t *testing.T) {
	t.Parallel()
	if pgtest.Shared(t).Major() != 14 {
		t.Skip("needs PostgreSQL 14: TAILRACE_POSTGRES_VERSION=14")
	}
	l := prepareLive(t, pgtest.NewDatabase(t), "CREATE TABLE t (a int PRIMARY KEY)", where(map[string]string{"public.t": "a > 5"}))
	l.db = postgres.New(l.config)
	defer l.db.Close()
	wantStop(t, l.db.Publication(t.Context()), "PostgreSQL 14", "15")
	wantFinding(t, l.config, "error row_filter", "PostgreSQL 14")
}

// TestAFilterThatStandsInTheWayAlreadyIsAWarning: a relay that stays away does not
// mend it.
func TestAFilterThatStandsInTheWayAlreadyIsAWarning(t *testing.T) {
	t.Parallel()
	needs15(t)
	l := prepareLive(t, pgtest.NewDatabase(t), "CREATE TABLE t (a int PRIMARY KEY, v text); CREATE PUBLICATION own FOR TABLE t WHERE (v = 'x')", where(map[string]string{"public.t": "v = 'x'"}))
	l.db = postgres.New(l.config)
	defer l.db.Close()
	if err := l.db.Publication(t.Context()); err != nil {
		t.Error(err)
	}
	wantFinding(t, l.config, "warning row_filter", "replica identity", "REPLICA IDENTITY FULL")
}
