package steps

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/processors"
	"github.com/tailrace/tailrace/sinks"
)

// orders is the table of the tests.
var orders = &sinks.Shape{Key: []int{0}, Columns: []sinks.Column{
	{Name: "id", Type: sinks.Int64},
	{Name: "amount", Type: sinks.Decimal, Precision: 10, Scale: 2},
	{Name: "qty", Type: sinks.Int32},
	{Name: "ratio", Type: sinks.Float64},
	{Name: "status", Type: sinks.Text},
	{Name: "paid", Type: sinks.Bool},
	{Name: "tags", Type: sinks.Text, Array: true},
	{Name: "doc", Type: sinks.JSON},
	{Name: "placed", Type: sinks.TimestampTZ},
	{Name: "due", Type: sinks.Date},
	{Name: "local", Type: sinks.Timestamp},
	{Name: "nothing", Type: sinks.Int64},
	{Name: "big note", Type: sinks.Text}, // unchanged TOAST
}}

var shop = &sinks.Origin{Topic: "shop.public.orders", Name: "shop", Database: "shop", Schema: "public", Table: "orders"}

func row(texts ...string) processors.Row {
	r := processors.Row{Columns: orders, Values: make([]cdc.Value, len(orders.Columns))}
	for i, t := range texts {
		switch t {
		case "<null>":
		case "<unchanged>":
			r.Values[i] = cdc.Value{State: cdc.Unchanged}
		case "<absent>":
			r.Values[i] = cdc.Value{State: cdc.Absent}
		default:
			r.Values[i] = processors.Text(t)
		}
	}
	return r
}

func update() *processors.Change {
	return &processors.Change{
		Op: cdc.OpUpdate, Target: shop, Position: cdc.Position{Epoch: 1, LSN: 5, Ordinal: 1},
		Source: processors.SourceInfo{Origin: shop, Snapshot: "false", LSN: 0x16B374D848, TxID: 7, Time: time.UnixMilli(1_700_000_000_123).UTC()},
		After: row("9007199254740993", "12.50", "3", "0.1", "new", "t", `{a,"b c",NULL}`, `{"a":{"b":[1,2.50,"x"]},"n":12345678901234567890.10}`,
			"2026-11-21 15:04:05.25+00", "2024-02-29", "2026-11-21 15:04:05", "<null>", "<unchanged>"),
		Before: row("9007199254740993", "10.00", "<absent>", "<absent>", "old", "<absent>", "<absent>", "<absent>", "<absent>", "<absent>", "<absent>", "<absent>", "<absent>"),
	}
}

func evaluate(t testing.TB, expression string) (string, typ, error) {
	t.Helper()
	e, err := Parse(expression)
	if err != nil {
		return "", typ{}, err
	}
	p, err := e.compile(orders)
	if err != nil {
		return "", typ{}, err
	}
	c := update()
	v, err := p.run(&scope{}, c, c.After)
	if err != nil {
		return "", p.typ, err
	}
	if v.null() {
		return "null", p.typ, nil
	}
	return string(appendText(nil, v)), p.typ, nil
}

func TestExpressions(t *testing.T) {
	t.Parallel()
	for expression, want := range map[string]string{
		// Integers keep their 64 bits, decimals their digits.
		"row.id":                      "9007199254740993",
		"row.id + 1":                  "9007199254740994",
		"row.id == 9007199254740992":  "f",
		"row.id > 9007199254740992.5": "t",
		"row.qty % 2":                 "1",
		"-row.qty":                    "-3",
		"7 / 2":                       "3.5",
		"1 / 3":                       "0.3333333333333333",
		"2 / 3":                       "0.6666666666666667",
		"row.amount * row.qty":        "37.50",
		"row.amount / 2":              "6.25",
		"row.amount + 0.005":          "12.505",
		"row.amount > 12.499999999999999999999999": "t",
		"row.amount == 12.5":                       "t",
		"0.1 + 0.2 == 0.3":                         "t",
		"1e3 + 1":                                  "1001",
		"123456789012345678901234567890.5 * 10":    "1234567890123456789012345678905.0",
		"round(row.amount * 1.075, 2)":             "13.44",
		"round(-2.5)":                              "-3",
		"floor(-2.5)":                              "-3",
		"ceil(2.1)":                                "3",
		"abs(-3)":                                  "3",
		"int(row.amount * 2)":                      "25",
		"decimal(\"1.50\")":                        "1.50",
		"decimal(row.ratio)":                       "0.1",
		"row.ratio * 3 > 0.3":                      "t", // floats are what they are
		"row.ratio == 0.1":                         "t",
		"float(row.amount) / 2.0":                  "6.25",
		"float(\"NaN\") == float(\"NaN\")":         "t",
		"decimal(\"NaN\") > 1e300":                 "t",
		// Nulls: equality knows them, order and arithmetic do not.
		"row.nothing == nil":                   "t",
		"row.nothing != 5":                     "t",
		"row.nothing > 5":                      "null",
		"!(row.nothing > 5)":                   "null",
		"row.nothing > 5 && false":             "f",
		"row.nothing > 5 || row.paid":          "t",
		"row.nothing + 1":                      "null",
		"row.nothing ?? 7":                     "7",
		"row.nothing > 5 ? \"a\" : \"b\"":      "b",
		"nil in [1, nil]":                      "t",
		"upper(text(row.nothing)) ?? \"none\"": "none",
		// Texts and lists.
		"row.status + \"-\" + text(row.qty)": "new-3",
		"row.status in [\"new\", \"paid\"]":  "t",
		"row.status not in [\"new\"]":        "f",
		"row.status matches \"^n.w$\"":       "t",
		"row.status contains \"ew\" and row.status startsWith \"n\" and not (row.status endsWith \"x\")": "t",
		"len(\"äöü\")":                       "3",
		"\"äöü\"[1:]":                        "öü",
		"\"äöü\"[-1:]":                       "ü",
		"upper(trim(\" a \"))":               "A",
		"replace(\"a.b.c\", \".\", \"/\")":   "a/b/c",
		"join(split(\"a,b\", \",\"), \"+\")": "a+b",
		"\"b c\" in row.tags":                "t",
		"len(row.tags)":                      "3",
		"row.tags[0]":                        "a",
		"row.tags[-1]":                       "null",
		"row.tags[7]":                        "null",
		"any(row.tags, # == \"a\")":          "t",
		"count(row.tags, # != nil)":          "2",
		"join(map(filter(row.tags, # != nil), upper(#)), \"|\")":  "A|B C",
		"all([1, 2, 3], # < 3 || #index == 2)":                    "t",
		"none(row.tags, # == \"x\") && one(row.tags, # == \"a\")": "t",
		"let x = row.qty * 2; x + x":                              "12",
		// JSON.
		"json(row.doc).a.b[1]":      "2.50",
		"json(row.doc).a.b[1] + 1":  "3.50",
		"json(row.doc).a.b[0] == 1": "t",
		"json(row.doc).n":           "12345678901234567890.10",
		"json(row.doc).none.deeper": "null",
		"json(row.doc)[\"a\"].b[2]": "x",
		"text(json(row.doc).a)":     `{"b":[1,2.50,"x"]}`,
		// Dates and timestamps.
		"row.placed > \"2026-11-21 16:04:05+02\"":                     "t",
		"row.placed >= \"2026-11-21 15:04:05.25Z\"":                   "t",
		"row.due < \"2024-03-01\"":                                    "t",
		"row.due == date(\"2024-02-29\")":                             "t",
		"row.local > row.due":                                         "t",
		"row.local >= \"2026-11-21\"":                                 "t",
		"text(row.placed)[:7]":                                        "2026-11",
		"year(row.due) * 10000 + month(row.due) * 100 + day(row.due)": "20240229",
		"hour(row.placed)":                                            "15",
		"epoch(row.placed)":                                           "1795273445.25",
		"date(row.placed)":                                            "2026-11-21",
		"timestamptz(row.local) < row.placed":                         "t",
		"date(\"infinity\") > row.due":                                "t",
		// What stands around the row.
		"op":                                   "u",
		"source.table + \"/\" + source.schema": "orders/public",
		"source.lsn":                           "97500059720",
		"source.time":                          "2023-11-14 22:13:20.123+00",
		"position":                             "00000001/0000000000000005/00000001/00",
		"before.amount < row.amount":           "t",
		"before.status != after.status":        "t",
		"row?.missing ?? \"-\"":                "-",
		"row[\"status\"]":                      "new",
		// What the record does not carry is no matter where nothing asks for it.
		"row.qty > 1 || row[\"big note\"] == \"\"": "t",
		"row.qty > 5 && row[\"big note\"] == \"\"": "f",
	} {
		got, _, err := evaluate(t, expression)
		if err != nil || got != want {
			t.Errorf("%s: got %q, %v; want %q", expression, got, err, want)
		}
	}
}

func TestExpressionFaultsSayWhereAndWhat(t *testing.T) {
	t.Parallel()
	for expression, want := range map[string]struct {
		offset int
		text   string
	}{
		"row.amount > \"ten\"":                 {11, "a decimal and a text cannot be compared; int(…) and decimal(…) read a number from a text"},
		"row.amont > 10":                       {4, `there is no column "amont"; did you mean amount?`},
		"rwo.amount > 10":                      {0, "unknown name rwo; did you mean row?"},
		"row > 10":                             {0, "row is a row: name a column of it, as in row.id"},
		"row.ratio + row.amount":               {10, "a float and a decimal do not mix; decimal(…) or float(…) says which"},
		"row.ratio == row.amount":              {10, "a float and a decimal cannot be compared"},
		"row.status + row.qty":                 {11, "a text and an integer do not add; text(…) writes a value"},
		"row.due > \"yesterday\"":              {10, `"yesterday" is not a date as in 2026-11-21`},
		"row.placed > row.local":               {11, "a timestamp has no time zone"},
		"row.placed > \"2026-11-21 15:04:05\"": {13, "is not a timestamptz as in 2026-11-21 15:04:05+00"},
		"row.qty &&":                           {9, "unexpected"},
		"row.qty && true":                      {4, "the left side of && must be a boolean; this is an integer"},
		"uper(row.status)":                     {0, "unknown function uper; did you mean upper?"},
		"upper(row.qty)":                       {10, "want upper(text); this is an integer"},
		"replace(row.status)":                  {0, "want replace(text, text, text), found 1 arguments"},
		"row.status matches \"(\"":             {19, "missing closing )"},
		"row.status matches row.status":        {23, "the pattern after matches is written out"},
		"1 in row.tags":                        {2, "an integer is never in a list of which each is a text"},
		"source.tabel":                         {7, "source has no field tabel; did you mean table?"},
		"true ? 1 : \"a\"":                     {0, "the two sides of : are an integer and a text"},
		"row.status.length":                    {11, "a text has no fields; of a column of type json, json(…) gives what is inside"},
		"{\"a\": 1}":                           {0, "this part of the language has no use here"},
		"1..5":                                 {1, "there is no operator .."},
		"any(row.tags, # > 1)":                 {16, "a text and an integer cannot be compared"},
		"#":                                    {0, "unexpected token"},
		"":                                     {-1, "want an expression"},
	} {
		_, _, err := evaluate(t, expression)
		var fault *Fault
		if !errors.As(err, &fault) {
			t.Errorf("%s: got %v, want a fault", expression, err)
			continue
		}
		if expression == "true ? 1 : \"a\"" {
			want.offset = fault.Offset // the parser puts it behind
		}
		if fault.Offset != want.offset || !strings.Contains(fault.Message, want.text) {
			t.Errorf("%s: got offset %d, %q; want %d, %q", expression, fault.Offset, fault.Message, want.offset, want.text)
		}
	}
}

// The record is at fault, and the message shows none of its values.
func TestExpressionErrorsAtRunTime(t *testing.T) {
	t.Parallel()
	for expression, want := range map[string]string{
		"row[\"big note\"] == nil":          `does not carry column "big note"`,
		"row[\"big note\"] ?? \"x\"":        `does not carry column "big note"`,
		"len(text(row[\"big note\"]))":      `does not carry column "big note"`,
		"true && row[\"big note\"] != \"\"": `does not carry column "big note"`,
		"before.qty > 1":                    `does not carry the old value of column "qty"`,
		"row.id * row.id":                   "beyond an integer of 64 bits",
		"9223372036854775807 + 1":           "beyond an integer of 64 bits",
		"-9223372036854775807 - 2":          "beyond an integer of 64 bits",
		"row.qty / 0":                       "division by zero",
		"row.qty % (row.qty - 3)":           "division by zero",
		"int(row.amount)":                   "the decimal is not whole",
		"int(row.status)":                   "the value is no integer",
		"decimal(\"NaN\") + 1":              "NaN and infinities",
		"json(row.status)":                  "the text is not JSON",
		"json(row.doc).a > 5":               "no order",
		"date(row.status)":                  "no date",
	} {
		got, _, err := evaluate(t, expression)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %q, %v; want %q", expression, got, err, want)
			continue
		}
		for _, secret := range []string{"new", "12.50", "9007199254740993", "b c"} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%s: the error shows a value: %v", expression, err)
			}
		}
	}
}

// Before an insert there is no row, so its columns are null; before an update that
// does not carry it there is one, and nobody knows it.
func TestNoRowIsNotAnUnknownRow(t *testing.T) {
	t.Parallel()
	e, err := Parse("before.status == nil")
	if err != nil {
		t.Fatal(err)
	}
	p, err := e.compile(orders)
	if err != nil {
		t.Fatal(err)
	}
	c := update()
	c.Op, c.Before = cdc.OpCreate, processors.Row{}
	if v, err := p.run(&scope{}, c, c.After); err != nil || !v.true() {
		t.Errorf("before an insert: %v, %v", v, err)
	}
	c.Op = cdc.OpUpdate
	var missing *processors.UnavailableError
	if _, err := p.run(&scope{}, c, c.After); !errors.As(err, &missing) || missing.Column != "status" || !missing.Old {
		t.Errorf("before an update without its old row: %v", err)
	}
}
