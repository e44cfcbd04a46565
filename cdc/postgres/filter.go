package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/cdc"
)

// A row filter is a condition of the publication (CREATE PUBLICATION … WHERE,
// PostgreSQL 15 and later): the server applies it to the stream, the snapshot
// applies the same one. What can go wrong:
//
//   - It names columns that the replica identity lacks: the server then refuses the
//     application's UPDATE and DELETE. Such a filter is never put into place.
//   - The configuration and the publication differ. Rows that a changed filter lets
//     through were not published before, and rows that it holds back are in the
//     topic already: a person has to decide, so the relay stops and says how.

// gap is a table whose row filter names columns that its replica identity lacks.
type gap struct {
	schema, name string
	columns      []string
}

func (g *gap) what() string {
	return fmt.Sprintf("the row filter of %s.%s names columns that are not part of its replica identity (%s): the server would refuse UPDATE and DELETE of its rows",
		quoteIdent(g.schema), quoteIdent(g.name), strings.Join(g.columns, ", "))
}

func (g *gap) remedy() string {
	return fmt.Sprintf("ALTER TABLE %s.%s REPLICA IDENTITY FULL; or filter by columns of its key only", quoteIdent(g.schema), quoteIdent(g.name))
}

func (g *gap) stop() error { return &cdc.StopError{What: g.what(), Next: g.remedy()} }

// querier is a connection or a transaction on it.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// The columns of a filter are in pg_depend. Under publish_via_partition_root the
// root's filter is judged by the identity of each partition.
const filterGapsSQL = `
WITH f AS (
	SELECT r.prrelid, a.attname FROM pg_catalog.pg_publication_rel r
	JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid AND p.pubname = $1
	JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_publication_rel'::regclass AND d.objid = r.oid
		AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = r.prrelid AND d.refobjsubid > 0
	JOIN pg_catalog.pg_attribute a ON a.attrelid = r.prrelid AND a.attnum = d.refobjsubid
	WHERE r.prqual IS NOT NULL
		AND ($2::oid[] IS NULL OR r.prrelid = ANY ($2))
		-- the columns of a column list are among the dependencies, too
		AND (r.prattrs IS NULL OR strpos(pg_catalog.pg_get_expr(r.prqual, r.prrelid), a.attname) > 0)
), leaf AS (
	SELECT f.attname, t.relid FROM f JOIN LATERAL (
		SELECT relid FROM pg_catalog.pg_partition_tree(f.prrelid) WHERE isleaf
		UNION SELECT f.prrelid WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_partition_tree(f.prrelid))) t ON true
)
SELECT n.nspname::text, c.relname::text, array_agg(DISTINCT leaf.attname::text ORDER BY leaf.attname::text)
FROM leaf JOIN pg_catalog.pg_class c ON c.oid = leaf.relid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute b ON b.attrelid = c.oid AND b.attname = leaf.attname
WHERE c.relreplident <> 'f' AND NOT EXISTS (
	SELECT FROM pg_catalog.pg_index i
	WHERE i.indrelid = c.oid AND b.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])
		AND (c.relreplident = 'd' AND i.indisprimary AND i.indimmediate OR c.relreplident = 'i' AND i.indisreplident))
GROUP BY n.nspname, c.relname ORDER BY n.nspname, c.relname`

// filterGaps looks at the row filters that a publication has, for these tables or,
// if nil, for all.
func filterGaps(ctx context.Context, q querier, publication string, tables []uint32, version int) ([]gap, error) {
	if version < 150000 {
		return nil, nil
	}
	rows, _ := q.Query(ctx, filterGapsSQL, publication, tables)
	gaps, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (g gap, err error) {
		err = row.Scan(&g.schema, &g.name, &g.columns)
		return g, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the row filters of publication %q: %w", publication, err)
	}
	return gaps, nil
}

// mismatch is a table whose row filter in the publication is not the configured
// one.
type mismatch struct {
	table      Published
	configured string
	cause      error // why they could not be compared; nil: they differ
}

func (m *mismatch) name() string { return quoteIdent(m.table.Schema) + "." + quoteIdent(m.table.Name) }

func (m *mismatch) what(publication string) string {
	is := "publishes all rows of " + m.name()
	if m.table.RowFilter != "" {
		is = "publishes rows of " + m.name() + " WHERE " + m.table.RowFilter
	}
	want := "tables.overrides has no where for it"
	if m.configured != "" {
		want = "tables.overrides has where: " + m.configured
	}
	return fmt.Sprintf("publication %q %s, and %s", publication, is, want)
}

// remedy is the statement that puts the configured filter into place.
func (m *mismatch) remedy(publication string) string {
	p := quoteIdent(publication)
	add := fmt.Sprintf("ALTER PUBLICATION %s ADD TABLE %s", p, m.name())
	if m.configured != "" {
		add += " WHERE " + inParentheses(m.configured)
	}
	if m.table.Listed {
		add = fmt.Sprintf("BEGIN; ALTER PUBLICATION %s DROP TABLE %s; %s; COMMIT", p, m.name(), add)
	} else {
		add = "list the tables of the publication one by one, since one FOR ALL TABLES, of a schema or of a partitioned table filters no rows: " + add
	}
	return add + "; rows that the older filter held back are published when they change, or by a snapshot"
}

// mismatches compares the row filters of the publication with the configuration.
// A filter that only the publication has is a mismatch where the publication is
// ours.
func (c *Catalog) mismatches(ctx context.Context, config *Config) ([]mismatch, error) {
	tables, err := c.Tables(ctx, config.Publication)
	if err != nil {
		return nil, err
	}
	var out []mismatch
	for _, t := range tables {
		want := config.where(&t)
		if want == "" && (t.RowFilter == "" || !config.alters()) {
			continue
		}
		same, err := c.sameFilter(ctx, &t, want)
		if !same {
			out = append(out, mismatch{table: t, configured: want, cause: err})
		}
	}
	return out, nil
}

// sameFilter has the planner compare the two: both texts become one plan, with
// the filter as it understands it. It changes nothing and needs to read the table
// only.
func (c *Catalog) sameFilter(ctx context.Context, t *Published, want string) (bool, error) {
	if want == "" || t.RowFilter == "" || "("+want+")" == t.RowFilter {
		return want == "" == (t.RowFilter == ""), nil
	}
	var plans [2]string
	for i, where := range []string{want, t.RowFilter} {
		only := "ONLY "
		if t.Root {
			only = ""
		}
		rows, _ := c.conn.Query(ctx, "EXPLAIN (COSTS OFF) SELECT FROM "+only+quoteIdent(t.Schema)+"."+quoteIdent(t.Name)+" WHERE "+inParentheses(where))
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return false, err
		}
		plans[i] = strings.Join(lines, "\n")
	}
	return plans[0] == plans[1], nil
}

// filters stops where the publication's row filters are not the configured ones.
func (d *Database) filters(ctx context.Context, conn *pgx.Conn) error {
	if d.config.Where == nil && !d.config.alters() {
		return nil
	}
	list, err := d.catalog.mismatches(ctx, &d.config)
	if err != nil || len(list) == 0 {
		return err
	}
	// What may not be read cannot be compared; it is said and not guessed at.
	if i := slices.IndexFunc(list, func(m mismatch) bool { return code(m.cause) != "42501" }); i >= 0 {
		m := &list[i]
		return &cdc.StopError{What: m.what(d.config.Publication), Next: m.remedy(d.config.Publication), Err: m.cause}
	}
	for _, m := range list {
		d.config.Logger.Warn("the row filter of the publication cannot be compared with the configured one", "table", m.name(), "publication", m.table.RowFilter, "configured", m.configured, "error", m.cause.Error())
	}
	return nil
}
