package test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// behind is how many bytes lie between an LSN and what the server was told.
func (h *history) behind(lsn string) int64 {
	h.t.Helper()
	n, err := strconv.ParseInt(h.value(`SELECT pg_wal_lsn_diff($2::pg_lsn, confirmed_flush_lsn)::bigint::text FROM pg_replication_slots WHERE slot_name = $1`, h.slot(), lsn), 10, 64)
	if err != nil {
		h.t.Fatal(err)
	}
	return n
}

func (h *history) awaitConfirmed(lsn string) {
	h.t.Helper()
	await(h.t, func() (bool, string) {
		n := h.behind(lsn)
		return n <= 0, fmt.Sprintf("%d bytes before %s are not confirmed", n, lsn)
	})
}

const quiet = "heartbeat: {interval: 0s}\n"

// TestABusyNeighbourHoldsNoWALBack: the WAL of another database of the cluster says
// nothing to the relay but keepalives, whose positions are confirmed.
func TestABusyNeighbourHoldsNoWALBack(t *testing.T) {
	t.Parallel()
	h := newHistory(t, nil)
	h.sql(historyTable)
	if err := h.server.CreateDatabase(t.Context(), "neighbour"); err != nil {
		t.Fatal(err)
	}
	p := h.run(quiet)
	p.awaitState("streaming")
	h.same("before")
	conn, err := pgx.Connect(t.Context(), h.server.URL("neighbour"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for _, q := range []string{`CREATE TABLE busy (id int, note text)`, `INSERT INTO busy SELECT g, repeat('x', 900) FROM generate_series(1, 100000) g`} { // more than 64 MiB
		if _, err := conn.Exec(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	h.awaitConfirmed(h.value(`SELECT pg_current_wal_flush_lsn()::text`))
	h.same("after")
}

// TestARelayThatOnlyFiltersConfirms: nothing of what is committed is published.
func TestARelayThatOnlyFiltersConfirms(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ config, work string }{
		"a table that is not published": {"tables: {exclude: [public.other]}\n", `INSERT INTO other SELECT g, 'x' FROM generate_series(1, 5000) g`},
		"operations that are skipped":   {"tables: {skip: [c]}\nsnapshot: {mode: never}\n", `INSERT INTO t SELECT g, 'x' FROM generate_series(1, 5000) g`},
		"messages that are left out":    {"messages: {include: []}\n", `SELECT pg_logical_emit_message(true, 'mine', repeat('x', 1000)) FROM generate_series(1, 1000)`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHistory(t, nil)
			h.sql(historyTable, `CREATE TABLE other (id int PRIMARY KEY, note text)`)
			p := h.run(quiet + c.config)
			p.awaitState("streaming")
			h.sql(c.work)
			h.awaitConfirmed(h.value(`SELECT pg_current_wal_flush_lsn()::text`))
			if got := h.rows(); len(got) > 0 {
				t.Errorf("published: %d rows", len(got))
			}
		})
	}
}

// TestAnIdleDatabaseKeepsItsSession: status goes out and asks for a reply, or an idle
// server would be silent for good, and give the session up after wal_sender_timeout.
func TestAnIdleDatabaseKeepsItsSession(t *testing.T) {
	t.Parallel()
	h := newHistory(t, map[string]string{"wal_sender_timeout": "3s"})
	h.sql(historyTable)
	p := h.run(quiet)
	p.awaitState("streaming")
	h.same("before")
	session := func() string {
		return h.value(`SELECT coalesce(active_pid::text, 'none') FROM pg_replication_slots WHERE slot_name = $1`, h.slot())
	}
	pid := session()
	h.sql(`SELECT pg_sleep(8)`)
	if now := session(); now != pid || strings.Contains(p.log.String(), "disconnected") {
		t.Errorf("session %s, and %s after 8 s without a change", pid, now)
	}
	h.same("after")
}

// TestStatusGoesOnWhileKafkaIsSlow: reading is paused, and the server must not take
// that for a relay that is gone.
func TestStatusGoesOnWhileKafkaIsSlow(t *testing.T) {
	t.Parallel()
	h := newHistory(t, map[string]string{"wal_sender_timeout": "3s"})
	h.ownBroker()
	front := newKafkaTap(t, &trap{}, h.broker.Addr)
	direct := h.broker
	h.broker = externalBroker{external(front.addr())}
	h.sql(historyTable)
	p := h.run(quiet)
	h.broker = direct
	p.awaitState("streaming")
	h.same("before")
	pid := h.value(`SELECT active_pid::text FROM pg_replication_slots WHERE slot_name = $1`, h.slot())
	front.slowly(func() time.Duration { return 4 * time.Second })
	h.sql(`INSERT INTO t SELECT g, repeat('x', 1000) FROM generate_series(1, 20000) g`, `SELECT pg_sleep(6)`)
	if now := h.value(`SELECT coalesce(active_pid::text, 'none') FROM pg_replication_slots WHERE slot_name = $1`, h.slot()); now != pid {
		t.Errorf("session %s, and %s after 6 s of a slow Kafka", pid, now)
	}
	front.slowly(nil)
	p.awaitState("streaming")
	h.same("after")
	streamRises(t, h.readAll(h.name+".public.t"))
}

// TestDeliveryFromBehindTheConfirmedLSNIsSkipped: a server that ended at once has lost
// the last confirmations, which it writes at checkpoints only.
func TestDeliveryFromBehindTheConfirmedLSNIsSkipped(t *testing.T) {
	t.Parallel()
	h := newHistory(t, nil)
	h.sql(historyTable)
	p := h.run("")
	p.awaitState("streaming")
	h.sql(`INSERT INTO t SELECT g, 'x' FROM generate_series(1, 1000) g`)
	h.same("before")
	end := h.value(`SELECT pg_current_wal_flush_lsn()::text`)
	h.awaitConfirmed(end)
	h.server.Kill()
	await(t, func() (bool, string) { r := p.ready(); return r.Code == 503, r.State })
	p.kill() // so that what the slot has is seen before the relay tells it more
	if err := h.server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := h.behind(end); n <= 0 {
		t.Fatalf("the server has kept the confirmed LSN; nothing comes again")
	}
	p = h.run("")
	p.awaitState("streaming")
	h.same("after")
	streamRises(t, h.readAll(h.name+".public.t"))
}

// TestAStoppingServerIsNotHeldUpByADeadBroker: a server that shuts down waits for its
// walsender, and the walsender for the relay. TAILRACE_STALL_RUNS stops it more often
// and prints the longest.
func TestAStoppingServerIsNotHeldUpByADeadBroker(t *testing.T) {
	t.Parallel()
	runs := 1
	if n, err := strconv.Atoi(os.Getenv("TAILRACE_STALL_RUNS")); err == nil {
		runs = n
	}
	for name, work := range map[string]string{
		"rows wait":    `INSERT INTO t SELECT g, repeat('x', 1000) FROM generate_series((SELECT coalesce(max(id), 0) + 1 FROM t), (SELECT coalesce(max(id), 0) + 20000 FROM t)) g`,
		"nothing does": `SELECT 1`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHistory(t, nil)
			h.ownBroker()
			h.sql(historyTable)
			p := h.run("")
			p.awaitState("streaming")
			addr := h.broker.Addr()
			var took []time.Duration
			for range runs {
				h.broker.Close()
				h.sql(work)
				await(t, func() (bool, string) { r := p.ready(); return strings.Contains(r.Reason, "Kafka"), r.Reason })
				began := time.Now()
				patience, cancel := context.WithTimeout(t.Context(), 50*time.Second)
				err := h.server.Halt(patience)
				cancel()
				if err != nil {
					t.Fatal(err)
				}
				took = append(took, time.Since(began))
				if log, err := os.ReadFile(h.server.LogFile()); err != nil || strings.Contains(string(log), "immediate shutdown") {
					t.Fatalf("the server was not shut down in good order (%v) within %s", err, took[len(took)-1])
				}
				if err := h.server.Restart(t.Context()); err != nil {
					t.Fatal(err)
				}
				h.restartBroker(addr)
				p.awaitState("streaming")
			}
			slices.Sort(took)
			t.Logf("%d fast shutdowns took %s at least, %s in the middle, %s at most", runs, took[0], took[runs/2], took[runs-1])
			if took[runs-1] > 15*time.Second {
				t.Errorf("a fast shutdown took %s", took[runs-1])
			}
			h.same("after")
		})
	}
}
