package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/cdc/postgres"
	"github.com/tailrace/tailrace/internal/ops"
)

func newSlotCommand(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "slot",
		Short:   "Shows, makes and drops the slot; holds positions by name",
		Example: "  relay slot show\n  relay slot bookmark before-migration\n  relay slot bookmarks\n  relay slot release before-migration",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return ops.Usage(errors.New("slot what? show, create, drop, bookmark, bookmarks or release"))
		},
	}
	cmd.AddCommand(slotShow(g), slotCreate(g), slotDrop(g), bookmarkCommand(g), bookmarksCommand(g), releaseCommand(g))
	return cmd
}

// slotTool is what the commands about slots begin with.
type slotTool struct {
	settings *settings
	out      *ops.Output
	config   postgres.Config
	conn     *pgx.Conn
	held     postgres.Holding
}

// withSlots connects, looks at the slots and does f.
func withSlots(ctx context.Context, g *globals, f func(context.Context, *slotTool) error) error {
	out, s, _, err := g.Open()
	if err != nil {
		return err
	}
	log, err := g.Logger()
	if err != nil {
		return err
	}
	book, err := s.ruleBook()
	if err != nil {
		return ops.Usage(err)
	}
	t := &slotTool{settings: s, out: out, config: s.postgresConfig(log, book)}
	if t.conn, err = postgres.Connect(ctx, t.config); err != nil {
		return err
	}
	defer func() { _ = t.conn.Close(context.WithoutCancel(ctx)) }()
	if t.held, err = postgres.ReadHeld(ctx, t.conn, s.names()); err != nil {
		return err
	}
	return f(ctx, t)
}

// slotRow is a slot on stdout; its field names are public.
type slotRow struct {
	Slot      string  `json:"slot"`
	Kind      string  `json:"kind"` // live, trailing, bookmark
	Confirmed cdc.LSN `json:"confirmed_lsn"`
	Retained  int64   `json:"retained_bytes"`
	XMinAge   int64   `json:"xmin_age"`
	Status    string  `json:"wal_status"`
	Active    bool    `json:"active"`
	Failover  bool    `json:"failover"`
}

func slotShow(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Prints the relay's slot, the trailing slot and the slots of bookmarks",
		Long: `Prints the relay's slot, the trailing slot and the slots of bookmarks: where they stand, how much WAL each
holds back, and how many transactions old the catalog rows are that it keeps from being vacuumed.`,
		Example: "  relay slot show -c relay.yaml\n  relay slot show -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withSlots(cmd.Context(), g, func(_ context.Context, t *slotTool) error { return t.show() })
		},
	}
}

func (t *slotTool) show() error {
	table := ops.NewTable("SLOT", "KIND", "CONFIRMED", "HOLDS BACK", "CATALOG AGE", "WAL", "IN USE", "FAILOVER")
	add := func(kind string, h *postgres.Held) error {
		if h == nil {
			return nil
		}
		row := slotRow{h.Name, kind, h.Confirmed, h.Retained, h.XMinAge, h.Status, h.Active, h.Failover}
		if t.out.JSON {
			return t.out.Object(row)
		}
		table.Row(row.Slot, row.Kind, row.Confirmed.String(), ops.Bytes(row.Retained), strconv.FormatInt(row.XMinAge, 10), row.Status, yes(row.Active), yes(row.Failover))
		return nil
	}
	if err := errors.Join(add("live", t.held.Live), add("trailing", t.held.Trailing)); err != nil {
		return err
	}
	for i := range t.held.Bookmarks {
		if err := add("bookmark", &t.held.Bookmarks[i]); err != nil {
			return err
		}
	}
	switch {
	case t.out.JSON:
		return nil
	case t.held.Live == nil && len(t.held.All()) == 0:
		return t.out.Text("there is no slot %q; relay run makes it\n", t.config.Slot)
	}
	return table.Write(t.out)
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func slotCreate(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "create",
		Short: "Makes the slot, for a relay that begins where it stands",
		Long: `Makes the publication and the slot, with failover as configured, where the server stands. PostgreSQL waits
for the transactions that run; which these are is said on stderr.

relay run makes its own slot at its first start, together with a snapshot of the tables. A slot that was made by
this command is begun with where it stands, with snapshot.mode: never; beside a relay that has published already,
it is a gap, which relay run says.`,
		Example: "  relay slot create -c relay.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := g.Logger()
			if err != nil {
				return err
			}
			return withSlots(cmd.Context(), g, func(ctx context.Context, t *slotTool) error {
				if t.held.Live != nil {
					return fmt.Errorf("slot %q exists, at %s; relay slot drop drops it", t.config.Slot, t.held.Live.Confirmed)
				}
				db := postgres.New(t.config)
				defer db.Close()
				if err := db.Publication(ctx); err != nil {
					return err
				}
				repeats := ops.NewRepeats(log)
				at, err := postgres.MakeSlot(ctx, t.config, func(who []string) {
					for _, session := range who {
						repeats.Log(ctx, slog.LevelInfo, session, "waiting for a transaction to end: "+session)
					}
				})
				if err != nil {
					return err
				}
				if t.out.JSON {
					return t.out.Object(map[string]any{"slot": t.config.Slot, "lsn": at})
				}
				return t.out.Text("made slot %q at %s; with snapshot.mode: never, relay run begins there\n", t.config.Slot, at)
			})
		},
	}
}

func slotDrop(g *globals) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "drop [--all]",
		Short: "Drops the slot, so that the server can remove the WAL that it holds back",
		Long: `Drops the slot. A slot that is in use is not dropped: stop the relay first. What was not published is gone then:
the next relay run stops at the gap, until --resnapshot or --accept-gap says how to go on.`,
		Example: "  relay slot drop -c relay.yaml\n  relay slot drop --all",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withSlots(cmd.Context(), g, func(ctx context.Context, t *slotTool) error { return t.drop(ctx, all) })
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "the trailing slot and bookmarks, too")
	return cmd
}

func (t *slotTool) drop(ctx context.Context, all bool) error {
	var list []postgres.Held
	if all {
		list = t.held.All()
	}
	if live := t.held.Live; live != nil {
		if live.Active {
			return fmt.Errorf("slot %q is in use; stop the relay first", live.Name)
		}
		list = append(list, *live)
	}
	if len(list) == 0 {
		return fmt.Errorf("there is no slot %q", t.config.Slot)
	}
	for _, held := range list {
		if err := postgres.GiveUp(ctx, t.conn, held.Name); err != nil {
			return err
		}
		if t.out.JSON {
			if err := t.out.Object(map[string]any{"dropped": held.Name}); err != nil {
				return err
			}
		} else if err := t.out.Text("dropped slot %q, which stood at %s and held back %s\n", held.Name, held.Confirmed, ops.Bytes(held.Retained)); err != nil {
			return err
		}
	}
	return nil
}

// stamp is a time for people.
func stamp(t time.Time) string {
	if t.IsZero() {
		return "unknown"
	}
	return t.UTC().Format(time.RFC3339)
}
