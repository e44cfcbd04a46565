package schema

import (
	"strconv"
	"strings"
)

// Kind is what sort of PostgreSQL value a field holds.
type Kind uint8

// The kinds.
const (
	KindOther  Kind = iota // records, and maps of anything but text, as JSON text
	KindString             // text; also network types, ranges and types outside the table
	KindBool
	KindInt16
	KindInt32
	KindInt64
	KindFloat32
	KindFloat64
	KindDecimal         // of fixed Precision and Scale
	KindVariableDecimal // of any scale
	KindBytes
	KindBits
	KindDate
	KindTime
	KindTimestamp
	KindZonedTimestamp
	KindZonedTime
	KindInterval
	KindUUID
	KindJSON
	KindXML
	KindEnum
	KindPoint
	KindGeometry // another figure on a plane, or one of PostGIS
	KindCircle
	KindLine
	KindVector // of pgvector
	KindArray
)

// Field describes one column of a reader's rows.
type Field struct {
	Name     string // the column's name in PostgreSQL
	Avro     string // the field's name in the record
	Kind     Kind
	Nullable bool
	Semantic string // connect.name, such as io.debezium.data.Json; empty for none
	// Precision and Scale are a decimal's. The scale can be negative.
	Precision, Scale int
	Labels           []string // of an enum, where the schema lists them
	Elem             *Field   // of an array
}

// PostgresType is the column type that holds every value of the field.
func (f *Field) PostgresType() string {
	switch f.Kind {
	case KindBool:
		return "boolean"
	case KindInt16:
		return "smallint"
	case KindInt32:
		return "integer"
	case KindInt64:
		return "bigint"
	case KindFloat32:
		return "real"
	case KindFloat64:
		return "double precision"
	case KindDecimal:
		if f.Precision < 1 || f.Precision > 1000 || f.Precision == 64 || f.Scale > 1000 || f.Scale < -1000 {
			return "numeric"
		}
		return "numeric(" + strconv.Itoa(f.Precision) + "," + strconv.Itoa(f.Scale) + ")"
	case KindVariableDecimal:
		return "numeric"
	case KindBytes:
		return "bytea"
	case KindBits:
		return "bit varying"
	case KindDate:
		return "date"
	case KindTime:
		return "time"
	case KindTimestamp:
		return "timestamp"
	case KindZonedTimestamp:
		return "timestamptz"
	case KindZonedTime:
		return "timetz"
	case KindInterval:
		return "interval"
	case KindUUID:
		return "uuid"
	case KindJSON:
		return "json"
	case KindPoint:
		return "point"
	case KindArray:
		return f.Elem.PostgresType() + "[]"
	}
	return "text"
}

// fieldOf describes a node; unions of null and one type are that type.
func fieldOf(name string, n *node) Field {
	f := Field{Name: name, Avro: name}
	if n.typ == avroUnion {
		var only *node
		count := 0
		for _, b := range n.branches {
			if b.typ == avroNull {
				f.Nullable = true
				continue
			}
			only = b
			count++
		}
		if count != 1 {
			return f // KindOther
		}
		n = only
	}
	f.Kind, f.Semantic = n.kind, n.connect
	if original := n.params["__debezium.source.column.name"]; original != "" && n.typ != avroRecord {
		f.Name = original
	}
	switch n.kind {
	case KindDecimal:
		f.Precision, f.Scale = n.precision, signedScale(n.scale)
	case KindEnum:
		f.Labels = n.symbols
		if allowed, ok := n.params["allowed"]; ok {
			f.Labels = strings.Split(allowed, ",")
		}
	case KindArray:
		elem := fieldOf("", n.items)
		f.Elem = &elem
		if base, ok := widenedBase(elem.Semantic); ok {
			elem.Kind, elem.Semantic = base, ""
		}
	}
	return f
}

// signedScale undoes the eleven bits of a negative scale, which Debezium, and so
// we, write as a large positive one.
func signedScale(scale int) int {
	if scale > 1024 && scale < 2048 {
		return scale - 2048
	}
	return scale
}

// widenedBase is the kind of an array's elements before Widen made them texts to
// hold multidimensional values.
func widenedBase(semantic string) (Kind, bool) {
	name, ok := strings.CutPrefix(semantic, semanticPrefix)
	if !ok {
		return 0, false
	}
	r, ok := builtin[name]
	if !ok || r.array == noArray {
		return 0, false
	}
	kind, ok := map[form]Kind{
		formBool: KindBool, formInt16: KindInt16, formInt32: KindInt32, formInt64: KindInt64, formOID: KindInt64,
		formFloat32: KindFloat32, formFloat64: KindFloat64, formDecimal: KindVariableDecimal, formBytes: KindBytes,
		formBits: KindBits, formDate: KindDate, formTimeMicros: KindTime, formTimestampMicros: KindTimestamp,
	}[r.form]
	return kind, ok
}
