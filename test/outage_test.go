package test

import (
	"strings"
	"testing"

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
