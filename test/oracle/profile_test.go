package oracle

// profile is a set of Debezium's options. The seeds of one profile share a
// database and a connector.
type profile struct {
	name string
	// properties are the connector's, beside those that say where things are.
	properties map[string]string
	oddNames   bool // some columns have names that Avro refuses
}

// hashSalt is the salt of hashed columns.
const hashSalt = "pepper"

// profiles are what seeds choose from by their number. The defaults come more
// often.
func profiles() []*profile {
	defaults := &profile{name: "defaults"}
	texts := &profile{name: "texts", properties: map[string]string{
		"decimal.handling.mode": "string", "time.precision.mode": "isostring", "binary.handling.mode": "hex",
		"interval.handling.mode": "string", "hstore.handling.mode": "map", "provide.transaction.metadata": "true",
		"money.fraction.digits": "3",
	}}
	numbers := &profile{name: "numbers", properties: map[string]string{
		"decimal.handling.mode": "double", "time.precision.mode": "connect", "binary.handling.mode": "base64",
		"skipped.operations": "none", "tombstones.on.delete": "false", "extended.headers.enabled": "false",
	}}
	structured := &profile{name: "structured", properties: map[string]string{
		"time.precision.mode": "structured", "binary.handling.mode": "base64-url-safe", "include.unknown.datatypes": "true",
		"provide.transaction.metadata": "true", "skipped.operations": "none", "money.fraction.digits": "1",
	}}
	micros := &profile{name: "microseconds", properties: map[string]string{
		"time.precision.mode": "microseconds", "column.propagate.source.type": ".*", "unavailable.value.placeholder": "gone",
		"column.mask.with.7.chars": `.*\.c[0-9]*1_(text|varchar|citext)`, "column.truncate.to.2.chars": `.*\.c[0-9]*2_(text|varchar|varchar9)`,
		"column.mask.hash.v2.SHA-256.with.salt." + hashSalt: `.*\.c[0-9]*3_(text|varchar|varchar9|char5)`,
		"column.exclude.list":                               `.*\.c[0-9]*4_(text|int4|date|mood)`,
	}}
	nanos := &profile{name: "nanoseconds", oddNames: true, properties: map[string]string{
		"time.precision.mode": "nanoseconds", "skipped.operations": "d,t",
		"schema.name.adjustment.mode": "avro", "field.name.adjustment.mode": "avro",
	}}
	return []*profile{defaults, texts, defaults, numbers, defaults, structured, micros, nanos}
}
