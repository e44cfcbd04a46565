package steps

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/tailrace/tailrace/sinks"
)

// caster converts texts of one type to those of another; nil where they are the
// same.
func caster(from, to *sinks.Column) (func(*scope, []byte) ([]byte, error), error) {
	if from.Array || to.Array {
		if *from == *to {
			return nil, nil
		}
		return nil, fmt.Errorf("column %q: an array is cast neither from nor to another type", from.Name)
	}
	if to.Type == sinks.Text {
		return nil, nil // every type has a text
	}
	source, target := typeOf(from), typeOf(to)
	if target.kind == kindText { // uuid, json, time and their like: the sink judges the text
		if source.kind != kindText {
			return nil, fmt.Errorf("column %q: %s has no cast to %s", from.Name, source, typeName(to))
		}
		return nil, nil
	}
	read, _ := reader(from)
	convert := map[kind]func(*scope, value) value{
		kindBool: (*scope).toBool, kindInt: (*scope).toInt, kindDecimal: (*scope).toDecimal, kindFloat: (*scope).toFloat,
		kindDate: (*scope).toDate, kindTimestamp: (*scope).toTimestamp, kindTimestampTZ: (*scope).toTimestampTZ,
	}[target.kind]
	if !castable(source.kind, target.kind) {
		return nil, fmt.Errorf("column %q: %s has no cast to %s", from.Name, source, typeName(to))
	}
	column := *to
	return func(s *scope, b []byte) ([]byte, error) {
		v := convert(s, read(s, b))
		if s.err != nil {
			return nil, s.err
		}
		return encode(nil, v, &column)
	}, nil
}

func castable(from, to kind) bool {
	switch {
	case from == to, from == kindText:
		return true
	case to == kindBool:
		return false
	case temporal(from):
		return temporal(to)
	case from == kindBool:
		return to == kindInt
	}
	return numeric(to)
}

var typeText = regexp.MustCompile(`^([a-z0-9 ]+?)(?:\((\d+)(?:,\s*(\d+))?\))?$`)

// typeNames are the types that a cast can name, by PostgreSQL's names of them.
var typeNames = map[string]sinks.Type{
	"text": sinks.Text, "boolean": sinks.Bool, "bool": sinks.Bool, "smallint": sinks.Int16, "int2": sinks.Int16,
	"integer": sinks.Int32, "int": sinks.Int32, "int4": sinks.Int32, "bigint": sinks.Int64, "int8": sinks.Int64,
	"real": sinks.Float32, "float4": sinks.Float32, "double precision": sinks.Float64, "float8": sinks.Float64,
	"numeric": sinks.Decimal, "decimal": sinks.Decimal, "date": sinks.Date, "timestamp": sinks.Timestamp,
	"timestamptz": sinks.TimestampTZ, "json": sinks.JSON, "uuid": sinks.UUID, "time": sinks.Time, "interval": sinks.Interval,
}

// parseType reads a type's name.
func parseType(s string) (sinks.Column, error) {
	m := typeText.FindStringSubmatch(strings.ToLower(strings.TrimSpace(s)))
	if m == nil {
		return sinks.Column{}, fmt.Errorf("want a type, as in numeric(10,2), found %q", s)
	}
	t, ok := typeNames[m[1]]
	c := sinks.Column{Type: t}
	switch {
	case !ok:
		return c, fmt.Errorf("unknown type %s%s", m[1], near(m[1], slices.Collect(maps.Keys(typeNames))))
	case m[2] == "":
		return c, nil
	case t != sinks.Decimal:
		return c, fmt.Errorf("type %s takes no precision", m[1])
	}
	if _, err := fmt.Sscan(m[2], &c.Precision); err != nil || c.Precision < 1 || c.Precision > 1000 {
		return c, fmt.Errorf("want a precision from 1 to 1000, found %s", m[2])
	}
	if m[3] != "" {
		if _, err := fmt.Sscan(m[3], &c.Scale); err != nil || c.Scale > c.Precision {
			return c, fmt.Errorf("want a scale from 0 to %d, found %s", c.Precision, m[3])
		}
	}
	return c, nil
}

// typeName is the type of a column in PostgreSQL's words, for messages.
func typeName(c *sinks.Column) string {
	best := ""
	for name, t := range typeNames {
		if t == c.Type && len(name) > len(best) {
			best = name
		}
	}
	if c.Array {
		best += "[]"
	}
	return best
}
