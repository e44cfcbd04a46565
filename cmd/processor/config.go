package main

import (
	"time"

	"github.com/tailrace/tailrace/internal/cli"
	"github.com/tailrace/tailrace/internal/config"
)

// settings is processor.yaml: every key with its default and meaning. The tags
// feed the parser, config show and config reference.
type settings struct {
	Name     string         `yaml:"name" required:"true" example:"warehouse" doc:"The pipeline. It is also the consumer group, and names the dead-letter topic and the rows of the sink's own tables."`
	Kafka    kafkaSettings  `yaml:"kafka" doc:"The log to read."`
	Registry cli.Registry   `yaml:"registry" doc:"The Confluent-compatible schema registry that the relay writes to."`
	Source   sourceSettings `yaml:"source" doc:"What is read."`
	Steps    []stepSettings `yaml:"steps" oneof:"true" doc:"What happens between source and sink, in order; docs/steps.md describes each. Dedup and order by position are always on."`
	Sink     sinkSettings   `yaml:"sink" oneof:"true" doc:"Where changes go: exactly one."`
	State    stateSettings  `yaml:"state" doc:"What the pipeline remembers."`
	Errors   errorSettings  `yaml:"errors" doc:"What happens when something cannot be applied."`
	Limits   limitSettings  `yaml:"limits" doc:"Bounds on memory and on the load of the sink."`
	Group    groupSettings  `yaml:"group" doc:"Membership in the consumer group."`
	Ops      opsSettings    `yaml:"ops" doc:"Metrics, health and status over HTTP."`
}

type kafkaSettings struct {
	Brokers []string     `yaml:"brokers" required:"true" example:"[127.0.0.1:9092]" doc:"Addresses to begin with, host:port."`
	TLS     cli.TLS      `yaml:"tls" doc:"TLS is on as soon as one of these is set."`
	SASL    saslSettings `yaml:"sasl" doc:"SASL is on as soon as a mechanism is set."`
}

type saslSettings struct {
	Mechanism    string `yaml:"mechanism" default:"" enum:"PLAIN|SCRAM-SHA-256|SCRAM-SHA-512" doc:"How the processor proves who it is; no SASL if empty."`
	Username     string `yaml:"username" default:"" doc:"User of the mechanism."`
	PasswordFile string `yaml:"password_file" default:"" doc:"File that holds the password."`
}

type sourceSettings struct {
	Topics        []string `yaml:"topics" example:"[shop.public.orders]" doc:"Topics to read. One that does not exist yet is waited for."`
	TopicsPattern string   `yaml:"topics_pattern" default:"" example:"^shop\\.public\\..*" doc:"Regular expression for topics, instead of topics. It never means replays, dead letters, messages, transactions, heartbeats or internal topics."`
	Start         string   `yaml:"start" default:"earliest" doc:"Where a partition begins that the sink has no offset for: earliest, latest, an LSN (topics of one source), or a time (RFC 3339)."`
}

type sinkSettings struct {
	Kafka    *kafkaSink    `yaml:"kafka" doc:"Records in topics of the same cluster, in one Kafka transaction with the state and the group's offsets."`
	Postgres *postgresSink `yaml:"postgres" doc:"Rows in PostgreSQL, in one transaction with their offsets."`
	File     *fileSink     `yaml:"file" doc:"Changes as lines of JSON in files of a folder, each once (docs/files.md)."`
	Stdout   *stdoutSink   `yaml:"stdout" doc:"Changes as lines of JSON on standard output; after a crash some come again. It forgets at its end which rows are parked. Written as stdout: {}."`
}

type fileSink struct {
	Dir      string      `yaml:"dir" required:"true" example:"/var/lib/changes" doc:"The folder; made when it is missing. Several processors of one pipeline may share it."`
	MaxBytes config.Size `yaml:"max_bytes" default:"64MiB" min:"1KiB" max:"64GiB" doc:"From this size on a file is closed and the next one begun, named by topic, partition and first offset."`
}

type stdoutSink struct{}

type postgresSink struct {
	URL          string `yaml:"url" required:"true" example:"postgres://loader@127.0.0.1:5432/warehouse" doc:"libpq URL or keywords. PGPASSWORD, PGPASSFILE, sslmode and target_session_attrs work as in libpq."`
	PasswordFile string `yaml:"password_file" default:"" doc:"File that holds the password; read before every connect."`
	Table        string `yaml:"table" default:"{schema}.{table}" doc:"Name of the target table: {db} {name} {schema} {table} come from the record's source, {topic} from Kafka. Names are kept as they are."`
	Schema       string `yaml:"schema" default:"add" enum:"none|validate|add" doc:"What may be done to target tables: take them as they are, refuse columns that would change values, or also create tables and add columns."`
	StateSchema  string `yaml:"state_schema" default:"tailrace" doc:"Schema of the sink's own tables: offsets, tombstones, expired, versions, floors, sweeps, parked, dead_letters, state."`
}

type kafkaSink struct {
	Topic       string       `yaml:"topic" default:"{pipeline}.{schema}.{table}" doc:"Name of the output topic: {pipeline} is name; {db} {name} {schema} {table} come from the record's source, {topic} from Kafka or from a route step. What Kafka does not allow in a name becomes _."`
	Tombstones  bool         `yaml:"tombstones" default:"true" doc:"A record without value behind each delete, so that a compacted topic forgets the row."`
	Compression string       `yaml:"compression" default:"lz4" enum:"none|gzip|snappy|lz4|zstd" doc:"Of what is written."`
	MaxRecord   config.Size  `yaml:"max_record" default:"8MiB" min:"1KiB" max:"1GiB" doc:"Largest record, key and headers included. Beyond it, and beyond what the topic takes, a record goes to the dead-letter topic."`
	Topics      outputTopics `yaml:"topics" doc:"How output topics are made."`
	Sessions    int          `yaml:"sessions" default:"2" min:"1" max:"64" unit:"sessions" doc:"Members of the group in this process, each with a transaction of its own: one works while another commits."`
}

type outputTopics struct {
	Create            bool              `yaml:"create" default:"true" doc:"Output topics that do not exist are made."`
	Partitions        int32             `yaml:"partitions" default:"0" min:"0" max:"100000" doc:"Of a topic that is made; 0: as many as the source's topic has, so that a row keeps its partition number."`
	ReplicationFactor int16             `yaml:"replication_factor" default:"-1" min:"-1" max:"100" doc:"Of topics that are made, the topic of the state included; -1 is the brokers' default."`
	Config            map[string]string `yaml:"config" key:"setting" example:"{cleanup.policy: compact}" doc:"Settings of output topics that are made. max.message.bytes is max_record and 64 KiB unless it is set here."`
}

type stateSettings struct {
	Store     string        `yaml:"store" default:"memory" enum:"memory|pebble" doc:"Where steps keep their state."`
	Dir       string        `yaml:"dir" default:"" doc:"Folder of the store pebble."`
	Late      string        `yaml:"late" default:"dead_letter" enum:"dead_letter|drop" doc:"What becomes of a change of an unknown row that is as old as rows whose position is not kept any more: it may have been deleted. drop counts it as stale. For sink.kafka and sink.postgres; the others keep no positions."`
	Retention time.Duration `yaml:"retention" default:"168h" min:"1m" doc:"How long a deleted row's position is kept, so that a late change cannot bring the row back."`
}

type errorSettings struct {
	OnPoison   string             `yaml:"on_poison" default:"park_key" enum:"skip|park_key|stop" doc:"What happens to a record that cannot be applied: it goes to the dead-letter topic, and with park_key so do later changes of its row, in order behind it; or its partition stops."`
	Retry      retrySettings      `yaml:"retry" doc:"Errors that may pass by themselves, and errors of the whole sink."`
	Circuit    circuitSettings    `yaml:"circuit" doc:"When the sink is left alone for a while."`
	Systemic   systemicSettings   `yaml:"systemic" doc:"When faults of records are taken for a fault of the sink: the batch is then tried again, and nothing of it goes to the dead-letter topic."`
	DeadLetter deadLetterSettings `yaml:"dead_letter" doc:"The dead-letter topic."`
}

type retrySettings struct {
	Initial     time.Duration `yaml:"initial" default:"200ms" min:"1ms" doc:"Longest wait before the second try; doubled with each further one."`
	Max         time.Duration `yaml:"max" default:"30s" min:"1ms" doc:"Longest wait before any try."`
	GiveUpAfter time.Duration `yaml:"give_up_after" default:"0s" doc:"Stop the partition after so long; 0s never gives up."`
	Jitter      string        `yaml:"jitter" default:"full" enum:"full" doc:"full: a random part of the wait, from nothing to all."`
}

type circuitSettings struct {
	Failures float64       `yaml:"failures" default:"0.5" min:"0.01" max:"1" doc:"Share of the writes of a window that failed, at which the circuit opens."`
	Window   time.Duration `yaml:"window" default:"30s" min:"1s" doc:"The window."`
	Open     time.Duration `yaml:"open" default:"10s" min:"10ms" doc:"How long the sink is then not asked."`
}

type systemicSettings struct {
	Rows   int           `yaml:"rows" default:"10" min:"0" max:"100000" unit:"rows" doc:"So many rows of a topic fail in the same way, of the twice as many that were tried last; 0 never takes it for the sink's fault."`
	Share  float64       `yaml:"share" default:"0.5" min:"0" max:"1" doc:"And they are more than this share of the rows that were tried."`
	Window time.Duration `yaml:"window" default:"1m" min:"1s" doc:"How long a row counts as tried last."`
}

type deadLetterSettings struct {
	Topic string `yaml:"topic" default:"<name>.dead_letter" doc:"Made with as many partitions as the largest source topic; a record keeps its partition number."`
}

type limitSettings struct {
	InFlight config.Size `yaml:"in_flight" default:"64MiB" min:"1MiB" max:"64GiB" doc:"Bytes that are fetched and not committed, of all partitions here. A record is never split, so one larger than its share is held as a whole."`
	Rate     int         `yaml:"rate" default:"0" min:"0" unit:"records per second" doc:"Upper bound; 0 is none."`
	Parallel int         `yaml:"parallel" default:"4" min:"1" max:"256" unit:"batches" doc:"Batches that are written at the same time, each on a connection of its own."`
}

type groupSettings struct {
	InstanceID     string        `yaml:"instance_id" default:"" doc:"Static membership when set: the member comes back to its partitions after a restart, and processor leave takes one out of the group that does not come back. Each process needs its own."`
	SessionTimeout time.Duration `yaml:"session_timeout" default:"45s" min:"1s" max:"30m" doc:"After how long without a heartbeat the group gives a member's partitions to others."`
}

type opsSettings struct {
	Listen    string `yaml:"listen" default:"127.0.0.1:9465" doc:"Address of /metrics, /healthz, /readyz and /status; none if empty."`
	TokenFile string `yaml:"token_file" default:"" doc:"File that holds the token that requests which change something must carry. Without it only this machine may send them."`
}
