package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// GiveUp drops a slot so that the server can remove the WAL that it holds back,
// whoever streams from it. Changes that were not published are gone then.
func GiveUp(ctx context.Context, conn *pgx.Conn, slot string) error {
	for try := 0; ; try++ {
		_, err := conn.Exec(ctx, "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1 AND active", slot)
		if err == nil {
			_, err = conn.Exec(ctx, "SELECT pg_drop_replication_slot($1)", slot)
		}
		if err == nil || code(err) == "42704" { // gone already
			return nil
		}
		if code(err) != "55006" || try == 20 { // the session that had it is just ending
			return fmt.Errorf("give slot %q up: %w", slot, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}
