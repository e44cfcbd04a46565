package postgres

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tailrace/tailrace/sinks"
)

// judge turns an error of the server into the taxonomy of package sinks, by
// SQLSTATE (PostgreSQL documentation, appendix A). An error that is no answer
// of the server is the connection's, and transient.
//
// The server's own text may hold values of the row ("invalid input syntax for
// type integer: …"); only names are taken from it.
func judge(err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return err
	}
	if record := recordError(pg); record != nil {
		return record
	}
	next, systemic := remedies[pg.Code]
	if !systemic {
		next, systemic = remedies[pg.Code[:2]]
	}
	if systemic {
		return &sinks.SystemicError{Err: err, Next: next}
	}
	return err
}

// recordError is nil when the record is not to blame.
func recordError(pg *pgconn.PgError) *sinks.RecordError {
	class := sinks.Class("")
	switch {
	case pg.Code == "54000" || pg.Code == "22001":
		class = sinks.ClassTooLarge
		if pg.Code == "22001" {
			class = sinks.ClassConstraint
		}
	case strings.HasPrefix(pg.Code, "22"), strings.HasPrefix(pg.Code, "23"), strings.HasPrefix(pg.Code, "44"), pg.Code == "P0001":
		class = sinks.ClassConstraint
	case pg.Code == "42804", pg.Code == "42846", pg.Code == "428C9":
		class = sinks.ClassMapping
	case strings.HasPrefix(pg.Code, "21"), strings.HasPrefix(pg.Code, "38"), strings.HasPrefix(pg.Code, "39"):
		class = sinks.ClassUnknown
	default:
		return nil
	}
	return &sinks.RecordError{Class: class, Code: pg.Code, Reason: describe(pg)}
}

// describe names what the server refused, without its text.
func describe(pg *pgconn.PgError) string {
	s := conditions[pg.Code]
	if s == "" {
		s = "the sink refused the row"
	}
	for _, part := range []struct{ what, name string }{
		{"table", pg.TableName}, {"column", pg.ColumnName}, {"constraint", pg.ConstraintName}, {"type", pg.DataTypeName},
	} {
		if part.name != "" {
			s += fmt.Sprintf(", %s %q", part.what, part.name)
		}
	}
	return s
}

// conditions are the names of the codes that rows meet most.
var conditions = map[string]string{
	"22001": "a text is longer than its column",
	"22003": "a number is out of its column's range",
	"22007": "a date or time has a form that its column does not take",
	"22008": "a date or time is out of range",
	"22021": "a text has a character that the database's encoding lacks",
	"22P02": "a value has a form that its column does not take",
	"22P05": "a text has a character that the database's encoding lacks",
	"23502": "null in a column that is NOT NULL",
	"23503": "a foreign key has no row to point to",
	"23505": "a unique constraint is violated",
	"23514": "a check constraint is violated",
	"23P01": "an exclusion constraint is violated",
	"44000": "the view's check option is violated",
	"54000": "the row is too large for an index or a page",
	"P0001": "a trigger of the target raised an exception",
	"428C9": "a column of the target is generated and takes no value",
}

// remedies are the codes, and classes of codes, that no record causes and that
// are likely to stay until somebody acts. What is in neither list is transient:
// 40001 and 40P01 (retry), 55P03 (a lock), 57014, 0A000 after a change of a
// table, and classes 08 and 57 (the server is away).
var remedies = map[string]string{
	"28":    "check the user and the password of sink.postgres.url",
	"3D":    "create the database that sink.postgres.url names",
	"42":    "the target or its statement is not as expected; compare the target table with the source",
	"42501": "grant the user of sink.postgres.url the right to it",
	"42P10": "create a unique index on the key columns of the target table",
	"53":    "the server is out of a resource: disk, memory or connections",
	"53300": "raise max_connections, or lower limits.parallel",
	"55000": "",
	"25006": "the server is read-only: name the primary in sink.postgres.url, or add target_session_attrs=read-write",
	"58":    "see the server's log",
	"F0":    "see the server's configuration",
	"XX":    "see the server's log",
}

// outdated tells that the catalog is not as cached, so that it must be read anew.
func outdated(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return false
	}
	switch pg.Code {
	case "42703", "42P01", "42P10", "42804", "42846", "42704", "3F000", "0A000", "428C9", "26000":
		return true
	}
	return false
}
