package debezium

import "strings"

// connectOptions are those of Kafka Connect, and of what it runs.
func connectOptions() []option {
	const transport = "How Connect's producer sends; the relay has acks=all and idempotence, and no limit of retries."
	return []option{
		{name: "name", fate: unneeded, text: "The connector's name in Connect; topic.prefix names the relay."},
		{name: "connector.class", fate: unneeded, text: "Has to be PostgreSQL's."},
		{name: "tasks.max", fate: unneeded, text: "A connector for PostgreSQL has one task, and a relay is one process."},
		{name: "tasks.max.enforce", fate: unneeded, text: "Connect's."},
		{name: "config.action.reload", fate: unneeded, text: "Connect's; the relay reads its configuration at its start."},
		{name: "transforms", fate: absent, text: "Transformations are Java classes and cannot be run.", read: readTransforms},
		{name: "transforms.*", fate: absent, text: "Belongs to transforms.", read: handledLater},
		{name: "predicates", fate: absent, text: "Belongs to transforms, and has no effect without one.", read: handledLater},
		{name: "predicates.*", fate: absent, text: "Belongs to transforms.", read: handledLater},
		{name: "errors.tolerance", fate: differs, key: "delivery", fine: []string{"none"}, text: "Nothing is skipped: a value without a form goes to the dead-letter topic with its reason, and what the registry refuses stops the stream."},
		{name: "errors.retry.*", fate: unneeded, text: "What is away is waited for, for ever."},
		{name: "errors.log.*", fate: unneeded, text: "The relay's log has what it could not publish, without values."},
		{name: "errors.max.retries", fate: unneeded, text: "What is away is waited for, for ever."},
		{name: "errors.deadletterqueue.*", fate: unneeded, text: "Connect has it for sinks only."},
		{name: "retriable.restart.connector.wait.ms", fate: unneeded, text: "What is away is waited for, for ever."},
		{name: "event.processing.failure.handling.mode", fate: differs, key: "delivery", fine: []string{"fail"}, text: "No event is skipped: a change without a form goes to the dead-letter topic, whole and with its reason."},
		{name: "exactly.once.support", fate: unneeded, text: "delivery is exactly_once."},
		{name: "transaction.boundary*", fate: unneeded, text: "The relay chooses its Kafka transactions itself: at most 100 ms, 16 MiB or 50,000 rows."},
		{name: "offsets.storage.topic", fate: unneeded, text: "The relay's progress is in tailrace.<name>.progress."},
		{name: "producer.override.bootstrap.servers", fate: mapped, key: "kafka.brokers", open: true, text: "The brokers.", read: handledLater},
		{name: "producer.override.compression.type", fate: mapped, key: "kafka.compression", text: "The same names.", read: same("kafka.compression", "none", "gzip", "snappy", "lz4", "zstd")},
		{name: "producer.override.max.request.size", fate: mapped, key: "max_row", text: "Less 64 KiB for what a record has beside its row.", read: func(d *draft, s setting) {
			if n, ok := d.number(s); ok {
				d.request = n
			}
		}},
		{name: "producer.override.partitioner.class", fate: absent, key: "kafka.partitioner", fine: []string{"org.apache.kafka.clients.producer.internals.defaultpartitioner"},
			text: "Java of yours cannot be run; a record's partition is the hash of its key, as by default."},
		{name: "producer.override.partitioner.ignore.keys", fate: absent, key: "kafka.partitioner", fine: []string{"false"}, text: "A record's partition is the hash of its key."},
		{name: "producer.override.interceptor.classes", fate: absent, text: "Java of yours cannot be run."},
		{name: "producer.override.security.protocol", fate: mapped, key: "kafka.tls", text: "SSL and SASL_SSL: kafka.tls.enabled.", read: handledLater},
		{name: "producer.override.sasl.mechanism", fate: mapped, key: "kafka.sasl", text: "PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512; there are no others.", read: handledLater},
		{name: "producer.override.sasl.jaas.config", fate: differs, key: "kafka.sasl", says: true, open: true, text: "The user. The password is never written into the file: put it into one that kafka.sasl.password_file names.", read: handledLater},
		{name: "producer.override.ssl.*", fate: differs, key: "kafka.tls", open: true, text: "Java's keystores; kafka.tls takes files in PEM form."},
		{name: "producer.override.sasl.*", fate: unneeded, text: transport},
		{name: "producer.override.*", fate: unneeded, text: transport},
		{name: "consumer.override.*", fate: unneeded, text: "Connect's."},
		{name: "admin.override.*", fate: unneeded, text: "Connect's."},
		{name: "bootstrap.servers", fate: mapped, key: "kafka.brokers", open: true, text: "The worker's brokers, where its options are in the same file.", read: handledLater},
	}
}

// transforms are the transformations that people know by name, and what there is
// in their place.
var transforms = map[string]string{
	"ExtractNewRecordState": "records are change events, with before, after and source; consumers read after, and the processor's sinks need no flattening",
	"EventRouter":           "rows of the outbox table are published as changes, and consumers find the event in their columns",
	"ByLogicalTableRouter":  "topic in tables.overrides names a table's topic; the record's schema is then named after that topic too",
	"RegexRouter":           "topic in tables.overrides names a table's topic; the record's schema is then named after that topic too",
	"TopicRegexRouter":      "topic in tables.overrides names a table's topic; the record's schema is then named after that topic too",
	"PartitionRouting":      "a record's partition is the hash of its key; key in tables.overrides chooses the key",
	"Filter":                "tables, operations and columns are chosen in tables; where in tables.overrides chooses rows",
	"ContentBasedRouter":    "where and topic in tables.overrides choose by table and row",
	"MaskField":             "mask in tables.overrides replaces, cuts or hashes values",
	"ReplaceField":          "columns in tables.overrides chooses columns; names stay as they are",
	"ValueToKey":            "key in tables.overrides chooses the key",
}

// readTransforms names each transformation by its class.
func readTransforms(d *draft, s setting) {
	for _, alias := range strings.Split(s.value, ",") {
		if alias = strings.TrimSpace(alias); alias == "" {
			continue
		}
		name := "transforms." + alias + ".type"
		class := strings.TrimSpace(d.config[name])
		if class == "" {
			d.missing(setting{name: s.name, value: alias}, "has no class in "+name)
			continue
		}
		short := class[strings.LastIndexByte(class, '.')+1:]
		short, _, _ = strings.Cut(short, "$") // $Key and $Value
		reason := "transformations are Java classes and cannot be run"
		if instead := transforms[short]; instead != "" {
			reason += "; " + instead
		} else {
			reason += "; a processor can change records"
		}
		d.missing(setting{name: name, value: class}, reason)
	}
}

// tuningOptions have no effect on records.
func tuningOptions() []option {
	var list []option
	add := func(text string, names ...string) {
		for _, n := range names {
			list = append(list, option{name: n, fate: unneeded, text: text})
		}
	}
	add("The relay paces itself.", "max.batch.size", "max.queue.size", "max.queue.size.in.bytes", "poll.interval.ms", "poll.dispatch.interval.ms", "queue.provider.type", "queue.provider.*",
		"memory.management.schemas.class", "memory.management.tables.class", "executor.shutdown.timeout.ms")
	add("The relay tells the server its position at least every 10 s.", "status.update.interval.ms")
	list = append(list,
		option{name: "lsn.flush.mode", fate: absent, key: "postgres.slot", text: "manual: the relay confirms what is durable itself, and cannot leave that to you. connector_and_driver: what it is for is always done; heartbeat records every 10 minutes, which it turns on, are kept.",
			fine: []string{"connector", "connector_and_driver"}},
		option{name: "flush.lsn.source", fate: absent, key: "postgres.slot", fine: []string{"true"}, text: "The relay confirms what is durable itself, and cannot leave that to you."},
		option{name: "offset.mismatch.strategy", fate: differs, key: "postgres.slot.adopt", fine: []string{"no_validation"},
			text: "A slot that is ahead of what was published, or made anew, is a gap: the relay stops and says what to do."},
		option{name: "internal.slot.seek.to.known.offset.on.start", fate: unneeded, text: "As offset.mismatch.strategy."},
		option{name: "guardrail.collections.max", fate: differs, key: "tables", fine: []string{"0"}, text: "There is no bound of the number of tables."},
	)
	add("There is no bound of the number of tables.", "guardrail.collections.limit.action")
	add("A restart asks nobody how far it may wait.", "lsn.flush.timeout.ms", "lsn.flush.timeout.action")
	add("The relay has metrics of its own, at ops.listen.", "custom.metric.tags", "statistics.metrics.enabled")
	add("The relay hides secrets in what it shows by itself.", "custom.sanitize.pattern")
	list = append(list, option{name: "openlineage.integration.enabled", fate: differs, key: "ops", fine: []string{"false"}, text: "No lineage events are sent."})
	add("No lineage events are sent.", "openlineage.*")
	add("Internal to Debezium.", "internal.*")
	return list
}
