package postgres_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/tailrace/tailrace/cdc/postgres"
)

func named(name string) func(*postgres.Config) {
	return func(c *postgres.Config) { c.Publication = name }
}

// TestTablesThatTheStreamBringsWhole: made after the slot, and covered ever since.
// All others have rows that only a snapshot brings.
func TestTablesThatTheStreamBringsWhole(t *testing.T) {
	t.Parallel()
	const schema = "CREATE SCHEMA s; CREATE TABLE s.old (id int); CREATE PUBLICATION pub FOR TABLES IN SCHEMA s"
	tests := []struct {
		name, setup, publication, then string
		whole                          string // of what is published then
		since                          int
	}{
		{"all tables", "CREATE TABLE old (id int)", "live", "CREATE TABLE n (id int); INSERT INTO n VALUES (1); ALTER TABLE old ADD x int", "public.n", 0},
		{"all tables, another schema", "CREATE TABLE old (id int)", "live", "CREATE SCHEMA s; CREATE TABLE s.n AS SELECT 1 AS id; ALTER TABLE s.n SET SCHEMA public", "public.n", 0},
		{"made anew under its name", "CREATE TABLE old (id int)", "live", "DROP TABLE old; CREATE TABLE old (id int)", "public.old", 0},
		{"unlogged at first", "CREATE TABLE old (id int)", "live", "CREATE UNLOGGED TABLE n (id int); INSERT INTO n VALUES (1); ALTER TABLE n SET LOGGED", "", 0},
		{"altered", "CREATE TABLE old (id int)", "live", "CREATE TABLE n (id int PRIMARY KEY); ALTER TABLE n ADD x int DEFAULT 7; CREATE INDEX ON n (x); GRANT SELECT ON n TO PUBLIC; ANALYZE n", "public.n", 0},
		{"without inserts", "CREATE TABLE old (id int); CREATE PUBLICATION pub FOR ALL TABLES WITH (publish = 'update')", "pub", "CREATE TABLE n (id int)", "", 0},
		{"a schema", schema, "pub", "CREATE TABLE s.n (id int)", "s.n", 15},
		{"moved into the schema", schema, "pub", "CREATE TABLE n (id int); INSERT INTO n VALUES (1); ALTER TABLE n SET SCHEMA s", "", 15},
		{"a schema that was added later", schema, "pub", "CREATE SCHEMA s2; ALTER PUBLICATION pub ADD TABLES IN SCHEMA s2; CREATE TABLE s2.n (id int)", "", 15},
		{"added by name", "CREATE TABLE old (id int); CREATE PUBLICATION pub FOR TABLE old", "pub", "CREATE TABLE n (id int); ALTER PUBLICATION pub ADD TABLE n", "", 0},
		{"a partition of a partition", partitioned + "; CREATE PUBLICATION pub FOR TABLE p", "pub",
			"CREATE TABLE q PARTITION OF p FOR VALUES FROM ('2022-01-01') TO ('2023-01-01') PARTITION BY LIST (id); CREATE TABLE q1 PARTITION OF q DEFAULT", "public.q1", 0},
		{"a partition of an attached one", partitioned + "; CREATE PUBLICATION pub FOR TABLE p", "pub",
			"CREATE TABLE q (LIKE p INCLUDING ALL) PARTITION BY LIST (id); CREATE TABLE q1 PARTITION OF q DEFAULT; ALTER TABLE p ATTACH PARTITION q FOR VALUES FROM ('2022-01-01') TO ('2023-01-01')", "", 0},
		{"a root with an attached partition", "CREATE TABLE old (id int); CREATE PUBLICATION pub FOR ALL TABLES WITH (publish_via_partition_root)", "pub",
			"CREATE TABLE r (id int) PARTITION BY LIST (id); CREATE TABLE r1 (id int); ALTER TABLE r ATTACH PARTITION r1 DEFAULT", "", 0},
		{"a root", "CREATE TABLE old (id int); CREATE PUBLICATION pub FOR ALL TABLES WITH (publish_via_partition_root)", "pub",
			"CREATE TABLE r (id int) PARTITION BY LIST (id); CREATE TABLE r1 PARTITION OF r DEFAULT", "public.r", 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			(&catalogDB{T: t}).needs(test.since)
			l := newLive(t, test.setup, named(test.publication))
			for since, want := range map[uint64]string{0: "", l.since: ""} {
				if got, err := l.db.Whole(t.Context(), since); err != nil || len(got) != 0 {
					t.Errorf("at the slot's start, since %d: got %v, %v; want %q", since, got, err, want)
				}
			}
			l.exec(test.then)
			got, err := l.db.Whole(t.Context(), l.since)
			if names := strings.Join(slices.Sorted(maps.Keys(got)), " "); err != nil || names != test.whole {
				t.Errorf("got %q, %v; want %q", names, err, test.whole)
			}
			if got, err := l.db.Whole(t.Context(), 0); err != nil || len(got) != 0 {
				t.Errorf("without a moment: got %v, %v; want none", got, err)
			}
		})
	}
}

// TestTablesAppearThatAStartWouldTakeIn: not those whose rows the stream brings.
func TestTablesAppearThatAStartWouldTakeIn(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, setup, publication, then, want string }{
		{"all tables", "CREATE TABLE old (id int)", "live", "CREATE TABLE n (id int)", ""},
		{"our list", "CREATE TABLE old (id int)", "own", "CREATE TABLE n (id int)", "public.n"},
		{"added by hand", "CREATE TABLE old (id int)", "own", "CREATE TABLE n (id int); ALTER PUBLICATION own ADD TABLE n", "public.n"},
		{"unlogged at first", "CREATE TABLE old (id int)", "live", "CREATE UNLOGGED TABLE n (id int); ALTER TABLE n SET LOGGED", "public.n"},
		{"not selected", "CREATE TABLE old (id int)", "live", "CREATE UNLOGGED TABLE skipped (id int); ALTER TABLE skipped SET LOGGED", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := newLive(t, test.setup, named(test.publication), func(c *postgres.Config) { c.Exclude = []string{"*.skipped"} })
			l.exec(test.then)
			got, err := l.db.Appeared(t.Context(), l.conn)
			if names := strings.Join(got, " "); err != nil || names != test.want {
				t.Errorf("got %q, %v; want %q", names, err, test.want)
			}
		})
	}
}

// TestATableThatWasLookedAtMayBeWrittenAnew: its rows have come through the stream.
func TestATableThatWasLookedAtMayBeWrittenAnew(t *testing.T) {
	t.Parallel()
	l := newLive(t, "CREATE TABLE old (id int)")
	for _, sql := range []string{"CREATE TABLE n (id int); INSERT INTO n VALUES (1)", "ALTER TABLE n ALTER id TYPE bigint; TRUNCATE n"} {
		l.exec(sql)
		if got, err := l.db.Appeared(t.Context(), l.conn); err != nil || len(got) > 0 {
			t.Errorf("after %s: got %q, %v; want none", sql, got, err)
		}
	}
}
