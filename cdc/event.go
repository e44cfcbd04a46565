package cdc

import "context"

// Event is what a source read next. It is reused: it and everything it points
// to except Tx and Table is valid until the next call of Next.
type Event struct {
	Kind EventKind
	Tx   *Transaction // of Begin, rows and Commit
	Op   Op           // of a Row: OpCreate, OpUpdate or OpDelete
	// LSN is that of a row's, truncate's or message's WAL record, as its frame or
	// message has it; of a Begin the frame's, which is that of the transaction's
	// first change, or 0 when an origin follows; the end LSN of a Commit; or the
	// position up to which a Keepalive says that everything has been sent.
	LSN       LSN
	Relation  uint32 // OID of a row's, truncate's or relation's table
	Old, New  []Value
	OldFull   bool     // Old is the complete row (REPLICA IDENTITY FULL)
	Reply     bool     // a Keepalive that asks for an answer
	Read      int64    // when the bytes were read, nanoseconds since 1970
	Relations []uint32 // of a Truncate, in the server's order
	Prefix    string   // of a Message
	Content   []byte   // of a Message
	Size      int      // bytes of a long Row or Message, as they travel; 0: it is not long
	// Long hands on what a row or message holds that is too long to be held: Old, New
	// and Content are nil then. It is called once or not at all, before the next
	// call of Next.
	Long func(context.Context, LongRow) error
}

// EventKind is the kind of an event.
type EventKind uint8

// The kinds of events. A relation event says that rows of Relation are to be
// read with another shape from here on; the loop calls Resolve before the first
// of them that it needs.
const (
	EventBegin EventKind = iota + 1
	EventCommit
	EventRow
	EventTruncate
	EventMessage
	EventRelation
	EventKeepalive
)
