package schema

import (
	"strconv"
	"strings"

	"github.com/tailrace/tailrace/cdc"
)

// sourceColumn begins the names of the parameters that tell of a column's type in
// PostgreSQL.
const sourceColumn = "__debezium.source.column."

// sourceType is a column's type as PostgreSQL's JDBC driver describes it: its
// name in capitals, its length and scale where it has them.
func sourceType(c *cdc.Column) []param {
	params := []param{{sourceColumn + "type", strings.ToUpper(driverType(c))}}
	length, scale := extent(c.Type, c.Modifier)
	if length >= 0 {
		params = append(params, param{sourceColumn + "length", strconv.Itoa(length)})
	}
	if scale >= 0 {
		params = append(params, param{sourceColumn + "scale", strconv.Itoa(scale)})
	}
	return append(params, param{sourceColumn + "name", c.Name})
}

// driverType is the driver's name of a type: columns that take their value from a
// sequence are serial to it.
func driverType(c *cdc.Column) string {
	if strings.Contains(c.Default, "nextval(") {
		switch c.Type.Name {
		case "int2":
			return "smallserial"
		case "int4":
			return "serial"
		case "int8":
			return "bigserial"
		}
	}
	return c.Type.Name
}

// unlimited is the length of what has no bound of its own.
const unlimited = 1<<31 - 1

// variableLength is the driver's length of a numeric without precision. (Debezium
// has it in streamed records; in a snapshot's it asks in another way and gets 0.)
const variableLength = 131089

// extent is the length and the scale; -1 where the driver tells none.
func extent(t *cdc.Type, modifier int32) (length, scale int) {
	for t.Kind == cdc.KindDomain && t.Base != nil || t.Kind == cdc.KindArray && t.Elem != nil {
		if t.Kind == cdc.KindArray && t.Elem.Kind == cdc.KindDomain {
			return unlimited, 0
		}
		if t.Kind == cdc.KindArray {
			t = t.Elem
			continue
		}
		if t.BaseModifier != -1 {
			modifier = t.BaseModifier
		}
		t = t.Base
	}
	if t.Schema != "pg_catalog" {
		switch t.Name {
		case "vector", "halfvec", "sparsevec":
			return -1, 0
		}
		return unlimited, 0
	}
	switch t.Name {
	case "bool", "char":
		return 1, 0
	case "int2":
		return 5, 0
	case "int4", "oid":
		return 10, 0
	case "int8":
		return 19, 0
	case "float4":
		return 8, 8
	case "float8":
		return 17, 17
	case "numeric":
		if modifier >= 4 {
			return int(modifier-4) >> 16 & 0xffff, int(modifier-4) & 0x7ff
		}
		return variableLength, 0
	case "bpchar", "varchar":
		if modifier >= 4 {
			return int(modifier - 4), 0
		}
	case "bit":
		return max(1, int(modifier)), 0
	case "varbit":
		if modifier > 0 {
			return int(modifier), 0
		}
	case "date":
		return 13, 0
	case "time":
		return clockExtent(8, modifier)
	case "timetz":
		return clockExtent(14, modifier)
	case "timestamp":
		return clockExtent(22, modifier)
	case "timestamptz":
		return clockExtent(28, modifier)
	case "interval":
		if modifier >= 0 {
			return 49, int(modifier & 0xffff)
		}
		return 49, 6
	}
	return unlimited, 0
}

// clockExtent adds the fraction, of which the driver counts two digits at least.
func clockExtent(base int, modifier int32) (length, scale int) {
	scale = 6
	if modifier >= 0 {
		scale = int(modifier)
	}
	if scale == 0 {
		return base, 0
	}
	return base + 1 + max(2, scale), scale
}
