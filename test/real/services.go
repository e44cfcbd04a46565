package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/tailrace/tailrace/internal/embedded/real"
)

// services are the servers that steps share, started when the first step needs
// them.
type services struct {
	ctx      context.Context
	out      io.Writer
	cache    string
	dir      string // of their data and logs
	parts    real.Parts
	kafka    *real.Kafka
	registry *real.Registry
}

// addresses are where the shared servers are.
type addresses struct{ kafka, registry string }

// newServices fetches what is missing and starts nothing yet.
func newServices(ctx context.Context, cache string, out io.Writer) (*services, error) {
	s := &services{ctx: ctx, out: out}
	var err error
	if s.cache, err = filepath.Abs(cache); err != nil {
		return nil, err
	}
	if s.parts, err = real.Install(ctx, s.cache, s.logf); err != nil {
		return nil, err
	}
	s.dir, err = os.MkdirTemp("", "tailrace-real-")
	return s, err
}

func (s *services) logf(format string, args ...any) { fmt.Fprintf(s.out, "=== "+format+"\n", args...) }

// shared starts Kafka and the registry, unless they run.
func (s *services) shared() (addresses, error) {
	if s.kafka == nil {
		kafka, err := s.parts.StartKafka(s.ctx, filepath.Join(s.dir, "kafka"))
		if err != nil {
			return addresses{}, err
		}
		s.kafka = kafka
	}
	if s.registry == nil {
		registry, err := s.parts.StartRegistry(s.ctx, filepath.Join(s.dir, "registry"))
		if err != nil {
			return addresses{}, err
		}
		s.registry = registry
		s.logf("Kafka %s on %s (pid %d), Apicurio registry %s on %s (pid %d)",
			real.KafkaVersion, s.kafka.Addr(), s.kafka.Pid(), real.RegistryVersion, registry.URL(), registry.Pid())
	}
	return addresses{s.kafka.Addr(), s.registry.URL()}, nil
}

// stopShared stops Kafka and the registry, for good.
func (s *services) stopShared() {
	if s.kafka != nil {
		s.kafka.Kill()
	}
	if s.registry != nil {
		s.registry.Kill()
	}
}

// stop stops everything, and keeps the logs when something was wrong.
func (s *services) stop(ok bool) {
	s.stopShared()
	if !ok {
		s.logf("the logs of Kafka and of the registry are in %s", s.dir)
		return
	}
	if err := os.RemoveAll(s.dir); err != nil {
		s.logf("%v", err)
	}
}
