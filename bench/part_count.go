package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"time"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/cdc/postgres"
)

// counted is what runCount says when it is through.
type counted struct{ Rows, Columns, Bytes int64 }

// runCount reads a slot with the relay's own reader, decodes every column of every
// row, and counts. Nothing is confirmed.
func runCount(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("count", flag.ContinueOnError)
	url := f.String("url", "", "")
	slot := f.String("slot", "", "")
	end := f.String("end", "", "")
	if err := f.Parse(args); err != nil {
		return err
	}
	last, err := cdc.ParseLSN(*end)
	if err != nil {
		return err
	}
	db := postgres.New(postgres.Config{URL: *url, Slot: *slot, Publication: "bench", MaxRow: 8 << 20, Logger: slog.New(slog.DiscardHandler)})
	defer db.Close()
	stream, err := db.Stream(ctx, 0)
	if err != nil {
		return err
	}
	defer stream.Close()
	var n counted
	for {
		ev, err := stream.Next(ctx, time.Second)
		if err != nil {
			return fmt.Errorf("after %d rows: %w", n.Rows, err)
		}
		if ev == nil {
			continue
		}
		switch ev.Kind {
		case cdc.EventRow:
			n.Rows++
			for _, row := range [][]cdc.Value{ev.Old, ev.New} {
				for i := range row {
					n.Columns++
					n.Bytes += int64(len(row[i].Data))
				}
			}
		case cdc.EventCommit:
			if ev.LSN >= last {
				if err := say(n); err != nil {
					return err
				}
				return hold()
			}
		}
	}
}
