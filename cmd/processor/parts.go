package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tailrace/tailrace/internal/cli"
	"github.com/tailrace/tailrace/internal/config"
	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/processors"
	"github.com/tailrace/tailrace/schema/registry"
	"github.com/tailrace/tailrace/sinks/postgres"
)

// This file turns the configuration's sections into the configurations of the
// parts, one method each.

// shared is what a section kafka has in both programs.
func (k *kafkaSettings) shared() cli.Kafka {
	return cli.Kafka{Brokers: k.Brokers, TLS: k.TLS, SASL: cli.SASL{
		Mechanism: k.SASL.Mechanism, Username: k.SASL.Username, PasswordFile: k.SASL.PasswordFile,
	}}
}

func (s *settings) kafkaConfig() (kafka.Config, error) {
	return s.Kafka.shared().Connection("tailrace-processor-" + s.Name)
}

func (s *settings) consumerConfig(connection kafka.Config, owner kafka.Owner, log *slog.Logger) kafka.ConsumerConfig {
	start, lsn, _ := parseStart(s.Source.Start) // checked when the file was read
	from := kafka.StartFrom{Latest: s.Source.Start == "latest", Time: start}
	if lsn != 0 {
		from.Find = s.startAt(connection, lsn)
	}
	return kafka.ConsumerConfig{
		Config: connection, Group: s.Name, InstanceID: s.Group.InstanceID, SessionTimeout: s.Group.SessionTimeout,
		Topics: s.Source.Topics, Pattern: s.Source.TopicsPattern, Owner: owner, Log: log,
		Start: from,
		// Of compressed bytes: rows grow by about this factor when they are unpacked.
		FetchBytes: int(min(max(s.Limits.InFlight/8, config.MiB), 16*config.MiB)),
	}
}

func (s *settings) postgresConfig() postgres.Config {
	p := s.Sink.Postgres
	c := postgres.DefaultConfig()
	c.URL, c.PasswordFile, c.Table, c.StateSchema = p.URL, p.PasswordFile, p.Table, p.StateSchema
	c.Schema, c.Connections, c.Pipeline, c.Retention = postgres.SchemaMode(p.Schema), s.Limits.Parallel, s.Name, s.State.Retention
	c.DropLate = s.State.Late == "drop"
	return c
}

// schemas asks the registry in the words of package processors.
type schemas struct{ client *registry.Client }

func (c schemas) SchemaByID(ctx context.Context, id int) (string, error) {
	text, err := c.client.SchemaByID(ctx, id)
	if errors.Is(err, registry.ErrNotFound) {
		err = fmt.Errorf("%w: %w", processors.ErrUnknownSchema, err)
	}
	return text, err
}

func (s *settings) schemas(reg prometheus.Registerer) (schemas, error) {
	client, err := s.Registry.Client(registry.Metrics(reg, "processor"))
	return schemas{client}, err
}

// runtimeConfig is the pipeline without its outside parts.
func (s *settings) runtimeConfig(file *config.File, log *slog.Logger) processors.Config {
	c := processors.DefaultConfig()
	c.Name, c.SinkKind, c.Log = s.Name, s.Sink.kind(), log
	c.Instance = s.Group.InstanceID
	if c.Instance == "" {
		c.Instance, _ = os.Hostname() // without a name, dead letters lack one
	}
	sum := sha256.Sum256([]byte(file.Show(s)))
	c.ConfigVersion = hex.EncodeToString(sum[:6])
	c.OnPoison = processors.Policy(s.Errors.OnPoison)
	c.Retry = processors.RetryConfig{Initial: s.Errors.Retry.Initial, Max: s.Errors.Retry.Max, GiveUpAfter: s.Errors.Retry.GiveUpAfter}
	c.Circuit = processors.CircuitConfig{Failures: s.Errors.Circuit.Failures, Window: s.Errors.Circuit.Window, Open: s.Errors.Circuit.Open}
	c.Systemic = processors.SystemicConfig{Rows: s.Errors.Systemic.Rows, Share: s.Errors.Systemic.Share, Window: s.Errors.Systemic.Window}
	c.Rate = s.Limits.Rate
	c.Late, c.Retention = processors.LatePolicy(s.State.Late), s.State.Retention
	c.InFlightBytes, c.Parallel = int64(s.Limits.InFlight), s.Limits.Parallel
	c.DrainTimeout = min(c.DrainTimeout, max(s.Group.SessionTimeout/2, time.Second))
	return c
}
