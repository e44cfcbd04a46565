package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/cdc/postgres"
	"github.com/tailrace/tailrace/internal/ops"
	"github.com/tailrace/tailrace/kafka"
)

// recallFor bounds the reading of the progress topic.
const recallFor = 2 * time.Minute

// recall reads what the relay remembers.
func (s *settings) recall(ctx context.Context) (*kafka.Recollection, kafka.PublisherConfig, error) {
	connection, err := s.kafkaConfig()
	if err != nil {
		return nil, kafka.PublisherConfig{}, err
	}
	c := s.publisherConfig(connection)
	bounded, cancel := context.WithTimeout(ctx, recallFor)
	defer cancel()
	rem, err := kafka.Recall(bounded, c)
	return rem, c, err
}

func bookmarkCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "bookmark NAME",
		Short: "Holds the present position by name, so that a replay can begin there",
		Long: `Holds the relay's present position: everything that commits from now on can be replayed from the bookmark,
until it is released, or expires after replay.bookmark_ttl. A bookmark is a slot: it holds WAL back, and rows of the
catalog. A relay that runs gives it up at wal.max, before its own slot. Three slots of the server stay free.`,
		Example: "  relay slot bookmark before-migration\n  relay replay --from bookmark:before-migration --dry-run",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withSlots(cmd.Context(), g, func(ctx context.Context, t *slotTool) error { return t.bookmark(ctx, args[0]) })
		},
	}
}

// bookmark makes one; its steps, and what a kill between them leaves, stand at
// cdc.Bookmark.
func (t *slotTool) bookmark(ctx context.Context, name string) error {
	slot, err := t.settings.names().Mark(name)
	if err != nil {
		return ops.Usage(err)
	}
	if slices.ContainsFunc(t.held.Bookmarks, func(h postgres.Held) bool { return h.Name == slot }) {
		return fmt.Errorf("bookmark %q exists; relay slot release %s gives it up", name, name)
	}
	if live := t.held.Live; live == nil || live.Lost() {
		return fmt.Errorf("there is no slot %q that could be held; relay run makes it", t.config.Slot)
	}
	if err := spareSlots(ctx, t.conn); err != nil {
		return fmt.Errorf("bookmark %q: %w", name, err)
	}
	_, memory, err := t.settings.recall(ctx)
	if err != nil {
		return err
	}
	now := time.Now().UTC().Truncate(time.Second)
	b := cdc.Bookmark{Version: 1, Name: name, Slot: slot, Made: now, Expires: now.Add(t.settings.Replay.BookmarkTTL)}
	if err := jotBookmark(ctx, memory, b); err != nil {
		return err
	}
	if b.LSN, err = postgres.Hold(ctx, t.config, t.conn, t.config.Slot, slot, t.held.Live.Failover); err != nil {
		return err
	}
	// What the slot has confirmed, a progress record has said before.
	rem, _, err := t.settings.recall(ctx)
	if err != nil {
		return err
	}
	for _, place := range rem.Recent {
		if place.LSN == b.LSN {
			b.Place = &place
		}
	}
	if err := jotBookmark(ctx, memory, b); err != nil {
		return err
	}
	if t.out.JSON {
		return t.out.Object(b)
	}
	return t.out.Text("bookmark %q holds what commits after %s, until %s\n", name, b.LSN, stamp(b.Expires))
}

func jotBookmark(ctx context.Context, c kafka.PublisherConfig, b cdc.Bookmark) error {
	value, err := json.Marshal(b)
	if err != nil {
		return fmt.Errorf("bookmark %q: %w", b.Name, err)
	}
	return kafka.Jot(ctx, c, cdc.Note{Key: cdc.BookmarkKey(b.Name), Value: value})
}

// bookmarkRow is a bookmark on stdout; its field names are public.
type bookmarkRow struct {
	cdc.Bookmark
	State    string `json:"state"` // held; gone: its slot was given up, or never made; unknown: a slot without record
	Retained int64  `json:"retained_bytes"`
}

// bookmarkRows joins what the relay remembers with what the server has.
func bookmarkRows(held postgres.Holding, records map[string]cdc.Bookmark, names postgres.Names) []bookmarkRow {
	var rows []bookmarkRow
	slots := map[string]postgres.Held{}
	for _, h := range held.Bookmarks {
		slots[h.Name] = h
	}
	for _, name := range slices.Sorted(maps.Keys(records)) {
		row := bookmarkRow{Bookmark: records[name], State: "gone"}
		if h, ok := slots[row.Slot]; ok {
			row.State, row.Retained, row.LSN = "held", h.Retained, h.Confirmed
			if h.Lost() {
				row.State = "gone"
			}
			delete(slots, row.Slot)
		}
		rows = append(rows, row)
	}
	for _, slot := range slices.Sorted(maps.Keys(slots)) {
		name, _ := names.Bookmark(slot)
		rows = append(rows, bookmarkRow{Bookmark: cdc.Bookmark{Version: 1, Name: name, Slot: slot, LSN: slots[slot].Confirmed}, State: "unknown", Retained: slots[slot].Retained})
	}
	return rows
}

func bookmarksCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "bookmarks",
		Short:   "Lists the bookmarks",
		Example: "  relay slot bookmarks -c relay.yaml\n  relay slot bookmarks -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withSlots(cmd.Context(), g, func(ctx context.Context, t *slotTool) error { return t.bookmarks(ctx) })
		},
	}
}

func (t *slotTool) bookmarks(ctx context.Context) error {
	rem, _, err := t.settings.recall(ctx)
	if err != nil {
		return err
	}
	table := ops.NewTable("NAME", "LSN", "MADE", "EXPIRES", "HOLDS BACK", "STATE")
	for _, row := range bookmarkRows(t.held, rem.Bookmarks, t.settings.names()) {
		if t.out.JSON {
			if err := t.out.Object(row); err != nil {
				return err
			}
			continue
		}
		table.Row(row.Name, row.LSN.String(), stamp(row.Made), stamp(row.Expires), ops.Bytes(row.Retained), row.State)
	}
	if t.out.JSON {
		return nil
	}
	return table.Write(t.out)
}

func releaseCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "release NAME",
		Short:   "Gives a bookmark up",
		Example: "  relay slot release before-migration",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withSlots(cmd.Context(), g, func(ctx context.Context, t *slotTool) error { return t.release(ctx, args[0]) })
		},
	}
}

func (t *slotTool) release(ctx context.Context, name string) error {
	slot, err := t.settings.names().Mark(name)
	if err != nil {
		return ops.Usage(err)
	}
	rem, memory, err := t.settings.recall(ctx)
	if err != nil {
		return err
	}
	_, noted := rem.Bookmarks[name]
	if !noted && !slices.ContainsFunc(t.held.Bookmarks, func(h postgres.Held) bool { return h.Name == slot }) {
		return fmt.Errorf("there is no bookmark %q; relay slot bookmarks lists them", name)
	}
	if err := postgres.GiveUp(ctx, t.conn, slot); err != nil {
		return err
	}
	if err := kafka.Jot(ctx, memory, cdc.Note{Key: cdc.BookmarkKey(name)}); err != nil {
		return err
	}
	if t.out.JSON {
		return t.out.Object(map[string]string{"released": name})
	}
	return t.out.Text("released bookmark %q\n", name)
}
