package main

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/spf13/cobra"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/internal/ops"
)

// replayRequest is what was asked for: the key request of a replay's memory, so that
// one that was killed goes on with the same.
type replayRequest struct {
	Version int      `json:"version"` // 1
	ID      string   `json:"id"`
	From    cdc.LSN  `json:"from"` // the first commit
	To      cdc.LSN  `json:"to"`   // the first commit that is not part of it
	Tables  []string `json:"tables,omitempty"`
	Into    string   `json:"into,omitempty"`
	Schema  string   `json:"schema,omitempty"`
}

type replayFlags struct {
	replayRequest
	from, to string
	dry      bool
}

const relationOnly = "relation-only"

func newReplayCommand(g *globals) *cobra.Command {
	var flags replayFlags
	cmd := &cobra.Command{
		Use:   "replay --from P [--to P]",
		Short: "Publishes a stretch of the past again, into replay topics",
		Long: `Publishes again what committed at or after --from and before --to, with the positions, keys and schemas that
it had, into topics of its own: <topic>.replay.<id>, or the one that --into names. A topic that the relay publishes
to is refused. The relay may run meanwhile.

P is an LSN (16/B374D848), a time (RFC 3339) or bookmark:NAME. A time is the first commit at which the greatest
commit time so far reaches it. Without --to it is all that the relay has published.

The past has to be held: by the trailing slot (replay.window), or by a bookmark (relay slot bookmark). It is read
over a temporary copy of that slot, so nothing is taken from it. A replay that is cut off goes on with its --id.`,
		Example: "  relay replay --from 2026-03-01T10:15:00Z --dry-run\n  relay replay --from bookmark:before-migration --table public.orders\n  relay replay --from 16/B374D848 --to 16/B4000000 --id tuesday\n  relay replay --id tuesday",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, s, _, err := g.Open()
			if err != nil {
				return err
			}
			log, err := g.Logger()
			if err != nil {
				return err
			}
			if err := flags.validate(); err != nil {
				return ops.Usage(err)
			}
			if err := s.available(); err != nil {
				return ops.Usage(err)
			}
			r, err := newReplayer(s, flags, out, log)
			if err != nil {
				return err
			}
			return r.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&flags.from, "from", "", "where it begins: an LSN, a time or bookmark:NAME")
	f.StringVar(&flags.to, "to", "", "where it ends, without what commits there; default: what is published")
	f.StringSliceVar(&flags.Tables, "table", nil, "tables to replay, schema.table or patterns; default: all, and logical messages")
	f.StringVar(&flags.Into, "into", "", "one `TOPIC` for the records of all tables; it must be empty")
	f.BoolVar(&flags.dry, "dry-run", false, "read and count only")
	f.StringVar(&flags.ID, "id", "", "name of the replay, part of its topics' names; the same again goes on with it")
	f.StringVar(&flags.Schema, "schema", "", "relation-only: replay tables that the schema history does not know, with all columns outside the key nullable")
	return cmd
}

var legalID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func (f *replayFlags) validate() error {
	switch {
	case f.from == "" && (f.dry || f.ID == ""):
		return errors.New("replay: say where it begins: --from, or with --id of one that was cut off, which one")
	case f.Schema != "" && f.Schema != relationOnly:
		return fmt.Errorf("--schema %q: want %s", f.Schema, relationOnly)
	case f.ID != "" && !legalID.MatchString(f.ID):
		return fmt.Errorf("--id %q: want at most 64 letters, digits, dashes and underscores", f.ID)
	case f.Into != "" && (!legalTopic.MatchString(f.Into) || len(f.Into) > 249):
		return fmt.Errorf("--into %q: want at most 249 letters, digits, dots, dashes and underscores", f.Into)
	}
	for _, table := range f.Tables {
		if _, err := newPattern(table); err != nil {
			return fmt.Errorf("--table %s: %w", table, err)
		}
	}
	return nil
}
