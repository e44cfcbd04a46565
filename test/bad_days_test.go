package test

import (
	"strings"
	"testing"
)

func TestSlotMissingStopsAndSaysWhatToDo(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.sql(`CREATE TABLE t (id int PRIMARY KEY)`)
	file, ops := s.relayConfig("on_stop: exit")
	p := start(t, ops, "relay", "run", "-c", file)
	p.awaitState("streaming")
	p.stop()
	s.awaitSlotFree()
	s.sql(`SELECT pg_drop_replication_slot('tailrace_` + s.name + `')`)
	p = start(t, ops, "relay", "run", "-c", file)
	if code := p.exit(); code != 3 || !strings.Contains(p.log.String(), "is missing") {
		t.Errorf("exit code %d, want 3 with the reason", code)
	}
}

func TestSlotAheadOfProgressStops(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.sql(`CREATE TABLE t (id int PRIMARY KEY)`)
	file, ops := s.relayConfig("")
	p := start(t, ops, "relay", "run", "-c", file)
	p.awaitState("streaming")
	p.stop()
	s.awaitSlotFree()
	s.sql(`INSERT INTO t VALUES (1)`, `SELECT pg_replication_slot_advance('tailrace_`+s.name+`', pg_current_wal_lsn())`)
	p = start(t, ops, "relay", "run", "-c", file)
	if r := p.awaitState("stopped"); r.Code != 503 || !strings.Contains(r.Reason, "ahead") {
		t.Errorf("readyz %d %q, want 503 and that the slot is ahead", r.Code, r.Reason)
	}
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}

func TestWrongDatabaseAtTheFirstConnectExits(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.grant("")
	s.login += "_absent"
	file, ops := s.relayConfig("")
	p := start(t, ops, "relay", "run", "-c", file)
	if code := p.exit(); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
}

func TestBadConfigurationIsToldWhole(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.grant("")
	file, ops := s.relayConfig("postgress: {}\nmax_row: -3\nheartbeat: {interval: soon}")
	p := start(t, ops, "relay", "run", "-c", file)
	if code := p.exit(); code != 2 {
		t.Errorf("exit code %d, want 2", code)
	}
	for _, want := range []string{"postgress", "max_row", "heartbeat", "relay.yaml:6"} {
		if !strings.Contains(p.log.String(), want) {
			t.Errorf("the message lacks %q:\n%s", want, p.log)
		}
	}
}

func TestBrokerAndRegistryAwayAreWaitedFor(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.ownRegistry()
	s.sql(`CREATE TABLE t (id int PRIMARY KEY)`, `INSERT INTO t VALUES (1)`)
	url := s.registry.URL()
	if err := s.registry.Close(); err != nil {
		t.Fatal(err)
	}
	file, ops := s.relayConfig("")
	p := start(t, ops, "relay", "run", "-c", file)
	await(t, func() (bool, string) {
		r := p.ready()
		return r.Code == 503 && strings.Contains(r.Reason, "registry"), "readyz says " + r.Reason
	})
	s.restartRegistry(url)
	p.awaitState("streaming")
	s.sql(`INSERT INTO t VALUES (2)`)
	s.read(s.name + ".public.t").count(2)
}

func TestRunRefusesWhatCheckCallsAnError(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.sql(`CREATE TABLE t (id int PRIMARY KEY)`)
	file, ops := s.relayConfig("on_stop: exit")
	s.sql(`ALTER ROLE ` + s.role() + ` NOREPLICATION`)
	p := start(t, ops, "relay", "run", "-c", file)
	if code := p.exit(); code != 3 || !strings.Contains(p.log.String(), "REPLICATION") {
		t.Errorf("exit code %d, want 3 and the remedy", code)
	}
	if n := s.value(`SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1`, "tailrace_"+s.name); n != "0" {
		t.Error("a relay that was refused made a slot")
	}
}
