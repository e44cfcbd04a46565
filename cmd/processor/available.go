package main

import (
	"errors"

	"github.com/tailrace/tailrace/internal/cli"
)

// available refuses what the configuration knows and this version does not do
// yet. Going on without it would do something else than asked for.
func (s *settings) available() error {
	var missing cli.Missing
	need := missing.Need
	need(s.State.Store != "memory", "state.store", s.State.Store)
	return errors.Join(missing...)
}
