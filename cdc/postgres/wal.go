package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/cdc"
)

// WAL is where the server's write-ahead log ends and what a slot holds back.
type WAL struct {
	End       cdc.LSN
	Confirmed cdc.LSN // of the slot; 0 when there is none
	Retained  int64   // bytes from the slot's restart LSN to the end
	Active    bool
	PID       uint32 // of the session that streams from the slot; 0: none
	Status    string // pg_replication_slots.wal_status; "" when there is no slot
	Lost      string // why a slot whose status is lost is that (Loss); "" before PostgreSQL 17
	// XMin is the oldest transaction whose catalog the slot still needs
	// (catalog_xmin), which Debezium writes as source.xmin; 0: none.
	XMin int64
}

// ReadWAL asks the server. On a standby the end is what was replayed.
func ReadWAL(ctx context.Context, conn *pgx.Conn, slot string) (WAL, error) {
	var end, confirmed string
	var w WAL
	err := conn.QueryRow(ctx, `
		WITH wal AS (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END AS lsn)
		SELECT wal.lsn::text, coalesce(s.confirmed_flush_lsn::text, '0/0'),
		       coalesce(pg_wal_lsn_diff(wal.lsn, s.restart_lsn), 0)::bigint, coalesce(s.active, false), coalesce(s.active_pid, 0), coalesce(s.wal_status, ''),
		       coalesce(to_jsonb(s) ->> 'invalidation_reason', ''),
		       coalesce(s.catalog_xmin::text::bigint, 0)
		FROM wal LEFT JOIN pg_replication_slots s ON s.slot_name = $1`, slot).Scan(&end, &confirmed, &w.Retained, &w.Active, &w.PID, &w.Status, &w.Lost, &w.XMin)
	if err != nil {
		return w, fmt.Errorf("ask PostgreSQL for its WAL: %w", err)
	}
	if w.End, err = cdc.ParseLSN(end); err != nil {
		return w, err
	}
	w.Confirmed, err = cdc.ParseLSN(confirmed)
	return w, err
}
