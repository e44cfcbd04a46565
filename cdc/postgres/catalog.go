package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/cdc"
)

// Catalog reads what the catalog says now. It is not safe for concurrent use.
//
// What it yields is immutable. Inside a transaction with a snapshot of its own
// it says what held in that snapshot, except for expressions of defaults, which
// the server always prints from the newest catalog.
type Catalog struct {
	// Publication names the publication whose columns count as a table's: those
	// of its column list, and from PostgreSQL 18 on stored generated columns where
	// publish_generated_columns says so. Empty, or a publication that does not
	// have the table: all columns but generated ones.
	Publication string
	// Roots has Match list partitioned tables and not their partitions, as a
	// publication with publish_via_partition_root has them.
	Roots bool

	conn  *pgx.Conn
	types map[uint32]*cdc.Type
}

// NewCatalog reads over conn, which it neither owns nor closes.
func NewCatalog(conn *pgx.Conn) *Catalog {
	return &Catalog{conn: conn, types: map[uint32]*cdc.Type{}}
}

// Table is the table as the catalog has it now; nil when there is none.
func (c *Catalog) Table(ctx context.Context, oid uint32) (*cdc.Table, error) {
	f, err := c.facts(ctx, oid)
	if err != nil || f == nil {
		return nil, err
	}
	t := &cdc.Table{OID: oid, Schema: f.schema, Name: f.name, Identity: f.identity, Facts: true}
	published := f.published()
	if err := c.loadTypes(ctx, typesOf(published)); err != nil {
		return nil, err
	}
	replicated := f.replicated()
	for _, a := range published {
		t.Columns = append(t.Columns, cdc.Column{
			Name: a.name, Type: c.types[a.typ], Modifier: a.modifier,
			NotNull: a.notNull, Default: a.expression, Replicated: replicated[a.number],
		})
	}
	t.Key = f.keyOf(f.key(), names(published))
	return t, nil
}

// major is the server's major version.
func (c *Catalog) major() (int, error) {
	s := c.conn.PgConn().ParameterStatus("server_version") // 17.7, or 19beta1
	end := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(s)
	}
	major, err := strconv.Atoi(s[:end])
	if err != nil {
		return 0, fmt.Errorf("server version %q: want a number in front", s)
	}
	return major, nil
}
