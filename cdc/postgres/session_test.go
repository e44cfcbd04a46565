package postgres_test

import (
	"context"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/cdc"
)

// widen notes a version in which a column of the table is nullable, as the loop
// does when a row has NULL in it.
func (l *live) widen(table, column string) {
	l.Helper()
	for oid, t := range l.tables {
		if t == nil || t.Name != table {
			continue
		}
		wide := *t
		wide.Columns = slices.Clone(t.Columns)
		for i := range wide.Columns {
			if wide.Columns[i].Name == column {
				wide.Columns[i].NotNull = false
			}
		}
		l.tables[oid] = &wide
		l.note(&wide, l.at)
		return
	}
	l.Fatalf("no row of %s was read", table)
}

func (l *live) refresh(table string) string {
	l.Helper()
	for oid, t := range l.tables {
		if t != nil && t.Name == table {
			fresh, err := l.stream.Refresh(l.Context(), oid)
			if err != nil {
				l.Fatal(err)
			}
			return describe(fresh)
		}
	}
	l.Fatalf("no row of %s was read", table)
	return ""
}

// TestRowsThatAreReadAgainKeepTheirVersions reads a stretch of the stream twice,
// as after a crash, while the catalog has moved on between: the second time every
// row has the version of the first.
func TestRowsThatAreReadAgainKeepTheirVersions(t *testing.T) {
	t.Parallel()
	l := newLive(t, "CREATE TABLE t (a int PRIMARY KEY, b text NOT NULL DEFAULT 'x')")
	rows := []string{
		"c t 1 one | a int4!*, b text!='x'::text, key (a)",
		"c t 2 two | a int4!*, b text!='y'::text, key (a)",
		"c t 3 three | a int4!*, b text='y'::text, key (a)",
		"c t 4 four 4 | a int4!*, b text='y'::text, c int4!=4, key (a)",
	}
	for i, sql := range []string{
		"INSERT INTO t VALUES (1, 'one')",
		"ALTER TABLE t ALTER b SET DEFAULT 'y'; INSERT INTO t VALUES (2, 'two')",
		"ALTER TABLE t ALTER b DROP NOT NULL; INSERT INTO t VALUES (3, 'three')",
		"ALTER TABLE t ADD c int NOT NULL DEFAULT 4; INSERT INTO t VALUES (4, 'four')",
	} {
		l.exec(sql)
		l.want(rows[i])
	}
	l.stop(true)
	l.exec("ALTER TABLE t ALTER b SET DEFAULT 'z'; ALTER TABLE t DROP c; ALTER TABLE t RENAME b TO bb")
	l.start()
	l.want(rows...)
}

// TestChangesOfFactsBesideRunningTransactions has a transaction write its row
// after a change of facts that was given a later id: the row cannot be told from
// one that was written before. The next transaction has the new facts, although
// the server does not announce them again.
func TestChangesOfFactsBesideRunningTransactions(t *testing.T) {
	t.Parallel()
	l := newLive(t, "CREATE TABLE t (a int PRIMARY KEY, b text DEFAULT 'x'); CREATE TABLE u (a int)")
	l.stop(false)
	other, err := pgx.Connect(t.Context(), l.config.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(context.Background())
	l.exec("BEGIN; INSERT INTO u VALUES (1)") // has its id now
	if _, err := other.Exec(t.Context(), "ALTER TABLE t ALTER b SET DEFAULT 'y'"); err != nil {
		t.Fatal(err)
	}
	l.exec("INSERT INTO t VALUES (1, 'one'); COMMIT; INSERT INTO t VALUES (2, 'two'); INSERT INTO t VALUES (3, 'three')")
	l.start()
	l.want("c u 1 | a int4, key ()",
		"c t 1 one | a int4!*, b text='x'::text, key (a)",
		"c t 2 two | a int4!*, b text='y'::text, key (a)",
		"c t 3 three | a int4!*, b text='y'::text, key (a)")
}

// TestAKeyThatIsGoneWithoutATrace drops a primary key under FULL while no relay is
// there: nothing tells when. Rows from before the start keep it, the others have
// none, whether the server describes the table again or not.
func TestAKeyThatIsGoneWithoutATrace(t *testing.T) {
	t.Parallel()
	const create = "CREATE TABLE t (a int PRIMARY KEY); ALTER TABLE t REPLICA IDENTITY FULL"
	t.Run("described again", func(t *testing.T) {
		t.Parallel()
		l := newLive(t, create)
		l.stop(false)
		l.exec("INSERT INTO t VALUES (1); INSERT INTO t VALUES (2); ALTER TABLE t DROP CONSTRAINT t_pkey")
		l.start()
		l.want("c t 1 | a int4!*, key (a)", "c t 2 | a int4!*, key (a)")
		l.exec("INSERT INTO t VALUES (3)")
		l.want("c t 3 | a int4!*, key ()")
	})
	t.Run("not described again", func(t *testing.T) {
		t.Parallel()
		l := newLive(t, create)
		l.stop(false)
		l.exec("ALTER TABLE t DROP CONSTRAINT t_pkey; INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)")
		l.start()
		l.want("c t 1 | a int4!*, key (a)", "c t 2 | a int4!*, key (a)")
		l.exec("INSERT INTO t VALUES (3); INSERT INTO t VALUES (4)")
		l.want("c t 3 | a int4!*, key ()", "c t 4 | a int4!*, key ()")
	})
}

// TestWhatRowsHaveShownOutlivesRestartsAndRelations: a column that the catalog
// calls NOT NULL and that rows have needed a null in stays nullable, until it is
// altered.
func TestWhatRowsHaveShownOutlivesRestartsAndRelations(t *testing.T) {
	t.Parallel()
	const narrow, wide = "a int4!*, b text!, key (a)", "a int4!*, b text, key (a)"
	l := newLive(t, "CREATE TABLE t (a int PRIMARY KEY, b text NOT NULL)")
	l.exec("INSERT INTO t VALUES (1, 'one')")
	l.want("c t 1 one | " + narrow)
	l.widen("t", "b")
	for range 2 {
		l.exec("ANALYZE t; INSERT INTO t VALUES (2, 'two')")
		l.want("c t 2 two | " + wide)
		l.exec("DELETE FROM t WHERE a = 2")
		l.want("d t 2 NULL | " + wide)
	}
	if got := l.refresh("t"); got != wide {
		t.Errorf("refreshed: got %s, want %s", got, wide)
	}
	l.stop(false)
	l.start()
	l.exec("INSERT INTO t VALUES (3, 'three')")
	l.want("c t 3 three | " + wide)
	if got := l.refresh("t"); got != wide {
		t.Errorf("refreshed in the second session: got %s, want %s", got, wide)
	}
	l.exec("ALTER TABLE t ALTER b SET NOT NULL; ALTER TABLE t ALTER b DROP NOT NULL; INSERT INTO t VALUES (4, 'four')")
	l.want("c t 4 four | " + wide)
	l.exec("ALTER TABLE t ALTER b SET NOT NULL; INSERT INTO t VALUES (5, 'five')")
	l.want("c t 5 five | " + narrow)
}

// TestRefreshReadsLabelsAndKeepsTheFacts: no RELATION message tells of a label.
func TestRefreshReadsLabelsAndKeepsTheFacts(t *testing.T) {
	t.Parallel()
	l := newLive(t, "CREATE TYPE mood AS ENUM ('sad'); CREATE TABLE t (a int PRIMARY KEY, m mood DEFAULT 'sad', b text NOT NULL)")
	labels := func(t *cdc.Table) []string { return t.Columns[1].Type.Labels }
	var oid uint32
	if err := l.conn.QueryRow(t.Context(), "SELECT 't'::regclass::oid").Scan(&oid); err != nil {
		t.Fatal(err)
	}
	l.exec("INSERT INTO t VALUES (1, 'sad', 'b')")
	l.rows(1)
	l.exec("ALTER TYPE mood ADD VALUE 'happy'; ANALYZE t; INSERT INTO t VALUES (2, 'happy', 'b')")
	l.rows(1)
	if got := labels(l.tables[oid]); !slices.Equal(got, []string{"sad"}) {
		t.Errorf("before the refresh: labels %q", got)
	}
	l.exec("ALTER TABLE t RENAME b TO bb") // the catalog is ahead of what was read
	fresh, err := l.stream.Refresh(t.Context(), oid)
	if err != nil {
		t.Fatal(err)
	}
	const want = "a int4!*, m mood='sad'::mood, b text!, key (a)"
	if got := labels(fresh); !slices.Equal(got, []string{"sad", "happy"}) || describe(fresh) != want {
		t.Errorf("got labels %q of %s, want sad and happy of %s", got, describe(fresh), want)
	}
	// A label that rows have shown and the catalog no longer has (RENAME VALUE)
	// stays in the versions that follow.
	l.note(fresh, l.at)
	l.exec("ALTER TYPE mood RENAME VALUE 'sad' TO 'gloomy'; ANALYZE t; INSERT INTO t VALUES (3, 'happy', 'b')")
	l.rows(1)
	if got := labels(l.tables[oid]); !slices.Equal(got, []string{"sad", "happy"}) {
		t.Errorf("after the rename: labels %q", got)
	}
}

// TestALabelThatWasAddedWhileNoRelayWasThere comes with the first row that needs
// it, and stays for the next session.
func TestALabelThatWasAddedWhileNoRelayWasThere(t *testing.T) {
	t.Parallel()
	l := newLive(t, "CREATE TYPE mood AS ENUM ('sad'); CREATE TABLE t (a int PRIMARY KEY, m mood)")
	var oid uint32
	if err := l.conn.QueryRow(t.Context(), "SELECT 't'::regclass::oid").Scan(&oid); err != nil {
		t.Fatal(err)
	}
	check := func(when string, table *cdc.Table, want ...string) {
		t.Helper()
		if got := table.Columns[1].Type.Labels; !slices.Equal(got, want) {
			t.Errorf("%s: got labels %q, want %q", when, got, want)
		}
	}
	l.stop(false)
	l.exec("INSERT INTO t VALUES (1, 'sad'); ALTER TYPE mood ADD VALUE 'happy'; INSERT INTO t VALUES (2, 'happy')")
	l.start()
	l.rows(1)
	check("the row before", l.tables[oid], "sad")
	l.rows(1)
	fresh, err := l.stream.Refresh(t.Context(), oid)
	if err != nil {
		t.Fatal(err)
	}
	check("the row that needs it", fresh, "sad", "happy")
	l.tables[oid] = fresh
	l.note(fresh, l.at)
	l.stop(false)
	l.exec("INSERT INTO t VALUES (3, 'sad'); ALTER TYPE mood RENAME VALUE 'happy' TO 'glad'")
	l.start()
	l.rows(1)
	check("the next session", l.tables[oid], "sad", "happy")
}

// TestTheSnapshotsVersionIsThatOfTheFirstRows: the stream begins where the
// snapshot was taken, and a change of the table waits behind the rows between.
func TestTheSnapshotsVersionIsThatOfTheFirstRows(t *testing.T) {
	t.Parallel()
	l := newLive(t, "CREATE TABLE t (a int PRIMARY KEY, b text NOT NULL DEFAULT 'x'); CREATE TABLE u (a int PRIMARY KEY, b text)")
	l.exec("INSERT INTO t VALUES (1, 'one'); ALTER TABLE t RENAME b TO c; INSERT INTO t VALUES (2, 'two')")
	l.exec("ALTER TABLE u ALTER b SET NOT NULL; INSERT INTO u VALUES (1, 'one')")
	l.want("c t 1 one | a int4!*, b text!='x'::text, key (a)",
		"c t 2 two | a int4!*, c text!='x'::text, key (a)",
		"c u 1 one | a int4!*, b text!, key (a)") // its nullable column is not what rows have shown
}
