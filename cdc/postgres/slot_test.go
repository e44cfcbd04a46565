package postgres_test

import (
	"context"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/cdc/postgres"
	"github.com/tailrace/tailrace/internal/embedded/pgtest"
)

// adopting is the configuration of a relay that takes over from Debezium.
func adopting(publication string) func(*postgres.Config) {
	return func(c *postgres.Config) { c.Publication, c.Adopt = publication, true }
}

// TestADebeziumSlotIsTakenOverAsItIs with its publication, of all tables or of a
// list, which is never altered.
func TestADebeziumSlotIsTakenOverAsItIs(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, publication, covered string }{
		{"all tables", "CREATE PUBLICATION dbz_publication FOR ALL TABLES WITH (publish_via_partition_root = false)", "t u"},
		{"filtered", "CREATE PUBLICATION dbz_publication FOR TABLE public.t", "t"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := prepareLive(t, pgtest.NewDatabase(t), "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY); "+test.publication, adopting("dbz_publication"))
			l.exec("SELECT pg_create_logical_replication_slot('" + l.config.Slot + "', 'pgoutput')")
			before := l.publications()
			l.exec("INSERT INTO t VALUES (1); INSERT INTO u VALUES (2)")
			l.db = postgres.New(l.config)
			slot, err := l.db.Slot(t.Context())
			if err != nil || slot == nil || slot.Active || slot.Confirmed == 0 {
				t.Fatalf("got %+v, %v; want an inactive slot with a confirmed LSN", slot, err)
			}
			if err := l.db.Publication(t.Context()); err != nil {
				t.Fatal(err)
			}
			l.start()
			want := []string{"c t 1", "c u 2"}
			if test.covered == "t" {
				want = want[:1]
			}
			l.wantChanges(want...)
			if after := l.publications(); after != before {
				t.Errorf("the publication changed from %s to %s", before, after)
			}
			if got, err := l.db.Appeared(t.Context(), l.conn); err != nil || len(got) != 0 {
				t.Errorf("appeared: %q, %v; want none, since nothing may be added", got, err)
			}
			wantNone(t, l.config, "slot")
		})
	}
}

// TestSlotsThatCannotBeStreamedAreRefusedWithTheReason.
func TestSlotsThatCannotBeStreamedAreRefusedWithTheReason(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, create, says string }{
		{"another plugin", "SELECT pg_create_logical_replication_slot('%', 'test_decoding')", `plugin "test_decoding"`},
		{"physical", "SELECT pg_create_physical_replication_slot('%')", "physical"},
		{"two_phase", "SELECT pg_create_logical_replication_slot('%', 'pgoutput', false, true)", "prepared transactions"},
		{"temporary", "SELECT pg_create_logical_replication_slot('%', 'pgoutput', true)", "temporary"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := prepareLive(t, pgtest.NewDatabase(t), "CREATE TABLE t (id int PRIMARY KEY)", adopting("live"))
			if test.name == "another plugin" && !l.has("test_decoding") {
				test.create, test.says = "SELECT pg_create_logical_replication_slot('%', 'pgoutput', true)", "temporary"
			}
			l.exec(replaceSlot(test.create, l.config.Slot))
			l.db = postgres.New(l.config)
			defer l.db.Close()
			_, err := l.db.Slot(t.Context())
			wantStop(t, err, l.config.Slot, test.says)
			if test.name == "physical" {
				l.exec(replaceSlot("SELECT pg_drop_replication_slot('%')", l.config.Slot)) // belongs to no database
			}
		})
	}
	t.Run("another database", func(t *testing.T) {
		t.Parallel()
		here, there := pgtest.NewDatabase(t), pgtest.NewDatabase(t)
		conn, err := pgx.Connect(t.Context(), there)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(context.Background())
		l := prepareLive(t, here, "CREATE TABLE t (id int PRIMARY KEY)", adopting("live"))
		if _, err := conn.Exec(t.Context(), "SELECT pg_create_logical_replication_slot($1, 'pgoutput')", l.config.Slot); err != nil {
			t.Fatal(err)
		}
		l.db = postgres.New(l.config)
		defer l.db.Close()
		_, err = l.db.Slot(t.Context())
		wantStop(t, err, conn.Config().Database)
	})
}

// TestAdoptionNeedsThePublication that Debezium made; none is made in its place.
func TestAdoptionNeedsThePublication(t *testing.T) {
	t.Parallel()
	l := prepareLive(t, pgtest.NewDatabase(t), "CREATE TABLE t (id int PRIMARY KEY)", adopting("dbz_publication"))
	l.db = postgres.New(l.config)
	defer l.db.Close()
	wantStop(t, l.db.Publication(t.Context()), "dbz_publication", "does not exist", "adopt")
	wantFinding(t, l.config, "error publication", "dbz_publication", "publication.name")
}

// has tells whether an output plugin is installed.
func (l *live) has(plugin string) bool {
	l.Helper()
	_, err := l.conn.Exec(l.Context(), "SELECT pg_create_logical_replication_slot($1, $2)", l.config.Slot+"_try", plugin)
	if err != nil {
		return false
	}
	l.exec(replaceSlot("SELECT pg_drop_replication_slot('%_try')", l.config.Slot))
	return true
}

func replaceSlot(sql, slot string) string {
	i := slices.Index([]byte(sql), '%')
	return sql[:i] + slot + sql[i+1:]
}
