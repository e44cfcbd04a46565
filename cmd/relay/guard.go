package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/cdc/postgres"
	"github.com/tailrace/tailrace/internal/ops"
)

// guard keeps the slot from filling the server's disk: at wal.max it says so, or
// gives the slot up. It acts whatever the relay does meanwhile: stopped, waiting for
// Kafka, waiting for the registry. It also sees a slot that PostgreSQL has
// invalidated, before the stream would find out.
//
// What can go wrong: the relay confirms just then, and the slot would have been
// saved a moment later: retained bytes are asked for anew, in the same statement
// that tells of the limit, two seconds apart at most. The slot is streamed from by a
// relay that this one is the standby of: it is dropped all the same; the database
// comes first, and both have the same limit.
func (w *watch) guard(ctx context.Context, conn *pgx.Conn, wal postgres.WAL) (acted bool, err error) {
	if wal.Status == "lost" {
		w.closing(&cdc.StopError{What: fmt.Sprintf("PostgreSQL has invalidated slot %q: it removed WAL that was not published, or the slot was idle for too long", w.postgres.Slot), Pos: wal.Confirmed.String(),
			Next: "relay run --resnapshot or relay resume --resnapshot reads all tables again; raise max_slot_wal_keep_size or idle_replication_slot_timeout", Trouble: cdc.Gap})
		return true, nil
	}
	if w.max == 0 || wal.Retained < w.max {
		return false, nil
	}
	held := slog.Group("wal", slog.String("retained", ops.Bytes(wal.Retained)), slog.String("max", ops.Bytes(w.max)))
	if !w.drop {
		w.repeats.Log(ctx, slog.LevelError, "wal.max", "the slot holds back as much WAL as wal.max allows; nothing is done about it (wal.at_max: warn)", slog.String("slot", w.postgres.Slot), held)
		return false, nil
	}
	why := &cdc.StopError{What: fmt.Sprintf("the WAL guard gave slot %q up: it held back %s, and wal.max is %s", w.postgres.Slot, ops.Bytes(wal.Retained), ops.Bytes(w.max)), Pos: wal.Confirmed.String(),
		Next: "mend what kept the relay from publishing; then relay run --resnapshot or relay resume --resnapshot reads all tables again", Trouble: cdc.Gap}
	w.closing(why)
	if err := postgres.GiveUp(ctx, conn, w.postgres.Slot); err != nil {
		return true, err
	}
	w.status.failed(why)
	w.log.Error("the slot is given up; its WAL can be removed", "slot", w.postgres.Slot, held)
	return true, nil
}
