package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/internal/ops"
)

// replayFlags say what is to be applied again, and how.
type replayFlags struct {
	from, to    string
	onlyMissing bool
	dry, live   bool
	yes, noWait bool
	topics      []string
}

func newReplayCommand(g *globals) *cobra.Command {
	var flags replayFlags
	cmd := &cobra.Command{
		Use:   "replay --from P [--to P]",
		Short: "Sets the pipeline back, to apply again what the topics still hold",
		Long: `Finds in every partition the offset of a position, and sets the pipeline back to it. Everything from there on is
applied again, in its order, in a new generation: it overwrites what was applied before. With --only-missing the
generation stays, and rows take only what they do not have yet.

P is beginning, an LSN (16/B374D848), a position (as in the header tailrace.pos), or a time (RFC 3339): the first commit
at which the greatest commit time so far reaches it. With --to only what commits before it is applied again; rows that
have changed since keep what they have, and then the pipeline goes on where it was.

Stop the processors first, or give --live: then those that run carry it out, one partition after the other, and
the command shows how far they are. It says before it acts how many records that is, and of what time.`,
		Example: "  processor replay --from 2026-03-01T10:15:00Z --dry-run\n  processor replay --from 16/B374D848\n  processor replay --from beginning --only-missing\n  processor replay --from 2026-03-01T00:00:00Z --to 2026-03-02T00:00:00Z --live",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := flags.validate(); err != nil {
				return ops.Usage(err)
			}
			out, s, file, err := g.Open()
			if err != nil {
				return err
			}
			log, err := g.Logger()
			if err != nil {
				return err
			}
			made, err := s.steps(g.Config, file).build()
			if err != nil {
				return ops.Usage(err)
			}
			r, err := newReplayer(s, flags, out, log, made)
			if err != nil {
				return err
			}
			defer r.close()
			return r.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&flags.from, "from", "", "where it begins: beginning, an LSN, a position or a time")
	f.StringVar(&flags.to, "to", "", "where it ends, without what commits there; default: it has no end")
	f.BoolVar(&flags.onlyMissing, "only-missing", false, "keep the generation: apply only what rows do not have yet")
	f.BoolVar(&flags.dry, "dry-run", false, "only say what would be applied again")
	f.BoolVar(&flags.live, "live", false, "have the running processors do it")
	f.BoolVarP(&flags.yes, "yes", "y", false, "do not ask")
	f.BoolVar(&flags.noWait, "no-wait", false, "with --live: do not wait until the processors are through")
	f.StringSliceVar(&flags.topics, "topic", nil, "topics to go back in; default: all of the pipeline")
	return cmd
}

func (f *replayFlags) validate() error {
	if f.from == "" {
		return errors.New("replay: say where it begins: --from")
	}
	from, err := parsePlace("--from", f.from)
	if err != nil || f.to == "" {
		return err
	}
	to, err := parsePlace("--to", f.to)
	switch {
	case err != nil:
		return err
	case to.beginning:
		return errors.New("--to beginning: nothing is before it")
	case !from.at.IsZero() && !to.at.IsZero() && !from.at.Before(to.at), from.pos != nil && to.pos != nil && from.pos.Compare(*to.pos) >= 0, from.lsn != 0 && to.lsn != 0 && from.lsn >= to.lsn:
		return fmt.Errorf("--to %s is not behind --from %s", f.to, f.from)
	}
	return nil
}

// place is what --from and --to name; one of its fields is set.
type place struct {
	text      string
	beginning bool
	at        time.Time
	lsn       cdc.LSN
	pos       *cdc.Position
}

func parsePlace(flag, text string) (place, error) {
	p := place{text: text}
	if text == "beginning" {
		p.beginning = true
		return p, nil
	}
	var err error
	if p.at, err = time.Parse(time.RFC3339Nano, text); err == nil {
		return p, nil
	}
	if p.lsn, err = cdc.ParseLSN(text); err == nil && p.lsn != 0 {
		return p, nil
	}
	if pos, err := cdc.ParsePosition(text); err == nil {
		if pos.Ordinal == 0 {
			pos.Part = 0 // rows of one snapshot come in no order
		}
		p.pos = &pos
		return p, nil
	}
	if strings.HasPrefix(text, "bookmark:") {
		return p, fmt.Errorf("%s %s: bookmarks are the relay's; relay slot bookmarks shows their LSNs", flag, text)
	}
	return p, fmt.Errorf("%s %q: want beginning, an LSN as in 16/B374D848, a time as in 2026-03-01T10:15:00Z, or a position as in 00000003/00000000016b3748/0000000c/00", flag, text)
}
