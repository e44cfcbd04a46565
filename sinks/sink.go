package sinks

import (
	"context"
	"time"

	"github.com/tailrace/tailrace/cdc"
)

// Sink is a destination that keeps the offsets of a pipeline itself, in the
// same transaction as the rows (the protocol "in the sink", processors/commit.go).
//
// Its promises:
//
//  1. Write is all or nothing: on nil the rows, the dead letters, the parked
//     markers and the offset of the batch are durable together; on any error
//     but *CommitUnknownError none of them is.
//  2. Write is fenced. It changes nothing and answers ErrFenced unless the
//     claim's epoch is the newest of its partition and the stored offset is
//     Batch.Expect. So a batch is applied once, and a zombie not at all.
//  3. A change is applied only if (generation, position) is above what the sink
//     last applied to that row; a deleted row keeps its position for a time.
//  4. The changes of one row take effect in the order of their positions. The
//     order between rows is the sink's own.
//  5. A floor (Change.Floor) removes the rows of its table that stand at or
//     below it, by their positions and never by SQL TRUNCATE, and from then on
//     every change at or below it is stale, whichever partition brings it.
//  6. A record that the destination refuses is named in a *RefusedError, and
//     only such a record: what would also hit its neighbours is a
//     *SystemicError, and what may pass by itself is any other error.
//
// Methods may be called from several goroutines, Write never at once for one
// partition.
type Sink interface {
	// Claim makes the caller the owner of a partition: it raises the epoch and
	// reads the offset in one statement, which waits for a batch that the
	// former owner has under way. It prepares the destination when needed.
	Claim(ctx context.Context, p Partition) (Claim, error)
	// Reclaim raises the epoch again, only if it is still c's, and reads the
	// offset: the way to learn what became of a commit without an answer.
	// ErrFenced when somebody else has claimed the partition.
	Reclaim(ctx context.Context, c Claim) (Claim, error)
	// Write applies one batch. It keeps nothing of the changes when it has returned:
	// their room is used again.
	Write(ctx context.Context, b *Batch) (Result, error)
	// Close ends all connections.
	Close()
}

// Outbox gives back the dead letters that Write stored, so that the owner of
// their partition can take them to the dead-letter topic.
type Outbox interface {
	// Undelivered returns up to limit dead letters of the claimed partition in
	// the order of their offsets; none when the claim is not the newest.
	Undelivered(ctx context.Context, c Claim, limit int) ([]DeadLetter, error)
	// Delivered removes them, once the topic has acknowledged them.
	Delivered(ctx context.Context, c Claim, letters []DeadLetter) error
}

// Inspector tells what a sink last applied to rows. A sink that keeps rows is one;
// a sink that keeps changes has nothing to look at.
type Inspector interface {
	// Inspect returns a Version for each change: that of the row that it would
	// change, floors and deletions included. A change of a table has none.
	Inspect(ctx context.Context, p Partition, changes []*Change) ([]Version, error)
}

// Version is the last change that was applied to a row.
type Version struct {
	Exists     bool   // the row is there
	Generation int64  // 0 with an empty Pos
	Pos        string // "" when nothing was ever applied
}

// Partition is one partition of an input topic. ID is the topic's id, which
// tells a topic from another one made later under its name; it may be empty
// where the broker has none.
type Partition struct {
	Topic  string
	Number int32
	ID     string
}

// NoOffset is Claim.Next of a partition that nothing was applied of yet.
const NoOffset = -1

// Claim is the ownership of a partition.
type Claim struct {
	Partition        // ID is the one that was stored first
	Epoch     int64  // higher than every earlier claim's
	Next      int64  // the first offset that is not applied; NoOffset for none
	Parked    []Park // the rows whose changes are diverted
	// Backlog tells that dead letters wait in the outbox.
	Backlog bool
	// Generation and Note are those of the last batch; 0 is not known, and counts as 1.
	Generation int64
	Note       string
	// Local tells that the sink's memory is this machine's alone: where the group's
	// offset is ahead, another machine has gone on from there.
	Local bool
}

// Park marks a row whose changes are diverted to the dead-letter topic. Key is
// a digest of the record key, see ParkKey.
type Park struct {
	Key     [32]byte
	Class   Class
	FirstID string // dlq.id of the record that the others stand behind
	Count   int64  // records in the dead-letter topic, the first one included
	// Last is the highest position among them, as text; "" when it is not known.
	Last string
}

// Batch is what one Write makes durable. Changes stand in the order of the log.
type Batch struct {
	Claim      Claim
	Expect     int64  // the stored offset before, as Claim or the batch before gave it
	Next       int64  // and after
	Generation int64  // compared before the position
	Note       string // is kept beside the offset, for the next claim
	Changes    []*Change

	DeadLetters []DeadLetter
	Park        []Park     // markers to set, or to set anew
	Unpark      [][32]byte // markers to clear

	// Without, when set, says what the batch is without changes that the destination
	// refuses: with the same claim and offsets, its other changes the same pointers, and
	// dead letters and markers in the place of those. A sink that can leave single changes
	// out may ask, within its transaction, and go on with the answer; nil: it answers with
	// a *RefusedError.
	Without func([]Refusal) *Batch

	// Beside are the claims of the other partitions that share the state with Claim's: the
	// sink answers ErrFenced, too, unless each of them is the newest. Else an owner of one
	// of them that was frozen, and claims late, would write the state with this one.
	Beside []Claim

	State []StateEntry // what the pipeline remembers; the sink is a Stateful
}

// StateEntry is a piece of state; a nil Value removes it.
type StateEntry struct{ Key, Value []byte }

// Stateful is a sink that keeps a pipeline's state beside the rows, by the numbers of
// partitions: topics that share state share it too.
type Stateful interface {
	// States gives all of one number's state to take, in no order; it may keep both.
	States(ctx context.Context, number int32, take func(key, value []byte) error) error
}

// Mover is a sink whose partitions can be set to other offsets by somebody who owns none
// of them.
type Mover interface {
	// Standing is what the sink has of every partition of the pipeline that was ever
	// claimed. It claims none: Epoch is that of the owner.
	Standing(ctx context.Context) ([]Claim, error)
	// Move carries out all moves, or none. Their epochs rise, so that whoever still
	// owns a partition is fenced. ErrFenced when one has another epoch or offset than
	// its Claim says.
	Move(ctx context.Context, moves []Move) error
}

// Move sets a partition to another offset.
type Move struct {
	Claim      Claim // as Standing gave it
	Next       int64
	Generation int64
	Note       string
	Unpark     [][32]byte // markers to clear
}

// Result is what became of the changes of a batch: one outcome each, in their
// order. A change that was merged into a later one of its row shares its fate.
type Result struct {
	Outcomes []Outcome
}

// Outcome is what the gate decided about one change.
type Outcome uint8

const (
	// Applied: it was newer than the row.
	Applied Outcome = iota
	// Duplicate: the row has exactly this position.
	Duplicate
	// Stale: the row has a higher position.
	Stale
)

// String is the value of the metric's label.
func (o Outcome) String() string { return [...]string{"applied", "duplicate", "stale"}[o] }

// Change is one row change, ready to be written. It is not modified by a sink.
type Change struct {
	Origin   *Origin
	Op       cdc.Op // read, create, update or delete
	Position cdc.Position
	Offset   int64 // of the record in its partition of the log
	Shape    *Shape
	// Row has a value for each column of the shape. Unchanged and Absent ones
	// are not known and must stay as the destination has them; under a delete
	// only the key is known.
	Row []cdc.Value
	// Key identifies the row within its table; empty for a table without key.
	Key string
	// Pos is the text of Position, as it came in the header.
	Pos string
	// Floor is set for a change of the whole table; Row and Key are empty then,
	// and Shape has no key.
	Floor *Floor

	// The following is for sinks that write records.

	// Before is the row before the change, as far as the record or a step gave it; nil
	// where there is none.
	Before []cdc.Value
	// Same says that no step changed anything: the record that it came from says it
	// all. SameKey says so of the record's key.
	Same, SameKey bool
	// Versioned says that the position is a version that a step counts, and names no
	// record.
	Versioned bool
}

// Source is the record that a change came from, with what it says of its origin.
type Source struct {
	*Record
	Partitions int32  // of its topic
	Snapshot   string // Debezium's marker; "" or false for a streamed change
	LSN        cdc.LSN
	TxID       int64
	Time       time.Time // of the commit
}

// Floor is the position up to which a table has no rows any more.
type Floor struct {
	// Pos is a position's text; that of a sweep is the beginning of an epoch's
	// positions, which is above every position of the epochs before.
	Pos string
	// Sweep tells a floor that was set by a new snapshot of the table from one
	// that was set by TRUNCATE. It concerns only rows that the pipeline wrote,
	// and takes effect when it has come in all partitions: until then, rows that
	// the snapshot has may still be on their way.
	Sweep      bool
	Partitions int // of the topic; of a sweep
}

// Full tells whether the change carries the whole row.
func (c *Change) Full() bool {
	for _, v := range c.Row {
		if v.State == cdc.Unchanged || v.State == cdc.Absent {
			return false
		}
	}
	return true
}

// Origin names where a row lives at the source.
type Origin struct {
	Topic    string
	Name     string // of the source: the relay's name
	Database string
	Schema   string
	Table    string
}

// String is schema.table, as in messages.
func (o *Origin) String() string { return o.Schema + "." + o.Table }

// Shape is one version of a table's columns. Changes of one version share it,
// so it may be compared by address first.
type Shape struct {
	Columns []Column
	Key     []int // indexes into Columns, in key order; empty: no key
}

// Column is a column as the record's schema describes it.
type Column struct {
	Name      string
	Type      Type
	Precision int // of a decimal; 0 when not known
	Scale     int
	Array     bool // an array of Type
}

// Type is what a column holds, apart from how it was encoded.
type Type uint8

// The types. Values come in PostgreSQL's text form of each.
const (
	Text Type = iota // text, and everything without a type of its own here
	Bool
	Int16
	Int32
	Int64
	Float32
	Float64
	Decimal
	Bytes
	JSON
	UUID
	Date
	Time
	TimeTZ
	Timestamp
	TimestampTZ
	Interval
	Bits
)
