package main

import (
	"encoding/json"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/cdc"
)

// TestProbesOfTheLine: heartbeats are measured and never published, source.xmin is
// read, and the slot moves while only tables change that nobody publishes.
func TestProbesOfTheLine(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "tables: {include: [public.*]}\nheartbeat: {interval: 100ms}\nformat: {xmin: 50ms}\n")
	w.begin(t, "CREATE TABLE a (id int PRIMARY KEY)", "INSERT INTO a VALUES (1)", "CREATE SCHEMA hidden", "CREATE TABLE hidden.b (id int)")
	eventually(t, "a heartbeat is measured", func() bool {
		n := w.metric(t, "tailrace_relay_heartbeat_seconds_count")
		return n != "" && n != "0"
	})
	w.sql(t, "INSERT INTO a VALUES (2)")
	w.stream(t)
	var rows []struct{ XMin *int64 }
	for _, s := range w.records(t, "public.a", 2) {
		var source struct{ XMin *int64 }
		if err := json.Unmarshal(s.Source, &source); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, source)
	}
	if rows[0].XMin != nil || rows[1].XMin == nil || *rows[1].XMin == 0 {
		t.Errorf("xmin of a snapshot row %v, of a streamed one %v", rows[0].XMin, rows[1].XMin)
	}
	w.passes(t, "INSERT INTO hidden.b VALUES (1)")
	if r := w.relay(t, "tail", "message", "--until-end"); r.code != 1 {
		t.Errorf("heartbeats are published: %s", r.out)
	}
	if n := w.metric(t, `tailrace_relay_filtered_total{reason="message"}`); n != "" {
		t.Errorf("heartbeats count as filtered: %s", n)
	}
}

// TestNoHeartbeats: 0s is none, not one after the other. The slot moves all the
// same.
func TestNoHeartbeats(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "tables: {include: [public.*]}\nheartbeat: {interval: 0s}\n")
	w.begin(t, "CREATE TABLE a (id int PRIMARY KEY)", "CREATE SCHEMA hidden", "CREATE TABLE hidden.b (id int)")
	w.sql(t, "INSERT INTO a VALUES (1)")
	w.stream(t)
	var source struct{ XMin *int64 }
	if err := json.Unmarshal(w.records(t, "public.a", 1)[0].Source, &source); err != nil || source.XMin != nil {
		t.Errorf("%v %v", source.XMin, err)
	}
	w.asDBA(t, "CHECKPOINT")
	w.passes(t, "INSERT INTO hidden.b VALUES (1)")
	if n := w.metric(t, "tailrace_relay_heartbeat_seconds_count"); n != "0" {
		t.Errorf("%s heartbeats", n)
	}
}

// passes waits until the slot has passed what the statements wrote.
func (w *world) passes(t *testing.T, statements ...string) {
	t.Helper()
	w.sql(t, statements...)
	written := w.lsn(t, "SELECT pg_current_wal_lsn()")
	eventually(t, "the slot passes what is not published", func() bool {
		return w.lsn(t, "SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = 'tailrace_"+w.name+"'") >= written
	})
}

func (w *world) lsn(t *testing.T, query string) cdc.LSN {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), w.database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	var text string
	if err := conn.QueryRow(t.Context(), "SELECT ("+query+")::text").Scan(&text); err != nil {
		t.Fatal(err)
	}
	lsn, err := cdc.ParseLSN(text)
	if err != nil {
		t.Fatal(err)
	}
	return lsn
}
