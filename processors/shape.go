package processors

import (
	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/schema"
	"github.com/tailrace/tailrace/sinks"
)

// ShapeOf is a table's columns, and those of its key, in the words of package
// sinks: the shape of the changes that records of these schemas give.
func ShapeOf(columns, key []schema.Field) (*sinks.Shape, error) {
	indexes, err := keyIndexes(key, columns)
	if err != nil {
		return nil, err
	}
	return shapeOf(columns, indexes), nil
}

// shapeOf is a reader's columns in the words of package sinks.
func shapeOf(columns []schema.Field, key []int) *sinks.Shape {
	s := &sinks.Shape{Key: key, Columns: make([]sinks.Column, len(columns))}
	for i := range columns {
		f := &columns[i]
		c := sinks.Column{Name: f.Name}
		if f.Kind == schema.KindArray && f.Elem != nil {
			c.Array = true
			f = f.Elem
		}
		c.Type = types[f.Kind]
		if f.Kind == schema.KindDecimal {
			c.Precision, c.Scale = f.Precision, f.Scale
		}
		s.Columns[i] = c
	}
	return s
}

// types are the kinds that are more than text.
var types = map[schema.Kind]sinks.Type{
	schema.KindBool:            sinks.Bool,
	schema.KindInt16:           sinks.Int16,
	schema.KindInt32:           sinks.Int32,
	schema.KindInt64:           sinks.Int64,
	schema.KindFloat32:         sinks.Float32,
	schema.KindFloat64:         sinks.Float64,
	schema.KindDecimal:         sinks.Decimal,
	schema.KindVariableDecimal: sinks.Decimal,
	schema.KindBytes:           sinks.Bytes,
	schema.KindBits:            sinks.Bits,
	schema.KindDate:            sinks.Date,
	schema.KindTime:            sinks.Time,
	schema.KindTimestamp:       sinks.Timestamp,
	schema.KindZonedTimestamp:  sinks.TimestampTZ,
	schema.KindZonedTime:       sinks.TimeTZ,
	schema.KindInterval:        sinks.Interval,
	schema.KindUUID:            sinks.UUID,
	schema.KindJSON:            sinks.JSON,
}

// arena holds the values of one batch: a reader's own are valid until it reads
// the next record.
type arena struct {
	bytes  []byte
	values []cdc.Value
}

// The sizes of new chunks. A value longer than a chunk gets its own.
const (
	arenaBytes  = 256 << 10
	arenaValues = 4096
)

// reset forgets the chunks of the batch before. They are not used again: a
// batch that is tried again still refers to them.
func (a *arena) reset() { a.bytes, a.values = nil, nil }

// row copies a row of n values; a nil row is one of which nothing is known.
func (a *arena) row(src []cdc.Value, n int) []cdc.Value {
	row := a.nulls(n)
	for i := range row {
		switch {
		case src == nil:
			row[i] = cdc.Value{State: cdc.Absent}
		case i < len(src):
			row[i] = a.value(src[i])
		}
	}
	return row
}

// nulls makes a row of n nulls.
func (a *arena) nulls(n int) []cdc.Value {
	if cap(a.values)-len(a.values) < n {
		a.values = make([]cdc.Value, 0, max(arenaValues, n))
	}
	from := len(a.values)
	a.values = a.values[:from+n]
	return a.values[from : from+n : from+n]
}

func (a *arena) value(v cdc.Value) cdc.Value {
	if v.State != cdc.Text {
		return v
	}
	if cap(a.bytes)-len(a.bytes) < len(v.Data) {
		a.bytes = make([]byte, 0, max(arenaBytes, len(v.Data)))
	}
	from := len(a.bytes)
	a.bytes = append(a.bytes, v.Data...)
	v.Data = a.bytes[from:len(a.bytes):len(a.bytes)]
	return v
}
