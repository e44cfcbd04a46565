package postgres

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/tailrace/tailrace/cdc"
)

// rows reads tables in one REPEATABLE READ session, by COPY.
type rows struct {
	conn      *pgx.Conn
	xid       uint32
	since     uint64
	tables    []*cdc.Table
	published []Published
	most      int // bytes of a line that is held whole
}

// Rows opens a new snapshot.
func (d *Database) Rows(ctx context.Context) (cdc.Rows, error) { return d.rows(ctx, "") }

// rows opens a reading session on an exported snapshot, or on a new one when
// name is empty. Table facts are read in the same session, so they are those of
// the rows.
func (d *Database) rows(ctx context.Context, name string) (*rows, error) {
	conn, err := connect(ctx, d.config, func(pc *pgx.ConnConfig) {
		pc.BuildFrontend = func(r io.Reader, w io.Writer) *pgproto3.Frontend {
			return pgproto3.NewFrontend(newPiecesReader(r, readBuffer), w)
		}
	})
	if err != nil {
		return nil, err
	}
	r := &rows{conn: conn, most: readBuffer}
	if err := r.open(ctx, name, d.config.Publication); err != nil {
		r.Close()
		return nil, fmt.Errorf("open the snapshot: %w", err)
	}
	return r, nil
}

func (r *rows) open(ctx context.Context, name, publication string) error {
	if _, err := r.conn.Exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"); err != nil {
		return err
	}
	if name != "" {
		if _, err := r.conn.Exec(ctx, "SET TRANSACTION SNAPSHOT '"+strings.ReplaceAll(name, "'", "''")+"'"); err != nil {
			return err
		}
	}
	err := r.conn.QueryRow(ctx, "SELECT (pg_snapshot_xmax(pg_current_snapshot())::text::bigint % (1::bigint << 32))").Scan(&r.xid)
	if err != nil {
		return err
	}
	if r.since, err = oldest(ctx, r.conn); err != nil {
		return err
	}
	catalog := NewCatalog(r.conn)
	catalog.Publication = publication
	published, err := catalog.Tables(ctx, publication)
	if err != nil {
		return err
	}
	for _, p := range published {
		t, err := catalog.Table(ctx, p.OID)
		if err != nil {
			return err
		}
		if t != nil {
			r.tables, r.published = append(r.tables, t), append(r.published, p)
		}
	}
	return nil
}

// Close ends the session.
func (r *rows) Close() { closeConn(r.conn.PgConn()) }

// XID is the transaction id that was next when the snapshot was taken.
func (r *rows) XID() uint32 { return r.xid }

// Since is the oldest transaction that ran when the snapshot was taken, as a
// 64-bit number.
func (r *rows) Since() uint64 { return r.since }

// Tables lists what is to be read, by schema and name.
func (r *rows) Tables() []*cdc.Table { return r.tables }

// Rows copies the i-th table out, as the publication has it: its columns, and
// the rows that its filter lets through. A row that is too long to be held goes to
// what long gives.
func (r *rows) Rows(ctx context.Context, i int, row func([]cdc.Value) error, long func() (cdc.LongRow, error)) error {
	t := r.tables[i]
	names := make([]string, len(t.Columns))
	for j, c := range t.Columns {
		names[j] = quoteIdent(c.Name)
	}
	from := " FROM ONLY " // without the tables that inherit from it, which are tables of their own
	if r.published[i].Root {
		from = " FROM "
	}
	sql := "COPY (SELECT " + strings.Join(names, ", ") + from + quoteIdent(t.Schema) + "." + quoteIdent(t.Name)
	if f := r.published[i].RowFilter; f != "" {
		sql += " WHERE " + f
	}
	sql += ") TO STDOUT"
	w := &copyReader{row: row, begin: long, most: r.most, values: make([]cdc.Value, len(t.Columns))}
	if _, err := r.conn.PgConn().CopyTo(ctx, w, sql); err != nil {
		if w.err != nil {
			return w.err
		}
		if code(err) == "42501" {
			user := quoteIdent(r.conn.Config().User)
			return &cdc.StopError{What: fmt.Sprintf("user %s may not read %s for its snapshot", user, t), Err: err,
				Next: fmt.Sprintf("GRANT USAGE ON SCHEMA %s TO %s; GRANT SELECT ON %s.%s TO %s; relay check --grants prints it, with BYPASSRLS where row security hides rows; then relay resume",
					quoteIdent(t.Schema), user, quoteIdent(t.Schema), quoteIdent(t.Name), user)}
		}
		return fmt.Errorf("COPY of %s: %w", t, err)
	}
	return nil
}
