package main

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/cdc/postgres"
	"github.com/tailrace/tailrace/internal/ops"
)

// probe does something on a connection of its own, again and again: what it asks
// of the server must not wait for a session that waits for Kafka, and the other way
// round.
type probe struct {
	postgres postgres.Config
	every    time.Duration
	ask      func(context.Context, *pgx.Conn) error
	failed   func(context.Context, error) // may be nil: watch says that PostgreSQL is away
	conn     *pgx.Conn
}

// run asks until ctx ends. It returns nil, as a task beside the relay does.
func (p *probe) run(ctx context.Context) error {
	defer p.disconnect()
	for ops.Sleep(ctx, p.every) == nil {
		if err := p.once(ctx); err != nil && p.failed != nil && ctx.Err() == nil {
			p.failed(ctx, err)
		}
	}
	return nil
}

// once asks one time, connecting first where there is no connection; one that has
// failed is given up.
func (p *probe) once(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if p.conn == nil || p.conn.IsClosed() {
		conn, err := postgres.Connect(bounded, p.postgres)
		if err != nil {
			return err
		}
		p.conn = conn
	}
	err := p.ask(bounded, p.conn)
	if err != nil {
		p.disconnect()
	}
	return err
}

func (p *probe) disconnect() {
	if p.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = p.conn.Close(ctx) // nothing depends on a clean goodbye
		p.conn = nil
	}
}

// heartbeats writes a logical message at an interval while the relay streams. The
// loop tells, when the message has come through and is durable, how long that took.
//
// A relay that does not stream writes none: nobody would read it, and a standby's
// would be told of by the relay that streams.
func heartbeats(c postgres.Config, every time.Duration, state *status, log *slog.Logger) *probe {
	repeats := ops.NewRepeats(log)
	return &probe{
		postgres: c, every: every,
		ask: func(ctx context.Context, conn *pgx.Conn) error {
			if now, _ := state.current(); now != ops.StateStreaming {
				return nil
			}
			return postgres.EmitHeartbeat(ctx, conn, time.Now())
		},
		failed: func(ctx context.Context, err error) {
			if errors.Is(err, postgres.ErrNoHeartbeat) {
				repeats.Log(ctx, slog.LevelWarn, "heartbeat", "no heartbeat is written, so nothing measures the whole line", slog.String("reason", err.Error()))
			}
		},
	}
}

// xmin reads what source.xmin is at an interval. Its value is safe to read at any
// time; 0 is none yet.
func xmin(c postgres.Config, every time.Duration) (*probe, func() int64) {
	var now atomic.Int64
	p := &probe{postgres: c, every: every, ask: func(ctx context.Context, conn *pgx.Conn) error {
		wal, err := postgres.ReadWAL(ctx, conn, c.Slot)
		if err == nil && wal.XMin != 0 { // a slot that is away keeps the last value
			now.Store(wal.XMin)
		}
		return err
	}}
	return p, now.Load
}
