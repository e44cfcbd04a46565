package cdc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// ErrSlotInUse says that another session streams from the slot (SQLSTATE 55006).
var ErrSlotInUse = errors.New("the slot is in use by another session")

// System is what IDENTIFY_SYSTEM tells of a server.
type System struct {
	ID       string
	Timeline int32
	Position LSN
	Database string
}

// Slot is the state of the relay's replication slot.
type Slot struct {
	Name      string
	Confirmed LSN // confirmed_flush_lsn
	Active    bool
	// Lost is why the server can no longer serve it; "" when it can.
	Lost string
}

// Stream is a source with a beginning and an end.
type Stream interface {
	Source
	// Close tells the server what is confirmed and ends the connection.
	Close()
}

// Database is the PostgreSQL side of a start.
type Database interface {
	Identify(ctx context.Context) (System, error)
	// Switches lists where the server's history left the timelines before one,
	// oldest first.
	Switches(ctx context.Context, timeline int32) ([]Switch, error)
	// Slot is nil when there is none. One that is not for us is a StopError.
	Slot(ctx context.Context) (*Slot, error)
	DropSlot(ctx context.Context) error
	// Publication makes it, or adds the tables that it lacks.
	Publication(ctx context.Context) error
	// Published lists the tables of the publication by name, with their OIDs.
	Published(ctx context.Context) (map[string]uint32, error)
	// Members lists the entries of the publication's list that cover a table, by the
	// table's name, of the tables that are to be published. One that is taken out and
	// added again has another entry.
	Members(ctx context.Context) (map[string]Member, error)
	// Since is the oldest transaction that runs now.
	Since(ctx context.Context) (uint64, error)
	// Whole lists the published tables that the stream alone brings whole, for a
	// slot whose tables were read when since was the oldest transaction.
	Whole(ctx context.Context, since uint64) (map[string]uint32, error)
	// CreateSlot makes the slot, opens the exported snapshot in every reading
	// session, and starts replication on the connection that made the slot.
	CreateSlot(ctx context.Context) (at LSN, rows Rows, s Stream, err error)
	// Stream starts replication where the slot stands; ErrSlotInUse when another
	// session has it. from is what the server was told at least.
	Stream(ctx context.Context, from LSN) (Stream, error)
	// Remember gives the database the history of relations, before the stream that
	// Stream returned is read.
	Remember(h *History)
	// Rows opens a new snapshot, for tables whose reading was cut off.
	Rows(ctx context.Context) (Rows, error)
}

// Member is what a publication's list says of a table: the OIDs of its entries, and
// of those of tables above it.
type Member struct {
	OID     uint32 // of the table
	Entries []uint32
}

// Rows is a snapshot that holds connections open.
type Rows interface {
	SnapshotSource
	// Since is the oldest transaction that ran when the snapshot was taken.
	Since() uint64
	Close()
}

// Memory is the durable memory of a relay, in its progress topic.
type Memory interface {
	// Fence ends what a predecessor had open and shuts it out (InitProducerId).
	Fence(ctx context.Context) error
	// Read reads the progress topic and the schema topic to their ends.
	Read(ctx context.Context) (Remembered, error)
	// Ends is the greatest position at the ends of the data topics' partitions.
	Ends(ctx context.Context) (Position, error)
	// Tails reads the ends of the data topics that a Debezium wrote, and pins
	// their partition counts. Partitions without a record are left out.
	Tails(ctx context.Context) ([]Tail, error)
	// Intend makes the record durable that a slot is about to be made.
	Intend(ctx context.Context, i Intent) error
}

// Intent is the key slot_intent of the progress topic: a slot of this name is
// about to be made by us. Found without a progress record, the slot is a torso.
type Intent struct {
	Version  int    `json:"version"` // 1
	Slot     string `json:"slot"`
	SystemID string `json:"sysid"`
	Database string `json:"database"`
	Nonce    string `json:"nonce"`
}

// Remembered is what the progress topic held.
type Remembered struct {
	Progress *Progress
	Intent   *Intent
	Done     map[string]Cursor // tables whose snapshot is whole
	History  *History          // of the schema topic; never nil
	Decision *Decision         // what a person has accepted; it holds for one system and epoch
	Samples  []Sample          // of where the stream stood at what time; in no order
	Request  []byte            // of a replay: what was asked for
	Finished bool              // of a replay: it is whole
}

// Starter brings a relay to where it can stream.
type Starter struct {
	Database    Database
	Memory      Memory
	Slot        string
	Publication string
	Snapshot    bool // false: start from the slot without reading tables
	Create      bool // the slot may be made
	Adopt       bool // a slot without progress record is a Debezium's, to be gone on with
	Remedies    Remedies
	Nonce       string
	// State is told of changes a person would want to know: starting, standby,
	// snapshot.
	State  func(state, reason string)
	Report func(table string, rows uint64)
}

// Start takes the slot, shuts a predecessor out, reads the memory, refuses what
// does not fit it, and has the snapshot durable when it returns. The stream is the
// caller's to close.
//
// The order is that of locks: START_REPLICATION takes the slot, InitProducerId
// fences, and only then is the progress read, because before that a predecessor
// could still write it.
func (st *Starter) Start(ctx context.Context, r *Relay) (Stream, error) {
	sys, err := st.Database.Identify(ctx)
	if err != nil {
		return nil, err
	}
	slot, err := st.Database.Slot(ctx)
	if err != nil {
		return nil, err
	}
	s := &launch{Starter: st, relay: r, sys: sys, slot: slot}
	if slot != nil && slot.Lost == "" {
		if s.stream, err = st.take(ctx, slot); err != nil {
			return nil, err
		}
		// As a standby it may have waited for long: only what the server is from
		// here on can be compared with the memory.
		if s.sys, err = st.Database.Identify(ctx); err != nil {
			s.stream.Close()
			return nil, err
		}
	}
	if err := s.run(ctx); err != nil {
		if s.stream != nil {
			s.stream.Close()
		}
		return nil, err
	}
	return s.stream, nil
}

// take starts replication, waiting as a standby while another session has the
// slot. Nothing in Kafka is touched meanwhile.
func (st *Starter) take(ctx context.Context, slot *Slot) (Stream, error) {
	for {
		stream, err := st.Database.Stream(ctx, slot.Confirmed)
		if !errors.Is(err, ErrSlotInUse) {
			return stream, err
		}
		reason := fmt.Sprintf("slot %q is in use by another session; taking over when it ends", slot.Name)
		if st.Adopt {
			reason += " (a Debezium connector that has it must be stopped)"
		}
		st.State("standby", reason)
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
		if fresh, err := st.Database.Slot(ctx); err != nil {
			return nil, err
		} else if fresh != nil {
			slot.Confirmed = fresh.Confirmed
		}
	}
}

// launch is one start, from the moment that the slot is ours, if there is one.
type launch struct {
	*Starter
	relay  *Relay
	sys    System
	slot   *Slot
	stream Stream // nil until there is one
	rem    Remembered
	hole   bool // changes are gone that the slot does not tell of
}

func (s *launch) run(ctx context.Context) error {
	if err := s.Memory.Fence(ctx); err != nil {
		return err
	}
	var err error
	if s.rem, err = s.Memory.Read(ctx); err != nil {
		return err
	}
	s.relay.History, s.relay.Samples = s.rem.History, s.rem.Samples
	s.Database.Remember(s.rem.History)
	if s.rem.Progress == nil {
		return s.withoutMemory(ctx)
	}
	return s.withMemory(ctx, *s.rem.Progress)
}

// withoutMemory is a start that finds no progress record.
func (s *launch) withoutMemory(ctx context.Context) error {
	slot := s.slot
	switch {
	case s.Adopt && slot == nil:
		return &StopError{What: fmt.Sprintf("slot %q, which is to be adopted, does not exist", s.Slot),
			Next: "set postgres.slot.name to the connector's slot.name; without its slot there is nothing to go on with: set postgres.slot.adopt: false for a new snapshot"}
	case slot == nil:
		return s.begin(ctx, s.progress(s.sys, 0), s.initial())
	case slot.Lost != "" && s.rem.Intent == nil:
		return &StopError{What: fmt.Sprintf("slot %q is lost: %s", slot.Name, slot.Lost),
			Next: fmt.Sprintf("drop it to begin with a new snapshot: SELECT pg_drop_replication_slot('%s')", slot.Name)}
	case s.Adopt:
		p, err := s.adopt(ctx, s.relay, s.sys, slot, s.rem.Done)
		if err != nil {
			return err
		}
		return s.goOn(ctx, *p)
	case s.rem.Intent != nil && s.rem.Intent.Slot == slot.Name && s.rem.Intent.SystemID == s.sys.ID:
		// A torso of a first start that was cut off; no gap, since nothing was
		// published.
		if err := s.drop(ctx); err != nil {
			return err
		}
		return s.begin(ctx, s.progress(s.sys, 0), s.initial())
	case s.Snapshot:
		return &StopError{
			What: fmt.Sprintf("slot %q exists, but the progress topic knows nothing of it", slot.Name), Pos: slot.Confirmed.String(),
			Next: fmt.Sprintf("drop it to begin with a new snapshot (SELECT pg_drop_replication_slot('%s')), set snapshot.mode: never to begin where it stands, or postgres.slot.adopt: true if a Debezium connector left it", slot.Name)}
	}
	return s.goOn(ctx, s.progress(s.sys, slot.Confirmed))
}

// goOn is a start with a slot that streams on from where the memory ends.
func (s *launch) goOn(ctx context.Context, p Progress) error {
	if err := s.Database.Publication(ctx); err != nil {
		return err
	}
	s.relay.Source = s.stream
	if err := s.unread(ctx, &p); err != nil {
		return err
	}
	if err := s.members(ctx); err != nil {
		return err
	}
	s.relay.Resume(p, s.slot.Confirmed)
	if p.Snapshot == nil {
		return nil
	}
	rows, err := s.Database.Rows(ctx)
	if err != nil {
		return err
	}
	defer rows.Close()
	if err := s.whole(ctx, &p); err != nil { // some may have been made in the meantime
		return err
	}
	s.State("snapshot", "")
	return s.relay.Snapshot(ctx, rows, s.rem.Done, s.Report)
}

// unread begins a snapshot when the publication has tables that nobody has read
// yet: they were added to it, by us or by hand, or made anew. Their rows get the
// position where the stream goes on, so every change that it brings passes them.
func (s *launch) unread(ctx context.Context, p *Progress) error {
	if !s.Snapshot || p.Snapshot != nil {
		return nil
	}
	tables, err := s.Database.Published(ctx)
	if err != nil {
		return err
	}
	if err := s.whole(ctx, p); err != nil {
		return err
	}
	done := s.rem.Done
	for name, oid := range tables {
		if !done[name].read(oid, p.SnapshotEpoch) {
			p.Snapshot = &SnapshotRun{At: p.Confirmed}
			return nil
		}
	}
	return nil
}

// whole notes that the tables count as read that the stream brings whole.
func (s *launch) whole(ctx context.Context, p *Progress) error {
	whole, err := s.Database.Whole(ctx, p.Since)
	if err != nil {
		return err
	}
	done := s.rem.Done
	for name, oid := range whole {
		if done[name].read(oid, p.SnapshotEpoch) {
			continue
		}
		c := Cursor{Version: 1, OID: oid, At: p.Confirmed, Epoch: p.Current().Epoch}
		v, err := json.Marshal(c)
		if err != nil {
			return fmt.Errorf("cursor of %s: %w", name, err)
		}
		if err := s.relay.Log.Note(ctx, Note{Key: snapshotPrefix + name, Value: v}); err != nil {
			return err
		}
		done[name], s.relay.open.noted = c, true
	}
	return nil
}

// initial is the snapshot of a first start; nil: there is to be none.
func (st *Starter) initial() *SnapshotRun {
	if !st.Snapshot {
		return nil
	}
	return &SnapshotRun{}
}

// begin makes the slot and goes on with p from its consistent point: the intent is
// durable before the slot exists, and the progress record before the first row.
func (s *launch) begin(ctx context.Context, p Progress, run *SnapshotRun) error {
	if !s.Create {
		return &StopError{What: fmt.Sprintf("slot %q does not exist, and postgres.slot.create is false", s.Slot),
			Next: fmt.Sprintf("create it: SELECT pg_create_logical_replication_slot('%s', 'pgoutput')", s.Slot)}
	}
	if err := s.Database.Publication(ctx); err != nil {
		return err
	}
	if err := s.members(ctx); err != nil {
		return err
	}
	intent := Intent{Version: 1, Slot: s.Slot, SystemID: s.sys.ID, Database: s.sys.Database, Nonce: s.Nonce}
	if err := s.Memory.Intend(ctx, intent); err != nil {
		return err
	}
	at, rows, stream, err := s.Database.CreateSlot(ctx)
	if err != nil {
		return err
	}
	defer rows.Close()
	s.stream = stream
	p.Confirmed, p.Since = at, rows.Since()
	s.settle(&p, at)
	if p.Snapshot = run; run != nil {
		run.At = at
	}
	r := s.relay
	r.Source = stream
	r.Resume(p, at)
	if err := r.Log.Commit(ctx, p); err != nil {
		return err
	}
	if run == nil {
		return nil
	}
	s.State("snapshot", "")
	return r.Snapshot(ctx, rows, s.rem.Done, s.Report)
}

// drop ends the stream and drops the slot.
func (s *launch) drop(ctx context.Context) error {
	if s.stream != nil {
		s.stream.Close()
		s.stream = nil
	}
	if s.slot == nil {
		return nil
	}
	s.slot = nil
	return s.Database.DropSlot(ctx)
}

// progress is the record of a slot that begins at an LSN.
func (st *Starter) progress(sys System, at LSN) Progress {
	return Progress{
		Version: 1, SystemID: sys.ID, Database: sys.Database, Slot: st.Slot, Publication: st.Publication, Confirmed: at,
		Epochs: []Epoch{{Epoch: 1, SystemID: sys.ID, Timeline: sys.Timeline, From: at}},
	}
}
