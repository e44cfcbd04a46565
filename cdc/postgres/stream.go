package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/cdc/pgoutput"
)

// stream is the source: events of one slot over one replication connection. One
// goroutine calls it; only Confirm may be called beside it.
type stream struct {
	db       *Database
	conn     *pgconn.PgConn
	frames   *frames
	feedback *feedback
	decoder  pgoutput.Decoder
	event    cdc.Event
	tx       cdc.Transaction
	inTx     bool
	limit    time.Duration // of silence; 0: none
	versions versions
	row      []byte     // a row's frame that waits until its relation is announced
	long     *longFrame // or a frame that is not held

	vouched atomic.Int64 // when the server last said that the slot is this stream's, nanoseconds after frames.begun
	lost    atomic.Pointer[error]
	closed  atomic.Bool
}

// pace is how often the server hears from a stream, and after what silence of its
// own it is given up; 0: never.
type pace struct{ status, silence time.Duration }

func newStream(d *Database, conn *pgconn.PgConn, from cdc.LSN, every pace) *stream {
	s := &stream{
		db: d, conn: conn, limit: every.silence,
		frames:   newFrames(conn.Conn(), heldRow(d.config.MaxRow)),
		versions: newVersions(d.history, d.read),
	}
	var listen func()
	if told := d.config.OnSilence; told != nil {
		listen = func() {
			if err := s.ours(); err != nil {
				told(err)
			}
		}
	}
	s.feedback = startFeedback(conn, from, every.status, listen)
	return s
}

// heldRow is how long the text of a row may be that is held whole. Its text can be
// twice its bytes, as hexadecimal digits are, and an old row comes with it under
// REPLICA IDENTITY FULL. Descriptions of tables are held at any rate.
func heldRow(maxRow int) int { return max(4*maxRow+64<<10, 1<<20) }

// silent is an error when nothing has come from the server for so long that it may
// have given this connection up: every status asks for an answer.
func (s *stream) silent() error {
	if quiet := s.frames.silence(); s.limit > 0 && quiet > s.limit {
		return fmt.Errorf("nothing has come from PostgreSQL for %s; it may have given the connection up", quiet.Round(time.Millisecond))
	}
	return nil
}

// Confirm sets the LSN that the server is told. Safe to call at any time.
func (s *stream) Confirm(lsn cdc.LSN) { s.feedback.confirm(lsn) }

// Close tells the server what is confirmed and ends the connection.
func (s *stream) Close() {
	s.feedback.close()
	if err := s.ours(); err != nil {
		s.lost.Store(&err)
	} else {
		s.closed.Store(true) // a slot that was ours until we gave it back
	}
	_ = s.conn.Conn().Close() // the walsender ends at the end of its input
}

// Next reads on until there is an event, or wait is over.
func (s *stream) Next(ctx context.Context, wait time.Duration) (*cdc.Event, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if long := s.long; long != nil {
			s.long = nil
			return s.announced(long), nil
		}
		frame := s.row
		if s.row = nil; frame == nil {
			var long int
			var err error
			if frame, long, err = s.frames.next(wait); err == nil && long > 0 {
				return s.longFrame(ctx, long)
			}
			if frame == nil || err != nil {
				return nil, errors.Join(err, s.silent())
			}
		}
		ev, err := s.frame(frame)
		if err != nil || ev != nil {
			return ev, err
		}
	}
}

// frame reads one CopyData payload: WAL data or a keepalive (PostgreSQL
// documentation, section 54.4). nil means that it says nothing to the loop.
func (s *stream) frame(b []byte) (*cdc.Event, error) {
	ev := &s.event
	*ev = cdc.Event{Read: s.frames.last.UnixNano()}
	switch {
	case len(b) >= 18 && b[0] == 'k':
		ev.Kind, ev.LSN, ev.Reply = cdc.EventKeepalive, cdc.LSN(binary.BigEndian.Uint64(b[1:])), b[17] != 0
		if ev.Reply {
			s.feedback.now()
		}
		return ev, nil
	case len(b) > 25 && b[0] == 'w':
		ev.LSN = cdc.LSN(binary.BigEndian.Uint64(b[1:]))
		return s.message(ev, b)
	}
	return nil, fmt.Errorf("replication: a frame of %d bytes is neither WAL data nor a keepalive", len(b))
}

// message turns the pgoutput message of a frame into an event.
func (s *stream) message(ev *cdc.Event, frame []byte) (*cdc.Event, error) {
	d, b := &s.decoder, frame[25:]
	kind, err := d.Decode(b)
	if err != nil {
		return nil, s.unreadable(ev.LSN, b, err)
	}
	if s.inTx {
		ev.Tx = &s.tx
	}
	switch kind {
	case pgoutput.Insert, pgoutput.Update, pgoutput.Delete:
		if s.versions.due(d.Row.Relation, &s.tx) {
			s.row = frame
			ev.Kind, ev.Relation = cdc.EventRelation, d.Row.Relation
			return ev, nil
		}
		ev.Kind, ev.Op, ev.Relation = cdc.EventRow, cdc.OpCreate, d.Row.Relation
		ev.New, ev.Old, ev.OldFull = d.Row.New, d.Row.Old, d.Row.OldKind == 'O'
		if kind == pgoutput.Update {
			ev.Op = cdc.OpUpdate
		} else if kind == pgoutput.Delete {
			ev.Op = cdc.OpDelete
		}
	case pgoutput.Begin:
		s.tx = cdc.Transaction{XID: d.Begin.XID, CommitLSN: d.Begin.FinalLSN, CommitTime: d.Begin.CommitTime}
		s.inTx = true
		ev.Kind, ev.Tx = cdc.EventBegin, &s.tx
	case pgoutput.Commit:
		s.inTx = false
		ev.Kind, ev.LSN = cdc.EventCommit, d.Commit.EndLSN
	case pgoutput.Origin:
		s.tx.Origin, s.tx.OriginLSN = d.Origin.Name, d.Origin.CommitLSN
		return nil, nil
	case pgoutput.TypeMsg:
		return nil, nil
	case pgoutput.RelationMsg:
		rel := d.Relation
		s.versions.described(&rel)
		ev.Kind, ev.Relation = cdc.EventRelation, rel.OID
	case pgoutput.Truncate:
		ev.Kind, ev.Relations = cdc.EventTruncate, d.Truncate.Relations
		if len(ev.Relations) > 0 {
			ev.Relation = d.Truncate.Relations[0]
		}
	case pgoutput.Message:
		ev.Kind, ev.LSN = cdc.EventMessage, d.Message.LSN
		ev.Prefix, ev.Content = d.Message.Prefix, d.Message.Content
		if !d.Message.Transactional {
			ev.Tx = nil
		}
	default:
		return nil, s.unreadable(ev.LSN, b, errors.New("streamed and prepared transactions were not asked for"))
	}
	return ev, nil
}

// unreadable stops the stream: a message that cannot be read is never skipped.
func (s *stream) unreadable(at cdc.LSN, b []byte, err error) error {
	table := ""
	if len(b) >= 5 && (b[0] == 'I' || b[0] == 'U' || b[0] == 'D') {
		oid := binary.BigEndian.Uint32(b[1:])
		table = fmt.Sprintf(", relation %d", oid)
		if s.versions.pending[oid] != nil {
			table = ", table " + s.describe(oid)
		}
	}
	return &cdc.StopError{What: "a message of the stream cannot be read", Pos: at.String() + table, Err: err,
		Next: "report this with the server's version; nothing after it is published"}
}

// Resolve gives the table that rows of a relation are read with from its last
// RELATION message on.
func (s *stream) Resolve(ctx context.Context, oid uint32, at cdc.Position) (*cdc.Table, error) {
	if _, err := s.db.sql(ctx); err != nil {
		return nil, err
	}
	t, err := s.versions.resolve(ctx, s.db.catalog, oid, at, &s.tx)
	if err != nil {
		return nil, fmt.Errorf("facts of %s: %w", s.describe(oid), err)
	}
	return t, nil
}

// Refresh is Resolve with the types read again: an enum may have got labels,
// which no RELATION message tells. Columns that were nullable stay so: rows have
// shown that until the next RELATION message, which follows a SET NOT NULL.
func (s *stream) Refresh(ctx context.Context, oid uint32) (*cdc.Table, error) {
	if _, err := s.db.sql(ctx); err != nil {
		return nil, err
	}
	t, err := s.versions.refresh(ctx, s.db.catalog, oid, &s.tx)
	if err != nil {
		return nil, fmt.Errorf("facts of %s: %w", s.describe(oid), err)
	}
	return t, nil
}

// describe names a relation for messages.
func (s *stream) describe(oid uint32) string {
	if rel := s.versions.pending[oid]; rel != nil {
		return rel.Schema + "." + rel.Name
	}
	return fmt.Sprintf("relation %d", oid)
}
