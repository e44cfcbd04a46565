package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/internal/ops"
	"github.com/tailrace/tailrace/schema"
	"github.com/tailrace/tailrace/schema/registry"
)

// patient asks the registry until it answers: away is not a reason to stop.
type patient struct {
	client   *registry.Client
	register bool
	status   *status
	log      *ops.Repeats
}

var _ schema.Historian = patient{}

// Register returns the id of a schema under a subject, once the registry has
// answered. That it is incompatible is the caller's to settle; any other refusal
// is a person's.
func (p patient) Register(ctx context.Context, subject, text string) (int, error) {
	var id int
	err := p.ask(ctx, subject, func(ctx context.Context) (err error) {
		if p.register {
			id, err = p.client.Register(ctx, subject, text)
		} else {
			id, err = p.client.Lookup(ctx, subject, text)
		}
		return err
	})
	var incompatible schema.Refusal
	if err == nil || ctx.Err() != nil || registry.Transient(err) || errors.As(err, &incompatible) {
		return id, err
	}
	return 0, &cdc.StopError{What: fmt.Sprintf("the registry does not take the schema of subject %q", subject), Err: err,
		Next: "mend that, and start the relay again"}
}

// Versions is what a subject holds, to tell which column a refusal is about.
func (p patient) Versions(ctx context.Context, subject string) (level string, schemas []string, err error) {
	err = p.ask(ctx, subject, func(ctx context.Context) (err error) {
		level, schemas, err = p.client.Versions(ctx, subject)
		return err
	})
	return level, schemas, err
}

func (p patient) ask(ctx context.Context, subject string, f func(context.Context) error) error {
	return ops.Retry(ctx, ops.Backoff{}, registry.Transient, func(err error, wait time.Duration) {
		p.status.depends("registry", err)
		p.log.Log(ctx, slog.LevelWarn, "registry", "the registry does not answer; rows wait for it",
			slog.String("subject", subject), slog.String("error", err.Error()), slog.Duration("wait", wait), slog.String("guard", p.status.forecast()))
	}, f)
}
