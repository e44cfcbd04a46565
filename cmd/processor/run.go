package main

import (
	"context"
	"log/slog"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/tailrace/tailrace/internal/config"
	"github.com/tailrace/tailrace/internal/ops"
	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/processors"
	"github.com/tailrace/tailrace/processors/steps"
)

func newRunCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Joins the group and works until stopped",
		Long: `Joins the consumer group and applies the changes of its partitions to the sink until it is stopped.

Rows, offsets and dead letters become durable in one transaction of the sink, so a crash neither loses nor
repeats a change. Kafka, the registry or the sink being away is waited for; a partition that a person must
look at is stopped, the others go on, and /readyz says why.`,
		Example: "  processor run -c processor.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := g.Logger()
			if err != nil {
				return err
			}
			s, file, err := g.Load()
			if err != nil {
				return err
			}
			if err := s.available(); err != nil {
				return ops.Usage(err)
			}
			made, err := s.steps(g.Config, file).build()
			if err != nil {
				return ops.Usage(err)
			}
			entity, err := steps.Entities(made)
			if err != nil {
				return ops.Usage(err)
			}
			return runPipeline(cmd.Context(), s, file, steps.Build(made), entity, log)
		},
	}
}

// runPipeline wires one pipeline: configuration to parts, parts to the runtime,
// and the page for operators beside it.
func runPipeline(ctx context.Context, s *settings, file *config.File, made []processors.StepConfig, entity *processors.EntityConfig, log *slog.Logger) error {
	reg := ops.NewRegistry("processor")
	connection, err := s.kafkaConfig()
	if err != nil {
		return err
	}
	known, err := s.schemas(reg)
	if err != nil {
		return err
	}
	letters, err := kafka.NewDeadLetters(connection, s.Errors.DeadLetter.Topic, -1)
	if err != nil {
		return err
	}
	defer letters.Close()
	c := s.runtimeConfig(file, log)
	c.Letters, c.Schemas, c.Registry, c.Steps = letters, known, reg, made
	c.Stateful, c.Entity = stateful(made), entity
	if s.Sink.Kafka != nil {
		return s.runInLog(ctx, c, reg, connection, known, letters)
	}
	sink, err := s.sink(log)
	if err != nil {
		return err
	}
	defer sink.Close()
	control, err := kafka.NewControl(connection, s.Name, -1)
	if err != nil {
		return err
	}
	defer control.Close()
	c.Sink, c.Outbox, c.Control = sink, sink, control
	runtime := processors.New(c)
	member := s.consumerConfig(connection, runtime, log)
	member.Tasks = c.Stateful
	// What was fetched and is not unpacked yet, or waits in the client, stands beside
	// limits.in_flight: smaller pieces are enough for a sink.
	member.FetchBytes = max(1<<20, member.FetchBytes/4)
	consumer, err := kafka.NewConsumer(member)
	if err != nil {
		return err
	}
	return s.serve(ctx, runtime, c, reg, func(ctx context.Context) error { return runtime.Run(ctx, consumer) })
}

// stateful tells whether a step keeps state.
func stateful(made []processors.StepConfig) bool {
	return slices.ContainsFunc(made, func(c processors.StepConfig) bool { return c.Stateful })
}

// serve runs a pipeline beside its page.
func (s *settings) serve(ctx context.Context, runtime *processors.Runtime, c processors.Config, reg *prometheus.Registry, run func(context.Context) error) error {
	group := ops.NewGroup(ctx)
	if s.Ops.Listen != "" {
		page, err := ops.Listen(ops.ServerConfig{
			Listen: s.Ops.Listen, TokenFile: s.Ops.TokenFile, Registry: reg, Log: c.Log,
			Health: func() ops.Health {
				state, reason := runtime.Health()
				return ops.Health{State: state, Reason: reason}
			},
			Status: func(context.Context) (any, error) {
				status := runtime.Status()
				status.Version = ops.Version
				return status, nil
			},
		})
		if err != nil {
			return err
		}
		group.Beside(page.Run)
	}
	c.Log.Info("starting", "pipeline", s.Name, "version", ops.Version, "config_version", c.ConfigVersion)
	err := group.Main(run)
	if err == nil {
		c.Log.Info("stopped cleanly", "pipeline", s.Name)
	}
	return err
}
