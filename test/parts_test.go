package test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/tailrace/tailrace/internal/embedded/broker"
	"github.com/tailrace/tailrace/internal/embedded/real"
	"github.com/tailrace/tailrace/internal/embedded/registry"
)

// Tests run against an embedded broker and registry of their own, unless these
// name other ones, which all tests then share. envParts is the folder of
// installed real parts, for tests that stop theirs.
const (
	envKafka    = "TAILRACE_TEST_KAFKA"
	envRegistry = "TAILRACE_TEST_REGISTRY"
	envParts    = "TAILRACE_TEST_PARTS"
)

// brokerServer is a broker; Close may be a crash.
type brokerServer interface {
	Addr() string
	Close()
}

type registryServer interface {
	URL() string
	Close() error
}

// external is the address of a server that is not ours to stop.
type external string

func (e external) Addr() string { return string(e) }
func (e external) URL() string  { return string(e) }

type (
	externalBroker   struct{ external }
	externalRegistry struct{ external }
)

func (externalBroker) Close()         {}
func (externalRegistry) Close() error { return nil }

// startParts gives the stack its broker and registry.
func (s *stack) startParts() {
	s.t.Helper()
	s.t.Cleanup(func() {
		s.broker.Close()
		if err := s.registry.Close(); err != nil {
			s.t.Error(err)
		}
	})
	s.broker, s.registry = externalBroker{external(os.Getenv(envKafka))}, externalRegistry{external(os.Getenv(envRegistry))}
	if s.broker.Addr() == "" {
		s.startBroker(0)
	}
	if s.registry.URL() == "" {
		s.startRegistry(0)
	}
}

func (s *stack) startBroker(port int) {
	s.t.Helper()
	b, err := broker.Start(broker.Config{Port: port, DataDir: filepath.Join(s.dir, "broker")})
	if err != nil {
		s.t.Fatal(err)
	}
	s.broker = b
}

func (s *stack) startRegistry(port int) {
	s.t.Helper()
	r, err := registry.Start(registry.Config{Port: port})
	if err != nil {
		s.t.Fatal(err)
	}
	s.registry = r
}

// ownBroker is called first by a test that stops the broker.
func (s *stack) ownBroker() {
	s.t.Helper()
	if _, shared := s.broker.(externalBroker); !shared {
		return
	}
	k, err := installed(s.t).StartKafka(s.t.Context(), filepath.Join(s.dir, "kafka"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.broker = k
}

// ownRegistry is called first by a test that stops the registry.
func (s *stack) ownRegistry() {
	s.t.Helper()
	if _, shared := s.registry.(externalRegistry); !shared {
		return
	}
	r, err := installed(s.t).StartRegistry(s.t.Context(), filepath.Join(s.dir, "registry"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.registry = r
}

// installed skips a test that would have to stop a server of somebody else.
func installed(t *testing.T) real.Parts {
	t.Helper()
	dir := os.Getenv(envParts)
	if dir == "" {
		t.Skipf("this test stops its broker or registry; %s does not name a folder from which one of its own can start (make test-real does)", envParts)
	}
	p, err := real.Installed(dir)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// restartBroker brings the broker back where it was, with what it had.
func (s *stack) restartBroker(addr string) {
	s.t.Helper()
	k, ok := s.broker.(*real.Kafka)
	if !ok {
		s.startBroker(port(s.t, addr))
		return
	}
	if err := k.Restart(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// restartRegistry brings a registry back where it was, empty.
func (s *stack) restartRegistry(url string) {
	s.t.Helper()
	r, ok := s.registry.(*real.Registry)
	if !ok {
		s.startRegistry(port(s.t, url))
		return
	}
	if err := r.Restart(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// ownServers are a broker that a harness stops and starts, and a registry, for one run
// after the other.
type ownServers struct {
	broker   brokerServer
	registry registryServer
	dir      string
}

func newOwnServers(t *testing.T) ownServers {
	t.Helper()
	w := ownServers{dir: t.TempDir()}
	if os.Getenv(envKafka) != "" {
		k, err := installed(t).StartKafka(context.Background(), filepath.Join(w.dir, "kafka"))
		if err != nil {
			t.Fatal(err)
		}
		w.broker, w.registry = k, externalRegistry{external(os.Getenv(envRegistry))}
	} else {
		b, err := broker.Start(broker.Config{DataDir: filepath.Join(w.dir, "broker")})
		if err != nil {
			t.Fatal(err)
		}
		r, err := registry.Start(registry.Config{})
		if err != nil {
			t.Fatal(err)
		}
		w.broker, w.registry = b, r
	}
	return w
}

// end is called when nothing uses them any more.
func (w *ownServers) end(t *testing.T) {
	w.broker.Close()
	if err := w.registry.Close(); err != nil {
		t.Error(err)
	}
}

func (w *ownServers) stopBroker() {
	if k, ok := w.broker.(*real.Kafka); ok {
		k.Kill()
		return
	}
	w.broker.Close()
}

func (w *ownServers) restartBroker(t *testing.T) {
	t.Helper()
	if k, ok := w.broker.(*real.Kafka); ok {
		if err := k.Restart(t.Context()); err != nil {
			t.Error(err)
		}
		return
	}
	b, err := broker.Start(broker.Config{Port: port(t, w.broker.Addr()), DataDir: filepath.Join(w.dir, "broker")})
	if err != nil {
		t.Error(err)
		return
	}
	w.broker = b
}

func port(t *testing.T, addr string) int {
	t.Helper()
	n, err := strconv.Atoi(addr[strings.LastIndex(addr, ":")+1:])
	if err != nil {
		t.Fatal(err)
	}
	return n
}
