package debezium

import (
	"strings"
)

const (
	confluentAvro = "io.confluent.connect.avro.AvroConverter"
	apicurioAvro  = "io.apicurio.registry.utils.converter.AvroConverter"
)

// converterOptions are those of the key's and the value's converter: <side> is
// key or value.
func converterOptions() []option {
	const registry = "registry.url"
	list := []option{
		{name: "header.converter", fate: absent, fine: []string{"org.apache.kafka.connect.storage.simpleheaderconverter"}, text: "Headers are texts, as SimpleHeaderConverter writes them."},
	}
	list = append(list, option{name: "<side>.converter", fate: mapped, key: registry, text: "Avro, Confluent's or Apicurio's. Records of others, such as JSON and Protobuf, have no counterpart.",
		fine: []string{strings.ToLower(confluentAvro), strings.ToLower(apicurioAvro)}, read: readConverter})
	const prefix = "<side>.converter."
	add := func(name string, f fate, key, text string, fine []string, read func(*draft, setting)) {
		list = append(list, option{name: prefix + name, fate: f, key: key, text: text, fine: fine, read: read})
	}
	list = append(list,
		option{name: prefix + "schema.registry.url", fate: mapped, key: registry, open: true, text: "The registry.", read: handledLater},
		option{name: prefix + "apicurio.registry.url", fate: mapped, key: registry, open: true, text: "The registry, by its Confluent-compatible API: /apis/ccompat/v7.", read: handledLater},
		option{name: prefix + "basic.auth.user.info", fate: differs, key: "registry.username", open: true, says: true, text: "The user. The password is never written into the file: put it into one that registry.password_file names.", read: handledLater},
		option{name: prefix + "apicurio.auth.username", fate: mapped, key: "registry.username", open: true, text: "The user.", read: handledLater},
		option{name: prefix + "apicurio.auth.password", fate: differs, key: "registry.password_file", open: true, says: true, text: "Never written into the file: put it into one that registry.password_file names.", read: handledLater},
	)
	add("basic.auth.credentials.source", differs, "registry.username", "Only user and password are known: registry.username and registry.password_file.", []string{"user_info", "url"}, nil)
	add("auto.register.schemas", mapped, "registry.auto_register", "The same.", nil, handledLater)
	add("apicurio.registry.auto-register", mapped, "registry.auto_register", "The same; Apicurio's default is false.", nil, handledLater)
	add("<side>.subject.name.strategy", mapped, "registry.subject", "TopicNameStrategy: topic. RecordNameStrategy: record. TopicRecordNameStrategy: topic_record. Key and value have one.", nil, handledLater)
	add("apicurio.registry.artifact-resolver-strategy", mapped, "registry.subject", "TopicIdStrategy: topic. RecordIdStrategy: record. TopicRecordIdStrategy: topic_record.", nil, handledLater)
	add("apicurio.registry.as-confluent", absent, registry, "Without it Apicurio writes schema ids of eight bytes; here they have Confluent's form, a zero byte and four.", []string{"true"}, nil)
	add("apicurio.registry.headers.enabled", absent, registry, "Schema ids stand before the record, in Confluent's form, and not in headers.", []string{"false"}, nil)
	add("apicurio.registry.use-id", absent, registry, "The registry's Confluent-compatible API gives content ids; consumers that look ids up as global ones find other schemas.", []string{"contentid"}, nil)
	add("apicurio.registry.find-latest", absent, registry, "A record is written with its own table's schema, not with the newest in the registry.", []string{"false"}, func(d *draft, s setting) {
		// Beside auto-register it finds what was just registered.
		if !d.on(s.parts[0] + ".converter.apicurio.registry.auto-register") {
			d.missing(s, "a record is written with its own table's schema, not with the newest in the registry")
		}
	})
	add("apicurio.registry.artifact.group-id", absent, registry, "The Confluent-compatible API has one group, default.", []string{"default"}, nil)
	add("use.latest.version", absent, registry, "A record is written with its own table's schema, not with the newest in the registry.", []string{"false"}, nil)
	add("use.schema.id", absent, registry, "A record is written with its own table's schema.", []string{"-1"}, nil)
	add("connect.meta.data", absent, registry, "Schemas always carry connect.name, connect.version and connect.parameters.", []string{"true"}, nil)
	add("enhanced.avro.schema.support", absent, registry, "Enums are strings with a list of allowed values, as without it.", []string{"false"}, nil)
	add("scrub.invalid.names", absent, "format.names", "Confluent's own escapes of names; format.names has underscores or avro_unicode.", []string{"false"}, nil)
	add("ignore.default.for.nullables", absent, "format.compat", "Under compat: debezium, NULL in a nullable column with a default is written as the default. compat: none writes null, and differs in more.", []string{"false"}, nil)
	add("discard.type.doc.default", absent, registry, "Schemas always carry defaults.", []string{"false"}, nil)
	add("generalized.sum.type.support", absent, registry, "Unions are those of nullable columns.", []string{"false"}, nil)
	add("flatten.unions", unneeded, "", "Unions are those of nullable columns.", nil, nil)
	add("allow.optional.map.keys", absent, registry, "Keys of maps are never null.", []string{"false"}, nil)
	add("normalize.schemas", differs, registry, "Schemas are registered as they are; a registry that normalises by itself does so still.", []string{"false"}, nil)
	add("schemas.enable", unneeded, "", "JsonConverter's.", nil, nil)
	add("enable", unneeded, "", "No option of Avro's converters.", nil, nil)
	for _, n := range []string{"schemas.cache.config", "schemas.cache.size", "latest.cache.size", "latest.cache.ttl.sec", "max.schemas.per.subject", "latest.compatibility.strict", "auto.register.schemas.retries",
		"proxy.host", "proxy.port", "http.connect.timeout.ms", "http.read.timeout.ms", "apicurio.registry.check-period-ms", "apicurio.registry.retry-*", "apicurio.registry.dereference-schema",
		"apicurio.registry.fallback.*", "apicurio.registry.avro-datum-provider", "apicurio.registry.converter.*", "apicurio.registry.artifact-type"} {
		add(n, unneeded, "", "How the converter asks the registry.", nil, nil)
	}
	list = append(list,
		option{name: prefix + "schema.registry.ssl.*", fate: differs, key: registry, open: true, text: "Java's keystores; the relay trusts the system's certificates."},
		option{name: prefix + "apicurio.registry.request.ssl.*", fate: differs, key: registry, open: true, text: "Java's keystores; the relay trusts the system's certificates."},
		option{name: prefix + "apicurio.auth.*", fate: differs, key: "registry.username", open: true, text: "Only user and password are known: registry.username and registry.password_file."},
		option{name: prefix + "apicurio.registry.auth.*", fate: differs, key: "registry.username", open: true, text: "Only user and password are known: registry.username and registry.password_file."},
		option{name: prefix + "bearer.auth.*", fate: differs, key: "registry.username", open: true, text: "Only user and password are known: registry.username and registry.password_file."},
	)
	add("*", absent, registry, "Not known to have no effect on schemas and records; take it out if it has none.", nil, nil)
	return list
}

func readConverter(d *draft, s setting) {
	class := strings.TrimSpace(s.value)
	short := class[strings.LastIndexByte(class, '.')+1:]
	d.missing(s, "records are Avro with schemas from a registry, and those of "+short+" have another form; let consumers read Avro before they move")
}
