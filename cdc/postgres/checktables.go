package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/cdc"
)

// maxTableFindings bounds the findings of one kind.
const maxTableFindings = 50

// publicationFacts are what pg_publication says.
type publicationFacts struct {
	exists                        bool
	all, insert, update, remove   bool
	ownedByUs, mayCreate, viaRoot bool
}

func (k *checker) publication(ctx context.Context) error {
	p := &k.publish
	err := k.conn.QueryRow(ctx, `SELECT puballtables, pubinsert, pubupdate, pubdelete, pubviaroot, pg_has_role(current_user, pubowner, 'usage')
		FROM pg_publication WHERE pubname = $1`, k.config.Publication).Scan(&p.all, &p.insert, &p.update, &p.remove, &p.viaRoot, &p.ownedByUs)
	p.exists = err == nil
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("read publication %q: %w", k.config.Publication, err)
	}
	if err := k.conn.QueryRow(ctx, "SELECT has_database_privilege(current_database(), 'CREATE')").Scan(&p.mayCreate); err != nil {
		return fmt.Errorf("read the privileges on the database: %w", err)
	}
	name := k.config.Publication
	if !p.exists {
		p.insert, p.update, p.remove = true, true, true // as CREATE PUBLICATION has it
		k.missingPublication(name)
		return nil
	}
	var lacks []string
	for what, published := range map[string]bool{"insert": p.insert, "update": p.update, "delete": p.remove} {
		if !published {
			lacks = append(lacks, what)
		}
	}
	if slices.Sort(lacks); len(lacks) > 0 {
		k.add(cdc.LevelWarning, "publication", fmt.Sprintf("publication %q leaves out every %s", name, strings.Join(lacks, " and ")),
			"ALTER PUBLICATION "+quoteIdent(name)+" SET (publish = 'insert, update, delete, truncate');")
	}
	return nil
}

func (k *checker) missingPublication(name string) {
	switch {
	case k.config.Adopt:
		k.add(cdc.LevelError, "publication", fmt.Sprintf("publication %q does not exist, and postgres.slot.adopt is true, so it should be the one that Debezium made", name),
			"set postgres.publication.name to the connector's publication.name")
	case !k.config.CreatePublication:
		k.add(cdc.LevelError, "publication", fmt.Sprintf("publication %q does not exist, and postgres.publication.create is false", name),
			"CREATE PUBLICATION "+quoteIdent(name)+" FOR TABLE …;")
	case !k.publish.mayCreate:
		k.add(cdc.LevelError, "publication", fmt.Sprintf("publication %q does not exist, and user %q may not create one", name, k.user),
			"GRANT CREATE ON DATABASE "+quoteIdent(k.conn.Config().Database)+" TO "+quoteIdent(k.user)+"; or create it as the tables' owner: CREATE PUBLICATION "+quoteIdent(name)+" FOR TABLE …;")
	default:
		k.add(cdc.LevelInfo, "publication", fmt.Sprintf("publication %q does not exist; relay run makes it", name), "")
	}
}

// tables looks at each table that is published or would be.
func (k *checker) tables(ctx context.Context) error {
	catalog := NewCatalog(k.conn)
	catalog.Publication, catalog.Roots = k.config.Publication, k.viaRoot()
	matched, err := catalog.Match(ctx, k.config.Include, k.config.Exclude)
	if err != nil {
		return err
	}
	if len(matched) == 0 {
		k.add(cdc.LevelWarning, "tables", "no table matches tables.include and tables.exclude", "correct the patterns, unless the tables are still to come")
		return nil
	}
	if err := k.covered(ctx, catalog); err != nil {
		return err
	}
	facts, err := k.tableFacts(ctx, matched)
	if err != nil {
		return err
	}
	published, err := catalog.Tables(ctx, k.config.Publication)
	if err != nil {
		return err
	}
	var keyless, nothing, stuck, unreadable, hidden []string
	for _, m := range matched {
		t, err := catalog.Table(ctx, m.OID)
		if err != nil {
			return err
		}
		if t == nil {
			continue // dropped in between
		}
		k.found = append(k.found, t)
		name := quoteIdent(t.Schema) + "." + quoteIdent(t.Name)
		switch {
		case t.Identity == cdc.IdentityNothing && slices.ContainsFunc(published, func(p Published) bool { return p.OID == m.OID }):
			stuck = append(stuck, name)
		case t.Identity == cdc.IdentityNothing:
			nothing = append(nothing, name)
		case len(t.Key) == 0:
			keyless = append(keyless, name)
		}
		switch f := facts[m.OID]; {
		case k.options.Snapshot && !f.readable:
			unreadable = append(unreadable, name)
		case k.options.Snapshot && f.rowSecurity:
			hidden = append(hidden, name)
		}
	}
	k.add(cdc.LevelInfo, "tables", fmt.Sprintf("%d tables match", len(matched)), "")
	k.each(cdc.LevelWarning, "table_key", keyless, "%s has no key: its records have none, all in one partition; unless its replica identity is FULL, the server refuses UPDATE and DELETE while it is published",
		"ALTER TABLE %[1]s ADD PRIMARY KEY (…); or ALTER TABLE %[1]s REPLICA IDENTITY FULL; or leave it out by tables.exclude")
	// What a publication does already, a relay that stays away does not mend.
	const refuses = "%s has REPLICA IDENTITY NOTHING: while it is published, the server refuses UPDATE and DELETE of its rows"
	const remedy = "ALTER TABLE %[1]s REPLICA IDENTITY DEFAULT; or leave it out by tables.exclude"
	level := cdc.LevelWarning
	if (k.publish.update || k.publish.remove) && k.config.alters() && !k.publish.all {
		level = cdc.LevelError
	}
	k.each(level, "replica_identity", nothing, refuses, remedy)
	k.each(cdc.LevelWarning, "replica_identity", stuck, refuses, remedy)
	k.each(cdc.LevelError, "select", unreadable, "user "+strings.ReplaceAll(quoteIdent(k.user), "%", "%%")+" may not read %s for the snapshot",
		"GRANT SELECT ON %[1]s TO "+strings.ReplaceAll(quoteIdent(k.user), "%", "%%")+"; and USAGE on its schema")
	k.each(cdc.LevelError, "row_security", hidden, "row security hides rows of %s from the snapshot",
		"ALTER ROLE "+strings.ReplaceAll(quoteIdent(k.user), "%", "%%")+" BYPASSRLS;")
	return nil
}

// each adds one finding for each table, up to a number.
func (k *checker) each(level cdc.Level, check string, tables []string, what, remedy string) {
	for i, t := range tables {
		if i == maxTableFindings {
			k.add(level, check, fmt.Sprintf("and %d more tables like that", len(tables)-i), "the same for each")
			return
		}
		k.add(level, check, fmt.Sprintf(what, t), fmt.Sprintf(remedy, t))
	}
}

// covered compares the publication with the patterns.
func (k *checker) covered(ctx context.Context, catalog *Catalog) error {
	missing, err := catalog.additions(ctx, &k.config, k.viaRoot())
	if cdc.Stopped(err) {
		return nil // what stops it is a finding of filters
	}
	if err != nil {
		return err
	}
	if len(missing) == 0 {
		k.add(cdc.LevelInfo, "publication", fmt.Sprintf("publication %q covers every matching table", k.config.Publication), "")
		return nil
	}
	list := tableList(missing[:min(len(missing), maxTableFindings)])
	sql := "ALTER PUBLICATION " + quoteIdent(k.config.Publication) + " ADD TABLE " + k.config.list(missing[:min(len(missing), maxTableFindings)]) + ";"
	if !k.publish.exists {
		sql = "CREATE PUBLICATION " + quoteIdent(k.config.Publication) + " FOR TABLE " + k.config.list(missing[:min(len(missing), maxTableFindings)]) + ";"
	}
	if !k.config.alters() {
		if k.publish.exists {
			k.add(cdc.LevelWarning, "publication", fmt.Sprintf("publication %q lacks matching tables: %s; their changes are not published", k.config.Publication, list), sql)
		}
		return nil
	}
	foreign, err := k.notOwned(ctx, missing)
	if err != nil {
		return err
	}
	level := cdc.LevelError
	if k.publish.exists { // the tables that it has must not wait for this one
		level = cdc.LevelWarning
	}
	switch {
	case len(foreign) > 0:
		k.add(level, "publication", fmt.Sprintf("user %q does not own %s, and only a table's owner can add it to a publication", k.user, tableList(foreign[:min(len(foreign), maxTableFindings)])),
			"as their owner: "+sql+" or GRANT <owner> TO "+quoteIdent(k.user)+";")
	case k.publish.exists && !k.publish.ownedByUs:
		k.add(level, "publication", fmt.Sprintf("publication %q lacks matching tables, and user %q does not own it", k.config.Publication, k.user), sql)
	case k.publish.exists:
		k.add(cdc.LevelInfo, "publication", fmt.Sprintf("relay run adds to publication %q: %s", k.config.Publication, list), "")
	}
	return nil
}

func (k *checker) notOwned(ctx context.Context, tables []Published) ([]Published, error) {
	rows, _ := k.conn.Query(ctx, "SELECT oid FROM pg_class WHERE oid = ANY ($1) AND NOT pg_has_role(current_user, relowner, 'usage')", oids(tables))
	not, err := pgx.CollectRows(rows, pgx.RowTo[uint32])
	if err != nil {
		return nil, fmt.Errorf("read the tables' owners: %w", err)
	}
	return slices.DeleteFunc(slices.Clone(tables), func(t Published) bool { return !slices.Contains(not, t.OID) }), nil
}

type tableAccess struct{ readable, rowSecurity bool }

func (k *checker) tableFacts(ctx context.Context, tables []Published) (map[uint32]tableAccess, error) {
	facts := map[uint32]tableAccess{}
	rows, _ := k.conn.Query(ctx, `SELECT oid, has_schema_privilege(relnamespace, 'USAGE') AND (has_table_privilege(oid, 'SELECT') OR has_any_column_privilege(oid, 'SELECT')), row_security_active(oid)
		FROM pg_class WHERE oid = ANY ($1)`, oids(tables))
	var oid uint32
	var f tableAccess
	_, err := pgx.ForEachRow(rows, []any{&oid, &f.readable, &f.rowSecurity}, func() error {
		facts[oid] = f
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the privileges on the tables: %w", err)
	}
	return facts, nil
}

func oids(tables []Published) []uint32 {
	list := make([]uint32, len(tables))
	for i, t := range tables {
		list[i] = t.OID
	}
	return list
}
