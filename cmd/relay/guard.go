package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/cdc/postgres"
	"github.com/tailrace/tailrace/internal/ops"
)

// guard keeps the slot from filling the server's disk: at wal.warn it says so; at
// wal.max it says so louder, or gives the slot up. It acts whatever the relay does
// meanwhile: stopped, waiting for Kafka, waiting for the registry. It also sees a
// slot that PostgreSQL has invalidated, before the stream would find out.
//
// What can go wrong: the relay confirms just then, and the slot would have been
// saved a moment later: retained bytes are asked for anew, in the same statement
// that tells of the limit, two seconds apart at most. The slot is streamed from by a
// relay that this one is the standby of: it is dropped all the same; the database
// comes first, and both have the same limit. A start that is allowed to go on without
// a lost slot is interrupted by the news of it: it is told once of each loss, and the
// next start knows by itself.
type guard struct {
	slot    string
	warn    int64 // bytes that the slot may hold back before it is said; 0: never
	max     int64 // bytes that it may hold back at most; 0: any number
	drop    bool  // what happens at max: the slot is given up
	stop    func(error)
	status  *status
	log     *slog.Logger
	repeats *ops.Repeats

	told   bool // that the slot is lost
	growth growth
}

// look acts on what the server says of the slot.
func (g *guard) look(ctx context.Context, conn *pgx.Conn, wal postgres.WAL) error {
	g.growth.add(time.Now(), wal.Retained)
	g.status.guarded(g.forecast(wal.Retained))
	if wal.Status != "lost" {
		g.told = false
	} else if !g.told {
		g.told = true
		why, next := postgres.Loss(wal.Lost)
		g.over(&cdc.StopError{What: fmt.Sprintf("PostgreSQL has invalidated slot %q: %s", g.slot, why), Pos: wal.Confirmed.String(),
			Next: next + "; relay run --resnapshot or relay resume --resnapshot reads all tables again", Trouble: cdc.Gap})
		return nil
	}
	held := []slog.Attr{slog.String("slot", g.slot), slog.String("retained", ops.Bytes(wal.Retained))}
	switch {
	case g.max > 0 && wal.Retained >= g.max && g.drop:
		return g.giveUp(ctx, conn, wal)
	case g.max > 0 && wal.Retained >= g.max:
		g.repeats.Log(ctx, slog.LevelError, "wal.max", "the slot holds back as much WAL as wal.max allows; nothing is done about it (wal.at_max: warn)", append(held, slog.String("max", ops.Bytes(g.max)))...)
	case g.warn > 0 && wal.Retained >= g.warn:
		g.repeats.Log(ctx, slog.LevelWarn, "wal", "the slot holds back more WAL than wal.warn; the server's disk fills until the relay catches up",
			append(held, slog.String("warn", ops.Bytes(g.warn)), slog.String("guard", g.forecast(wal.Retained)))...)
	}
	return nil
}

func (g *guard) giveUp(ctx context.Context, conn *pgx.Conn, wal postgres.WAL) error {
	why := &cdc.StopError{What: fmt.Sprintf("the WAL guard gave slot %q up: it held back %s, and wal.max is %s", g.slot, ops.Bytes(wal.Retained), ops.Bytes(g.max)), Pos: wal.Confirmed.String(),
		Next: "mend what kept the relay from publishing; then relay run --resnapshot or relay resume --resnapshot reads all tables again", Trouble: cdc.Gap}
	if err := postgres.GiveUp(ctx, conn, g.slot); err != nil {
		return err
	}
	g.over(why)
	return nil
}

// over says that the slot is gone: to the session, which ends, and to people, also
// where the relay has stopped for another reason already.
func (g *guard) over(why *cdc.StopError) {
	g.log.Error("the slot is gone", "error", why.Error())
	g.status.failed(why)
	if state, reason := g.status.current(); state == ops.StateStopped {
		g.status.set(state, reason+"; since then "+why.Error())
	}
	g.stop(why)
}

// forecast says when the guard will act.
func (g *guard) forecast(retained int64) string {
	if g.max == 0 {
		return fmt.Sprintf("the slot holds back %s of WAL, and nothing bounds that (wal.max: 0)", ops.Bytes(retained))
	}
	act := "says so louder (wal.at_max: warn)"
	if g.drop {
		act = "gives the slot up (wal.at_max: drop_slot)"
	}
	at := fmt.Sprintf("at %s of WAL, of which the slot holds back %s, the WAL guard %s", ops.Bytes(g.max), ops.Bytes(retained), act)
	rate := g.growth.perSecond()
	if rate <= 0 {
		return at + "; it does not grow at present"
	}
	left := time.Duration(float64(max(g.max-retained, 0)) / rate * float64(time.Second))
	switch minutes := int(left.Round(time.Minute) / time.Minute); {
	case left < 90*time.Second:
		return at + ", which is in about a minute as it grows now"
	case left > 100*24*time.Hour:
		return at + ", which is months away as it grows now"
	default:
		return fmt.Sprintf("%s, which is in about %d minutes as it grows now", at, minutes)
	}
}

// growth is how fast what the slot holds back becomes more: over the last five to
// ten minutes, or since it last became less.
type growth struct {
	older, old, now sample
}

type sample struct {
	at    time.Time
	bytes int64
}

const growthWindow = 5 * time.Minute

func (g *growth) add(at time.Time, bytes int64) {
	s := sample{at, bytes}
	if g.now.at.IsZero() || bytes < g.now.bytes {
		g.older, g.old = s, s
	}
	if g.now = s; at.Sub(g.old.at) >= growthWindow {
		g.older, g.old = g.old, s
	}
}

// perSecond is 0 until there are two samples.
func (g *growth) perSecond() float64 {
	took := g.now.at.Sub(g.older.at).Seconds()
	if took <= 0 {
		return 0
	}
	return float64(g.now.bytes-g.older.bytes) / took
}
