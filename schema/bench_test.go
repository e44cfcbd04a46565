package schema

import (
	"strings"
	"testing"

	"github.com/tailrace/tailrace/cdc"
)

// ordersTable is bigint, bigint, int, text and timestamptz.
func ordersTable() (*cdc.Table, []cdc.Value) {
	table := &cdc.Table{Schema: "public", Name: "orders", Facts: true, Key: []int{0}, Columns: []cdc.Column{
		{Name: "id", Type: base("int8"), Modifier: -1, NotNull: true},
		{Name: "customer", Type: base("int8"), Modifier: -1, NotNull: true},
		{Name: "quantity", Type: base("int4"), Modifier: -1},
		{Name: "note", Type: base("text"), Modifier: -1},
		{Name: "placed", Type: base("timestamptz"), Modifier: -1, NotNull: true},
	}}
	row := []cdc.Value{text("123456789"), text("987654321"), text("42"), text(strings.Repeat("note ", 16)), text("2026-11-21 12:34:56.789012+00")}
	return table, row
}

func TestPlanAllocatesNothing(t *testing.T) {
	table, row := ordersTable()
	for _, c := range []struct {
		typ      string
		modifier int32
		text     string
	}{
		{"numeric", numericModifier(12, 2), "12345.67"}, {"numeric", numericModifier(38, 10), "1234567890123456789.0123456789"}, {"numeric", -1, "12.50"},
		{"bool", -1, "t"}, {"float8", -1, "3.14159"}, {"date", -1, "2026-11-21"}, {"timestamp", -1, "2026-11-21 12:34:56.789"}, {"time", -1, "12:34:56"},
		{"bytea", -1, `\x00ff`}, {"uuid", -1, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"}, {"int4[]", -1, "{1,2,NULL}"}, {"text[]", -1, `{a,"b \"c"}`},
		{"interval", -1, "1 day 02:03:04"}, {"timetz", -1, "12:34:56+02"}, {"money", -1, "$1,234.50"},
	} {
		table.Columns = append(table.Columns, cdc.Column{Name: c.typ, Type: base(c.typ), Modifier: c.modifier})
		row = append(row, text(c.text))
	}
	for i := range table.Columns {
		table.Columns[i].Name += strings.Repeat("_", i)
	}
	p := mustPlan(t, Settings{Name: "n", Database: "d", Version: "v"}, table, "n.public.orders")
	e := &cdc.Envelope{Op: cdc.OpUpdate, Before: row, After: row, Tx: &cdc.Transaction{XID: 7, CommitTime: 1, Origin: "o"}, LSN: 8, LastCommit: 5, Now: 9}
	dst := make([]byte, 0, 4096)
	var err error
	allocations := testing.AllocsPerRun(100, func() {
		if _, err = p.AppendKey(dst[:0], row); err == nil {
			_, err = p.AppendValue(dst[:0], e)
		}
	})
	if err != nil || allocations != 0 {
		t.Errorf("%v allocations a row, %v", allocations, err)
	}
}

func TestReaderAllocatesNothing(t *testing.T) {
	table, row := ordersTable()
	p := mustPlan(t, Settings{Name: "n", Database: "d", Version: "v"}, table, "n.public.orders")
	r, e := roundTrip(t, p, row)
	record, err := p.AppendValue(nil, &cdc.Envelope{Op: cdc.OpCreate, After: row})
	if err != nil {
		t.Fatal(err)
	}
	allocations := testing.AllocsPerRun(100, func() { err = r.Read(record[cdc.KeyHeaderBytes:], &e) })
	if err != nil || allocations != 0 {
		t.Errorf("%v allocations a record, %v", allocations, err)
	}
}

func BenchmarkPlan(b *testing.B) {
	table, row := ordersTable()
	p := mustPlan(b, Settings{Name: "shop", Database: "shop", Version: "1.0"}, table, "shop.public.orders")
	e := &cdc.Envelope{Op: cdc.OpCreate, After: row, Tx: &cdc.Transaction{XID: 7, CommitTime: 1795301158631608}, LSN: 2297744856, LastCommit: 2297744000, Now: 1795301158989428363}
	dst := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		key, err := p.AppendKey(dst[:0], row)
		if err != nil {
			b.Fatal(err)
		}
		value, err := p.AppendValue(key, e)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(len(value)))
	}
}

func BenchmarkReader(b *testing.B) {
	table, row := ordersTable()
	p := mustPlan(b, Settings{Name: "shop", Database: "shop", Version: "1.0"}, table, "shop.public.orders")
	record, err := p.AppendValue(nil, &cdc.Envelope{Op: cdc.OpCreate, After: row, Tx: &cdc.Transaction{XID: 7}, LSN: 1})
	if err != nil {
		b.Fatal(err)
	}
	r, err := NewReader(p.ValueSchema())
	if err != nil {
		b.Fatal(err)
	}
	var e Event
	b.ReportAllocs()
	for b.Loop() {
		if err := r.Read(record[cdc.KeyHeaderBytes:], &e); err != nil {
			b.Fatal(err)
		}
	}
}
