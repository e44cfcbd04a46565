package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/cdc/postgres"
	"github.com/tailrace/tailrace/internal/ops"
	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/schema"
	"github.com/tailrace/tailrace/schema/registry"
)

// replayRequest is what was asked for: the key request of a replay's memory, so that
// one that was killed goes on with the same.
type replayRequest struct {
	Version int      `json:"version"` // 1
	ID      string   `json:"id"`
	From    cdc.LSN  `json:"from"` // the first commit
	To      cdc.LSN  `json:"to"`   // the first commit that is not part of it
	Tables  []string `json:"tables,omitempty"`
	Into    string   `json:"into,omitempty"`
	Schema  string   `json:"schema,omitempty"`
}

type replayFlags struct {
	replayRequest
	from, to string
	dry      bool
}

const relationOnly = "relation-only"

func newReplayCommand(g *globals) *cobra.Command {
	var flags replayFlags
	cmd := &cobra.Command{
		Use:   "replay --from P [--to P]",
		Short: "Publishes a stretch of the past again, into replay topics",
		Long: `Publishes again what committed at or after --from and before --to, with the positions, keys and schemas that
it had, into topics of its own: <topic>.replay.<id>, or the one that --into names. A topic that the relay publishes
to is refused. The relay may run meanwhile.

P is an LSN (16/B374D848), a time (RFC 3339) or bookmark:NAME. A time is the first commit at which the greatest
commit time so far reaches it. Without --to it is all that the relay has published.

The past has to be held: by the trailing slot (replay.window), or by a bookmark (relay slot bookmark). It is read
over a temporary copy of that slot, so nothing is taken from it. A replay that is cut off goes on with its --id.`,
		Example: "  relay replay --from 2026-03-01T10:15:00Z --dry-run\n  relay replay --from bookmark:before-migration --table public.orders\n  relay replay --from 16/B374D848 --to 16/B4000000 --id tuesday\n  relay replay --id tuesday",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, s, _, err := g.Open()
			if err != nil {
				return err
			}
			log, err := g.Logger()
			if err != nil {
				return err
			}
			if err := flags.validate(); err != nil {
				return ops.Usage(err)
			}
			if err := s.available(); err != nil {
				return ops.Usage(err)
			}
			r, err := newReplayer(s, flags, out, log)
			if err != nil {
				return err
			}
			return r.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&flags.from, "from", "", "where it begins: an LSN, a time or bookmark:NAME")
	f.StringVar(&flags.to, "to", "", "where it ends, without what commits there; default: what is published")
	f.StringSliceVar(&flags.Tables, "table", nil, "tables to replay, schema.table or patterns; default: all, and logical messages")
	f.StringVar(&flags.Into, "into", "", "one `TOPIC` for the records of all tables; it must be empty")
	f.BoolVar(&flags.dry, "dry-run", false, "read and count only")
	f.StringVar(&flags.ID, "id", "", "name of the replay, part of its topics' names; the same again goes on with it")
	f.StringVar(&flags.Schema, "schema", "", "relation-only: replay tables that the schema history does not know, with all columns outside the key nullable")
	return cmd
}

var legalID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func (f *replayFlags) validate() error {
	switch {
	case f.from == "" && (f.dry || f.ID == ""):
		return errors.New("replay: say where it begins: --from, or with --id of one that was cut off, which one")
	case f.Schema != "" && f.Schema != relationOnly:
		return fmt.Errorf("--schema %q: want %s", f.Schema, relationOnly)
	case f.ID != "" && !legalID.MatchString(f.ID):
		return fmt.Errorf("--id %q: want at most 64 letters, digits, dashes and underscores", f.ID)
	case f.Into != "" && (!legalTopic.MatchString(f.Into) || len(f.Into) > 249):
		return fmt.Errorf("--into %q: want at most 249 letters, digits, dots, dashes and underscores", f.Into)
	}
	for _, table := range f.Tables {
		if _, err := newPattern(table); err != nil {
			return fmt.Errorf("--table %s: %w", table, err)
		}
	}
	return nil
}

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

// publish is the replay itself.
func (r *replayer) publish(ctx context.Context) error {
	q := r.flags.replayRequest
	if q.ID == "" {
		q.ID = time.Now().UTC().Format("20060102t150405")
		r.flags.ID = q.ID
	}
	config := r.memory
	config.AtLeastOnce, config.TransactionalID = false, "tailrace."+r.settings.Name+".replay."+q.ID
	config.Replay = &kafka.ReplayConfig{ID: q.ID, Into: q.Into, Beside: []string{r.settings.DeadLetter.Topic, cdc.MessageTopic(r.settings.Name), cdc.TransactionTopic(r.settings.Name)}, Partitions: r.rem.Partitions, Keys: r.rem.Keys}
	publisher, err := kafka.NewPublisher(config)
	if err != nil {
		return err
	}
	defer publisher.Close()
	if err := publisher.Fence(ctx); err != nil {
		return err
	}
	rem, err := publisher.Read(ctx)
	if err != nil {
		return err
	}
	begun := rem.Progress != nil && rem.Request != nil
	if begun {
		if q, err = r.resume(rem.Request); err != nil {
			return err
		}
		if rem.Finished {
			return r.out.Text("replay %s is whole already: %s to %s\n", q.ID, q.From, q.To)
		}
		r.log.Info("going on with a replay that was cut off", "id", q.ID, "at", rem.Progress.Confirmed.String(), "to", q.To.String())
	} else if q, err = r.plan(ctx); err != nil {
		return err
	}
	config.Replay.Into = q.Into
	at := place{text: q.From.String(), lsn: q.From}
	if begun {
		at = place{text: rem.Progress.Confirmed.String(), lsn: rem.Progress.Confirmed}
	}
	h, err := r.past.holds(at)
	if err != nil {
		return err
	}
	var p cdc.Progress
	if begun {
		p = *rem.Progress
	} else if p, err = r.note(ctx, publisher, q, r.past.start(h, at)); err != nil {
		return err
	}
	relay := r.loop(q, publisher, r.encoder(q))
	r.log.Info("replaying", "id", q.ID, "from", q.From.String(), "to", q.To.String(), "slot", h.Name)
	err = r.read(ctx, relay, h, q, p)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("replay %s is cut off: relay replay --id %s goes on with it", q.ID, q.ID)
	case err != nil:
		return fmt.Errorf("replay %s: %w", q.ID, err)
	}
	return r.summary(q, config.Replay)
}

// resume is the request of the earlier run; what is asked for now must not differ.
func (r *replayer) resume(text []byte) (replayRequest, error) {
	var q replayRequest
	if err := json.Unmarshal(text, &q); err != nil {
		return q, fmt.Errorf("replay %s: its request cannot be read: %w", r.flags.ID, err)
	}
	f := &r.flags
	if f.Into != "" && f.Into != q.Into || len(f.Tables) > 0 && !slices.Equal(f.Tables, q.Tables) || f.Schema != "" && f.Schema != q.Schema {
		return q, ops.Usage(fmt.Errorf("replay %s was begun with other tables, topic or schema; give it another --id, or go on with --id alone", q.ID))
	}
	return q, nil
}

// plan is a new replay.
func (r *replayer) plan(ctx context.Context) (replayRequest, error) {
	if r.flags.from == "" {
		return replayRequest{}, ops.Usage(fmt.Errorf("there is no replay %s to go on with; say where it begins: --from", r.flags.ID))
	}
	if err := r.target(ctx); err != nil {
		return replayRequest{}, err
	}
	return r.stretch(ctx, r.rem.Progress.Confirmed)
}

// target refuses a topic that somebody reads as a source. Its readers would go back,
// a compacted one would keep the older values, and no position could be searched for
// any more.
func (r *replayer) target(ctx context.Context) error {
	into, s := r.flags.Into, r.settings
	if into == "" {
		return nil
	}
	_, pinned := r.rem.Partitions[into]
	side := []string{s.DeadLetter.Topic, cdc.MessageTopic(s.Name), cdc.TransactionTopic(s.Name), cdc.HeartbeatTopic(s.Name)}
	if pinned || kafka.IsDataTopic(s.Name, into) || slices.Contains(side, into) || slices.Contains(s.ownTopics(), into) || internalTopic.MatchString(into) {
		return ops.Usage(fmt.Errorf("--into %s: a source topic takes no replay: its readers would go back; name another one, or leave --into out", into))
	}
	empty, err := kafka.Empty(ctx, r.memory.Config, into)
	if err == nil && !empty {
		err = ops.Usage(fmt.Errorf("--into %s: the topic holds records; a replay goes into one of its own", into))
	}
	return err
}

var internalTopic = regexp.MustCompile(`^(tailrace\.|__)`)

// note makes durable what is replayed, before the first record.
func (r *replayer) note(ctx context.Context, log cdc.Log, q replayRequest, at cdc.Sample) (cdc.Progress, error) {
	p := r.begin(at)
	text, err := json.Marshal(q)
	if err != nil {
		return p, fmt.Errorf("request: %w", err)
	}
	if err := log.Note(ctx, cdc.Note{Key: cdc.KeyRequest, Value: text}); err != nil {
		return p, err
	}
	return p, log.Commit(ctx, p)
}

// encoder has the schemas that the relay registered, under its own subjects; what
// is not there, because the configuration has changed since, goes under subjects of
// the replay.
func (r *replayer) encoder(q replayRequest) cdc.Encoder {
	settings := r.settings.schemaSettings()
	settings.Database = r.system.Database
	client, _ := r.settings.Registry.shared().Client(nil) // the URL was checked with the configuration
	state := newStatus()
	sup := &supervisor{log: r.log, fallbacks: map[string]bool{}, metrics: newMetrics(ops.NewRegistry("relay"), state)}
	known := patient{client: client, status: state, log: ops.NewRepeats(r.log)}
	return encoder{schemas: schema.NewEncoder(settings, replayRegistrar{patient: known, id: q.ID, register: r.settings.Registry.AutoRegister}), supervisor: sup}
}

// replayRegistrar finds schemas where the relay has put them.
type replayRegistrar struct {
	patient
	id       string
	register bool
}

// Register returns the id of a schema under a subject of the relay's, or makes it one
// of the replay's.
func (r replayRegistrar) Register(ctx context.Context, subject, text string) (int, error) {
	id, err := r.patient.Register(ctx, subject, text)
	if r.register && errors.Is(err, registry.ErrNotFound) {
		own := r.patient
		own.register = true
		return own.Register(ctx, subject+".replay."+r.id, text)
	}
	return id, err
}
