package clients

import "strings"

// column is a column of the table that is read, with the form in which its value
// travels as SQL: text, or JSON for an array or record.
type column struct {
	name, definition string
	travels          string // "" for the value's text
}

// typ is the type in a column's definition.
func (c column) typ() string {
	t, _, _ := strings.Cut(c.definition, " DEFAULT ")
	return strings.TrimSuffix(strings.TrimSuffix(t, " NOT NULL"), " PRIMARY KEY")
}

// def is the default in it, "" for none.
func (c column) def() string {
	_, d, _ := strings.Cut(c.definition, " DEFAULT ")
	return d
}

// columns are of the types that readers take apart in different ways.
var columns = []column{
	{name: "id", definition: "bigint PRIMARY KEY"},
	{name: "b", definition: "boolean"},
	{name: "i2", definition: "smallint"},
	{name: "i4", definition: "int"},
	{name: "i8", definition: "bigint NOT NULL DEFAULT 7"},
	{name: "f4", definition: "real"},
	{name: "f8", definition: "double precision"},
	{name: "dec", definition: "numeric(12,2)"},
	{name: "num", definition: "numeric", travels: "trim_scale(num)"},
	{name: "txt", definition: "text"},
	{name: "vc", definition: "varchar(20) DEFAULT 'v'"},
	{name: "ch", definition: "char(5)", travels: "rpad(ch, 5)"},
	{name: "bin", definition: "bytea", travels: "'0x' || encode(bin, 'hex')"},
	{name: "js", definition: "jsonb"},
	{name: "u", definition: "uuid"},
	{name: "m", definition: "mood DEFAULT 'ok'"},
	{name: "d", definition: "date", travels: "d - '1970-01-01'"},
	{name: "t", definition: "time", travels: "(extract(epoch FROM t) * 1000000)::bigint"},
	{name: "ts", definition: "timestamp", travels: "(extract(epoch FROM ts) * 1000000)::bigint"},
	{name: "ts3", definition: "timestamp(3)", travels: "(extract(epoch FROM ts3) * 1000)::bigint"},
	{name: "tz", definition: "timestamptz", travels: `to_char(tz AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`},
	{name: "iv", definition: "interval", travels: "(extract(epoch FROM iv) * 1000000)::bigint"},
	{name: "tags", definition: "text[]", travels: "to_jsonb(tags)"},
	{name: "ints", definition: "int[]", travels: "to_jsonb(ints::text[])"},
	{name: "p", definition: "point", travels: "CASE WHEN p IS NOT NULL THEN jsonb_build_object('x', p[0], 'y', p[1]) END"},
	{name: "ip", definition: "inet", travels: "CASE WHEN ip IS NOT NULL THEN format('%s', ip) END"},
}

// setup is there when the relay starts, workload comes while it streams. The row
// with the greatest id is the last one to come.
var (
	setup = []string{
		`INSERT INTO things (id) VALUES (1)`,
		`INSERT INTO things VALUES (2, true, -32768, 2147483647, 9007199254740993, 1.5, 0.1, 12345.67, 1.2500, 'it''s "ü" 😀', 'x', 'ab', '\x00ff10',
			'{"a": [1, null]}', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'sad', '2020-02-29', '12:34:56.789012', '2020-02-29 12:34:56.789012', '2020-02-29 12:34:56.789',
			'2020-02-29 12:34:56.5+02', '26:03:04', '{a,NULL,"b,c"}', '{1,NULL,-3}', '(1.5,-2)', '10.0.0.0/8')`,
		`INSERT INTO things (id, txt) SELECT g, repeat('x', g) FROM generate_series(10, 40) g`,
	}
	workload = []string{
		`INSERT INTO things VALUES (3, false, 0, 0, -9223372036854775808, -0.25, 1e300, -0.01, -123456789012345678901234567890.5, '', NULL, '', '\x',
			'null', '00000000-0000-0000-0000-000000000000', NULL, '1969-12-31', '00:00:00', '1969-12-31 23:59:59.999999', '1900-01-01 00:00:00',
			'1970-01-01 00:00:00Z', '-00:00:01', '{}', '{}', '(0,0)', '::1')`,
		`UPDATE things SET dec = -dec, num = num * 1000, tags = array_append(tags, 'more'), tz = now() WHERE id = 2`,
		`UPDATE things SET id = 100 + id WHERE id BETWEEN 10 AND 14`,
		`DELETE FROM things WHERE id BETWEEN 20 AND 30`,
		`BEGIN; INSERT INTO things (id, f8) SELECT g, g / 7.0 FROM generate_series(50, 60) g; UPDATE things SET vc = NULL WHERE id > 55; COMMIT`,
		`INSERT INTO things (id, txt) VALUES (1000, 'last')`,
	}
)

const last = "1000"
