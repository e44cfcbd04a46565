package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/cdc/pgoutput"
)

// Past streams what a slot holds back, from at on, without taking anything from the
// slot: over a copy of it (pg_copy_logical_replication_slot) that is temporary. The
// server drops a temporary slot with the session that made it, so a replay that is
// killed holds no WAL back; copying and streaming are one session, on one
// replication connection.
//
// What can go wrong: between the choice of the slot and the copy, the slot moves on,
// or is given up. held is where the copy stands: the caller compares it with what it
// needs. The tables are those of the history that Remember gave, as of each row's
// place; a relation that the history has not, or has otherwise, is described by its
// RELATION message alone.
func (d *Database) Past(ctx context.Context, slot, copied string, at cdc.LSN) (s cdc.Stream, held cdc.LSN, err error) {
	if _, err := d.sql(ctx); err != nil {
		return nil, 0, err
	}
	conn, err := d.replication(ctx)
	if err != nil {
		return nil, 0, err
	}
	held, err = copyTemporary(ctx, conn, slot, copied)
	if err != nil {
		closeConn(conn)
		return nil, 0, err
	}
	from := max(at, held)
	stream, err := d.start(ctx, conn, copied, from, from)
	if err != nil {
		return nil, 0, err
	}
	stream.versions.past = true
	return stream, held, nil
}

func copyTemporary(ctx context.Context, conn *pgconn.PgConn, slot, copied string) (cdc.LSN, error) {
	results, err := conn.Exec(ctx, fmt.Sprintf("SELECT lsn::text FROM pg_catalog.pg_copy_logical_replication_slot(%s, %s, true)", quoteText(slot), quoteText(copied))).ReadAll()
	if err != nil {
		return 0, fmt.Errorf("copy slot %q: %w", slot, copyHint(err))
	}
	if len(results) != 1 || len(results[0].Rows) != 1 || len(results[0].Rows[0]) != 1 {
		return 0, fmt.Errorf("copy slot %q: the server's answer has another form", slot)
	}
	return cdc.ParseLSN(string(results[0].Rows[0][0]))
}

// copyHint says what to do about a refusal.
func copyHint(err error) error {
	if code(err) == "53400" {
		return fmt.Errorf("%w; release a bookmark, or raise max_replication_slots", err)
	}
	return err
}

func quoteText(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// asItWas is the version that the history has in force, if it is the one that the
// server describes.
func (v *versions) asItWas(ctx context.Context, c *Catalog, rel *pgoutput.Relation, inForce *cdc.Table) (*cdc.Table, error) {
	t := inForce
	if !describes(inForce, rel) {
		f, err := c.facts(ctx, rel.OID) // for the order of the key's columns
		if err != nil {
			return nil, err
		}
		oids := make([]uint32, len(rel.Columns))
		for i, col := range rel.Columns {
			oids[i] = col.TypeOID
		}
		if err := c.loadTypes(ctx, oids); err != nil {
			return nil, err
		}
		t = c.alone(f, rel, moment{})
	}
	v.given[rel.OID] = &given{table: t}
	return t, nil
}
