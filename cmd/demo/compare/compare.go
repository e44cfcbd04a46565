// Package compare proves that tables of two databases are equal: each column of
// the source as text, against the other side's value cast to the source's type.
package compare

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Difference is one value, or one row, that is not equal.
type Difference struct {
	Table  string
	Key    string
	Column string // "*" when the row, "(table)" when the table is missing
	Source string // quoted, shortened; NULL or absent
	Sink   string
}

// String is the line that reports it.
func (d Difference) String() string {
	return strings.Join([]string{d.Table, d.Key, d.Column, d.Source, d.Sink}, " ")
}

// Result is what a comparison found.
type Result struct {
	Tables      int
	Rows        int64 // in the source
	SinkRows    int64
	Differences int64
	Lines       []Difference // the first of them
}

// Tables compares tables of schema public, all of whose columns the source has
// now. What the sink has besides, columns of its own and ones that the source
// has dropped, is not looked at. At most limit differences are returned.
func Tables(ctx context.Context, sourceURL, sinkURL string, names []string, limit int) (Result, error) {
	source, err := pgx.Connect(ctx, sourceURL)
	if err != nil {
		return Result{}, fmt.Errorf("compare: connect to the source: %w", err)
	}
	defer source.Close(context.WithoutCancel(ctx))
	sink, err := pgx.Connect(ctx, sinkURL)
	if err != nil {
		return Result{}, fmt.Errorf("compare: connect to the sink: %w", err)
	}
	defer sink.Close(context.WithoutCancel(ctx))
	c := comparison{source: source, sink: sink, limit: limit}
	for _, name := range names {
		if err := c.table(ctx, name); err != nil {
			return Result{}, fmt.Errorf("compare table %s: %w", name, err)
		}
	}
	return c.Result, nil
}

type comparison struct {
	Result
	source, sink *pgx.Conn
	limit        int
}

func (c *comparison) add(n int64, d ...Difference) {
	c.Differences += n
	c.Lines = append(c.Lines, d[:min(len(d), c.limit-len(c.Lines))]...)
}

func (c *comparison) table(ctx context.Context, name string) error {
	c.Tables++
	cols, err := columns(ctx, c.source, name)
	if err != nil {
		return err
	}
	var rows int64
	quoted := pgx.Identifier{"public", name}.Sanitize()
	if err := c.source.QueryRow(ctx, "SELECT count(*) FROM "+quoted).Scan(&rows); err != nil {
		return err
	}
	c.Rows += rows
	there, err := columns(ctx, c.sink, name)
	if err != nil {
		return err
	}
	if len(there) == 0 {
		if rows > 0 { // a table without rows may not have been made yet
			c.add(rows, Difference{name, "-", "(table)", fmt.Sprintf("%d rows", rows), "absent"})
		}
		return nil
	}
	var shared []column
	for _, col := range cols {
		if has(there, col.name) {
			shared = append(shared, col)
			continue
		}
		missing := int64(0)
		if err := c.source.QueryRow(ctx, fmt.Sprintf("SELECT count(%s) FROM %s", col.quoted(), quoted)).Scan(&missing); err != nil {
			return err
		}
		if missing > 0 { // a column of NULLs may not have been made yet
			c.add(missing, Difference{name, "-", col.name, fmt.Sprintf("%d values", missing), "absent"})
		}
	}
	if err := c.fetch(ctx, quoted, shared); err != nil {
		return err
	}
	return c.values(ctx, name, quoted, shared)
}

// fetch copies the sink's rows, as text, into a temporary table of the source.
func (c *comparison) fetch(ctx context.Context, quoted string, cols []column) error {
	var defs, texts []string
	for _, col := range cols {
		defs = append(defs, col.quoted()+" text")
		texts = append(texts, col.quoted()+"::text")
	}
	_, err := c.source.Exec(ctx, "DROP TABLE IF EXISTS pg_temp.sink; CREATE TEMP TABLE sink ("+strings.Join(defs, ", ")+")")
	if err != nil {
		return err
	}
	n, err := pipe(ctx, c.sink, "COPY (SELECT "+strings.Join(texts, ", ")+" FROM "+quoted+") TO STDOUT",
		c.source, "COPY pg_temp.sink FROM STDIN")
	if err != nil {
		return fmt.Errorf("copy the sink's rows: %w", err)
	}
	c.SinkRows += n
	_, err = c.source.Exec(ctx, "ANALYZE pg_temp.sink")
	return err
}

// values compares value by value. A value that the source's type refuses makes
// the whole query fail; then texts are compared with texts.
func (c *comparison) values(ctx context.Context, name, quoted string, cols []column) error {
	err := c.query(ctx, name, query(quoted, cols, func(col column) string { return "c." + col.quoted() + "::" + col.typ }))
	if err == nil || ctx.Err() != nil {
		return err
	}
	if again := c.query(ctx, name, query(quoted, cols, func(col column) string { return "c." + col.quoted() })); again != nil {
		return again
	}
	c.add(1, Difference{name, "-", "(table)", "a value of the sink cannot be cast", strconv.Quote(err.Error())})
	return nil
}

func (c *comparison) query(ctx context.Context, name, sql string) error {
	rows, err := c.source.Query(ctx, sql, c.limit)
	if err != nil {
		return err
	}
	defer rows.Close()
	var total int64
	var found []Difference
	for rows.Next() {
		d := Difference{Table: name}
		var source, sink *string
		if err := rows.Scan(&d.Key, &d.Column, &source, &sink, &total); err != nil {
			return err
		}
		d.Source, d.Sink = show(source), show(sink)
		if d.Column == "*" {
			d.Source, d.Sink = *source, *sink
		}
		found = append(found, d)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	c.add(total, found...)
	return nil
}

// show is a value for people: quoted, and its middle cut out when it is long.
func show(s *string) string {
	if s == nil {
		return "NULL"
	}
	if len(*s) > 120 {
		return fmt.Sprintf("%q…%q(%d bytes)", (*s)[:60], (*s)[len(*s)-40:], len(*s))
	}
	return strconv.Quote(*s)
}
