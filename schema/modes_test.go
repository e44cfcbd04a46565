package schema

import (
	"encoding/hex"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/tailrace/tailrace/cdc"
)

// TestModesBesideCompat: what the honest settings write where Debezium, whose
// records are in testdata/golden, writes something else.
func TestModesBesideCompat(t *testing.T) {
	t.Parallel()
	domainOfEnum := &cdc.Type{Schema: "public", Name: "dmood", Kind: cdc.KindDomain, Base: enum("mood", "sad"), BaseModifier: -1}
	for _, test := range []struct {
		name     string
		settings Settings
		typ      *cdc.Type
		modifier int32
		text     string
		want     string // after the union's branch; "" for a *cdc.ValueError
	}{
		{"NaN as text", Settings{Nonfinite: "string"}, base("numeric"), -1, "NaN", "06" + hexOf("NAN")},
		{"a number as text", Settings{Nonfinite: "string"}, base("numeric"), numericModifier(5, 2), "1.50", "08" + hexOf("1.50")},
		{"an infinite interval as text", Settings{Nonfinite: "string", Time: "structured"}, base("interval"), -1, "-infinity", "12" + hexOf("-infinity")},
		{"an infinite interval", Settings{Interval: "string"}, base("interval"), -1, "infinity", ""},
		{"an infinite interval in parts", Settings{Time: "structured"}, base("interval"), -1, "infinity", ""},
		{"an infinite interval under compat", Settings{Compat: true}, base("interval"), -1, "infinity", ""},
		{"NaN in a list", Settings{Nonfinite: "null"}, base("numeric[]"), numericModifier(5, 2), "{1.5,NaN}", "04" + "02040096" + "00" + "00"},
		{"too many hours", Settings{Time: "structured"}, base("interval"), -1, "2562047788:00:54.775807", ""},
		{"too large for a double", Settings{Decimal: "double"}, base("numeric"), -1, "1" + strings.Repeat("0", 309), ""},
		{"money rounds", Settings{MoneyDigits: 1}, base("money"), -1, "-$0.05", "02ff"},
		{"money rounds up a digit", Settings{MoneyDigits: 1}, base("money"), -1, "$9.95", "0264"},
		{"24:00 in nanoseconds", Settings{Time: "nanoseconds"}, base("time"), -1, "24:00:00", longHex(86_400_000_000_000)},
		{"nanoseconds end", Settings{Time: "nanoseconds"}, base("timestamp"), -1, "2262-04-11 23:47:16.854776", ""},
		{"the last nanosecond", Settings{Time: "nanoseconds"}, base("timestamp"), -1, "2262-04-11 23:47:16.854775", longHex(math.MaxInt64 - 807)},
		{"a domain of an enum in a list", Settings{}, arrayOf(domainOfEnum), -1, "{sad}", "02" + "06" + hexOf("sad") + "00"},
		{"text of an unknown type in base64", Settings{Unknown: "bytes", Binary: "base64"}, base("pg_lsn"), -1, "16/1", "10" + hexOf("MTYvMQ==")},
		{"an inner array in base64", Settings{Binary: "base64"}, base("bytea[]"), -1, `{{"\\x01"}}`, "02" + "02" + "12" + hexOf(`{"\\x01"}`) + "00"},
		{"a sparse vector that is too wide", Settings{}, &cdc.Type{Schema: "public", Name: "sparsevec", Kind: cdc.KindBase}, -1, "{1:1}/32768", ""},
	} {
		got, err := encodeColumn(t, test.settings, oneColumn(cdc.Column{Type: test.typ, Modifier: test.modifier}), text(test.text))
		var bad *cdc.ValueError
		switch {
		case test.want == "":
			if !errors.As(err, &bad) {
				t.Errorf("%s: got %s, %v; want a *cdc.ValueError", test.name, got, err)
			}
		case err != nil || got != "02"+test.want:
			t.Errorf("%s: got %s, %v; want 02%s", test.name, got, err, test.want)
		}
	}
}

func TestInfiniteIntervalsAsNull(t *testing.T) {
	t.Parallel()
	table := oneColumn(cdc.Column{Type: base("interval"), Modifier: -1})
	for _, compat := range []bool{false, true} {
		if got, err := encodeColumn(t, Settings{Nonfinite: "null", Compat: compat}, table, text("infinity")); err != nil || got != "00" {
			t.Errorf("compat %v: got %s, %v; want null", compat, got, err)
		}
	}
	table.Columns[1].NotNull = true
	var fact *cdc.FactError
	if _, err := encodeColumn(t, Settings{Nonfinite: "null"}, table, text("-infinity")); !errors.As(err, &fact) {
		t.Errorf("NOT NULL: got %v, want a *cdc.FactError", err)
	}
}

// TestStrictListsTakeNullAfterWidening: in lists whose elements Debezium declares
// without null, the first NULL asks for another schema.
func TestStrictListsTakeNullAfterWidening(t *testing.T) {
	t.Parallel()
	vector := &cdc.Type{Schema: "public", Name: "vector", Kind: cdc.KindBase}
	domainOfEnum := &cdc.Type{Schema: "public", Name: "dmood", Kind: cdc.KindDomain, Base: enum("mood", "sad"), BaseModifier: -1}
	for _, test := range []struct {
		name     string
		settings Settings
		typ      *cdc.Type
		text     string
		want     string
	}{
		{"tsvector", Settings{}, base("tsvector[]"), "{'a',NULL}", "0402" + "06" + hexOf("'a'") + "00" + "00"},
		{"vector", Settings{}, arrayOf(vector), "{[1],NULL}", "0402" + "06" + hexOf("[1]") + "00" + "00"},
		{"bytes of an unknown type", Settings{Compat: true, Unknown: "bytes"}, base("pg_lsn[]"), "{16/1,NULL}", "0402" + "08" + hexOf("16/1") + "00" + "00"},
		{"a domain of an enum", Settings{Compat: true}, arrayOf(domainOfEnum), "{sad,NULL}", "0402" + "06" + hexOf("sad") + "00" + "00"},
	} {
		table := oneColumn(cdc.Column{Type: test.typ, Modifier: -1})
		var fact *cdc.FactError
		if _, err := encodeColumn(t, test.settings, table, text(test.text)); !errors.As(err, &fact) || fact.Fact != cdc.FactNotNull {
			t.Errorf("%s: got %v, want a *cdc.FactError", test.name, err)
			continue
		}
		got, err := encodeColumn(t, test.settings, Widen(table, 1), text(test.text))
		if err != nil || got != "02"+test.want {
			t.Errorf("%s: got %s, %v; want 02%s", test.name, got, err, test.want)
		}
	}
}

func TestUnchangedToastBesideCompat(t *testing.T) {
	t.Parallel()
	unchanged := cdc.Value{State: cdc.Unchanged}
	for _, test := range []struct {
		typ      string
		settings Settings
		want     string
	}{
		{"bytea", Settings{Binary: "base64"}, "02" + placeholderHex},
		{"bytea", Settings{Binary: "base64", Compat: true}, "00"},
		{"bytea[]", Settings{Binary: "hex"}, "020202" + placeholderHex + "00"},
		{"bytea[]", Settings{Binary: "hex", Compat: true}, "00"},
		{"date[]", Settings{Time: "isostring"}, "020202" + placeholderHex + "00"},
		{"date[]", Settings{Time: "structured"}, "00"},
		{"numeric", Settings{Decimal: "string"}, "02" + placeholderHex},
		{"path", Settings{}, "00"},
	} {
		got, err := encodeColumn(t, test.settings, oneColumn(cdc.Column{Type: base(test.typ), Modifier: -1}), unchanged)
		if err != nil || got != test.want {
			t.Errorf("%s %+v: got %s, %v; want %s", test.typ, test.settings, got, err, test.want)
		}
	}
	table := oneColumn(cdc.Column{Type: base("bytea"), Modifier: -1, NotNull: true})
	var fact *cdc.FactError
	if _, err := encodeColumn(t, Settings{Binary: "base64", Compat: true}, table, unchanged); !errors.As(err, &fact) {
		t.Errorf("NOT NULL under compat: got %v, want a *cdc.FactError", err)
	}
}

func TestDefaultsBesideCompat(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		typ      string
		settings Settings
		expr     string
		honest   string
		compat   string
	}{
		{"time", Settings{}, "'24:00:00'::time without time zone", "86400000000", "86399999999"},
		{"timestamp", Settings{}, "'infinity'::timestamp without time zone", "9223372036854775807", "-9223372036853775810"},
		{"date", Settings{}, "'-infinity'::date", "-2147472691", "-170999002"},
		{"interval", Settings{}, "'infinity'::interval", "null", "0"},
		{"bit", Settings{}, "(5)::bit(3)", "null", `""`},
		{"numeric", Settings{Decimal: "string"}, "1.250", `"1.250"`, `"1.250"`},
		{"int4", Settings{}, "((1)::bigint)::integer", "null", "null"},
	} {
		for _, compat := range []bool{false, true} {
			s := test.settings
			s.Compat = compat
			modifier := int32(-1)
			if test.typ == "bit" {
				modifier = 3
			}
			_, value, err := Describe(s, oneColumn(cdc.Column{Type: base(test.typ), Modifier: modifier, Default: test.expr}), "n.public.t")
			if err != nil {
				t.Fatal(err)
			}
			want := test.honest
			if compat {
				want = test.compat
			}
			_, field, _ := strings.Cut(value, `{"name":"c","type":`)
			field, _, _ = strings.Cut(field, `],"connect.name":"n.public.t.Value"`)
			if !strings.HasSuffix(field, `"default":`+want+`}`) {
				t.Errorf("%s default %s, compat %v: got %s, want %s", test.typ, test.expr, compat, field, want)
			}
		}
	}
}

// TestKeyHeadersAreJSONOutsideCompat: Connect's own text is not always JSON.
func TestKeyHeadersAreJSONOutsideCompat(t *testing.T) {
	t.Parallel()
	table := &cdc.Table{Schema: "public", Name: "t", Facts: true, Key: []int{0, 1, 2, 3}, Columns: []cdc.Column{
		{Name: "a", Type: base("text"), Modifier: -1, NotNull: true}, {Name: "b", Type: base("float8"), Modifier: -1, NotNull: true},
		{Name: "c", Type: base("timestamp"), Modifier: -1, NotNull: true}, {Name: "d", Type: base("time"), Modifier: -1, NotNull: true}}}
	row := []cdc.Value{text("x\n\"y\\"), text("NaN"), text("0044-03-15 01:02:03.5 BC"), text("24:00:00")}
	for compat, want := range map[bool]string{
		false: `{"a":"x\n\"y\\","b":"NaN","c":"-0043-03-15T01:02:03.500Z","d":"24:00:00.000Z"}`,
		true:  "{\"a\":\"x\n\\\"y\\\\\",\"b\":NaN,\"c\":-0043-03-15T01:02:03.500Z,\"d\":24:00:00.000Z}",
	} {
		p := mustPlan(t, Settings{Time: "connect", Compat: compat}, table, "n.public.t")
		if got, err := p.AppendKeyJSON(nil, row); err != nil || string(got) != want {
			t.Errorf("compat %v: got %s, %v; want %s", compat, got, err, want)
		}
	}
}

// goldenForms are tables of every type, in forms that together are all of them.
var goldenForms = []string{"fillers_0", "fillers_1", "fillers_2", "fillers_3", "elements_0", "elements_1", "elements_2", "elements_3", "far_isostring", "far_nanoseconds", "postgis"}

// TestModesAllocateNothing holds that no form allocates for a row, neither to
// write it nor to read it.
func TestModesAllocateNothing(t *testing.T) {
	for _, name := range goldenForms {
		g := readGolden(t, "testdata/golden/"+name+".txt")
		p := mustPlan(t, g.settings, g.table, g.topic)
		r, err := NewReader(p.ValueSchema())
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(g.records, func(r goldenRecord) bool { return r.after != nil })
		row := g.records[i].after
		for k, line := range row.lines { // what is refused cannot be measured
			if _, err := hex.DecodeString(line.ours); err != nil {
				row.values[p.fields[k].column] = cdc.Value{}
			}
		}
		e := &cdc.Envelope{Op: cdc.OpCreate, After: row.values, Tx: &cdc.Transaction{XID: 7}, LSN: 8}
		dst := make([]byte, 0, 1<<16)
		var ev Event
		allocations := testing.AllocsPerRun(20, func() {
			var record []byte
			if record, err = p.AppendValue(dst[:0], e); err == nil {
				err = r.Read(record[cdc.KeyHeaderBytes:], &ev)
			}
		})
		if err != nil || allocations != 0 {
			t.Errorf("%s: %v allocations a row, %v", name, allocations, err)
		}
	}
}
