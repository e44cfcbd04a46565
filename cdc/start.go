package cdc

import (
	"context"
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
	// Slot is nil when there is none. One that cannot be used is a StopError.
	Slot(ctx context.Context) (*Slot, error)
	DropSlot(ctx context.Context) error
	// Publication makes it, or adds the tables that it lacks.
	Publication(ctx context.Context) error
	// Published lists the tables of the publication by name, with their OIDs.
	Published(ctx context.Context) (map[string]uint32, error)
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

// Rows is a snapshot that holds connections open.
type Rows interface {
	SnapshotSource
	Close()
}

// Memory is the durable memory of a relay, in its progress topic.
type Memory interface {
	// Fence ends what a predecessor had open and shuts it out (InitProducerId).
	Fence(ctx context.Context) error
	// Read reads the progress topic and the schema topic to their ends.
	Read(ctx context.Context) (Remembered, error)
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
	Done     map[string]uint32 // tables whose snapshot is whole, with their OIDs
	History  *History          // of the schema topic; never nil
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
	Nonce       string
	// State is told of changes a person would want to know: starting, standby,
	// snapshot.
	State  func(state, reason string)
	Report func(table string, rows uint64)
}

// Start takes the slot, shuts a predecessor out, reads the memory, refuses what
// does not fit it, and has the initial snapshot durable when it returns. The
// stream is the caller's to close.
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
	if slot == nil {
		return st.first(ctx, r, sys)
	}
	stream, err := st.take(ctx, slot)
	if err != nil {
		return nil, err
	}
	// As a standby it may have waited for long: only what the server is from here
	// on can be compared with the memory.
	if sys, err = st.Database.Identify(ctx); err != nil {
		stream.Close()
		return nil, err
	}
	again, err := st.resume(ctx, r, sys, slot, stream)
	if err == nil && !again {
		return stream, nil
	}
	stream.Close()
	if err != nil {
		return nil, err
	}
	if err := st.Database.DropSlot(ctx); err != nil {
		return nil, err
	}
	return st.first(ctx, r, sys)
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

// resume goes on with a slot that exists. again means that it is a torso of a
// first start that was cut off: it is to be dropped, and the start made anew.
func (st *Starter) resume(ctx context.Context, r *Relay, sys System, slot *Slot, stream Stream) (again bool, err error) {
	if err := st.Memory.Fence(ctx); err != nil {
		return false, err
	}
	rem, err := st.Memory.Read(ctx)
	if err != nil {
		return false, err
	}
	p := rem.Progress
	switch {
	case p == nil && st.Adopt:
		if p, err = st.adopt(ctx, r, sys, slot, rem.Done); err != nil {
			return false, err
		}
	case p == nil && rem.Intent != nil && rem.Intent.Slot == slot.Name && rem.Intent.SystemID == sys.ID:
		return true, nil
	case p == nil && st.Snapshot:
		return false, &StopError{
			What: fmt.Sprintf("slot %q exists, but the progress topic knows nothing of it", slot.Name), Pos: slot.Confirmed.String(),
			Next: fmt.Sprintf("drop it to begin with a new snapshot (SELECT pg_drop_replication_slot('%s')), set snapshot.mode: never to begin where it stands, or postgres.slot.adopt: true if a Debezium connector left it", slot.Name)}
	case p == nil:
		fresh := st.progress(sys, slot.Confirmed)
		p = &fresh
	default:
		if err := st.fits(p, sys, slot); err != nil {
			return false, err
		}
	}
	if err := st.Database.Publication(ctx); err != nil {
		return false, err
	}
	r.Source, r.History = stream, rem.History
	st.Database.Remember(rem.History)
	if err := st.unread(ctx, p, rem.Done); err != nil {
		return false, err
	}
	r.Resume(*p, slot.Confirmed)
	if p.Snapshot == nil {
		return false, nil
	}
	rows, err := st.Database.Rows(ctx)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	st.State("snapshot", "")
	return false, r.Snapshot(ctx, rows, rem.Done, st.Report)
}

// unread begins a snapshot when the publication has tables that nobody has read
// yet: they were added to it, by us or by hand, or made anew. Their rows get the
// position where the stream goes on, so every change that it brings passes them.
func (st *Starter) unread(ctx context.Context, p *Progress, done map[string]uint32) error {
	if !st.Snapshot || p.Snapshot != nil {
		return nil
	}
	tables, err := st.Database.Published(ctx)
	if err != nil {
		return err
	}
	for name, oid := range tables {
		if done[name] != oid {
			p.Snapshot = &SnapshotRun{At: p.Confirmed}
			return nil
		}
	}
	return nil
}

// fits compares the memory with the server and its slot (law 7: a restart never
// guesses).
func (st *Starter) fits(p *Progress, sys System, slot *Slot) error {
	at := p.Confirmed.String()
	epoch := p.Current()
	switch {
	case p.Slot != st.Slot || p.Database != sys.Database:
		return &StopError{What: fmt.Sprintf("the progress topic belongs to slot %q of database %q, not to slot %q of %q", p.Slot, p.Database, st.Slot, sys.Database), Pos: at,
			Next: "give this relay a name of its own, or the slot and database of that record"}
	case p.SystemID != sys.ID:
		return &StopError{What: fmt.Sprintf("the server is another system (%s) than the one published from (%s)", sys.ID, p.SystemID), Pos: at,
			Next: "point the relay at its server; after a restore, dump or upgrade, begin anew under another name"}
	case epoch.Timeline != sys.Timeline:
		return &StopError{What: fmt.Sprintf("the server is on timeline %d, the published history on %d: there was a failover or a restore", sys.Timeline, epoch.Timeline), Pos: at,
			Next: "make sure that the new primary has everything that was published, or begin anew under another name"}
	case sys.Position < p.Confirmed:
		return &StopError{What: fmt.Sprintf("the server's WAL ends at %s, before what was published", sys.Position), Pos: at,
			Next: "its storage was rolled back; find out why before anything else is published"}
	case slot.Confirmed > p.Confirmed:
		return &StopError{What: fmt.Sprintf("slot %q is ahead of what was published: it was advanced or made anew, and the changes between are gone", slot.Name),
			Pos: fmt.Sprintf("%s (slot) and %s (published)", slot.Confirmed, at), Next: "drop the slot and begin anew under another name, which takes a new snapshot"}
	}
	return nil
}

// first is the first start: the memory is fenced and empty, the intent is durable
// before the slot exists, and the progress record before the first row.
func (st *Starter) first(ctx context.Context, r *Relay, sys System) (Stream, error) {
	if err := st.Memory.Fence(ctx); err != nil {
		return nil, err
	}
	rem, err := st.Memory.Read(ctx)
	if err != nil {
		return nil, err
	}
	if rem.Progress != nil {
		return nil, &StopError{What: fmt.Sprintf("slot %q is missing, so changes since the last published one are gone", st.Slot), Pos: rem.Progress.Confirmed.String(),
			Next: "begin anew under another name, which takes a new snapshot"}
	}
	if st.Adopt {
		return nil, &StopError{What: fmt.Sprintf("slot %q, which is to be adopted, does not exist", st.Slot),
			Next: "set postgres.slot.name to the connector's slot.name; without its slot there is nothing to go on with: set postgres.slot.adopt: false for a new snapshot"}
	}
	if !st.Create {
		return nil, &StopError{What: fmt.Sprintf("slot %q does not exist, and postgres.slot.create is false", st.Slot),
			Next: fmt.Sprintf("create it: SELECT pg_create_logical_replication_slot('%s', 'pgoutput')", st.Slot)}
	}
	if err := st.Database.Publication(ctx); err != nil {
		return nil, err
	}
	intent := Intent{Version: 1, Slot: st.Slot, SystemID: sys.ID, Database: sys.Database, Nonce: st.Nonce}
	if err := st.Memory.Intend(ctx, intent); err != nil {
		return nil, err
	}
	at, rows, stream, err := st.Database.CreateSlot(ctx)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	p := st.progress(sys, at)
	if st.Snapshot {
		p.Snapshot = &SnapshotRun{At: at}
	}
	r.Source, r.History = stream, rem.History
	st.Database.Remember(rem.History)
	r.Resume(p, at)
	if err := r.Log.Commit(ctx, p); err != nil {
		stream.Close()
		return nil, err
	}
	if !st.Snapshot {
		return stream, nil
	}
	st.State("snapshot", "")
	if err := r.Snapshot(ctx, rows, nil, st.Report); err != nil {
		stream.Close()
		return nil, err
	}
	return stream, nil
}

// progress is the record of a slot that begins at an LSN.
func (st *Starter) progress(sys System, at LSN) Progress {
	return Progress{
		Version: 1, SystemID: sys.ID, Database: sys.Database, Slot: st.Slot, Publication: st.Publication, Confirmed: at,
		Epochs: []Epoch{{Epoch: 1, SystemID: sys.ID, Timeline: sys.Timeline, From: at}},
	}
}
