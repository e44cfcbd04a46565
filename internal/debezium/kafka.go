package debezium

import (
	"regexp"
	"strconv"
	"strings"
)

// finishKafka writes brokers, topics and registry.
func (d *draft) finishKafka() {
	d.brokers()
	d.security()
	partitions := d.key("kafka.topics.partitions")
	if partitions.value == "" {
		partitions.value = "1"
		partitions.say("Of new topics; Debezium leaves it to the broker's num.partitions, which is 1 unless set. Topics that exist keep theirs.")
	}
	partitioner := d.key("kafka.partitioner")
	partitioner.value = "debezium"
	partitioner.say("The partition that the connector's producer would choose, so that no row moves. For new topics key_body is better: a new schema of the key does not move its rows.")
	d.maxRow()
	d.registry()
}

const (
	defaultRequest = 1 << 20  // max.request.size of Kafka's producer
	besideRow      = 64 << 10 // that a topic must take beside a row of max_row
)

// maxRow is the greatest row that fits the topics that the connector has made:
// beyond it, the connector's task ended.
func (d *draft) maxRow() {
	most := d.request
	if n, err := strconv.ParseInt(strings.TrimSpace(d.config["topic.creation.default.max.message.bytes"]), 10, 64); err == nil {
		most = min(most, n)
	}
	if most <= 2*besideRow {
		return // the check of the topics says so
	}
	unit, name := int64(1), "B"
	if most%1024 == 0 {
		unit, name = 1024, "KiB"
	}
	d.plain("max_row", strconv.FormatInt((most-besideRow)/unit, 10)+name)
	d.key("max_row").say("What fits the topics that the connector has made; its task ended beyond that. For more, raise max.message.bytes of these topics to max_row and 64 KiB.")
}

func (d *draft) brokers() {
	k := d.key("kafka.brokers")
	for _, name := range []string{"producer.override.bootstrap.servers", "bootstrap.servers", "signal.kafka.bootstrap.servers", "openlineage.integration.dataset.kafka.bootstrap.servers"} {
		value := strings.TrimSpace(d.config[name])
		if value == "" {
			continue
		}
		list := strings.Split(value, ",")
		if refers(value) {
			list = []string{value} // a reference can have a comma
		}
		for _, b := range list {
			_, b, ok := cutProtocol(strings.TrimSpace(b))
			_ = ok
			if b != "" {
				k.add(scalar(d.handed(setting{name: name, value: b}, nil)))
			}
		}
		if strings.HasPrefix(name, "signal.") || strings.HasPrefix(name, "openlineage.") {
			d.note(name, "kafka.brokers", "taken from here, since the connector's configuration does not name the worker's bootstrap.servers; compare")
		}
		return
	}
	k.add(scalar("${KAFKA_BROKERS}"))
	k.say("The connector's configuration does not say; it is the worker's bootstrap.servers. Write them here, one host:port an item, or set KAFKA_BROKERS to one of them.")
}

// cutProtocol leaves out a listener's name, as in SSL://host:9093.
func cutProtocol(s string) (protocol, rest string, ok bool) {
	if i := strings.Index(s, "://"); i >= 0 {
		return s[:i], s[i+3:], true
	}
	return "", s, false
}

var jaasUser = regexp.MustCompile(`\busername\s*=\s*"((?:[^"\\]|\\.)*)"|\busername\s*=\s*'([^']*)'|\busername\s*=\s*([^\s;"']+)`)

func (d *draft) security() {
	const prefix = "producer.override."
	protocol := strings.ToUpper(strings.TrimSpace(d.config[prefix+"security.protocol"]))
	if strings.HasSuffix(protocol, "SSL") {
		d.doc.at("kafka", "tls", "enabled").value = "true"
	}
	if !strings.HasPrefix(protocol, "SASL_") {
		return
	}
	mechanism := strings.ToUpper(strings.TrimSpace(d.config[prefix+"sasl.mechanism"]))
	switch mechanism {
	case "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512":
	default:
		d.note(prefix+"sasl.mechanism", "kafka", "the relay knows PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512, and this is "+mechanism+"; let the brokers have a listener for it")
		return
	}
	sasl := d.key("kafka.sasl")
	sasl.at("mechanism").value = scalar(mechanism)
	user := "${KAFKA_USER}"
	if m := jaasUser.FindStringSubmatch(d.config[prefix+"sasl.jaas.config"]); m != nil {
		user = d.handed(setting{name: prefix + "sasl.jaas.config", value: m[1] + m[2] + m[3]}, nil)
	}
	sasl.at("username").value = scalar(user)
	sasl.at("password_file").value = scalar("${KAFKA_PASSWORD_FILE}")
	sasl.say(prefix + "sasl.jaas.config: its password is not written here; put it into a file, and its name into KAFKA_PASSWORD_FILE.")
}

// registry writes where schemas are registered. Key and value have one registry
// here.
func (d *draft) registry() {
	k := d.key("registry.url")
	sides := []string{"value.converter.", "key.converter."}
	var named string
	for _, side := range sides {
		for _, option := range []string{"schema.registry.url", "apicurio.registry.url"} {
			value := strings.TrimSpace(d.config[side+option])
			if value == "" {
				continue
			}
			value, user := withoutUsers(value)
			if user != "" && d.config[side+"basic.auth.user.info"] == "" {
				d.registryUser(side+option, user)
			}
			text := d.handed(setting{name: side + option, value: value}, confluentURL)
			switch {
			case k.value == "":
				k.value, named = scalar(text), side+option
			case k.value != scalar(text):
				d.missing(setting{name: side + option, value: value}, "is another registry than that of "+named+"; there is one for key and value")
			}
		}
	}
	if k.value == "" {
		k.value = scalar("${REGISTRY_URL}")
		k.say("The connector's configuration does not name a converter with a registry; it may be the worker's. Records are Avro here: if yours are not, their consumers cannot read these." +
			" Set REGISTRY_URL, or write the URL; Apicurio's ends with /apis/ccompat/v7.")
	}
	d.registryUsers(sides)
	d.registration(sides)
	d.subjects(sides)
	for _, side := range sides {
		class := strings.TrimSpace(d.config[strings.TrimSuffix(side, ".")])
		if class == apicurioAvro && d.config[side+"apicurio.registry.as-confluent"] == "" {
			d.missing(setting{name: side + "apicurio.registry.as-confluent", value: "(not set: false)"}, "Apicurio writes schema ids of eight bytes without it; here they have Confluent's form, a zero byte and four")
		}
		if class == apicurioAvro && d.config[side+"apicurio.registry.use-id"] == "" {
			d.note(side+"apicurio.registry.use-id", "registry.url", "is not set. The Confluent-compatible API gives content ids; Apicurio 2 writes global ids by default, and consumers that look ids up as such find other schemas")
		}
	}
}

var apicurioAPI = regexp.MustCompile(`/apis/(?:registry|ccompat)/v[0-9]+/?$`)

// confluentURL names the Confluent-compatible API of each of the registries.
func confluentURL(list string) string {
	urls := strings.Split(list, ",")
	for i, u := range urls {
		urls[i] = apicurioAPI.ReplaceAllString(strings.TrimSpace(u), "/apis/ccompat/v7")
	}
	return strings.Join(urls, ",")
}

var userInURL = regexp.MustCompile(`://([^/@:\s]*)(?::([^/@\s]*))?@`)

// withoutUsers takes user and password out of URLs.
func withoutUsers(list string) (urls, user string) {
	if m := userInURL.FindStringSubmatch(list); m != nil {
		user = m[1]
	}
	return userInURL.ReplaceAllString(list, "://"), user
}

// registryUser writes how the relay names itself to the registry.
func (d *draft) registryUser(option, user string) {
	d.key("registry.username").value = scalar(d.handed(setting{name: option, value: user}, nil))
	password := d.key("registry.password_file")
	password.value = scalar("${REGISTRY_PASSWORD_FILE}")
	password.say(option + ": the password is not written here; put it into a file, and its name into REGISTRY_PASSWORD_FILE.")
}

func (d *draft) registryUsers(sides []string) {
	for _, side := range sides {
		user, name := "", ""
		for _, option := range []string{"basic.auth.user.info", "schema.registry.basic.auth.user.info", "apicurio.auth.username"} {
			if value := d.config[side+option]; value != "" {
				user, _, _ = strings.Cut(value, ":")
				name = side + option
				if refers(value) && strings.HasSuffix(option, "user.info") {
					user = "${REGISTRY_USER}" // user:password in one
				}
				break
			}
		}
		if name == "" {
			continue
		}
		d.registryUser(name, user)
		return
	}
}

// registration is false where the converters want schemas that are there.
func (d *draft) registration(sides []string) {
	for _, side := range sides {
		for _, option := range []string{"auto.register.schemas", "apicurio.registry.auto-register"} {
			s := setting{name: side + option, value: d.config[side+option]}
			if s.value == "" || refers(s.value) {
				continue
			}
			if on, ok := d.boolean(s); ok && !on {
				d.plain("registry.auto_register", "false")
				d.note(s.name, "registry.auto_register", "schemas have to be in the registry as the relay writes them: relay schema show prints them")
			}
		}
	}
}

// strategies are the names of the strategies of subjects.
var strategies = map[string]string{
	"TopicNameStrategy": "topic", "RecordNameStrategy": "record", "TopicRecordNameStrategy": "topic_record",
	"TopicIdStrategy": "topic", "RecordIdStrategy": "record", "TopicRecordIdStrategy": "topic_record",
}

// subjects is one choice for key and value.
func (d *draft) subjects(sides []string) {
	chosen := map[string]string{}
	for _, side := range sides {
		kind, _, _ := strings.Cut(side, ".")
		for _, option := range []string{kind + ".subject.name.strategy", "apicurio.registry.artifact-resolver-strategy"} {
			s := setting{name: side + option, value: strings.TrimSpace(d.config[side+option])}
			if s.value == "" || refers(s.value) {
				continue
			}
			subject, ok := strategies[s.value[strings.LastIndexByte(s.value, '.')+1:]]
			if !ok {
				d.missing(s, "subjects are named after the topic, the record, or both: registry.subject")
				continue
			}
			chosen[side] = subject
		}
		if chosen[side] == "" {
			chosen[side] = "topic"
		}
	}
	value, key := chosen[sides[0]], chosen[sides[1]]
	if value != key {
		d.missing(setting{name: "key.converter.key.subject.name.strategy", value: key}, "is another strategy than the value's, "+value+"; there is one for both")
	}
	if value != "topic" {
		d.set("registry.subject", value)
	}
}
