package cdc

// Op is what happened to a row, in Debezium's letters.
type Op byte

// The operations.
const (
	OpRead     Op = 'r' // a row of a snapshot
	OpCreate   Op = 'c'
	OpUpdate   Op = 'u'
	OpDelete   Op = 'd'
	OpTruncate Op = 't'
	OpMessage  Op = 'm'
)

// String is the letter; those of row changes cost no allocation.
func (o Op) String() string {
	switch o {
	case OpRead:
		return "r"
	case OpCreate:
		return "c"
	case OpUpdate:
		return "u"
	case OpDelete:
		return "d"
	}
	return string(rune(o))
}

// Transaction is the source transaction that changes belong to.
type Transaction struct {
	XID        uint32
	CommitLSN  LSN   // where its commit record starts: final_lsn of BEGIN
	CommitTime int64 // microseconds since 1970-01-01 UTC
	Origin     string
	OriginLSN  LSN
}

// Envelope is what an encoder needs to write one Debezium record value. It is
// reused from row to row; its slices alias the read buffer.
type Envelope struct {
	Op     Op
	Before []Value // nil: null
	After  []Value // nil: null
	Tx     *Transaction
	LSN    LSN // of the row's WAL record
	// LastCommit is the end LSN of the last transaction that was read before this
	// one; 0 for none. It is the first half of source.sequence. (Debezium counts a
	// message outside of transactions as one.)
	LastCommit LSN
	Snapshot   Marker
	Now        int64 // nanoseconds since 1970-01-01 UTC, when the relay read the row
	XMin       int64 // source.xmin; 0: null
	// TransactionID, with the two orders below, is the block transaction; empty:
	// null. TotalOrder counts the published events of the transaction from 1,
	// TableOrder those of its data collection.
	TransactionID []byte
	TotalOrder    int64
	TableOrder    int64
}

// Marker is the place of a row in a snapshot: source.snapshot.
type Marker uint8

// The markers; their texts are Debezium's.
const (
	NotSnapshot Marker = iota
	SnapshotTrue
	SnapshotFirst
	SnapshotFirstInTable
	SnapshotLastInTable
	SnapshotLast
)

// String is the text of source.snapshot.
func (m Marker) String() string {
	return [...]string{"false", "true", "first", "first_in_data_collection", "last_in_data_collection", "last"}[m]
}

// Plan writes the bytes of one table version's records. It is not safe for
// concurrent use and keeps no reference to its arguments.
//
// KeyID and ValueID are the registry's ids of its schemas; a table without key
// has the key id 0.
//
// Errors: *FactError when the row shows that the table's facts are out of date
// (the caller gets a new Table and a new Plan and encodes the row again);
// *ValueError when a value cannot be represented. dst is returned as far as it
// was written; the caller cuts it back.
type Plan interface {
	KeyID() int
	ValueID() int
	// KeySchema is the text behind KeyID; "" for a table without key.
	KeySchema() string
	// AppendKey appends the record key of row: the registry's header of
	// KeyHeaderBytes, then the Avro body. A table without key appends nothing.
	AppendKey(dst []byte, row []Value) ([]byte, error)
	// AppendKeyJSON appends the key as compact JSON, for Debezium's
	// __debezium.newkey and __debezium.oldkey headers.
	AppendKeyJSON(dst []byte, row []Value) ([]byte, error)
	// AppendValue appends the record value, with the registry's five-byte header.
	AppendValue(dst []byte, e *Envelope) ([]byte, error)
}

// MessagePlan writes the records of logical messages, topic <name>.message.
type MessagePlan interface {
	// AppendKey appends {prefix}.
	AppendKey(dst []byte, prefix string) []byte
	// AppendValue appends the value: e gives all but op and content.
	AppendValue(dst []byte, e *Envelope, prefix string, content []byte) []byte
}

// TransactionPlan writes the records of topic <name>.transaction.
type TransactionPlan interface {
	AppendKey(dst, id []byte) []byte
	AppendValue(dst []byte, m *TransactionMark) []byte
}

// TransactionMark is the begin or the end of a source transaction, as topic
// <name>.transaction tells of it.
type TransactionMark struct {
	End        bool
	ID         []byte
	CommitTime int64        // microseconds since 1970-01-01 UTC
	Tables     []TableCount // of an end, in the order of first events
}

// TableCount is how many events of a data collection were published.
type TableCount struct {
	Table  string `json:"table"` // schema.table, or LogicalMessages
	Events int64  `json:"events"`
}

// LogicalMessages is the data collection of logical messages in
// TransactionMark. (Debezium writes a Java object's identity there.)
const LogicalMessages = "message"

// HeartbeatPlan writes the records of topic __debezium-heartbeat.<name>.
type HeartbeatPlan interface {
	AppendKey(dst []byte) []byte
	AppendValue(dst []byte, now int64) []byte // nanoseconds since 1970-01-01 UTC
}

// KeyHeaderBytes is the length of the registry's header before an Avro body: a
// zero byte and the schema id.
const KeyHeaderBytes = 5
