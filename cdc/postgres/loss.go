package postgres

import "strings"

// Loss says why the server has invalidated a slot, and what keeps it from doing so
// again. reason is pg_replication_slots.invalidation_reason, which came with
// PostgreSQL 17; "" where there is none: until then only removed WAL does that to a
// logical slot of a primary.
func Loss(reason string) (why, next string) {
	switch reason {
	case "", "wal_removed":
		return "it held back more WAL than max_slot_wal_keep_size allows, and the server has removed what was not published", "raise max_slot_wal_keep_size"
	case "idle_timeout":
		return "nobody streamed from it for longer than idle_replication_slot_timeout", "raise idle_replication_slot_timeout, or set it to 0"
	case "wal_level_insufficient":
		return "wal_level was not logical for a while", "set wal_level = logical"
	case "rows_removed":
		return "the server has removed catalog rows that it needed", "make the slot on the primary, with hot_standby_feedback on its standbys"
	}
	return strings.ReplaceAll(reason, "_", " "), "PostgreSQL's documentation of pg_replication_slots.invalidation_reason says more"
}
