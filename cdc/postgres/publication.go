package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/cdc"
)

// Publication makes sure that the publication exists and, where it is a list of
// tables that we may change, that it has every matching table. It only ever adds.
// The publication must exist before the slot: decoding a change from before it
// fails for ever.
func (d *Database) Publication(ctx context.Context) error {
	conn, err := d.sql(ctx)
	if err != nil {
		return err
	}
	name := d.config.Publication
	var all bool
	err = conn.QueryRow(ctx, "SELECT puballtables FROM pg_publication WHERE pubname = $1", name).Scan(&all)
	missing := errors.Is(err, pgx.ErrNoRows)
	if err != nil && !missing {
		return fmt.Errorf("look at publication %q: %w", name, err)
	}
	if missing && !d.config.CreatePublication {
		return &cdc.StopError{What: fmt.Sprintf("publication %q does not exist, and postgres.publication.create is false", name),
			Next: fmt.Sprintf("create it: CREATE PUBLICATION %s FOR TABLE …", quoteIdent(name))}
	}
	if all || !missing && !d.config.CreatePublication {
		return nil
	}
	add, err := d.catalog.Missing(ctx, name, d.config.Include, d.config.Exclude)
	if err != nil {
		return err
	}
	if missing {
		sql := "CREATE PUBLICATION " + quoteIdent(name)
		if len(add) > 0 {
			sql += " FOR TABLE " + tableList(add)
		}
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("create publication %q: %w", name, err)
		}
		d.config.Logger.Info("publication created", "publication", name, "tables", len(add))
		return nil
	}
	if len(add) == 0 {
		return nil
	}
	_, err = conn.Exec(ctx, "ALTER PUBLICATION "+quoteIdent(name)+" ADD TABLE "+tableList(add))
	switch {
	case code(err) == "42501": // the tables that are published already must not wait for this one
		d.config.Logger.Error("tables match but may not be added to the publication; their changes are not published until their owner adds them",
			"publication", name, "tables", tableList(add), "error", err.Error())
		return nil
	case err != nil:
		return fmt.Errorf("add tables to publication %q: %w", name, err)
	}
	d.config.Logger.Info("tables added to the publication", "publication", name, "tables", tableList(add))
	return nil
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
	return out, nil
}

// Unpublished lists tables that match the configuration and that the publication
// lacks, for a caller with a connection of its own.
func Unpublished(ctx context.Context, conn *pgx.Conn, c Config) ([]string, error) {
	if !c.CreatePublication {
		return nil, nil
	}
	missing, err := NewCatalog(conn).Missing(ctx, c.Publication, c.Include, c.Exclude)
	names := make([]string, len(missing))
	for i, t := range missing {
		names[i] = t.Schema + "." + t.Name
	}
	return names, err
}

func tableList(tables []Published) string {
	names := make([]string, len(tables))
	for i, t := range tables {
		names[i] = quoteIdent(t.Schema) + "." + quoteIdent(t.Name)
	}
	return strings.Join(names, ", ")
}

func quoteIdent(s string) string { return pgx.Identifier{s}.Sanitize() }
