package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tailrace/tailrace/internal/embedded/broker"
	"github.com/tailrace/tailrace/internal/embedded/postgres"
	"github.com/tailrace/tailrace/internal/embedded/registry"
)

// The databases of the demo.
const (
	sourceDatabase = "shop"
	sinkDatabase   = "warehouse"
)

// services are the three services that relay and processor need.
type services struct {
	postgres *postgres.Server
	broker   *broker.Broker   // nil: somebody else's
	registry *registry.Server // nil: somebody else's

	kafka       string // host:port
	registryURL string
}

// startServices returns when those that it starts answer. dir gets the broker's
// files. A port of 0 takes a free one.
func startServices(ctx context.Context, o options, dir string, stderr io.Writer) (*services, error) {
	s := &services{kafka: o.kafka, registryURL: o.registry}
	for _, port := range []int{o.postgresPort, o.kafkaPort, o.registryPort} {
		if err := awaitPort(ctx, port, portWait, stderr); err != nil {
			return nil, err
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		s.postgres, err = postgres.Start(ctx, postgres.Config{
			Version:   o.postgresVersion,
			Port:      o.postgresPort,
			Databases: []string{sourceDatabase, sinkDatabase},
			Logf:      func(format string, args ...any) { fmt.Fprintf(stderr, format+"\n", args...) },
		})
		return err
	})
	g.Go(func() (err error) {
		if o.kafka != "" {
			return nil
		}
		s.broker, err = broker.Start(broker.Config{Port: o.kafkaPort, DataDir: filepath.Join(dir, "kafka")})
		return err
	})
	g.Go(func() (err error) {
		if o.registry != "" {
			return nil
		}
		s.registry, err = registry.Start(registry.Config{Port: o.registryPort})
		return err
	})
	if err := waitWithNotice(g.Wait, 2*time.Second, stderr, "starting PostgreSQL, broker and schema registry …"); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	if s.broker != nil {
		s.kafka = s.broker.Addr()
	}
	if s.registry != nil {
		s.registryURL = s.registry.URL()
	}
	return s, nil
}

// portWait is how long a port that is taken is waited for: the usual ones lie where
// systems take the ports of outgoing connections from, which come and go.
const portWait = 20 * time.Second

// awaitPort returns when nobody has a port of this machine; 0 is any.
func awaitPort(ctx context.Context, port int, most time.Duration, stderr io.Writer) error {
	deadline := time.Now().Add(most)
	for said := false; port != 0; said = true {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			return l.Close()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("port %d of 127.0.0.1 is taken: %w; stop what has it, or give another port (--help has the flags)", port, err)
		}
		if !said {
			fmt.Fprintf(stderr, "port %d is taken; waiting for it …\n", port)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return nil
}

// waitWithNotice calls wait, and prints a line when it takes longer than patience.
func waitWithNotice(wait func() error, patience time.Duration, stderr io.Writer, notice string) error {
	t := time.AfterFunc(patience, func() { fmt.Fprintln(stderr, notice) })
	defer t.Stop()
	return wait()
}

func (s *services) source() string { return s.postgres.URL(sourceDatabase) }
func (s *services) sink() string   { return s.postgres.URL(sinkDatabase) }

// stop stops what was started.
func (s *services) stop() error {
	var errs []error
	if s.broker != nil {
		s.broker.Close()
	}
	if s.registry != nil {
		errs = append(errs, s.registry.Close())
	}
	if s.postgres != nil {
		errs = append(errs, s.postgres.Stop())
	}
	return errors.Join(errs...)
}

// runServices is --services: it prints one line when all answer, and stops when
// ctx ends.
func runServices(ctx context.Context, o options, stdout, stderr io.Writer) error {
	dir, err := os.MkdirTemp("", "tailrace-demo-")
	if err != nil {
		return fmt.Errorf("make a temporary folder: %w", err)
	}
	defer os.RemoveAll(dir)
	s, err := startServices(ctx, o, dir, stderr)
	if err != nil {
		return err
	}
	line, err := json.Marshal(struct {
		Postgres string `json:"postgres"`
		Kafka    string `json:"kafka"`
		Registry string `json:"registry"`
	}{s.source(), s.kafka, s.registryURL})
	if err == nil {
		_, err = fmt.Fprintf(stdout, "%s\n", line)
	}
	if err != nil {
		return errors.Join(err, s.stop())
	}
	<-ctx.Done()
	return s.stop()
}
