package debezium

import (
	"bytes"
	"flag"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// minimal is what every connector has.
var minimal = map[string]string{
	"topic.prefix": "shop", "database.hostname": "db", "database.user": "dbz", "database.dbname": "inventory", "plugin.name": "pgoutput",
}

// with is the minimal configuration and the pairs of name and value.
func with(pairs ...string) map[string]string {
	config := maps.Clone(minimal)
	for i := 0; i < len(pairs); i += 2 {
		config[pairs[i]] = pairs[i+1]
	}
	return config
}

func imported(t *testing.T, pairs ...string) (text string, r Result) {
	t.Helper()
	r, err := Import(with(pairs...))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for line := range strings.Lines(string(r.YAML)) {
		if !strings.HasPrefix(strings.TrimSpace(line), "#") {
			b.WriteString(line)
		}
	}
	return b.String(), r
}

// TestASample compares a whole file, comments included.
func TestASample(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/inventory.json")
	if err != nil {
		t.Fatal(err)
	}
	config, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Import(config)
	if err != nil {
		t.Fatal(err)
	}
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile("testdata/inventory.yaml", r.YAML, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/inventory.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(r.YAML, want) {
		t.Errorf("testdata/inventory.yaml is not what comes out; if that is right, run make generate\n%s", r.YAML)
	}
	if bytes.Contains(r.YAML, []byte("hunter2")) {
		t.Error("a password is in the file")
	}
}

func TestOptionsBecomeKeys(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pairs []string
		want  string // lines that have to be there, one below the other in their section
	}{
		{nil, "name: shop\npostgres:\n  url: postgres://dbz@db/inventory\n  slot:\n    name: debezium\n    adopt: true\n  publication:\n    name: dbz_publication\n    create: true\n"},
		{nil, "tables:\n  exclude: ['*.spatial_ref_sys']\n"},
		{nil, "  topics:\n    partitions: 1\n  partitioner: debezium\n"},
		{nil, "delivery: exactly_once\n"},
		{nil, "snapshot:\n  mode: initial\nformat:\n  compat: debezium\n  names: avro\n  nonfinite: 'null'\n  unknown: drop\n"},
		{[]string{"database.port", "5433", "database.password", "hunter2", "database.sslmode", "VERIFY-full", "database.sslrootcert", "/etc/ca b.pem"},
			"url: postgres://dbz:${DATABASE_PASSWORD}@db:5433/inventory?sslmode=verify-full&sslrootcert=/etc/ca+b.pem\n"},
		{[]string{"database.user", "a@b", "database.dbname", "x/y z", "database.hostname", "::1", "database.port", "1"}, "url: 'postgres://a%40b@[::1]:1/x%2Fy%20z'\n"},
		{[]string{"database.password", "${env:PW}", "database.user", "${file:/s:db.user}"}, "url: postgres://${DB_USER}:${PW}@db/inventory\n"},
		{[]string{"database.password", "${file:/s:db.password}"}, "url: postgres://dbz:${DB_PASSWORD}@db/inventory\n"},
		{[]string{"database.password", "pre${file:/s:k}"}, "dbz:${DATABASE_PASSWORD}@"},
		{[]string{"topic.prefix", "${env:PREFIX}.x", "database.hostname", "${DBHOST}"}, "name: ${PREFIX}.x\n"},
		{[]string{"slot.name", "s", "slot.failover", "true", "publication.name", "p", "publication.autocreate.mode", "disabled"},
			"  slot:\n    name: s\n    adopt: true\n    failover: true\n  publication:\n    name: p\n    create: false\n"},
		{[]string{"publication.autocreate.mode", "no_tables"}, "create: false\n"},
		{[]string{"publication.autocreate.mode", "filtered", "publish.via.partition.root", "true"}, "    create: true\n    via_root: true\n"},
		{[]string{"table.include.list", `public\.orders,public.items`}, "  include: [public.orders, public.items]\n"},
		{[]string{"schema.include.list", "public, inv.*"}, "  include: ['public.*', 'inv*.*']\n"},
		{[]string{"schema.include.list", "public", "table.include.list", `public\.a,other\.b,.*\.c`}, "  include: [public.a, public.c]\n"},
		{[]string{"schema.include.list", "public|x", "table.include.list", `public\.a,z\.b`}, "  include: [public.a]\n"},
		{[]string{"schema.exclude.list", "hidden", "table.exclude.list", "public.skip.*"}, "  exclude: ['hidden.*', '/(?i)public.skip.*/', '*.spatial_ref_sys']\n"},
		{[]string{"table.include.list", "public.t", "signal.data.collection", "dbz.signal"}, "  include: [public.t, dbz.signal]\n"},
		{[]string{"table.include.list", "public.*", "signal.data.collection", "public.signal"}, "  include: ['public*.*']\n"},
		{[]string{"skipped.operations", "c, D"}, "  skip: [c, d]\n"},
		{[]string{"skipped.operations", "none"}, "  truncate: true\n"},
		{[]string{"message.key.columns", "public.t:b,a;public.nk:y"}, "  overrides:\n    public.t:\n      key: [b, a]\n    public.nk:\n      key: ['y']\n"},
		{[]string{"message.key.columns", "(.*).t:x;public.t:Y"}, "    '/(?i)(.*).t/':\n      key: [x]\n    public.t:\n      key: [x, 'Y']\n"},
		{[]string{"column.exclude.list", `public.t.secret,.*\.password`}, "    public.t:\n      columns:\n        exclude: [secret]\n    '*.*':\n      columns:\n        exclude: [password]\n"},
		{[]string{"column.include.list", "public.t.id,public.t.a"}, "    '*.*':\n      columns:\n        include: ['/.^/']\n    public.t:\n      columns:\n        include: [id, a]\n"},
		{[]string{"column.mask.with.12.chars", "public.t.m", "column.truncate.to.3.chars", "public.t.c"}, "    public.t:\n      mask:\n        c: {truncate: 3}\n        m: {asterisks: 12}\n"},
		{[]string{"column.mask.hash.SHA-256.with.salt.a.b", "public.t.h", "column.mask.hash.v2.sha1.with.salt.1,{", "public.t.h2"},
			"        h: {hash_debezium: {algorithm: SHA-256, salt: a.b, version: 1}}\n        h2: {hash_debezium: {algorithm: SHA-1, salt: '1,{', version: 2}}\n"},
		{[]string{"column.mask.hash.MD5.with.salt.$${x}", "public.t.h"}, "        h: {hash_debezium: {algorithm: MD5, salt: '$$$${x}', version: 1}}\n"},
		{[]string{"column.mask.with.1.chars", "public.t.c", "column.truncate.to.3.chars", "public.t.c"}, "        c: {truncate: 3}\nkafka:"},
		{[]string{"column.propagate.source.type", `.*,public\.t\.(a|b)`, "datatype.propagate.source.type", `.*\.numeric`},
			"  source_types: ['*', '/(?i)public\\.t\\.(a|b)/']\n  source_datatypes: ['*.numeric']\n"},
		{[]string{"decimal.handling.mode", " STRING ", "money.fraction.digits", "3", "time.precision.mode", "isostring", "interval.handling.mode", "string",
			"binary.handling.mode", "base64-url-safe", "hstore.handling.mode", "map"},
			"  decimal: string\n  money_digits: 3\n  time: isostring\n  interval: string\n  binary: base64-url-safe\n  hstore: map\n"},
		{[]string{"include.unknown.datatypes", "true", "event.converting.failure.handling.mode", "fail", "unavailable.value.placeholder", "xx", "tombstones.on.delete", "false",
			"provide.transaction.metadata", "true", "extended.headers.enabled", "false", "xmin.fetch.interval.ms", "100"},
			"  nonfinite: fail\n  unknown: bytes\n  placeholder: xx\n  tombstones: false\n  transaction_metadata: true\n  context_headers: false\n  xmin: 100ms\n"},
		{[]string{"event.converting.failure.handling.mode", "skip", "unavailable.value.placeholder", "hex:c3a9"}, "  nonfinite: 'null'\n  unknown: drop\n  placeholder: 'é'\n"},
		{[]string{"schema.name.adjustment.mode", "avro_unicode", "field.name.adjustment.mode", "avro_unicode"}, "  names: avro_unicode\n"},
		{[]string{"schema.name.adjustment.mode", "avro"}, "  names: avro\n"},
		{[]string{"heartbeat.interval.ms", "60000"}, "heartbeat:\n  interval: 1m\n  topic: true\n"},
		{[]string{"lsn.flush.mode", "connector_and_driver"}, "heartbeat:\n  interval: 10m\n  topic: true\n"},
		{[]string{"message.prefix.include.list", "keep.*,x"}, "messages:\n  include: ['keep*', x]\n"},
		{[]string{"message.prefix.exclude.list", "skip,a(b|c)"}, "messages:\n  exclude: [skip, '/(?i)a(b|c)/']\n"},
		{[]string{"snapshot.mode", "initial_only"}, "  mode: only\n"},
		{[]string{"snapshot.mode", "no_data"}, "  mode: never\n"},
		{[]string{"snapshot.mode", "When_Needed", "snapshot.max.threads", "4"}, "  mode: when_needed\n  parallel: 4\n"},
		{[]string{"snapshot.mode", "configuration_based", "snapshot.mode.configuration.based.start.stream", "true"}, "  mode: never\n"},
		{[]string{"snapshot.mode", "configuration_based", "snapshot.mode.configuration.based.snapshot.data", "true"}, "  mode: only\n"},
		{[]string{"value.converter", confluentAvro, "value.converter.schema.registry.url", "http://a:8081, http://b:8081", "value.converter.value.subject.name.strategy", "io.confluent.kafka.serializers.subject.RecordNameStrategy",
			"key.converter.key.subject.name.strategy", "RecordNameStrategy", "value.converter.auto.register.schemas", "false", "value.converter.basic.auth.user.info", "bob:hunter2"},
			"registry:\n  url: 'http://a:8081,http://b:8081'\n  auto_register: false\n  subject: record\n  username: bob\n  password_file: ${REGISTRY_PASSWORD_FILE}\n"},
		{[]string{"value.converter", apicurioAvro, "value.converter.apicurio.registry.url", "http://r:8080/apis/registry/v2", "value.converter.apicurio.registry.as-confluent", "true", "value.converter.apicurio.registry.use-id", "contentId",
			"value.converter.apicurio.registry.auto-register", "true", "value.converter.apicurio.registry.find-latest", "true", "value.converter.apicurio.registry.headers.enabled", "false"},
			"registry:\n  url: http://r:8080/apis/ccompat/v7\n"},
		{[]string{"producer.override.bootstrap.servers", "SSL://k1:9093,k2:9093", "producer.override.security.protocol", "SASL_SSL", "producer.override.sasl.mechanism", "PLAIN",
			"producer.override.sasl.jaas.config", `org.apache.kafka.common.security.plain.PlainLoginModule required username="al ice" password="hunter2";`},
			"kafka:\n  brokers: ['k1:9093', 'k2:9093']\n  tls:\n    enabled: true\n  sasl:\n    mechanism: PLAIN\n    username: 'al ice'\n    password_file: ${KAFKA_PASSWORD_FILE}\n"},
		{[]string{"topic.creation.default.partitions", "12", "topic.creation.default.replication.factor", "3", "topic.creation.default.cleanup.policy", "compact", "producer.override.compression.type", "zstd", "producer.override.max.request.size", "20000000"},
			"  topics:\n    partitions: 12\n    replication_factor: 3\n    config:\n      cleanup.policy: compact\n  compression: zstd\n"},
		{[]string{"producer.override.max.request.size", "20000000"}, "max_row: 19934464B\n"},
		{nil, "max_row: 960KiB\n"},
		{[]string{"producer.override.max.request.size", "20000000", "topic.creation.default.max.message.bytes", "2097152"}, "max_row: 1984KiB\n"},
	} {
		text, r := imported(t, c.pairs...)
		if !strings.Contains(text, c.want) {
			t.Errorf("%v: want\n%s\ngot\n%s", c.pairs, c.want, text)
		}
		if len(r.Missing) > 0 {
			t.Errorf("%v: missing %v", c.pairs, r.Missing)
		}
		if strings.Contains(string(r.YAML), "hunter2") {
			t.Errorf("%v: a password is in the file", c.pairs)
		}
	}
}

func TestOptionsWithoutACounterpartAreNamed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pairs  []string
		option string
		want   string // of the reason
	}{
		{[]string{"transforms", "a,b", "transforms.a.type", "io.debezium.transforms.ExtractNewRecordState", "transforms.b.type", "x.Y$Value"}, "transforms.a.type", "consumers read after"},
		{[]string{"transforms", "b", "transforms.b.type", "org.apache.kafka.connect.transforms.MaskField$Value"}, "transforms.b.type", "mask in tables.overrides"},
		{[]string{"value.converter", "org.apache.kafka.connect.json.JsonConverter"}, "value.converter", "JsonConverter have another form"},
		{[]string{"key.converter", "org.apache.kafka.connect.storage.StringConverter"}, "key.converter", "another form"},
		{[]string{"value.converter", apicurioAvro}, "value.converter.apicurio.registry.as-confluent", "eight bytes"},
		{[]string{"value.converter.ignore.default.for.nullables", "true"}, "value.converter.ignore.default.for.nullables", "compat: none"},
		{[]string{"value.converter.unheard.of", "true"}, "value.converter.unheard.of", "Not known"},
		{[]string{"converters", "isbn", "isbn.type", "x.Y"}, "converters", "Java classes"},
		{[]string{"plugin.name", "decoderbufs"}, "plugin.name", "reads pgoutput"},
		{[]string{"slot.drop.on.stop", "true"}, "slot.drop.on.stop", "nothing is left to take over"},
		{[]string{"snapshot.mode", "always"}, "snapshot.mode", "first start only"},
		{[]string{"snapshot.mode", "sometimes"}, "snapshot.mode", "want initial"},
		{[]string{"snapshot.select.statement.overrides", "public.t", "snapshot.select.statement.overrides.public.t", "SELECT 1"}, "snapshot.select.statement.overrides.public.t", "whole tables"},
		{[]string{"topic.naming.strategy", "io.debezium.schema.DefaultTopicNamingStrategy"}, "topic.naming.strategy", "<name>.<schema>.<table>"},
		{[]string{"topic.delimiter", "_"}, "topic.delimiter", "with dots"},
		{[]string{"topic.heartbeat.prefix", "hb", "heartbeat.interval.ms", "5"}, "topic.heartbeat.prefix", "always __debezium-heartbeat"},
		{[]string{"heartbeat.action.query", "INSERT INTO hb VALUES (1)"}, "heartbeat.action.query", "by a timer"},
		{[]string{"table.include.list", `public\.(?!tmp).*`}, "table.include.list", "look ahead"},
		{[]string{"table.include.list", "public.t", "table.exclude.list", "public.u"}, "table.exclude.list", "only one of the two"},
		{[]string{"schema.include.list", "[ab].*", "table.include.list", `[bc].*\.t`}, "table.include.list", "name the schema"},
		{[]string{"schema.include.list", "a", "table.include.list", "b.t"}, "schema.include.list", "nothing is published"},
		{[]string{"signal.data.collection", "s.sig", "schema.exclude.list", "s"}, "signal.data.collection", "here they exclude it"},
		{[]string{"message.key.columns", "public.t:id.*"}, "message.key.columns", "write out the names"},
		{[]string{"message.key.columns", "a.*:x;.*b:y"}, "message.key.columns", "name the tables"},
		{[]string{"column.mask.hash.MD2.with.salt.s", "public.t.c"}, "column.mask.hash.MD2.with.salt.(hidden)", "MD2 is not known"},
		{[]string{"column.exclude.list", "public.t{1,2}x"}, "column.exclude.list", "{ without }"},
		{[]string{"schema.name.adjustment.mode", "avro_unicode"}, "field.name.adjustment.mode", "one choice for both"},
		{[]string{"decimal.handling.mode", "${env:MODE}"}, "decimal.handling.mode", "the worker looks its value up"},
		{[]string{"decimal.handling.mode", "exact"}, "decimal.handling.mode", "want one of double, precise, string"},
		{[]string{"database.initial.statements", "SET ROLE x"}, "database.initial.statements", "ALTER ROLE"},
		{[]string{"notification.enabled.channels", "log,sink"}, "notification.enabled.channels", "no notifications"},
		{[]string{"flush.lsn.source", "false"}, "flush.lsn.source", "confirms what is durable itself"},
		{[]string{"skip.messages.without.change", "true"}, "skip.messages.without.change", "Every update"},
		{[]string{"a.new.option", "1"}, "a.new.option", "no option of this name"},
		{[]string{"slot.stream.params", "origin=none"}, "slot.stream.params", "every origin"},
		{[]string{"unavailable.value.placeholder", "hex:ff"}, "unavailable.value.placeholder", "UTF-8"},
		{[]string{"producer.override.partitioner.class", "x.Y"}, "producer.override.partitioner.class", "hash of its key"},
	} {
		text, r := imported(t, c.pairs...)
		i := slices.IndexFunc(r.Missing, func(m Missing) bool { return m.Option == c.option && strings.Contains(m.Reason, c.want) })
		if i < 0 {
			t.Errorf("%v: got %v, want %s: … %s …", c.pairs, r.Missing, c.option, c.want)
			continue
		}
		if !bytes.Contains(r.YAML, []byte("# - "+c.option)) {
			t.Errorf("%v: no comment in\n%s", c.pairs, r.YAML)
		}
		if !strings.Contains(text, "name: shop\n") {
			t.Errorf("%v: no file", c.pairs)
		}
	}
}

// TestNothingIsPublishedOfAListThatCannotBeRead: with --force, a list of
// inclusions must not turn into everything.
func TestNothingIsPublishedOfAListThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"table.include.list", "schema.include.list"} {
		if text, _ := imported(t, name, "(?!x)y"); !strings.Contains(text, "include: ['/.^/']\n") {
			t.Errorf("%s: got\n%s", name, text)
		}
	}
	if text, _ := imported(t, "message.prefix.include.list", "(?!x)y"); !strings.Contains(text, "messages:\n  include: ['/.^/']\n") {
		t.Error(text)
	}
}

func TestSecretsAreNeverShown(t *testing.T) {
	t.Parallel()
	_, r := imported(t, "database.password", "hunter2", "value.converter.unknown.password", "hunter2", "some.token", "hunter2", "transforms.x.secret", "hunter2",
		"database.initial.statements", "SET a='b'; password=hunter2", "column.mask.hash.MD2.with.salt.hunter2", "a.b.c", "bootstrap.servers", "k:1",
		"key.converter.schema.registry.url", "http://u:hunter2@r:1", "value.converter.schema.registry.url", "http://u:hunter2@q:1")
	for _, m := range r.Missing {
		if strings.Contains(m.Option+m.Value+m.Reason, "hunter2") {
			t.Errorf("%+v", m)
		}
	}
	for _, n := range r.Notes {
		if strings.Contains(n.Option+n.Text, "hunter2") {
			t.Errorf("%+v", n)
		}
	}
	if bytes.Contains(r.YAML, []byte("hunter2")) {
		t.Errorf("%s", r.YAML)
	}
}

func TestWhatIsNoSuchConnector(t *testing.T) {
	t.Parallel()
	for want, config := range map[string]map[string]string{
		"want the configuration of a io.debezium":                    with("connector.class", "io.debezium.connector.mysql.MySqlConnector"),
		"configuration of Debezium Server":                           {"debezium.source.topic.prefix": "x"},
		"topic.prefix, database.hostname, database.dbname, database": {"connector.class": "io.debezium.connector.postgresql.PostgresConnector"},
	} {
		if _, err := Import(config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestNotesSayWhatDiffers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pairs      []string
		text, near string // the comment, and the key that follows it
	}{
		{[]string{"signal.data.collection", "public.s"}, "but start nothing", "tables:"},
		{[]string{"publication.autocreate.mode", "filtered"}, "never takes one out", "create: true"},
		{[]string{"column.propagate.source.type", ".*", "column.mask.hash.MD5.with.salt.s", "public.t.h"}, "without the hash", "overrides:"},
		{[]string{"column.propagate.source.type", ".*", "column.mask.with.3.chars", "public.t.h"}, "no source type", "source_types:"},
		{[]string{"column.mask.with.3.chars", "public.t.h", "column.truncate.to.3.chars", "public.t.h"}, "applies alone", "overrides:"},
		{[]string{"database.sslkey", "/k.pk8"}, "PKCS-8", "url:"},
		{[]string{"table.include.list", "public.t"}, "ignores case", "tables:"},
		{[]string{"database.user", "${vault:secret/db:user}"}, "set USER in the relay's environment", ""},
		{[]string{"heartbeat.topics.prefix", "x"}, "does not read it", ""},
		{[]string{"errors.tolerance", "all"}, "Nothing is skipped", "delivery:"},
		{[]string{"snapshot.mode", "initial_only"}, "nothing is streamed", "mode: only"},
	} {
		_, r := imported(t, c.pairs...)
		if !slices.ContainsFunc(r.Notes, func(n Note) bool { return strings.Contains(n.Text, c.text) }) {
			t.Errorf("%v: notes %v", c.pairs, r.Notes)
		}
		flat := strings.Join(strings.Fields(strings.ReplaceAll(string(r.YAML), "#", "")), " ")
		_, after, ok := strings.Cut(flat, c.text)
		if !ok || !strings.Contains(after, c.near) {
			t.Errorf("%v: no %q before %q in\n%s", c.pairs, c.text, c.near, r.YAML)
		}
	}
}
