package kafka

import (
	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/sinks"
)

// typeNames are PostgreSQL's names of the types that a column can have.
var typeNames = [...]string{
	sinks.Text: "text", sinks.Bool: "bool", sinks.Int16: "int2", sinks.Int32: "int4", sinks.Int64: "int8",
	sinks.Float32: "float4", sinks.Float64: "float8", sinks.Decimal: "numeric", sinks.Bytes: "bytea", sinks.JSON: "json",
	sinks.UUID: "uuid", sinks.Date: "date", sinks.Time: "time", sinks.TimeTZ: "timetz", sinks.Timestamp: "timestamp",
	sinks.TimestampTZ: "timestamptz", sinks.Interval: "interval", sinks.Bits: "varbit",
}

// tableOf is a shape in the words that package schema makes plans of. Columns beside
// the key can be null and have no default: nothing more is known of them here.
func tableOf(o *sinks.Origin, s *sinks.Shape) *cdc.Table {
	t := &cdc.Table{Schema: o.Schema, Name: o.Table, Identity: cdc.IdentityFull, Key: s.Key, Columns: make([]cdc.Column, len(s.Columns))}
	for i := range s.Columns {
		c := &s.Columns[i]
		typ := &cdc.Type{Schema: "pg_catalog", Name: typeNames[c.Type], Kind: cdc.KindBase}
		modifier := int32(-1)
		if c.Type == sinks.Decimal && c.Precision > 0 {
			modifier = int32(c.Precision)<<16 | int32(c.Scale)&0x7ff + 4 // as numeric's atttypmod
		}
		if c.Array {
			typ = &cdc.Type{Schema: "pg_catalog", Name: "_" + typ.Name, Kind: cdc.KindArray, Elem: typ}
		}
		t.Columns[i] = cdc.Column{Name: c.Name, Type: typ, Modifier: modifier, Replicated: true}
	}
	for _, k := range t.Key {
		t.Columns[k].NotNull = true
	}
	return t
}
