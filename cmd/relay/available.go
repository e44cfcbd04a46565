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
	need(s.Snapshot.Mode == "when_needed", "snapshot.mode", s.Snapshot.Mode)
	need(s.Outbox.Table != "" || s.Outbox.Prefix != "", "outbox", "an outbox")
	need(s.WAL.Max != 0, "wal.max", s.WAL.Max)
	need(s.WAL.AtMax != "warn", "wal.at_max", s.WAL.AtMax)
	need(s.Replay.Window != 0, "replay.window", s.Replay.Window)
	return errors.Join(missing...)
}
