package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
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
// else would notice, so watch ends the session. The database comes first. A server
// that cannot be asked at all for ten seconds, while Kafka is away, counts as one that
// shuts down: something between may hide its answer.
type watch struct {
	postgres postgres.Config
	ping     map[string]func(context.Context) error // Kafka and registry
	status   *status
	closing  func(error) // ends the session
	guard    *guard
	log      *slog.Logger
	appeared func(context.Context, *pgx.Conn) ([]string, error) // tables that the session has not taken in
	vouch    func(pid uint32, asked time.Time)                  // is told whose the slot is
	giveUp   func(context.Context, *pgx.Conn) (bool, error)     // what holds the past and must not any longer

	probe  probe
	unseen time.Time // since when PostgreSQL has not answered anything; zero: it has
	rounds int
	told   string // tables whose appearance has ended a session already
}

const watchEvery = 2 * time.Second

// unseenFor is how long PostgreSQL may be silent while Kafka is away, before it is
// taken for a server that waits for us in order to shut down.
const unseenFor = 10 * time.Second

// tablesEvery is how many rounds lie between two looks for new tables.
const tablesEvery = 5

var (
	errShuttingDown = errors.New("PostgreSQL is shutting down")
	errUnseen       = errors.New("PostgreSQL cannot be asked whether it shuts down, and Kafka is away")
	errNewTables    = errors.New("new tables have appeared; starting again to take them in")
)

// run watches until ctx ends. Each is asked in a loop of its own: a broker that
// takes its time must not delay what is to be done for the database.
func (w *watch) run(ctx context.Context) {
	defer w.probe.disconnect()
	var loops sync.WaitGroup
	again := func(name string, ask func(context.Context) error) {
		loops.Go(func() {
			for ok := true; ok; ok = ops.Sleep(ctx, watchEvery) == nil {
				w.note(name, w.within(ctx, ask))
			}
		})
	}
	for name, ping := range w.ping {
		again(name, ping)
	}
	again("PostgreSQL", w.server)
	loops.Wait()
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
	switch {
	case err == nil || postgres.Answered(err):
		w.unseen = time.Time{}
	case w.unseen.IsZero():
		w.unseen = time.Now()
	case time.Since(w.unseen) > unseenFor && w.status.isAway("Kafka"):
		w.closing(errUnseen)
	}
	return err
}

func (w *watch) ask(ctx context.Context, conn *pgx.Conn) error {
	asked := time.Now()
	wal, err := postgres.ReadWAL(ctx, conn, w.postgres.Slot)
	if err != nil {
		return err
	}
	w.vouch(wal.PID, asked)
	w.status.saw(serverState{LSN: wal.End, Retained: wal.Retained})
	// The past goes before the present: the relay's own slot is judged in the next
	// round.
	if gave, err := w.giveUp(ctx, conn); gave || err != nil {
		return err
	}
	if err := w.guard.look(ctx, conn, wal); err != nil {
		return err
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
	found := strings.Join(names, ", ")
	if found != "" && found != w.told {
		w.log.Info("the publication has changed, or new tables match", "tables", found)
		w.closing(errNewTables)
	}
	w.told = found
	return nil
}
