package debezium

import (
	"slices"
	"strings"
)

func signalOptions() []option {
	return []option{
		{name: "signal.data.collection", fate: differs, key: "tables", says: true, text: "The table's rows are still published, but start nothing. Nothing reads a table again while the relay runs.", read: handledLater},
		{name: "signal.enabled.channels", fate: differs, key: "snapshot", fine: []string{"source"}, text: "No channel is read."},
		{name: "signal.kafka.*", fate: unneeded, text: "No channel is read."},
		{name: "signal.consumer.*", fate: unneeded, text: "No channel is read."},
		{name: "signal.file", fate: unneeded, text: "No channel is read."},
		{name: "signal.poll.interval.ms", fate: unneeded, text: "No channel is read."},
		{name: "signal.emit.failure.*", fate: unneeded, text: "No channel is read."},
		{name: "incremental.snapshot.chunk.size", fate: unneeded, text: "Chunks are of snapshot.chunk_rows."},
		{name: "incremental.snapshot.watermarking.strategy", fate: unneeded, text: "Watermarks are logical messages; no table is written, so that no rows of theirs are published."},
		{name: "incremental.snapshot.allow.schema.changes", fate: unneeded, text: "A chunk is read again when its table changes."},
		{name: "notification.enabled.channels", fate: differs, says: true, key: "snapshot", text: "sink has no counterpart: its topic ends. log and jmx: the relay's log and metrics.", read: func(d *draft, s setting) {
			for _, channel := range strings.Split(s.value, ",") {
				switch channel = strings.ToLower(strings.TrimSpace(channel)); channel {
				case "", "log", "jmx":
				default:
					d.missing(setting{name: s.name, value: channel}, "the relay sends no notifications; it has a log, metrics and /status")
				}
			}
		}},
		{name: "notification.*", fate: unneeded, text: "Belongs to notification.enabled.channels."},
	}
}

// signalTable includes the table of signals, as Debezium does whatever the lists
// say, so that its records do not end.
func (d *draft) signalTable(schemas, tables, excluded []*expr) {
	for _, name := range strings.Split(d.config["signal.data.collection"], ",") {
		name = strings.ReplaceAll(strings.TrimSpace(name), `"`, "")
		schema, _, ok := strings.Cut(name, ".")
		if !ok || refers(name) {
			continue
		}
		s := setting{name: "signal.data.collection", value: name}
		matched := func(list []*expr, name string) bool {
			return slices.ContainsFunc(list, func(e *expr) bool { return e.matches(name) })
		}
		if matched(excluded, name) {
			d.missing(s, "Debezium publishes this table although the lists exclude it; here they exclude it")
			continue
		}
		if len(schemas) > 0 && !matched(schemas, schema) || len(tables) > 0 && !matched(tables, name) {
			d.key("tables.include").add(quote(name))
		}
		d.note(s.name, "tables", "the rows of "+name+" are published as before, but start nothing")
	}
}
