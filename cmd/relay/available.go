package main

import (
	"errors"

	"github.com/tailrace/tailrace/internal/cli"
)

// available refuses what the configuration knows and this version does not do
// yet. Going on without it would publish other records than asked for.
func (s *settings) available() error {
	var missing cli.Missing
	need := missing.Need
	need(s.Delivery != "exactly_once", "delivery", s.Delivery)
	need(s.Kafka.Partitioner != "key_body", "kafka.partitioner", s.Kafka.Partitioner)
	need(s.Registry.OnIncompatible != "stop", "registry.on_incompatible", s.Registry.OnIncompatible)
	need(s.Snapshot.Mode == "when_needed", "snapshot.mode", s.Snapshot.Mode)
	f := &s.Format
	need(f.Compat != "none", "format.compat", f.Compat)
	need(f.Decimal != "precise", "format.decimal", f.Decimal)
	need(f.Time != "adaptive", "format.time", f.Time)
	need(f.Binary != "bytes", "format.binary", f.Binary)
	need(f.Nonfinite == "string", "format.nonfinite", f.Nonfinite)
	need(f.Unknown == "bytes", "format.unknown", f.Unknown)
	need(f.MoneyDigits != 2, "format.money_digits", f.MoneyDigits)
	need(f.Interval != "numeric", "format.interval", f.Interval)
	need(f.Hstore != "json", "format.hstore", f.Hstore)
	need(f.TransactionMetadata, "format.transaction_metadata", true)
	need(f.Truncate, "format.truncate", true)
	need(s.Heartbeat.Topic, "heartbeat.topic", true)
	need(s.Outbox.Table != "" || s.Outbox.Prefix != "", "outbox", "an outbox")
	need(len(s.Messages.Include) != 1 || s.Messages.Include[0] != "*" || len(s.Messages.Exclude) > 0, "messages", "a choice of prefixes")
	need(s.WAL.Max != 0, "wal.max", s.WAL.Max)
	need(s.WAL.AtMax != "warn", "wal.at_max", s.WAL.AtMax)
	need(s.Replay.Window != 0, "replay.window", s.Replay.Window)
	for table, o := range s.Tables.Overrides {
		key := "tables.overrides." + table
		need(len(o.Key) > 0, key+".key", o.Key)
		need(len(o.Columns.Include)+len(o.Columns.Exclude) > 0, key+".columns", "a choice of columns")
		need(len(o.Mask) > 0, key+".mask", "a mask")
		need(o.Where != "", key+".where", "a row filter")
	}
	return errors.Join(missing...)
}
