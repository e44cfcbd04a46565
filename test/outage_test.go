package test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tailrace/tailrace/internal/embedded/postgres"
)

func TestBrokerAwayInTheMiddleIsWaitedFor(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.ownBroker()
	s.sql(`CREATE TABLE t (id int PRIMARY KEY)`, `INSERT INTO t VALUES (1)`)
	file, ops := s.relayConfig("")
	p := start(t, ops, "relay", "run", "-c", file)
	p.awaitState("streaming")
	addr := s.broker.Addr()
	s.broker.Close()
	s.sql(`INSERT INTO t SELECT i FROM generate_series(2, 500) i`)
	await(t, func() (bool, string) {
		r := p.ready()
		return r.Code == 503 && strings.Contains(r.Reason, "Kafka"), "readyz says " + r.Reason
	})
	s.restartBroker(addr)
	p.awaitState("streaming")
	streamRises(t, s.read(s.name+".public.t").count(500))
}

func TestPostgresGoneAndBackIsWaitedFor(t *testing.T) {
	t.Parallel()
	server, err := postgres.Start(t.Context(), postgres.Config{Databases: []string{"shop"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	s := newStackOn(t, server.URL("shop"))
	s.sql(`CREATE TABLE t (id int PRIMARY KEY)`, `INSERT INTO t VALUES (1)`)
	file, ops := s.relayConfig("")
	p := start(t, ops, "relay", "run", "-c", file)
	p.awaitState("streaming")
	for i, down := range []func(){func() {}, server.Kill} { // Restart alone is a fast shutdown
		s.sql(`INSERT INTO t SELECT i FROM generate_series((SELECT max(id) + 1 FROM t), (SELECT max(id) + 100 FROM t)) i`)
		if down(); i > 0 {
			await(t, func() (bool, string) {
				r := p.ready()
				return r.Code == 503 && r.Reason != "", "readyz says " + r.State
			})
		}
		if err := server.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		p.awaitState("streaming")
		s.sql(`INSERT INTO t SELECT max(id) + 1 FROM t`)
		streamRises(t, s.read(s.name+".public.t").count(1+101*(i+1)))
	}
}

// TestAStoppingServerIsNotHeldUpByADeadBroker: a server that shuts down waits for
// its walsender, and the walsender for the relay.
func TestAStoppingServerIsNotHeldUpByADeadBroker(t *testing.T) {
	t.Parallel()
	server, err := postgres.Start(t.Context(), postgres.Config{Databases: []string{"shop"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	s := newStackOn(t, server.URL("shop"))
	s.ownBroker()
	s.sql(`CREATE TABLE t (id int PRIMARY KEY, note text)`)
	file, ops := s.relayConfig("")
	p := start(t, ops, "relay", "run", "-c", file)
	p.awaitState("streaming")
	s.broker.Close()
	s.sql(`INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(1, 50000) i`)
	began := time.Now()
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	t.Logf("the fast shutdown and start took %s", took)
	if log, err := os.ReadFile(server.LogFile()); err != nil || !strings.Contains(string(log), "database system is shut down") || strings.Contains(string(log), "immediate shutdown") {
		t.Errorf("the server was not shut down in good order (%v) after %s", err, took)
	}
}

func TestAStopWithChangesUnderWayIsNoCleanStop(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.ownBroker()
	s.sql(`CREATE TABLE t (id int PRIMARY KEY)`)
	file, ops := s.relayConfig("")
	p := start(t, ops, "relay", "run", "-c", file)
	p.awaitState("streaming")
	addr := s.broker.Addr()
	s.broker.Close()
	s.sql(`INSERT INTO t SELECT i FROM generate_series(1, 500) i`)
	await(t, func() (bool, string) {
		r := p.ready()
		return strings.Contains(r.Reason, "Kafka"), "readyz says " + r.Reason
	})
	if code := p.stop(); code != 1 || !strings.Contains(p.log.String(), "not confirmed") {
		t.Errorf("exit code %d, want 1 and that the last changes were not confirmed", code)
	}
	s.restartBroker(addr)
	start(t, ops, "relay", "run", "-c", file)
	streamRises(t, s.read(s.name+".public.t").count(500))
}
