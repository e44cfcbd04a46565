package main

import (
	"log/slog"
	"os"

	"github.com/tailrace/tailrace/sinks"
	"github.com/tailrace/tailrace/sinks/file"
	"github.com/tailrace/tailrace/sinks/postgres"
	"github.com/tailrace/tailrace/sinks/stdout"
)

// destination is a sink with its outbox: one that keeps the pipeline's offsets.
type destination interface {
	sinks.Sink
	sinks.Outbox
}

// sink makes the one that is configured.
func (s *settings) sink(log *slog.Logger) (destination, error) {
	switch {
	case s.Sink.File != nil:
		return file.New(file.Config{Dir: s.Sink.File.Dir, Pipeline: s.Name, MaxBytes: int64(s.Sink.File.MaxBytes)})
	case s.Sink.Stdout != nil:
		return stdout.New(os.Stdout), nil
	}
	return postgres.New(s.postgresConfig(), log)
}

// kind is the sink's key.
func (s *sinkSettings) kind() string {
	switch {
	case s.Kafka != nil:
		return "kafka"
	case s.File != nil:
		return "file"
	case s.Stdout != nil:
		return "stdout"
	}
	return "postgres"
}
