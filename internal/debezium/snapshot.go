package debezium

import "strconv"

func snapshotOptions() []option {
	const key = "snapshot.mode"
	based := func(name, text string) option {
		return option{name: "snapshot.mode.configuration.based." + name, fate: mapped, key: key, text: text, read: handledLater}
	}
	return []option{
		{name: "snapshot.mode", fate: differs, key: key, says: true, text: "initial: initial. initial_only: only. no_data: never. when_needed: when_needed. configuration_based: by its options." +
			" always and custom have no counterpart. After adopting, no mode reads the tables again: the connector did.", read: readSnapshotMode},
		based("snapshot.data", "false: never."),
		based("snapshot.schema", "Schemas are not part of a snapshot here."),
		based("start.stream", "false, with data: only."),
		based("snapshot.on.data.error", "true: when_needed."),
		based("snapshot.on.schema.error", "Schemas are not part of a snapshot here."),
		{name: "snapshot.mode.custom.name", fate: absent, text: "Java of yours cannot be run."},
		{name: "snapshot.include.collection.list", fate: absent, key: key, text: "The initial snapshot reads every published table. It has no effect on what the connector has read already; without it, tables that are new to the relay are read too."},
		{name: "snapshot.select.statement.overrides", fate: absent, key: key, text: "A snapshot reads whole tables. A condition for snapshot and stream alike is where, in tables.overrides."},
		{name: "snapshot.select.statement.overrides.<table>", fate: absent, key: key, text: "A snapshot reads whole tables. A condition for snapshot and stream alike is where, in tables.overrides."},
		{name: "snapshot.collection.filter.overrides*", fate: absent, key: key, text: "A snapshot reads whole tables."},
		{name: "snapshot.query.mode", fate: absent, fine: []string{"select_all"}, text: "Java of yours cannot be run; a snapshot reads whole tables."},
		{name: "snapshot.query.mode.custom.name", fate: absent, text: "Java of yours cannot be run; a snapshot reads whole tables."},
		{name: "snapshot.tables.order.by.row.count", fate: absent, fine: []string{"disabled"}, text: "Tables are read in the order of their names, so that other rows are marked first and last."},
		{name: "snapshot.max.threads", fate: mapped, key: "snapshot.parallel", text: "The same number.", fine: []string{"1"}, read: func(d *draft, s setting) {
			if n, ok := d.number(s); ok && n > 0 {
				d.plain("snapshot.parallel", strconv.FormatInt(min(n, 64), 10))
			}
		}},
		{name: "snapshot.max.threads.multiplier", fate: unneeded, text: "Chunks are of snapshot.chunk_rows."},
		{name: "snapshot.isolation.mode", fate: unneeded, text: "A snapshot is one consistent state, that of the slot; weaker modes only saved locks."},
		{name: "snapshot.locking.mode", fate: unneeded, text: "A snapshot takes no locks beyond those of reading."},
		{name: "snapshot.locking.mode.custom.name", fate: unneeded, text: "A snapshot takes no locks beyond those of reading."},
		{name: "snapshot.lock.timeout.ms", fate: unneeded, text: "A snapshot waits for no locks."},
		{name: "snapshot.fetch.size", fate: unneeded, text: "Rows are read by COPY."},
		{name: "snapshot.delay.ms", fate: unneeded, text: "A pause of Connect's."},
		{name: "streaming.delay.ms", fate: unneeded, text: "A pause of Connect's."},
		{name: "legacy.snapshot.max.threads", fate: unneeded, text: "How Debezium divides its work."},
		{name: "query.fetch.size", fate: unneeded, text: "Rows are read by COPY."},
	}
}

func readSnapshotMode(d *draft, s setting) {
	k := d.key("snapshot.mode")
	switch s.lower() {
	case "initial", "exported":
		k.value = "initial"
	case "initial_only":
		k.value = "only"
		d.note(s.name, "snapshot.mode", "the relay exits with 0 when every row is published, and keeps the slot; nothing is streamed")
	case "no_data", "never", "schema_only":
		k.value = "never"
	case "when_needed":
		k.value = "when_needed"
	case "configuration_based":
		d.configurationBased(s)
	case "always":
		d.missing(s, "the relay makes a snapshot at its first start only; initial stands here")
		k.value = "initial"
	case "custom":
		d.missing(s, "Java of yours cannot be run; initial stands here")
		k.value = "initial"
	default:
		d.unreadable(s, "initial, initial_only, no_data, when_needed, configuration_based, always or custom")
		k.value = "initial"
	}
}

func (d *draft) configurationBased(s setting) {
	const prefix = "snapshot.mode.configuration.based."
	data, stream := d.on(prefix+"snapshot.data"), d.on(prefix+"start.stream")
	k := d.key("snapshot.mode")
	k.value = "initial"
	switch {
	case data && stream && d.on(prefix+"snapshot.on.data.error"):
		k.value = "when_needed"
	case data && stream:
	case data:
		k.value = "only"
	case stream:
		k.value = "never"
	default:
		d.missing(s, "neither snapshot.data nor start.stream is on, so that the connector publishes nothing; initial stands here")
	}
}

// finishSnapshot writes the mode that Debezium has by default.
func (d *draft) finishSnapshot() {
	if k := d.key("snapshot.mode"); k.value == "" {
		k.value = "initial"
	}
}
