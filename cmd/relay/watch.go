package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/cdc/postgres"
	"github.com/tailrace/tailrace/internal/ops"
)

// watch asks PostgreSQL, Kafka and the registry every two seconds how they are.
// It has connections of its own, so it sees what a session that waits cannot.
//
// It also sees a server that shuts down: such a server waits for its walsender,
// and the walsender for us. When reading is paused because Kafka is away, nobody
// else would notice, so watch ends the session. The database comes first.
type watch struct {
	postgres postgres.Config
	ping     map[string]func(context.Context) error // Kafka and registry
	status   *status
	closing  func(error) // ends the session
	warn     int64       // bytes that the slot may hold back before it is said; 0: never
	max      int64       // bytes that it may hold back at most; 0: any number
	drop     bool        // what happens at max: the slot is given up
	log      *slog.Logger
	repeats  *ops.Repeats
	appeared func(context.Context, *pgx.Conn) ([]string, error) // tables that the session has not taken in

	probe  probe
	rounds int
	told   string // tables whose appearance has ended a session already
}

const watchEvery = 2 * time.Second

// tablesEvery is how many rounds lie between two looks for new tables.
const tablesEvery = 5

var (
	errShuttingDown = errors.New("PostgreSQL is shutting down")
	errNewTables    = errors.New("new tables have appeared; starting again to take them in")
)

// run watches until ctx ends.
func (w *watch) run(ctx context.Context) {
	defer w.probe.disconnect()
	for {
		for name, ping := range w.ping {
			w.note(name, w.within(ctx, ping))
		}
		w.note("PostgreSQL", w.within(ctx, w.server))
		if ops.Sleep(ctx, watchEvery) != nil {
			return
		}
	}
}

func (w *watch) within(ctx context.Context, ask func(context.Context) error) error {
	bounded, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	err := ask(bounded)
	if ctx.Err() != nil {
		return nil // the end of the program is nobody's fault
	}
	return err
}

func (w *watch) note(name string, err error) {
	if !w.status.depends(name, err) {
		return
	}
	if err != nil {
		w.log.Warn(name+" does not answer", "error", err.Error())
		return
	}
	w.log.Info(name + " answers again")
}

// server asks for the WAL's end and what the slot holds back.
func (w *watch) server(ctx context.Context) error {
	w.probe.postgres, w.probe.ask = w.postgres, w.ask
	err := w.probe.once(ctx)
	if postgres.ShuttingDown(err) {
		w.closing(errShuttingDown)
	}
	return err
}

func (w *watch) ask(ctx context.Context, conn *pgx.Conn) error {
	wal, err := postgres.ReadWAL(ctx, conn, w.postgres.Slot)
	if err != nil {
		return err
	}
	w.status.saw(serverState{LSN: wal.End, Retained: wal.Retained})
	if acted, err := w.guard(ctx, conn, wal); acted || err != nil {
		return err
	}
	if w.warn > 0 && wal.Retained >= w.warn {
		w.repeats.Log(ctx, slog.LevelWarn, "wal", "the slot holds back more WAL than wal.warn; the server's disk fills until the relay catches up",
			slog.String("slot", w.postgres.Slot), slog.String("retained", ops.Bytes(wal.Retained)), slog.String("warn", ops.Bytes(w.warn)))
	}
	if w.rounds++; w.rounds%tablesEvery == 0 {
		return w.tables(ctx, conn)
	}
	return nil
}

// tables looks for tables that match and are not published yet. The relay takes
// them in at a start, which reads their rows before it goes on with the stream.
func (w *watch) tables(ctx context.Context, conn *pgx.Conn) error {
	if state, _ := w.status.current(); state != ops.StateStreaming {
		return nil
	}
	names, err := w.appeared(ctx, conn)
	if err != nil {
		return err
	}
	if found := strings.Join(names, ", "); found != "" && found != w.told {
		w.told = found
		w.log.Info("new tables match", "tables", found)
		w.closing(errNewTables)
	}
	return nil
}
