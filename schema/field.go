package schema

import (
	"fmt"

	"github.com/tailrace/tailrace/cdc"
)

// field is one column as it stands in the records of a table version.
type field struct {
	column   int // index into Table.Columns
	name     string
	mapping  *mapping
	params   []param // connect.parameters
	inKey    []param // the same in the record key, which transforms do not touch
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

// compileFields makes the fields of a table, and names the columns whose type is
// outside the tables of types. Columns that are dropped have no field.
func compileFields(s Settings, t *cdc.Table) (fields []field, fallbacks []int, err error) {
	names := fieldNames(t, s.Names)
	for i := range t.Columns {
		c := &t.Columns[i]
		if c.Type == nil {
			return nil, nil, fmt.Errorf("table %s: column %q has no type", t, c.Name)
		}
		m := s.mapType(c.Type, c.Modifier)
		if m.fallback {
			fallbacks = append(fallbacks, i)
			if s.drops(m) {
				continue
			}
		}
		f := field{column: i, name: names[i], mapping: m}
		f.params, f.inKey = s.paramsOf(t, c, m, names[i])
		must := notNull(t, i) // have a value
		sentinel := s.sentinel(m)
		f.nullable = !must || formShapes[m.form].optional || m.varlena && sentinel == nil && !s.Compat && !t.IsKey(i)
		if t.Facts && c.Default != "" && m.defaults {
			f.defJSON, f.defAvro = s.schemaDefault(m, c.Default)
		}
		f.compile(s, must && formShapes[m.form].optional, sentinel)
		fields = append(fields, f)
	}
	return fields, fallbacks, nil
}

// drops tells whether a column of a type outside the tables is left out.
func (s *Settings) drops(m *mapping) bool {
	return s.Unknown == "drop" || s.Compat && (s.Unknown != "bytes" || m.dropped)
}

// compile prepares the bytes that stand for what is not there. filled is set for
// a field that can be null and whose column cannot: what an old row does not
// carry is filled, as in a column that is NOT NULL.
func (f *field) compile(s Settings, filled bool, sentinel []byte) {
	filler := zero(f.mapping)
	if f.defAvro != nil {
		filler = f.defAvro
	}
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
	if filled {
		f.absent = append(append([]byte(nil), f.branch...), filler...)
	}
	if sentinel != nil {
		f.unchanged = append(append([]byte(nil), f.branch...), sentinel...)
	}
}

// paramsOf are the entries of connect.parameters of a column: the type's own,
// then what a transform asks for or, where there is none, as in Debezium, the
// type in PostgreSQL. A name that Avro refused is kept. inKey are those that the
// record key has.
func (s *Settings) paramsOf(t *cdc.Table, c *cdc.Column, m *mapping, name string) (params, inKey []param) {
	params = m.params[:len(m.params):len(m.params)]
	inKey = params
	if name != c.Name && !s.Compat && formShapes[m.form].record == nil { // a record's text is shared by columns
		inKey = append(inKey, param{sourceColumn + "name", c.Name})
	}
	switch {
	case len(c.Params) > 0:
		params = inKey
		for _, p := range c.Params {
			params = append(params, param{p.Name, p.Value})
		}
	case s.SourceTypes != nil && s.SourceTypes(t, c):
		params = append(params, sourceType(c)...)
	default:
		params = inKey
	}
	return params, inKey
}
