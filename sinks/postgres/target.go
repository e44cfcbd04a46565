package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/sinks"
)

// The columns that keep a row's position in the row.
const (
	genColumn = "_tailrace_gen"
	posColumn = "_tailrace_pos"
)

// table is a target table as the catalog had it. It is immutable.
type table struct {
	name    string            // quoted
	columns map[string]column // by name as it is
	uniques [][]string        // the columns of each unique index, sorted
	inRow   bool              // it has the version columns
}

type column struct {
	declared string // with its modifier: numeric(10,2)
	cast     string // without: numeric, so that an assignment judges the value
}

// tables caches target tables, and which shapes were found to fit them. Safe
// for concurrent use.
type tables struct {
	mode SchemaMode

	mu    sync.Mutex // guards the following
	known map[string]*entry
}

type entry struct {
	table *table
	fits  map[*sinks.Shape]bool
}

func newTables(mode SchemaMode) *tables { return &tables{mode: mode, known: map[string]*entry{}} }

// forget drops what is known of all tables; the catalog is asked again.
func (ts *tables) forget() {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	clear(ts.known)
}

func (ts *tables) get(name string, shape *sinks.Shape) (*table, bool) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	e := ts.known[name]
	if e == nil || !e.fits[shape] {
		return nil, false
	}
	return e.table, true
}

// find returns a table as it is, nil when there is none, and the columns of its
// rows' key in the key's order: as rows have shown it, or as the only possible.
func (ts *tables) find(ctx context.Context, conn *pgx.Conn, name string) (*table, []string, error) {
	ts.mu.Lock()
	e := ts.known[name]
	ts.mu.Unlock()
	if e != nil {
		if key := e.key(); key != nil || e.table.inRow {
			return e.table, key, nil
		}
	}
	t, err := load(ctx, conn, name)
	if err != nil || t == nil {
		return nil, nil, err
	}
	if len(t.uniques) == 1 && len(t.uniques[0]) == 1 {
		return t, t.uniques[0], nil
	}
	return t, nil, nil
}

func (e *entry) key() []string {
	for shape := range e.fits {
		if len(shape.Key) > 0 {
			return keyNames(shape)
		}
	}
	return nil
}

func (ts *tables) put(t *table, shape *sinks.Shape) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	e := ts.known[t.name]
	if e == nil || e.table != t {
		e = &entry{table: t, fits: map[*sinks.Shape]bool{}}
		ts.known[t.name] = e
	}
	e.fits[shape] = true
}

// ready returns the target of o's rows once it fits shape, and makes it fit
// under schema: add. A *RecordError says that rows of this shape have no place.
func (ts *tables) ready(ctx context.Context, conn *pgx.Conn, name string, origin *sinks.Origin, shape *sinks.Shape) (*table, error) {
	if t, ok := ts.get(name, shape); ok {
		return t, nil
	}
	for _, c := range shape.Columns {
		if c.Name == genColumn || c.Name == posColumn {
			return nil, mapping(origin, fmt.Sprintf("column %q has a name that the sink needs for itself", c.Name), "leave the column out at the relay (columns.exclude)")
		}
	}
	t, err := load(ctx, conn, name)
	if err != nil {
		return nil, err
	}
	if ts.mode == SchemaAdd && (t == nil || len(missing(t, shape)) > 0) {
		if t, err = extend(ctx, conn, name, shape); err != nil {
			return nil, err
		}
	}
	if t == nil {
		return nil, &sinks.SystemicError{Err: fmt.Errorf("target table %s of %s does not exist", name, origin), Next: "create it, or set sink.postgres.schema: add"}
	}
	if err := ts.check(t, origin, shape); err != nil {
		return nil, err
	}
	ts.put(t, shape)
	return t, nil
}

// check compares a table with a shape.
func (ts *tables) check(t *table, origin *sinks.Origin, shape *sinks.Shape) error {
	for _, c := range shape.Columns {
		have, ok := t.columns[c.Name]
		if !ok {
			return mapping(origin, fmt.Sprintf("target table %s has no column %q", t.name, c.Name), "add the column, or set sink.postgres.schema: add")
		}
		if ts.mode != SchemaNone && !takes(have.declared, c) {
			return mapping(origin, fmt.Sprintf("column %q of target table %s is %s, and its values are %s", c.Name, t.name, have.declared, columnType(c)),
				fmt.Sprintf("ALTER TABLE %s ALTER COLUMN %s TYPE %s", t.name, quote(c.Name), columnType(c)))
		}
	}
	if len(shape.Key) == 0 {
		return nil
	}
	key := keyNames(shape)
	slices.Sort(key)
	for _, u := range t.uniques {
		if slices.Equal(u, key) {
			return nil
		}
	}
	return &sinks.SystemicError{
		Err:  fmt.Errorf("target table %s has no unique index on the key of %s (%s)", t.name, origin, strings.Join(key, ", ")),
		Next: "create one, without a predicate; rows are found by it",
	}
}

func mapping(o *sinks.Origin, reason, next string) *sinks.RecordError {
	return &sinks.RecordError{Class: sinks.ClassMapping, Reason: o.String() + ": " + reason, Next: next}
}

func keyNames(s *sinks.Shape) []string {
	names := make([]string, len(s.Key))
	for i, k := range s.Key {
		names[i] = s.Columns[k].Name
	}
	return names
}

// missing lists the columns that t lacks of shape, the version columns included.
func missing(t *table, shape *sinks.Shape) []string {
	var add []string
	for _, c := range shape.Columns {
		if _, ok := t.columns[c.Name]; !ok {
			add = append(add, quote(c.Name)+" "+columnType(c))
		}
	}
	if _, ok := t.columns[genColumn]; !ok {
		add = append(add, genColumn+" bigint")
	}
	if _, ok := t.columns[posColumn]; !ok {
		add = append(add, posColumn+` text COLLATE "C"`)
	}
	return add
}

// load reads a table from the catalog; nil when there is none.
func load(ctx context.Context, conn *pgx.Conn, name string) (*table, error) {
	t := &table{name: name, columns: map[string]column{}}
	rows, err := conn.Query(ctx, `SELECT attname::text, format_type(atttypid, atttypmod), format_type(atttypid, -1)
		FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped`, name)
	if err != nil {
		return nil, fmt.Errorf("read target table %s: %w", name, err)
	}
	var attname string
	var c column
	if _, err := pgx.ForEachRow(rows, []any{&attname, &c.declared, &c.cast}, func() error {
		t.columns[attname] = c
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read target table %s: %w", name, err)
	}
	if len(t.columns) == 0 {
		return nil, nil
	}
	_, gen := t.columns[genColumn]
	_, pos := t.columns[posColumn]
	t.inRow = gen && pos
	rows, err = conn.Query(ctx, `SELECT array_agg(a.attname::text ORDER BY a.attname::text COLLATE "C") FROM pg_index i
		JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])
		WHERE i.indrelid = to_regclass($1) AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
		GROUP BY i.indexrelid`, name)
	if err != nil {
		return nil, fmt.Errorf("read indexes of %s: %w", name, err)
	}
	var unique []string
	if _, err := pgx.ForEachRow(rows, []any{&unique}, func() error {
		t.uniques = append(t.uniques, slices.Clone(unique))
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read indexes of %s: %w", name, err)
	}
	return t, nil
}

// ddlLock is the advisory lock under which instances create and extend tables:
// IF NOT EXISTS alone still fails when two of them run at once.
const ddlLock = `SELECT pg_advisory_xact_lock(hashtextextended('tailrace ddl', 0))`

// extend creates a table for shape, or adds what it lacks, and reads it again.
func extend(ctx context.Context, conn *pgx.Conn, name string, shape *sinks.Shape) (*table, error) {
	var t *table
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, ddlLock); err != nil {
			return err
		}
		var err error
		if t, err = load(ctx, conn, name); err != nil {
			return err
		}
		if t == nil {
			if err := createSchema(ctx, tx, schemaOf(name)); err != nil {
				return err
			}
			_, err = tx.Exec(ctx, createTable(name, shape))
		} else if add := missing(t, shape); len(add) > 0 {
			_, err = tx.Exec(ctx, "ALTER TABLE "+name+" ADD COLUMN "+strings.Join(add, ", ADD COLUMN "))
		}
		if err != nil {
			return err
		}
		t, err = load(ctx, conn, name)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("create or extend target table %s: %w", name, err)
	}
	return t, nil
}

// schemaOf is the first of the two quoted names.
func schemaOf(name string) string {
	for i := 1; i < len(name); i++ {
		if name[i] != '"' {
			continue
		}
		if i+1 == len(name) || name[i+1] != '"' {
			return name[:i+1]
		}
		i++ // a doubled quote belongs to the name
	}
	return name
}

// createSchema makes a schema unless it is there: the statement itself asks for
// the right to create one even when there is nothing to create.
func createSchema(ctx context.Context, tx pgx.Tx, quoted string) error {
	var exists bool
	if err := tx.QueryRow(ctx, "SELECT to_regnamespace($1) IS NOT NULL", quoted).Scan(&exists); err != nil || exists {
		return err
	}
	_, err := tx.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+quoted)
	return err
}

func createTable(name string, shape *sinks.Shape) string {
	var defs []string
	for i, c := range shape.Columns {
		def := quote(c.Name) + " " + columnType(c)
		if slices.Contains(shape.Key, i) {
			def += " NOT NULL"
		}
		defs = append(defs, def)
	}
	defs = append(defs, genColumn+" bigint NOT NULL", posColumn+` text COLLATE "C" NOT NULL`)
	key := []string{posColumn}
	if len(shape.Key) > 0 {
		key = key[:0]
		for _, n := range keyNames(shape) {
			key = append(key, quote(n))
		}
	}
	defs = append(defs, "PRIMARY KEY ("+strings.Join(key, ", ")+")")
	return "CREATE TABLE " + name + " (" + strings.Join(defs, ", ") + ")"
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }
