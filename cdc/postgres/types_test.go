package postgres_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tailrace/tailrace/cdc"
)

// chain writes a type with the types below it.
func chain(t *cdc.Type) string {
	s := fmt.Sprintf("%s.%s:%c", t.Schema, t.Name, byte(t.Kind))
	if t.BaseModifier != -1 {
		s += fmt.Sprintf("(%d)", t.BaseModifier)
	}
	if t.NotNull {
		s += "!"
	}
	if t.Labels != nil {
		s += "{" + strings.Join(t.Labels, "|") + "}"
	}
	if t.Elem != nil {
		s += " of " + chain(t.Elem)
	}
	if t.Base != nil {
		s += " over " + chain(t.Base)
	}
	return s
}

func TestTypesCarryWhatIsBelowThem(t *testing.T) {
	t.Parallel()
	d := newCatalogDB(t, allTables)
	d.exec(`CREATE SCHEMA app;
		CREATE TYPE app.mood AS ENUM ('sad', 'o''k', '');
		ALTER TYPE app.mood ADD VALUE 'first' BEFORE 'sad';
		CREATE DOMAIN app.amount AS numeric(8,2);
		CREATE DOMAIN app.price AS app.amount NOT NULL CHECK (value > 0);
		CREATE DOMAIN app.moods AS app.mood[];
		CREATE TYPE app.pair AS (x int, y app.mood);
		CREATE TYPE app.span AS RANGE (subtype = float8);
		CREATE TYPE app."Odd ""type" AS ENUM ('a')`)
	const mood = "app.mood:e{first|sad|o'k|}"
	tests := map[string]string{
		"int4":         "pg_catalog.int4:b",
		"varchar":      "pg_catalog.varchar:b",
		"int4[]":       "pg_catalog._int4:a of pg_catalog.int4:b",
		"int4[][]":     "pg_catalog._int4:a of pg_catalog.int4:b",
		"app.mood":     mood,
		"app.mood[]":   "app._mood:a of " + mood,
		"app.amount":   "app.amount:d(524294) over pg_catalog.numeric:b",
		"app.price":    "app.price:d! over app.amount:d(524294) over pg_catalog.numeric:b",
		"app.price[]":  "app._price:a of app.price:d! over app.amount:d(524294) over pg_catalog.numeric:b",
		"app.moods":    "app.moods:d over app._mood:a of " + mood,
		"app.pair":     "app.pair:c",
		"app.pair[]":   "app._pair:a of app.pair:c",
		"app.span":     "app.span:r",
		"int4range":    "pg_catalog.int4range:r",
		"int4range[]":  "pg_catalog._int4range:a of pg_catalog.int4range:r",
		"unknown":      "pg_catalog.unknown:p",
		"int2vector":   "pg_catalog.int2vector:b",
		"oidvector":    "pg_catalog.oidvector:b",
		"int2vector[]": "pg_catalog._int2vector:a of pg_catalog.int2vector:b",
		"name":         "pg_catalog.name:b",
		"point":        "pg_catalog.point:b",
		"box":          "pg_catalog.box:b",
		"jsonb":        "pg_catalog.jsonb:b",

		`app."Odd ""type"[]`: `app._Odd "type:a of app.Odd "type:e{a}`,
		"int4multirange":     "pg_catalog.int4multirange:m",
	}
	for name, want := range tests {
		var oid uint32
		if err := d.conn.QueryRow(t.Context(), "SELECT $1::text::regtype::oid", name).Scan(&oid); err != nil {
			t.Fatal(err)
		}
		typ, err := d.catalog.Type(t.Context(), oid)
		if err != nil {
			t.Fatal(err)
		}
		if got := chain(typ); got != want || typ.OID != oid {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
	}
	gone, err := d.catalog.Type(t.Context(), 4_000_000_000)
	if err != nil || gone.OID != 4_000_000_000 || chain(gone) != "pg_catalog.unknown:p" {
		t.Errorf("a type that is gone: got %s, error %v", chain(gone), err)
	}
}

func TestLabelsAreReadAgainAfterForgetTypes(t *testing.T) {
	t.Parallel()
	d := newCatalogDB(t, allTables)
	d.exec("CREATE TYPE mood AS ENUM ('sad'); CREATE TABLE t (m mood, ms mood[])")
	oid := d.oid("t")
	before := d.table(oid)
	d.exec("ALTER TYPE mood ADD VALUE 'happy'")
	for _, step := range []struct {
		forget bool
		want   []string
	}{{false, []string{"sad"}}, {true, []string{"sad", "happy"}}} {
		if step.forget {
			d.catalog.ForgetTypes()
		}
		got := d.table(oid)
		if m, ms := got.Columns[0].Type.Labels, got.Columns[1].Type.Elem.Labels; !slices.Equal(m, step.want) || !slices.Equal(ms, step.want) {
			t.Errorf("forgotten %v: got %v and %v, want %v", step.forget, m, ms, step.want)
		}
	}
	if got := before.Columns[0].Type.Labels; !slices.Equal(got, []string{"sad"}) {
		t.Errorf("the older table changed: %v", got)
	}
}
