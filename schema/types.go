package schema

import "github.com/tailrace/tailrace/cdc"

// rule is one line of the table of types.
type rule struct {
	form     form     // under the default settings; modes.go has the others
	semantic string   // connect.name, where the form has none of its own
	defaults bool     // Debezium writes this type's defaults into schemas
	array    elements // how Debezium maps arrays of this type
	// list is what an unchanged TOASTed array of this type is written as.
	list listSentinel
	// varlena: a value can be stored apart from its row.
	varlena bool
	// lossy says what the default form does not keep; "" when it keeps everything.
	lossy string
}

// elements says how arrays of a type are mapped.
type elements uint8

const (
	noArray  elements = iota // Debezium drops them
	nullable                 // elements may be null
	strict                   // elements have no null
)

type listSentinel uint8

const (
	listNone  listSentinel = iota // no sentinel: null
	listOne                       // the placeholder, as the only element
	listBytes                     // the placeholder's bytes as numbers
	listUUID                      // the name-based UUID of the placeholder
)

// builtin is the table of types: what each type of pg_catalog becomes. Types
// that are in neither table, and arrays of types without array, become what
// Settings.Unknown says.
var builtin = map[string]rule{
	"bool":        {form: formBool, defaults: true, array: nullable},
	"int2":        {form: formInt16, defaults: true, array: nullable},
	"int4":        {form: formInt32, defaults: true, array: nullable, list: listBytes},
	"int8":        {form: formInt64, defaults: true, array: nullable, list: listBytes},
	"oid":         {form: formOID, array: nullable},
	"float4":      {form: formFloat32, defaults: true, array: nullable},
	"float8":      {form: formFloat64, defaults: true, array: nullable},
	"numeric":     {form: formDecimal, defaults: true, array: nullable, varlena: true, lossy: "without a scale: trailing zeros of the fraction"},
	"money":       {form: formMoney, lossy: "sign and grouping of the currency; digits beyond money_digits"},
	"bpchar":      {form: formString, defaults: true, array: nullable, list: listOne, varlena: true},
	"varchar":     {form: formString, defaults: true, array: nullable, list: listOne, varlena: true},
	"text":        {form: formString, defaults: true, array: nullable, list: listOne, varlena: true},
	"char":        {form: formString, array: nullable},
	"name":        {form: formString},
	"bytea":       {form: formBytes, array: nullable, list: listOne, varlena: true},
	"bit":         {form: formBits, defaults: true, array: nullable, varlena: true},
	"varbit":      {form: formBits, defaults: true, varlena: true, lossy: "the length: zeros at the beginning"},
	"json":        {form: formString, semantic: "io.debezium.data.Json", defaults: true, array: nullable, list: listOne, varlena: true},
	"jsonb":       {form: formString, semantic: "io.debezium.data.Json", defaults: true, array: nullable, list: listOne, varlena: true},
	"xml":         {form: formString, semantic: "io.debezium.data.Xml", defaults: true, varlena: true},
	"uuid":        {form: formString, semantic: "io.debezium.data.Uuid", defaults: true, array: nullable, list: listUUID},
	"tsvector":    {form: formString, semantic: "io.debezium.data.Tsvector", array: strict, varlena: true},
	"inet":        {form: formString, array: nullable, varlena: true},
	"cidr":        {form: formString, array: nullable, varlena: true},
	"macaddr":     {form: formString, array: nullable},
	"macaddr8":    {form: formString, array: nullable},
	"int4range":   {form: formString, array: nullable, varlena: true},
	"int8range":   {form: formString, array: nullable, varlena: true},
	"numrange":    {form: formString, array: nullable, varlena: true},
	"tsrange":     {form: formString, array: nullable, varlena: true},
	"tstzrange":   {form: formString, array: nullable, varlena: true},
	"daterange":   {form: formString, array: nullable, varlena: true},
	"date":        {form: formDate, defaults: true, array: nullable, list: listBytes},
	"time":        {form: formTimeMicros, defaults: true, array: nullable},
	"timetz":      {form: formZonedTime, array: nullable, lossy: "the offset: it becomes UTC"},
	"timestamp":   {form: formTimestampMicros, defaults: true, array: nullable},
	"timestamptz": {form: formZonedTimestamp, defaults: true, array: nullable},
	"interval":    {form: formDuration, defaults: true, lossy: "months count 30.4375 days, days 24 hours"},
	"point":       {form: formPoint},
	"box":         {form: formBox, array: nullable},
	"lseg":        {form: formLseg, array: nullable},
	"path":        {form: formPath, array: nullable, varlena: true},
	"polygon":     {form: formPolygon, array: nullable, varlena: true, lossy: "a last point that repeats the first"},
	"circle":      {form: formCircle, array: nullable},
	"line":        {form: formLine, array: nullable},
	"int2vector":  {form: formInt2Vector},
	"oidvector":   {form: formOIDVector},
}

// extensions is the same for types of extensions, whichever schema they live in.
var extensions = map[string]rule{
	"citext":    {form: formString, array: nullable, varlena: true},
	"isbn":      {form: formString, array: strict},
	"ltree":     {form: formString, semantic: "io.debezium.data.Ltree", array: nullable, varlena: true},
	"hstore":    {form: formHstore, array: nullable, varlena: true},
	"geometry":  {form: formGeometry, array: nullable, varlena: true},
	"geography": {form: formGeography, array: nullable, varlena: true},
	"vector":    {form: formVector, array: strict, varlena: true},
	"halfvec":   {form: formHalfvec, array: strict, varlena: true},
	"sparsevec": {form: formSparsevec, array: strict, varlena: true},
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
