package main

import (
	"time"

	"github.com/tailrace/tailrace/internal/cli"
	"github.com/tailrace/tailrace/internal/config"
)

// settings is relay.yaml: every key with its default and meaning. The tags feed
// the parser, config show and config reference.
type settings struct {
	Name       string             `yaml:"name" required:"true" example:"shop" doc:"Topic prefix. Names the slot, the publication and the transactional id unless these are given."`
	Postgres   postgresSettings   `yaml:"postgres" doc:"The database to read."`
	Tables     tableSettings      `yaml:"tables" doc:"Which tables are published, and how."`
	Kafka      kafkaSettings      `yaml:"kafka" doc:"The log to publish to."`
	Registry   registrySettings   `yaml:"registry" doc:"The Confluent-compatible schema registry."`
	Delivery   string             `yaml:"delivery" default:"exactly_once" enum:"exactly_once|at_least_once" doc:"exactly_once publishes rows and progress in one Kafka transaction. at_least_once has lower latency, and repeats after a crash, with the same positions."`
	OnStop     string             `yaml:"on_stop" default:"wait" enum:"wait|exit" doc:"What the relay does where a person must decide: stay, not ready, and say why, or leave with code 3."`
	MaxRow     config.Size        `yaml:"max_row" default:"8MiB" min:"1KiB" max:"1GiB" doc:"The largest record that is published. Bounds reader and producer, and the max.message.bytes of new topics, which is 64KiB more."`
	OnOversize string             `yaml:"on_oversize" default:"dead_letter" enum:"dead_letter|stop" doc:"What becomes of a row or logical message that is longer than max_row: it goes to the dead-letter topic, in parts, or the relay stops."`
	Snapshot   snapshotSettings   `yaml:"snapshot" doc:"Reading the rows that were there before the stream."`
	Format     formatSettings     `yaml:"format" doc:"The form of the records; Debezium's own values where it has the option."`
	Heartbeat  heartbeatSettings  `yaml:"heartbeat" doc:"A probe through the whole line, by pg_logical_emit_message."`
	Messages   messageSettings    `yaml:"messages" doc:"Logical messages that are published. Prefixes that begin with tailrace. are the relay's own and never are."`
	Outbox     outboxSettings     `yaml:"outbox" doc:"Domain events from a table or from logical messages."`
	WAL        walSettings        `yaml:"wal" doc:"How much WAL the slot may hold back."`
	Replay     replaySettings     `yaml:"replay" doc:"How far back a replay can go."`
	DeadLetter deadLetterSettings `yaml:"dead_letter" doc:"Where changes go that have no form in the record's schema."`
	Ops        opsSettings        `yaml:"ops" doc:"Metrics, health and status over HTTP."`
}

type postgresSettings struct {
	URL             string              `yaml:"url" required:"true" example:"postgres://tailrace@127.0.0.1:5432/shop" doc:"libpq URL or keywords. PGPASSWORD, PGPASSFILE, sslmode and target_session_attrs work as in libpq."`
	PasswordFile    string              `yaml:"password_file" default:"" doc:"File that holds the password; read before every connect."`
	PasswordCommand []string            `yaml:"password_command" doc:"Program and arguments that print the password; run before every connect, for IAM tokens."`
	Slot            slotSettings        `yaml:"slot" doc:"The logical replication slot."`
	Publication     publicationSettings `yaml:"publication" doc:"The publication."`
}

type slotSettings struct {
	Name     string `yaml:"name" default:"tailrace_<name>" derive:"identifier" doc:"Lower-case letters, digits and underscores. In the default, what a slot's name cannot hold becomes an underscore."`
	Create   bool   `yaml:"create" default:"true" doc:"Create the slot at the first start."`
	Failover string `yaml:"failover" default:"auto" enum:"auto|true|false" doc:"Whether standbys synchronise the slot. auto: on PostgreSQL 17 and later."`
	Adopt    bool   `yaml:"adopt" default:"false" doc:"At the first start, take over the slot of this name where a stopped Debezium left it: no snapshot, and the next record is the one that it would have written. kafka.partitioner is then debezium by default."`
}

type publicationSettings struct {
	Name    string `yaml:"name" default:"tailrace_<name>" derive:"identifier" doc:"A list of the matching tables. In the default, what an unquoted name cannot hold becomes an underscore."`
	Create  bool   `yaml:"create" default:"true" doc:"Create the publication, and add tables as they appear. One that is FOR ALL TABLES is used as it is."`
	ViaRoot bool   `yaml:"via_root" default:"false" doc:"Create the publication so that changes of partitions come under the name of their partitioned table (publish_via_partition_root)."`
}

type tableSettings struct {
	Include   []string                 `yaml:"include" default:"[\"*.*\"]" doc:"Patterns schema.table, where * stands for any text; or /…/, a regular expression (RE2) that the whole of schema.table has to match. The system's schemas are never included."`
	Exclude   []string                 `yaml:"exclude" default:"[]" doc:"Patterns of tables to leave out."`
	Skip      []string                 `yaml:"skip" default:"[]" enum:"c|u|d" doc:"Operations that are not published: c creates, u updates, d deletes. Rows of a snapshot are."`
	Overrides map[string]tableOverride `yaml:"overrides" key:"schema.table" doc:"Settings of single tables, by name or pattern. All entries that fit a table count: patterns in the order of their texts, then the name, and a later one wins. A partition goes by its own name unless via_root is on."`
}

type tableOverride struct {
	Key     []string                `yaml:"key" doc:"Columns of the record key, in this order, instead of the primary key."`
	Columns columnSettings          `yaml:"columns" doc:"Which columns are published."`
	Mask    map[string]maskSettings `yaml:"mask" key:"column" oneof:"true" doc:"How the values of a column are masked, by the column's name, or by a pattern, which is about columns of characters only. Dead letters and logs are masked too."`
	Where   string                  `yaml:"where" doc:"Condition in SQL that a row has to meet, as in CREATE PUBLICATION … WHERE (PostgreSQL 15 and later)."`
	Topic   string                  `yaml:"topic" doc:"Topic instead of <name>.<schema>.<table>."`
}

type columnSettings struct {
	Include []string `yaml:"include" doc:"The only columns that are published: names, or patterns with * or /…/."`
	Exclude []string `yaml:"exclude" doc:"Columns that are not published."`
}

// maskSettings is a choice of one.
type maskSettings struct {
	Asterisks    *int                  `yaml:"asterisks" min:"0" max:"1000000" unit:"characters" doc:"As many asterisks in place of each value, and of NULL."`
	Truncate     *int                  `yaml:"truncate" min:"0" max:"1000000000" unit:"characters" doc:"The beginning of each value; of bytea, in bytes."`
	Hash         *hashSettings         `yaml:"hash" doc:"HMAC-SHA-256 of each value, in hexadecimal, cut to the column's length."`
	HashDebezium *debeziumHashSettings `yaml:"hash_debezium" doc:"The hash that Debezium writes, for consumers that have such hashes; it keeps no secret of who knows the salt."`
}

type hashSettings struct {
	KeyFile string `yaml:"key_file" required:"true" doc:"File that holds the secret key, of at least 16 characters."`
}

type debeziumHashSettings struct {
	Algorithm string `yaml:"algorithm" default:"SHA-256" enum:"MD5|SHA-1|SHA-224|SHA-256|SHA-384|SHA-512" doc:"The digest."`
	Salt      string `yaml:"salt" required:"true" secret:"true" doc:"What is put before each value."`
	Version   int    `yaml:"version" default:"2" min:"1" max:"2" doc:"1 for column.mask.hash.…, 2 for column.mask.hash.v2.…"`
}

type kafkaSettings struct {
	Brokers      []string      `yaml:"brokers" required:"true" example:"[127.0.0.1:9092]" doc:"Addresses to begin with, host:port."`
	TLS          cli.TLS       `yaml:"tls" doc:"TLS is on as soon as one of these is set."`
	SASL         saslSettings  `yaml:"sasl" doc:"SASL is on as soon as a mechanism is set."`
	Topics       topicSettings `yaml:"topics" doc:"The data topics."`
	Compression  string        `yaml:"compression" default:"lz4" enum:"none|gzip|snappy|lz4|zstd" doc:"Compression of the batches."`
	Partitioner  string        `yaml:"partitioner" default:"key_body" enum:"key_body|debezium" doc:"key_body hashes the Avro key without the schema id, so that a new schema moves no row to another partition. debezium hashes all key bytes; it is the default with slot.adopt."`
	OnKeyChange  string        `yaml:"on_key_change" default:"stop" enum:"stop|new_topic" doc:"What follows when the names or types of a table's key columns change, so that rows would leave their partitions: stop, or go on in a new topic version."`
	SingleBroker bool          `yaml:"single_broker" default:"false" doc:"Accept topics with fewer than three replicas."`
}

type saslSettings struct {
	Mechanism    string `yaml:"mechanism" default:"" enum:"PLAIN|SCRAM-SHA-256|SCRAM-SHA-512" doc:"How the relay proves who it is; no SASL if empty."`
	Username     string `yaml:"username" default:"" doc:"User of the mechanism."`
	PasswordFile string `yaml:"password_file" default:"" doc:"File that holds the password."`
}

type topicSettings struct {
	Create            bool              `yaml:"create" default:"true" doc:"Create topics that do not exist, with max.message.bytes of max_row and 64KiB."`
	Partitions        int32             `yaml:"partitions" default:"6" min:"1" max:"10000" unit:"partitions" doc:"Partitions of new topics. A topic's count never changes afterwards."`
	ReplicationFactor int16             `yaml:"replication_factor" default:"-1" min:"-1" max:"100" unit:"replicas" doc:"Replicas of new topics; -1 is the broker's default."`
	Config            map[string]string `yaml:"config" key:"option" doc:"Options of new topics, such as retention.ms."`
}

type registrySettings struct {
	URL            string `yaml:"url" required:"true" example:"http://127.0.0.1:8081" doc:"URL of the registry; a comma-separated list fails over."`
	AutoRegister   bool   `yaml:"auto_register" default:"true" doc:"Register schemas. Otherwise they have to be there."`
	Subject        string `yaml:"subject" default:"topic" enum:"topic|record|topic_record" doc:"How subjects are named: <topic>-key and <topic>-value, the record's full name, or both with a dash between."`
	Username       string `yaml:"username" default:"" doc:"User of HTTP basic authentication."`
	PasswordFile   string `yaml:"password_file" default:"" doc:"File that holds the password; read at each request."`
	OnIncompatible string `yaml:"on_incompatible" default:"stop" enum:"stop|dead_letter|force" doc:"What follows when the registry refuses a table's new schema: stop, dead-letter its rows, or go on in a new topic version."`
}

type snapshotSettings struct {
	Mode      string `yaml:"mode" default:"initial" enum:"initial|never|only|when_needed" doc:"initial: at the first start. only: then exit with 0, and keep the slot. when_needed: at a gap too, without asking."`
	Parallel  int    `yaml:"parallel" default:"2" min:"1" max:"64" unit:"sessions" doc:"Tables, or chunks of one, that are read at the same time."`
	ChunkRows int    `yaml:"chunk_rows" default:"50000" min:"1" max:"10000000" unit:"rows" doc:"Rows of one chunk of a large table."`
}

type formatSettings struct {
	Compat              string        `yaml:"compat" default:"none" enum:"none|debezium" doc:"debezium makes Debezium's choices of form, never its losses; nonfinite is then null by default, or fail, and unknown drop, or bytes."`
	Names               string        `yaml:"names" default:"avro" enum:"avro|avro_unicode|none" doc:"What becomes of names that Avro refuses: an underscore, an escape, or nothing."`
	Decimal             string        `yaml:"decimal" default:"precise" enum:"precise|string|double" doc:"Form of numeric and money."`
	Time                string        `yaml:"time" default:"adaptive" enum:"adaptive|adaptive_time_microseconds|connect|isostring|microseconds|nanoseconds|structured" doc:"Form of dates and times."`
	Binary              string        `yaml:"binary" default:"bytes" enum:"bytes|base64|base64-url-safe|hex" doc:"Form of bytea."`
	Nonfinite           string        `yaml:"nonfinite" default:"dead_letter" enum:"dead_letter|fail|null|string" doc:"NaN and infinities that a decimal, infinite intervals that a number cannot hold."`
	Unknown             string        `yaml:"unknown" default:"text" enum:"text|bytes|drop" doc:"Columns of types that have no form of their own."`
	Placeholder         string        `yaml:"placeholder" default:"__debezium_unavailable_value" doc:"Stands for values that the WAL does not carry."`
	ContextHeaders      bool          `yaml:"context_headers" default:"true" doc:"Write Debezium's __debezium.context.* headers."`
	MoneyDigits         int           `yaml:"money_digits" default:"2" min:"0" max:"9" unit:"digits" doc:"Fraction digits of money."`
	Interval            string        `yaml:"interval" default:"numeric" enum:"numeric|string" doc:"Form of interval: microseconds with average months, or ISO 8601."`
	Hstore              string        `yaml:"hstore" default:"json" enum:"json|map" doc:"Form of hstore."`
	Tombstones          bool          `yaml:"tombstones" default:"true" doc:"Follow each delete with a record without value, for compacted topics."`
	TransactionMetadata bool          `yaml:"transaction_metadata" default:"false" doc:"Publish BEGIN and END to <name>.transaction, and number the changes of a transaction."`
	Truncate            bool          `yaml:"truncate" default:"false" doc:"Publish TRUNCATE, to every partition of the table's topic; under compat: debezium to one."`
	SourceTypes         []string      `yaml:"source_types" default:"[]" doc:"Columns, as patterns schema.table.column, whose PostgreSQL type stands in connect.parameters of their field, as Debezium's column.propagate.source.type has it."`
	SourceDatatypes     []string      `yaml:"source_datatypes" default:"[]" doc:"The same by type: patterns schema.table.type, as in *.*.numeric; a serial column has the type serial."`
	XMin                time.Duration `yaml:"xmin" default:"0s" doc:"How often source.xmin is read; 0s: it is null."`
}

type heartbeatSettings struct {
	Interval time.Duration `yaml:"interval" default:"10s" doc:"Time between heartbeats; 0s is none. Each is a logical message with the prefix tailrace.heartbeat, some hundred bytes of WAL; how long it takes to come back durable is a metric. None is written where the server is a standby."`
	Topic    bool          `yaml:"topic" default:"false" doc:"Publish records to __debezium-heartbeat.<name>, one for each interval."`
}

type messageSettings struct {
	Include []string `yaml:"include" default:"[\"*\"]" doc:"Prefixes of logical messages to publish to <name>.message, where * stands for any text; or /…/, a regular expression that the whole prefix has to match."`
	Exclude []string `yaml:"exclude" default:"[]" doc:"Prefixes to leave out."`
}

type outboxSettings struct {
	Table   string            `yaml:"table" default:"" example:"public.outbox" doc:"Table whose inserts are events."`
	Prefix  string            `yaml:"prefix" default:"" example:"outbox" doc:"Prefix of the logical messages that are events."`
	Columns map[string]string `yaml:"columns" key:"part" doc:"Columns that hold an event's id, key, type, payload, topic and headers."`
	Route   string            `yaml:"route" default:"" doc:"Topic of an event, with {…} for its columns."`
}

type walSettings struct {
	Warn  config.Size `yaml:"warn" default:"5GiB" doc:"Warn when the slot holds back this much; 0 never."`
	Max   config.Size `yaml:"max" default:"0" doc:"Limit for what the slot holds back; 0 is none. The trailing slot and bookmarks are given up first, whatever at_max says."`
	AtMax string      `yaml:"at_max" default:"warn" enum:"warn|drop_slot" doc:"What happens at wal.max. drop_slot saves the database's disk and costs a new snapshot."`
}

type replaySettings struct {
	Window      time.Duration `yaml:"window" default:"0s" doc:"How far back the trailing slot stays, in commit times: what relay replay can go back to. 0s is no trailing slot."`
	Max         config.Size   `yaml:"max" default:"10GiB" doc:"WAL that the trailing slot may hold back; beyond it the window is shorter. 0 is any."`
	BookmarkTTL time.Duration `yaml:"bookmark_ttl" default:"168h" doc:"Bookmarks are given up after this time, by the relay that runs."`
}

type deadLetterSettings struct {
	Topic string `yaml:"topic" default:"<name>.dead_letter" doc:"The relay's dead-letter topic."`
}

type opsSettings struct {
	Listen    string `yaml:"listen" default:"127.0.0.1:9464" doc:"Address of /metrics, /healthz, /readyz and /status; none if empty."`
	TokenFile string `yaml:"token_file" default:"" doc:"File that holds the token that requests which change something must carry. Without it only this machine may send them."`
}
