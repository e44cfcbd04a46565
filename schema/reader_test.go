package schema

import (
	"encoding/hex"
	"errors"
	"slices"
	"testing"

	"github.com/tailrace/tailrace/cdc"
)

// roundTrip encodes a row as after and reads it back.
func roundTrip(t *testing.T, p *Plan, row []cdc.Value) (*Reader, Event) {
	t.Helper()
	record, err := p.AppendValue(nil, &cdc.Envelope{Op: cdc.OpCreate, After: row})
	if err != nil {
		t.Fatal(err)
	}
	_, body, err := SplitHeader(record)
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewReader(p.ValueSchema())
	if err != nil {
		t.Fatal(err)
	}
	var e Event
	if err := r.Read(body, &e); err != nil {
		t.Fatal(err)
	}
	return r, e
}

func TestReaderGivesPostgresText(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		typ      *cdc.Type
		modifier int32
		in, want string // want "": the same
		pgType   string
	}{
		{base("bool"), -1, "t", "", "boolean"},
		{base("int2"), -1, "-5", "", "smallint"},
		{base("oid"), -1, "4294967295", "", "bigint"},
		{base("float4"), -1, "1.234567e+06", "", "real"},
		{base("float4"), -1, "123456", "", "real"},
		{base("float8"), -1, "1e+15", "", "double precision"},
		{base("float8"), -1, "100000000000000", "", "double precision"},
		{base("float8"), -1, "0.0001", "", "double precision"},
		{base("float8"), -1, "1e-05", "", "double precision"},
		{base("float8"), -1, "-0", "", "double precision"},
		{base("float8"), -1, "NaN", "", "double precision"},
		{base("numeric"), numericModifier(10, 2), "-0.05", "", "numeric(10,2)"},
		{base("numeric"), numericModifier(10, 0), "0", "", "numeric(10,0)"},
		{base("numeric"), numericModifier(3, -2), "-12300", "", "numeric(3,-2)"},
		{base("numeric"), numericModifier(3, 5), "0.00012", "", "numeric(3,5)"},
		{base("numeric"), -1, "12.50", "12.5", "numeric"},
		{base("money"), -1, "-$1,234.11", "-1234.11", "numeric"},
		{base("money"), -1, "($1.00)", "-1.00", "numeric"},
		{base("money"), -1, "1.234,50", "1234.50", "numeric"},
		{base("money"), -1, "1,234,567", "1234567.00", "numeric"},
		{base("money"), -1, "¥1,234", "1234.00", "numeric"},
		{base("money"), -1, "BD 1,234.5", "1234.50", "numeric"},
		{base("bytea"), -1, `\x00ff`, "", "bytea"},
		{base("bytea"), -1, `a\\`, `\x615c`, "bytea"},
		{base("date"), -1, "4713-12-31 BC", "", "date"},
		{base("date"), -1, "5874897-12-31", "", "date"},
		{base("date"), -1, "-infinity", "", "date"},
		{base("time"), 3, "24:00:00", "", "time"},
		{base("time"), -1, "00:00:00.000001", "", "time"},
		{base("timestamp"), -1, "0044-03-15 12:00:00.5 BC", "", "timestamp"},
		{base("timestamp"), 3, "infinity", "", "timestamp"},
		{base("timestamp"), -1, "-infinity", "", "timestamp"},
		{base("timestamptz"), -1, "0001-12-31 23:00:00+00 BC", "", "timestamptz"},
		{base("timestamptz"), -1, "294000-01-01 00:00:00.25+00", "", "timestamptz"},
		{base("timestamptz"), -1, "2020-01-01 02:00:00+02", "2020-01-01 00:00:00+00", "timestamptz"},
		{base("timestamptz"), -1, "infinity", "", "timestamptz"},
		{base("timetz"), -1, "10:00:00.5+02", "08:00:00.5+00", "timetz"},
		{base("interval"), -1, "-1 mons", "-730:30:00", "interval"},
		{base("interval"), -1, "00:00:00.5", "", "interval"},
		{base("uuid"), -1, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "", "uuid"},
		{base("jsonb"), -1, `{"a": 1}`, "", "json"},
		{base("bit"), 3, "010", "", "bit varying"},
		{base("varbit"), -1, "101", "", "bit varying"},
		{base("inet"), -1, "192.168.0.1/24", "", "text"},
		{enum("mood", "ok"), -1, "ok", "", "text"},
		{base("int4[]"), -1, "{1,NULL,3}", "", "integer[]"},
		{base("text[]"), -1, `{a,NULL,"b c","q\"x","","NULL","a,b","{}","\\"}`, "", "text[]"},
		{base("timestamp[]"), -1, `{"2020-01-01 00:00:00",infinity}`, "", "timestamp[]"},
		{base("numeric[]"), numericModifier(5, 2), "{1.50,-0.01}", "", "numeric(5,2)[]"},
		{base("bytea[]"), -1, `{"\\x0102",NULL}`, "", "bytea[]"},
		{base("bool[]"), -1, "{t,f}", "", "boolean[]"},
		{base("point"), -1, "(1.5,-Infinity)", "", "point"},
	} {
		p := mustPlan(t, Settings{MoneyDigits: 2}, oneColumn(cdc.Column{Type: test.typ, Modifier: test.modifier}), "n.public.t")
		r, e := roundTrip(t, p, []cdc.Value{text("1"), text(test.in)})
		want := test.want
		if want == "" {
			want = test.in
		}
		if got := string(e.After[1].Data); got != want {
			t.Errorf("%s %q: got %q, want %q", test.typ.Name, test.in, got, want)
		}
		if got := r.Columns()[1].PostgresType(); got != test.pgType {
			t.Errorf("%s: type %q, want %q", test.typ.Name, got, test.pgType)
		}
	}
}

func TestReaderOfKeys(t *testing.T) {
	t.Parallel()
	g := readGolden(t, "testdata/golden/key_change_types.txt")
	p := mustPlan(t, Settings{}, g.table, g.topic)
	key, err := p.AppendKey(nil, g.records[0].after.values)
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewReader(p.KeySchema())
	if err != nil {
		t.Fatal(err)
	}
	row, err := r.ReadRow(key[cdc.KeyHeaderBytes:])
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, v := range row {
		got = append(got, string(v.Data))
	}
	if want := []string{"1.10", `\x0102`, "2.5", "2020-01-01 00:00:00+00", "ok", "t", "9"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if r.Envelope() || r.Columns()[4].Labels[1] != "ok" {
		t.Errorf("columns %+v", r.Columns())
	}
}

func TestReaderKeepsFieldOrderInJSON(t *testing.T) {
	t.Parallel()
	g := readGolden(t, "testdata/golden/worked_example.txt")
	p := mustPlan(t, Settings{Name: "n", Database: "d", Version: "v"}, g.table, g.topic)
	record, err := p.AppendValue(nil, &cdc.Envelope{Op: cdc.OpRead, After: g.records[0].after.values, LSN: 7, Snapshot: cdc.SnapshotLast, Now: 1_000_000})
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewReader(p.ValueSchema())
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.AppendJSON(nil, record[cdc.KeyHeaderBytes:])
	const want = `{"before":null,"after":{"id":1,"email":"a@b.c","rank":1,"balance":0.00,"ratio":0.125,"tier":"basic",` +
		`"created":"2020-01-01 00:00:00+00","touched":"2020-01-01 12:00:00","tags":["x","y"]},` +
		`"source":{"version":"v","connector":"postgresql","name":"n","ts_ms":0,"snapshot":"last","db":"d","sequence":"[null,\"7\"]","ts_us":0,"ts_ns":0,` +
		`"schema":"inventory","table":"customers","txId":null,"lsn":7,"xmin":null,"origin":null,"origin_lsn":null},"transaction":null,"op":"r","ts_ms":1,"ts_us":1000,"ts_ns":1000000}`
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v\nwant %s", got, err, want)
	}
}

func TestReaderReadsDebeziumsOwnBytes(t *testing.T) {
	t.Parallel()
	// An update of the worked example, as Debezium 3.7.0.Final wrote it.
	const record = "0002040a6440652e660204000404d2020002640008676f6c6436323032302d30312d30315430303a30303a30302e3530303030305a000016332e372e302e46696e616c" +
		"14706f737467726573716c1c776f726b65645f6578616d706c65cebbcd84c068000a66616c73651c776f726b65645f6578616d706c6502365b2232323937373434383536222c22323239" +
		"37373434383536225d02f0e299fda3b4b0060280bbac918ab998ea3112696e76656e746f727912637573746f6d657273029cc10502b0b7a68f11000000000275029ac1cd84c06802e8b9" +
		"c5fda3b4b0060296dacbe68cb998ea31"
	body, err := hex.DecodeString(record)
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewReader(readFile(t, "testdata/customers-value.json"))
	if err != nil {
		t.Fatal(err)
	}
	var e Event
	if err := r.Read(body, &e); err != nil {
		t.Fatal(err)
	}
	want := Source{Name: "worked_example", DB: "worked_example", Schema: "inventory", Table: "customers", Snapshot: "false", LSN: 2297744856, TxID: 45134, TsMs: 1795301158631}
	if e.Op != cdc.OpUpdate || e.Source != want || e.Before != nil {
		t.Errorf("got %+v", e)
	}
	if got := string(e.After[3].Data); got != "12.34" {
		t.Errorf("balance %s", got)
	}
}

func TestReaderRefusesBadBytes(t *testing.T) {
	t.Parallel()
	g := readGolden(t, "testdata/golden/worked_example.txt")
	p := mustPlan(t, Settings{}, g.table, g.topic)
	record, err := p.AppendValue(nil, &cdc.Envelope{Op: cdc.OpRead, Before: g.records[0].after.values, After: g.records[0].after.values})
	if err != nil {
		t.Fatal(err)
	}
	body := record[cdc.KeyHeaderBytes:]
	r, err := NewReader(p.ValueSchema())
	if err != nil {
		t.Fatal(err)
	}
	var e Event
	var bad *DecodeError
	for n := range body {
		if err := r.Read(body[:n], &e); !errors.As(err, &bad) || bad.Offset > n {
			t.Fatalf("%d of %d bytes: got %v, want a *DecodeError", n, len(body), err)
		}
	}
	if err := r.Read(append(slices.Clone(body), 0), &e); !errors.As(err, &bad) || bad.Offset != len(body) {
		t.Errorf("a byte too many: got %v", err)
	}
	if _, _, err := SplitHeader([]byte{1, 0, 0, 0, 1}); !errors.As(err, &bad) {
		t.Errorf("header: got %v", err)
	}
}

func TestUnavailableHeader(t *testing.T) {
	t.Parallel()
	table := customers()
	before := make([]cdc.Value, len(table.Columns))
	after := make([]cdc.Value, len(table.Columns))
	for i := range before {
		before[i], after[i] = cdc.Value{State: cdc.Absent}, text("x")
	}
	before[0] = text("1")
	after[8].State = cdc.Unchanged
	header := string(cdc.AppendUnavailable(nil, table, before, after))
	const want = "before.email,before.rank,before.balance,before.ratio,before.tier,before.created,before.touched,before.tags,after.tags"
	if header != want {
		t.Errorf("got %s", header)
	}
	var columns []Field
	for i := range table.Columns {
		columns = append(columns, Field{Name: table.Columns[i].Name})
	}
	gotBefore, gotAfter := make([]cdc.Value, len(before)), make([]cdc.Value, len(after))
	for i := range gotBefore {
		gotBefore[i], gotAfter[i] = text("filler"), text("filler")
	}
	MarkUnavailable(header+",after.nowhere,nonsense", gotBefore, gotAfter, columns)
	for i := range before {
		if gotBefore[i].State != before[i].State || gotAfter[i].State != after[i].State {
			t.Errorf("column %d: states %d %d, want %d %d", i, gotBefore[i].State, gotAfter[i].State, before[i].State, after[i].State)
		}
	}
}
