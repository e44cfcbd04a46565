package pgoutput

import "fmt"

// Kind is the first byte of a message.
type Kind byte

// The kinds of messages. RelationMsg and TypeMsg are named so because Relation
// is the decoded form and Type a field of Decoder.
const (
	Begin            Kind = 'B'
	Commit           Kind = 'C'
	Origin           Kind = 'O'
	RelationMsg      Kind = 'R'
	TypeMsg          Kind = 'Y'
	Insert           Kind = 'I'
	Update           Kind = 'U'
	Delete           Kind = 'D'
	Truncate         Kind = 'T'
	Message          Kind = 'M'
	StreamStart      Kind = 'S' // protocol 2 and later
	StreamStop       Kind = 'E'
	StreamCommit     Kind = 'c'
	StreamAbort      Kind = 'A'
	BeginPrepare     Kind = 'b' // protocol 3 and later
	Prepare          Kind = 'P'
	CommitPrepared   Kind = 'K'
	RollbackPrepared Kind = 'r'
	StreamPrepare    Kind = 'p'
)

// String is the name that the PostgreSQL documentation gives the message.
func (k Kind) String() string {
	switch k {
	case Begin:
		return "Begin"
	case Commit:
		return "Commit"
	case Origin:
		return "Origin"
	case RelationMsg:
		return "Relation"
	case TypeMsg:
		return "Type"
	case Insert:
		return "Insert"
	case Update:
		return "Update"
	case Delete:
		return "Delete"
	case Truncate:
		return "Truncate"
	case Message:
		return "Message"
	case StreamStart:
		return "Stream Start"
	case StreamStop:
		return "Stream Stop"
	case StreamCommit:
		return "Stream Commit"
	case StreamAbort:
		return "Stream Abort"
	case BeginPrepare:
		return "Begin Prepare"
	case Prepare:
		return "Prepare"
	case CommitPrepared:
		return "Commit Prepared"
	case RollbackPrepared:
		return "Rollback Prepared"
	case StreamPrepare:
		return "Stream Prepare"
	}
	return fmt.Sprintf("unknown (%q)", byte(k))
}

// Error is a message that does not follow the protocol. The stream cannot go on
// behind it: what the message said is lost.
type Error struct {
	Kind   Kind   // the message's first byte; 0 for an empty message
	Offset int    // where in the message, from its first byte
	Reason string // what is wrong there; never a value of a row
}

// Error names the message, the place and the reason.
func (e *Error) Error() string {
	if e.Kind == 0 {
		return "pgoutput message: " + e.Reason
	}
	return fmt.Sprintf("pgoutput %s message, byte %d: %s", e.Kind, e.Offset, e.Reason)
}
