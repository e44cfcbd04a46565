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
