package processors

import (
	"strings"

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
	bytes   chunks[byte]
	values  chunks[cdc.Value]
	changes chunks[sinks.Change]
	texts   strings.Builder
}

// The sizes of new chunks. A value longer than a chunk gets its own.
const (
	arenaBytes   = 256 << 10
	arenaValues  = 4096
	arenaChanges = 512
	arenaTexts   = 32 << 10
)

// chunks is room that is taken piece by piece.
type chunks[T any] struct {
	full []([]T)
	free []([]T)
	last []T
}

// take gives room for n, with what was left there.
func (c *chunks[T]) take(n, most int) []T {
	if cap(c.last)-len(c.last) < n {
		if cap(c.last) > 0 {
			c.full = append(c.full, c.last)
		}
		if k := len(c.free) - 1; k >= 0 && n <= most {
			c.last, c.free = c.free[k], c.free[:k]
		} else {
			c.last = make([]T, 0, max(most, n))
		}
	}
	from := len(c.last)
	c.last = c.last[:from+n]
	return c.last[from : from+n : from+n]
}

// recycle makes all of the room free again.
func (c *chunks[T]) recycle(most int) {
	if cap(c.last) > 0 {
		c.full, c.last = append(c.full, c.last), nil
	}
	for _, b := range c.full {
		if cap(b) == most { // else it was for one long value
			c.free = append(c.free, b[:0])
		}
	}
	c.full = c.full[:0]
}

// reset forgets the chunks of the batch before. They are not used again: a
// batch that is tried again still refers to them.
func (a *arena) reset() { *a = arena{} }

// recycle uses the chunks of the batch before again, to which nobody refers any more; but
// for texts, which may be anywhere.
func (a *arena) recycle() {
	a.bytes.recycle(arenaBytes)
	a.values.recycle(arenaValues)
	a.changes.recycle(arenaChanges)
}

// change makes an empty change.
func (a *arena) change() *sinks.Change {
	c := &a.changes.take(1, arenaChanges)[0]
	*c = sinks.Change{}
	return c
}

// text makes a text of bytes. It costs an allocation per chunk.
func (a *arena) text(b []byte) string {
	if a.texts.Cap()-a.texts.Len() < len(b) {
		a.texts.Reset()
		a.texts.Grow(max(arenaTexts, len(b)))
	}
	from := a.texts.Len()
	a.texts.Write(b)
	return a.texts.String()[from:]
}

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
	row := a.values.take(n, arenaValues)
	clear(row)
	return row
}

func (a *arena) value(v cdc.Value) cdc.Value {
	if v.State != cdc.Text {
		return v
	}
	data := a.bytes.take(len(v.Data), arenaBytes)
	copy(data, v.Data)
	v.Data = data
	return v
}
