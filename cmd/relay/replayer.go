package main

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/cdc/postgres"
	"github.com/tailrace/tailrace/internal/ops"
	"github.com/tailrace/tailrace/kafka"
)

// replayer is one replay.
type replayer struct {
	settings *settings
	flags    replayFlags
	book     *ruleBook
	postgres postgres.Config
	out      *ops.Output
	log      *slog.Logger

	rem     *kafka.Recollection
	memory  kafka.PublisherConfig // of the relay
	past    past
	system  cdc.System
	tally   *replayTally
	unknown map[string]bool // tables that the history does not know
}

func newReplayer(s *settings, flags replayFlags, out *ops.Output, log *slog.Logger) (*replayer, error) {
	book, err := s.ruleBook()
	if err != nil {
		return nil, ops.Usage(err)
	}
	return &replayer{settings: s, flags: flags, book: book, postgres: s.postgresConfig(log, book), out: out, log: log, tally: newReplayTally(), unknown: map[string]bool{}}, nil
}

// live is the relay's progress; one of nothing when there is none.
func (r *replayer) live() cdc.Progress {
	if r.rem.Progress != nil {
		return *r.rem.Progress
	}
	return cdc.Progress{Version: 1, SystemID: r.system.ID, Epochs: []cdc.Epoch{{Epoch: 1, SystemID: r.system.ID, Timeline: r.system.Timeline}}}
}

// open streams from a copy of a slot.
func (r *replayer) open(ctx context.Context, h postgres.Held, at cdc.LSN) (cdc.Stream, error) {
	stream, _, err := r.stream(ctx, h, at)
	return stream, err
}

func (r *replayer) stream(ctx context.Context, h postgres.Held, at cdc.LSN) (cdc.Stream, *postgres.Database, error) {
	db := postgres.New(r.postgres)
	db.Remember(r.rem.History)
	stream, held, err := db.Past(ctx, h.Name, r.settings.names().Copy(strconv.FormatUint(uint64(rand.Uint32()), 16)), at)
	if err == nil && held > at {
		stream.Close()
		err = r.past.gone(place{text: at.String(), lsn: at})
	}
	if err != nil {
		db.Close()
		return nil, nil, err
	}
	return &closing{stream, db}, db, nil
}

// closing ends the SQL connection with the stream.
type closing struct {
	cdc.Stream
	db *postgres.Database
}

// Close ends both.
func (c *closing) Close() {
	c.Stream.Close()
	c.db.Close()
}

// look reads what the relay remembers and what the server holds.
func (r *replayer) look(ctx context.Context) error {
	var err error
	if r.rem, r.memory, err = r.settings.recall(ctx); err != nil {
		return err
	}
	if r.rem.Progress == nil && !r.flags.dry {
		return &cdc.StopError{What: fmt.Sprintf("the topic %s says that no relay of this name has published", kafka.ProgressTopic(r.settings.Name)), Next: "look at name and kafka.brokers"}
	}
	db := postgres.New(r.postgres)
	defer db.Close()
	if r.system, err = db.Identify(ctx); err != nil {
		return err
	}
	if p := r.rem.Progress; p != nil && p.SystemID != r.system.ID {
		return &cdc.StopError{What: fmt.Sprintf("the server is another system (%s) than the one published from (%s)", r.system.ID, p.SystemID), Next: "point the relay at its server"}
	}
	conn, err := postgres.Connect(ctx, r.postgres)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	return r.hold(ctx, conn)
}

func (r *replayer) hold(ctx context.Context, conn *pgx.Conn) error {
	h, err := postgres.ReadHeld(ctx, conn, r.settings.names())
	if err != nil {
		return err
	}
	r.past = newPast(h, r.rem)
	r.past.live = r.flags.dry
	return nil
}

func (r *replayer) run(ctx context.Context) error {
	if err := r.look(ctx); err != nil {
		return err
	}
	if r.flags.dry {
		return r.dryRun(ctx)
	}
	return r.publish(ctx)
}

// stretch turns the flags into LSNs. end is the last --to that there can be.
func (r *replayer) stretch(ctx context.Context, end cdc.LSN) (replayRequest, error) {
	q := r.flags.replayRequest
	q.Version, q.To = 1, end
	bookmarks := bookmarkRows(r.past.holding, r.rem.Bookmarks, r.settings.names())
	from, err := parsePlace(r.flags.from, bookmarks)
	if err != nil {
		return q, err
	}
	if r.flags.to != "" {
		to, err := parsePlace(r.flags.to, bookmarks)
		if err != nil {
			return q, err
		}
		if q.To, err = r.past.find(ctx, r, to, end); err != nil {
			return q, err
		}
	}
	if q.To > end {
		return q, fmt.Errorf("--to %s lies after %s, up to where there is anything to read", r.flags.to, end)
	}
	if q.From, err = r.past.find(ctx, r, from, q.To); err != nil {
		return q, err
	}
	if q.From > q.To {
		return q, fmt.Errorf("--from %s (%s) lies after %s, where the replay ends", r.flags.from, q.From, q.To)
	}
	return q, nil
}

// dryRun reads and counts.
func (r *replayer) dryRun(ctx context.Context) error {
	end := r.past.holding.End
	if r.rem.Progress != nil && r.flags.to == "" {
		end = r.rem.Progress.Confirmed
	}
	q, err := r.stretch(ctx, end)
	if err != nil {
		return err
	}
	from := place{text: q.From.String(), lsn: q.From}
	h, err := r.past.holds(from)
	if err != nil {
		return err
	}
	relay := r.loop(q, nothing{}, nil)
	relay.Config.CountOnly, relay.Config.Transactions = true, false
	p := r.begin(r.past.start(h, from))
	if err := r.read(ctx, relay, h, q, p); err != nil {
		return err
	}
	for table := range r.unknown {
		r.log.Warn("the schema history does not know this table there; a replay of it is refused without --schema="+relationOnly, "table", table)
	}
	return r.summary(q, nil)
}

// begin is the progress of a replay that begins at a place.
func (r *replayer) begin(at cdc.Sample) cdc.Progress {
	p := r.live()
	return cdc.Progress{
		Version: 1, SystemID: p.SystemID, Database: p.Database, Slot: p.Slot, Publication: p.Publication, Epochs: p.Epochs,
		Confirmed: at.LSN, Last: at.Last, Message: at.Message, Clock: at.Clock,
	}
}

// read runs the loop from where p stands.
func (r *replayer) read(ctx context.Context, relay *cdc.Relay, h postgres.Held, q replayRequest, p cdc.Progress) error {
	stream, db, err := r.stream(ctx, h, p.Confirmed)
	if err != nil {
		return err
	}
	defer stream.Close()
	relay.Config.Include = r.include(db, q)
	relay.Source = cdc.NewStretch(stream, r.rem.History, r.live(), q.To)
	relay.Rehearse(p, q.From)
	done := r.tally.watch(r, q, p.Confirmed)
	defer done()
	return relay.Replay(ctx)
}

// loop is the relay's loop over another log.
func (r *replayer) loop(q replayRequest, log cdc.Log, encoder cdc.Encoder) *cdc.Relay {
	conf := r.settings.relayConfig(r.book)
	conf.Heartbeat = 0
	conf.Limits.Keepalive = time.Second
	if len(q.Tables) > 0 {
		conf.Messages, conf.Transactions = nil, false
	}
	return &cdc.Relay{Config: conf, Log: log, Encoder: encoder, Observer: r.tally, Logger: r.log, History: r.rem.History}
}

// include tells which tables are replayed: those that the configuration selects now,
// that were asked for, and that the history knows.
func (r *replayer) include(db *postgres.Database, q replayRequest) func(context.Context, *cdc.Table) (bool, error) {
	asked := newPatterns(q.Tables, func(int, error) {}) // validate has told what is wrong
	return func(ctx context.Context, t *cdc.Table) (bool, error) {
		if in, err := db.Selected(ctx, t); err != nil || !in || len(q.Tables) > 0 && !asked.fit(t.String()) {
			return false, err
		}
		if r.rem.History.Known(t) || q.Schema == relationOnly {
			return true, nil
		}
		if r.flags.dry {
			r.unknown[t.String()] = true
			return true, nil
		}
		return false, &cdc.StopError{What: "the schema history does not know the table as it was there", Pos: t.String(),
			Next: "begin later, leave the table out (--table), or take --schema=" + relationOnly + ", which reads it with all columns outside the key nullable and no defaults"}
	}
}
