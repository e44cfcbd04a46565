package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/internal/embedded/postgres"
	"github.com/tailrace/tailrace/internal/embedded/real"
	"github.com/tailrace/tailrace/internal/embedded/registry"
)

// services are the servers that works share, each started when the first work
// needs it.
type services struct {
	dir   string // of their data and logs
	cache string // of what Maven fetched
	logf  func(string, ...any)

	postgres *postgres.Server
	admin    *pgx.Conn
	parts    *real.Parts
	kafka    *real.Kafka
	schemas  *real.Registry
	small    *registry.Server // the embedded registry, in this process: asked once in a run
}

// settings are PostgreSQL's: no checkpoint and no vacuum comes into a run, and
// commit times can be asked for. What the WAL costs is the same for all.
var settings = map[string]string{
	"max_wal_size": "64GB", "checkpoint_timeout": "1d", "autovacuum": "off", "shared_buffers": "1GB", "max_connections": "100",
	"synchronous_commit": "on", "track_commit_timestamp": "on", "bgwriter_lru_maxpages": "0", "wal_sender_timeout": "5min",
}

// database starts PostgreSQL unless it runs, makes a database, and returns its URL.
func (s *services) database(ctx context.Context, name string) (string, error) {
	if s.postgres == nil {
		server, err := postgres.Start(ctx, postgres.Config{Settings: settings, Logf: s.logf})
		if err != nil {
			return "", err
		}
		s.postgres = server
		if s.admin, err = pgx.Connect(ctx, server.URL("postgres")); err != nil {
			return "", err
		}
	}
	return s.postgres.URL(name), s.postgres.CreateDatabase(ctx, name)
}

// logs is where records go.
type logs struct {
	brokers  string
	registry string
	pid      int // of the broker
}

// real starts Apache Kafka and the registry unless they run.
func (s *services) real(ctx context.Context) (logs, error) {
	if s.kafka == nil {
		p, err := s.installed(ctx)
		if err != nil {
			return logs{}, err
		}
		if s.kafka, err = p.StartKafka(ctx, filepath.Join(s.dir, "kafka")); err != nil {
			s.kafka = nil
			return logs{}, err
		}
		if s.schemas, err = p.StartRegistry(ctx, filepath.Join(s.dir, "registry")); err != nil {
			s.schemas = nil
			s.kafka.Kill()
			s.kafka = nil
			return logs{}, err
		}
		if err := warmUp(ctx, s.kafka.Addr()); err != nil {
			return logs{}, fmt.Errorf("warm Kafka up: %w", err)
		}
	}
	return logs{s.kafka.Addr(), s.schemas.URL(), s.kafka.Pid()}, nil
}

// installed fetches what is missing of Kafka, the registry, Connect and Debezium.
func (s *services) installed(ctx context.Context) (real.Parts, error) {
	if s.parts != nil {
		return *s.parts, nil
	}
	p, err := real.Install(ctx, s.cache, s.logf)
	if err == nil {
		err = errors.Join(p.InstallConnect(ctx, s.logf), p.InstallJDBC(ctx, s.logf))
	}
	if err != nil {
		return p, fmt.Errorf("fetch Kafka and Debezium: %w", err)
	}
	s.parts = &p
	return p, nil
}

// connect starts a fresh worker of Kafka Connect, as its own script would: 2 GiB of
// heap, the collector and the compilers that Java chooses.
func (s *services) connect(ctx context.Context, name string) (*real.Connect, error) {
	p, err := s.installed(ctx)
	if err != nil {
		return nil, err
	}
	return p.StartConnect(ctx, filepath.Join(s.dir, name), s.kafka.Addr(), "-Xms256m", "-Xmx2g")
}

// embedded starts the registry in this process unless it runs.
func (s *services) embedded() (url string, err error) {
	if s.small == nil {
		if s.small, err = registry.Start(registry.Config{}); err != nil {
			return "", err
		}
	}
	return s.small.URL(), nil
}

func (s *services) stop() error {
	var errs []error
	if s.admin != nil {
		_ = s.admin.Close(context.Background()) // the server goes too
	}
	if s.postgres != nil {
		errs = append(errs, s.postgres.Stop())
	}
	if s.kafka != nil {
		s.kafka.Kill()
	}
	if s.schemas != nil {
		s.schemas.Kill()
	}
	if s.small != nil {
		errs = append(errs, s.small.Close())
	}
	return errors.Join(errs...)
}
