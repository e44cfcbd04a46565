package schema

import (
	"strconv"

	"github.com/tailrace/tailrace/cdc"
)

// Describe is the JSON text of a table's record schemas, byte for byte what
// Debezium with Confluent's converter registers. key is empty for a table
// without key. It is safe for concurrent use.
func Describe(s Settings, t *cdc.Table, topic string) (key, value string, err error) {
	if err := s.Validate(); err != nil {
		return "", "", err
	}
	fields, _, err := compileFields(s, t)
	if err != nil {
		return "", "", err
	}
	namespace := adjustNamespace(topic, s.Names)
	if keys := keyFields(t, fields); len(keys) > 0 {
		key = string(appendKeySchema(nil, namespace, keys))
	}
	return key, string(appendEnvelopeSchema(nil, namespace, fields)), nil
}

// keyFields are the fields of the record key, in key order.
func keyFields(t *cdc.Table, fields []field) []field {
	var keys []field
	for _, k := range t.Key {
		for _, f := range fields {
			if f.column == k {
				f.params = f.inKey
				keys = append(keys, f)
			}
		}
	}
	return keys
}

func appendKeySchema(dst []byte, namespace string, keys []field) []byte {
	w := schemaWriter{dst: dst, namespace: namespace}
	w.raw(`{"type":"record","name":"Key","namespace":`)
	w.text(namespace)
	w.fields(keys)
	w.raw(`,"connect.name":`)
	w.text(namespace + ".Key")
	w.raw(`}`)
	return w.dst
}

func appendEnvelopeSchema(dst []byte, namespace string, fields []field) []byte {
	w := schemaWriter{dst: dst, namespace: namespace}
	w.raw(`{"type":"record","name":"Envelope","namespace":`)
	w.text(namespace)
	w.raw(`,"fields":[{"name":"before","type":["null",{"type":"record","name":"Value"`)
	w.fields(fields)
	w.raw(`,"connect.name":`)
	w.text(namespace + ".Value")
	w.raw(`}],"default":null},{"name":"after","type":["null","Value"],"default":null},{"name":"source","type":` + sourceSchema +
		`},{"name":"transaction","type":["null",` + transactionSchema + `],"default":null},{"name":"op","type":"string"},` +
		optionalLong("ts_ms") + `,` + optionalLong("ts_us") + `,` + optionalLong("ts_ns") + `],"connect.version":2,"connect.name":`)
	w.text(namespace + ".Envelope")
	w.raw(`}`)
	return w.dst
}

func optionalLong(name string) string {
	return `{"name":"` + name + `","type":["null","long"],"default":null}`
}

// sourceSchema is the source block, the same for every table.
var sourceSchema = `{"type":"record","name":"Source","namespace":"io.debezium.connector.postgresql","fields":[` +
	`{"name":"version","type":"string"},{"name":"connector","type":"string"},{"name":"name","type":"string"},{"name":"ts_ms","type":"long"},` +
	`{"name":"snapshot","type":[{"type":"string","connect.version":1,"connect.parameters":{"allowed":"true,first,first_in_data_collection,last_in_data_collection,last,false,incremental"},"connect.default":"false","connect.name":"io.debezium.data.Enum"},"null"],"default":"false"},` +
	`{"name":"db","type":"string"},{"name":"sequence","type":["null","string"],"default":null},` +
	optionalLong("ts_us") + `,` + optionalLong("ts_ns") + `,` +
	`{"name":"schema","type":"string"},{"name":"table","type":"string"},` +
	optionalLong("txId") + `,` + optionalLong("lsn") + `,` + optionalLong("xmin") + `,` +
	`{"name":"origin","type":["null","string"],"default":null},` + optionalLong("origin_lsn") +
	`],"connect.version":1,"connect.name":"io.debezium.connector.postgresql.Source"}`

const transactionSchema = `{"type":"record","name":"block","namespace":"event","fields":[{"name":"id","type":"string"},{"name":"total_order","type":"long"},{"name":"data_collection_order","type":"long"}],"connect.version":1,"connect.name":"event.block"}`

// schemaWriter appends schema text. A named record is written in full once and
// by its name afterwards.
type schemaWriter struct {
	dst       []byte
	namespace string    // of the record around
	defined   []*record // named records that are written already
}

func (w *schemaWriter) raw(s string)  { w.dst = append(w.dst, s...) }
func (w *schemaWriter) text(s string) { w.dst = appendJSONString(w.dst, s) }

func (w *schemaWriter) fields(fields []field) {
	w.raw(`,"fields":[`)
	for i := range fields {
		if i > 0 {
			w.raw(`,`)
		}
		w.field(&fields[i])
	}
	w.raw(`]`)
}

func (w *schemaWriter) field(f *field) {
	w.raw(`{"name":`)
	w.text(f.name)
	w.raw(`,"type":`)
	switch {
	case !f.nullable:
		w.typ(f.mapping, f.params, f.defJSON)
	case f.defJSON == nil:
		w.raw(`["null",`)
		w.typ(f.mapping, f.params, nil)
		w.raw(`]`)
	default:
		w.raw(`[`)
		w.typ(f.mapping, f.params, f.defJSON)
		w.raw(`,"null"]`)
	}
	switch {
	case f.defJSON != nil:
		w.raw(`,"default":`)
		w.raw(string(f.defJSON))
	case f.nullable:
		w.raw(`,"default":null`)
	}
	w.raw(`}`)
}

// typ writes a type with its properties in the converter's order.
func (w *schemaWriter) typ(m *mapping, params []param, def []byte) {
	shape := &formShapes[m.form]
	int16s := m.form == formInt16
	switch {
	case shape.record != nil:
		w.record(shape.record, params)
		return
	case m.semantic == "" && params == nil && def == nil && !int16s && shape.avro != "array" && shape.avro != "map":
		w.text(shape.avro)
		return
	}
	w.raw(`{"type":`)
	w.text(shape.avro)
	switch m.form {
	case formDecimal, formMoney:
		w.raw(`,"scale":` + strconv.Itoa(m.scale) + `,"precision":` + strconv.Itoa(m.precision))
	case formArray:
		w.items(m)
	case formVector:
		w.raw(`,"items":"double"`)
	case formHalfvec:
		w.raw(`,"items":"float"`)
	case formInt2Vector:
		w.raw(`,"items":` + avroInt16)
	case formOIDVector:
		w.raw(`,"items":"long"`)
	case formHstoreMap:
		w.raw(`,"values":["null","string"]`)
	}
	if m.semantic != "" {
		w.raw(`,"connect.version":1`)
	}
	w.params(params)
	if def != nil {
		w.raw(`,"connect.default":`)
		w.raw(string(def))
	}
	if m.semantic != "" {
		w.raw(`,"connect.name":`)
		w.text(m.semantic)
	}
	if int16s {
		w.raw(`,"connect.type":"int16"`)
	}
	if shape.logical != "" {
		w.raw(`,"logicalType":`)
		w.text(shape.logical)
	}
	w.raw(`}`)
}

func (w *schemaWriter) items(m *mapping) {
	w.raw(`,"items":`)
	if m.elemNullable {
		w.raw(`["null",`)
	}
	w.typ(m.elem, m.elem.params, nil)
	if m.elemNullable {
		w.raw(`]`)
	}
}

func (w *schemaWriter) params(params []param) {
	for i, p := range params {
		if i == 0 {
			w.raw(`,"connect.parameters":{`)
		} else {
			w.raw(`,`)
		}
		w.text(p.name)
		w.raw(`:`)
		w.text(p.value)
	}
	if len(params) > 0 {
		w.raw(`}`)
	}
}
