package clients

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/internal/embedded/pgtest"
	"github.com/tailrace/tailrace/internal/embedded/real"
)

// notForSink is a column that the sink can write only where PostGIS is.
const notForSink = "p"

// sink has Debezium's JDBC sink write the topic into a table of another database,
// and compares that table with ours.
func (s *source) sink(t *testing.T, parts real.Parts) {
	if err := errors.Join(parts.InstallConnect(t.Context(), t.Logf), parts.InstallJDBC(t.Context(), t.Logf)); err != nil {
		skipUnreachable(t, err, err.Error())
		t.Fatal(err)
	}
	connect, err := parts.StartConnect(t.Context(), filepath.Join(t.TempDir(), "connect"), s.kafka)
	if err != nil {
		t.Fatal(err)
	}
	defer connect.Kill()
	target, err := pgx.Connect(t.Context(), pgtest.NewDatabase(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = target.Close(context.Background()) }()
	c := target.Config()
	config := real.AvroConverter(s.registry)
	maps.Copy(config, map[string]string{
		"connector.class": real.JDBCSinkConnector, "tasks.max": "1", "topics": s.topic,
		"connection.url":      fmt.Sprintf("jdbc:postgresql://%s:%d/%s", c.Host, c.Port, c.Database),
		"connection.username": c.User, "connection.password": c.Password,
		"collection.name.format": "things", "schema.evolution": "basic",
		"field.exclude.list": s.topic + ":" + notForSink,
		"primary.key.mode":   "record_key", "insert.mode": "upsert", "delete.enabled": "true",
		"use.reduction.buffer": "true", "batch.size": "5000", // its UNNEST form cannot write arrays
		"consumer.override.isolation.level": "read_committed", "consumer.override.auto.offset.reset": "earliest",
	})
	if err := connect.Create(t.Context(), s.connector(), config); err != nil {
		t.Fatal(err)
	}
	s.awaitLast(t, connect, target)
	_, err = target.Exec(t.Context(), "CREATE TYPE mood AS ENUM ('sad', 'ok')")
	if err != nil {
		t.Fatal(err)
	}
	want, got := texts(t, s.conn, s.nullIsDefault), texts(t, target, false)
	if len(want) < 30 || len(want) != len(got) {
		t.Errorf("%d rows in the table, %d in the sink's", len(want), len(got))
	}
	for id, row := range want {
		for i, c := range columns {
			if g := got[id]; g == nil || g[i] != row[i] {
				t.Errorf("row %s, column %s: the sink has %v, the table %s", id, c.name, g, row[i])
				break
			}
		}
	}
	t.Logf("%d rows", len(got))
}

// awaitLast returns when the last row is in the sink's table.
func (s *source) awaitLast(t *testing.T, connect *real.Connect, target *pgx.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	for {
		var there bool
		err := target.QueryRow(ctx, "SELECT EXISTS (SELECT FROM things WHERE id = "+last+")").Scan(&there)
		if err == nil && there {
			return
		}
		if _, failure := connect.Running(ctx, s.connector()); failure != nil {
			t.Fatal(failure)
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the last row does not come: %v", err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// texts are the rows of a table things by id, as text of the source's types.
func texts(t *testing.T, conn *pgx.Conn, nullIsDefault bool) map[string][]string {
	t.Helper()
	list := make([]string, len(columns))
	for i, c := range columns {
		text := fmt.Sprintf("%s::%s::text", c.name, c.typ())
		if c.name == "num" { // the sink makes a double of a decimal whose scale varies
			text = "num::double precision::text"
		}
		if def := c.def(); def != "" && nullIsDefault {
			text = fmt.Sprintf("coalesce(%s, (%s)::text)", text, def)
		}
		list[i] = fmt.Sprintf("coalesce(%s, '<null>')", text)
		if c.name == notForSink {
			list[i] = "''"
		}
	}
	rows, err := conn.Query(t.Context(), "SELECT "+strings.Join(list, ", ")+" FROM things")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	found := map[string][]string{}
	for rows.Next() {
		values := make([]string, len(columns))
		into := make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		found[values[0]] = values
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return found
}

// connector is the sink's name. It is also its consumer group: a name of its own
// spares it the wait for a member that was killed.
func (s *source) connector() string { return "sink-" + s.topic }
