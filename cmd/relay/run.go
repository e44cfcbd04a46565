package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/internal/ops"
	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/schema/registry"
)

func newRunCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Publishes until stopped",
		Long: `Publishes the committed changes of the database until it is stopped.

The first start creates the publication, the slot and the topics, and publishes the rows that are there
already. Every later start goes on where the last one ended. PostgreSQL, Kafka or the registry being away is
waited for; where a person must decide, the relay stays and says why on /readyz (on_stop: exit leaves with
code 3 instead).`,
		Example: "  relay run -c relay.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := g.Logger()
			if err != nil {
				return err
			}
			s, _, err := g.Load()
			if err != nil {
				return err
			}
			if err := s.available(); err != nil {
				return ops.Usage(err)
			}
			return run1(cmd.Context(), s, log)
		},
	}
}

// run1 wires one relay: configuration to parts, parts to the supervisor, and the
// page for operators beside it.
func run1(ctx context.Context, s *settings, log *slog.Logger) error {
	state := newStatus()
	reg := ops.NewRegistry("relay")
	m := newMetrics(reg, state)
	schemas, err := s.Registry.shared().Client(registry.Metrics(reg, "relay"))
	if err != nil {
		return err
	}
	connection, err := s.kafkaConfig()
	if err != nil {
		return err
	}
	probe, err := kafka.NewProbe(connection)
	if err != nil {
		return err
	}
	defer probe.Close()

	sup := &supervisor{
		postgres:  s.postgresConfig(log),
		kafka:     s.publisherConfig(connection),
		settings:  s.schemaSettings(),
		relay:     s.relayConfig(),
		snapshot:  snapshotMode{tables: s.Snapshot.Mode != "never", only: s.Snapshot.Mode == "only"},
		create:    s.Postgres.Slot.Create,
		exit:      s.OnStop == "exit",
		registrar: patient{client: schemas, register: s.Registry.AutoRegister, status: state, log: ops.NewRepeats(log)},
		status:    state,
		metrics:   m,
		log:       log,
		fallbacks: map[string]bool{},
		preflight: s.check,
	}
	observe := &watch{
		postgres: sup.postgres, status: state, closing: sup.end, log: log,
		warn: int64(s.WAL.Warn), repeats: ops.NewRepeats(log),
		ping: map[string]func(context.Context) error{"Kafka": probe.Ping, "registry": schemas.Ping},
	}
	report := func(context.Context) (any, error) {
		r := state.report()
		r.Name, r.Slot, r.Publication, r.Version = s.Name, s.Postgres.Slot.Name, s.Postgres.Publication.Name, ops.Version
		return r, nil
	}
	health := func() ops.Health {
		now, reason := state.current()
		return ops.Health{State: now, Reason: reason}
	}

	group := ops.NewGroup(ctx)
	if s.Ops.Listen != "" {
		page, err := ops.Listen(ops.ServerConfig{Listen: s.Ops.Listen, TokenFile: s.Ops.TokenFile, Registry: reg, Health: health, Status: report, Log: log})
		if err != nil {
			return err
		}
		group.Beside(page.Run)
	}
	group.Beside(func(ctx context.Context) error { observe.run(ctx); return nil })
	return group.Main(sup.run)
}

// patient asks the registry until it answers: away is not a reason to stop.
type patient struct {
	client   *registry.Client
	register bool
	status   *status
	log      *ops.Repeats
}

// Register returns the id of a schema under a subject, once the registry has
// answered. A refusal is for a person to settle.
func (p patient) Register(ctx context.Context, subject, text string) (int, error) {
	var id int
	err := ops.Retry(ctx, ops.Backoff{}, registry.Transient, func(err error, wait time.Duration) {
		p.status.depends("registry", err)
		p.log.Log(ctx, slog.LevelWarn, "registry", "the registry does not answer; rows wait for it",
			slog.String("subject", subject), slog.String("error", err.Error()), slog.Duration("wait", wait))
	}, func(ctx context.Context) (err error) {
		if p.register {
			id, err = p.client.Register(ctx, subject, text)
		} else {
			id, err = p.client.Lookup(ctx, subject, text)
		}
		return err
	})
	switch {
	case err == nil || ctx.Err() != nil || registry.Transient(err):
		return id, err
	}
	return 0, &cdc.StopError{What: fmt.Sprintf("the registry refuses the schema of subject %q", subject), Err: err,
		Next: "make the change compatible, or change the subject's compatibility level, and start the relay again"}
}
