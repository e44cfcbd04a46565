package schema

import (
	"strconv"
	"strings"

	"github.com/tailrace/tailrace/cdc"
)

// param is one entry of connect.parameters.
type param struct{ name, value string }

// mapping is what one column's type became.
type mapping struct {
	form      form
	semantic  string
	params    []param
	precision int // of a decimal; 64 when unknown. Fraction digits of a time
	scale     int // of a decimal. Bits of a bit string

	labels []string // of an enum; none: any label is taken

	elem         *mapping // of an array
	elemNullable bool
	delim        byte // between its elements in PostgreSQL's text

	fallback bool // a type outside the tables
	raw      bool // bytes of the text itself, of a type outside the tables
	dropped  bool // Debezium has no form for it, not even with unknown types as bytes
	defaults bool // its default goes into the schema
	list     listSentinel
	varlena  bool // a value can be stored apart from its row
}

// typeOf is the Avro type.
func (m *mapping) typeOf() string { return formShapes[m.form].avro }

const unboundedBits = 1<<31 - 1

// mapType maps a type with a column's modifier.
func (s *Settings) mapType(t *cdc.Type, modifier int32) *mapping {
	domain := false
	for t.Kind == cdc.KindDomain && t.Base != nil {
		if t.BaseModifier != -1 {
			modifier = t.BaseModifier
		}
		t, domain = t.Base, true
	}
	var m *mapping
	switch {
	case t.Kind == cdc.KindArray && t.Elem != nil:
		m = s.mapArray(t.Elem, modifier)
	case t.Kind == cdc.KindEnum:
		m = mapEnum(t.Labels)
	default:
		r, ok := lookup(t)
		if !ok {
			return s.fallback(t)
		}
		m = s.mapRule(r, t.Name, modifier)
	}
	if domain {
		m.defaults = false // Debezium never writes a domain's defaults
	}
	return m
}

// fallback maps a type outside the tables: as text with a semantic name, or as
// the text's bytes. (A type that is dropped is mapped, and then left out.)
func (s *Settings) fallback(t *cdc.Type) *mapping {
	if s.Unknown == "bytes" {
		return &mapping{form: s.bytesForm(), fallback: true, raw: true, varlena: true}
	}
	return &mapping{form: formString, semantic: semanticOf(t), fallback: true, varlena: true}
}

// semanticOf is the name of a type that travels as its text.
func semanticOf(t *cdc.Type) string { return semanticPrefix + t.Name }

const semanticPrefix = "tailrace.pg."

func mapEnum(labels []string) *mapping {
	return &mapping{
		form:     formEnum,
		semantic: formShapes[formEnum].semantic,
		params:   []param{{"allowed", strings.Join(labels, ",")}},
		labels:   labels,
		defaults: true,
	}
}

func (s *Settings) mapArray(elem *cdc.Type, modifier int32) *mapping {
	m := &mapping{form: formArray, elemNullable: true, delim: delimOf(elem), varlena: true}
	if isWidened(elem) {
		m.elem = s.mapWidened(elem.Base, modifier)
		m.fallback = m.elem.fallback
		return m
	}
	if m.elem = s.mapEnumElement(elem); m.elem != nil {
		m.elemNullable = false
		return m
	}
	s.mapElements(m, elem, modifier)
	return m
}

func (s *Settings) mapElements(m *mapping, elem *cdc.Type, modifier int32) {
	r, known := lookup(elem) // no domain is in the tables
	if !known || r.array == noArray {
		m.elem, m.fallback = s.fallback(elem), true
		m.elemNullable = !s.Compat
		m.dropped = known || elem.Name == "refcursor"
		return
	}
	m.elem = s.mapRule(r, elem.Name, modifier)
	m.elemNullable = r.array == nullable
	m.list = s.listSentinel(r, m.elem.form)
}

// listSentinel is what an unchanged array becomes where its elements have the
// form. Debezium has sentinels for lists of text, of bytes as they are, and of
// days; outside of Compat every list of text has one.
func (s *Settings) listSentinel(r rule, elem form) listSentinel {
	switch {
	case r.list == listNone || formShapes[elem].record != nil:
		return listNone
	case elem == r.form:
		return r.list
	case s.Compat:
		return listNone
	case elem.text():
		return listOne
	}
	return r.list
}

// mapWidened maps the elements of an array after a row had an element that their
// own form has no place for.
func (s *Settings) mapWidened(elem *cdc.Type, modifier int32) *mapping {
	if m := s.mapEnumElement(elem); m != nil {
		return m
	}
	r, known := lookup(elem)
	switch {
	case !known || r.array == noArray:
		return s.fallback(elem)
	case r.array == strict && r.form.text():
		return s.mapRule(r, elem.Name, modifier)
	}
	return &mapping{form: formString, semantic: semanticOf(elem)}
}

// mapEnumElement maps an element that is an enum, or a domain over one: Debezium
// does not see the labels then. It is nil for other types.
func (s *Settings) mapEnumElement(elem *cdc.Type) *mapping {
	base := elem
	for base.Kind == cdc.KindDomain && base.Base != nil {
		base = base.Base
	}
	switch {
	case base.Kind != cdc.KindEnum:
		return nil
	case elem.Kind == cdc.KindDomain && s.Compat:
		return mapEnum(nil)
	}
	return mapEnum(base.Labels)
}

// delimOf is what stands between the elements of an array (pg_type.typdelim).
func delimOf(elem *cdc.Type) byte {
	for elem.Kind == cdc.KindDomain && elem.Base != nil {
		elem = elem.Base
	}
	switch elem.Name {
	case "box":
		return ';'
	case "geometry", "geography":
		return ':'
	}
	return ','
}

// mapRule applies the modes and a type modifier to a line of the table.
func (s *Settings) mapRule(r rule, name string, modifier int32) *mapping {
	m := &mapping{form: r.form, defaults: r.defaults, varlena: r.varlena}
	switch r.form {
	case formDecimal:
		s.mapNumeric(m, modifier)
	case formMoney:
		s.mapMoney(m)
	case formDate, formTimeMicros, formTimestampMicros, formZonedTimestamp, formZonedTime, formDuration:
		s.mapTime(m, modifier)
	case formBits:
		mapBits(m, name, modifier)
	case formBytes:
		m.form = s.bytesForm()
	case formHstore:
		if s.Hstore == "map" {
			m.form = formHstoreMap
		}
	}
	if m.semantic = r.semantic; m.semantic == "" {
		m.semantic = formShapes[m.form].semantic
	}
	return m
}

func (s *Settings) mapNumeric(m *mapping, modifier int32) {
	free := modifier < 4
	m.precision, m.scale = int(modifier-4)>>16&0xffff, int(modifier-4)&0x7ff
	// A negative scale (PostgreSQL 15 and later) is eleven bits in two's
	// complement there; Debezium reads it as a large positive one.
	if free {
		m.precision, m.scale = 0, 0
	}
	switch m.form = s.decimalForm(); {
	case m.form == formDecimal && free:
		m.form, m.defaults = formVariable, false
	case m.form == formDecimal:
		m.params = []param{
			{"scale", strconv.Itoa(m.scale)},
			{"connect.decimal.precision", strconv.Itoa(m.precision)},
		}
	default:
		m.scale = max(0, signedScale(m.scale)) // digits of a filler
	}
	// Up to thirty digits are stored in at most 24 bytes, never apart.
	m.varlena = free || m.precision > 30
}

func (s *Settings) mapMoney(m *mapping) {
	m.scale = s.MoneyDigits
	switch s.Decimal {
	case "string":
		m.form = formMoneyText
	case "double":
		m.form = formMoneyReal
	default:
		m.precision = unknownPrecision
		m.params = []param{{"scale", strconv.Itoa(m.scale)}}
	}
}

// unknownPrecision is what the converter writes for a decimal without precision.
const unknownPrecision = 64

func mapBits(m *mapping, name string, modifier int32) {
	n := int(modifier)
	if n <= 0 {
		n = unboundedBits
		if name == "bit" {
			n = 1
		}
	}
	m.varlena = n > 128
	if n == 1 {
		m.form = formBit
		return
	}
	m.scale = n
	m.params = []param{{"length", strconv.Itoa(n)}}
}
