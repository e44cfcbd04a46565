package main

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/internal/ops"
	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/schema/registry"
)

func newRunCommand(g *globals) *cobra.Command {
	var remedies resumption
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Publishes until stopped",
		Long: `Publishes the committed changes of the database until it is stopped.

The first start creates the publication, the slot and the topics, and publishes the rows that are there
already. Every later start goes on where the last one ended. PostgreSQL, Kafka or the registry being away is
waited for; where a person must decide, the relay stays and says why on /readyz (on_stop: exit leaves with
code 3 instead).`,
		Example: "  relay run -c relay.yaml\n  relay run --resnapshot",
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
			return run1(cmd.Context(), s, remedies, log)
		},
	}
	remedyFlags(cmd, &remedies)
	return cmd
}

// run1 wires one relay: configuration to parts, parts to the supervisor, and the
// page for operators beside it.
func run1(ctx context.Context, s *settings, remedies resumption, log *slog.Logger) error {
	s.limitMemory()
	book, err := s.ruleBook()
	if err != nil {
		return ops.Usage(err)
	}
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
	broker, err := kafka.NewProbe(connection)
	if err != nil {
		return err
	}
	defer broker.Close()

	publisher := s.publisherConfig(connection)
	if s.Postgres.Slot.Adopt {
		left := newDecoder(schemas)
		publisher.Adopt = kafka.AdoptConfig{Also: s.ownTopics(), Decode: func(value []byte) (cdc.Adopted, error) { return left.adopted(ctx, value) }}
	}
	sup := &supervisor{
		postgres:  s.postgresConfig(log, book),
		kafka:     publisher,
		settings:  s.schemaSettings(),
		relay:     s.relayConfig(book),
		snapshot:  snapshotMode{tables: s.Snapshot.Mode != "never", only: s.Snapshot.Mode == "only", needed: s.Snapshot.Mode == "when_needed"},
		remedies:  remedies,
		resumed:   make(chan resumption, 1),
		create:    s.Postgres.Slot.Create,
		adopt:     s.Postgres.Slot.Adopt,
		exit:      s.OnStop == "exit",
		registrar: patient{client: schemas, register: s.Registry.AutoRegister, status: state, log: ops.NewRepeats(log)},
		status:    state,
		metrics:   m,
		log:       log,
		fallbacks: map[string]bool{},
		preflight: s.check,
	}
	keep := s.keeper(sup, log)
	sup.keeper, m.sampled = keep, keep.sampled
	sup.relay.Sample = sampleEvery(s.Replay.Window)
	observe := &watch{
		postgres: sup.postgres, status: state, closing: sup.end, log: log,
		guard: &guard{
			slot: sup.postgres.Slot, warn: int64(s.WAL.Warn), max: int64(s.WAL.Max), drop: s.WAL.AtMax == "drop_slot",
			stop: sup.end, status: state, log: log, repeats: ops.NewRepeats(log),
		},
		appeared: sup.appeared, vouch: sup.vouch, giveUp: keep.giveUp,
		ping: map[string]func(context.Context) error{"Kafka": broker.Ping, "registry": schemas.Ping},
	}
	if s.Delivery == "at_least_once" {
		sup.postgres.OnSilence = sup.end // nothing else shuts this relay out once another has the slot
	}
	beside := []*probe{{postgres: sup.postgres, every: keepEvery, ask: keep.move, failed: keep.failed}}
	if s.Heartbeat.Interval > 0 {
		beside = append(beside, heartbeats(sup.postgres, s.Heartbeat.Interval, state, log))
	}
	if s.Format.XMin > 0 {
		reader, value := xmin(sup.postgres, s.Format.XMin)
		beside, sup.relay.XMin = append(beside, reader), value
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
		page.HandleGuarded("POST /resume", http.HandlerFunc(sup.resumePage))
		group.Beside(page.Run)
	}
	group.Beside(func(ctx context.Context) error { observe.run(ctx); return nil })
	group.Beside(keep.read)
	for _, p := range beside {
		group.Beside(p.run)
	}
	return group.Main(sup.run)
}
