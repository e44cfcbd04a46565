package debezium

import "strings"

func streamOptions() []option {
	const topics = "kafka.topics"
	naming := []string{"io.debezium.schema.schematopicnamingstrategy"}
	return []option{
		{name: "heartbeat.interval.ms", fate: mapped, key: "heartbeat", text: "heartbeat.interval, with topic: true; 0, the default: no topic. The relay's own heartbeat, a logical message, goes on without the topic.", read: handledLater},
		{name: "topic.heartbeat.prefix", fate: differs, key: "heartbeat", says: true, text: "The topic is __debezium-heartbeat.<name>; another prefix has no counterpart where heartbeats are on.", read: readHeartbeatTopic("__debezium-heartbeat")},
		{name: "topic.heartbeat.name", fate: differs, key: "heartbeat", says: true, text: "The topic is __debezium-heartbeat.<name>; another name has no counterpart where heartbeats are on.", read: readHeartbeatTopic("")},
		{name: "heartbeat.topics.prefix", fate: differs, key: "heartbeat", fine: []string{"__debezium-heartbeat"}, text: "Debezium 3.7 does not read it; topic.heartbeat.prefix is the option."},
		{name: "heartbeat.action.query", fate: absent, key: "heartbeat", text: "The relay runs no statements of yours. Its heartbeat needs none to move the slot; but the rows that the query writes come no more. If somebody reads their records, run the query by a timer."},
		{name: "message.prefix.include.list", fate: differs, key: "messages.include", says: true, text: "Patterns of prefixes.", read: func(d *draft, s setting) { d.messages(s, "messages.include") }},
		{name: "message.prefix.exclude.list", fate: differs, key: "messages.exclude", says: true, text: "Patterns of prefixes; not read beside message.prefix.include.list, as with Debezium.", read: func(d *draft, s setting) {
			if d.config["message.prefix.include.list"] == "" {
				d.messages(s, "messages.exclude")
			}
		}},
		{name: "logical.decoding.message.prefix.include.list", fate: differs, key: "messages", text: "Debezium 3.7 does not read it; message.prefix.include.list is the option."},
		{name: "logical.decoding.message.prefix.exclude.list", fate: differs, key: "messages", text: "Debezium 3.7 does not read it; message.prefix.exclude.list is the option."},
		{name: "topic.naming.strategy", fate: absent, fine: naming, text: "Topics are <name>.<schema>.<table>. A table's topic can be named in tables.overrides."},
		{name: "topic.delimiter", fate: absent, fine: []string{"."}, text: "Topics are <name>.<schema>.<table>, with dots. A table's topic can be named in tables.overrides."},
		{name: "topic.transaction", fate: absent, fine: []string{"transaction"}, text: "The topic of transactions is <name>.transaction."},
		{name: "topic.cache.size", fate: unneeded, text: "A cache of Connect's."},
		{name: "topic.regex*", fate: absent, text: "Belongs to another topic.naming.strategy; a table's topic can be named in tables.overrides."},
		{name: "topic.replacement", fate: absent, text: "Belongs to another topic.naming.strategy; a table's topic can be named in tables.overrides."},
		{name: "topic.key.*", fate: absent, text: "Belongs to another topic.naming.strategy."},
		{name: "topic.creation.default.partitions", fate: mapped, key: topics + ".partitions", text: "Of new topics; -1 is 1 here.", read: func(d *draft, s setting) {
			if v := strings.TrimSpace(s.value); v == "-1" || v == "" {
				return
			}
			if n, ok := d.number(s); ok && n > 0 {
				d.plain(topics+".partitions", strings.TrimSpace(s.value))
			}
		}},
		{name: "topic.creation.default.replication.factor", fate: mapped, key: topics + ".replication_factor", text: "Of new topics.", read: func(d *draft, s setting) {
			if v := strings.TrimSpace(s.value); v == "-1" || v == "" {
				return
			}
			if n, ok := d.number(s); ok && n > 0 {
				d.plain(topics+".replication_factor", strings.TrimSpace(s.value))
			}
		}},
		{name: "topic.creation.default.include", fate: unneeded, text: "The group default holds every topic."},
		{name: "topic.creation.default.exclude", fate: differs, key: topics, text: "New topics are all made alike."},
		{name: "topic.creation.default.*", fate: mapped, key: topics + ".config", text: "An option of new topics.", read: func(d *draft, s setting) {
			d.key(topics + ".config").at(s.parts[0]).value = quote(s.value)
		}},
		{name: "topic.creation.groups", fate: differs, key: topics, says: true, text: "New topics are all made alike, as the group default; those that exist stay as they are.", read: func(d *draft, s setting) {
			for _, g := range strings.Split(s.value, ",") {
				if g = strings.TrimSpace(g); g != "" && g != "default" {
					d.note(s.name, topics, "new topics are all made alike, as the group default; make those of group "+g+" before the relay does")
				}
			}
		}},
		{name: "topic.creation.*", fate: differs, says: true, key: topics, text: "Of a group of topics: make them before the relay does."},
	}
}

func readHeartbeatTopic(usual string) func(*draft, setting) {
	return func(d *draft, s setting) {
		switch value := strings.TrimSpace(s.value); {
		case value == usual || value == "":
		case d.heartbeats() != "":
			d.missing(s, "the topic is always __debezium-heartbeat.<name>")
		default:
			d.note(s.name, "heartbeat", "there are no heartbeat records, so that it has no effect")
		}
	}
}

// messages writes patterns of the prefixes of logical messages.
func (d *draft) messages(s setting, path string) {
	k := d.key(path)
	for _, e := range d.patterns(s) {
		k.add(quote(e.ours(0)))
	}
	if len(k.list) == 0 && path == "messages.include" && s.value != "" {
		k.add(quote(noName))
	}
	d.note(s.name, path, "Debezium ignores case in prefixes; here it counts, unless in /(?i)…/.")
}

// heartbeats is the interval of the records in the heartbeat topic; "" is none.
func (d *draft) heartbeats() string {
	value := strings.TrimSpace(d.config["heartbeat.interval.ms"])
	if value != "" && value != "0" {
		return value
	}
	if (setting{value: d.config["lsn.flush.mode"]}).lower() == "connector_and_driver" && !d.on("provide.transaction.metadata") {
		return "600000" // which Debezium sets by itself in this mode
	}
	return ""
}

func (d *draft) heartbeat() {
	value := d.heartbeats()
	if value == "" || refers(value) {
		return
	}
	if n, ok := d.number(setting{name: "heartbeat.interval.ms", value: value}); ok {
		d.plain("heartbeat.interval", millis(n))
		d.plain("heartbeat.topic", "true")
	}
}
