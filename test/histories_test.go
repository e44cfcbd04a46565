package test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/internal/embedded/pgtest"
	"github.com/tailrace/tailrace/internal/embedded/postgres"
)

// history is a stack whose relay finds its server through a tap, so that another
// server can take its place.
type history struct {
	*stack
	server *postgres.Server
	port   atomic.Int64 // of server; the tap asks for it
	tap    *tap
}

func newHistory(t *testing.T, settings map[string]string) *history {
	t.Helper()
	return newHistoryOn(t, os.Getenv(pgtest.EnvVersion), settings)
}

func newHistoryOn(t *testing.T, version string, settings map[string]string) *history {
	t.Helper()
	server, err := postgres.Start(t.Context(), postgres.Config{Version: version, Databases: []string{"shop"}, Settings: settings})
	if err != nil {
		t.Fatal(err)
	}
	h := &history{server: server}
	h.port.Store(int64(server.Port()))
	t.Cleanup(func() { h.must(t, server.Stop()) })
	h.tap = newPostgresTap(t, &trap{}, func() string { return fmt.Sprintf("127.0.0.1:%d", h.port.Load()) })
	h.stack = newStackOn(t, fmt.Sprintf("postgres://%s:%s@%s/shop?sslmode=disable", postgres.User, postgres.Password, h.tap.addr()))
	return h
}

func (h *history) must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// become lets another server take the place of this one.
func (h *history) become(other *postgres.Server) {
	h.server = other
	h.port.Store(int64(other.Port()))
	h.tap.cut()
}

// failOver kills the server once its standby has replayed what it received, and lets the
// standby take its place. admin is a connection to the standby.
func (h *history) failOver(standby *postgres.Server, admin *pgx.Conn) {
	h.t.Helper()
	var end string
	if err := admin.QueryRow(h.t.Context(), "SELECT pg_last_wal_receive_lsn()::text").Scan(&end); err != nil {
		h.t.Fatal(err)
	}
	await(h.t, func() (bool, string) {
		var behind bool
		err := admin.QueryRow(h.t.Context(), "SELECT pg_last_wal_replay_lsn() < $1::pg_lsn", end).Scan(&behind)
		return err == nil && !behind, "the standby has not replayed what it received"
	})
	h.server.Kill()
	if _, err := admin.Exec(h.t.Context(), "SELECT pg_promote()"); err != nil {
		h.t.Fatal(err)
	}
	h.become(standby)
}

// rows is the topic of table t, applied in the order of positions, with sweeps: a
// mark ends what was last touched in an older epoch.
func (h *history) rows() map[string]string {
	h.t.Helper()
	rows, epochs := map[string]string{}, map[string]uint32{}
	marks := 0
	for _, r := range h.readAll(h.name + ".public.t") {
		if r.headers[cdc.HeaderSweep] != "" {
			if marks++; marks == 3 { // in all partitions
				for id, e := range epochs {
					if e < r.pos.Epoch {
						delete(rows, id)
						delete(epochs, id)
					}
				}
				marks = 0
			}
			continue
		}
		if r.value == nil {
			continue
		}
		id := fmt.Sprint(unwrap(r.key["id"]))
		if r.op() == "d" {
			delete(rows, id)
			continue
		}
		rows[id], epochs[id] = fmt.Sprint(r.row("after")["note"]), r.pos.Epoch
	}
	return rows
}

// same compares the topic with the table, once the row "last" has come.
func (h *history) same(last string) {
	h.t.Helper()
	h.sql(`INSERT INTO t VALUES (1000000, '` + last + `') ON CONFLICT (id) DO UPDATE SET note = excluded.note`)
	var got map[string]string
	await(h.t, func() (bool, string) {
		got = h.rows()
		return got["1000000"] == last, fmt.Sprintf("the row %s has not come; the topic has %v", last, got)
	})
	conn := h.connect()
	defer conn.Close(context.Background())
	rows, err := conn.Query(h.t.Context(), "SELECT id::text, note FROM t")
	if err != nil {
		h.t.Fatal(err)
	}
	want := map[string]string{}
	var id, note string
	if _, err := pgx.ForEachRow(rows, []any{&id, &note}, func() error { want[id] = note; return nil }); err != nil {
		h.t.Fatal(err)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		h.t.Errorf("the topic has %v, the table %v", got, want)
	}
}

func (h *history) slot() string { return "tailrace_" + h.name }

func (h *history) relay(extra ...string) *process {
	h.t.Helper()
	file, ops := h.relayConfig("")
	return start(h.t, ops, "relay", append([]string{"run", "-c", file}, extra...)...)
}

const historyTable = `CREATE TABLE t (id int PRIMARY KEY, note text)`

// TestSlotDroppedAndMadeAgain: the changes between are gone; a person says how to
// go on.
func TestSlotDroppedAndMadeAgain(t *testing.T) {
	t.Parallel()
	for _, remedy := range []string{"--resnapshot", "--accept-gap"} {
		t.Run(remedy, func(t *testing.T) {
			t.Parallel()
			h := newHistory(t, nil)
			h.sql(historyTable, `INSERT INTO t SELECT g, 'old' FROM generate_series(1, 5) g`)
			p := h.relay()
			p.awaitState("streaming")
			h.same("before")
			p.stop()
			h.awaitSlotFree()
			h.sql(`SELECT pg_drop_replication_slot('`+h.slot()+`')`, `DELETE FROM t WHERE id = 1`, `UPDATE t SET note = 'in the gap' WHERE id = 2`,
				`SELECT pg_create_logical_replication_slot('`+h.slot()+`', 'pgoutput')`)
			p = h.relay()
			if r := p.awaitState("stopped"); !strings.Contains(r.Reason, "ahead") || !strings.Contains(r.Reason, "--resnapshot") {
				t.Fatalf("readyz: %q", r.Reason)
			}
			p.stop()
			p = h.relay(remedy)
			p.awaitState("streaming")
			if remedy == "--resnapshot" {
				h.same("after")
				return
			}
			h.sql(`INSERT INTO t VALUES (7, 'after')`)
			await(t, func() (bool, string) { got := h.rows(); return got["7"] == "after", fmt.Sprint(got) })
			if got := h.rows(); got["1"] != "old" || got["2"] != "old" {
				t.Errorf("the gap's changes came: %v", got)
			}
			p.stop() // the gap is recorded, so the next start needs no word
			p = h.relay()
			p.awaitState("streaming")
		})
	}
}

// TestResumeGoesOnAfterTheCauseIsMended settles a gap while the relay stands still.
func TestResumeGoesOnAfterTheCauseIsMended(t *testing.T) {
	t.Parallel()
	h := newHistory(t, nil)
	h.sql(historyTable, `INSERT INTO t VALUES (1, 'old'), (2, 'old')`)
	p := h.relay()
	p.awaitState("streaming")
	h.same("before")
	p.stop()
	h.awaitSlotFree()
	h.sql(`SELECT pg_drop_replication_slot('`+h.slot()+`')`, `DELETE FROM t WHERE id = 1`)
	p = h.relay()
	p.awaitState("stopped")
	file := filepath.Join(h.dir, "relay.yaml")
	if q := start(t, "", "relay", "resume", "-c", file); q.exit() != 0 {
		t.Fatalf("resume: %s", q.log)
	}
	p.awaitState("stopped") // nothing is mended
	if q := start(t, "", "relay", "resume", "--resnapshot", "-c", file); q.exit() != 0 {
		t.Fatalf("resume --resnapshot: %s", q.log)
	}
	p.awaitState("streaming")
	h.same("after")
}

// TestStorageRolledBack restores the data of an earlier time, slot included.
func TestStorageRolledBack(t *testing.T) {
	t.Parallel()
	h := newHistory(t, nil)
	h.sql(historyTable, `INSERT INTO t VALUES (1, 'old')`)
	p := h.relay()
	p.awaitState("streaming")
	h.same("saved")
	p.stop()
	if err := h.server.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
	p = h.relay()
	p.awaitState("streaming")
	h.sql(`INSERT INTO t SELECT g, 'lost' FROM generate_series(10, 500) g`)
	h.same("lost")
	p.stop()
	if err := h.server.Restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	p = h.relay()
	if r := p.awaitState("stopped"); !strings.Contains(r.Reason, "rolled back") {
		t.Fatalf("readyz: %q", r.Reason)
	}
	p.stop()
	// So much is written that the server's end passes what was published: only the
	// stream can tell now.
	h.sql(`INSERT INTO t SELECT g, 'other history' FROM generate_series(10, 20000) g`)
	p = h.relay()
	if r := p.awaitState("stopped"); !strings.Contains(r.Reason, "another history") {
		t.Fatalf("readyz: %q", r.Reason)
	}
	p.stop()
	h.sql(`DELETE FROM t WHERE id > 100`)
	p = h.relay("--resnapshot")
	p.awaitState("streaming")
	h.same("after")
}

// TestAnotherSystemIsAcceptedByAPerson: the database was loaded into a new cluster.
func TestAnotherSystemIsAcceptedByAPerson(t *testing.T) {
	t.Parallel()
	h := newHistory(t, nil)
	h.sql(historyTable, `INSERT INTO t VALUES (1, 'old'), (2, 'old')`)
	p := h.relay()
	p.awaitState("streaming")
	h.same("before")
	other, err := postgres.Start(t.Context(), postgres.Config{Version: os.Getenv(pgtest.EnvVersion), Databases: []string{"shop"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.must(t, other.Stop()) })
	h.become(other)
	h.sql(historyTable, `INSERT INTO t VALUES (2, 'loaded'), (3, 'loaded')`)
	h.grant("")
	if r := p.awaitState("stopped"); !strings.Contains(r.Reason, "another system") || !strings.Contains(r.Reason, "adopt --new-history") {
		t.Fatalf("readyz: %q", r.Reason)
	}
	if q := start(t, "", "relay", "adopt", "--new-history", "-c", filepath.Join(h.dir, "relay.yaml")); q.exit() != 0 {
		t.Fatalf("adopt: %s", q.log)
	}
	p.awaitState("streaming")
	h.same("after")
}

// TestFailoverToAStandby promotes a standby. With a synchronised failover slot
// (PostgreSQL 17) nothing is lost and no snapshot is made; without, there is a gap.
func TestFailoverToAStandby(t *testing.T) {
	t.Parallel()
	for _, synced := range []bool{true, false} {
		t.Run(fmt.Sprintf("synced slot %t", synced), func(t *testing.T) {
			t.Parallel()
			settings := map[string]string{}
			h := newHistory(t, settings)
			if synced && h.server.Major() < 17 {
				t.Skip("failover slots came with PostgreSQL 17")
			}
			h.sql(historyTable, `INSERT INTO t SELECT g, 'old' FROM generate_series(1, 20) g`)
			p := h.relay()
			p.awaitState("streaming")
			standby, err := h.server.Standby(t.Context(), "standby", nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { h.must(t, standby.Stop()) })
			h.sql(`UPDATE t SET note = 'replicated' WHERE id < 10`)
			h.same("before")
			admin, err := pgx.Connect(t.Context(), standby.URL("postgres"))
			if err != nil {
				t.Fatal(err)
			}
			defer admin.Close(context.Background())
			if synced {
				await(t, func() (bool, string) {
					if _, err := admin.Exec(t.Context(), "SELECT pg_sync_replication_slots()"); err != nil {
						return false, err.Error()
					}
					var persistent bool
					err := admin.QueryRow(t.Context(), "SELECT synced AND NOT temporary FROM pg_replication_slots WHERE slot_name = $1", h.slot()).Scan(&persistent)
					return err == nil && persistent, fmt.Sprint("the slot is not synchronised: ", err)
				})
			}
			h.sql(`INSERT INTO t SELECT g, 'late' FROM generate_series(30, 40) g`)
			h.same("late")
			h.failOver(standby, admin)
			if synced {
				p.awaitState("streaming")
				h.same("after")
				for _, r := range h.readAll(h.name + ".public.t") {
					if r.pos.Epoch == 2 && r.pos.Ordinal == 0 {
						t.Errorf("a row of a snapshot after the failover: %s", r.pos)
					}
				}
				streamRises(t, h.readAll(h.name+".public.t"))
				return
			}
			if r := p.awaitState("stopped"); !strings.Contains(r.Reason, "missing") {
				t.Fatalf("readyz: %q", r.Reason)
			}
			if q := start(t, "", "relay", "resume", "--resnapshot", "-c", filepath.Join(h.dir, "relay.yaml")); q.exit() != 0 {
				t.Fatalf("resume --resnapshot: %s", q.log)
			}
			p.awaitState("streaming")
			h.same("after")
		})
	}
}
