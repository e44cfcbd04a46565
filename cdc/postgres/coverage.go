package postgres

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/cdc"
)

// Whether a table needs a snapshot of its own is a question of when: one that was
// made after the slot, and that the publication has covered ever since (FOR ALL
// TABLES, its schema, a partitioned table above it), comes whole from the stream.
// One that was there before, or was published only later, has rows that the stream
// never brings.
//
// Catalog rows carry the transaction that wrote them. What can go wrong is that
// transaction ids are given out in another order than transactions commit. So both
// sides are compared with one moment, since: the oldest transaction that ran when
// the slot's snapshot was taken. A publication's row of before since was committed
// when the slot began. A table of since or later, which the slot's snapshot did not
// have, was committed after it.
//
// A table counts as older when in doubt: rows then come once more, none is lost.
//
//   - It was moved into the schema, or attached as a partition, after it was made.
//   - Its storage was written anew (TRUNCATE, VACUUM FULL): UNLOGGED tables that
//     become LOGGED do that, too, with rows that no stream has. A table that was
//     looked at before that, in this session, counts as whole.
//   - The publication was altered after since, or leaves out inserts.

// Since is the oldest transaction that runs now, as a 64-bit number.
func (d *Database) Since(ctx context.Context) (uint64, error) {
	conn, err := d.sql(ctx)
	if err != nil {
		return 0, err
	}
	return oldest(ctx, conn)
}

func oldest(ctx context.Context, conn *pgx.Conn) (uint64, error) {
	var since int64
	if err := conn.QueryRow(ctx, "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint").Scan(&since); err != nil {
		return 0, fmt.Errorf("ask for the oldest transaction: %w", err)
	}
	return uint64(since), nil
}

// Whole lists the published tables, by name and with their OIDs, whose every row
// the stream brings, for a slot whose snapshot had since as its oldest transaction.
// 0 knows of none.
func (d *Database) Whole(ctx context.Context, since uint64) (map[string]uint32, error) {
	conn, err := d.sql(ctx)
	if err != nil {
		return nil, err
	}
	tables, err := d.catalog.Tables(ctx, d.config.Publication)
	if err != nil {
		return nil, err
	}
	whole, err := wholeTables(ctx, conn, d.config.Publication, d.version, tables, since)
	if err != nil {
		return nil, err
	}
	d.took(func(t *taken) { t.since = since; maps.Copy(t.tables, byOID(whole)) })
	return whole, nil
}

func byOID(tables map[string]uint32) map[uint32]string {
	out := make(map[uint32]string, len(tables))
	for name, oid := range tables {
		out[oid] = name
	}
	return out
}

// made is the transaction that made a table: nothing ever changes the rows of its
// system columns.
func made(oid string) string {
	return "(SELECT m.xmin FROM pg_catalog.pg_attribute m WHERE m.attrelid = " + oid + " AND m.attnum = -1)"
}

// wide is a transaction id as the 64-bit number nearest below the newest one.
func wide(xid string) string {
	return "(now.xid - ((now.xid - " + xid + "::text::bigint) & 4294967295))"
}

func wholeSQL(version int) string {
	schema := "false"
	if version >= 150000 {
		schema = `EXISTS (SELECT FROM pg_catalog.pg_publication_namespace s WHERE s.pnpubid = p.oid AND s.pnnspid = c.relnamespace AND ` + wide("s.xmin") + ` < $3)
			AND ` + made("c.oid") + ` = (SELECT x.xmin FROM pg_catalog.pg_depend x WHERE x.classid = 'pg_catalog.pg_class'::regclass AND x.objid = c.oid AND x.objsubid = 0
				AND x.refclassid = 'pg_catalog.pg_namespace'::regclass AND x.refobjid = c.relnamespace)`
	}
	return `
WITH RECURSIVE up(leaf, oid, born) AS (
	SELECT t, t, true FROM unnest($2::oid[]) t
	UNION ALL
	SELECT up.leaf, i.inhparent, up.born AND i.xmin = ` + made("up.oid") + `
	FROM up JOIN pg_catalog.pg_inherits i ON i.inhrelid = up.oid JOIN pg_catalog.pg_class k ON k.oid = up.oid AND k.relispartition
)
SELECT n.nspname || '.' || c.relname, c.oid
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_publication p ON p.pubname = $1 AND p.pubinsert
CROSS JOIN (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS xid) now
WHERE c.oid = ANY ($2) AND ` + wide(made("c.oid")) + ` >= $3
	AND (c.relkind = 'p' OR c.relfilenode = c.oid)
	AND NOT EXISTS (SELECT FROM pg_catalog.pg_partition_tree(c.oid) t JOIN pg_catalog.pg_inherits i ON i.inhrelid = t.relid
		WHERE t.level > 0 AND i.xmin <> ` + made("t.relid") + `)
	AND (p.puballtables AND ` + wide("p.xmin") + ` < $3
		OR ` + schema + `
		OR EXISTS (SELECT FROM up JOIN pg_catalog.pg_publication_rel r ON r.prpubid = p.oid AND r.prrelid = up.oid
			WHERE up.leaf = c.oid AND up.oid <> c.oid AND up.born AND ` + wide("r.xmin") + ` < $3))`
}

func wholeTables(ctx context.Context, conn *pgx.Conn, publication string, version int, tables []Published, since uint64) (map[string]uint32, error) {
	whole := map[string]uint32{}
	if since == 0 || len(tables) == 0 {
		return whole, nil
	}
	rows, _ := conn.Query(ctx, wholeSQL(version), publication, oids(tables), int64(since))
	var name string
	var oid uint32
	_, err := pgx.ForEachRow(rows, []any{&name, &oid}, func() error {
		whole[name] = oid
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read when the tables were made: %w", err)
	}
	return whole, nil
}

// taken is what a session knows of the published tables. It is replaced as a
// whole.
type taken struct {
	since   uint64
	tables  map[uint32]string
	members map[string]cdc.Member // of the publication's list
}

// took changes what the session knows.
func (d *Database) took(change func(*taken)) {
	for {
		now := d.taken.Load()
		next := taken{tables: map[uint32]string{}}
		if now != nil {
			next.since, next.members = now.since, now.members
			maps.Copy(next.tables, now.tables)
		}
		change(&next)
		if d.taken.CompareAndSwap(now, &next) { // the look beside the session does this, too
			return
		}
	}
}

// Appeared lists tables that the session has not taken in and that a start would:
// they match and the publication lacks them, or the publication has got them, or a
// partition was attached. It may be called beside the session, with a connection
// of the caller's.
func (d *Database) Appeared(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	names, err := Unpublished(ctx, conn, d.config)
	if err != nil {
		return nil, err
	}
	now := d.taken.Load()
	if now == nil {
		return names, nil
	}
	catalog := NewCatalog(conn)
	members, err := catalog.members(ctx, &d.config)
	if err != nil {
		return nil, err
	}
	for _, name := range now.reentered(members) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	tables, err := catalog.Tables(ctx, d.config.Publication)
	if err != nil {
		return nil, err
	}
	fresh := slices.DeleteFunc(tables, func(t Published) bool { return now.tables[t.OID] != "" })
	if len(fresh) == 0 {
		return names, nil
	}
	major, err := catalog.major()
	if err != nil {
		return nil, err
	}
	whole, err := wholeTables(ctx, conn, d.config.Publication, major*10000, fresh, now.since)
	if err != nil {
		return nil, err
	}
	// Once looked at they are the session's: what becomes of their storage later
	// does not matter.
	d.took(func(t *taken) { maps.Copy(t.tables, byOID(whole)) })
	selected, err := newSelection(d.config.Include, d.config.Exclude)
	if err != nil {
		return nil, err
	}
	for _, t := range fresh {
		name := t.Schema + "." + t.Name
		if _, ok := whole[name]; ok {
			continue
		}
		if in, err := catalog.selected(ctx, selected, t.OID, name); err != nil {
			return nil, err
		} else if in {
			names = append(names, name)
		}
	}
	return names, nil
}

// withdrawn warns of tables whose changes were published and are not any more: a
// partition that was detached, a table that was taken out of the publication or
// excluded. Neither comes through the stream.
func (d *Database) withdrawn(ctx context.Context, published map[string]uint32) error {
	if d.history == nil {
		return nil
	}
	all, err := d.catalog.candidates(ctx, d.config.Publication)
	if err != nil {
		return err
	}
	var names []string
	for _, t := range all {
		name := t.Schema + "." + t.Name
		if !t.covered && !t.Root && published[name] == 0 && d.history.At(t.OID, cdc.Position{Epoch: math.MaxUint32}) != nil {
			names = append(names, name)
		}
	}
	if len(names) > 0 {
		d.config.Logger.Warn("tables that were published are not any more: a partition was detached, or a table taken out of the publication; their changes do not come, and rows that partitions took with them stay in the older topic",
			"tables", names, "publication", d.config.Publication)
	}
	return nil
}
