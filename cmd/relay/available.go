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
	need(s.Outbox.Table != "" || s.Outbox.Prefix != "", "outbox", "an outbox")
	return errors.Join(missing...)
}
