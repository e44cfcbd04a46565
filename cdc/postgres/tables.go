package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/cdc"
)

// Published is a table of a publication.
type Published struct {
	OID     uint32
	Schema  string
	Name    string
	Root    bool     // a partitioned table, whose rows lie in its partitions
	Listed  bool     // by name in the publication, not by its schema or a table above it
	Columns []string // of the publication's column list; nil: all
	// RowFilter is the WHERE expression of the publication, in parentheses; "" for
	// none.
	RowFilter string
}

// Tables lists what a publication covers now, by schema and name, each row under
// one name: for a partitioned table these are its partitions or, when the
// publication is published via the root, the topmost table that it has. An unknown
// publication covers nothing.
func (c *Catalog) Tables(ctx context.Context, publication string) ([]Published, error) {
	major, err := c.major()
	if err != nil {
		return nil, err
	}
	// Column lists and row filters came with 15. The view lists all columns of a
	// table that has no list.
	limits := "NULL::text[], ''"
	if major >= 15 {
		limits = "CASE WHEN r.prattrs IS NOT NULL THEN t.attnames::text[] END, coalesce(t.rowfilter, '')"
	}
	rows, _ := c.conn.Query(ctx, `SELECT c.oid, n.nspname::text, c.relname::text, c.relkind = 'p', r.oid IS NOT NULL, `+limits+`
		FROM pg_catalog.pg_publication_tables t
		JOIN pg_catalog.pg_publication p ON p.pubname = t.pubname
		JOIN pg_catalog.pg_namespace n ON n.nspname = t.schemaname
		JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename
		LEFT JOIN pg_catalog.pg_publication_rel r ON r.prpubid = p.oid AND r.prrelid = c.oid
		WHERE t.pubname = $1
			-- PostgreSQL 14 also lists a partition whose root is listed, and publishes it as the root.
			AND NOT (p.pubviaroot AND EXISTS (SELECT FROM pg_catalog.pg_partition_ancestors(c.oid) a
				JOIN pg_catalog.pg_publication_rel l ON l.prpubid = p.oid AND l.prrelid = a.relid WHERE a.relid <> c.oid))
		ORDER BY n.nspname, c.relname`, publication)
	tables, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p Published, err error) {
		err = row.Scan(&p.OID, &p.Schema, &p.Name, &p.Root, &p.Listed, &p.Columns, &p.RowFilter)
		return p, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the tables of publication %q: %w", publication, err)
	}
	return tables, nil
}

// Match lists the tables of the database that patterns select, by schema and
// name: those that a pattern of include fits and none of exclude. A pattern is
// schema.table, where * stands for any characters, or a regular expression between
// slashes, which has to match the whole of schema.table. No include is every table.
//
// Tables are ordinary ones whose changes the WAL carries, and partitions; a
// partition is also selected, or excluded, by the name of a table above it. With
// Roots it is the partitioned table instead, where all of its partitions match.
// PostgreSQL's own schemas never match.
func (c *Catalog) Match(ctx context.Context, include, exclude []string) ([]Published, error) {
	all, err := c.candidates(ctx, "")
	if err != nil {
		return nil, err
	}
	s, err := newSelection(include, exclude)
	if err != nil {
		return nil, err
	}
	if c.Roots {
		return s.wanted(all, nil), nil
	}
	var out []Published
	for _, t := range all {
		if !t.Root && s.selects(t.names) {
			out = append(out, t.Published)
		}
	}
	return out, nil
}

// Selects tells whether patterns select one table: by its own name, or by that of
// a partitioned table above it. A table that is gone has its own name only.
func (c *Catalog) Selects(ctx context.Context, t *cdc.Table, include, exclude []string) (bool, error) {
	s, err := newSelection(include, exclude)
	if err != nil {
		return false, err
	}
	return c.selected(ctx, s, t.OID, t.String())
}

func (c *Catalog) selected(ctx context.Context, s selection, oid uint32, name string) (bool, error) {
	rows, _ := c.conn.Query(ctx, `
		SELECT n.nspname || '.' || u.relname FROM pg_catalog.pg_partition_ancestors($1) a
		JOIN pg_catalog.pg_class u ON u.oid = a.relid
		JOIN pg_catalog.pg_namespace n ON n.oid = u.relnamespace`, oid)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return false, fmt.Errorf("list the tables above %s: %w", name, err)
	}
	return s.selects(append(names, name)), nil
}

// Missing lists what must be added to a publication so that it covers what the
// patterns select, by schema and name. Where a partitioned table is selected
// with all its partitions it is listed itself, so that partitions made later are
// published as well; where some are excluded, the others are listed. For a
// publication that does not exist, that is everything.
func (c *Catalog) Missing(ctx context.Context, publication string, include, exclude []string) ([]Published, error) {
	all, err := c.candidates(ctx, publication)
	if err != nil {
		return nil, err
	}
	s, err := newSelection(include, exclude)
	if err != nil {
		return nil, err
	}
	return s.wanted(all, nil), nil
}

// wanted are the candidates to put into a publication. A table that stands apart
// keeps the partitioned tables above it from being listed.
func (s selection) wanted(all []candidate, apart func(*candidate) bool) []Published {
	whole := map[uint32]bool{} // partitioned tables without an excluded part
	for _, t := range all {
		if t.Root {
			whole[t.OID] = s.selects(t.names)
		}
	}
	for _, t := range all {
		if !s.selects(t.names) || apart != nil && apart(&t) {
			for _, up := range t.above {
				whole[up] = false
			}
		}
	}
	inside := func(t candidate) bool {
		return slices.ContainsFunc(t.above, func(up uint32) bool { return whole[up] })
	}
	var out []Published
	for _, t := range all {
		if !t.covered && s.selects(t.names) && (!t.Root || whole[t.OID]) && !inside(t) {
			out = append(out, t.Published)
		}
	}
	return out
}

// candidate is a table that could be published.
type candidate struct {
	Published
	names   []string // schema.table of its own and of the partitioned tables above
	above   []uint32
	covered bool // a publication has it or a table above it, or its schema, or all tables
}

// candidates leaves out what CREATE PUBLICATION refuses: temporary and unlogged
// tables, foreign tables, and those of the system. All schemas named pg_… are
// PostgreSQL's (PostgreSQL documentation, section 5.10.5).
func (c *Catalog) candidates(ctx context.Context, publication string) ([]candidate, error) {
	major, err := c.major()
	if err != nil {
		return nil, err
	}
	schemas := "false"
	if major >= 15 {
		schemas = "EXISTS (SELECT FROM pg_catalog.pg_publication_namespace s WHERE s.pnpubid = p.oid AND s.pnnspid = u.relnamespace)"
	}
	rows, _ := c.conn.Query(ctx, `
		SELECT c.oid, n.nspname::text, c.relname::text, c.relkind = 'p',
			array_agg(un.nspname || '.' || u.relname),
			coalesce(array_agg(u.oid) FILTER (WHERE u.oid <> c.oid), '{}'),
			coalesce(bool_or(p.puballtables OR r.oid IS NOT NULL OR `+schemas+`), false)
		FROM pg_catalog.pg_class c
		JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		JOIN LATERAL (SELECT c.oid AS up UNION SELECT relid FROM pg_catalog.pg_partition_ancestors(c.oid)) a ON true
		JOIN pg_catalog.pg_class u ON u.oid = a.up
		JOIN pg_catalog.pg_namespace un ON un.oid = u.relnamespace
		LEFT JOIN pg_catalog.pg_publication p ON p.pubname = $1
		LEFT JOIN pg_catalog.pg_publication_rel r ON r.prpubid = p.oid AND r.prrelid = u.oid
		WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND c.oid >= 16384
			AND n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema'
		GROUP BY c.oid, n.nspname, c.relname, c.relkind
		ORDER BY n.nspname, c.relname`, publication)
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (t candidate, err error) {
		err = row.Scan(&t.OID, &t.Schema, &t.Name, &t.Root, &t.names, &t.above, &t.covered)
		return t, err
	})
	if err != nil {
		return nil, fmt.Errorf("list the tables: %w", err)
	}
	return all, nil
}
