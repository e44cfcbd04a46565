package schema

import (
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/tailrace/tailrace/cdc"
)

func text(s string) cdc.Value { return cdc.Value{Data: []byte(s), State: cdc.Text} }

// oneColumn is a table of an int key and one column.
func oneColumn(c cdc.Column) *cdc.Table {
	c.Name = "c"
	return &cdc.Table{Schema: "public", Name: "t", Identity: cdc.IdentityDefault, Facts: true, Key: []int{0},
		Columns: []cdc.Column{{Name: "id", Type: base("int4"), Modifier: -1, NotNull: true}, c}}
}

// encodeColumn gives the Avro bytes of the column c after an id of 1.
func encodeColumn(t *testing.T, s Settings, table *cdc.Table, v cdc.Value) (string, error) {
	t.Helper()
	p := mustPlan(t, s, table, "n.public.t")
	dst, err := p.appendRow(nil, []cdc.Value{text("1"), v})
	if err != nil {
		return "", err
	}
	return hex.EncodeToString(dst[2:]), nil
}

func longHex(v int64) string { return hex.EncodeToString(appendLong(nil, v)) }

func hexOf(s string) string { return hex.EncodeToString([]byte(s)) }

const placeholderHex = "38" + "5f5f646562657a69756d5f756e617661696c61626c655f76616c7565"

func TestEveryFormOfEveryType(t *testing.T) {
	t.Parallel()
	mood := enum("mood", "sad", "ok")
	for _, test := range []struct {
		typ      *cdc.Type
		modifier int32
		text     string
		want     string // after the union's branch; "" for a *cdc.ValueError
	}{
		{base("bool"), -1, "t", "01"},
		{base("bool"), -1, "false", "00"},
		{base("bool"), -1, "maybe", ""},
		{base("int2"), -1, "-32768", "ffff03"},
		{base("int2"), -1, "32768", ""},
		{base("int4"), -1, "2147483647", "feffffff0f"},
		{base("int4"), -1, "2147483648", ""},
		{base("int4"), -1, "", ""},
		{base("int4"), -1, "1 ", ""},
		{base("int8"), -1, "-9223372036854775808", "ffffffffffffffffff01"},
		{base("int8"), -1, "9223372036854775808", ""},
		{base("int8"), -1, "99999999999999999999", ""},
		{base("oid"), -1, "4294967295", "feffffff1f"},
		{base("oid"), -1, "-1", ""},
		{base("float4"), -1, "NaN", "0000c07f"},
		{base("float8"), -1, "NaN", "000000000000f87f"},
		{base("float8"), -1, "-Infinity", "000000000000f0ff"},
		{base("float8"), -1, "-0", "0000000000000080"},
		{base("float8"), -1, "0x1p-2", ""},
		{base("float8"), -1, "1e999", ""},
		{base("numeric"), numericModifier(10, 2), "12.34", "0404d2"},
		{base("numeric"), numericModifier(10, 2), "-0.01", "02ff"},
		{base("numeric"), numericModifier(10, 2), "1", "0264"},
		{base("numeric"), numericModifier(10, 2), "1.500", "040096"},
		{base("numeric"), numericModifier(10, 2), "1.501", ""},
		{base("numeric"), numericModifier(10, 2), "NaN", ""},
		{base("numeric"), numericModifier(10, 2), "1e2", ""},
		{base("numeric"), numericModifier(10, 2), ".", ""},
		{base("numeric"), numericModifier(18, 0), "999999999999999999", "100de0b6b3a763ffff"},
		{base("numeric"), numericModifier(19, 0), "-9223372036854775808", "108000000000000000"},
		{base("numeric"), numericModifier(19, 0), "9223372036854775808", "12008000000000000000"},
		{base("numeric"), numericModifier(38, 0), "-170141183460469231731687303715884105728", "2080000000000000000000000000000000"},
		{base("numeric"), numericModifier(38, 0), "99999999999999999999999999999999999999", "204b3b4ca85a86c47a098a223fffffffff"},
		{base("numeric"), numericModifier(38, 0), "-18446744073709551616", "12ff0000000000000000"},
		{base("numeric"), numericModifier(40, 0), "-340282366920938463463374607431768211456", "22ff00000000000000000000000000000000"},
		{base("numeric"), numericModifier(40, 0), "340282366920938463463374607431768211455", "2200ffffffffffffffffffffffffffffffff"},
		{base("numeric"), -1, "12.50", "02027d"},
		{base("numeric"), -1, "-100.00", "00029c"},
		{base("numeric"), -1, "0.000", "000200"},
		{base("numeric"), -1, "Infinity", ""},
		{base("text"), -1, "", "00"},
		{base("text"), -1, "ü€😀", "12c3bce282acf09f9880"},
		{base("bytea"), -1, `\x0aFF`, "040aff"},
		{base("bytea"), -1, `\x`, "00"},
		{base("bytea"), -1, `\x0`, ""},
		{base("bytea"), -1, `\x0g`, ""},
		{base("bytea"), -1, `a\\b\001\377`, "0a615c6201ff"},
		{base("bytea"), -1, `a\9`, ""},
		{base("bytea"), -1, `\`, ""},
		{base("date"), -1, "1970-01-01", "00"},
		{base("date"), -1, "4714-11-24 BC", longHex(-2440588)},
		{base("date"), -1, "4713-12-31 BC", longHex(-2440185)},
		{base("date"), -1, "infinity", longHex(2146033979)},
		{base("date"), -1, "-infinity", longHex(-2147472691)},
		{base("date"), -1, "2023-02-29", ""},
		{base("date"), -1, "2024-13-01", ""},
		{base("date"), -1, "0000-01-01", ""},
		{base("date"), -1, "2024-01-01x", ""},
		{base("time"), -1, "24:00:00", longHex(86400_000_000)},
		{base("time"), -1, "24:00:00.1", ""},
		{base("time"), -1, "12:60:00", ""},
		{base("time"), 3, "00:00:01.5", "b817"},
		{base("timestamp"), -1, "infinity", "feffffffffffffffff01"},
		{base("timestamp"), -1, "-infinity", "ffffffffffffffffff01"},
		{base("timestamp"), -1, "294276-12-31 23:59:59.999999", ""},
		{base("timestamp"), 3, "1969-12-31 23:59:59.999", "01"},
		{base("timestamp"), -1, "0001-01-01 00:00:00 BC", longHex(-62167219200_000_000)},
		{base("timestamp"), -1, "2020-01-01", ""},
		{base("timestamptz"), -1, "2020-01-01 00:30:00+05:30", "36" + hexOf("2019-12-31T19:00:00.000000Z")},
		{base("timestamptz"), 3, "2020-01-01 00:00:00.5-00:00:01", "30" + hexOf("2020-01-01T00:00:01.500Z")},
		{base("timestamptz"), 0, "0044-03-15 00:00:00+00 BC", "2a" + hexOf("-0043-03-15T00:00:00Z")},
		{base("timestamptz"), 0, "9999-12-31 23:59:59-01", "2c" + hexOf("+10000-01-01T00:59:59Z")},
		{base("timestamptz"), 0, "0001-01-01 00:00:00+01", "28" + hexOf("0000-12-31T23:00:00Z")},
		{base("timestamptz"), -1, "infinity", "10" + hexOf("infinity")},
		{base("timestamptz"), -1, "2020-01-01 00:00:00", ""},
		{base("timestamptz"), -1, "2020-01-01 00:00:00+1", ""},
		{base("timetz"), -1, "24:00:00+00", "12" + hexOf("24:00:00Z")},
		{base("timetz"), -1, "24:00:00-02", "12" + hexOf("02:00:00Z")},
		{base("timetz"), -1, "00:00:00.500+02", "16" + hexOf("22:00:00.5Z")},
		{base("interval"), -1, "1 day -00:00:00.000001", longHex(86400_000_000 - 1)},
		{base("interval"), -1, "infinity", ""},
		{base("interval"), -1, "1 fortnight", ""},
		{base("uuid"), -1, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "48" + hexOf("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")},
		{mood, -1, "ok", "046f6b"},
		{base("tsquery"), -1, "'a' & 'b'", "12" + hexOf("'a' & 'b'")},
		{base("int4[]"), -1, "{}", "00"},
		{base("int4[]"), -1, "{1,NULL,-1}", "060202000201" + "00"},
		{base("int4[]"), -1, "[0:1]={7,8}", "04020e021000"},
		{base("int4[]"), -1, "{1,}", ""},
		{base("int4[]"), -1, "{1", ""},
		{base("int4[]"), -1, "{1}}", ""},
		{base("int4[]"), -1, "{x}", ""},
		{base("text[]"), -1, `{a,"b ,}","q\"\\x","",null,"NULL"}`, "0c" + "020261" + "020862202c7d" + "020871225c78" + "0200" + "00" + "02084e554c4c" + "00"},
		{base("text[]"), -1, `{{a,b},{"c}",d}}`, "04" + "020a" + hexOf("{a,b}") + "0210" + hexOf(`{"c}",d}`) + "00"},
		{base("bytea[]"), -1, `{"\\x01",NULL}`, "0402020100" + "00"},
		{base("numeric[]"), numericModifier(4, 1), "{1.5,2}", "0402020f02021400"},
		{arrayOf(mood), -1, "{ok,sad}", "04046f6b0673616400"},
		{base("interval[]"), -1, `{"1 day"}`, "02020a" + hexOf("1 day") + "00"},
	} {
		got, err := encodeColumn(t, Settings{}, oneColumn(cdc.Column{Type: test.typ, Modifier: test.modifier}), text(test.text))
		var bad *cdc.ValueError
		switch {
		case test.want == "":
			if !errors.As(err, &bad) || bad.Column != "c" {
				t.Errorf("%s %q: got %s, %v; want a *cdc.ValueError of column c", test.typ.Name, test.text, got, err)
			}
		case err != nil || got != "02"+test.want:
			t.Errorf("%s %q: got %s, %v; want 02%s", test.typ.Name, test.text, got, err, test.want)
		}
	}
}

func TestAbsentColumnsGetDebeziumsFillers(t *testing.T) {
	t.Parallel()
	absent := cdc.Value{State: cdc.Absent}
	for _, test := range []struct {
		name   string
		column cdc.Column
		compat bool
		want   string
	}{
		{"nullable", cdc.Column{Type: base("text")}, true, "00"},
		{"nullable with default", cdc.Column{Type: base("int4"), Default: "3"}, false, "02"},
		{"nullable with default, compat", cdc.Column{Type: base("int4"), Default: "3"}, true, "0006"},
		{"int", cdc.Column{Type: base("int4"), NotNull: true}, true, "00"},
		{"serial", cdc.Column{Type: base("int8"), NotNull: true, Default: "nextval('s'::regclass)"}, true, "00"},
		{"with default", cdc.Column{Type: base("int4"), NotNull: true, Default: "7"}, false, "0e"},
		{"uuid", cdc.Column{Type: base("uuid"), NotNull: true}, true, "00"},
		{"json", cdc.Column{Type: base("json"), NotNull: true}, true, "00"},
		{"float8", cdc.Column{Type: base("float8"), NotNull: true}, true, "0000000000000000"},
		{"decimal", cdc.Column{Type: base("numeric"), Modifier: numericModifier(5, 2), NotNull: true}, true, "0200"},
		{"numeric", cdc.Column{Type: base("numeric"), Modifier: -1, NotNull: true}, true, "000200"},
		{"timestamptz", cdc.Column{Type: base("timestamptz"), Modifier: -1, NotNull: true}, true, "28" + hexOf("1970-01-01T00:00:00Z")},
		{"timestamptz with default", cdc.Column{Type: base("timestamptz"), Modifier: -1, NotNull: true, Default: "now()"}, true, "36" + hexOf("1970-01-01T00:00:00.000000Z")},
		{"timetz", cdc.Column{Type: base("timetz"), NotNull: true}, true, "12" + hexOf("00:00:00Z")},
		{"array", cdc.Column{Type: base("int4[]"), NotNull: true}, true, "00"},
	} {
		got, err := encodeColumn(t, Settings{Compat: test.compat}, oneColumn(test.column), absent)
		if err != nil || got != test.want {
			t.Errorf("%s: got %s, %v; want %s", test.name, got, err, test.want)
		}
	}
}

func TestUnchangedToastGetsTheSentinel(t *testing.T) {
	t.Parallel()
	var ints strings.Builder
	for _, c := range "__debezium_unavailable_value" {
		ints.WriteString("02" + longHex(int64(c)))
	}
	for typ, want := range map[string]string{
		"text": "02" + placeholderHex, "jsonb": "02" + placeholderHex, "bytea": "02" + placeholderHex, "tsquery": "02" + placeholderHex,
		"text[]": "020202" + placeholderHex + "00", "bytea[]": "020202" + placeholderHex + "00",
		"int4[]": "0238" + ints.String() + "00", "int8[]": "0238" + ints.String() + "00", "date[]": "0238" + ints.String() + "00",
		"uuid[]":  "02020248" + hexOf("b68a35a7-17ad-35b3-af2a-ae46edb4545a") + "00",
		"numeric": "00", "numeric[]": "00", "float8[]": "00",
	} {
		got, err := encodeColumn(t, Settings{}, oneColumn(cdc.Column{Type: base(typ), Modifier: -1}), cdc.Value{State: cdc.Unchanged})
		if err != nil || got != want {
			t.Errorf("%s: got %s, %v; want %s", typ, got, err, want)
		}
	}
}

func TestColumnsWithoutSentinelAreNullable(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		typ      string
		modifier int32
		compat   bool
		nullable bool
	}{
		{"numeric", -1, false, true},
		{"numeric", -1, true, false},
		{"numeric", numericModifier(30, 2), false, false},
		{"numeric", numericModifier(31, 2), false, true},
		{"float8[]", -1, false, true},
		{"text[]", -1, false, false},
		{"text", -1, false, false},
		{"tsquery", -1, false, false},
		{"timestamptz", -1, false, false},
	} {
		table := oneColumn(cdc.Column{Type: base(test.typ), Modifier: test.modifier, NotNull: true})
		_, err := encodeColumn(t, Settings{Compat: test.compat}, table, cdc.Value{})
		var fact *cdc.FactError
		if errors.As(err, &fact) == test.nullable {
			t.Errorf("%s compat %v: NULL gives %v, want nullable %v", test.typ, test.compat, err, test.nullable)
		}
		table.Key = []int{1}
		if _, err := encodeColumn(t, Settings{Compat: test.compat}, table, cdc.Value{}); !errors.As(err, &fact) {
			t.Errorf("%s in the key: NULL gives %v, want a *cdc.FactError", test.typ, err)
		}
	}
}

func TestNullOverDefaultOnlyUnderCompat(t *testing.T) {
	t.Parallel()
	table := oneColumn(cdc.Column{Type: base("text"), Modifier: -1, Default: "'dft'::text"})
	if got, err := encodeColumn(t, Settings{}, table, cdc.Value{}); err != nil || got != "02" {
		t.Errorf("got %s, %v; want the null branch", got, err)
	}
	if got, err := encodeColumn(t, Settings{Compat: true}, table, cdc.Value{}); err != nil || got != "0006"+hexOf("dft") {
		t.Errorf("compat: got %s, %v; want the default", got, err)
	}
}

func TestNonfiniteDecimals(t *testing.T) {
	t.Parallel()
	table := oneColumn(cdc.Column{Type: base("numeric"), Modifier: numericModifier(5, 2)})
	if got, err := encodeColumn(t, Settings{Compat: true}, table, text("NaN")); err != nil || got != "00" {
		t.Errorf("compat: got %s, %v; want null", got, err)
	}
	var bad *cdc.ValueError
	if _, err := encodeColumn(t, Settings{Nonfinite: "dead_letter"}, table, text("NaN")); !errors.As(err, &bad) {
		t.Errorf("got %v, want a *cdc.ValueError", err)
	}
	if _, err := encodeColumn(t, Settings{Compat: true, Nonfinite: "fail"}, table, text("Infinity")); !errors.As(err, &bad) {
		t.Errorf("compat, fail: got %v, want a *cdc.ValueError", err)
	}
	table.Columns[1].NotNull = true
	var fact *cdc.FactError
	if _, err := encodeColumn(t, Settings{Nonfinite: "null"}, table, text("NaN")); !errors.As(err, &fact) {
		t.Errorf("NOT NULL: got %v, want a *cdc.FactError", err)
	}
}

// encodeWidening encodes as a relay does: it widens until the row fits.
func encodeWidening(t *testing.T, table *cdc.Table, v cdc.Value) (string, *cdc.Table, int) {
	t.Helper()
	for rounds := 0; rounds < 4; rounds++ {
		got, err := encodeColumn(t, Settings{}, table, v)
		var fact *cdc.FactError
		if !errors.As(err, &fact) {
			if err != nil {
				t.Fatal(err)
			}
			return got, table, rounds
		}
		if fact.Column != 1 || fact.Fact != cdc.FactNotNull {
			t.Fatalf("got %+v", fact)
		}
		table = Widen(table, fact.Column)
	}
	t.Fatal("still refused")
	return "", nil, 0
}

func TestWidenTakesTheRow(t *testing.T) {
	t.Parallel()
	notNullDomain := &cdc.Type{Schema: "public", Name: "d", Kind: cdc.KindDomain, Base: base("int4"), BaseModifier: -1, NotNull: true}
	moods := arrayOf(enum("mood", "sad", "ok"))
	for _, test := range []struct {
		name   string
		column cdc.Column
		value  cdc.Value
		want   string
		rounds int
	}{
		{"NOT NULL", cdc.Column{Type: base("int4"), NotNull: true}, cdc.Value{}, "00", 1},
		{"domain", cdc.Column{Type: notNullDomain}, cdc.Value{}, "00", 1},
		{"enum array", cdc.Column{Type: moods}, text("{ok,NULL}"), "02" + "04" + "02046f6b" + "00" + "00", 1},
		{"enum array NOT NULL", cdc.Column{Type: moods, NotNull: true}, text("{ok,NULL}"), "02" + "04" + "02046f6b" + "00" + "00", 1},
		{"int[][]", cdc.Column{Type: base("int4[]")}, text("{{1,2},{3,4}}"), "0204" + "020a" + hexOf("{1,2}") + "020a" + hexOf("{3,4}") + "00", 1},
		{"int[][] NOT NULL", cdc.Column{Type: base("int4[]"), NotNull: true}, text("{{1}}"), "0202" + "0206" + hexOf("{1}") + "00", 2},
	} {
		before := test.column
		got, table, rounds := encodeWidening(t, oneColumn(test.column), test.value)
		if got != test.want || rounds != test.rounds {
			t.Errorf("%s: got %s after %d rounds, want %s after %d", test.name, got, rounds, test.want, test.rounds)
		}
		if before.Type != test.column.Type || table.Columns[1].NotNull {
			t.Errorf("%s: the table was changed in place", test.name)
		}
	}
}

func TestMultidimensionalArraysComeBack(t *testing.T) {
	t.Parallel()
	const value = `{{"2020-01-01 00:00:00",NULL},{infinity,"2020-01-02 00:00:00"}}`
	_, table, _ := encodeWidening(t, oneColumn(cdc.Column{Type: base("timestamp[]"), Modifier: -1}), text(value))
	p := mustPlan(t, Settings{}, table, "n.public.t")
	if len(p.Fallbacks()) != 0 {
		t.Errorf("fallbacks %v, want none", p.Fallbacks())
	}
	r, e := roundTrip(t, p, []cdc.Value{text("1"), text(value)})
	if got := string(e.After[1].Data); got != value {
		t.Errorf("got %s, want %s", got, value)
	}
	if got := r.Columns()[1].PostgresType(); got != "timestamp[]" {
		t.Errorf("got %s", got)
	}
}

func TestUnknownEnumLabelAsksForFacts(t *testing.T) {
	t.Parallel()
	table := oneColumn(cdc.Column{Type: arrayOf(enum("mood", "sad"))})
	_, err := encodeColumn(t, Settings{}, table, text("{sad,meh,ok}"))
	var fact *cdc.FactError
	if !errors.As(err, &fact) || fact.Fact != cdc.FactEnumLabel || fact.Column != 1 {
		t.Fatalf("got %v, want FactEnumLabel of column 1", err)
	}
	more := AddLabels(table, 1, []byte("{sad,meh,ok}"))
	if _, err := encodeColumn(t, Settings{}, more, text("{sad,meh,ok}")); err != nil {
		t.Error(err)
	}
	if got := more.Columns[1].Type.Elem.Labels; !slices.Equal(got, []string{"sad", "meh", "ok"}) {
		t.Errorf("labels %v", got)
	}
	blind := AddLabels(more, 1, []byte("{sad}"))
	if _, err := encodeColumn(t, Settings{}, blind, text("{other}")); err != nil {
		t.Errorf("after a text without new labels: %v", err)
	}
	if got := table.Columns[1].Type.Elem.Labels; len(got) != 1 {
		t.Errorf("the table was changed in place: %v", got)
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	table := &cdc.Table{Schema: "public", Name: "t", Facts: true, Key: []int{2, 0}, Columns: []cdc.Column{
		{Name: "b", Type: base("bytea"), Modifier: -1, NotNull: true},
		{Name: "v", Type: base("text"), Modifier: -1},
		{Name: "a", Type: base("numeric"), Modifier: numericModifier(10, 2), NotNull: true},
	}}
	reg := new(counting)
	p, err := NewEncoder(Settings{}, reg).Plan(t.Context(), table, "n.public.t")
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"n.public.t-key", "n.public.t-value"}; !slices.Equal(reg.subjects, want) {
		t.Errorf("registered %v, want %v", reg.subjects, want)
	}
	row := []cdc.Value{text(`\x0102`), {}, text("2.20")}
	key, err := p.AppendKey([]byte("x"), row)
	if got, want := hex.EncodeToString(key), "78"+"0000000001"+"0400dc"+"040102"; err != nil || got != want {
		t.Errorf("key %s, %v; want %s", got, err, want)
	}
	json, err := p.AppendKeyJSON(nil, row)
	if want := `{"a":2.20,"b":"AQI="}`; err != nil || string(json) != want {
		t.Errorf("key %s, %v; want %s", json, err, want)
	}
	row[2].State = cdc.Unchanged
	var bad *cdc.ValueError
	if _, err := p.AppendKey(nil, row); !errors.As(err, &bad) || bad.Column != "a" {
		t.Errorf("unchanged key: %v", err)
	}
	row[2] = cdc.Value{State: cdc.Absent}
	if key, err := p.AppendKey(nil, row); err != nil || hex.EncodeToString(key[5:]) != "0200040102" {
		t.Errorf("absent key column: %x, %v; want its filler", key, err)
	}
	only := *table
	only.Columns = slices.Clone(table.Columns)
	only.Columns[2].KeyOnly = true
	p = mustPlan(t, Settings{}, &only, "n.public.t")
	if key, err := p.AppendKey(nil, row); err != nil || hex.EncodeToString(key[5:]) != "0200040102" || strings.Contains(p.ValueSchema(), `{"name":"a",`) || !strings.Contains(p.KeySchema(), `{"name":"a",`) {
		t.Errorf("a column of the key alone: %x, %v, key %s, value %s", key, err, p.KeySchema(), p.ValueSchema())
	}
	table.Key = nil
	p = mustPlan(t, Settings{}, table, "n.public.t")
	if key, err := p.AppendKey(nil, row); err != nil || len(key) != 0 || p.KeySchema() != "" {
		t.Errorf("without key: %x, %v, %q", key, err, p.KeySchema())
	}
}

func TestKeyJSONIsDebeziums(t *testing.T) {
	t.Parallel()
	g := readGolden(t, "testdata/golden/key_change_types.txt")
	p := mustPlan(t, Settings{Compat: true}, g.table, g.topic)
	got, err := p.AppendKeyJSON(nil, g.records[0].after.values)
	const want = `{"a":1.10,"b":"AQI=","c":{"scale":1,"value":"GQ=="},"d":"2020-01-01T00:00:00.000000Z","e":"ok","f":true,"g":9}`
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
}

func TestFallbacksTravelAsText(t *testing.T) {
	t.Parallel()
	table := oneColumn(cdc.Column{Type: arrayOf(&cdc.Type{Schema: "public", Name: "comp", Kind: cdc.KindComposite})})
	p := mustPlan(t, Settings{}, table, "n.public.t")
	if got := p.Fallbacks(); !slices.Equal(got, []int{1}) {
		t.Errorf("fallbacks %v", got)
	}
	if want := `{"name":"c","type":["null",{"type":"array","items":["null",{"type":"string","connect.version":1,"connect.name":"tailrace.pg.comp"}]}],"default":null}`; !strings.Contains(p.ValueSchema(), want) {
		t.Errorf("schema %s", p.ValueSchema())
	}
	p = mustPlan(t, Settings{Compat: true}, table, "n.public.t")
	if strings.Contains(p.ValueSchema(), `"name":"c"`) {
		t.Error("compat: the column is there, Debezium drops it")
	}
}

func TestNamesThatAvroRefuses(t *testing.T) {
	t.Parallel()
	table := &cdc.Table{Schema: "my-schema", Name: "1st", Facts: true, Columns: []cdc.Column{
		{Name: "x$y", Type: base("text")}, {Name: "x_y", Type: base("int4")}, {Name: "X_Y", Type: base("int4")}, {Name: "1é", Type: base("bool")}, {Name: "", Type: base("bool")},
	}}
	p := mustPlan(t, Settings{}, table, "n.my-schema.1st")
	for _, want := range []string{
		`"namespace":"n.my_schema._1st"`, `{"name":"x_y","type":["null","int"]`, `{"name":"X_Y_2","type":["null",{"type":"int","connect.parameters":{"__debezium.source.column.name":"X_Y"}}]`,
		`{"name":"x_y_3","type":["null",{"type":"string","connect.parameters":{"__debezium.source.column.name":"x$y"}}]`, `{"name":"_1_"`, `{"name":"_"`,
	} {
		if !strings.Contains(p.ValueSchema(), want) {
			t.Errorf("%s is missing in\n%s", want, p.ValueSchema())
		}
	}
	r, err := NewReader(p.ValueSchema())
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range r.Columns() {
		if want := table.Columns[i].Name; f.Name != want && want != "" {
			t.Errorf("column %d is %q for the reader, want %q", i, f.Name, want)
		}
	}
}

func TestWithoutFactsColumnsAreNullable(t *testing.T) {
	t.Parallel()
	table := oneColumn(cdc.Column{Type: base("int4"), NotNull: true, Default: "4"})
	table.Facts = false
	_, value, err := Describe(Settings{}, table, "n.public.t")
	if err != nil {
		t.Fatal(err)
	}
	if want := `[{"name":"id","type":"int"},{"name":"c","type":["null","int"],"default":null}]`; !strings.Contains(value, want) {
		t.Errorf("got %s", value)
	}
}

func TestSettingsNameWhatIsNotThere(t *testing.T) {
	t.Parallel()
	_, _, err := Describe(Settings{Decimal: "float", Names: "avro"}, customers(), "t")
	if err == nil || !strings.Contains(err.Error(), "format.decimal: float is not one of precise") {
		t.Errorf("got %v", err)
	}
}
