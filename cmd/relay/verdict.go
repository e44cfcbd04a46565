package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/cdc/postgres"
	"github.com/tailrace/tailrace/internal/ops"
	"github.com/tailrace/tailrace/schema"
	"github.com/tailrace/tailrace/schema/registry"
)

// namedTables are the published tables of these names, or all, as the catalog has
// them now.
func (s *settings) namedTables(ctx context.Context, names []string) (*ruleBook, []*cdc.Table, error) {
	for _, name := range names {
		if !strings.Contains(name, ".") {
			return nil, nil, ops.Usage(fmt.Errorf("table %s: want schema.table, such as public.%s", name, name))
		}
	}
	book, err := s.ruleBook()
	if err != nil {
		return nil, nil, ops.Usage(err)
	}
	log, err := ops.NewLogger(os.Stderr, "error", "text")
	if err != nil {
		return nil, nil, err
	}
	config := s.postgresConfig(log, book)
	conn, err := postgres.Connect(ctx, config)
	if err != nil {
		return nil, nil, fmt.Errorf("%w; start PostgreSQL, or correct postgres.url and the password", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	catalog := postgres.NewCatalog(conn)
	catalog.Publication = config.Publication
	if catalog.Roots, err = viaRoot(ctx, conn, config); err != nil {
		return nil, nil, err
	}
	matched, err := catalog.Match(ctx, config.Include, config.Exclude)
	if err != nil {
		return nil, nil, err
	}
	var tables []*cdc.Table
	var known []string
	for _, m := range matched {
		name := m.Schema + "." + m.Name
		known = append(known, name)
		if len(names) > 0 && !slices.Contains(names, name) {
			continue
		}
		t, err := catalog.Table(ctx, m.OID)
		if err != nil {
			return nil, nil, err
		}
		if t != nil {
			tables = append(tables, t)
		}
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, nil, fmt.Errorf("no table %s is published: it does not exist in the database, or tables.include and tables.exclude leave it out; there are: %s", name, some(known))
		}
	}
	return book, tables, nil
}

// viaRoot tells whether partitions are published by their root's name: as the
// publication says, or will.
func viaRoot(ctx context.Context, conn *pgx.Conn, c postgres.Config) (via bool, err error) {
	err = conn.QueryRow(ctx, "SELECT pubviaroot FROM pg_publication WHERE pubname = $1", c.Publication).Scan(&via)
	if errors.Is(err, pgx.ErrNoRows) {
		return c.PublishViaRoot, nil
	}
	if err != nil {
		return false, fmt.Errorf("look at publication %q: %w", c.Publication, err)
	}
	return via, nil
}

// some is a list that is short enough for a message.
func some(names []string) string {
	const most = 10
	switch {
	case len(names) == 0:
		return "none"
	case len(names) > most:
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}

// verdicts are what the registry says to the schemas of a table. An error means
// that it was not asked.
func (s *settings) verdicts(ctx context.Context, client *registry.Client, book *ruleBook, t *cdc.Table) ([]cdc.Finding, error) {
	if _, err := book.shaped(t); err != nil {
		return nil, nil // the rule book's findings say why
	}
	schemas, err := s.schemasOf(book, t)
	if err != nil {
		return []cdc.Finding{{Level: cdc.LevelError, Name: "schema", What: err.Error(), Remedy: "leave it out by tables.exclude"}}, nil
	}
	var findings []cdc.Finding
	for _, part := range schemas {
		v, err := client.Ask(ctx, part.Subject, part.text)
		if err != nil {
			return nil, err
		}
		f := part.finding(v, !s.Registry.AutoRegister)
		if f.Level == cdc.LevelError && s.Registry.AutoRegister && part.Part == "value" && t.Facts {
			wide, err := s.takesNullable(ctx, client, book, t)
			if err != nil {
				return nil, err
			}
			if wide {
				f.Level = cdc.LevelWarning
				f.What += "; it takes the same with every column outside the key nullable, which the relay then publishes"
				f.Remedy = "none is needed for the relay; drop NOT NULL in the table if consumers should know why"
			}
		}
		findings = append(findings, f)
	}
	return findings, nil
}

// takesNullable tells whether the registry takes the schema that the relay falls
// back to.
func (s *settings) takesNullable(ctx context.Context, client *registry.Client, book *ruleBook, t *cdc.Table) (bool, error) {
	schemas, err := s.schemasOf(book, schema.Nullable(t))
	if err != nil {
		return false, err
	}
	value := schemas[len(schemas)-1]
	v, err := client.Ask(ctx, value.Subject, value.text)
	return v.Compatible, err
}

func (t *tableSchema) finding(v registry.Verdict, mustExist bool) cdc.Finding {
	f := cdc.Finding{Level: cdc.LevelInfo, Name: "schema"}
	where := fmt.Sprintf("table %s, subject %s: ", t.Table, t.Subject)
	switch {
	case v.Registered:
		f.What = where + "the schema is registered already"
	case mustExist:
		f.Level, f.What = cdc.LevelError, where+"it does not have the schema, and registry.auto_register is off"
		f.Remedy = "register it (relay schema show prints it), or set registry.auto_register: true"
	case v.Compatible && v.Version == 0:
		f.What = where + "it is new"
	case v.Compatible:
		f.What = where + fmt.Sprintf("the registry takes the schema after version %d (%s)", v.Version, levelText(v.Level))
	default:
		f.Level = cdc.LevelError
		reasons := cmp.Or(strings.Join(v.Reasons, "; "), "no reason given")
		column := ""
		if c := schema.Blame(v.Level, t.text, []string{v.Latest}, v.Reasons); c != "" {
			column = fmt.Sprintf("column %q: ", c)
		}
		f.What = where + column + fmt.Sprintf("the registry refuses the schema after version %d (%s): %s", v.Version, levelText(v.Level), reasons)
		f.Remedy = "relay schema diff " + t.Table + " shows the change; undo or change it, or the subject's compatibility level; registry.on_incompatible says what the relay does otherwise"
	}
	return f
}
