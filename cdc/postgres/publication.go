package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/cdc"
)

// publication is what pg_publication says of ours.
type publication struct {
	exists  bool
	all     bool // FOR ALL TABLES
	changes bool // UPDATE or DELETE is published
	viaRoot bool
}

func lookAt(ctx context.Context, conn *pgx.Conn, name string) (p publication, err error) {
	err = conn.QueryRow(ctx, "SELECT puballtables, pubupdate OR pubdelete, pubviaroot FROM pg_publication WHERE pubname = $1", name).Scan(&p.all, &p.changes, &p.viaRoot)
	if errors.Is(err, pgx.ErrNoRows) {
		return p, nil
	}
	if err != nil {
		return p, fmt.Errorf("look at publication %q: %w", name, err)
	}
	p.exists = true
	return p, nil
}

// Publication makes sure that the publication exists and, where it is a list of
// tables that we may change, that it has every matching table. It only ever adds,
// and what it adds never keeps the application from changing its rows. The
// publication must exist before the slot: decoding a change from before it fails
// for ever. One that differs from the configuration in what it publishes of a
// table is a StopError.
func (d *Database) Publication(ctx context.Context) error {
	conn, err := d.sql(ctx)
	if err != nil {
		return err
	}
	c := &d.config
	p, err := lookAt(ctx, conn, c.Publication)
	if err != nil {
		return err
	}
	if !p.exists && (!c.CreatePublication || c.Adopt) {
		why := "postgres.publication.create is false"
		if c.Adopt {
			why = "postgres.slot.adopt is true, so it should be the one that Debezium made"
		}
		return &cdc.StopError{What: fmt.Sprintf("publication %q does not exist, and %s", c.Publication, why),
			Next: fmt.Sprintf("create it: CREATE PUBLICATION %s FOR TABLE …; or name the one that exists: postgres.publication.name", quoteIdent(c.Publication))}
	}
	if !p.exists || c.alters() && !p.all {
		if err := d.extend(ctx, conn, p); err != nil {
			return err
		}
	}
	if p.exists && c.alters() && c.PublishViaRoot && !p.viaRoot {
		return &cdc.StopError{What: fmt.Sprintf("publication %q publishes partitions by their own names, and postgres.publication.via_root is true", c.Publication),
			Next: fmt.Sprintf("ALTER PUBLICATION %s SET (publish_via_partition_root = true), from where on their changes go to other topics; or set via_root: false", quoteIdent(c.Publication))}
	}
	return d.filters(ctx, conn)
}

// alters tells whether the publication is ours to add to.
func (c *Config) alters() bool { return c.CreatePublication && !c.Adopt }

// extend creates the publication, or adds the tables that it lacks, in one
// transaction with a look at what their row filters ask for.
func (d *Database) extend(ctx context.Context, conn *pgx.Conn, p publication) error {
	c := &d.config
	viaRoot := p.viaRoot || !p.exists && c.PublishViaRoot
	add, err := d.catalog.additions(ctx, c, viaRoot)
	if err != nil || p.exists && len(add) == 0 {
		return err
	}
	sql := "CREATE PUBLICATION " + quoteIdent(c.Publication)
	switch {
	case p.exists:
		sql = "ALTER PUBLICATION " + quoteIdent(c.Publication) + " ADD TABLE " + c.list(add)
	case len(add) > 0:
		sql += " FOR TABLE " + c.list(add)
	}
	if !p.exists && c.PublishViaRoot {
		sql += " WITH (publish_via_partition_root = true)"
	}
	tx, err := conn.Begin(ctx)
	if err != nil {
		return fmt.Errorf("change publication %q: %w", c.Publication, err)
	}
	defer func() { _ = tx.Rollback(ctx) }()
	_, err = tx.Exec(ctx, sql)
	switch {
	case p.exists && code(err) == "42501": // the tables that are published already must not wait for this one
		c.Logger.Error("tables match but may not be added to the publication; their changes are not published until their owner adds them",
			"publication", c.Publication, "tables", tableList(add), "error", err.Error())
		return nil
	case err != nil && c.filtered(add):
		return &cdc.StopError{What: "the server does not take the publication with the row filters of tables.overrides (" + sql + ")", Err: detailed(err),
			Next: "correct them: PostgreSQL's documentation of CREATE PUBLICATION says what WHERE can hold"}
	case err != nil && p.exists:
		return fmt.Errorf("add tables to publication %q: %w", c.Publication, err)
	case err != nil:
		return fmt.Errorf("create publication %q: %w", c.Publication, err)
	}
	if p.changes || !p.exists {
		gaps, err := filterGaps(ctx, tx, c.Publication, oids(add), d.version)
		if err != nil {
			return err
		}
		if len(gaps) > 0 {
			return gaps[0].stop()
		}
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("change publication %q: %w", c.Publication, err)
	}
	c.Logger.Info("the publication has new tables", "publication", c.Publication, "created", !p.exists, "tables", tableList(add))
	return nil
}

// additions are the tables that the publication lacks. A partitioned table is
// listed whole only where none of its partitions has a row filter of its own.
func (c *Catalog) additions(ctx context.Context, config *Config, viaRoot bool) ([]Published, error) {
	major, err := c.major()
	if err != nil {
		return nil, err
	}
	all, err := c.candidates(ctx, config.Publication)
	if err != nil {
		return nil, err
	}
	s, err := newSelection(config.Include, config.Exclude)
	if err != nil {
		return nil, err
	}
	for _, t := range all {
		where := config.where(&t.Published)
		if where == "" || !s.selects(t.names) {
			continue
		}
		table := quoteIdent(t.Schema) + "." + quoteIdent(t.Name)
		switch {
		case major < 15:
			return nil, &cdc.StopError{What: fmt.Sprintf("tables.overrides has a row filter for %s, and PostgreSQL %d publishes none", table, major),
				Next: "upgrade to PostgreSQL 15 or later, or remove its where"}
		case t.Root && !viaRoot:
			return nil, &cdc.StopError{What: fmt.Sprintf("tables.overrides has a row filter for the partitioned table %s, whose partitions are published by their own names", table),
				Next: "give the filter to its partitions, by a pattern, or set postgres.publication.via_root: true"}
		}
	}
	return s.wanted(all, func(t *candidate) bool { return !viaRoot && !t.Root && config.where(&t.Published) != "" }), nil
}

// Published lists the tables of the publication by name, with their OIDs.
func (d *Database) Published(ctx context.Context) (map[string]uint32, error) {
	if _, err := d.sql(ctx); err != nil {
		return nil, err
	}
	tables, err := d.catalog.Tables(ctx, d.config.Publication)
	if err != nil {
		return nil, err
	}
	out := map[string]uint32{}
	for _, t := range tables {
		out[t.Schema+"."+t.Name] = t.OID
	}
	d.took(func(t *taken) { maps.Copy(t.tables, byOID(out)) })
	return out, d.withdrawn(ctx, out)
}

// Unpublished lists tables that match the configuration and that the publication
// lacks, for a caller with a connection of its own.
func Unpublished(ctx context.Context, conn *pgx.Conn, c Config) ([]string, error) {
	if !c.alters() {
		return nil, nil
	}
	p, err := lookAt(ctx, conn, c.Publication)
	if err != nil {
		return nil, err
	}
	missing, err := NewCatalog(conn).additions(ctx, &c, p.viaRoot || !p.exists && c.PublishViaRoot)
	names := make([]string, len(missing))
	for i, t := range missing {
		names[i] = t.Schema + "." + t.Name
	}
	return names, err
}

// list is for CREATE and ALTER PUBLICATION.
func (c *Config) list(tables []Published) string {
	items := make([]string, len(tables))
	for i := range tables {
		items[i] = c.item(&tables[i])
	}
	return strings.Join(items, ", ")
}

func (c *Config) item(t *Published) string {
	item := quoteIdent(t.Schema) + "." + quoteIdent(t.Name)
	if where := c.where(t); where != "" {
		item += " WHERE " + inParentheses(where)
	}
	return item
}

// inParentheses keeps a comment at the end of a condition from taking the
// parenthesis in.
func inParentheses(where string) string {
	if strings.Contains(where, "--") {
		where += "\n"
	}
	return "(" + where + ")"
}

func (c *Config) filtered(tables []Published) bool {
	return slices.ContainsFunc(tables, func(t Published) bool { return c.where(&t) != "" })
}

func tableList(tables []Published) string {
	names := make([]string, len(tables))
	for i, t := range tables {
		names[i] = quoteIdent(t.Schema) + "." + quoteIdent(t.Name)
	}
	return strings.Join(names, ", ")
}

func quoteIdent(s string) string { return pgx.Identifier{s}.Sanitize() }
