package main

import (
	"context"
	"log/slog"

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
			return runPipeline(cmd.Context(), s, file, steps.Build(made), log)
		},
	}
}

// runPipeline wires one pipeline: configuration to parts, parts to the runtime,
// and the page for operators beside it.
func runPipeline(ctx context.Context, s *settings, file *config.File, made []processors.StepConfig, log *slog.Logger) error {
	reg := ops.NewRegistry("processor")
	connection, err := s.kafkaConfig()
	if err != nil {
		return err
	}
	known, err := s.schemas(reg)
	if err != nil {
		return err
	}
	sink, err := s.sink(log)
	if err != nil {
		return err
	}
	defer sink.Close()
	letters, err := kafka.NewDeadLetters(connection, s.Errors.DeadLetter.Topic, -1)
	if err != nil {
		return err
	}
	defer letters.Close()
	control, err := kafka.NewControl(connection, s.Name, -1)
	if err != nil {
		return err
	}
	defer control.Close()

	c := s.runtimeConfig(file, log)
	c.Sink, c.Outbox, c.Letters, c.Control, c.Schemas, c.Registry, c.Steps = sink, sink, letters, control, known, reg, made
	runtime := processors.New(c)
	consumer, err := kafka.NewConsumer(s.consumerConfig(connection, runtime, log))
	if err != nil {
		return err
	}

	group := ops.NewGroup(ctx)
	if s.Ops.Listen != "" {
		page, err := ops.Listen(ops.ServerConfig{
			Listen: s.Ops.Listen, TokenFile: s.Ops.TokenFile, Registry: reg, Log: log,
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
	log.Info("starting", "pipeline", s.Name, "version", ops.Version, "config_version", c.ConfigVersion)
	err = group.Main(func(ctx context.Context) error { return runtime.Run(ctx, consumer) })
	if err == nil {
		log.Info("stopped cleanly", "pipeline", s.Name)
	}
	return err
}
