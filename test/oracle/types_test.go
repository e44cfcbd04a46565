package oracle

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
)

// kinds are all types that a seed draws from. The types that a seed defines are
// in definitions; extensions are those of PostgreSQL's contrib.
func kinds() []*kind {
	list := append(numbers(), texts()...)
	list = append(list, times()...)
	list = append(list, others()...)
	if withPostGIS() {
		list = append(list, shapes()...)
	}
	return append(list, arrays(list)...)
}

// envPostGIS says that the server has PostGIS, and the seeds are to try its types:
// they are other seeds then.
const envPostGIS = "TAILRACE_ORACLE_POSTGIS"

func withPostGIS() bool { return os.Getenv(envPostGIS) != "" }

// extensions are needed by the kinds.
func extensions() []string {
	list := []string{"hstore", "citext", "ltree", "isn"}
	if withPostGIS() {
		list = append(list, "postgis")
	}
	return list
}

// shapes are the types of PostGIS. There are several of each, so that most tables
// have one.
func shapes() []*kind {
	var list []*kind
	for range 6 {
		list = append(list,
			&kind{name: "geometry", sql: "geometry", outOfLine: true, values: []string{"POINT(1 1)", "SRID=3187;POINT(174.9479 -36.7208)", "LINESTRING(0 0,1 1,2 0)", "POINT EMPTY", "POINT Z (1 2 3)"}},
			&kind{name: "geompoint", sql: "geometry(Point,4326)", outOfLine: true, values: []string{"SRID=4326;POINT(1 1)", "SRID=4326;POINT(-0.5 51.25)"}},
			&kind{name: "geography", sql: "geography", outOfLine: true, values: []string{"POINT(1 1)", "MULTILINESTRING((169.1321 -44.7032, 167.8974 -44.6414),(10 10, 20 20))"}},
		)
	}
	return list
}

// definitions are the types of a seed's schema; $ stands for the schema.
var definitions = []string{
	`CREATE TYPE $.mood AS ENUM ('sad', 'ok', 'so happy')`,
	`CREATE DOMAIN $.age AS int CHECK (VALUE > -1000)`,
	`CREATE DOMAIN $.code AS varchar(10)`,
	`CREATE DOMAIN $.price AS numeric(8,2)`,
	`CREATE DOMAIN $.sale AS $.price DEFAULT 1.50`,
	`CREATE DOMAIN $.feeling AS $.mood`,
	`CREATE TYPE $.pair AS (a int, b text)`,
}

func numbers() []*kind {
	return []*kind{
		{name: "bool", sql: "boolean", values: []string{"t", "f"}, defaults: []string{"true", "false", "(1=1)"}},
		{name: "int2", sql: "smallint", values: []string{"0", "-32768", "32767"}, random: number(-32768, 32767), defaults: []string{"0", "7", "-1"}},
		{name: "int4", sql: "int", values: []string{"0", "-2147483648", "2147483647"}, random: number(-1e9, 1e9), defaults: []string{"0", "42", "-1", "abs(-3)"},
			unique: func(n int) string { return fmt.Sprint(n) }},
		{name: "int8", sql: "bigint", values: []string{"0", "-9223372036854775808", "9223372036854775807"}, random: number(-1e17, 1e17), defaults: []string{"0", "9223372036854775807"},
			unique: func(n int) string { return fmt.Sprint(int64(n) * 4294967296) }},
		{name: "oid", sql: "oid", values: []string{"0", "1", "2147483648", "4294967295"}, defaults: []string{"17"}},
		{name: "float4", sql: "real", values: []string{"0", "-0", "1.5", "3.4028235e38", "1e-45", "NaN", "Infinity", "-Infinity"}, random: digits(5, 5), defaults: []string{"1.5", "0", "-2.25"}},
		{name: "float8", sql: "double precision", values: []string{"0", "-0", "0.1", "1.7976931348623157e308", "5e-324", "NaN", "Infinity", "-Infinity"}, random: digits(9, 9), defaults: []string{"1.5", "0", "pi()", "0.1"}},
		{name: "numeric", sql: "numeric", outOfLine: true, values: []string{"0", "0.000", "100.00", "12.50", "1e30", "-1e-20", "123456789012345678901234567890.123456789"}, random: digits(30, 20),
			special: []string{"NaN", "Infinity", "-Infinity"}, defaults: []string{"3.14", "0"},
			big:    func(r *rand.Rand) string { return "1" + strings.Repeat(fmt.Sprint(r.Uint64()), 400) },
			unique: func(n int) string { return fmt.Sprintf("%d.50", n) }},
		{name: "num10_2", sql: "numeric(10,2)", values: []string{"0", "99999999.99", "-99999999.99", "0.01"}, random: digits(8, 2), special: []string{"NaN"}, defaults: []string{"0", "12.34", "-1.5"},
			unique: func(n int) string { return fmt.Sprintf("%d.25", n) }},
		{name: "num5", sql: "numeric(5)", values: []string{"0", "99999", "-1"}, random: digits(5, 0), special: []string{"NaN"}, defaults: []string{"5"}},
		{name: "num38_10", sql: "numeric(38,10)", outOfLine: true, values: []string{"0", "9999999999999999999999999999.9999999999"}, random: digits(28, 10), special: []string{"NaN"}, defaults: []string{"0.0000000001"}},
		{name: "num2_5", sql: "numeric(2,5)", values: []string{"0", "0.00099", "-0.00001"}},
		{name: "money", sql: "money", values: []string{"0", "1234.11", "-0.01", "92233720368547758.07", "-92233720368547758.08"}, random: digits(9, 2), defaults: []string{"1.25::money"}},
		{name: "bit1", sql: "bit(1)", values: []string{"0", "1"}, defaults: []string{"B'1'"}},
		{name: "bit9", sql: "bit(9)", values: []string{"000000001", "100000000", "000000000"}, random: bits(9, 9), defaults: []string{"B'101010101'"}},
		{name: "bit64", sql: "bit(64)", random: bits(64, 64)},
		{name: "varbit1", sql: "varbit(1)", values: []string{"0", "1"}, special: []string{""}},
		{name: "varbit20", sql: "varbit(20)", values: []string{"", "1", "0"}, random: bits(1, 20), defaults: []string{"B'11'"}},
		{name: "varbit", sql: "varbit", outOfLine: true, values: []string{"0"}, random: bits(1, 99)},
	}
}

func texts() []*kind {
	big := func(r *rand.Rand) string { return hexText(r, 3000+r.IntN(5000)) }
	return []*kind{
		{name: "text", sql: "text", values: []string{"", "NULL", "__debezium_unavailable_value"}, random: words, big: big, placeholder: true, defaults: []string{"''", "'it''s'", "'a'||'b'", "lower('X')", "CURRENT_USER"},
			unique: func(n int) string { return fmt.Sprintf("k'%d ü", n) }},
		{name: "varchar", sql: "varchar", values: []string{""}, random: words, big: big, placeholder: true, defaults: []string{"'v'"}},
		{name: "varchar9", sql: "varchar(9)", values: []string{"", "ninechars", " "}, defaults: []string{"'nine'", "''"}, unique: func(n int) string { return fmt.Sprintf("v%d", n) }},
		{name: "char5", sql: "char(5)", values: []string{"", "a", "abcde", "é"}, defaults: []string{"'ab'"}, unique: func(n int) string { return fmt.Sprint(n) }},
		{name: "bpchar", sql: "bpchar", values: []string{"", "a  ", "abc"}},
		{name: "ichar", sql: `"char"`, values: []string{"a", "z", ""}},
		{name: "name", sql: "name", optional: true, values: []string{"", "a_name", "ü"}},
		{name: "citext", sql: "citext", values: []string{"", "CamelCase"}, random: words, big: big, placeholder: true},
		{name: "bytea", sql: "bytea", values: []string{`\x`, `\x00`, `\x00ff10`}, random: func(r *rand.Rand) string { return `\x` + hexText(r, 2*r.IntN(20)) },
			big: func(r *rand.Rand) string { return `\x` + hexText(r, 8000) }, placeholder: true, defaults: []string{`'\x01'`}},
		{name: "json", sql: "json", values: []string{"{}", `{"b": 1,  "a":[null,true,"x\"y"], "b":2}`, "null", `"text"`, "1.50"}, big: func(r *rand.Rand) string { return `{"k": "` + hexText(r, 4000) + `"}` }, placeholder: true,
			defaults: []string{"'{}'", "json_build_object('a', 1)"}},
		{name: "jsonb", sql: "jsonb", values: []string{"{}", `{"b": 1, "a":[null,true,"x\"y"], "b":2}`, "null", "1.50", `{"ü": "😀"}`}, big: func(r *rand.Rand) string { return `{"k": "` + hexText(r, 4000) + `"}` }, placeholder: true,
			defaults: []string{`'{"a": 1}'`, "jsonb_build_array(1)"}},
		{name: "xml", sql: "xml", values: []string{"<a/>", "<a>x &amp; y</a>", "text"}, big: func(r *rand.Rand) string { return "<a>" + hexText(r, 4000) + "</a>" }, placeholder: true, defaults: []string{"'<d/>'::xml"}},
		{name: "uuid", sql: "uuid", values: []string{"00000000-0000-0000-0000-000000000000"}, random: uuid, defaults: []string{"gen_random_uuid()", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"},
			unique: func(n int) string { return fmt.Sprintf("%08x-0000-4000-8000-000000000000", n) }},
		{name: "ltree", sql: "ltree", values: []string{"", "a", "Top.Science.Astronomy"}},
		{name: "isbn", sql: "isbn", values: []string{"0-393-04002-X", "0-14-044913-2"}},
		{name: "inet", sql: "inet", values: []string{"192.168.1.5", "10.0.0.0/8", "::1", "2001:db8::/32"}, defaults: []string{"'127.0.0.1'"}},
		{name: "cidr", sql: "cidr", values: []string{"10.0.0.0/8", "2001:db8::/32", "192.168.1.5/32"}},
		{name: "macaddr", sql: "macaddr", values: []string{"08:00:2b:01:02:03"}},
		{name: "macaddr8", sql: "macaddr8", values: []string{"08:00:2b:01:02:03:04:05"}},
		{name: "tsvector", sql: "tsvector", values: []string{"", "'a' 'fat':2B,4 'rat':5A"}},
	}
}

func times() []*kind {
	return []*kind{
		{name: "date", sql: "date", values: []string{"1970-01-01", "1969-12-31", "0001-01-01", "1582-10-04", "1582-10-15", "9999-12-31", "5874897-12-31"}, random: date,
			special: []string{"infinity", "-infinity", "4713-01-01 BC", "0044-03-15 BC", "1582-10-10"}, defaults: []string{"'2020-02-29'", "CURRENT_DATE", "'1970-01-01'"},
			unique: func(n int) string { return fmt.Sprintf("%04d-%02d-%02d", 1900+n/336, 1+n/28%12, 1+n%28) }},
		{name: "time", sql: "time", values: []string{"00:00:00", "23:59:59.999999"}, special: []string{"24:00:00"}, random: clock, defaults: []string{"'12:34:56'", "LOCALTIME"}},
		{name: "time0", sql: "time(0)", values: []string{"00:00:00", "23:59:59"}, random: clock},
		{name: "time3", sql: "time(3)", values: []string{"00:00:00", "12:00:00.5"}, random: clock, defaults: []string{"'01:02:03.004'"}},
		{name: "timetz", sql: "timetz", values: []string{"00:00:00Z", "23:59:59.999999-12"}, random: func(r *rand.Rand) string { return clock(r) + zone(r) }},
		{name: "timetz2", sql: "timetz(2)", values: []string{"10:00:00.5Z"}, random: func(r *rand.Rand) string { return clock(r) + zone(r) }},
		{name: "ts", sql: "timestamp", values: []string{"1970-01-01 00:00:00", "1969-12-31 23:59:59.999999"}, random: instant,
			special: []string{"9999-12-31 23:59:59.999999", "1600-01-01 00:00:00", "infinity", "-infinity", "0044-03-15 12:00:00 BC", "294246-12-31 23:59:59.999999", "4713-01-01 00:00:00 BC", "1582-10-10 00:00:00"}, defaults: []string{"'2020-02-29 12:00:00'", "now()", "LOCALTIMESTAMP", "'2020-02-29 12:00:00.123456'"},
			unique: func(n int) string { return fmt.Sprintf("2020-01-01 %02d:%02d:%02d.000001", n/3600%24, n/60%60, n%60) }},
		{name: "ts0", sql: "timestamp(0)", values: []string{"1970-01-01 00:00:00"}, random: instant, special: []string{"infinity", "-infinity"}},
		{name: "ts3", sql: "timestamp(3)", values: []string{"1970-01-01 00:00:00.001", "2020-01-01 00:00:00"}, random: instant, special: []string{"infinity", "-infinity", "0044-03-15 12:00:00.5 BC"}, defaults: []string{"'2020-02-29 12:00:00.123'"}},
		{name: "tstz", sql: "timestamptz", values: []string{"1970-01-01 00:00:00Z", "2020-06-01 12:00:00.5+02"}, random: func(r *rand.Rand) string { return instant(r) + zone(r) },
			special: []string{"infinity", "-infinity", "0044-03-15 12:00:00+00 BC", "294276-12-31 23:59:59.999999Z", "10000-01-01 00:00:00Z"}, defaults: []string{"now()", "'2020-02-29 12:00:00+00'"}},
		{name: "tstz0", sql: "timestamptz(0)", values: []string{"1970-01-01 00:00:00Z"}, random: func(r *rand.Rand) string { return instant(r) + zone(r) }},
		{name: "tstz3", sql: "timestamptz(3)", values: []string{"1970-01-01 00:00:00Z", "2020-06-01 12:00:00.5+02"}, random: func(r *rand.Rand) string { return instant(r) + zone(r) }, defaults: []string{"now()", "'2020-02-29 12:00:00.5+00'"}},
		{name: "interval", sql: "interval", values: []string{"0", "1 year 2 mons 3 days 04:05:06.78", "-1 year -2 mons", "1 mon -1 day", "-00:00:00.000001", "290000 years"}, random: period, defaults: []string{"'1 day'", "'1 mon 2 days 03:04:05.6'"}},
	}
}

func others() []*kind {
	list := []*kind{
		{name: "mood", sql: "$.mood", values: []string{"sad", "ok"}, defaults: []string{"'ok'"}, unique: nil},
		{name: "age", sql: "$.age", values: []string{"0", "7", "-999"}},
		{name: "code", sql: "$.code", values: []string{"", "ten chars."}, defaults: []string{"'c'"}},
		{name: "sale", sql: "$.sale", values: []string{"0", "999999.99", "-1.5"}, special: []string{"NaN"}},
		{name: "feeling", sql: "$.feeling", values: []string{"sad", "ok"}},
		{name: "pair", sql: "$.pair", outOfLine: true, values: []string{"(1,x)", "(,)"}},
		{name: "lsn", sql: "pg_lsn", values: []string{"0/0", "16/B374D848"}},
		{name: "tsquery", sql: "tsquery", values: []string{"'fat' & 'rat'"}},
		{name: "multirange", sql: "int4multirange", outOfLine: true, values: []string{"{}", "{[1,3),[5,7)}"}},
		{name: "point", sql: "point", values: []string{"(1,1)", "(-1.5,2.25e10)", "(0,0)"}},
		{name: "box", sql: "box", values: []string{"(1,1),(0,0)", "(2.5,3),(-1,-2)"}},
		{name: "lseg", sql: "lseg", values: []string{"[(0,0),(1,1)]"}},
		{name: "path", sql: "path", outOfLine: true, values: []string{"((0,0),(1,1),(2,0))", "[(0,0),(1,1),(2,0)]"}},
		{name: "polygon", sql: "polygon", outOfLine: true, values: []string{"((0,0),(1,1),(2,0))"}},
		{name: "circle", sql: "circle", values: []string{"<(0,0),1.5>"}},
		{name: "line", sql: "line", values: []string{"{1,-1,0}", "{0,1,2.5}"}},
		// One key each: Debezium writes several in the order of a Java hash table.
		{name: "hstore", sql: "hstore", values: []string{"", `"a"=>"1"`, `"k ü"=>NULL`, `"q\"uote"=>"x\\y"`}, placeholder: true,
			big: func(r *rand.Rand) string { return `"big"=>"` + hexText(r, 4000) + `"` }},
	}
	for _, rng := range []struct {
		name, sql string
		values    []string
	}{
		{"int4range", "int4range", []string{"empty", "[1,10)", "(,5)", "(,)"}},
		{"int8range", "int8range", []string{"[1,10]", "[-5,)"}},
		{"numrange", "numrange", []string{"[1.5,2.5]", "(1,)"}},
		{"tsrange", "tsrange", []string{`["2020-01-01 00:00:00","2021-01-01 12:00:00.5")`, "(,infinity)"}},
		{"tstzrange", "tstzrange", []string{`["2020-01-01 00:00:00+00","2021-01-01 12:00:00+02")`}},
		{"daterange", "daterange", []string{"[2020-01-01,2020-02-01]", "(,2020-01-01)"}},
	} {
		list = append(list, &kind{name: rng.name, sql: rng.sql, values: rng.values})
	}
	return list
}

// withPlaceholder are the arrays whose unchanged values Debezium writes as a list
// that stands for them.
var withPlaceholder = map[string]bool{
	"text": true, "varchar": true, "char5": true, "json": true, "jsonb": true, "bytea": true, "int4": true, "date": true, "int8": true, "uuid": true,
}

// lostByNull are types of which Debezium writes null for an array that has a NULL
// in it.
var lostByNull = map[string]bool{"mood": true, "ltree": true}

// arrays are those of the kinds that have arrays worth trying.
func arrays(of []*kind) []*kind {
	var list []*kind
	for _, k := range of {
		switch k.name {
		case "varbit1", "num2_5", "bit9", "bit64", "varbit20", "ichar", "isbn", "feeling", "box", "lseg", "path", "polygon", "circle", "line", "geometry", "geompoint", "geography", "bit1", "bpchar", "tsvector", "tsquery", "lsn", "multirange":
			continue
		}
		a := array(k.name+"_a", k.sql+"[]", k, !lostByNull[k.name])
		if lostByNull[k.name] {
			a.special = []string{"{NULL," + arrayItem(k.values[1]) + "}"}
		}
		a.placeholder = withPlaceholder[k.name]
		a.optional = strings.HasPrefix(k.sql, "$") && k.name != "mood"
		list = append(list, a)
	}
	return list
}
