package schema

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tailrace/tailrace/cdc"
)

// counting is a registrar that numbers what it is given.
type counting struct{ subjects []string }

func (c *counting) Register(_ context.Context, subject, _ string) (int, error) {
	c.subjects = append(c.subjects, subject)
	return len(c.subjects), nil
}

func mustPlan(t testing.TB, s Settings, table *cdc.Table, topic string) *Plan {
	t.Helper()
	p, err := NewEncoder(s, new(counting)).Plan(context.Background(), table, topic)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func readFile(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// base makes a type of pg_catalog, or an array of one with [] at the end.
func base(name string) *cdc.Type {
	if elem, ok := strings.CutSuffix(name, "[]"); ok {
		return &cdc.Type{Schema: "pg_catalog", Name: "_" + elem, Kind: cdc.KindArray, Elem: base(elem)}
	}
	return &cdc.Type{Schema: "pg_catalog", Name: name, Kind: cdc.KindBase, BaseModifier: -1}
}

func enum(name string, labels ...string) *cdc.Type {
	return &cdc.Type{Schema: "public", Name: name, Kind: cdc.KindEnum, Labels: labels}
}

func arrayOf(elem *cdc.Type) *cdc.Type {
	return &cdc.Type{Schema: elem.Schema, Name: "_" + elem.Name, Kind: cdc.KindArray, Elem: elem}
}

func numericModifier(precision, scale int32) int32 { return precision<<16 | scale&0x7ff + 4 }

func customers() *cdc.Table {
	return &cdc.Table{
		Schema: "inventory", Name: "customers", Identity: cdc.IdentityDefault, Facts: true, Key: []int{0},
		Columns: []cdc.Column{
			{Name: "id", Type: base("int4"), Modifier: -1, NotNull: true, Default: "nextval('inventory.customers_id_seq'::regclass)", Replicated: true},
			{Name: "email", Type: base("varchar"), Modifier: 259, NotNull: true},
			{Name: "rank", Type: base("int2"), Modifier: -1},
			{Name: "balance", Type: base("numeric"), Modifier: numericModifier(10, 2), Default: "0"},
			{Name: "ratio", Type: base("numeric"), Modifier: -1},
			{Name: "tier", Type: enum("tier", "basic", "gold"), Modifier: -1, Default: "'basic'::inventory.tier"},
			{Name: "created", Type: base("timestamptz"), Modifier: -1, NotNull: true, Default: "now()"},
			{Name: "touched", Type: base("timestamp"), Modifier: -1},
			{Name: "tags", Type: base("text[]"), Modifier: -1},
		},
	}
}

func TestDescribeIsDebeziumsText(t *testing.T) {
	t.Parallel()
	key, value, err := Describe(Settings{Name: "shop"}, customers(), "shop.inventory.customers")
	if err != nil {
		t.Fatal(err)
	}
	if want := readFile(t, "testdata/customers-key.json"); key != want {
		t.Errorf("key schema\n got %s\nwant %s", key, want)
	}
	if want := readFile(t, "testdata/customers-value.json"); value != want {
		t.Errorf("value schema\n got %s\nwant %s", value, want)
	}
}

// goldenCase is one file of testdata/golden: a table, the settings that differ
// from Debezium's own, the schemas that Debezium 3.7.0.Final registered, and the
// records that it wrote.
//
// A record is a line with its letter; the rows before and after follow, one column
// in a line: its name, PostgreSQL's text in JSON (or null, unchanged, absent), and
// the bytes of the field in Avro. Where ours are others, because Debezium loses
// the value or its task ends, "not", Debezium's bytes (or "none") and the reason
// follow; "widened" and "refused" are not bytes, see outcomeOf.
type goldenCase struct {
	settings Settings
	topic    string
	table    *cdc.Table
	key      string
	fields   []string
	instead  map[string]string // our text of a field, where it is another
	records  []goldenRecord
}

type goldenRecord struct {
	op            cdc.Op
	before, after *goldenRow
	key           string // in Avro, of the row after, or of the one before
	header        string // the key as text, in the header of the other half of a key change
}

type goldenRow struct {
	values []cdc.Value
	lines  []goldenLine
}

type goldenLine struct {
	column, text         string
	ours, theirs, reason string
}

func TestGoldenSchemasAndRecords(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/golden/*.txt")
	if err != nil || len(files) < 120 {
		t.Fatalf("%d golden files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			g := readGolden(t, file)
			p := mustPlan(t, g.settings, g.table, g.topic)
			if got := p.KeySchema(); got != g.key {
				t.Errorf("key schema\n got %s\nwant %s", got, g.key)
			}
			checkFields(t, p.ValueSchema(), g)
			for i, r := range g.records {
				g.check(t, p, i, r)
			}
		})
	}
}

// check encodes a record, each field for itself and all of them together.
func (g *goldenCase) check(t *testing.T, p *Plan, i int, r goldenRecord) {
	t.Helper()
	e := &cdc.Envelope{Op: r.op, Tx: &cdc.Transaction{XID: 1}, LSN: 1}
	body := []byte{}
	whole := true
	for _, row := range []*goldenRow{r.before, r.after} {
		if row == nil {
			body = append(body, 0)
			continue
		}
		body = append(body, 2)
		if len(row.lines) != len(p.fields) {
			t.Fatalf("record %d: %d fields, want %d", i, len(p.fields), len(row.lines))
		}
		for k, line := range row.lines {
			got := outcomeOf(p, &p.fields[k], row.values[p.fields[k].column])
			if got != line.ours {
				t.Errorf("record %d, %s: column %q, %.80s\n got %.200s\nwant %.200s", i, r.op, line.column, line.text, got, line.ours)
			}
			if line.reason != "" && line.ours == line.theirs {
				t.Errorf("record %d, %s: column %q is as Debezium's, without reason", i, r.op, line.column)
			}
			avro, err := hex.DecodeString(line.ours)
			whole = whole && err == nil
			body = append(body, avro...)
		}
	}
	row := r.after
	if r.before != nil {
		e.Before = r.before.values
		row = cmp.Or(row, r.before)
	}
	if r.after != nil {
		e.After = r.after.values
	}
	g.checkKey(t, p, i, r, row.values)
	if !whole || t.Failed() {
		return
	}
	record, err := p.AppendValue(nil, e)
	if err != nil || !bytes.HasPrefix(record[cdc.KeyHeaderBytes:], body) {
		t.Errorf("record %d: got %.400x, %v\nwant %.400x", i, record, err, body)
	}
}

func (g *goldenCase) checkKey(t *testing.T, p *Plan, i int, r goldenRecord, row []cdc.Value) {
	t.Helper()
	if r.key != "" {
		key, err := p.AppendKey(nil, row)
		if got := hex.EncodeToString(key[min(len(key), cdc.KeyHeaderBytes):]); err != nil || got != r.key {
			t.Errorf("record %d: key\n got %.400s, %v\nwant %.400s", i, got, err, r.key)
		}
	}
	if r.header != "" {
		if got, err := p.AppendKeyJSON(nil, row); err != nil || string(got) != r.header {
			t.Errorf("record %d: header\n got %s, %v\nwant %s", i, got, err, r.header)
		}
	}
}

// outcomeOf is what becomes of a value: its Avro bytes as hexadecimal digits,
// "widened" where the row teaches another schema first, or "refused".
func outcomeOf(p *Plan, f *field, v cdc.Value) string {
	avro, err := p.appendField(nil, f, v)
	var fact *cdc.FactError
	switch {
	case errors.As(err, &fact):
		return "widened"
	case err != nil:
		return "refused"
	}
	return hex.EncodeToString(avro)
}

// checkFields compares the fields of the row record, one text for each.
func checkFields(t *testing.T, schema string, g goldenCase) {
	t.Helper()
	_, got, ok := strings.Cut(schema, `"name":"Value","fields":[`)
	if !ok {
		t.Fatalf("no row record in %s", schema)
	}
	for _, want := range g.fields {
		if ours, ok := g.instead[want]; ok {
			want = ours
		}
		if !strings.HasPrefix(got, want) {
			t.Fatalf("field\n got %.500s\nwant %s", got, want)
		}
		got = strings.TrimPrefix(got[len(want):], ",")
	}
	if !strings.HasPrefix(got, `],"connect.name":`) {
		t.Errorf("after the last field: %.300s", got)
	}
}
