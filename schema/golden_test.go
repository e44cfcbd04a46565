package schema

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
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

// goldenCase is one file of testdata/golden: a table, the schemas that Debezium
// 3.7.0.Final registered for it, and rows as it wrote them.
type goldenCase struct {
	topic  string
	table  *cdc.Table
	key    string
	fields []string
	rows   [][]cdc.Value
	avro   [][]byte
}

func TestGoldenSchemasAndRows(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/golden/*.txt")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d golden files, %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := readGolden(t, file)
			s := Settings{Compat: true}
			if name == "name_adjustment_avro_unicode" {
				s.Names = "avro_unicode"
			}
			p := mustPlan(t, s, g.table, g.topic)
			if got := p.KeySchema(); got != g.key {
				t.Errorf("key schema\n got %s\nwant %s", got, g.key)
			}
			checkFields(t, p.ValueSchema(), g.fields)
			for i, row := range g.rows {
				got, err := p.AppendValue(nil, &cdc.Envelope{Op: cdc.OpRead, After: row, Tx: &cdc.Transaction{XID: 1}, LSN: 1})
				if err != nil {
					t.Fatalf("row %d: %v", i, err)
				}
				want := append([]byte{0, 2}, g.avro[i]...) // before null, after
				if !bytes.HasPrefix(got[cdc.KeyHeaderBytes:], want) {
					t.Errorf("row %d\n got %x\nwant %x …", i, got[cdc.KeyHeaderBytes:], want)
				}
			}
		})
	}
}

// checkFields compares the fields of the row record, one text for each.
func checkFields(t *testing.T, schema string, want []string) {
	t.Helper()
	const begin, end = `"name":"Value","fields":[`, `],"connect.name":`
	_, got, ok := strings.Cut(schema, begin)
	if !ok {
		t.Fatalf("no row record in %s", schema)
	}
	all := strings.Join(want, ",")
	if !strings.HasPrefix(got, all+end) {
		for _, f := range want {
			if !strings.HasPrefix(got, f) {
				t.Fatalf("field\n got %.200s\nwant %s", got, f)
			}
			got = strings.TrimPrefix(got[len(f):], ",")
		}
		t.Errorf("after the last field: %.200s", got)
	}
}

func readGolden(t *testing.T, file string) goldenCase {
	t.Helper()
	g := goldenCase{table: &cdc.Table{Facts: true, Identity: cdc.IdentityDefault}}
	for line := range strings.Lines(readFile(t, file)) {
		word, rest, _ := strings.Cut(strings.TrimRight(line, "\n"), " ")
		switch word {
		case "topic":
			g.topic = rest
		case "column":
			g.table.Columns = append(g.table.Columns, parseColumn(t, rest))
		case "keys":
			for _, k := range strings.Fields(rest) {
				i, err := strconv.Atoi(k)
				if err != nil {
					t.Fatal(err)
				}
				g.table.Key = append(g.table.Key, i)
			}
		case "key":
			g.key = rest
		case "field":
			g.fields = append(g.fields, rest)
		case "row":
			g.rows = append(g.rows, parseRow(t, rest))
		case "avro":
			b, err := hex.DecodeString(rest)
			if err != nil {
				t.Fatal(err)
			}
			g.avro = append(g.avro, b)
		}
	}
	return g
}

func parseRow(t *testing.T, text string) []cdc.Value {
	t.Helper()
	var values []*string
	if err := json.Unmarshal([]byte(text), &values); err != nil {
		t.Fatal(err)
	}
	row := make([]cdc.Value, len(values))
	for i, v := range values {
		if v != nil {
			row[i] = cdc.Value{Data: []byte(*v), State: cdc.Text}
		}
	}
	return row
}

// parseColumn reads "name" modifier type [notnull] [default "expression"].
func parseColumn(t *testing.T, text string) cdc.Column {
	t.Helper()
	var c cdc.Column
	d := json.NewDecoder(strings.NewReader(text))
	if err := d.Decode(&c.Name); err != nil {
		t.Fatal(err)
	}
	text, def, hasDefault := strings.Cut(text[d.InputOffset():], " default ")
	if hasDefault {
		if err := json.Unmarshal([]byte(def), &c.Default); err != nil {
			t.Fatal(err)
		}
	}
	words := strings.Fields(text)
	modifier, err := strconv.ParseInt(words[0], 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	c.Modifier = int32(modifier)
	c.NotNull = len(words) > 2
	c.Type = parseType(t, strings.ReplaceAll(words[1], "·", " "))
	return c
}

// parseType reads int4, int4[], ~citext (of an extension), mood{sad,ok}, and
// domains as email<varchar:24>, with ! after the name for NOT NULL.
func parseType(t *testing.T, s string) *cdc.Type {
	t.Helper()
	if elem, ok := strings.CutSuffix(s, "[]"); ok {
		return arrayOf(parseType(t, elem))
	}
	if name, ok := strings.CutPrefix(s, "~"); ok {
		return &cdc.Type{Schema: "public", Name: name, Kind: cdc.KindBase}
	}
	if i := strings.IndexByte(s, '<'); i >= 0 {
		colon := strings.LastIndexByte(s, ':')
		modifier, err := strconv.ParseInt(s[colon+1:len(s)-1], 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		name, notNull := strings.CutSuffix(s[:i], "!")
		return &cdc.Type{Schema: "public", Name: name, Kind: cdc.KindDomain, Base: parseType(t, s[i+1:colon]), BaseModifier: int32(modifier), NotNull: notNull}
	}
	if i := strings.IndexByte(s, '{'); i >= 0 {
		return enum(s[:i], strings.Split(s[i+1:len(s)-1], ",")...)
	}
	return base(s)
}
