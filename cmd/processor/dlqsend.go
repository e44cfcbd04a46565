package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/tailrace/tailrace/internal/ops"
	"github.com/tailrace/tailrace/processors"
)

// sending is what replay and resolve share.
type sending struct {
	do             string
	all, dryRun    bool
	force, discard bool
	noWait         bool
	where          string
	rate           int
}

func newDlqReplayCommand(g *globals) *cobra.Command {
	s := &sending{do: processors.DoReplay}
	cmd := &cobra.Command{
		Use:   "replay ID…",
		Short: "Applies dead letters again",
		Long: `Has the owners of their partitions apply dead letters again, through the whole pipeline as it is configured now.
A dead letter whose row is parked takes with it all that stands behind, in order. One that is older than what its
row has is refused as superseded, unless --force. What is closed already is never applied again: the command may
be broken off and given again.`,
		Example: "  processor dlq replay 6da3baa22d9c750c660a50b3aa7da7a3\n  processor dlq replay --all --where 'class == \"constraint\"' --rate 100",
		RunE:    func(cmd *cobra.Command, args []string) error { return s.run(g, cmd, args) },
	}
	f := cmd.Flags()
	f.BoolVar(&s.all, "all", false, "all that are open")
	f.StringVar(&s.where, "where", "", "of them, those that meet a "+whereHelp)
	f.IntVar(&s.rate, "rate", 0, "at most `N` a second; 0 is as fast as they are applied")
	f.BoolVar(&s.force, "force", false, "apply also what is older than what the row has")
	f.BoolVar(&s.dryRun, "dry-run", false, "only list what would be replayed")
	f.BoolVar(&s.noWait, "no-wait", false, "do not wait for the results")
	return cmd
}

func newDlqResolveCommand(g *globals) *cobra.Command {
	s := &sending{do: processors.DoResolve}
	cmd := &cobra.Command{
		Use:   "resolve ID…",
		Short: "Lets parked rows go, and closes other dead letters",
		Long: `Where the row of a dead letter is parked: the row's dead letters are applied in order and its marker is cleared, in
one commit; with --discard without the one that is named. If one of them fails again, nothing is applied and the
row stays parked. Where the row is not parked: the dead letter is closed without being applied.`,
		Example: "  processor dlq resolve 6da3baa22d9c750c660a50b3aa7da7a3\n  processor dlq resolve --discard 6da3",
		Args:    cobra.MinimumNArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return s.run(g, cmd, args) },
	}
	cmd.Flags().BoolVar(&s.discard, "discard", false, "leave the named dead letter itself out")
	cmd.Flags().BoolVar(&s.noWait, "no-wait", false, "do not wait for the results")
	return cmd
}

func (s *sending) run(g *globals, cmd *cobra.Command, args []string) error {
	switch {
	case s.all && len(args) > 0:
		return ops.Usage(errors.New("want IDs or --all, not both"))
	case !s.all && len(args) == 0:
		return ops.Usage(errors.New("want IDs, or --all"))
	case s.where != "" && !s.all:
		return ops.Usage(errors.New("--where chooses among --all"))
	case s.rate < 0:
		return ops.Usage(errors.New("--rate: want at least 0"))
	}
	return dlqRun(g, func(ctx context.Context, out *ops.Output, set *settings, l *ledger) error {
		list, err := s.choose(l, args)
		if err != nil {
			return err
		}
		if s.dryRun {
			return printLetters(out, list, 0)
		}
		if len(list) == 0 {
			return printOutcomes(out, nil)
		}
		b := &bureau{sending: s, ledger: l, sources: set.Source.Topics, name: set.Name, progress: os.Stderr, live: ops.IsTerminal(os.Stderr)}
		return b.run(ctx, out, list)
	})(cmd)
}

func (s *sending) choose(l *ledger, args []string) ([]*entry, error) {
	if s.all {
		return l.choose(s.where, func(e *entry) bool { return !e.closed })
	}
	var list []*entry
	for _, id := range args {
		e, err := l.find(id)
		if err != nil {
			return nil, err
		}
		if e.closed {
			return nil, fmt.Errorf("dead letter %s is %s already: %s", e.ID, e.Status, dash(e.Note))
		}
		if !slices.Contains(list, e) {
			list = append(list, e)
		}
	}
	return list, nil
}
