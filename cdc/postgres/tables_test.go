package postgres_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/tailrace/tailrace/cdc/postgres"
)

func listed(tables []postgres.Published) string {
	var out []string
	for _, p := range tables {
		s := p.Schema + "." + p.Name
		if p.Columns != nil {
			s += fmt.Sprintf("%q", p.Columns)
		}
		if p.RowFilter != "" {
			s += " where " + p.RowFilter
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}

const shop = `CREATE SCHEMA shop; CREATE SCHEMA tailrace; CREATE SCHEMA "A.b";
	CREATE TABLE shop.orders (id int PRIMARY KEY, total int, secret text);
	CREATE TABLE shop.items (id int PRIMARY KEY);
	CREATE TABLE tailrace.heartbeat (id int);
	CREATE TABLE "A.b"."Odd ""name" (id int);
	CREATE UNLOGGED TABLE shop.fast (id int);
	CREATE TEMPORARY TABLE passing (id int);
	CREATE VIEW shop.v AS SELECT 1;
	CREATE MATERIALIZED VIEW shop.m AS SELECT 1;
	CREATE TABLE shop.events (id int, day date) PARTITION BY RANGE (day);
	CREATE TABLE shop.events_1 PARTITION OF shop.events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
	CREATE TABLE shop.events_2 PARTITION OF shop.events FOR VALUES FROM ('2026-02-01') TO ('2026-03-01') PARTITION BY LIST (id);
	CREATE TABLE tailrace.events_2_a PARTITION OF shop.events_2 DEFAULT;
	CREATE TABLE shop.empty (id int) PARTITION BY LIST (id)`

func TestMatchListsTablesThatCanBePublished(t *testing.T) {
	t.Parallel()
	d := newCatalogDB(t, "CREATE PUBLICATION pub")
	d.exec(shop)
	tests := []struct{ include, exclude, want string }{
		{"", "", `A.b.Odd "name, shop.events_1, shop.items, shop.orders, tailrace.events_2_a, tailrace.heartbeat`},
		{"*.*", "tailrace.* shop.events*", `A.b.Odd "name, shop.items, shop.orders`},
		{"shop.*", "", `shop.events_1, shop.items, shop.orders, tailrace.events_2_a`},
		{"shop.events", "", `shop.events_1, tailrace.events_2_a`},
		{"shop.events", "shop.events_2", `shop.events_1`},
		{"shop.events_2 tailrace.h*t", "", `tailrace.events_2_a, tailrace.heartbeat`},
		{"*.orders *.*items", "", `shop.items, shop.orders`},
		{"*.ITEMS pg_catalog.* information_schema.* shop.nothing", "", ``},
		{`A.b.Odd*"name`, "", `A.b.Odd "name`},
	}
	for _, test := range tests {
		got, err := d.catalog.Match(t.Context(), strings.Fields(test.include), strings.Fields(test.exclude))
		if err != nil {
			t.Fatal(err)
		}
		if listed(got) != test.want {
			t.Errorf("include %q, exclude %q:\n got %s\nwant %s", test.include, test.exclude, listed(got), test.want)
		}
		// What matches can be published, and is then what Tables lists.
		d.exec("DROP PUBLICATION pub; CREATE PUBLICATION pub")
		for _, p := range got {
			d.add(p)
		}
		published, err := d.catalog.Tables(t.Context(), "pub")
		if err != nil {
			t.Fatal(err)
		}
		for i := range published {
			published[i].Listed = false
		}
		if !reflect.DeepEqual(published, got) && len(got) > 0 {
			t.Errorf("include %q, exclude %q:\npublished %+v\n  matched %+v", test.include, test.exclude, published, got)
		}
	}
	if _, err := d.catalog.Match(t.Context(), []string{"orders"}, nil); err == nil || !strings.Contains(err.Error(), `"orders": want schema.table`) {
		t.Errorf("a pattern without a dot: got error %v", err)
	}
}

func TestMissingNamesPartitionedTablesWhole(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, publication, include, exclude string
		want                                string
		since                               int
	}{
		{"everything", "", "shop.*", "", `shop.empty, shop.events, shop.items, shop.orders`, 0},
		{"a part is excluded", "", "shop.*", "shop.events_2", `shop.empty, shop.events_1, shop.items, shop.orders`, 0},
		{"a partition is excluded", "", "shop.events", "tailrace.*", `shop.events_1`, 0},
		{"a part is included", "", "shop.events_*", "", `shop.events_1, shop.events_2`, 0},
		{"some are there", "CREATE PUBLICATION pub FOR TABLE shop.orders, shop.events", "shop.*", "", `shop.empty, shop.items`, 0},
		{"partitions are there", "CREATE PUBLICATION pub FOR TABLE shop.events_1, tailrace.events_2_a", "shop.events", "", `shop.events`, 0},
		{"the root is there", "CREATE PUBLICATION pub FOR TABLE shop.events", "shop.events_1 shop.events_2", "", ``, 0},
		{"all tables", "CREATE PUBLICATION pub FOR ALL TABLES", "", "", ``, 0},
		{"a schema", "CREATE PUBLICATION pub FOR TABLES IN SCHEMA shop", "", "", `A.b.Odd "name, tailrace.heartbeat`, 15},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := newCatalogDB(t, shop)
			d.needs(test.since)
			if test.publication != "" {
				d.exec(test.publication)
			}
			missing := func() []postgres.Published {
				got, err := d.catalog.Missing(t.Context(), "pub", strings.Fields(test.include), strings.Fields(test.exclude))
				if err != nil {
					t.Fatal(err)
				}
				return got
			}
			got := missing()
			if listed(got) != test.want {
				t.Errorf("\n got %s\nwant %s", listed(got), test.want)
			}
			if test.publication == "" {
				d.exec("CREATE PUBLICATION pub")
			}
			for _, p := range got {
				d.add(p)
			}
			if again := missing(); len(again) != 0 {
				t.Errorf("still missing after they were added: %s", listed(again))
			}
			// The publication now covers what matches.
			want, err := d.catalog.Match(t.Context(), strings.Fields(test.include), strings.Fields(test.exclude))
			if err != nil {
				t.Fatal(err)
			}
			have, err := d.catalog.Tables(t.Context(), "pub")
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range want {
				if !slices.ContainsFunc(have, func(q postgres.Published) bool { return q.OID == p.OID }) {
					t.Errorf("%s.%s is not published", p.Schema, p.Name)
				}
			}
		})
	}
}

func TestTablesOfPublication(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, publication, want string
		since                   int
	}{
		{"tables", "FOR TABLE shop.orders, shop.items", `shop.items, shop.orders`, 0},
		{"partitions", "FOR TABLE shop.events, shop.empty", `shop.events_1, tailrace.events_2_a`, 0},
		{"via the root", "FOR TABLE shop.events, shop.items WITH (publish_via_partition_root)", `shop.events, shop.items`, 0},
		{"lists and filters", "FOR TABLE shop.orders (id, total) WHERE (total > 5), shop.items",
			`shop.items, shop.orders["id" "total"] where (total > 5)`, 15},
		{"nothing", "", ``, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := newCatalogDB(t, shop)
			d.needs(test.since)
			d.exec("CREATE PUBLICATION pub " + test.publication)
			got, err := d.catalog.Tables(t.Context(), "pub")
			if err != nil {
				t.Fatal(err)
			}
			if listed(got) != test.want {
				t.Errorf("\n got %s\nwant %s", listed(got), test.want)
			}
		})
	}
}

// TestPublicationDecidesTheColumns holds that Table and Resolve agree on what a
// publication's options leave of a table.
func TestPublicationDecidesTheColumns(t *testing.T) {
	t.Parallel()
	const create = `CREATE TABLE t (id int, v int, secret text, g int GENERATED ALWAYS AS (v + 1) STORED, PRIMARY KEY (v, id)); `
	tests := []struct {
		name, publication, want string
		since                   int
	}{
		{"no list", "FOR TABLE t", "id int4!*, v int4!*, secret text, key (v id)", 0},
		{"list", "FOR TABLE t (id, v)", "id int4!*, v int4!*, key (v id)", 15},
		{"list with a part of the key", "FOR TABLE t (id, secret) WITH (publish = 'insert')", "id int4!*, secret text, key ()", 15},
		{"list without the key", "FOR TABLE t (secret) WITH (publish = 'insert')", "secret text, key ()", 15},
		{"generated columns", "FOR TABLE t WITH (publish_generated_columns = stored)", "id int4!*, v int4!*, secret text, g int4, key (v id)", 18},
		{"list with a generated column", "FOR TABLE t (id, v, g)", "id int4!*, v int4!*, g int4, key (v id)", 18},
		{"virtual columns", "FOR TABLE t, w WITH (publish_generated_columns = stored)", "id int4!*, v int4!*, secret text, g int4, key (v id)", 18},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := newCatalogDB(t, create)
			d.needs(test.since)
			if test.since == 18 {
				d.exec("CREATE TABLE w (id int PRIMARY KEY, s int GENERATED ALWAYS AS (1) STORED, g int GENERATED ALWAYS AS (id * 2) VIRTUAL)")
			}
			d.exec("CREATE PUBLICATION pub " + test.publication)
			table := d.table(d.oid("t"))
			if got := describe(table); got != test.want {
				t.Errorf("\n got %s\nwant %s", got, test.want)
			}
			if strings.HasPrefix(test.publication, "FOR TABLE t, w") {
				if got, want := describe(d.table(d.oid("w"))), "id int4!*, s int4, key (id)"; got != want {
					t.Errorf("w: got %s, want %s", got, want)
				}
			}
			d.exec("INSERT INTO t VALUES (1, 2, 'x')")
			relations := d.relations()
			if len(relations) != 1 {
				t.Fatalf("got %d RELATION messages, want 1", len(relations))
			}
			if got := d.resolve(relations[0]); !reflect.DeepEqual(got, table) {
				t.Errorf("RELATION:\n got %s\nwant %s", describe(got), describe(table))
			}
		})
	}
}

// TestPartitionsAreTablesOfTheirOwn holds for a publication with and without
// publish_via_partition_root: RELATION names the partition or the root.
func TestPartitionsAreTablesOfTheirOwn(t *testing.T) {
	t.Parallel()
	for option, want := range map[string]string{"false": "events_1", "true": "events"} {
		d := newCatalogDB(t, `CREATE TABLE events (id int, day date NOT NULL, gone int, PRIMARY KEY (day, id)) PARTITION BY RANGE (day);
			ALTER TABLE events DROP gone;
			CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
			CREATE PUBLICATION pub FOR TABLE events WITH (publish_via_partition_root = `+option+`)`)
		d.exec("INSERT INTO events VALUES (1, '2026-01-05')")
		for _, rel := range d.relations() {
			if rel.Name != want && option == "false" {
				t.Errorf("via root %s: got a RELATION for %s", option, rel.Name)
			}
			table := d.table(rel.OID)
			if got := d.resolve(rel); describe(got) != "id int4!*, day date!*, key (day id)" || !reflect.DeepEqual(got, table) {
				t.Errorf("via root %s: %s\n got %s\nwant %s", option, got, describe(got), describe(table))
			}
		}
	}
}

func (d *catalogDB) add(p postgres.Published) {
	d.Helper()
	var name string
	if err := d.conn.QueryRow(d.Context(), "SELECT $1::oid::regclass::text", p.OID).Scan(&name); err != nil {
		d.Fatal(err)
	}
	d.exec("ALTER PUBLICATION pub ADD TABLE " + name)
}
