package postgres

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/tailrace/tailrace/sinks"
)

// columnType is the type of a column that schema: add makes.
func columnType(c sinks.Column) string {
	if c.Array {
		c.Array = false
		return columnType(c) + "[]"
	}
	switch c.Type {
	case sinks.Bool:
		return "boolean"
	case sinks.Int16:
		return "smallint"
	case sinks.Int32:
		return "integer"
	case sinks.Int64:
		return "bigint"
	case sinks.Float32:
		return "real"
	case sinks.Float64:
		return "double precision"
	case sinks.Decimal:
		if c.Precision <= 0 || c.Precision == unknownPrecision || c.Precision > 1000 || c.Scale < 0 || c.Scale > c.Precision {
			return "numeric" // and what PostgreSQL before 15 does not allow
		}
		return fmt.Sprintf("numeric(%d,%d)", c.Precision, c.Scale)
	case sinks.Bytes:
		return "bytea"
	case sinks.JSON:
		return "json"
	case sinks.UUID:
		return "uuid"
	case sinks.Date:
		return "date"
	case sinks.Time:
		return "time without time zone"
	case sinks.TimeTZ:
		return "time with time zone"
	case sinks.Timestamp:
		return "timestamp without time zone"
	case sinks.TimestampTZ:
		return "timestamp with time zone"
	case sinks.Interval:
		return "interval"
	case sinks.Bits:
		return "bit varying"
	}
	return "text"
}

// unknownPrecision is what a schema says of a decimal whose precision is not
// known, such as money.
const unknownPrecision = 64

// takes tells whether a column of type have, as format_type prints it, holds
// every value of c without changing it. Text goes into any type that the server
// reads from text by itself and refuses otherwise (inet, xml, enums, ranges).
func takes(have string, c sinks.Column) bool {
	want := columnType(c)
	if have == want || have == "text" {
		return true
	}
	if c.Array {
		elem, ok := strings.CutSuffix(have, "[]")
		c.Array = false
		return ok && takes(elem, c)
	}
	switch c.Type {
	case sinks.Int16:
		return have == "integer" || have == "bigint" || wholeDigits(have) >= 5
	case sinks.Int32:
		return have == "bigint" || wholeDigits(have) >= 10
	case sinks.Int64:
		return wholeDigits(have) >= 19
	case sinks.Float32:
		return have == "double precision"
	case sinks.Decimal:
		if have == "numeric" {
			return true
		}
		precision, scale, ok := numericModifier(have)
		return ok && want != "numeric" && scale >= c.Scale && precision-scale >= c.Precision-c.Scale
	case sinks.JSON:
		return have == "jsonb"
	case sinks.Bits:
		return strings.HasPrefix(have, "bit varying(") || strings.HasPrefix(have, "bit(")
	case sinks.Bool, sinks.Bytes, sinks.UUID, sinks.Float64:
		return false
	case sinks.Date, sinks.Time, sinks.TimeTZ, sinks.Timestamp, sinks.TimestampTZ, sinks.Interval:
		return strings.Replace(have, "(6)", "", 1) == want
	}
	return !hasTypeOfItsOwn(have)
}

// wholeDigits is how many digits before the point a numeric type holds.
func wholeDigits(have string) int {
	if have == "numeric" {
		return 1000
	}
	precision, scale, ok := numericModifier(have)
	if !ok {
		return 0
	}
	return precision - scale
}

func numericModifier(have string) (precision, scale int, ok bool) {
	inner, ok := strings.CutPrefix(have, "numeric(")
	if !ok {
		return 0, 0, false
	}
	p, s, _ := strings.Cut(strings.TrimSuffix(inner, ")"), ",")
	precision, err1 := strconv.Atoi(p)
	scale, err2 := strconv.Atoi(s)
	return precision, scale, err1 == nil && err2 == nil
}

// hasTypeOfItsOwn names the types that a value described as text cannot be
// meant for: a record would have said so. char(n) is among them because it pads.
func hasTypeOfItsOwn(have string) bool {
	base, _, _ := strings.Cut(have, "(")
	switch base {
	case "boolean", "smallint", "integer", "bigint", "real", "double precision", "numeric", "bytea", "json", "jsonb",
		"uuid", "date", "time without time zone", "time with time zone", "time", "timestamp",
		"timestamp without time zone", "timestamp with time zone", "character", "\"char\"", "bit", "bit varying", "interval", "name":
		return true
	}
	return strings.HasSuffix(have, "[]")
}
