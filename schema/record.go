package schema

import "strings"

// record is a named record that columns share: its text is written once in a
// schema and stands by its name afterwards.
type record struct {
	name    string // full name
	doc     string // connect.doc
	version string
	fields  []recordField
}

type recordField struct {
	name string
	typ  string  // schema text of a type that is written in place
	ref  *record // or a record
	// rest follows the type, such as a default.
	rest string
}

func required(name, typ string) recordField {
	if typ[0] != '{' {
		typ = `"` + typ + `"`
	}
	return recordField{name: name, typ: typ}
}

func optional(name, typ string) recordField {
	if typ[0] != '{' {
		typ = `"` + typ + `"`
	}
	return recordField{name: name, typ: `["null",` + typ + `]`, rest: `,"default":null`}
}

const (
	avroInt8  = `{"type":"int","connect.type":"int8"}`
	avroInt16 = `{"type":"int","connect.type":"int16"}`
)

var (
	variableRecord = &record{name: variableName, doc: "Variable scaled decimal", version: "1",
		fields: []recordField{required("scale", "int"), required("value", "bytes")}}

	pointRecord = &record{name: pointName, doc: "Geometry (POINT)", version: "1",
		fields: []recordField{required("x", "double"), required("y", "double"), optional("wkb", "bytes"), optional("srid", "int")}}
	geometryRecord = &record{name: geometryName, doc: "Geometry", version: "2",
		fields: []recordField{required("wkb", "bytes"), optional("srid", "int"), optional("extensions", `{"type":"map","values":"string"}`)}}
	geographyRecord = &record{name: geographyName, doc: "Geography", version: "1",
		fields: []recordField{required("wkb", "bytes"), optional("srid", "int")}}
	circleRecord = &record{name: circleName, doc: "Geometry (CIRCLE)", version: "1",
		fields: []recordField{{name: "center", ref: pointRecord}, required("radius", "double")}}
	lineRecord = &record{name: lineName, doc: "Geometry (LINE)", version: "1",
		fields: []recordField{required("a", "double"), required("b", "double"), required("c", "double")}}

	sparseRecord = &record{name: sparseName, doc: "Sparse double vector", version: "1", fields: []recordField{
		required("dimensions", avroInt16),
		required("vector", `{"type":"array","items":{"type":"record","name":"MapEntry","namespace":"io.confluent.connect.avro","fields":[{"name":"key","type":`+avroInt16+`},{"name":"value","type":"double"}]}}`)}}

	dateRecord = &record{name: "io.debezium.time.StructuredDate", version: "1", fields: []recordField{
		optional("year", "int"), optional("month", avroInt8), optional("day", avroInt8), optional("specialValue", "string")}}
	timeRecord = &record{name: "io.debezium.time.StructuredTime", version: "1", fields: []recordField{
		optional("hour", avroInt8), optional("minute", avroInt8), optional("second", avroInt8), optional("nanos", "int"), optional("precision", "int")}}
	timestampRecord = &record{name: "io.debezium.time.StructuredTimestamp", version: "1", fields: []recordField{
		optional("year", "int"), optional("month", avroInt8), optional("day", avroInt8),
		optional("hour", avroInt8), optional("minute", avroInt8), optional("second", avroInt8), optional("nanos", "int"),
		optional("specialValue", "string"), optional("precision", "int")}}
	zonedTimestampRecord = &record{name: "io.debezium.time.StructuredZonedTimestamp", version: "1", fields: []recordField{
		optional("year", "int"), optional("month", avroInt8), optional("day", avroInt8),
		optional("hour", avroInt8), optional("minute", avroInt8), optional("second", avroInt8), optional("nanos", "int"),
		optional("offsetSeconds", "int"), optional("zoneId", "string"), optional("specialValue", "string"), optional("precision", "int")}}
	zonedTimeRecord = &record{name: "io.debezium.time.StructuredZonedTime", version: "1", fields: []recordField{
		optional("hour", avroInt8), optional("minute", avroInt8), optional("second", avroInt8), optional("nanos", "int"),
		optional("offsetSeconds", "int"), optional("precision", "int")}}
	periodRecord = &record{name: "io.debezium.time.StructuredDuration", version: "1", fields: []recordField{
		optional("years", "int"), optional("months", "int"), optional("days", "int"), optional("hours", "int"), optional("minutes", "int"),
		optional("seconds", "long"), optional("nanos", "int"), optional("precision", "int")}}
)

// record writes a named record: in full the first time, with the parameters of
// the column that it is written for, and by its name afterwards.
func (w *schemaWriter) record(r *record, params []param) {
	dot := strings.LastIndexByte(r.name, '.')
	namespace, name := r.name[:dot], r.name[dot+1:]
	for _, d := range w.defined {
		if d != r {
			continue
		}
		if w.namespace == namespace {
			w.text(name)
		} else {
			w.text(r.name)
		}
		return
	}
	w.defined = append(w.defined, r)
	w.raw(`{"type":"record","name":`)
	w.text(name)
	outer := w.namespace
	if namespace != outer {
		w.raw(`,"namespace":`)
		w.text(namespace)
		w.namespace = namespace
	}
	w.raw(`,"fields":[`)
	for i, f := range r.fields {
		if i > 0 {
			w.raw(`,`)
		}
		w.raw(`{"name":"` + f.name + `","type":` + f.typ)
		if f.ref != nil {
			w.record(f.ref, nil)
		}
		w.raw(f.rest + `}`)
	}
	w.raw(`]`)
	w.namespace = outer
	if r.doc != "" {
		w.raw(`,"connect.doc":`)
		w.text(r.doc)
	}
	w.raw(`,"connect.version":` + r.version)
	w.params(params)
	w.raw(`,"connect.name":`)
	w.text(r.name)
	w.raw(`}`)
}
