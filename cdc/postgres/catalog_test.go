package postgres_test

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/cdc/pgoutput"
	"github.com/tailrace/tailrace/cdc/postgres"
	"github.com/tailrace/tailrace/internal/embedded/pgtest"
)

// catalogDB is a database with a publication of all tables and a slot, so that
// the server's own RELATION messages can be asked for.
type catalogDB struct {
	*testing.T
	conn    *pgx.Conn
	catalog *postgres.Catalog
	slot    string
}

func newCatalogDB(t *testing.T, publication string) *catalogDB {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), pgtest.NewDatabase(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	d := &catalogDB{T: t, conn: conn, catalog: postgres.NewCatalog(conn), slot: conn.Config().Database + "_catalog"}
	d.catalog.Publication = "pub"
	d.exec(publication)
	d.exec("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", d.slot)
	return d
}

const allTables = "CREATE PUBLICATION pub FOR ALL TABLES"

func (d *catalogDB) exec(sql string, args ...any) {
	d.Helper()
	var err error
	if len(args) == 0 {
		_, err = d.conn.PgConn().Exec(d.Context(), sql).ReadAll()
	} else {
		_, err = d.conn.Exec(d.Context(), sql, args...)
	}
	if err != nil {
		d.Fatalf("%s: %v", sql, err)
	}
}

func (d *catalogDB) oid(table string) uint32 {
	d.Helper()
	var oid uint32
	if err := d.conn.QueryRow(d.Context(), "SELECT $1::text::regclass::oid", table).Scan(&oid); err != nil {
		d.Fatal(err)
	}
	return oid
}

func (d *catalogDB) table(oid uint32) *cdc.Table {
	d.Helper()
	t, err := d.catalog.Table(d.Context(), oid)
	if err != nil {
		d.Fatal(err)
	}
	return t
}

// relations are the RELATION messages of what was written since the last call.
func (d *catalogDB) relations() []*pgoutput.Relation {
	d.Helper()
	rows, _ := d.conn.Query(d.Context(), `SELECT data FROM pg_logical_slot_get_binary_changes($1, NULL, NULL,
		'proto_version', '1', 'publication_names', 'pub')`, d.slot)
	messages, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		d.Fatal(err)
	}
	var decoder pgoutput.Decoder
	var out []*pgoutput.Relation
	for _, m := range messages {
		kind, err := decoder.Decode(m)
		if err != nil {
			d.Fatal(err)
		}
		if kind == pgoutput.RelationMsg {
			rel := decoder.Relation
			out = append(out, &rel)
		}
	}
	return out
}

func (d *catalogDB) resolve(rel *pgoutput.Relation) *cdc.Table {
	d.Helper()
	t, err := d.catalog.Resolve(d.Context(), rel)
	if err != nil {
		d.Fatal(err)
	}
	return t
}

func (d *catalogDB) needs(major int) {
	d.Helper()
	if v := pgtest.Shared(d.T).Major(); v < major {
		d.Skipf("PostgreSQL %d does not have this; %d and later do", v, major)
	}
}

// describe writes a table on one line: columns with type, modifier, ! for NOT
// NULL, = default and * for the replica identity; then the key.
func describe(t *cdc.Table) string {
	if t == nil {
		return "gone"
	}
	var b strings.Builder
	for _, c := range t.Columns {
		fmt.Fprintf(&b, "%s %s", c.Name, c.Type.Name)
		if c.Modifier != -1 {
			fmt.Fprintf(&b, "(%d)", c.Modifier)
		}
		if c.NotNull {
			b.WriteString("!")
		}
		if c.Default != "" {
			fmt.Fprintf(&b, "=%s", c.Default)
		}
		if c.Replicated {
			b.WriteString("*")
		}
		b.WriteString(", ")
	}
	fmt.Fprintf(&b, "key (%s)", strings.Join(keyNames(t), " "))
	if !t.Facts {
		b.WriteString(" without facts")
	}
	return b.String()
}

func keyNames(t *cdc.Table) []string {
	var names []string
	for _, k := range t.Key {
		names = append(names, t.Columns[k].Name)
	}
	return names
}

// TestTableAndResolveAgree holds that a snapshot and the stream read a table
// alike: for each table the server's RELATION message, resolved while the
// catalog has not moved on, gives the very facts of the catalog.
func TestTableAndResolveAgree(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		sql   string // creates t and inserts a row
		want  string
		since int
	}{
		{"primary key", `CREATE TABLE t (id serial PRIMARY KEY, v varchar(9) NOT NULL DEFAULT 'x', n numeric(10,2)); INSERT INTO t DEFAULT VALUES`,
			"id int4!=nextval('t_id_seq'::regclass)*, v varchar(13)!='x'::character varying, n numeric(655366), key (id)", 0},
		{"primary key in index order", `CREATE TABLE t (a int, b text, c int, PRIMARY KEY (c, a)); INSERT INTO t VALUES (1, 'b', 3)`,
			"a int4!*, b text, c int4!*, key (c a)", 0},
		{"primary key with included column", `CREATE TABLE t (a int, b int, PRIMARY KEY (a) INCLUDE (b)); INSERT INTO t VALUES (1, 2)`,
			"a int4!*, b int4, key (a)", 0},
		{"deferrable primary key", `CREATE TABLE t (a int PRIMARY KEY DEFERRABLE, b int); INSERT INTO t VALUES (1)`,
			"a int4!, b int4, key (a)", 0},
		{"no key", `CREATE TABLE t (a int, b int NOT NULL); INSERT INTO t VALUES (1, 2)`, "a int4, b int4!, key ()", 0},
		{"no columns", `CREATE TABLE t (); INSERT INTO t DEFAULT VALUES`, "key ()", 0},
		{"first unique index by name", `CREATE TABLE t (a int, b int); CREATE UNIQUE INDEX zz ON t (a); CREATE UNIQUE INDEX aa ON t (b); INSERT INTO t VALUES (1)`,
			"a int4, b int4, key (b)", 0},
		{"names by bytes", `CREATE TABLE t (a int, b int); CREATE UNIQUE INDEX aa ON t (a); CREATE UNIQUE INDEX "Z" ON t (b); INSERT INTO t VALUES (1)`,
			"a int4, b int4, key (b)", 0},
		{"partial unique index", `CREATE TABLE t (a int, b int); CREATE UNIQUE INDEX ON t (b, a) WHERE a > 0; INSERT INTO t VALUES (1)`,
			"a int4, b int4, key (b a)", 0},
		{"expression index is none", `CREATE TABLE t (a text, b int); CREATE UNIQUE INDEX aa ON t (lower(a)); CREATE UNIQUE INDEX bb ON t (b, lower(a)); INSERT INTO t VALUES ('x')`,
			"a text, b int4, key ()", 0},
		{"expression index is passed over", `CREATE TABLE t (a text, b int); CREATE UNIQUE INDEX aa ON t (lower(a)); CREATE UNIQUE INDEX bb ON t (b); INSERT INTO t VALUES ('x')`,
			"a text, b int4, key (b)", 0},
		{"plain index is none", `CREATE TABLE t (a int); CREATE INDEX ON t (a); INSERT INTO t VALUES (1)`, "a int4, key ()", 0},
		{"full", `CREATE TABLE t (a int, b int, c int, PRIMARY KEY (c, a)); ALTER TABLE t REPLICA IDENTITY FULL; INSERT INTO t VALUES (1, 2, 3)`,
			"a int4!*, b int4*, c int4!*, key (c a)", 0},
		{"full with unique index", `CREATE TABLE t (a int, b int UNIQUE); ALTER TABLE t REPLICA IDENTITY FULL; INSERT INTO t VALUES (1, 2)`,
			"a int4*, b int4*, key (b)", 0},
		{"full without key", `CREATE TABLE t (a int); ALTER TABLE t REPLICA IDENTITY FULL; INSERT INTO t VALUES (1)`, "a int4*, key ()", 0},
		{"nothing", `CREATE TABLE t (a int PRIMARY KEY); ALTER TABLE t REPLICA IDENTITY NOTHING; INSERT INTO t VALUES (1)`, "a int4!, key (a)", 0},
		{"index beside a primary key", `CREATE TABLE t (id int PRIMARY KEY, a int NOT NULL UNIQUE); ALTER TABLE t REPLICA IDENTITY USING INDEX t_a_key; INSERT INTO t VALUES (1, 2)`,
			"id int4!, a int4!*, key (id)", 0},
		{"index without primary key", `CREATE TABLE t (a int NOT NULL UNIQUE, b int NOT NULL, c int NOT NULL); CREATE UNIQUE INDEX z ON t (c, b); ALTER TABLE t REPLICA IDENTITY USING INDEX z; INSERT INTO t VALUES (1, 2, 3)`,
			"a int4!, b int4!*, c int4!*, key (c b)", 0},
		{"index that is gone", `CREATE TABLE t (a int NOT NULL UNIQUE, b int UNIQUE); ALTER TABLE t REPLICA IDENTITY USING INDEX t_a_key; ALTER TABLE t DROP CONSTRAINT t_a_key; INSERT INTO t VALUES (1, 2)`,
			"a int4!, b int4, key (b)", 0},
		{"dropped and added columns", `CREATE TABLE t (a int, b int, c int); ALTER TABLE t DROP COLUMN a; ALTER TABLE t ADD PRIMARY KEY (c); ALTER TABLE t ADD d int DEFAULT 7; INSERT INTO t VALUES (1, 2)`,
			"b int4, c int4!*, d int4=7, key (c)", 0},
		{"identity and generated columns", `CREATE TABLE t (a int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, b int, c int GENERATED ALWAYS AS (b * 2) STORED); INSERT INTO t (b) VALUES (1)`,
			"a int4!*, b int4, key (a)", 0},
		{"key of a generated column", `CREATE TABLE t (b int, c int GENERATED ALWAYS AS (b * 2) STORED UNIQUE); INSERT INTO t (b) VALUES (1)`,
			"b int4, key ()", 0},
		{"odd names", `CREATE SCHEMA "My ""Schema"; SET search_path = "My ""Schema"; CREATE TABLE "t" ("a b" int, "Ünï.c""ode" text DEFAULT 'it''s', "select" int, PRIMARY KEY ("select", "a b")); INSERT INTO "t" VALUES (1, 'x', 2)`,
			`a b int4!*, Ünï.c"ode text='it''s'::text, select int4!*, key (select a b)`, 0},
		{"NOT NULL that old rows need not keep", `CREATE TABLE t (a int, b int NOT NULL); ALTER TABLE t ADD CONSTRAINT n NOT NULL a NOT VALID; INSERT INTO t VALUES (1, 2)`,
			"a int4, b int4!, key ()", 18},
		{"primary key without overlaps", `CREATE TABLE t (id int4range, during daterange, PRIMARY KEY (id, during WITHOUT OVERLAPS)); INSERT INTO t VALUES ('[1,2)', '[2020-01-01,2020-02-01)')`,
			"id int4range!*, during daterange!*, key (id during)", 18},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := newCatalogDB(t, allTables)
			d.needs(test.since)
			d.exec(test.sql)
			table := d.table(d.oid("t"))
			if got := describe(table); got != test.want {
				t.Errorf("catalog:\n got %s\nwant %s", got, test.want)
			}
			relations := d.relations()
			if len(relations) != 1 {
				t.Fatalf("got %d RELATION messages, want 1", len(relations))
			}
			if resolved := d.resolve(relations[0]); !reflect.DeepEqual(resolved, table) && len(resolved.Columns) > 0 {
				t.Errorf("RELATION:\n got %s %s %c\nwant %s %s %c", resolved, describe(resolved), resolved.Identity, table, describe(table), table.Identity)
			}
		})
	}
}

// TestResolveWhenTheCatalogIsAhead changes the table after the row was written
// and before its RELATION message is read.
func TestResolveWhenTheCatalogIsAhead(t *testing.T) {
	t.Parallel()
	const create = `CREATE TABLE t (a int DEFAULT 1, b text NOT NULL DEFAULT 'x', c int NOT NULL, PRIMARY KEY (c, a)); `
	const now = "a int4!=1*, b text!='x'::text, c int4!*, key (c a)"
	const then = "a int4!*, b text, c int4!*, key (c a) without facts"
	tests := []struct {
		name          string
		before, after string
		want          string
	}{
		{"unchanged", create, ``, now},
		{"column added", create, `ALTER TABLE t ADD d int`, then},
		{"column dropped", create, `ALTER TABLE t DROP b`, then},
		{"column renamed", create, `ALTER TABLE t RENAME b TO x`, then},
		{"columns swapped", create, `ALTER TABLE t DROP b; ALTER TABLE t ADD b text NOT NULL DEFAULT 'x'`, then},
		{"type changed", create, `ALTER TABLE t ALTER b TYPE varchar`, then},
		{"modifier changed", `CREATE TABLE t (a int PRIMARY KEY, b varchar(3)); `, `ALTER TABLE t ALTER b TYPE varchar(4)`,
			"a int4!*, b varchar(7), key (a) without facts"},
		{"table renamed", create, `ALTER TABLE t RENAME TO u`, now},
		{"table dropped", create, `DROP TABLE t`, "a int4!*, b text, c int4!*, key (a c) without facts"},
		{"key column renamed", create, `ALTER TABLE t RENAME a TO x`, "a int4!*, b text, c int4!*, key (a c) without facts"},
		{"primary key dropped", create, `ALTER TABLE t DROP CONSTRAINT t_pkey, ALTER a DROP NOT NULL`,
			"a int4!=1*, b text!='x'::text, c int4!*, key (a c)"},
		{"primary key moved", create, `ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (b)`,
			"a int4!=1*, b text!='x'::text, c int4!*, key (a c)"},
		{"primary key added", `CREATE TABLE t (a int NOT NULL, b int); `, `ALTER TABLE t ADD PRIMARY KEY (a)`, "a int4!, b int4, key ()"},
		{"unique index and a column added", `CREATE TABLE t (a int, b int); `, `ALTER TABLE t ADD c int; CREATE UNIQUE INDEX ON t (c)`, "a int4, b int4, key () without facts"},
		{"full, column added", `CREATE TABLE t (a int, b int, PRIMARY KEY (b, a)); ALTER TABLE t REPLICA IDENTITY FULL; `, `ALTER TABLE t ADD c int`,
			"a int4!*, b int4!*, key (b a) without facts"},
		{"full, unique index", `CREATE TABLE t (a int NOT NULL UNIQUE); ALTER TABLE t REPLICA IDENTITY FULL; `, `ALTER TABLE t ADD c int`,
			"a int4*, key (a) without facts"},
		{"full, key column renamed", `CREATE TABLE t (a int PRIMARY KEY); ALTER TABLE t REPLICA IDENTITY FULL; `, `ALTER TABLE t RENAME a TO x`,
			"a int4*, key () without facts"},
		{"full, dropped", `CREATE TABLE t (a int PRIMARY KEY); ALTER TABLE t REPLICA IDENTITY FULL; `, `DROP TABLE t`,
			"a int4*, key () without facts"},
		{"full, no longer", `CREATE TABLE t (a int, b int PRIMARY KEY); ALTER TABLE t REPLICA IDENTITY FULL; `, `ALTER TABLE t REPLICA IDENTITY DEFAULT`,
			"a int4*, b int4!*, key (b)"},
		{"index, dropped", `CREATE TABLE t (a int NOT NULL UNIQUE, b int); ALTER TABLE t REPLICA IDENTITY USING INDEX t_a_key; `, `DROP TABLE t`,
			"a int4!*, b int4, key (a) without facts"},
		{"index, column added", `CREATE TABLE t (a int NOT NULL UNIQUE, id int PRIMARY KEY); ALTER TABLE t REPLICA IDENTITY USING INDEX t_a_key; `, `ALTER TABLE t ADD b int`,
			"a int4*, id int4!, key (id) without facts"},
		{"type dropped", `CREATE TYPE e AS ENUM ('x'); CREATE TABLE t (a int PRIMARY KEY, b e); `, `DROP TYPE e CASCADE`,
			"a int4!*, b unknown, key (a) without facts"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := newCatalogDB(t, allTables)
			d.exec(test.before)
			oid := d.oid("t")
			rel := d.written("t")
			if test.after != "" {
				d.exec(test.after)
			}
			d.catalog.ForgetTypes()
			got := d.resolve(rel)
			if describe(got) != test.want {
				t.Errorf("\n got %s\nwant %s", describe(got), test.want)
			}
			if got.OID != oid || got.Schema != "public" || got.Name != "t" || got.Identity != rel.Identity {
				t.Errorf("got %d %s %c, want what RELATION says", got.OID, got, got.Identity)
			}
		})
	}
}

// written inserts a row of zeros and takes its RELATION message.
func (d *catalogDB) written(table string) *pgoutput.Relation {
	d.Helper()
	t := d.table(d.oid(table))
	values := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		values[i] = "NULL"
		if c.NotNull {
			values[i] = "'0'"
		}
	}
	d.exec("INSERT INTO " + table + " VALUES (" + strings.Join(values, ", ") + ")")
	relations := d.relations()
	if len(relations) != 1 {
		d.Fatalf("got %d RELATION messages, want 1", len(relations))
	}
	return relations[0]
}

func TestTableIsNilWhenThereIsNone(t *testing.T) {
	t.Parallel()
	d := newCatalogDB(t, allTables)
	d.exec("CREATE TABLE t (a int); CREATE VIEW v AS SELECT 1; CREATE INDEX i ON t (a)")
	for _, name := range []string{"v", "i"} {
		if got := d.table(d.oid(name)); got != nil {
			t.Errorf("%s: got %s, want none", name, describe(got))
		}
	}
	oid := d.oid("t")
	d.exec("DROP TABLE t")
	if got := d.table(oid); got != nil {
		t.Errorf("dropped table: got %s, want none", describe(got))
	}
}

// TestCatalogReadsItsSnapshot reads a table, inside a transaction, as it was
// when the transaction began.
func TestCatalogReadsItsSnapshot(t *testing.T) {
	t.Parallel()
	d := newCatalogDB(t, allTables)
	d.exec("CREATE TABLE t (a int PRIMARY KEY)")
	other, err := pgx.Connect(t.Context(), d.conn.Config().ConnString())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(context.Background())
	d.exec("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
	if _, err := other.Exec(t.Context(), "ALTER TABLE t ADD b int"); err != nil {
		t.Fatal(err)
	}
	if got, want := describe(d.table(d.oid("t"))), "a int4!*, key (a)"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	d.exec("COMMIT")
	if got, want := describe(d.table(d.oid("t"))), "a int4!*, b int4, key (a)"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
