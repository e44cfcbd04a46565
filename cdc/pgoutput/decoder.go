package pgoutput

import "github.com/tailrace/tailrace/cdc"

// Decoder turns pgoutput messages into values. It is not safe for concurrent
// use. Its zero value is ready for a new connection.
//
// Decode fills the field that belongs to the message's kind. Slices in it share
// memory with Decode's input or are used again by the next Decode; strings are
// the caller's to keep. After an error the fields say nothing. A Decoder
// remembers whether the stream is inside a streamed transaction, where messages
// carry a transaction id in front, so every message must be passed to it, in
// order. XID fields of such messages are 0 outside.
//
// Times are microseconds since 1970-01-01 UTC.
type Decoder struct {
	Begin struct {
		FinalLSN   cdc.LSN // where the commit record starts
		CommitTime int64
		XID        uint32
	}
	Commit struct {
		Flags      byte // unused by PostgreSQL up to 18
		CommitLSN  cdc.LSN
		EndLSN     cdc.LSN
		CommitTime int64
	}
	// Origin tells where the transaction was first committed. It stands behind
	// Begin, and more than once when a transaction has several origins.
	Origin struct {
		CommitLSN cdc.LSN // on the origin
		Name      string
	}
	Relation Relation
	// Type is sent before the first Relation that uses a type made by a user. For
	// a domain, schema and name are those of the type below it.
	Type struct {
		XID    uint32
		OID    uint32
		Schema string
		Name   string
	}
	Row      Row
	Truncate struct {
		XID             uint32
		Relations       []uint32
		Cascade         bool
		RestartIdentity bool
	}
	Message struct {
		XID           uint32
		Transactional bool
		LSN           cdc.LSN
		Prefix        string
		Content       []byte
	}

	StreamStart struct {
		XID   uint32
		First bool // the first block of the transaction
	}
	StreamCommit struct {
		XID        uint32
		Flags      byte // unused by PostgreSQL up to 18
		CommitLSN  cdc.LSN
		EndLSN     cdc.LSN
		CommitTime int64
	}
	// StreamAbort ends a streamed transaction, or one subtransaction of it.
	StreamAbort struct {
		XID      uint32
		SubXID   uint32 // XID again when the whole transaction is rolled back
		Parallel bool   // LSN and Time were sent: protocol 4, streaming 'parallel'
		LSN      cdc.LSN
		Time     int64
	}
	// Prepare is filled by BeginPrepare, Prepare and StreamPrepare.
	Prepare struct {
		Flags      byte // unused by PostgreSQL up to 18; none in BeginPrepare
		PrepareLSN cdc.LSN
		EndLSN     cdc.LSN
		Time       int64
		XID        uint32
		GID        string
	}
	CommitPrepared struct {
		Flags      byte // unused by PostgreSQL up to 18
		CommitLSN  cdc.LSN
		EndLSN     cdc.LSN
		CommitTime int64
		XID        uint32
		GID        string
	}
	RollbackPrepared struct {
		Flags          byte    // unused by PostgreSQL up to 18
		PrepareEndLSN  cdc.LSN // end of the prepared transaction
		RollbackEndLSN cdc.LSN
		PrepareTime    int64
		RollbackTime   int64
		XID            uint32
		GID            string
	}

	inStream  bool // between StreamStart and StreamStop
	old       []cdc.Value
	new       []cdc.Value
	relations []uint32
}

// Decode reads one message, which must be whole and alone in msg. Its error is
// an *Error.
func (d *Decoder) Decode(msg []byte) (Kind, error) {
	if len(msg) == 0 {
		return 0, &Error{Reason: "empty"}
	}
	k := Kind(msg[0])
	var err *Error
	switch k {
	case Insert:
		err = d.insert(msg)
	case Update:
		err = d.update(msg)
	case Delete:
		err = d.delete(msg)
	case Begin:
		err = d.begin(msg)
	case Commit:
		err = d.commit(msg)
	case Origin:
		err = d.origin(msg)
	case RelationMsg:
		err = d.relation(msg)
	case TypeMsg:
		err = d.typ(msg)
	case Truncate:
		err = d.truncate(msg)
	case Message:
		err = d.message(msg)
	case StreamStart:
		err = d.streamStart(msg)
	case StreamStop:
		err = d.streamStop(msg)
	case StreamCommit:
		err = d.streamCommit(msg)
	case StreamAbort:
		err = d.streamAbort(msg)
	case BeginPrepare, Prepare, StreamPrepare:
		err = d.prepare(msg)
	case CommitPrepared:
		err = d.commitPrepared(msg)
	case RollbackPrepared:
		err = d.rollbackPrepared(msg)
	default:
		err = &Error{Kind: k, Reason: "no message of protocols 1 to 4 starts with this byte"}
	}
	if err != nil {
		return k, err
	}
	return k, nil
}
