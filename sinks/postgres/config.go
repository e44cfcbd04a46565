package postgres

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/sinks"
)

// Config says where rows go and what may be changed there.
type Config struct {
	URL          string // libpq URL or keywords
	PasswordFile string // read before every connect; "" uses URL and libpq's variables
	// Table is the template of a target table's name: {schema}.{table}.
	Table string
	// Schema says what may be done to target tables.
	Schema SchemaMode
	// StateSchema holds offsets, tombstones, versions, parked and dead_letters.
	StateSchema string
	// Connections is how many batches are written at once.
	Connections int
	// Pipeline names the rows of the state tables that are this pipeline's own.
	Pipeline string
	// Retention is how long a deleted row's position is kept.
	Retention time.Duration
	// DropLate drops a change of a row that is not known and is as old as rows whose
	// positions were given up after Retention, as stale; else it is a record error.
	DropLate bool
	// LockTimeout ends the wait for a lock; the batch is then tried again.
	LockTimeout time.Duration
	// IdleTimeout is when the server ends a transaction whose owner is silent,
	// so that a hung one cannot hold a partition.
	IdleTimeout time.Duration
}

// SchemaMode says what the sink may do to target tables.
type SchemaMode string

// The modes.
const (
	SchemaNone     SchemaMode = "none"     // take tables as they are, cast to their types
	SchemaValidate SchemaMode = "validate" // and refuse a column that could change a value
	SchemaAdd      SchemaMode = "add"      // and create tables, add columns
)

// DefaultConfig is a Config with every optional field at its default.
func DefaultConfig() Config {
	return Config{
		Table: "{schema}.{table}", Schema: SchemaAdd, StateSchema: "tailrace", Connections: 4,
		Retention: 168 * time.Hour, LockTimeout: 20 * time.Second, IdleTimeout: 30 * time.Second,
	}
}

// Validate returns all problems, joined.
func (c Config) Validate() error {
	var errs []error
	if c.URL == "" {
		errs = append(errs, errors.New("url is required"))
	} else if _, err := pgx.ParseConfig(c.URL); err != nil {
		errs = append(errs, fmt.Errorf("url: %w", err)) // pgx hides the password
	}
	if _, err := parseTemplate(c.Table); err != nil {
		errs = append(errs, err)
	}
	switch c.Schema {
	case SchemaNone, SchemaValidate, SchemaAdd:
	default:
		errs = append(errs, fmt.Errorf("schema %q: want none, validate or add", c.Schema))
	}
	if c.StateSchema == "" {
		errs = append(errs, errors.New("state_schema is empty"))
	}
	if c.Pipeline == "" {
		errs = append(errs, errors.New("the pipeline has no name"))
	}
	if c.Connections < 1 {
		errs = append(errs, errors.New("connections: want at least 1"))
	}
	return errors.Join(errs...)
}

// template makes target names. Its dot separates schema and table; dots within
// a value are part of a name.
type template []string

func parseTemplate(s string) (template, error) {
	parts := strings.Split(s, ".")
	if s == "" || len(parts) > 2 {
		return nil, fmt.Errorf("table %q: want a table, or a schema and a table with a dot between", s)
	}
	for _, p := range parts {
		rest := placeholders(&sinks.Origin{}).Replace(p)
		if strings.ContainsAny(rest, "{}") {
			return nil, fmt.Errorf("table %q: want the placeholders {db} {name} {schema} {table} {topic}", s)
		}
		if p == "" {
			return nil, fmt.Errorf("table %q: a name is empty", s)
		}
	}
	return parts, nil
}

func placeholders(o *sinks.Origin) *strings.Replacer {
	return strings.NewReplacer("{db}", o.Database, "{name}", o.Name, "{schema}", o.Schema, "{table}", o.Table, "{topic}", o.Topic)
}

// target is the quoted name of the table that rows of o go to.
func (t template) target(o *sinks.Origin) string {
	r := placeholders(o)
	names := pgx.Identifier{"public"}
	if len(t) == 2 {
		names[0] = r.Replace(t[0])
	}
	return append(names, r.Replace(t[len(t)-1])).Sanitize()
}
