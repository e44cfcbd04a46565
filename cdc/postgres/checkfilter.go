package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tailrace/tailrace/cdc"
)

// viaRoot is how the publication treats partitions, or will.
func (k *checker) viaRoot() bool {
	return k.publish.viaRoot || !k.publish.exists && k.config.PublishViaRoot
}

// filters looks at the row filters that are configured and those that the
// publication has.
func (k *checker) filters(ctx context.Context) error {
	if k.config.Where == nil && !k.config.alters() {
		return nil
	}
	catalog := NewCatalog(k.conn)
	add, err := catalog.additions(ctx, &k.config, k.viaRoot())
	var stop *cdc.StopError
	if errors.As(err, &stop) {
		k.add(cdc.LevelError, "row_filter", stop.What, stop.Next)
		return nil
	}
	if err != nil {
		return err
	}
	for i := range add {
		if err := k.newFilter(ctx, catalog, &add[i]); err != nil {
			return err
		}
	}
	if !k.publish.exists {
		return nil
	}
	if k.publish.update || k.publish.remove {
		gaps, err := filterGaps(ctx, k.conn, k.config.Publication, nil, k.version)
		if err != nil {
			return err
		}
		for i := range gaps {
			// The server does so already, with the relay or without.
			k.add(cdc.LevelWarning, "row_filter", gaps[i].what(), gaps[i].remedy())
		}
	}
	list, err := catalog.mismatches(ctx, &k.config)
	if err != nil {
		return err
	}
	for _, m := range list {
		level, what := cdc.LevelError, m.what(k.config.Publication)
		if m.cause != nil {
			what += "; they could not be compared: " + m.cause.Error()
			if code(m.cause) == "42501" {
				level = cdc.LevelWarning
			}
		}
		k.add(level, "row_filter", what, m.remedy(k.config.Publication))
	}
	return nil
}

// newFilter looks at the filter of a table that is not published yet: whether the
// server understands it, and whether it does with the columns of the replica
// identity alone.
func (k *checker) newFilter(ctx context.Context, catalog *Catalog, p *Published) error {
	where := k.config.where(p)
	if where == "" {
		return nil
	}
	table := quoteIdent(p.Schema) + "." + quoteIdent(p.Name)
	if err := k.understands(ctx, table, where); err != nil {
		var pg *pgconn.PgError
		if !errors.As(err, &pg) {
			return err
		}
		k.add(cdc.LevelError, "row_filter", fmt.Sprintf("the server does not take the row filter of %s, WHERE (%s): %s", table, where, pg.Message), "correct tables.overrides, or grant SELECT on the table")
		return nil
	}
	if !k.publish.update && !k.publish.remove {
		return nil
	}
	t, err := catalog.Table(ctx, p.OID)
	if err != nil || t == nil || t.Identity == cdc.IdentityFull {
		return err
	}
	var identity []string
	for _, c := range t.Columns {
		if c.Replicated {
			identity = append(identity, quoteIdent(c.Name))
		}
	}
	err = k.understands(ctx, "(SELECT "+strings.Join(identity, ", ")+" FROM "+table+") AS "+quoteIdent(p.Name), where)
	if code(err) == "42703" { // undefined_column
		k.add(cdc.LevelError, "row_filter", fmt.Sprintf("the row filter of %s, WHERE (%s), names columns that are not part of its replica identity (%s): the server would refuse UPDATE and DELETE of its rows", table, where, strings.Join(identity, ", ")),
			fmt.Sprintf("ALTER TABLE %s REPLICA IDENTITY FULL; or filter by columns of its key only", table))
	}
	return nil
}

// understands has the planner read a condition. Nothing is executed.
func (k *checker) understands(ctx context.Context, from, where string) error {
	rows, err := k.conn.Query(ctx, "EXPLAIN SELECT FROM "+from+" WHERE "+inParentheses(where))
	if err != nil {
		return err
	}
	rows.Close()
	return rows.Err()
}

// identity looks whether the record keys of the tables that were found are in
// what an UPDATE or DELETE carries of the old row.
func (k *checker) identity(context.Context) error {
	if !k.publish.update && !k.publish.remove {
		return nil
	}
	var refused []string
	for _, t := range k.found {
		if t.Identity == cdc.IdentityNothing || t.Identity == cdc.IdentityFull {
			continue
		}
		name := quoteIdent(t.Schema) + "." + quoteIdent(t.Name)
		replicated := slices.ContainsFunc(t.Columns, func(c cdc.Column) bool { return c.Replicated })
		if !replicated && len(t.Key) > 0 {
			refused = append(refused, name)
			continue
		}
		if outside := k.outside(t); len(outside) > 0 && replicated {
			k.add(cdc.LevelWarning, "key_identity", fmt.Sprintf("columns of the record key of %s are not part of its replica identity (%s): a delete does not tell them and goes to the dead letters, and an update of the key leaves the older key behind", name, strings.Join(outside, ", ")),
				fmt.Sprintf("ALTER TABLE %s REPLICA IDENTITY FULL; or USING INDEX with an index that has them", name))
		}
	}
	k.each(cdc.LevelWarning, "replica_identity", refused, "%s has no primary key, only a unique index: while it is published, the server refuses UPDATE and DELETE of its rows",
		"ALTER TABLE %[1]s REPLICA IDENTITY USING INDEX …; or ALTER TABLE %[1]s REPLICA IDENTITY FULL; or leave it out by tables.exclude")
	return nil
}

// outside are the columns of a table's record key, the configured one or its own,
// that the replica identity lacks.
func (k *checker) outside(t *cdc.Table) []string {
	var names []string
	for _, i := range t.Key {
		names = append(names, t.Columns[i].Name)
	}
	if k.config.Rules != nil {
		if key := k.config.Rules(t).Key; key != nil {
			names = slices.Clone(key)
		}
	}
	return slices.DeleteFunc(names, func(name string) bool {
		return !slices.ContainsFunc(t.Columns, func(c cdc.Column) bool { return c.Name == name && !c.Replicated })
	})
}

// partitions looks for what attaching has left behind: neither ATTACH nor DETACH
// comes through the stream.
func (k *checker) partitions(ctx context.Context) error {
	if k.config.alters() && k.config.PublishViaRoot && k.publish.exists && !k.publish.viaRoot {
		k.add(cdc.LevelError, "publication", fmt.Sprintf("publication %q publishes partitions by their own names, and postgres.publication.via_root is true", k.config.Publication),
			fmt.Sprintf("ALTER PUBLICATION %s SET (publish_via_partition_root = true), from where on their changes go to other topics; or set via_root: false", quoteIdent(k.config.Publication)))
	}
	if !k.viaRoot() || !k.slotHere {
		return nil
	}
	for _, t := range k.found {
		rows, _ := k.conn.Query(ctx, `SELECT t.relid::regclass::text FROM pg_partition_tree($1) t JOIN pg_inherits i ON i.inhrelid = t.relid
			WHERE t.level > 0 AND t.isleaf AND i.xmin <> `+made("t.relid")+` ORDER BY 1`, t.OID)
		attached, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return fmt.Errorf("read the partitions of %s: %w", t, err)
		}
		if len(attached) > 0 {
			k.add(cdc.LevelInfo, "partitions", fmt.Sprintf("partitions were attached to %s.%s after they were made: %s; rows from before are in its topic only if the snapshot came later", quoteIdent(t.Schema), quoteIdent(t.Name), strings.Join(attached[:min(len(attached), maxTableFindings)], ", ")), "")
		}
	}
	return nil
}
