package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// formTable has a column for each key of format that changes a value's form.
var formTable = []string{
	"CREATE EXTENSION hstore",
	"CREATE TYPE pair AS (a int, b text)",
	`CREATE TABLE f (id int PRIMARY KEY, two numeric(3,2), zero numeric(4), free numeric, bin bytea, span interval, h hstore, cash money, dflt int DEFAULT 5,
		day date, at timestamp, tz timestamptz, query tsquery, ranges int4multirange, moneys money[], spans interval[], pair pair)`,
	`INSERT INTO f VALUES (1, 1.1, 10.11, 10.1111, '\x0102ff', '1 year 2 months 3 days 04:05:06.78', 'k=>v, "a #"=>NULL', '$1,234.11', NULL,
		'2016-11-04', '2016-11-04 13:51:30.123456', '2016-11-04 13:51:30.123456+02', 'a & b', '{[1,3)}', '{$1.00}', '{1 day}', ROW(1, 'x'))`,
}

// form is what a setting makes of formTable. The values of columns are those that
// relay tail prints, which are PostgreSQL's wherever the form is only about bytes;
// so the types of their fields are looked at, too. "" is no such field.
type form struct {
	config  string
	subject string // of the value; "" is <topic>-value
	values  map[string]string
	types   map[string]string
	nan     string // what becomes of a NaN: "" is a dead letter
	cash    string // of the rows with $-1.50, $0.00 and NULL; "" is not looked at
}

const decimalName = `"connect.name":"org.apache.kafka.connect.data.Decimal"`

var forms = map[string]form{
	"default": {
		cash: `-1.50 0.00 null`,
		values: map[string]string{
			"two": `1.10`, "zero": `10`, "free": `10.1111`, "bin": `"\\x0102ff"`, "span": `"10303:05:06.78"`, "h": `"{\"k\":\"v\",\"a #\":null}"`, "cash": `1234.11`, "dflt": `null`,
			"query": `"'a' & 'b'"`, "ranges": `"{[1,3)}"`, "moneys": `["$1.00"]`, "spans": `["1 day"]`, "pair": `"(1,x)"`,
		},
		types: map[string]string{
			"two": `"scale":2,"precision":3,`, "zero": `"scale":0,"precision":4,`, "free": `VariableScaleDecimal`, "bin": `"bytes"`, "span": `io.debezium.time.MicroDuration`,
			"h": `io.debezium.data.Json`, "cash": decimalName, "dflt": `[{"type":"int","connect.default":5},"null"]`, "day": `io.debezium.time.Date`, "at": `io.debezium.time.MicroTimestamp`,
			"query": `tailrace.pg.tsquery`, "ranges": `tailrace.pg.int4multirange`, "moneys": `tailrace.pg.money`, "spans": `tailrace.pg.interval`, "pair": `tailrace.pg.pair`,
		},
	},
	"texts": {
		config:  "format: {decimal: string, binary: base64, interval: string, hstore: map, time: isostring, unknown: bytes}\nregistry: {subject: topic_record}\n",
		subject: "TOPIC-TOPIC.Envelope",
		values: map[string]string{
			"two": `"1.10"`, "zero": `"10"`, "free": `"10.1111"`, "bin": `"AQL/"`, "h": `{"k":"v","a #":null}`, "at": `"2016-11-04 13:51:30.123456"`,
			"query": `"J2EnICYgJ2In"`,
		},
		types: map[string]string{
			"two": `"string"`, "bin": `"string"`, "span": `io.debezium.time.Interval`, "h": `{"type":"map","values":["null","string"]}`, "day": `io.debezium.time.IsoDate`, "at": `io.debezium.time.IsoTimestamp`,
		},
		nan:  `"NAN"`,
		cash: `"-1.50" "0.00" null`,
	},
	"doubles": {
		cash:    `-1.5 0 null`,
		config:  "format: {decimal: double, binary: hex, time: connect, unknown: drop}\nregistry: {subject: record}\n",
		subject: "TOPIC.Envelope",
		values:  map[string]string{"two": `1.1`, "zero": `10`, "free": `10.1111`, "bin": `"0102ff"`, "cash": `1234.11`, "at": `"2016-11-04 13:51:30.123"`, "query": "", "moneys": "", "pair": ""},
		types:   map[string]string{"two": `"double"`, "bin": `"string"`, "day": `org.apache.kafka.connect.data.Date`, "at": `org.apache.kafka.connect.data.Timestamp`},
		nan:     `"NaN"`,
	},
	"parts": {
		config: "format: {binary: base64-url-safe, time: structured, money_digits: 1}\n",
		values: map[string]string{"bin": `"AQL_"`, "cash": `1234.1`, "at": `"2016-11-04 13:51:30.123456"`},
		types:  map[string]string{"day": `io.debezium.time.StructuredDate`, "at": `io.debezium.time.StructuredTimestamp`, "span": `io.debezium.time.StructuredDuration`},
	},
	"nonfinite texts": {
		config: "format: {nonfinite: string}\n",
		values: map[string]string{"two": `"1.10"`, "free": `"10.1111"`},
		types:  map[string]string{"two": `"string"`, "span": `io.debezium.time.Interval`},
		nan:    `"NAN"`,
	},
	"nanoseconds": {
		config: "format: {time: nanoseconds, nonfinite: \"null\"}\n",
		types:  map[string]string{"at": `io.debezium.time.NanoTimestamp`},
		nan:    `null`,
	},
	"debezium": {
		config: "format: {compat: debezium}\n",
		values: map[string]string{"two": `1.10`, "dflt": `5`, "query": "", "ranges": "", "moneys": "", "spans": "", "pair": ""},
		nan:    `null`,
	},
	"debezium, and keys of its own": {
		config: "format: {compat: debezium, unknown: bytes, decimal: double, nonfinite: \"null\"}\n",
		values: map[string]string{"dflt": `5`, "query": `"\\x276127202620276227"`, "moneys": "", "spans": ""},
		nan:    `"NaN"`,
	},
}

// TestForms runs the relay with each form on the same table.
func TestForms(t *testing.T) {
	t.Parallel()
	for name, f := range forms {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, f.config)
			w.begin(t, formTable...)
			w.sql(t, "INSERT INTO f (id, free) VALUES (2, 'NaN')", "INSERT INTO f (id, cash) VALUES (3, '-1.50'), (4, '0'), (5, NULL)")
			w.stream(t)
			rows := w.records(t, "public.f", 4)
			first := fieldsOf(t, rows[0].After)
			for column, want := range f.values {
				if got := string(first[column]); got != want {
					t.Errorf("%s: %s, want %s", column, got, want)
				}
			}
			topic := w.name + ".public.f"
			subject := topic + "-value"
			if f.subject != "" {
				subject = strings.ReplaceAll(f.subject, "TOPIC", topic)
			}
			types := columnTypes(t, w.latest(t, subject))
			for column, want := range f.types {
				if !strings.Contains(types[column], want) {
					t.Errorf("%s: %s, want %s", column, types[column], want)
				}
			}
			var cash []string
			for _, s := range rows[len(rows)-3:] {
				cash = append(cash, string(fieldsOf(t, s.After)["cash"]))
			}
			if got := strings.Join(cash, " "); f.cash != "" && got != f.cash {
				t.Errorf("cash: %s, want %s", got, f.cash)
			}
			if f.nan == "" {
				if dead := w.records(t, w.name+".dead_letter", 1); len(rows) != 4 || dead[0].Column != "free" || !strings.Contains(string(dead[0].After), `"free":"NaN"`) {
					t.Errorf("%+v", dead[0])
				}
				return
			}
			if got := string(fieldsOf(t, rows[1].After)["free"]); got != f.nan {
				t.Errorf("NaN: %s, want %s", got, f.nan)
			}
		})
	}
}

// fieldsOf are the fields of a JSON object.
func fieldsOf(t *testing.T, object json.RawMessage) map[string]json.RawMessage {
	t.Helper()
	var m map[string]json.RawMessage
	if err := json.Unmarshal(object, &m); err != nil {
		t.Fatalf("%v: %s", err, object)
	}
	return m
}

// columnTypes are the types of the columns' fields in an envelope's schema.
func columnTypes(t *testing.T, envelope string) map[string]string {
	t.Helper()
	type field struct {
		Name string
		Type json.RawMessage
	}
	var e struct{ Fields []field }
	if err := json.Unmarshal([]byte(envelope), &e); err != nil {
		t.Fatal(err)
	}
	var before []json.RawMessage
	var row struct{ Fields []field }
	if err := json.Unmarshal(e.Fields[0].Type, &before); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(before[1], &row); err != nil {
		t.Fatal(err)
	}
	types := map[string]string{}
	for _, f := range row.Fields {
		types[f.Name] = string(f.Type)
	}
	return types
}
