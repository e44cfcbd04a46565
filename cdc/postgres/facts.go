package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/cdc/pgoutput"
)

// facts is what the catalog says of one table. A nil *facts is a table that is
// gone.
type facts struct {
	schema, name string
	identity     cdc.Identity
	attributes   []attribute // all living ones, in attribute order
	indexes      []index     // the unique ones, by name
	end          cdc.LSN     // where the WAL ended after this was read
}

type attribute struct {
	number     int16
	name       string
	typ        uint32
	modifier   int32
	notNull    bool
	expression string // of the default
	published  bool
	changed    xid // the last change of the column or its default
}

const tableSQL = `
SELECT n.nspname::text, c.relname::text, c.relreplident::text
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = $1 AND c.relkind IN ('r', 'p')`

// Since PostgreSQL 18 a NOT NULL constraint can be NOT VALID: attnotnull is set
// and old rows hold NULL (ALTER TABLE, ADD table_constraint NOT VALID). Before,
// pg_constraint has no such rows.
var attributesSQL = `
SELECT a.attnum, a.attname::text, a.atttypid, a.atttypmod,
	a.attnotnull AND NOT EXISTS (
		SELECT FROM pg_catalog.pg_constraint k
		WHERE k.conrelid = a.attrelid AND k.contype = 'n' AND k.conkey = ARRAY[a.attnum] AND NOT k.convalidated),
	CASE WHEN a.attgenerated = '' THEN coalesce(pg_catalog.pg_get_expr(d.adbin, d.adrelid), '') ELSE '' END,
	` + xidOf("a.xmin") + `, ` + xidOf("d.xmin") + `,
	%s
FROM pg_catalog.pg_attribute a
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
LEFT JOIN pg_catalog.pg_publication p ON p.pubname = $2
LEFT JOIN pg_catalog.pg_publication_rel r ON r.prpubid = p.oid AND r.prrelid = a.attrelid
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum`

// Read last: whatever it lacks of the catalog's changes is committed after this
// point of the WAL, or tells of itself by another RELATION message.
const endSQL = `
SELECT (CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_insert_lsn() END)::text`

// publishedSQL tells whether pgoutput sends a column (PostgreSQL documentation,
// CREATE PUBLICATION): column lists came with 15; generated columns with 18,
// where a list may name stored ones and the publication may include them all.
func publishedSQL(major int) string {
	switch {
	case major >= 18:
		return `CASE WHEN r.prattrs IS NOT NULL THEN a.attnum = ANY (r.prattrs::int2[])
			ELSE a.attgenerated = '' OR a.attgenerated = 's' AND p.pubgencols = 's' END IS TRUE`
	case major >= 15:
		return `a.attgenerated = '' AND (r.prattrs IS NULL OR a.attnum = ANY (r.prattrs::int2[]))`
	}
	return `a.attgenerated = ''`
}

// facts reads a table or a partitioned table.
func (c *Catalog) facts(ctx context.Context, oid uint32) (*facts, error) {
	major, err := c.major()
	if err != nil {
		return nil, err
	}
	var f facts
	var identity string
	var gone bool
	batch := &pgx.Batch{} // one round trip
	batch.Queue(tableSQL, oid).QueryRow(func(row pgx.Row) error {
		err := row.Scan(&f.schema, &f.name, &identity)
		gone = errors.Is(err, pgx.ErrNoRows)
		if gone {
			return nil
		}
		return err
	})
	batch.Queue(fmt.Sprintf(attributesSQL, publishedSQL(major)), oid, c.Publication).Query(func(rows pgx.Rows) error {
		f.attributes, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (a attribute, err error) {
			var own, def int64
			err = row.Scan(&a.number, &a.name, &a.typ, &a.modifier, &a.notNull, &a.expression, &own, &def, &a.published)
			a.changed = later(xid(own), xid(def))
			return a, err
		})
		return err
	})
	batch.Queue(indexesSQL, oid).Query(func(rows pgx.Rows) error {
		f.indexes, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (x index, err error) {
			var changed int64
			err = row.Scan(&x.numbers, &x.primary, &x.identity, &x.immediate, &changed)
			x.changed = xid(changed)
			return x, err
		})
		return err
	})
	batch.Queue(endSQL).QueryRow(func(row pgx.Row) error {
		var end string
		if err := row.Scan(&end); err != nil {
			return err
		}
		f.end, err = cdc.ParseLSN(end)
		return err
	})
	if err := c.conn.SendBatch(ctx, batch).Close(); err != nil {
		return nil, fmt.Errorf("read the catalog of table %d: %w", oid, err)
	}
	if gone {
		return nil, nil
	}
	f.identity = cdc.Identity(identity[0])
	return &f, nil
}

// published are the columns that pgoutput sends now.
func (f *facts) published() []attribute {
	var out []attribute
	for _, a := range f.attributes {
		if a.published {
			out = append(out, a)
		}
	}
	return out
}

// agrees tells whether rel has the catalog's columns: the same names, types and
// modifiers in the same order.
func (f *facts) agrees(rel *pgoutput.Relation) bool {
	if f == nil {
		return false
	}
	published := f.published()
	if len(published) != len(rel.Columns) {
		return false
	}
	for i, col := range rel.Columns {
		if a := published[i]; a.name != col.Name || a.typ != col.TypeOID || a.modifier != col.Modifier {
			return false
		}
	}
	return true
}

// replicated has the columns of the replica identity, as a RELATION message
// would flag them.
func (f *facts) replicated() map[int16]bool {
	out := map[int16]bool{}
	if f.identity == cdc.IdentityFull {
		for _, a := range f.attributes {
			out[a.number] = true
		}
		return out
	}
	for i := range f.indexes {
		x := &f.indexes[i]
		if f.identity == cdc.IdentityDefault && x.primary && x.immediate || f.identity == cdc.IdentityIndex && x.identity {
			for _, n := range x.numbers {
				out[n] = true
			}
		}
	}
	return out
}

// changed is the last transaction that changed the facts.
func (f *facts) changed() xid {
	var last xid
	for _, a := range f.published() {
		last = later(last, a.changed)
	}
	for i := range f.indexes {
		last = later(last, f.indexes[i].changed)
	}
	return last
}

func names(attributes []attribute) []string {
	out := make([]string, len(attributes))
	for i, a := range attributes {
		out[i] = a.name
	}
	return out
}

func typesOf(attributes []attribute) []uint32 {
	out := make([]uint32, len(attributes))
	for i, a := range attributes {
		out[i] = a.typ
	}
	return out
}
