package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/cdc/postgres"
	"github.com/tailrace/tailrace/internal/embedded/pgtest"
)

// TestNoSettingOfTheDatabaseChangesTheTextOfAValue: neither in the snapshot, which
// a session of ours reads, nor in the stream, whose text the walsender makes.
func TestNoSettingOfTheDatabaseChangesTheTextOfAValue(t *testing.T) {
	t.Parallel()
	const settings = `bytea_output = 'escape'; datestyle = 'German, DMY'; intervalstyle = 'iso_8601'; timezone = 'Asia/Kathmandu'; extra_float_digits = -5; client_encoding = 'LATIN1'`
	const row = `('\x0102ff'::bytea, '2026-11-22 10:11:12+00'::timestamptz, '2026-02-03'::date, '1 year -3 days 04:05:06'::interval, 0.1::float8 + 0.2::float8, tstzrange('2026-11-22 10:11:12+00', NULL), 'ü')`
	const want = `\x0102ff 2026-11-22 10:11:12+00 2026-02-03 1 year -3 days +04:05:06 0.30000000000000004 ["2026-11-22 10:11:12+00",) ü`
	l := prepareLive(t, pgtest.NewDatabase(t), "CREATE TABLE t (b bytea, z timestamptz, d date, i interval, f float8, r tstzrange, u text); INSERT INTO t VALUES "+row)
	for setting := range strings.SplitSeq(settings, "; ") {
		l.exec("ALTER DATABASE " + l.conn.Config().Database + " SET " + setting)
	}
	l.create()
	if len(l.read) != 1 || l.read[0] != "r public.t "+want {
		t.Errorf("snapshot:\n got %q\nwant %q", l.read, want)
	}
	l.exec("INSERT INTO t VALUES " + row)
	l.wantChanges("c t " + want)
	l.stop(false)
	l.exec("INSERT INTO t VALUES " + row)
	l.start()
	l.wantChanges("c t " + want)
}

// TestNoTimeoutOfTheDatabaseEndsASession of ours: a snapshot can take days.
func TestNoTimeoutOfTheDatabaseEndsASession(t *testing.T) {
	t.Parallel()
	url := pgtest.NewDatabase(t)
	l := prepareLive(t, url, "CREATE TABLE t (id int)")
	for _, name := range []string{"statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout", "transaction_timeout"} {
		if _, err := l.conn.Exec(t.Context(), fmt.Sprintf("ALTER DATABASE %s SET %s = '200ms'", l.conn.Config().Database, name)); err != nil && name != "transaction_timeout" { // 17 and later
			t.Fatal(err)
		}
	}
	conn, err := postgres.Connect(t.Context(), l.config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	rows, _ := conn.Query(t.Context(), "SELECT name || ' ' || setting FROM pg_settings WHERE name LIKE '%\\_timeout' AND setting <> '0' AND source NOT IN ('default', 'configuration file')")
	if left, err := pgx.CollectRows(rows, pgx.RowTo[string]); err != nil || len(left) != 0 {
		t.Errorf("still set: %q, %v", left, err)
	}
	l.create()
	if _, err := conn.Exec(t.Context(), "BEGIN; SELECT pg_sleep(0.5)"); err != nil {
		t.Error(err)
	}
}

// TestRowSecurityIsAnErrorAndNeverAPart: a snapshot that would leave rows out
// fails instead.
func TestRowSecurityIsAnErrorAndNeverAPart(t *testing.T) {
	t.Parallel()
	l := prepareLive(t, pgtest.NewDatabase(t), "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2); ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t USING (id = 1)")
	role := l.conn.Config().Database + "_reader"
	l.exec("CREATE ROLE " + role + " LOGIN REPLICATION PASSWORD 'x'; GRANT SELECT ON t TO " + role)
	t.Cleanup(func() { l.dropRole(role) })
	c := l.conn.Config()
	l.config.URL = fmt.Sprintf("postgres://%s:x@%s:%d/%s", role, c.Host, c.Port, c.Database)
	l.config.CreatePublication = false
	db := postgres.New(l.config)
	defer db.Close()
	rows, err := db.Rows(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	n := 0
	err = rows.Rows(t.Context(), 0, func([]cdc.Value) error { n++; return nil }, nil)
	if err == nil || n != 0 || !strings.Contains(err.Error(), "row-level security") {
		t.Errorf("got %d rows and error %v, want an error of row-level security", n, err)
	}
	wantFinding(t, l.config, "error row_security", "public")
}

func (l *live) dropRole(role string) {
	conn, err := pgx.Connect(context.Background(), l.conn.Config().ConnString())
	if err == nil {
		_, err = conn.PgConn().Exec(context.Background(), "DROP OWNED BY "+role+"; DROP ROLE "+role).ReadAll()
		err = errors.Join(err, conn.Close(context.Background()))
	}
	if err != nil {
		l.Errorf("clean up: %v", err)
	}
}
