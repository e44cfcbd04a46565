package debezium

import (
	"encoding/hex"
	"strings"
	"unicode/utf8"
)

func formatOptions() []option {
	return []option{
		{name: "decimal.handling.mode", fate: mapped, key: "format.decimal", text: "The same names.", read: same("format.decimal", "precise", "string", "double")},
		{name: "money.fraction.digits", fate: mapped, key: "format.money_digits", text: "The same number.", read: func(d *draft, s setting) {
			if n, ok := d.number(s); ok && n <= 9 {
				d.plain("format.money_digits", strings.TrimSpace(s.value))
			} else if ok {
				d.missing(s, "want at most 9 digits; money has none to fill them")
			}
		}},
		{name: "time.precision.mode", fate: mapped, key: "format.time", text: "The same names.",
			read: same("format.time", "adaptive", "adaptive_time_microseconds", "connect", "isostring", "microseconds", "nanoseconds", "structured")},
		{name: "interval.handling.mode", fate: mapped, key: "format.interval", text: "The same names.", read: same("format.interval", "numeric", "string")},
		{name: "binary.handling.mode", fate: mapped, key: "format.binary", text: "The same names.", read: same("format.binary", "bytes", "base64", "base64-url-safe", "hex")},
		{name: "hstore.handling.mode", fate: mapped, key: "format.hstore", text: "The same names.", read: same("format.hstore", "json", "map")},
		{name: "include.unknown.datatypes", fate: mapped, key: "format.unknown", text: "true: bytes; false, the default: drop. text, this format's own choice, would keep them readable.", read: func(d *draft, s setting) {
			if on, ok := d.boolean(s); ok && on {
				d.set("format.unknown", "bytes")
			}
		}},
		{name: "unavailable.value.placeholder", fate: mapped, key: "format.placeholder", text: "The same text; hex: is decoded.", read: readPlaceholder},
		{name: "event.converting.failure.handling.mode", fate: differs, key: "format.nonfinite", says: true,
			text: "warn and skip: null, for NaN and infinities; a value that a column cannot take at all goes to the dead-letter topic instead of being lost. fail: fail.", read: func(d *draft, s setting) {
				d.mode(s, "format.nonfinite", map[string]string{"warn": "null", "skip": "null", "fail": "fail"})
			}},
		{name: "schema.name.adjustment.mode", fate: mapped, key: "format.names", text: "One key for both adjustments. none: avro, which changes nothing that Avro takes.", read: handledLater},
		{name: "field.name.adjustment.mode", fate: mapped, key: "format.names", text: "As schema.name.adjustment.mode.", read: handledLater},
		{name: "tombstones.on.delete", fate: mapped, key: "format.tombstones", text: "The same.", read: toggle("format.tombstones")},
		{name: "provide.transaction.metadata", fate: mapped, key: "format.transaction_metadata", text: "The same.", read: toggle("format.transaction_metadata")},
		{name: "transaction.metadata.factory", fate: absent, fine: []string{"io.debezium.pipeline.txmetadata.defaulttransactionmetadatafactory"}, text: "Java of yours cannot be run; transactions have Debezium's default form."},
		{name: "sourceinfo.struct.maker", fate: absent, fine: []string{"io.debezium.connector.postgresql.postgressourceinfostructmaker"}, text: "Java of yours cannot be run; source has Debezium's default form."},
		{name: "extended.headers.enabled", fate: mapped, key: "format.context_headers", text: "The same.", read: toggle("format.context_headers")},
		{name: "xmin.fetch.interval.ms", fate: mapped, key: "format.xmin", text: "As a duration.", read: func(d *draft, s setting) {
			if n, ok := d.number(s); ok {
				d.plain("format.xmin", millis(n))
			}
		}},
		{name: "include.schema.comments", fate: unneeded, text: "Without effect on PostgreSQL's schemas: Debezium writes no comment into them, and neither does the relay."},
		{name: "include.schema.changes", fate: unneeded, text: "The PostgreSQL connector has no topic of schema changes."},
		{name: "schema.refresh.mode", fate: unneeded, text: "Each row is read with the table's shape of its own time."},
		{name: "converters", fate: absent, text: "Converters are Java classes of yours and cannot be run. format.* has the forms that there are; a processor can change values."},
		{name: "post.processors", fate: absent, text: "Post processors are Java classes and cannot be run. Unchanged large values that Debezium reads again from the table are filled in by the processor, from its state."},
	}
}

func readPlaceholder(d *draft, s setting) {
	digits, encoded := strings.CutPrefix(s.value, "hex:")
	if !encoded {
		d.set("format.placeholder", s.value)
		return
	}
	b, err := hex.DecodeString(digits)
	if err != nil || !utf8.Valid(b) {
		d.missing(s, "want a text of UTF-8 after hex:; here the placeholder is a text")
		return
	}
	d.set("format.placeholder", string(b))
}

// finishFormat writes what Debezium does by default and the relay does not, and
// the names.
func (d *draft) finishFormat() {
	d.set("format.compat", "debezium")
	if k := d.key("format.nonfinite"); k.value == "" {
		k.value = quote("null")
	}
	if k := d.key("format.unknown"); k.value == "" {
		k.value = "drop"
	}
	if k := d.key("format.xmin"); k.value == "0s" {
		k.value = ""
	}
	d.names()
	d.delivery()
	d.heartbeat()
}

func (d *draft) names() {
	one := func(name string) (string, bool) {
		s := setting{name: name, value: d.config[name]}
		switch s.lower() {
		case "", "none":
			return "none", true
		case "avro", "avro_unicode":
			return s.lower(), true
		}
		if !refers(s.value) {
			d.unreadable(s, "none, avro or avro_unicode")
		}
		return "", false
	}
	schema, ok1 := one("schema.name.adjustment.mode")
	field, ok2 := one("field.name.adjustment.mode")
	names := d.key("format.names")
	names.value = "avro"
	switch {
	case !ok1 || !ok2:
	case schema == field && schema == "avro_unicode":
		names.value = schema
	case schema == "avro_unicode" || field == "avro_unicode":
		d.missing(setting{name: "field.name.adjustment.mode", value: field}, "format.names is one choice for both, and schema.name.adjustment.mode is "+schema+"; it is avro here, which leaves underscores as they are")
	case schema == "none" || field == "none":
		names.say("schema.name.adjustment.mode, field.name.adjustment.mode: none ends the connector's task at a name that Avro refuses; here such a name gets underscores, and no other changes.")
	}
}

// delivery says what differs for consumers.
func (d *draft) delivery() {
	k := d.key("delivery")
	k.value = "exactly_once"
	k.say("Debezium delivers at least once, unless Connect's exactly-once support is on: records come again after a crash. Here rows and progress are" +
		" one Kafka transaction; consumers with isolation.level=read_committed see each record once.")
}
