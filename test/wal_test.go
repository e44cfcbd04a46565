package test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tailrace/tailrace/internal/embedded/pgtest"
)

// run starts the relay with more configuration.
func (h *history) run(extra string, args ...string) *process {
	h.t.Helper()
	file, ops := h.relayConfig(extra)
	return start(h.t, ops, "relay", append([]string{"run", "-c", file}, args...)...)
}

func (h *history) resnapshot() {
	h.t.Helper()
	if q := start(h.t, "", "relay", "resume", "--resnapshot", "-c", filepath.Join(h.dir, "relay.yaml")); q.exit() != 0 {
		h.t.Fatalf("resume --resnapshot: %s", q.log)
	}
}

// write fills WAL files of 16 MB without changing a row.
func (h *history) write(files int) {
	h.t.Helper()
	for range files {
		h.sql(`SELECT pg_logical_emit_message(false, 'filler', 'x')`, `SELECT pg_switch_wal()`)
	}
}

func (h *history) hasSlot() bool {
	h.t.Helper()
	return h.value(`SELECT count(*)::text FROM pg_replication_slots WHERE slot_name = $1`, h.slot()) == "1"
}

func (h *history) awaitNoSlot() {
	h.t.Helper()
	await(h.t, func() (bool, string) { return !h.hasSlot(), "the slot is still there" })
}

const walGuard = "wal: {warn: 20MiB, max: 60MiB, at_max: drop_slot}\n"

// TestWALGuardActsWhileTheRelayIsStopped: stopped is a state, in which the slot holds
// WAL back like in any other.
func TestWALGuardActsWhileTheRelayIsStopped(t *testing.T) {
	t.Parallel()
	h := newHistory(t, nil)
	h.sql(historyTable, `CREATE TABLE poison (id int PRIMARY KEY, n numeric(10,2))`, `INSERT INTO t VALUES (1, 'old'), (2, 'old')`)
	p := h.run(walGuard + "format: {nonfinite: fail}\n")
	p.awaitState("streaming")
	h.same("before")
	h.sql(`INSERT INTO poison VALUES (1, 'NaN')`, `DELETE FROM t WHERE id = 1`)
	p.awaitState("stopped")
	h.write(2)
	await(t, func() (bool, string) {
		return strings.Contains(p.log.String(), "more WAL than wal.warn"), "wal.warn was not said"
	})
	if !h.hasSlot() {
		t.Fatal("the slot is gone before wal.max")
	}
	h.write(4)
	h.awaitNoSlot()
	await(t, func() (bool, string) {
		r := p.ready()
		return r.State == "stopped" && strings.Contains(r.Reason, "poison") && strings.Contains(r.Reason, "WAL guard"), fmt.Sprint(r)
	})
	h.sql(`DELETE FROM poison`)
	h.resnapshot()
	p.awaitState("streaming")
	h.same("after")
}

// TestWALGuardActsWhileKafkaIsAway, and with snapshot.mode: when_needed the relay
// goes on by itself when Kafka is back.
func TestWALGuardActsWhileKafkaIsAway(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"initial", "when_needed"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			h := newHistory(t, nil)
			h.ownBroker()
			h.sql(historyTable, `INSERT INTO t VALUES (1, 'old'), (2, 'old')`)
			p := h.run(walGuard + "snapshot: {mode: " + mode + "}\n")
			p.awaitState("streaming")
			h.same("before")
			addr := h.broker.Addr()
			h.broker.Close()
			h.sql(`DELETE FROM t WHERE id = 1`)
			h.write(2)
			await(t, func() (bool, string) {
				r := p.ready()
				return strings.Contains(r.Reason, "Kafka") && strings.Contains(r.Reason, "gives the slot up"), "readyz says " + r.Reason
			})
			h.write(5)
			h.awaitNoSlot()
			if mode == "initial" {
				if r := p.awaitState("stopped"); !strings.Contains(r.Reason, "WAL guard") || !strings.Contains(r.Reason, "--resnapshot") {
					t.Errorf("readyz: %q", r.Reason)
				}
			}
			h.restartBroker(addr)
			if mode == "initial" {
				h.resnapshot()
			}
			p.awaitState("streaming")
			h.same("after")
		})
	}
}

// TestWALGuardOnlyWarnsUnlessToldToDrop: wal.at_max is warn by default.
func TestWALGuardOnlyWarnsUnlessToldToDrop(t *testing.T) {
	t.Parallel()
	h := newHistory(t, nil)
	h.ownBroker()
	h.sql(historyTable)
	p := h.run("wal: {warn: 10MiB, max: 20MiB}\n")
	p.awaitState("streaming")
	h.same("before")
	addr := h.broker.Addr()
	h.broker.Close()
	h.sql(`INSERT INTO t VALUES (2, 'waits')`)
	h.write(3)
	await(t, func() (bool, string) {
		return strings.Contains(p.log.String(), "nothing is done about it (wal.at_max: warn)"), "wal.max was not said"
	})
	h.restartBroker(addr)
	p.awaitState("streaming")
	h.same("after")
}

// TestSlotInvalidatedBySizeIsRecognisedAtOnce: the server ends the stream of a slot
// that holds back more than max_slot_wal_keep_size while Kafka is away.
func TestSlotInvalidatedBySizeIsRecognisedAtOnce(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"initial", "when_needed"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			h := newHistory(t, map[string]string{"max_slot_wal_keep_size": "32MB", "max_wal_size": "64MB"})
			h.ownBroker()
			h.sql(historyTable, `INSERT INTO t VALUES (1, 'old'), (2, 'old')`)
			p := h.run("snapshot: {mode: " + mode + "}\n")
			p.awaitState("streaming")
			h.same("before")
			addr := h.broker.Addr()
			h.broker.Close()
			h.sql(`DELETE FROM t WHERE id = 1`)
			h.write(6)
			h.sql(`CHECKPOINT`)
			lost := time.Now()
			if mode == "initial" {
				r := p.awaitState("stopped")
				t.Logf("recognised after %s", time.Since(lost))
				if !strings.Contains(r.Reason, "max_slot_wal_keep_size") || strings.Contains(r.Reason, "idle") || !strings.Contains(r.Reason, "--resnapshot") {
					t.Errorf("readyz: %q", r.Reason)
				}
			} else {
				await(t, func() (bool, string) { return strings.Contains(p.log.String(), "invalidated"), "nothing was said" })
			}
			h.restartBroker(addr)
			if mode == "initial" {
				h.resnapshot()
			}
			p.awaitState("streaming")
			h.same("after")
		})
	}
}

// TestSlotInvalidatedWhileIdleIsRecognisedAtOnce: PostgreSQL 18 gives a slot up that
// nobody has used for idle_replication_slot_timeout, at a checkpoint: that of a relay
// which is away, or stopped.
func TestSlotInvalidatedWhileIdleIsRecognisedAtOnce(t *testing.T) {
	t.Parallel()
	if v := os.Getenv(pgtest.EnvVersion); v != "" && !strings.HasPrefix(v, "18") {
		t.Skip("the environment asks for another PostgreSQL than 18")
	}
	h := newHistoryOn(t, "18", map[string]string{"idle_replication_slot_timeout": "1s"})
	h.sql(historyTable, `CREATE TABLE poison (id int PRIMARY KEY, n numeric(10,2))`, `INSERT INTO t VALUES (1, 'old')`)
	p := h.run("format: {nonfinite: fail}\n")
	p.awaitState("streaming")
	h.same("before")
	expire := func() {
		await(t, func() (bool, string) {
			h.sql(`CHECKPOINT`)
			return h.value(`SELECT wal_status FROM pg_replication_slots WHERE slot_name = $1`, h.slot()) == "lost", "the server has not given the slot up"
		})
	}
	h.sql(`INSERT INTO poison VALUES (1, 'NaN')`)
	p.awaitState("stopped")
	expire()
	await(t, func() (bool, string) {
		r := p.ready()
		return strings.Contains(r.Reason, "idle_replication_slot_timeout"), "readyz says " + r.Reason
	})
	h.sql(`DELETE FROM poison`)
	h.resnapshot()
	p.awaitState("streaming")
	h.same("again")
	p.stop()
	h.awaitSlotFree()
	h.sql(`DELETE FROM t WHERE id = 1`)
	expire()
	p = h.run("")
	if r := p.awaitState("stopped"); !strings.Contains(r.Reason, "idle_replication_slot_timeout") || strings.Contains(r.Reason, "max_slot_wal_keep_size") {
		t.Errorf("readyz: %q", r.Reason)
	}
	p.stop()
	p = h.run("", "--resnapshot")
	p.awaitState("streaming")
	h.same("after")
}

// TestWhenNeededReadsAllTablesAgainAfterAGap, without asking.
func TestWhenNeededReadsAllTablesAgainAfterAGap(t *testing.T) {
	t.Parallel()
	h := newHistory(t, nil)
	h.sql(historyTable, `INSERT INTO t VALUES (1, 'old'), (2, 'old')`)
	const mode = "snapshot: {mode: when_needed}\n"
	p := h.run(mode)
	p.awaitState("streaming")
	h.same("before")
	for i, gap := range []string{
		`SELECT pg_drop_replication_slot('` + h.slot() + `')`,
		`SELECT pg_replication_slot_advance('` + h.slot() + `', pg_current_wal_lsn())`,
	} {
		p.stop()
		h.awaitSlotFree()
		h.sql(fmt.Sprintf(`DELETE FROM t WHERE id = %d`, i+1), gap)
		p = h.run(mode)
		p.awaitState("streaming")
		h.same(fmt.Sprintf("after gap %d", i))
	}
}

var minutes = regexp.MustCompile(`in about (\d+ minutes|a minute)`)

// TestRegistryAwaySaysWhenTheWALGuardActs: rows wait for the registry, and the WAL
// that they came from waits on the server.
func TestRegistryAwaySaysWhenTheWALGuardActs(t *testing.T) {
	t.Parallel()
	h := newHistory(t, nil)
	h.ownRegistry()
	h.sql(historyTable)
	p := h.run("wal: {max: 8GiB, at_max: drop_slot}\n")
	p.awaitState("streaming")
	h.same("before")
	url := h.registry.URL()
	if err := h.registry.Close(); err != nil {
		t.Fatal(err)
	}
	h.sql(`ALTER TABLE t ADD more int`, `INSERT INTO t VALUES (2, 'waits', 1)`)
	said := func(s string) bool {
		return strings.Contains(s, "registry") && strings.Contains(s, "the WAL guard gives the slot up")
	}
	await(t, func() (bool, string) {
		h.write(1)
		r := p.ready()
		return said(r.Reason) && minutes.MatchString(r.Reason), "readyz says " + r.Reason
	})
	await(t, func() (bool, string) {
		for line := range strings.Lines(p.log.String()) {
			if strings.Contains(line, "rows wait for it") && said(line) {
				return true, ""
			}
		}
		return false, "the log does not say it"
	})
	h.restartRegistry(url) // an embedded one has forgotten the schemas, so nobody can read
	p.awaitState("streaming")
}
