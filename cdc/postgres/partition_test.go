package postgres_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/tailrace/tailrace/cdc/postgres"
)

const partitioned = `CREATE TABLE p (id int, d date, v text, PRIMARY KEY (id, d)) PARTITION BY RANGE (d); ` +
	`CREATE TABLE p1 PARTITION OF p FOR VALUES FROM ('2020-01-01') TO ('2021-01-01'); ` +
	`CREATE TABLE p2 PARTITION OF p FOR VALUES FROM ('2021-01-01') TO ('2022-01-01'); ` +
	`INSERT INTO p VALUES (1, '2020-05-01', 'a'), (2, '2021-05-01', 'b')`

// own is a publication that the relay makes.
func own(c *postgres.Config) { c.Publication = "own" }

func viaRoot(c *postgres.Config) { c.Publication, c.PublishViaRoot = "own", true }

// changes are the operations, tables and rows without what they were read with.
func (l *live) changes(n int) []string {
	l.Helper()
	out := l.rows(n)
	for i := range out {
		out[i], _, _ = strings.Cut(out[i], " | ")
	}
	return out
}

func (l *live) wantChanges(want ...string) {
	l.Helper()
	if got := l.changes(len(want)); !slices.Equal(got, want) {
		l.Errorf("\n got %q\nwant %q", got, want)
	}
}

// TestRowsOfPartitionsAreReadOnce: by the names that the stream gives them, the
// partitions' or the root's. A row that moves between partitions is deleted in one
// and created in the other.
func TestRowsOfPartitionsAreReadOnce(t *testing.T) {
	t.Parallel()
	const workload = `INSERT INTO p VALUES (3, '2020-06-01', 'c'); UPDATE p SET v = 'e' WHERE id = 3; UPDATE p SET d = '2021-07-01' WHERE id = 3; DELETE FROM p WHERE id = 3`
	tests := []struct {
		name, setup  string
		options      []func(*postgres.Config)
		read, stream []string
	}{
		{"by partition", partitioned, []func(*postgres.Config){own},
			[]string{"r public.p1 1 2020-05-01 a", "r public.p2 2 2021-05-01 b"},
			[]string{"c p1 3 2020-06-01 c", "u p1 3 2020-06-01 e", "d p1 3 2020-06-01 NULL", "c p2 3 2021-07-01 e", "d p2 3 2021-07-01 NULL"}},
		{"all tables", partitioned, nil,
			[]string{"r public.p1 1 2020-05-01 a", "r public.p2 2 2021-05-01 b"},
			[]string{"c p1 3 2020-06-01 c", "u p1 3 2020-06-01 e", "d p1 3 2020-06-01 NULL", "c p2 3 2021-07-01 e", "d p2 3 2021-07-01 NULL"}},
		{"by root", partitioned, []func(*postgres.Config){viaRoot},
			[]string{"r public.p 1 2020-05-01 a", "r public.p 2 2021-05-01 b"},
			[]string{"c p 3 2020-06-01 c", "u p 3 2020-06-01 e", "d p 3 2020-06-01 NULL", "c p 3 2021-07-01 e", "d p 3 2021-07-01 NULL"}},
		{"all tables by root", partitioned + "; CREATE PUBLICATION everything FOR ALL TABLES WITH (publish_via_partition_root)",
			[]func(*postgres.Config){func(c *postgres.Config) { c.Publication = "everything" }},
			[]string{"r public.p 1 2020-05-01 a", "r public.p 2 2021-05-01 b"},
			[]string{"c p 3 2020-06-01 c", "u p 3 2020-06-01 e", "d p 3 2020-06-01 NULL", "c p 3 2021-07-01 e", "d p 3 2021-07-01 NULL"}},
		{"root and partition listed, by root", partitioned + "; CREATE PUBLICATION two FOR TABLE p, p1 WITH (publish_via_partition_root)",
			[]func(*postgres.Config){func(c *postgres.Config) { c.Publication = "two" }},
			[]string{"r public.p 1 2020-05-01 a", "r public.p 2 2021-05-01 b"},
			[]string{"c p 3 2020-06-01 c", "u p 3 2020-06-01 e", "d p 3 2020-06-01 NULL", "c p 3 2021-07-01 e", "d p 3 2021-07-01 NULL"}},
		{"a table that others inherit from", "CREATE TABLE p (id int PRIMARY KEY, d date, v text); CREATE TABLE p1 (PRIMARY KEY (id)) INHERITS (p); INSERT INTO p VALUES (1, '2020-05-01', 'a'); INSERT INTO p1 VALUES (2, '2021-05-01', 'b')",
			[]func(*postgres.Config){own},
			[]string{"r public.p 1 2020-05-01 a", "r public.p1 2 2021-05-01 b"},
			[]string{"c p 3 2020-06-01 c", "u p 3 2020-06-01 e", "u p 3 2021-07-01 e", "d p 3 NULL NULL"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := newLive(t, test.setup, test.options...)
			slices.Sort(l.read)
			if !slices.Equal(l.read, test.read) {
				t.Errorf("snapshot:\n got %q\nwant %q", l.read, test.read)
			}
			l.exec(workload)
			l.wantChanges(test.stream...)
		})
	}
}

// TestAPublicationIsNotTurnedToItsRootsUnsaid: it would move rows to other topics.
func TestAPublicationIsNotTurnedToItsRootsUnsaid(t *testing.T) {
	t.Parallel()
	l := newLive(t, partitioned, own)
	l.stop(false)
	l.config.PublishViaRoot = true
	l.db = postgres.New(l.config)
	defer l.db.Close()
	wantStop(t, l.db.Publication(t.Context()), "publishes partitions by their own names", "ALTER PUBLICATION")
	wantFinding(t, l.config, "error publication", "publishes partitions by their own names")
}

// TestAPartitionThatIsDetachedIsSaid where its changes are no longer published.
func TestAPartitionThatIsDetachedIsSaid(t *testing.T) {
	t.Parallel()
	log := &logged{}
	l := newLive(t, partitioned, own, log.into, func(c *postgres.Config) { c.Include = []string{"public.p"} })
	l.stop(false)
	l.exec("ALTER TABLE p DETACH PARTITION p1")
	l.start()
	published, err := l.db.Published(t.Context())
	if err != nil || len(published) != 1 || published["public.p2"] == 0 {
		t.Errorf("got %v, %v; want p2 only", published, err)
	}
	if !strings.Contains(log.String(), "not any more") || !strings.Contains(log.String(), "public.p1") {
		t.Errorf("the log says: %s", log)
	}
}

// TestAPartitionThatIsAttachedAppears with the rows that it brings.
func TestAPartitionThatIsAttachedAppears(t *testing.T) {
	t.Parallel()
	l := newLive(t, partitioned, own)
	appeared := func() []string {
		t.Helper()
		names, err := l.db.Appeared(t.Context(), l.conn)
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	l.exec("CREATE TABLE p3 PARTITION OF p FOR VALUES FROM ('2022-01-01') TO ('2023-01-01'); INSERT INTO p VALUES (3, '2022-05-01', 'c')")
	if got := appeared(); len(got) != 0 {
		t.Errorf("a partition that was made as one: %q appeared, want none: the stream brings all of it", got)
	}
	l.exec("CREATE TABLE p4 (LIKE p INCLUDING ALL); INSERT INTO p4 VALUES (4, '2023-05-01', 'd'); ALTER TABLE p ATTACH PARTITION p4 FOR VALUES FROM ('2023-01-01') TO ('2024-01-01')")
	if got := appeared(); !slices.Equal(got, []string{"public.p4"}) {
		t.Errorf("got %q, want public.p4", got)
	}
	l.wantChanges("c p3 3 2022-05-01 c")
	l.stop(false)
	l.start()
	whole, err := l.db.Whole(t.Context(), l.since)
	if err != nil || len(whole) != 1 || whole["public.p3"] == 0 {
		t.Errorf("whole: got %v, %v; want p3 only", whole, err)
	}
	if _, err := l.db.Published(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := appeared(); len(got) != 0 {
		t.Errorf("after a start: %q appeared", got)
	}
}

// TestAttachedPartitionsOfARootAreAFinding: their rows from before are in no
// stream and, once the root was read, in no snapshot.
func TestAttachedPartitionsOfARootAreAFinding(t *testing.T) {
	t.Parallel()
	l := newLive(t, partitioned, viaRoot)
	l.exec("CREATE TABLE p4 (LIKE p INCLUDING ALL); ALTER TABLE p ATTACH PARTITION p4 FOR VALUES FROM ('2023-01-01') TO ('2024-01-01')")
	wantFinding(t, l.config, "info partitions", "p4")
}

func TestRootsAreWhatMatches(t *testing.T) {
	t.Parallel()
	d := newCatalogDB(t, shop)
	d.catalog.Roots = true
	for include, want := range map[string]string{
		"shop.*":      "shop.empty, shop.events, shop.items, shop.orders",
		"shop.events": "shop.events",
		"shop.e*_1":   "shop.events_1",
	} {
		got, err := d.catalog.Match(t.Context(), []string{include}, nil)
		if err != nil || listed(got) != want {
			t.Errorf("%s: got %s, %v; want %s", include, listed(got), err, want)
		}
	}
}
