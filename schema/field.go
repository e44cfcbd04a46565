package schema

import (
	"crypto/md5"
	"fmt"

	"github.com/tailrace/tailrace/cdc"
)

// field is one column as it stands in the records of a table version.
type field struct {
	column   int // index into Table.Columns
	name     string
	original string // the column's name, where Avro needed another
	mapping  *mapping
	nullable bool

	// def is the default, in JSON and in Avro; nil for none.
	defJSON, defAvro []byte

	// What a union needs before a value: its branch, already encoded, or none.
	branch []byte
	// null is what NULL becomes; nil where the field has no null.
	null []byte
	// absent is what a column that the old row does not carry becomes.
	absent []byte
	// unchanged is what an unchanged TOASTed value becomes; nil: as NULL.
	unchanged []byte
}

// compileFields makes the fields of a table, and names the columns whose type
// only has a text form. Columns that are dropped have no field.
func compileFields(s Settings, t *cdc.Table) (fields []field, fallbacks []int, err error) {
	names := fieldNames(t, s.Names)
	for i := range t.Columns {
		c := &t.Columns[i]
		if c.Type == nil {
			return nil, nil, fmt.Errorf("table %s: column %q has no type", t, c.Name)
		}
		m := mapType(c.Type, c.Modifier)
		if m.fallback {
			fallbacks = append(fallbacks, i)
			if s.dropsUnknown() {
				continue
			}
		}
		f := field{column: i, name: names[i], mapping: m}
		if f.name != c.Name && !s.Compat {
			f.original = c.Name
		}
		f.nullable = !notNull(t, i) || m.wide && !s.Compat && !t.IsKey(i)
		if t.Facts && c.Default != "" && m.defaults {
			f.defJSON, f.defAvro = schemaDefault(m, c.Default)
		}
		f.compile(s)
		fields = append(fields, f)
	}
	return fields, fallbacks, nil
}

// compile prepares the bytes that stand for what is not there.
func (f *field) compile(s Settings) {
	filler := zero(f.mapping)
	if f.defAvro != nil {
		filler = f.defAvro
	}
	sentinel := sentinel(f.mapping, s.placeholder())
	switch {
	case !f.nullable:
		f.absent = filler
	case f.defAvro == nil: // ["null", T]
		f.branch = []byte{2}
		f.null = []byte{0}
		f.absent = f.null
	default: // [T, "null"]
		f.branch = []byte{0}
		f.null = []byte{2}
		if s.Compat {
			f.null = append([]byte{0}, f.defAvro...)
		}
		f.absent = f.null
	}
	if sentinel != nil {
		f.unchanged = append(append([]byte(nil), f.branch...), sentinel...)
	}
}

// zero is Debezium's filler for a NOT NULL column without default.
func zero(m *mapping) []byte {
	switch m.form {
	case formFloat32:
		return make([]byte, 4)
	case formFloat64:
		return make([]byte, 8)
	case formDecimal, formMoney:
		return []byte{2, 0} // one byte: zero
	case formVariable:
		return []byte{0, 2, 0}
	case formPoint:
		return appendPointRecord(nil, 0, 0)
	case formZonedTimestamp:
		return appendString(nil, "1970-01-01T00:00:00Z")
	case formZonedTime:
		return appendString(nil, "00:00:00Z")
	case formHstore:
		return appendString(nil, "{}")
	}
	return []byte{0} // number, false, empty string, bytes or list
}

// sentinel is what an unchanged TOASTed value of the type is written as; nil
// where the placeholder does not fit.
func sentinel(m *mapping, placeholder string) []byte {
	switch m.form {
	case formString, formEnum, formBytes:
		return appendString(nil, placeholder)
	case formHstore:
		json := appendJSONString([]byte{'{'}, placeholder)
		json = appendJSONString(append(json, ':'), placeholder)
		return appendBytes(nil, append(json, '}'))
	case formArray:
		return listOf(m, placeholder)
	}
	return nil
}

func listOf(m *mapping, placeholder string) []byte {
	var list []byte
	switch m.list {
	case listOne:
		list = appendString([]byte{2, 2}, placeholder)
	case listUUID:
		list = appendString([]byte{2, 2}, nameUUID(placeholder))
	case listBytes:
		list = appendLong(nil, int64(len(placeholder)))
		for i := range len(placeholder) {
			list = appendLong(append(list, 2), int64(placeholder[i]))
		}
		if len(placeholder) == 0 {
			return []byte{0}
		}
	default:
		return nil
	}
	return append(list, 0)
}

// nameUUID is the version 3 UUID of a name without namespace, as Java's
// UUID.nameUUIDFromBytes makes it.
func nameUUID(name string) string {
	h := md5.Sum([]byte(name))
	h[6] = h[6]&0x0f | 0x30
	h[8] = h[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", h[:4], h[4:6], h[6:8], h[8:10], h[10:])
}
