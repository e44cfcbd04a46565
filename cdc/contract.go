package cdc

import (
	"context"
	"time"
)

// Source yields the events of one replication slot, in commit order.
type Source interface {
	// Next returns the next event, or nil when none arrived within wait. The event
	// is valid until the next call. An error ends the source.
	Next(ctx context.Context, wait time.Duration) (*Event, error)
	// Resolve gives the table that rows of a relation are read with since its last
	// EventRelation: as the history knows it, else as the catalog does. The position
	// is that of the first change since which needs it. It may ask the database.
	Resolve(ctx context.Context, relation uint32, at Position) (*Table, error)
	// Refresh is Resolve with every fact read again.
	Refresh(ctx context.Context, relation uint32) (*Table, error)
	// Confirm sets the LSN that the server is told; it never goes back. Safe to
	// call at any time.
	Confirm(LSN)
}

// Encoder compiles the plan of a table version and has its schemas accepted by
// the registry. It may block on the registry; a schema that the registry does
// not take is a *RefusedError.
type Encoder interface {
	// Plan makes the plan of a table version as it is published, for one topic.
	// The table that comes back is t, or a wider one: columns that were published
	// as nullable before cannot become NOT NULL under most compatibility levels.
	// Only columns differ, never their number, order or names.
	//
	// key is the text of the key schema that the table's records have in the topic
	// already; "" for none. A key of another shape is a *KeyChangedError.
	Plan(ctx context.Context, t *Table, topic, key string) (Plan, *Table, error)
	// Messages, Transactions and Heartbeats have the schemas of the records that
	// belong to no table accepted.
	Messages(ctx context.Context, topic string) (MessagePlan, error)
	Transactions(ctx context.Context, topic string) (TransactionPlan, error)
	Heartbeats(ctx context.Context, topic string) (HeartbeatPlan, error)
	// Widen is a copy of t that has a place for what a row showed against t's
	// facts. It may take two rounds until the row fits.
	Widen(t *Table, fact *FactError) *Table
}

// Log makes records durable, in transactions with the relay's progress. One
// goroutine calls it.
type Log interface {
	// Topic makes sure that a data topic exists and returns its pinned partition
	// count.
	Topic(ctx context.Context, name string) (partitions int32, err error)
	// Key is the key schema that a table's records have in a topic; nil: none is
	// pinned. Without the table's name it goes by its OID: it may have been renamed.
	Key(topic string, t *Table) *KeyPin
	// PinKey pins a table's key schema in a topic.
	PinKey(ctx context.Context, topic string, pin KeyPin) error
	// Batch returns an empty batch; it waits while the memory bound is reached.
	Batch(ctx context.Context) (*Batch, error)
	// Publish takes a batch over. Accepted is not durable: only Commit is.
	Publish(ctx context.Context, b *Batch) error
	// Note adds a record to one of the relay's own topics.
	Note(ctx context.Context, n Note) error
	// Commit makes everything since the last Commit durable together with p. An
	// error leaves the outcome unknown: the caller starts again and reads what is
	// durable.
	Commit(ctx context.Context, p Progress) error
	// Rest is how long the log has to be left alone before it begins its next
	// transaction well; 0: not at all. A Commit before that waits.
	Rest() time.Duration
}

// KeyPin is the key schema of a table's records in one topic. It stands for good:
// readers compare keys byte for byte, and a partitioner may count the schema's id.
type KeyPin struct {
	Version int    `json:"version"` // 1
	Topic   string `json:"topic"`
	Table   string `json:"table"` // schema.table
	OID     uint32 `json:"oid"`
	ID      int    `json:"id"`     // the registry's
	Schema  string `json:"schema"` // its text
}

// Note is a record of the relay's own memory: a key of the progress topic or, when
// Schema is set, an entry of the schema topic.
type Note struct {
	Schema bool
	Key    string
	Value  []byte
}

// Observer is told what the loop did, in sums. Calls must be quick.
type Observer interface {
	Changes(table string, op Op, n int)
	Filtered(reason string, n int)
	DeadLetter(reason string)
	CommitToAck(d time.Duration)
	Confirmed(LSN)
	// Sampled says that a sample is durable.
	Sampled(Sample)
	Fallback(table, column, typ string)
	// Heartbeat says that a probe of the whole line, sent through PostgreSQL at a
	// time, has become durable.
	Heartbeat(sent time.Time)
}

// Config is what the loop needs to know of the configuration.
type Config struct {
	Name       string
	Topic      func(*Table) string
	Include    func(context.Context, *Table) (bool, error) // asked once for each table version
	Rules      func(*Table) Rules                          // asked once for each table version; nil: none has any
	Tombstones bool
	Skip       string // the letters of operations that are not published: of c, u and d
	Truncates  bool   // publish TRUNCATE
	MaxRow     int    // bytes of one encoded record
	DeadLetter string // topic; "" stops at a value that has no form
	Oversize   string // topic of the parts of what is longer than MaxRow; "" stops there
	Limits     Limits

	// Debezium makes its choices where the loop has one: the transaction id of
	// each event by its own LSN, one record for a truncate.
	Debezium bool
	WholeKey bool // partition by all key bytes, the registry's header included

	Messages     func(prefix string) bool // logical messages that are published; tailrace.* never are; nil: none
	Transactions bool                     // the block transaction, and topic <name>.transaction
	Heartbeat    time.Duration            // between records of topic __debezium-heartbeat.<name>; 0: none

	// Sample is the time between two samples of where the stream stands (sample.go);
	// 0: none.
	Sample time.Duration
	// CountOnly reads and counts without encoding: tables have no schemas and no
	// topics, and the log gets nothing.
	CountOnly bool

	OnIncompatible Incompatible
	KeyNewTopic    bool         // a key of another shape goes on in a new version of the topic; else the stream stops
	XMin           func() int64 // source.xmin of what is read now; nil: null
}

// Incompatible is what follows when the registry refuses a table's schema.
type Incompatible uint8

// The choices of registry.on_incompatible. Force goes on in a new version of the
// topic, <topic>.v2 and on, whose subjects are new.
const (
	IncompatibleStop Incompatible = iota
	IncompatibleDeadLetter
	IncompatibleForce
)

// Limits pace the Kafka transactions (correct at any value; the defaults are
// what was measured best).
type Limits struct {
	Rows       int           // records of a transaction
	Bytes      int           // bytes of a transaction
	Age        time.Duration // since its first record
	Idle       time.Duration // how long the queue must be empty inside of a source transaction
	Between    time.Duration // and behind its end
	BatchBytes int           // of one batch
	Keepalive  time.Duration // progress without rows is written this often
	Ahead      LSN           // or when it is this far behind
}

// DefaultLimits are the measured ones.
func DefaultLimits() Limits {
	return Limits{
		Rows: 50_000, Bytes: 16 << 20, Age: 100 * time.Millisecond, Idle: 300 * time.Microsecond, Between: 30 * time.Microsecond,
		BatchBytes: 256 << 10, Keepalive: 10 * time.Second, Ahead: 64 << 20,
	}
}
