package schema

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/linkedin/goavro/v2"
	"pgregory.net/rapid"

	"github.com/tailrace/tailrace/cdc"
)

// oracleCodec is goavro's codec of a schema.
func oracleCodec(t testing.TB, schema string) *goavro.Codec {
	t.Helper()
	codec, err := codecOf(schema)
	if err != nil {
		t.Fatal(err)
	}
	return codec
}

// sample is one value in PostgreSQL's text and as goavro takes it.
type sample struct {
	text   string
	native any
}

// oracleType is a column type with a generator of its values, made without the
// code under test.
type oracleType struct {
	typ      *cdc.Type
	modifier int32
	branch   string // goavro's name of the union branch
	draw     func(*rapid.T) sample
}

var oracleTypes = []oracleType{
	{base("bool"), -1, "boolean", func(t *rapid.T) sample {
		b := rapid.Bool().Draw(t, "bool")
		return sample{strconv.FormatBool(b)[:1], b}
	}},
	{base("int2"), -1, "int", func(t *rapid.T) sample {
		v := rapid.Int16().Draw(t, "int2")
		return sample{fmt.Sprint(v), int32(v)}
	}},
	{base("int4"), -1, "int", drawInt4},
	{base("int8"), -1, "long", func(t *rapid.T) sample {
		v := rapid.Int64().Draw(t, "int8")
		return sample{fmt.Sprint(v), v}
	}},
	{base("oid"), -1, "long", func(t *rapid.T) sample {
		v := rapid.Uint32().Draw(t, "oid")
		return sample{fmt.Sprint(v), int64(v)}
	}},
	{base("float4"), -1, "float", func(t *rapid.T) sample {
		v := rapid.Float32().Draw(t, "float4")
		return sample{pgFloat(float64(v), 32), v}
	}},
	{base("float8"), -1, "double", func(t *rapid.T) sample {
		v := rapid.Float64().Draw(t, "float8")
		return sample{pgFloat(v, 64), v}
	}},
	{base("text"), -1, "string", drawText},
	{base("varchar"), 40, "string", drawText},
	{base("jsonb"), -1, "string", drawText},
	{enum("mood", "sad", "ok", "very happy"), -1, "string", func(t *rapid.T) sample {
		s := rapid.SampledFrom([]string{"sad", "ok", "very happy"}).Draw(t, "enum")
		return sample{s, s}
	}},
	{base("bytea"), -1, "bytes", func(t *rapid.T) sample {
		b := rapid.SliceOf(rapid.Byte()).Draw(t, "bytea")
		return sample{`\x` + hex.EncodeToString(b), b}
	}},
	{base("numeric"), numericModifier(12, 4), "bytes", func(t *rapid.T) sample { return drawDecimal(t, 12, 4) }},
	{base("numeric"), numericModifier(30, 10), "bytes", func(t *rapid.T) sample { return drawDecimal(t, 30, 10) }},
	{base("numeric"), numericModifier(80, 20), "bytes", func(t *rapid.T) sample { return drawDecimal(t, 80, 20) }},
	{base("numeric"), -1, "io.debezium.data.VariableScaleDecimal", drawVariable},
	{base("date"), -1, "int", func(t *rapid.T) sample {
		d := drawTime(t)
		return sample{pgDate(d) + era(d), int32(floorDiv(d.Unix(), 86400))}
	}},
	{base("time"), -1, "long", func(t *rapid.T) sample {
		v := rapid.Int64Range(0, 86400_000_000-1).Draw(t, "time")
		return sample{pgClock(time.UnixMicro(v).UTC()), v}
	}},
	{base("timestamp"), -1, "long", func(t *rapid.T) sample {
		d := drawTime(t)
		return sample{pgDate(d) + " " + pgClock(d) + era(d), d.UnixMicro()}
	}},
	{base("timestamp"), 3, "long", func(t *rapid.T) sample {
		d := drawTime(t).Truncate(time.Millisecond)
		return sample{pgDate(d) + " " + pgClock(d) + era(d), d.UnixMilli()}
	}},
	{base("timestamptz"), -1, "string", drawZoned},
	{base("uuid"), -1, "string", func(t *rapid.T) sample {
		s := rapid.StringMatching(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`).Draw(t, "uuid")
		return sample{s, s}
	}},
	{base("int4[]"), -1, "array", func(t *rapid.T) sample { return drawArray(t, "int", drawInt4) }},
	{base("text[]"), -1, "array", func(t *rapid.T) sample { return drawArray(t, "string", drawText) }},
	{base("timestamptz[]"), -1, "array", func(t *rapid.T) sample { return drawArray(t, "string", drawZoned) }},
	{base("numeric[]"), numericModifier(30, 10), "array", func(t *rapid.T) sample {
		return drawArray(t, "bytes", func(t *rapid.T) sample { return drawDecimal(t, 30, 10) })
	}},
}

func drawInt4(t *rapid.T) sample {
	v := rapid.Int32().Draw(t, "int4")
	return sample{fmt.Sprint(v), v}
}

func drawText(t *rapid.T) sample {
	s := strings.ToValidUTF8(strings.ReplaceAll(rapid.String().Draw(t, "text"), "\x00", ""), "")
	return sample{s, s}
}

func pgFloat(v float64, bits int) string {
	switch {
	case math.IsInf(v, 1):
		return "Infinity"
	case math.IsInf(v, -1):
		return "-Infinity"
	}
	if s := strconv.FormatFloat(v, 'g', -1, bits); len(s) < 20 {
		return s
	}
	return strconv.FormatFloat(v, 'e', -1, bits)
}

func drawDigits(t *rapid.T, most int) *big.Int {
	text := rapid.StringMatching(fmt.Sprintf(`-?[0-9]{1,%d}`, most)).Draw(t, "digits")
	v, _ := new(big.Int).SetString(text, 10)
	return v
}

// twosComplement is Java's BigInteger.toByteArray, by definition.
func twosComplement(v *big.Int) []byte {
	for n := 1; ; n++ {
		limit := new(big.Int).Lsh(big.NewInt(1), uint(8*n-1))
		if v.Cmp(limit) >= 0 || v.Cmp(new(big.Int).Neg(limit)) < 0 {
			continue
		}
		m := new(big.Int).And(v, new(big.Int).Sub(new(big.Int).Lsh(limit, 1), big.NewInt(1)))
		return m.FillBytes(make([]byte, n))
	}
}

func plain(v *big.Int, scale int) string {
	return new(big.Rat).SetFrac(v, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)).FloatString(scale)
}

func drawDecimal(t *rapid.T, precision, scale int) sample {
	v := drawDigits(t, precision)
	return sample{plain(v, scale), twosComplement(v)}
}

func drawVariable(t *rapid.T) sample {
	v, scale := drawDigits(t, 45), rapid.IntRange(0, 30).Draw(t, "scale")
	text := plain(v, scale)
	ten := big.NewInt(10)
	for scale > 0 && new(big.Int).Rem(v, ten).Sign() == 0 {
		v.Quo(v, ten)
		scale--
	}
	return sample{text, map[string]any{"scale": int32(scale), "value": twosComplement(v)}}
}

// drawTime is any time that fits 64 bits of microseconds and PostgreSQL.
func drawTime(t *rapid.T) time.Time {
	lo := time.Date(-4712, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	hi := time.Date(290000, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	s := rapid.OneOf(rapid.Int64Range(lo, hi), rapid.Int64Range(0, 4e9)).Draw(t, "seconds")
	return time.Unix(s, rapid.Int64Range(0, 999_999).Draw(t, "micros")*1000).UTC()
}

func pgDate(d time.Time) string {
	y := d.Year()
	if y <= 0 {
		y = 1 - y
	}
	return fmt.Sprintf("%04d-%02d-%02d", y, d.Month(), d.Day())
}

func era(d time.Time) string {
	if d.Year() <= 0 {
		return " BC"
	}
	return ""
}

func pgClock(d time.Time) string {
	s := d.Format("15:04:05.000000")
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

func drawZoned(t *rapid.T) sample {
	d := drawTime(t)
	offset := rapid.SampledFrom([]int{0, 0, 3600, -3600, 5*3600 + 1800, -12 * 3600, 1172}).Draw(t, "offset")
	local := d.Add(time.Duration(offset) * time.Second)
	sign, o := "+", offset
	if o < 0 {
		sign, o = "-", -o
	}
	zone := fmt.Sprintf("%s%02d", sign, o/3600)
	if o%3600 != 0 {
		zone += fmt.Sprintf(":%02d", o/60%60)
	}
	if o%60 != 0 {
		zone += fmt.Sprintf(":%02d", o%60)
	}
	year := fmt.Sprintf("%04d", d.Year())
	switch {
	case d.Year() < 0:
		year = fmt.Sprintf("-%04d", -d.Year())
	case d.Year() > 9999:
		year = fmt.Sprintf("+%d", d.Year())
	}
	return sample{pgDate(local) + " " + pgClock(local) + zone + era(local), year + d.Format("-01-02T15:04:05.000000Z")}
}

func drawArray(t *rapid.T, branch string, draw func(*rapid.T) sample) sample {
	n := rapid.IntRange(0, 5).Draw(t, "length")
	natives := make([]any, n)
	texts := make([]string, n)
	for i := range n {
		if rapid.IntRange(0, 4).Draw(t, "null") == 0 {
			texts[i] = "NULL"
			continue
		}
		s := draw(t)
		natives[i] = map[string]any{branch: s.native}
		texts[i] = `"` + strings.NewReplacer(`"`, `\"`, `\`, `\\`).Replace(s.text) + `"`
	}
	return sample{"{" + strings.Join(texts, ",") + "}", natives}
}

// oracleTable has every oracle type twice: nullable, and NOT NULL where the
// default settings keep that.
func oracleTable() *cdc.Table {
	table := &cdc.Table{Schema: "public", Name: "t", Facts: true}
	for i, o := range oracleTypes {
		for _, notNull := range []bool{false, true} {
			table.Columns = append(table.Columns, cdc.Column{Name: fmt.Sprintf("c%d_%v", i, notNull), Type: o.typ, Modifier: o.modifier, NotNull: notNull})
		}
	}
	return table
}

func TestPlanWritesWhatGoavroWrites(t *testing.T) {
	t.Parallel()
	table := oracleTable()
	p := mustPlan(t, Settings{Name: "n", Database: "db", Version: "1.0"}, table, "n.public.t")
	codec := oracleCodec(t, p.ValueSchema())
	r, err := NewReader(p.ValueSchema())
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		row := make([]cdc.Value, len(table.Columns))
		native := make(map[string]any)
		for i := range row {
			o := oracleTypes[i/2]
			f := p.fields[i]
			native[f.name] = nil
			if f.nullable && rapid.IntRange(0, 3).Draw(t, "null") == 0 {
				continue
			}
			s := o.draw(t)
			row[i] = text(s.text)
			native[f.name] = s.native
			if f.nullable {
				native[f.name] = map[string]any{o.branch: s.native}
			}
		}
		checkEnvelope(t, p, codec, r, row, native)
	})
}

func checkEnvelope(t *rapid.T, p *Plan, codec *goavro.Codec, r *Reader, row []cdc.Value, native map[string]any) {
	tx := &cdc.Transaction{
		XID: rapid.Uint32Min(1).Draw(t, "xid"), CommitTime: rapid.Int64Range(0, 1<<51).Draw(t, "commit"),
		Origin: rapid.SampledFrom([]string{"", "other"}).Draw(t, "origin"), OriginLSN: cdc.LSN(rapid.Uint32().Draw(t, "origin lsn")),
	}
	e := &cdc.Envelope{
		Op: rapid.SampledFrom([]cdc.Op{cdc.OpRead, cdc.OpCreate, cdc.OpUpdate}).Draw(t, "op"), After: row, Tx: tx,
		LSN: cdc.LSN(rapid.Uint64Range(1, 1<<62).Draw(t, "lsn")), LastCommit: cdc.LSN(rapid.Uint64Range(0, 3).Draw(t, "last")),
		Snapshot: cdc.Marker(rapid.IntRange(0, 5).Draw(t, "snapshot")), Now: rapid.Int64Range(0, 1<<61).Draw(t, "now"),
		XMin: rapid.Int64Range(0, 1<<40).Draw(t, "xmin"), TransactionID: []byte(rapid.SampledFrom([]string{"", "7:9"}).Draw(t, "transaction")),
		TotalOrder: rapid.Int64Range(1, 1<<40).Draw(t, "total order"), TableOrder: rapid.Int64Range(1, 1<<40).Draw(t, "table order"),
	}
	sequence := fmt.Sprintf(`["%d","%d"]`, e.LastCommit, e.LSN)
	if e.LastCommit == 0 {
		sequence = fmt.Sprintf(`[null,"%d"]`, e.LSN)
	}
	long := func(v int64) any { return map[string]any{"long": v} }
	source := map[string]any{
		"version": "1.0", "connector": "postgresql", "name": "n", "ts_ms": tx.CommitTime / 1000,
		"snapshot": map[string]any{"string": e.Snapshot.String()}, "db": "db", "sequence": map[string]any{"string": sequence},
		"ts_us": long(tx.CommitTime), "ts_ns": long(tx.CommitTime * 1000), "schema": "public", "table": "t",
		"txId": long(int64(tx.XID)), "lsn": long(int64(e.LSN)), "xmin": nil, "origin": nil, "origin_lsn": nil,
	}
	if tx.Origin != "" {
		source["origin"], source["origin_lsn"] = map[string]any{"string": tx.Origin}, long(int64(tx.OriginLSN))
	}
	if e.XMin != 0 {
		source["xmin"] = long(e.XMin)
	}
	var block any
	if len(e.TransactionID) > 0 {
		block = map[string]any{"event.block": map[string]any{"id": string(e.TransactionID), "total_order": e.TotalOrder, "data_collection_order": e.TableOrder}}
	}
	envelope := map[string]any{
		"before": nil, "after": map[string]any{"n.public.t.Value": native}, "source": source, "transaction": block,
		"op": e.Op.String(), "ts_ms": long(e.Now / 1_000_000), "ts_us": long(e.Now / 1000), "ts_ns": long(e.Now),
	}
	got, err := p.AppendValue(nil, e)
	if err != nil {
		t.Fatal(err)
	}
	want, err := codec.BinaryFromNative(nil, envelope)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got[cdc.KeyHeaderBytes:], want) {
		t.Fatalf("got  %x\nwant %x", got[cdc.KeyHeaderBytes:], want)
	}
	checkReader(t, p, r, e, want)
}

// checkReader reads the bytes back and compares with the row's texts, made equal
// where two texts stand for one value.
func checkReader(t *rapid.T, p *Plan, r *Reader, e *cdc.Envelope, body []byte) {
	var ev Event
	if err := r.Read(body, &ev); err != nil {
		t.Fatal(err)
	}
	if ev.Op != e.Op || ev.Before != nil || ev.Source.LSN != e.LSN || ev.Source.TxID != int64(e.Tx.XID) || ev.Source.Snapshot != e.Snapshot.String() {
		t.Fatalf("got %+v", ev)
	}
	for i, v := range e.After {
		got := ev.After[i]
		if got.State != v.State {
			t.Fatalf("column %d: state %d, want %d", i, got.State, v.State)
		}
		if v.State == cdc.Null {
			continue
		}
		o := oracleTypes[i/2]
		// The text read back must encode to the same bytes again.
		again, reason := p.encodeText(nil, p.fields[i].mapping, got.Data)
		first, _ := p.encodeText(nil, p.fields[i].mapping, v.Data)
		if reason != "" || !bytes.Equal(again, first) {
			t.Fatalf("%s: %q came back as %q: %s", o.typ.Name, v.Data, got.Data, reason)
		}
		switch o.typ.Name {
		case "float4", "float8", "timestamptz", "numeric", "_text", "_int4", "_timestamptz", "_numeric":
		default:
			if !bytes.Equal(got.Data, v.Data) {
				t.Fatalf("%s: got %q, want %q", o.typ.Name, got.Data, v.Data)
			}
		}
	}
	js, err := r.AppendJSON(nil, body)
	if err != nil || !json.Valid(js) {
		t.Fatalf("JSON %s, %v", js, err)
	}
}
