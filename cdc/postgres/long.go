package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/cdc/pgoutput"
)

// This file reads a message that is too long to be held: a row whose values
// together exceed what max_row allows for, or a logical message. Its beginning
// becomes an event like any other, and its values are handed on piece by piece.
//
// What can go wrong: the message does not keep to the protocol in its middle, when
// a part of it has been handed on. That ends the stream, like any message that
// cannot be read, and the dead letter that was begun has no last part. The loop
// does not want it, because it was published already or its table is not: then it
// is passed over at the next call of frames.next.

// longFrame is a CopyData message that is read piece by piece.
type longFrame struct {
	stream *stream
	ctx    context.Context // of the call that reads; set by event's Long
	piece  []byte          // of the message, not used yet
	small  [64]byte
	at     int // bytes used

	kind     pgoutput.Kind
	relation uint32
	tuple    byte // the letter of the first tuple
	ev       cdc.Event
}

// errShort says that a message ends inside of a field.
var errShort = errors.New("the message ends inside of a field")

// more makes sure that piece is not empty.
func (l *longFrame) more() error {
	for len(l.piece) == 0 {
		if err := l.ctx.Err(); err != nil {
			return err
		}
		if l.stream.frames.left == 0 {
			return errShort
		}
		var err error
		if l.piece, err = l.stream.frames.piece(readBuffer, time.Second); err != nil {
			return err
		}
		if err := l.stream.silent(); err != nil {
			return err
		}
	}
	return nil
}

// take returns the next n bytes, at most 64, valid until the next call.
func (l *longFrame) take(n int) ([]byte, error) {
	got := 0
	for got < n {
		if err := l.more(); err != nil {
			return nil, err
		}
		c := copy(l.small[got:n], l.piece)
		l.piece, got = l.piece[c:], got+c
	}
	l.at += n
	return l.small[:n], nil
}

func (l *longFrame) uint32() (uint32, error) {
	b, err := l.take(4)
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint32(b), nil
}

func (l *longFrame) byte() (byte, error) {
	b, err := l.take(1)
	if err != nil {
		return 0, err
	}
	return b[0], nil
}

// text hands the next n bytes on.
func (l *longFrame) text(n int, to cdc.LongRow) error {
	for n > 0 {
		if err := l.more(); err != nil {
			return err
		}
		b := l.piece[:min(n, len(l.piece))]
		l.piece = l.piece[len(b):]
		l.at += len(b)
		n -= len(b)
		if err := to.Data(b); err != nil {
			return err
		}
	}
	return nil
}

// longFrame makes an event of the beginning of a long message.
func (s *stream) longFrame(ctx context.Context, size int) (*cdc.Event, error) {
	l := &longFrame{stream: s, ctx: ctx}
	head, err := l.take(25)
	if err != nil {
		return nil, err
	}
	if head[0] != 'w' {
		return nil, fmt.Errorf("replication: a frame of %d bytes is neither WAL data nor a keepalive", size)
	}
	ev := &l.ev
	*ev = cdc.Event{Read: s.frames.last.UnixNano(), LSN: cdc.LSN(binary.BigEndian.Uint64(head[1:])), Size: size}
	if s.inTx {
		ev.Tx = &s.tx
	}
	kind, err := l.byte()
	if err != nil {
		return nil, err
	}
	switch l.kind = pgoutput.Kind(kind); l.kind {
	case pgoutput.Insert:
		ev.Kind, ev.Op = cdc.EventRow, cdc.OpCreate
	case pgoutput.Update:
		ev.Kind, ev.Op = cdc.EventRow, cdc.OpUpdate
	case pgoutput.Delete:
		ev.Kind, ev.Op = cdc.EventRow, cdc.OpDelete
	case pgoutput.Message:
		return l.message()
	default:
		return nil, s.unreadable(ev.LSN, []byte{kind}, fmt.Errorf("a message of %d bytes is no row", size))
	}
	if l.relation, err = l.uint32(); err != nil {
		return nil, err
	}
	ev.Relation = l.relation
	if l.tuple, err = l.byte(); err != nil {
		return nil, err
	}
	ev.OldFull = l.tuple == 'O'
	ev.Long = func(ctx context.Context, to cdc.LongRow) error {
		l.ctx = ctx
		return l.told(l.rows(to))
	}
	if s.versions.due(l.relation, &s.tx) {
		s.long = l
		s.event = cdc.Event{Kind: cdc.EventRelation, Relation: l.relation, LSN: ev.LSN, Tx: ev.Tx, Read: ev.Read}
		return &s.event, nil
	}
	return s.announced(l), nil
}

// announced is the event of a long row whose relation was announced.
func (s *stream) announced(l *longFrame) *cdc.Event {
	s.event = l.ev
	return &s.event
}

// told turns what does not keep to the protocol into the end of the stream.
func (l *longFrame) told(err error) error {
	var bad *pgoutput.Error
	if errors.As(err, &bad) || errors.Is(err, errShort) {
		return l.stream.unreadable(l.ev.LSN, binary.BigEndian.AppendUint32([]byte{byte(l.kind)}, l.relation), err)
	}
	return err
}

func (l *longFrame) fail(format string, args ...any) error {
	return &pgoutput.Error{Kind: l.kind, Offset: l.at - 25, Reason: fmt.Sprintf(format, args...)}
}

// rows hands the row's values on, the old row's first.
func (l *longFrame) rows(to cdc.LongRow) error {
	tuple := l.tuple
	if l.kind != pgoutput.Insert && (tuple == 'K' || tuple == 'O') {
		if err := l.row(to, true, tuple == 'O'); err != nil {
			return err
		}
		tuple = 0
		if l.kind == pgoutput.Update {
			var err error
			if tuple, err = l.byte(); err != nil {
				return err
			}
		}
	}
	if l.kind != pgoutput.Delete || tuple != 0 {
		if tuple != 'N' || l.kind == pgoutput.Delete {
			return l.fail("tuple kind %q", tuple)
		}
		if err := l.row(to, false, true); err != nil {
			return err
		}
	}
	if left := len(l.piece) + l.stream.frames.left; left > 0 {
		return l.fail("%d bytes behind the last field", left)
	}
	return to.End()
}

// row hands the values of one tuple on (PostgreSQL documentation, section 54.9,
// TupleData).
func (l *longFrame) row(to cdc.LongRow, old, whole bool) error {
	if err := to.Row(old, whole); err != nil {
		return err
	}
	b, err := l.take(2)
	if err != nil {
		return err
	}
	for i := range int(binary.BigEndian.Uint16(b)) {
		form, err := l.byte()
		if err != nil {
			return err
		}
		switch form {
		case 'n':
			err = to.Value(i, cdc.Null)
		case 'u':
			err = to.Value(i, cdc.Unchanged)
		case 't':
			err = l.value(to, i)
		default:
			err = l.fail("column %d has the unknown form %q", i+1, form)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *longFrame) value(to cdc.LongRow, column int) error {
	size, err := l.uint32()
	if err != nil {
		return err
	}
	if left := len(l.piece) + l.stream.frames.left; uint64(size) > uint64(left) {
		return l.fail("column %d has length %d, %d bytes are left", column+1, int32(size), left)
	}
	if err := to.Value(column, cdc.Text); err != nil {
		return err
	}
	return l.text(int(size), to)
}

// mostPrefix is how much of a message's prefix is known before the message is
// read: nobody's prefix is longer, except to do harm.
const mostPrefix = 8 << 10

// message makes an event of the beginning of a long logical message.
func (l *longFrame) message() (*cdc.Event, error) {
	s, ev := l.stream, &l.ev
	b, err := l.take(9)
	if err != nil {
		return nil, err
	}
	if b[0]&1 == 0 {
		ev.Tx = nil
	}
	ev.Kind, ev.LSN = cdc.EventMessage, cdc.LSN(binary.BigEndian.Uint64(b[1:]))
	var prefix []byte
	for len(prefix) < mostPrefix {
		c, err := l.byte()
		if err != nil {
			return nil, l.told(err)
		}
		if c == 0 {
			break
		}
		prefix = append(prefix, c)
	}
	if len(prefix) == mostPrefix {
		return nil, &cdc.StopError{What: fmt.Sprintf("a logical message has a prefix of more than %d bytes", mostPrefix), Pos: ev.LSN.String(),
			Next: "raise max_row until it is held, and find out who writes it"}
	}
	ev.Prefix = string(prefix)
	ev.Long = func(ctx context.Context, to cdc.LongRow) error {
		l.ctx = ctx
		return l.told(l.content(to))
	}
	return s.announced(l), nil
}

func (l *longFrame) content(to cdc.LongRow) error {
	size, err := l.uint32()
	if err != nil {
		return err
	}
	if left := len(l.piece) + l.stream.frames.left; uint64(size) != uint64(left) {
		return l.fail("content length is %d, %d bytes are left", int32(size), left)
	}
	if err := to.Row(false, true); err != nil {
		return err
	}
	if err := to.Value(0, cdc.Text); err != nil {
		return err
	}
	if err := l.text(int(size), to); err != nil {
		return err
	}
	return to.End()
}
