package schema

import (
	"strconv"
	"strings"

	"github.com/tailrace/tailrace/cdc"
)

// form is how values of a type travel in Avro: the Avro type and the way from
// PostgreSQL's text to its bytes.
type form uint8

const (
	formBool            form = iota // boolean
	formInt16                       // int, connect.type int16
	formInt32                       // int
	formInt64                       // long
	formOID                         // long, unsigned 32 bits
	formFloat32                     // float
	formFloat64                     // double
	formString                      // string, the text itself
	formEnum                        // string, one of the labels
	formBytes                       // bytes
	formDecimal                     // bytes, unscaled value of a fixed scale
	formMoney                       // the same, from text with signs of currency
	formVariable                    // record of scale and unscaled value
	formDate                        // int, days
	formTimeMillis                  // int, milliseconds of the day
	formTimeMicros                  // long, microseconds of the day
	formTimestampMillis             // long, milliseconds since 1970-01-01
	formTimestampMicros             // long, microseconds since 1970-01-01
	formZonedTimestamp              // string, UTC
	formZonedTime                   // string, UTC
	formDuration                    // long, microseconds
	formBit                         // boolean
	formBits                        // bytes, least significant first
	formHstore                      // string, a JSON object
	formPoint                       // record of x, y and the point as WKB
	formArray                       // array
)

// rule is one line of the table of types.
type rule struct {
	form     form
	semantic string // connect.name
	defaults bool   // Debezium writes this type's defaults into schemas
	array    bool   // Debezium maps arrays of this type
	// list is what an unchanged TOASTed array of this type is written as.
	list listSentinel
}

type listSentinel uint8

const (
	listNone  listSentinel = iota // no sentinel: null
	listOne                       // the placeholder, as the only element
	listBytes                     // the placeholder's bytes as numbers
	listUUID                      // the name-based UUID of the placeholder
)

// builtin is the table of types: what each type of pg_catalog becomes. Types
// that are in neither table, and arrays of types without array, become text with
// the semantic name tailrace.pg.<type>.
var builtin = map[string]rule{
	"bool":        {form: formBool, defaults: true, array: true},
	"int2":        {form: formInt16, defaults: true, array: true},
	"int4":        {form: formInt32, defaults: true, array: true, list: listBytes},
	"int8":        {form: formInt64, defaults: true, array: true, list: listBytes},
	"oid":         {form: formOID, array: true},
	"float4":      {form: formFloat32, defaults: true, array: true},
	"float8":      {form: formFloat64, defaults: true, array: true},
	"numeric":     {form: formDecimal, defaults: true, array: true},
	"money":       {form: formMoney},
	"bpchar":      {form: formString, defaults: true, array: true, list: listOne},
	"varchar":     {form: formString, defaults: true, array: true, list: listOne},
	"text":        {form: formString, defaults: true, array: true, list: listOne},
	"char":        {form: formString, array: true},
	"name":        {form: formString},
	"bytea":       {form: formBytes, array: true, list: listOne},
	"bit":         {form: formBits, defaults: true, array: true},
	"varbit":      {form: formBits, defaults: true},
	"json":        {form: formString, semantic: "io.debezium.data.Json", defaults: true, array: true, list: listOne},
	"jsonb":       {form: formString, semantic: "io.debezium.data.Json", defaults: true, array: true, list: listOne},
	"xml":         {form: formString, semantic: "io.debezium.data.Xml", defaults: true},
	"uuid":        {form: formString, semantic: "io.debezium.data.Uuid", defaults: true, array: true, list: listUUID},
	"tsvector":    {form: formString, semantic: "io.debezium.data.Tsvector"},
	"inet":        {form: formString, array: true},
	"cidr":        {form: formString, array: true},
	"macaddr":     {form: formString, array: true},
	"macaddr8":    {form: formString, array: true},
	"int4range":   {form: formString, array: true},
	"int8range":   {form: formString, array: true},
	"numrange":    {form: formString, array: true},
	"tsrange":     {form: formString, array: true},
	"tstzrange":   {form: formString, array: true},
	"daterange":   {form: formString, array: true},
	"date":        {form: formDate, semantic: "io.debezium.time.Date", defaults: true, array: true, list: listBytes},
	"time":        {form: formTimeMicros, semantic: "io.debezium.time.MicroTime", defaults: true, array: true},
	"timetz":      {form: formZonedTime, semantic: "io.debezium.time.ZonedTime", array: true},
	"timestamp":   {form: formTimestampMicros, semantic: "io.debezium.time.MicroTimestamp", defaults: true, array: true},
	"timestamptz": {form: formZonedTimestamp, semantic: "io.debezium.time.ZonedTimestamp", defaults: true, array: true},
	"point":       {form: formPoint, semantic: pointName},
	"interval":    {form: formDuration, semantic: "io.debezium.time.MicroDuration", defaults: true},
}

// extensions is the same for types of extensions, whichever schema they live in.
var extensions = map[string]rule{
	"citext": {form: formString, array: true},
	"isbn":   {form: formString},
	"ltree":  {form: formString, semantic: "io.debezium.data.Ltree", array: true},
	"hstore": {form: formHstore, semantic: "io.debezium.data.Json", array: true},
}

// param is one entry of connect.parameters.
type param struct{ name, value string }

// mapping is what one column's type became.
type mapping struct {
	form      form
	semantic  string
	params    []param
	precision int // of a decimal; 64 when unknown. Fraction digits of a zoned timestamp
	scale     int // of a decimal. Bits of a bit string
	labels    []string

	elem         *mapping // of an array
	elemNullable bool

	fallback bool // a type outside the tables, as text
	defaults bool // its default goes into the schema
	list     listSentinel
	wide     bool // without sentinel, and a stored value can exceed 24 bytes
}

const unboundedBits = 1<<31 - 1

// mapType maps a type with a column's modifier.
func mapType(t *cdc.Type, modifier int32) *mapping {
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
		m = mapArray(t.Elem, modifier)
	case t.Kind == cdc.KindEnum:
		m = mapEnum(t)
	default:
		r, ok := lookup(t)
		if !ok {
			return fallback(t)
		}
		m = mapRule(r, t.Name, modifier)
	}
	if domain {
		m.defaults = false // Debezium never writes a domain's defaults
	}
	return m
}

func lookup(t *cdc.Type) (rule, bool) {
	if t.Schema == "pg_catalog" || t.Schema == "" {
		if r, ok := builtin[t.Name]; ok {
			return r, true
		}
	}
	if t.Kind != cdc.KindBase && t.Kind != 0 {
		return rule{}, false
	}
	r, ok := extensions[t.Name]
	return r, ok
}

func fallback(t *cdc.Type) *mapping {
	return &mapping{form: formString, semantic: semanticOf(t), fallback: true}
}

// semanticOf is the name of a type that travels as its text.
func semanticOf(t *cdc.Type) string { return semanticPrefix + t.Name }

const semanticPrefix = "tailrace.pg."

func mapEnum(t *cdc.Type) *mapping {
	return &mapping{
		form:     formEnum,
		semantic: "io.debezium.data.Enum",
		params:   []param{{"allowed", strings.Join(t.Labels, ",")}},
		labels:   t.Labels,
		defaults: true,
	}
}

func mapArray(elem *cdc.Type, modifier int32) *mapping {
	m := &mapping{form: formArray, elemNullable: true, wide: true}
	r, known := lookup(elem)
	switch {
	case elem.Kind == cdc.KindEnum:
		m.elem = mapEnum(elem)
		m.elemNullable = false
	case isWidened(elem) && elem.Base.Kind == cdc.KindEnum:
		m.elem = mapEnum(elem.Base)
	case isWidened(elem):
		m.elem = &mapping{form: formString, semantic: semanticOf(elem)}
	case elem.Kind == cdc.KindDomain || !known || !r.array:
		m.elem = fallback(elem)
		m.fallback = true
	default:
		m.elem = mapRule(r, elem.Name, modifier)
		m.list = r.list
		m.wide = r.list == listNone
	}
	return m
}

// mapRule applies a type modifier to a line of the table.
func mapRule(r rule, name string, modifier int32) *mapping {
	m := &mapping{form: r.form, semantic: r.semantic, defaults: r.defaults, list: r.list}
	switch r.form {
	case formDecimal:
		mapNumeric(m, modifier)
	case formMoney:
		m.semantic = decimalName
		m.precision, m.scale = 64, 2
		m.params = []param{{"scale", "2"}}
	case formTimeMicros:
		if modifier >= 0 && modifier <= 3 {
			m.form, m.semantic = formTimeMillis, "io.debezium.time.Time"
		}
	case formTimestampMicros:
		if modifier >= 0 && modifier <= 3 {
			m.form, m.semantic = formTimestampMillis, "io.debezium.time.Timestamp"
		}
	case formZonedTimestamp:
		m.precision = 6
		if modifier >= 0 && modifier <= 6 {
			m.precision = int(modifier)
		}
	case formBits:
		mapBits(m, name, modifier)
	}
	return m
}

const (
	decimalName  = "org.apache.kafka.connect.data.Decimal"
	variableName = "io.debezium.data.VariableScaleDecimal"
)

func mapNumeric(m *mapping, modifier int32) {
	if modifier < 4 {
		m.form, m.semantic, m.defaults, m.wide = formVariable, variableName, false, true
		return
	}
	m.semantic = decimalName
	m.precision = int(modifier-4) >> 16 & 0xffff
	// A negative scale (PostgreSQL 15 and later) is eleven bits in two's
	// complement there; Debezium reads it as a large positive one.
	m.scale = int(modifier-4) & 0x7ff
	m.params = []param{
		{"scale", strconv.Itoa(m.scale)},
		{"connect.decimal.precision", strconv.Itoa(m.precision)},
	}
	m.wide = m.precision > 30
}

func mapBits(m *mapping, name string, modifier int32) {
	n := int(modifier)
	if n <= 0 {
		n = unboundedBits
		if name == "bit" {
			n = 1
		}
	}
	if n == 1 {
		m.form = formBit
		return
	}
	m.semantic = "io.debezium.data.Bits"
	m.scale = n
	m.params = []param{{"length", strconv.Itoa(n)}}
	m.wide = n > 128
}
