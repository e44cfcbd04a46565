package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/cdc"
)

// Published is a table of a publication.
type Published struct {
	OID     uint32
	Schema  string
	Name    string
	Columns []string // of the publication's column list; nil: all
	// RowFilter is the WHERE expression of the publication, in parentheses; "" for
	// none.
	RowFilter string
}

// Tables lists what a publication covers now, by schema and name. For a
// partitioned table these are its partitions, unless the publication is
// published via the root. An unknown publication covers nothing.
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
	rows, _ := c.conn.Query(ctx, `SELECT c.oid, n.nspname::text, c.relname::text, `+limits+`
		FROM pg_catalog.pg_publication_tables t
		JOIN pg_catalog.pg_publication p ON p.pubname = t.pubname
		JOIN pg_catalog.pg_namespace n ON n.nspname = t.schemaname
		JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename
		LEFT JOIN pg_catalog.pg_publication_rel r ON r.prpubid = p.oid AND r.prrelid = c.oid
		WHERE t.pubname = $1 ORDER BY n.nspname, c.relname`, publication)
	tables, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p Published, err error) {
		err = row.Scan(&p.OID, &p.Schema, &p.Name, &p.Columns, &p.RowFilter)
		return p, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the tables of publication %q: %w", publication, err)
	}
	return tables, nil
}

// Match lists the tables of the database that patterns select, by schema and
// name: those that a pattern of include fits and none of exclude. A pattern is
// schema.table, where * stands for any characters. No include is every table.
//
// Tables are ordinary ones whose changes the WAL carries, and partitions; a
// partition is also selected, or excluded, by the name of a table above it.
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
	var out []Published
	for _, t := range all {
		if !t.root && s.selects(t.names) {
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
	rows, _ := c.conn.Query(ctx, `
		SELECT n.nspname || '.' || u.relname FROM pg_catalog.pg_partition_ancestors($1) a
		JOIN pg_catalog.pg_class u ON u.oid = a.relid
		JOIN pg_catalog.pg_namespace n ON n.oid = u.relnamespace`, t.OID)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return false, fmt.Errorf("list the tables above %s: %w", t, err)
	}
	return s.selects(append(names, t.String())), nil
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
	whole := map[uint32]bool{} // partitioned tables without an excluded part
	for _, t := range all {
		if t.root {
			whole[t.OID] = s.selects(t.names)
		}
	}
	for _, t := range all {
		if !s.selects(t.names) {
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
		if !t.covered && s.selects(t.names) && (!t.root || whole[t.OID]) && !inside(t) {
			out = append(out, t.Published)
		}
	}
	return out, nil
}

// candidate is a table that could be published.
type candidate struct {
	Published
	root    bool     // a partitioned table
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
		err = row.Scan(&t.OID, &t.Schema, &t.Name, &t.root, &t.names, &t.above, &t.covered)
		return t, err
	})
	if err != nil {
		return nil, fmt.Errorf("list the tables: %w", err)
	}
	return all, nil
}

// selection is the patterns of a configuration.
type selection struct{ include, exclude []string }

func newSelection(include, exclude []string) (selection, error) {
	for _, p := range slices.Concat(include, exclude) {
		if !strings.Contains(p, ".") {
			return selection{}, fmt.Errorf("table pattern %q: want schema.table, as in public.* or *.orders", p)
		}
	}
	if len(include) == 0 {
		include = []string{"*.*"}
	}
	return selection{include, exclude}, nil
}

// selects tells whether one of the names, all of one table, is included and none
// is excluded.
func (s selection) selects(names []string) bool {
	fits := func(patterns []string) bool {
		return slices.ContainsFunc(patterns, func(p string) bool {
			return slices.ContainsFunc(names, func(name string) bool { return glob(p, name) })
		})
	}
	return fits(s.include) && !fits(s.exclude)
}

// glob tells whether s is pattern with any characters for each star.
func glob(pattern, s string) bool {
	head, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == s
	}
	s, ok := strings.CutPrefix(s, head)
	if !ok {
		return false
	}
	for {
		var part string
		part, rest, star = strings.Cut(rest, "*")
		if !star {
			return strings.HasSuffix(s, part)
		}
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s = s[i+len(part):]
	}
}
