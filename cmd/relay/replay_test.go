package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/cdc"
)

// value is one value of a query, as text.
func (w *world) value(t *testing.T, query string, args ...any) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), w.database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	var v *string
	if err := conn.QueryRow(t.Context(), query, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	if v == nil {
		return ""
	}
	return *v
}

// held is how many slots of the relay have a kind in their name.
func (w *world) held(t *testing.T, kind string) string {
	t.Helper()
	return w.value(t, "SELECT count(*)::text FROM pg_replication_slots WHERE slot_name LIKE $1", "tailrace_"+w.name+"_"+kind+"_%")
}

// must runs a command that has to succeed, and gives its output.
func (w *world) must(t *testing.T, args ...string) string {
	t.Helper()
	r := w.relay(t, args...)
	if r.code != 0 {
		t.Fatalf("relay %s: exit %d\n%s%s", strings.Join(args, " "), r.code, r.out, r.err)
	}
	return r.out
}

// fails runs a command that has to end with a code, and say something.
func (w *world) fails(t *testing.T, code int, says string, args ...string) {
	t.Helper()
	if r := w.relay(t, args...); r.code != code || !strings.Contains(r.err, says) {
		t.Errorf("relay %s: exit %d, want %d and %q\n%s%s", strings.Join(args, " "), r.code, code, says, r.out, r.err)
	}
}

// counted is the summary of a replay.
func (w *world) counted(t *testing.T, args ...string) replaySummary {
	t.Helper()
	var s replaySummary
	if err := json.Unmarshal([]byte(w.must(t, append([]string{"replay", "-o", "json"}, args...)...)), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// published waits until the relay has confirmed everything.
func (w *world) published(t *testing.T) cdc.LSN {
	t.Helper()
	end := w.lsn(t, "SELECT pg_current_wal_lsn()")
	w.passes(t, "SELECT pg_logical_emit_message(true, 'mark', 'x')")
	return end
}

const pastConfig = "replay: {window: 1h}\n"

func TestReplayFromPlaces(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pastConfig)
	w.sql(t, "CREATE TABLE orders (id int PRIMARY KEY, total int)", "CREATE TABLE other (id int PRIMARY KEY)", "INSERT INTO orders VALUES (0, 0)")
	w.start(t)
	eventually(t, "there is a trailing slot", func() bool { return w.held(t, "trailing") == "1" })
	w.sql(t, "INSERT INTO orders VALUES (1, 1)", "INSERT INTO other VALUES (1)")
	first := w.published(t)
	w.must(t, "slot", "bookmark", "before-migration")
	w.sql(t, "INSERT INTO orders VALUES (2, 2)")
	at := w.value(t, "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
	w.sql(t, "INSERT INTO orders VALUES (3, 3), (4, 4)", "UPDATE orders SET id = 5 WHERE id = 4")
	last := w.published(t)

	for _, c := range []struct {
		args          []string
		orders, other int
	}{
		{[]string{"--from", first.String()}, 4, 0},
		{[]string{"--from", "bookmark:before-migration"}, 4, 0},
		{[]string{"--from", at}, 3, 0},
		{[]string{"--from", "bookmark:before-migration", "--to", at}, 1, 0},
		{[]string{"--from", "bookmark:before-migration", "--to", "2199-01-01T00:00:00Z"}, 4, 0},
		{[]string{"--from", at, "--to", last.String(), "--table", "public.other"}, 0, 0},
	} {
		s := w.counted(t, append(c.args, "--dry-run")...)
		orders := 0
		for _, n := range s.Tables["public.orders"] {
			orders += n
		}
		if orders != c.orders || s.Tables["public.other"]["c"] != c.other || !s.DryRun {
			t.Errorf("%s: %+v, want %d changes of orders, %d of other", strings.Join(c.args, " "), s, c.orders, c.other)
		}
	}
	whole := w.counted(t, "--from", "bookmark:before-migration", "--id", "one", "--table", "public.orders")
	if whole.Tables["public.orders"]["c"] != 4 || whole.Tables["public.orders"]["d"] != 1 || whole.Topics != "*.replay.one" { // a key change is a delete and a create
		t.Errorf("%+v", whole)
	}
	if got := w.records(t, w.name+".public.orders.replay.one", 6); len(got) != 6 { // a delete has a tombstone
		t.Errorf("%d records", len(got))
	}
	if out := w.must(t, "replay", "--id", "one"); !strings.Contains(out, "whole already") {
		t.Errorf("again: %s", out)
	}
	// One topic for all tables.
	into := w.counted(t, "--from", "bookmark:before-migration", "--into", "fixed")
	if into.Topics != "fixed" || len(w.records(t, "fixed", 6)) != 6 {
		t.Errorf("%+v", into)
	}
	topic := w.name + ".public.orders"
	for _, c := range []struct {
		code int
		says string
		args []string
	}{
		{2, "takes no replay", []string{"--from", first.String(), "--into", topic}},
		{2, "takes no replay", []string{"--from", first.String(), "--into", w.name + ".dead_letter"}},
		{2, "takes no replay", []string{"--from", first.String(), "--into", "tailrace.x.progress"}},
		{2, "holds records", []string{"--from", first.String(), "--into", "fixed"}},
		{2, "other tables", []string{"--id", "one", "--table", "public.other", "--from", first.String()}},
		{2, "no replay two to go on with", []string{"--id", "two"}},
		{2, "say where it begins", []string{"--dry-run"}},
		{2, "no such bookmark", []string{"--from", "bookmark:nope"}},
		{2, "want an LSN", []string{"--from", "yesterday"}},
		{1, "lies after", []string{"--from", first.String(), "--to", "FFFF/0"}},
		{3, "the oldest position that is held is", []string{"--from", "0/1"}},
		{3, "the oldest position that is held is", []string{"--from", "2001-01-01T00:00:00Z"}},
	} {
		w.fails(t, c.code, c.says, append([]string{"replay"}, c.args...)...)
	}
	if w.held(t, "replay") != "0" {
		t.Error("copies of slots are left")
	}
}

// TestBookmarks: they are listed, released, and given up when they expire, whatever of
// them was cut off in the making.
func TestBookmarks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "replay: {bookmark_ttl: 1h}\n")
	w.sql(t, "CREATE TABLE orders (id int PRIMARY KEY)")
	w.fails(t, 1, "relay run makes it", "slot", "bookmark", "early")
	stop := w.run(t)
	if out := w.must(t, "slot", "bookmark", "before-migration"); !strings.Contains(out, "holds what commits after") {
		t.Errorf("%s", out)
	}
	w.fails(t, 1, "exists", "slot", "bookmark", "before-migration")
	w.fails(t, 2, "lower-case letters", "slot", "bookmark", "Big Name")
	var row bookmarkRow
	if err := json.Unmarshal([]byte(w.must(t, "slot", "bookmarks", "-o", "json")), &row); err != nil {
		t.Fatal(err)
	}
	if row.Name != "before-migration" || row.State != "held" || row.LSN == 0 || row.Place == nil || row.Place.LSN != row.LSN || time.Until(row.Expires) > time.Hour {
		t.Errorf("%+v", row)
	}
	if failover := w.value(t, "SELECT (to_jsonb(s) -> 'failover')::text FROM pg_replication_slots s WHERE slot_name = $1", row.Slot); failover == "false" {
		t.Error("the relay's slot is one that standbys synchronise, the bookmark's is not")
	}
	eventually(t, "the metric counts it", func() bool { return w.metric(t, "tailrace_relay_bookmarks") == "1" })
	if out := w.must(t, "status"); !strings.Contains(out, "bookmarks") {
		t.Errorf("%s", out)
	}
	// Its slot is dropped by somebody: it is said so, and the record goes with a release.
	w.sql(t, "SELECT pg_drop_replication_slot('"+row.Slot+"')")
	if out := w.must(t, "slot", "bookmarks"); !strings.Contains(out, "gone") {
		t.Errorf("%s", out)
	}
	w.must(t, "slot", "release", "before-migration")
	w.fails(t, 1, "no bookmark", "slot", "release", "before-migration")
	// One that expires, and one that was made without a record.
	stop()
	w.configure(t, "bookmark_ttl: 1h", "bookmark_ttl: 1s")
	w.must(t, "slot", "bookmark", "short")
	w.sql(t, "SELECT pg_copy_logical_replication_slot('tailrace_"+w.name+"', '"+strings.Replace(row.Slot, "before_migration", "torso", 1)+"')")
	if out := w.must(t, "slot", "bookmarks"); !strings.Contains(out, "unknown") || !strings.Contains(out, "held") {
		t.Errorf("%s", out)
	}
	w.start(t)
	eventually(t, "both are given up", func() bool { return w.held(t, "mark") == "0" })
}

// TestTrailingSlotFollows: it stays behind by the window, and goes when there is none.
func TestTrailingSlotFollows(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "replay: {window: 2s}\n")
	w.sql(t, "CREATE TABLE orders (id int PRIMARY KEY)")
	stop := w.run(t)
	eventually(t, "there is a trailing slot", func() bool { return w.held(t, "trailing") == "1" })
	at := func() string {
		return w.value(t, "SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name LIKE $1", "tailrace_"+w.name+"_trailing_%")
	}
	began, n := at(), 0
	eventually(t, "it moves on", func() bool {
		n++
		w.sql(t, fmt.Sprintf("INSERT INTO orders VALUES (%d)", n))
		return at() != began
	})
	if live := w.value(t, "SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = $1", "tailrace_"+w.name); live == at() {
		t.Errorf("it is at %s, as the relay's own", live)
	}
	if out := w.must(t, "slot", "show"); !strings.Contains(out, "trailing") {
		t.Errorf("%s", out)
	}
	// Dropped by somebody, it is made anew.
	w.sql(t, "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name LIKE 'tailrace_"+w.name+"_trailing_%'")
	eventually(t, "it is made anew", func() bool { return w.held(t, "trailing") == "1" })
	stop()
	w.configure(t, "window: 2s", "window: 0s")
	w.start(t)
	eventually(t, "it is given up", func() bool { return w.held(t, "trailing") == "0" })
}

// TestThePastIsGivenUpBeforeThePresent: at wal.max the trailing slot and bookmarks
// go, whatever wal.at_max says of the relay's own slot. (That is not drop_slot here:
// other databases of this server write too, and the slot holds their WAL back.)
func TestThePastIsGivenUpBeforeThePresent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "replay: {window: 1h}\nwal: {warn: 0, max: 64MiB}\nmessages: {include: []}\n")
	w.sql(t, "CREATE TABLE orders (id int PRIMARY KEY)")
	w.start(t)
	eventually(t, "there is a trailing slot", func() bool { return w.held(t, "trailing") == "1" })
	w.must(t, "slot", "bookmark", "mine")
	trailing := func() string {
		return w.value(t, "SELECT max(confirmed_flush_lsn)::text FROM pg_replication_slots WHERE slot_name LIKE $1", "tailrace_"+w.name+"_trailing_%")
	}
	began := trailing()
	for range 7 {
		w.passes(t, "SELECT pg_logical_emit_message(false, 'fill', repeat('x', 5000000))", "SELECT pg_logical_emit_message(false, 'fill', repeat('x', 5000000))")
		w.asDBA(t, "CHECKPOINT")
	}
	eventually(t, "both are given up", func() bool { return w.held(t, "mark") == "0" && trailing() != began })
	if w.value(t, "SELECT count(*)::text FROM pg_replication_slots WHERE slot_name = $1", "tailrace_"+w.name) != "1" {
		t.Error("the relay's own slot is gone")
	}
	if out := w.must(t, "slot", "bookmarks"); !strings.Contains(out, "gone") {
		t.Errorf("%s", out)
	}
}

func TestSlotCreateAndDrop(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "snapshot: {mode: never}\n")
	w.sql(t, "CREATE TABLE orders (id int PRIMARY KEY)")
	w.fails(t, 1, "there is no slot", "slot", "drop")
	// A transaction that runs is waited for, and named.
	conn, err := pgx.Connect(t.Context(), w.database)
	if err != nil {
		t.Fatal(err)
	}
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "SELECT pg_current_xact_id()"); err != nil {
		t.Fatal(err)
	}
	made := make(chan result, 1)
	go func() { made <- w.relay(t, "slot", "create") }()
	eventually(t, "the slot is being made", func() bool {
		return w.value(t, "SELECT count(*)::text FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid))", conn.PgConn().PID()) == "1"
	})
	select {
	case r := <-made:
		t.Errorf("it did not wait: %+v", r)
	case <-time.After(1500 * time.Millisecond): // it says so every second
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close(t.Context())
	if r := <-made; r.code != 0 || !strings.Contains(r.err, "waiting for a transaction to end: pid ") || !strings.Contains(r.out, "made slot") {
		t.Errorf("exit %d\n%s%s", r.code, r.out, r.err)
	}
	w.fails(t, 1, "exists", "slot", "create")
	stop := w.run(t)
	w.fails(t, 1, "stop the relay first", "slot", "drop")
	stop()
	w.must(t, "slot", "bookmark", "mine")
	if out := w.must(t, "slot", "drop", "--all"); strings.Count(out, "dropped") != 2 {
		t.Errorf("%s", out)
	}
}

// TestReplayOfATableThatTheHistoryDoesNotKnow: it was not published then, so its rows
// have no schema of their time.
func TestReplayOfATableThatTheHistoryDoesNotKnow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pastConfig+"tables: {exclude: [public.other]}\n")
	w.sql(t, "CREATE TABLE orders (id int PRIMARY KEY)", "CREATE TABLE other (id int PRIMARY KEY, a int NOT NULL)")
	w.asDBA(t, "CREATE PUBLICATION tailrace_"+w.name+" FOR ALL TABLES")
	w.start(t)
	eventually(t, "there is a trailing slot", func() bool { return w.held(t, "trailing") == "1" })
	first := w.lsn(t, "SELECT pg_current_wal_lsn()").String()
	w.passes(t, "INSERT INTO orders VALUES (1)", "INSERT INTO other VALUES (1, 1)")
	if s := w.counted(t, "--from", first, "--dry-run"); s.Changes != 1 {
		t.Errorf("a table that is excluded is replayed: %+v", s)
	}
	w.configure(t, "exclude: [public.other]", "exclude: [public.none]")
	if r := w.relay(t, "replay", "--from", first, "--dry-run"); r.code != 0 || !strings.Contains(r.err, "does not know this table") || !strings.Contains(r.out, "2 changes") {
		t.Errorf("exit %d\n%s%s", r.code, r.out, r.err)
	}
	w.fails(t, 3, "--schema=relation-only", "replay", "--from", first, "--id", "strict")
	w.fails(t, 2, "with other tables, topic or schema", "replay", "--id", "strict", "--schema", "relation-only")
	if s := w.counted(t, "--from", first, "--id", "loose", "--schema", "relation-only"); s.Changes != 2 {
		t.Errorf("%+v", s)
	}
	if got := w.records(t, w.name+".public.other.replay.loose", 1); lineOf(got[0]) != `c {"id":1} null {"id":1,"a":1}` {
		t.Errorf("%s", lineOf(got[0]))
	}
	if text := w.latest(t, w.name+".public.other-value.replay.loose"); !strings.Contains(text, "null") {
		t.Errorf("%s", text)
	}
}
