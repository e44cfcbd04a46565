package compare

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// column is a column of the source.
type column struct {
	name string
	typ  string // without a modifier: a cast to varchar(3) would cut off what differs
	key  bool
}

func (c column) quoted() string { return pgx.Identifier{c.name}.Sanitize() }

func has(cols []column, name string) bool {
	return slices.ContainsFunc(cols, func(c column) bool { return c.name == name })
}

// columns are those of a table of schema public; none when it is not there.
func columns(ctx context.Context, conn *pgx.Conn, table string) ([]column, error) {
	rows, err := conn.Query(ctx, `
		SELECT a.attname, format_type(a.atttypid, -1),
		       EXISTS (SELECT FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisprimary AND a.attnum = ANY (i.indkey))
		FROM pg_attribute a
		WHERE a.attrelid = to_regclass('public.' || quote_ident($1)) AND a.attnum > 0 AND NOT a.attisdropped
		ORDER BY a.attnum`, table)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (c column, err error) {
		return c, row.Scan(&c.name, &c.typ, &c.key)
	})
}

// query selects the differences between table s and the texts of pg_temp.sink c:
// key, column, source, sink, and how many there are in all. cast turns a text
// into a value to compare.
func query(quoted string, cols []column, cast func(column) string) string {
	var join, key, values []string
	for _, col := range cols {
		if col.key {
			join = append(join, fmt.Sprintf("s.%s::text = (%s)::text", col.quoted(), cast(col)))
			key = append(key, fmt.Sprintf("coalesce(s.%s::text, c.%[1]s)", col.quoted()))
			continue
		}
		values = append(values, fmt.Sprintf("(%s, s.%s::text, (%s)::text)", literal(col.name), col.quoted(), cast(col)))
	}
	absent := `SELECT '*' AS col, CASE WHEN s.ctid IS NULL THEN 'absent' ELSE 'present' END AS source,
		CASE WHEN c.ctid IS NULL THEN 'absent' ELSE 'present' END AS sink WHERE s.ctid IS NULL OR c.ctid IS NULL`
	each := absent
	if len(values) > 0 {
		each += "\nUNION ALL SELECT * FROM (VALUES " + strings.Join(values, ", ") +
			") v(col, source, sink) WHERE v.source IS DISTINCT FROM v.sink AND s.ctid IS NOT NULL AND c.ctid IS NOT NULL"
	}
	return "SELECT concat_ws(',', " + strings.Join(key, ", ") + ") AS key, d.col, d.source, d.sink, count(*) OVER ()\nFROM " +
		quoted + " s FULL JOIN pg_temp.sink c ON " + strings.Join(join, " AND ") +
		"\nCROSS JOIN LATERAL (" + each + ") d ORDER BY 1, 2 LIMIT $1"
}

func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// pipe feeds what one connection copies out to what another one copies in, and
// returns the number of rows.
func pipe(ctx context.Context, from *pgx.Conn, out string, to *pgx.Conn, in string) (int64, error) {
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := from.PgConn().CopyTo(ctx, w, out)
		w.CloseWithError(err)
		done <- err
	}()
	tag, err := to.PgConn().CopyFrom(ctx, r, in)
	r.CloseWithError(err)
	return tag.RowsAffected(), errors.Join(<-done, err)
}
