package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/cdc"
)

// messages of an outbox can be written by any login unless that is revoked; then
// the relay's own heartbeats need a grant.
func (k *checker) messages(ctx context.Context) error {
	if k.options.Heartbeat {
		if err := k.heartbeat(ctx); err != nil {
			return err
		}
	}
	if !k.options.OutboxPrefix {
		return nil
	}
	const revoke = "REVOKE EXECUTE ON FUNCTION pg_logical_emit_message(boolean, text, %s%s) FROM PUBLIC; then GRANT EXECUTE … TO the writing services"
	extra := ""
	if k.version >= 170000 {
		extra = ", boolean"
	}
	rows, _ := k.conn.Query(ctx, `SELECT p.oid::regprocedure::text FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
		WHERE p.proname = 'pg_logical_emit_message' AND a.grantee = 0 AND a.privilege_type = 'EXECUTE'`)
	open, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("read who may write logical messages: %w", err)
	}
	if len(open) > 0 {
		k.add(cdc.LevelError, "outbox", "any login can forge outbox events: PUBLIC may execute "+strings.Join(open, ", "),
			fmt.Sprintf(revoke, "text", extra)+"; the same for bytea")
	}
	return nil
}

func (k *checker) heartbeat(ctx context.Context) error {
	function := messageFunction(k.version / 10000)
	var may bool
	if err := k.conn.QueryRow(ctx, "SELECT has_function_privilege($1, 'EXECUTE')", "pg_catalog."+function).Scan(&may); err != nil {
		return fmt.Errorf("read who may write heartbeats: %w", err)
	}
	if !may {
		k.add(cdc.LevelWarning, "heartbeat", fmt.Sprintf("user %q may not write heartbeats, so nothing probes the whole line", k.user),
			"GRANT EXECUTE ON FUNCTION "+function+" TO "+quoteIdent(k.user)+"; or set heartbeat.interval: 0s")
	}
	return nil
}
