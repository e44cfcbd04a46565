package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/sinks"
)

// Trace is what the sink knows of one row's position.
type Trace struct {
	Target     string // schema.table, quoted where names need it
	Key        string // the text that sinks.RowKey makes; of a long key a digest
	Generation int64
	Pos        string
	Expires    time.Time       // of a deleted row: until when its position is kept; zero: it is there
	Row        json.RawMessage // where one row is asked for: its columns; nil: it is not there, or not known
}

// ParkedRow is a row whose changes go to the dead-letter topic.
type ParkedRow struct {
	sinks.Park
	Topic           string
	Partition       int32
	Since, LastSeen time.Time
}

// Traces gives the positions of rows to f, target by target: of all, or of those with
// one key. Target tables are those with the version columns, whichever pipeline writes
// them. It changes nothing, and finds nothing where the pipeline has never run.
func (s *Sink) Traces(ctx context.Context, key string, f func(Trace) error) error {
	return s.look(ctx, func(conn *pgx.Conn) error {
		targets, err := versioned(ctx, conn)
		if err != nil {
			return err
		}
		for _, t := range targets {
			if err := t.traces(ctx, conn, key, f); err != nil {
				return err
			}
		}
		for _, sql := range []string{
			"SELECT target, key, generation, pos, NULL::timestamptz FROM " + s.state + ".versions WHERE $2::text = '' OR key = $2 ORDER BY target, key, $1::text",
			"SELECT target, key, generation, pos, expires FROM " + s.state + ".tombstones WHERE pipeline = $1 AND ($2::text = '' OR key = $2) ORDER BY target, key",
		} {
			rows, err := conn.Query(ctx, sql, s.cfg.Pipeline, key)
			if err != nil {
				return err
			}
			var t Trace
			var expires *time.Time
			if _, err = pgx.ForEachRow(rows, []any{&t.Target, &t.Key, &t.Generation, &t.Pos, &expires}, func() error {
				if t.Expires = (time.Time{}); expires != nil {
					t.Expires = expires.UTC()
				}
				return f(t)
			}); err != nil {
				return err
			}
		}
		return nil
	})
}

// ParkedRows are the pipeline's parked rows.
func (s *Sink) ParkedRows(ctx context.Context) ([]ParkedRow, error) {
	var out []ParkedRow
	err := s.look(ctx, func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, "SELECT topic, partition, key, class, first_id, count, since, last_seen FROM "+s.state+".parked WHERE pipeline = $1 ORDER BY topic, partition, since", s.cfg.Pipeline)
		if err != nil {
			return err
		}
		var p ParkedRow
		var key []byte
		_, err = pgx.ForEachRow(rows, []any{&p.Topic, &p.Partition, &key, &p.Class, &p.FirstID, &p.Count, &p.Since, &p.LastSeen}, func() error {
			copy(p.Key[:], key)
			p.Since, p.LastSeen = p.Since.UTC(), p.LastSeen.UTC()
			out = append(out, p)
			return nil
		})
		return err
	})
	return out, err
}

// AllStates gives the state of all partitions to take, one partition after the other.
func (s *Sink) AllStates(ctx context.Context, take func(number int32, key, value []byte) error) error {
	return s.look(ctx, func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, "SELECT partition, key, value FROM "+s.state+".state WHERE pipeline = $1 ORDER BY partition", s.cfg.Pipeline)
		if err != nil {
			return err
		}
		var number int32
		var key, value []byte
		_, err = pgx.ForEachRow(rows, []any{&number, &key, &value}, func() error {
			err := take(number, key, value)
			key, value = nil, nil
			return err
		})
		return err
	})
}

// look lends a connection for reading, and takes a state schema or a table of it that
// is not there as an empty one.
func (s *Sink) look(ctx context.Context, f func(*pgx.Conn) error) error {
	conn, err := s.pool.acquire(ctx)
	if err != nil {
		return judge(fmt.Errorf("look at schema %s: %w", s.state, err))
	}
	defer s.pool.release(conn)
	err = f(conn)
	var pg *pgconn.PgError
	switch {
	case err == nil, errors.As(err, &pg) && (pg.Code == "42P01" || pg.Code == "3F000"):
		return nil
	}
	return judge(fmt.Errorf("look at schema %s: %w", s.state, err))
}

// versionedTable is a table with the version columns.
type versionedTable struct {
	name  string // quoted
	key   []string
	types []string // of key
}

// versioned lists the tables with the version columns, with their keys: the primary
// key, in its order.
func versioned(ctx context.Context, conn *pgx.Conn) ([]versionedTable, error) {
	rows, err := conn.Query(ctx, `SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname), array_agg(a.attname::text ORDER BY array_position(i.indkey::int2[], a.attnum)), array_agg(format_type(a.atttypid, -1) ORDER BY array_position(i.indkey::int2[], a.attnum))
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
		JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey::int2[])
		WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
		AND (SELECT count(*) FROM pg_attribute v WHERE v.attrelid = c.oid AND v.attname IN ($1, $2) AND NOT v.attisdropped) = 2
		GROUP BY n.nspname, c.relname ORDER BY 1`, genColumn, posColumn)
	if err != nil {
		return nil, err
	}
	var out []versionedTable
	var t versionedTable
	_, err = pgx.ForEachRow(rows, []any{&t.name, &t.key, &t.types}, func() error {
		if !slices.Equal(t.key, []string{posColumn}) { // rows without key have one position each, their own
			out = append(out, versionedTable{t.name, slices.Clone(t.key), slices.Clone(t.types)})
		}
		return nil
	})
	return out, err
}

// traces gives the table's rows to f. One that is asked for has its columns with it.
func (t *versionedTable) traces(ctx context.Context, conn *pgx.Conn, key string, f func(Trace) error) error {
	columns := make([]string, len(t.key))
	for i, name := range t.key {
		columns[i] = "t." + quote(name) + "::text"
	}
	row, where, args := "NULL::json", "", []any(nil)
	if key != "" {
		var values []*string
		if err := json.Unmarshal([]byte(key), &values); err != nil || len(values) != len(t.key) {
			return nil // no key of this table
		}
		row = "row_to_json(t)"
		for i, v := range values {
			where += map[bool]string{true: " WHERE ", false: " AND "}[i == 0] + "t." + quote(t.key[i]) + " = $" + strconv.Itoa(i+1) + "::text::" + t.types[i]
			args = append(args, v)
		}
	}
	rows, err := conn.Query(ctx, "SELECT ARRAY["+strings.Join(columns, ", ")+"], "+genColumn+", "+posColumn+", "+row+" FROM "+t.name+" AS t"+where, args...)
	if err != nil {
		return err
	}
	var values []string
	var generation *int64
	var pos *string
	var found []byte
	_, err = pgx.ForEachRow(rows, []any{&values, &generation, &pos, &found}, func() error {
		if generation == nil || pos == nil {
			return nil // not written by a pipeline
		}
		trace := Trace{Target: t.name, Key: rowKeyOf(values), Generation: *generation, Pos: *pos}
		if found != nil {
			trace.Row = slices.Clone(found)
		}
		found, values = nil, nil
		return f(trace)
	})
	var pg *pgconn.PgError
	if key != "" && errors.As(err, &pg) && strings.HasPrefix(pg.Code, "22") {
		return nil // the text is no value of the key's type
	}
	return err
}

// rowKeyOf is the text that sinks.RowKey makes of a key's values.
func rowKeyOf(values []string) string {
	key := make([]cdc.Value, len(values))
	for i, v := range values {
		key[i] = cdc.Value{State: cdc.Text, Data: []byte(v)}
	}
	return sinks.RowKey(key)
}
