package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/cdc/postgres"
	"github.com/tailrace/tailrace/internal/ops"
	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/schema"
)

// supervisor keeps a relay streaming: each session is one start in the order of
// locks, and the end of a session for a transient reason begins the next.
type supervisor struct {
	postgres  postgres.Config
	kafka     kafka.PublisherConfig
	settings  schema.Settings
	relay     cdc.Config
	snapshot  snapshotMode
	create    bool        // the slot may be made
	adopt     bool        // a slot that we know nothing of is a Debezium's
	exit      bool        // leave where a person must decide
	remedies  resumption  // of relay run
	once      resumption  // of relay resume; for the next start
	shown     cdc.Trouble // what the last stream has shown and no start can see
	undecoded undecoded
	resumed   chan resumption // relay resume
	registrar schema.Registrar
	status    *status
	metrics   *metrics
	log       *slog.Logger
	connected bool            // PostgreSQL has let us in once
	fallbacks map[string]bool // what was warned of
	keeper    *keeper         // of what holds the past
	preflight func(context.Context) []cdc.Finding
	checked   bool                                    // the preflight was asked and found nothing that forbids a start
	interrupt atomic.Pointer[context.CancelCauseFunc] // ends the session that runs
	database  atomic.Pointer[postgres.Database]       // of the session that runs
}

// vouch tells the session that runs what the server has said of the slot. Safe for
// concurrent use.
func (s *supervisor) vouch(pid uint32, asked time.Time) {
	if db := s.database.Load(); db != nil {
		db.Vouch(pid, asked)
	}
}

// appeared lists tables that the session which runs has not taken in. Safe for
// concurrent use.
func (s *supervisor) appeared(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	if db := s.database.Load(); db != nil {
		return db.Appeared(ctx, conn)
	}
	return nil, nil
}

// end ends the session that runs, with a reason. Safe for concurrent use.
func (s *supervisor) end(why error) {
	if cancel := s.interrupt.Load(); cancel != nil {
		(*cancel)(why)
	}
}

type snapshotMode struct {
	tables bool // read the tables at the first start
	only   bool // and end then
	needed bool // read them at a gap, too
}

// errDone ends a relay that had one thing to do.
var errDone = errors.New("done")

// run goes from session to session until ctx ends or a person is needed.
func (s *supervisor) run(ctx context.Context) error {
	backoff := ops.Backoff{Initial: 200 * time.Millisecond, Max: 10 * time.Second}
	repeats := ops.NewRepeats(s.log)
	for {
		began := time.Now()
		s.status.set(ops.StateStarting, "")
		err := s.undecoded.judge(s.session(ctx), s.postgres.Slot, s.status.report().ConfirmedLSN)
		switch {
		case errors.Is(err, errDone):
			return nil
		case ctx.Err() != nil:
			if errors.Is(err, cdc.ErrUnconfirmed) {
				return err
			}
			return nil
		case cdc.Stopped(err):
			if s.settles(err) {
				continue
			}
			if s.exit {
				return &ops.Exit{Code: ops.ExitStopped, Err: err}
			}
			s.status.failed(err)
			s.status.set(ops.StateStopped, err.Error())
			s.log.Error("stopped: a person must decide", "error", err.Error())
			select {
			case <-ctx.Done():
				return nil
			case s.once = <-s.resumed:
				s.log.Info("resumed", "resnapshot", s.once.Resnapshot, "accept_gap", s.once.AcceptGap)
				if s.once != (resumption{}) {
					s.shown = troubleShown(err)
				}
				continue
			}
		case !s.connected && postgres.Refused(err):
			return &ops.Exit{Code: ops.ExitFailed, Err: err}
		}
		if errors.Is(err, errNewTables) {
			continue
		}
		if time.Since(began) > time.Minute {
			backoff.Reset()
		}
		wait := backoff.Next()
		s.status.failed(err)
		s.status.set(ops.StateDisconnected, err.Error())
		repeats.Log(ctx, slog.LevelWarn, err.Error(), "disconnected; trying again", slog.String("error", err.Error()), slog.Duration("wait", wait))
		if ops.Sleep(ctx, wait) != nil {
			return nil
		}
	}
}

// settles tells whether the relay was allowed beforehand to go on after what a
// session has shown. A lost slot the next start sees for itself; that the server has
// another history it is told, since no start can find that.
func (s *supervisor) settles(err error) bool {
	var stop *cdc.StopError
	if errors.As(err, &stop) && stop.Trouble == cdc.Gap {
		return s.snapshot.needed || s.remedies != (resumption{}) || s.once != (resumption{})
	}
	allowed := s.remedies.Resnapshot || s.remedies.AcceptGap || s.snapshot.needed && troubleShown(err) == cdc.Undecodable
	if s.shown != cdc.NoTrouble || troubleShown(err) == cdc.NoTrouble || !allowed {
		return false
	}
	s.shown = troubleShown(err)
	return true
}

// troubleShown is the trouble of an error that only a stream can find.
func troubleShown(err error) cdc.Trouble {
	var stop *cdc.StopError
	if errors.As(err, &stop) && (stop.Trouble == cdc.Diverged || stop.Trouble == cdc.Undecodable) {
		return stop.Trouble
	}
	return cdc.NoTrouble
}

// undecoded counts sessions that the server ended because it could not decode its
// WAL, at the same place. What was tried some times will not go another time: the
// server's view of its catalog at that place is wrong, and stays so. (Seen on
// PostgreSQL 17.7: a slot was made while transactions truncated tables, and after it
// was cut off, decoding failed with "could not map filenumber … to relation OID".)
type undecoded struct {
	at    cdc.LSN
	times int
}

const undecodedMost = 4

func (u *undecoded) judge(err error, slot string, confirmed cdc.LSN) error {
	if !errors.Is(err, cdc.ErrUndecodable) {
		return err
	}
	if u.at != confirmed {
		u.at, u.times = confirmed, 0
	}
	if u.times++; u.times < undecodedMost {
		return err
	}
	u.times = 0
	return &cdc.StopError{What: fmt.Sprintf("PostgreSQL cannot decode what slot %q holds: it fails at the same place again and again", slot), Pos: confirmed.String(), Err: err,
		Next: "relay run --resnapshot or relay resume --resnapshot makes another slot and reads all tables again; --accept-gap goes on at another slot without the changes between", Trouble: cdc.Undecodable}
}

// session is one life of the relay: from the start to the first fault.
func (s *supervisor) session(parent context.Context) error {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	s.interrupt.Store(&cancel)

	if err := s.check(ctx); err != nil {
		return err
	}
	db := postgres.New(s.postgres)
	defer db.Close()
	s.database.Store(db)
	defer s.database.Store(nil)
	log := s.kafka
	log.Ours = db.Ours
	log.Waiting = func(d time.Duration) {
		s.changed(ops.StateStarting, fmt.Sprintf("waiting %s, after which nothing of the relay before can still be on its way to Kafka (delivery: at_least_once)", d))
	}
	publisher, err := kafka.NewPublisher(log)
	if err != nil {
		return err
	}
	defer publisher.Close()
	system, err := db.Identify(ctx)
	if err != nil {
		return err
	}
	s.connected = true
	settings := s.settings
	settings.Database = system.Database
	conf := s.relay
	conf.Include = db.Selected
	r := &cdc.Relay{
		Config: conf, Log: publisher, Observer: s.metrics, Logger: s.log,
		Encoder: encoder{schemas: schema.NewEncoder(settings, s.registrar), supervisor: s},
	}
	starter := &cdc.Starter{
		Database: db, Memory: publisher, Slot: s.postgres.Slot, Publication: s.postgres.Publication,
		Snapshot: s.snapshot.tables, Create: s.create, Adopt: s.adopt, Nonce: strconv.FormatUint(rand.Uint64(), 16),
		State: s.changed, Report: s.status.progress,
		Remedies: cdc.Remedies{
			Resnapshot: s.remedies.Resnapshot || s.once.Resnapshot, AcceptGap: s.remedies.AcceptGap || s.once.AcceptGap,
			WhenNeeded: s.snapshot.needed, Shown: s.shown,
		},
	}
	stream, err := starter.Start(ctx, r)
	if err == nil {
		s.once, s.shown = resumption{}, cdc.NoTrouble
		s.keeper.remember(r.Places())
	}
	if err != nil {
		return cause(ctx, err)
	}
	defer stream.Close()
	if s.snapshot.only {
		return errDone
	}
	s.changed(ops.StateStreaming, "")
	return cause(ctx, r.Stream(ctx))
}

// check refuses what relay check calls an error, once in the life of the process.
// What does not answer is met again by the start itself, which waits for it; the
// slot and the schemas the start judges better, since it knows what was published.
// Too few replicas are said and not refused: a relay that is started again while
// a broker is down must go on, since the slot fills the database's disk.
func (s *supervisor) check(ctx context.Context) error {
	if s.checked {
		return nil
	}
	var wrong, next []string
	told := true
	refuse := func(f cdc.Finding) { wrong, next = append(wrong, f.Name+": "+f.What), append(next, f.Remedy) }
	for _, f := range s.preflight(ctx) {
		if f.Level != cdc.LevelError {
			continue
		}
		switch f.Name {
		case "postgres", "kafka", "registry":
			told = false
		case "slot", "schema":
		case "replicas", "min_insync_replicas", "unclean_election":
			s.log.Warn(f.What, "check", f.Name, "remedy", f.Remedy)
		default:
			refuse(f)
		}
	}
	if len(wrong) > 0 {
		return &cdc.StopError{What: strings.Join(wrong, "; "), Next: strings.Join(next, "; ")}
	}
	s.checked = told
	return nil
}

// cause is why the session was interrupted, if it was.
func cause(ctx context.Context, err error) error {
	if why := context.Cause(ctx); why != nil && !errors.Is(why, context.Canceled) {
		return why
	}
	return err
}

// changed notes and logs a new state.
func (s *supervisor) changed(state, reason string) {
	if was, why := s.status.current(); was == state && why == reason {
		return
	}
	s.status.set(state, reason)
	s.log.Info(state, "slot", s.postgres.Slot, "reason", reason)
}

// encoder compiles plans, and warns once of columns that go as text.
type encoder struct {
	schemas    *schema.Encoder
	supervisor *supervisor
}

// Plan has the schemas of a table accepted and compiles its plan. A schema that
// the registry refuses is offered again with every column outside the key
// nullable: the table's facts may have been unknown when an earlier version was
// published, and a column that was nullable then cannot be NOT NULL now. So the
// text that Debezium registers, under format.compat, is always offered first.
func (e encoder) Plan(ctx context.Context, t *cdc.Table, topic, key string) (cdc.Plan, *cdc.Table, error) {
	plan, err := e.plan(ctx, t, topic, key)
	var refused *cdc.RefusedError
	if errors.As(err, &refused) && t.Facts {
		wide := schema.Nullable(t)
		if again, err := e.plan(ctx, wide, topic, key); err == nil {
			if key := "nullable " + t.String(); !e.supervisor.fallbacks[key] {
				e.supervisor.fallbacks[key] = true
				e.supervisor.log.Warn("the registry refused the schema with NOT NULL columns and took it with nullable ones", "table", t.String(), "refusal", refused.Error())
			}
			again.Forget()
			return again, wide, nil
		}
	}
	if errors.As(err, &refused) {
		return nil, nil, refused
	}
	if err != nil {
		return nil, nil, err
	}
	for _, i := range plan.Fallbacks() {
		c := t.Columns[i]
		key := t.String() + "." + c.Name
		if s := e.supervisor; !s.fallbacks[key] {
			s.fallbacks[key] = true
			s.metrics.Fallback(t.String(), c.Name, c.Type.Name)
			s.log.Warn("a column's type has no mapping of its own; it is published as text", "table", t.String(), "column", c.Name, "type", c.Type.Name)
		}
	}
	plan.Forget()
	return plan, t, nil
}

func (e encoder) plan(ctx context.Context, t *cdc.Table, topic, key string) (*schema.Plan, error) {
	if key == "" {
		return e.schemas.Plan(ctx, t, topic)
	}
	return e.schemas.PinnedPlan(ctx, t, topic, key)
}

// Messages has the schemas of logical messages accepted.
func (e encoder) Messages(ctx context.Context, topic string) (cdc.MessagePlan, error) {
	return e.schemas.Messages(ctx, topic)
}

// Transactions has the schemas of transaction metadata accepted.
func (e encoder) Transactions(ctx context.Context, topic string) (cdc.TransactionPlan, error) {
	return e.schemas.Transactions(ctx, topic)
}

// Heartbeats has the schemas of heartbeats accepted.
func (e encoder) Heartbeats(ctx context.Context, topic string) (cdc.HeartbeatPlan, error) {
	return e.schemas.Heartbeats(ctx, topic)
}

// Widen makes a place for what a row showed against the table's facts.
func (e encoder) Widen(t *cdc.Table, fact *cdc.FactError) *cdc.Table {
	if fact.Fact == cdc.FactEnumLabel {
		return schema.AddLabels(t, fact.Column, fact.Text)
	}
	return schema.Widen(t, fact.Column)
}
