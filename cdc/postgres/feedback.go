package postgres

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tailrace/tailrace/cdc"
)

// feedback writes the status updates of a replication connection. The reading
// half of the connection belongs to the loop, the writing half to feedback's one
// goroutine, so that updates go on while reading is paused because the log is
// slow. They share the confirmed LSN and nothing else.
//
// Every update says that written, flushed and applied are the confirmed LSN, and
// asks for a reply: an idle server is otherwise silent for good.
type feedback struct {
	conn      *pgconn.PgConn
	confirmed atomic.Uint64
	poke      chan struct{}
	stop      chan struct{}
	done      sync.WaitGroup
	err       atomic.Pointer[error]
	listen    func() // asked at every tick; may be nil
}

// startFeedback begins with from, which is at least what the slot had.
func startFeedback(conn *pgconn.PgConn, from cdc.LSN, every time.Duration, listen func()) *feedback {
	f := &feedback{conn: conn, listen: listen, poke: make(chan struct{}, 1), stop: make(chan struct{})}
	f.confirmed.Store(uint64(from))
	f.done.Go(func() { f.run(every) })
	return f
}

// confirm moves the LSN on, never back.
func (f *feedback) confirm(lsn cdc.LSN) {
	for {
		old := f.confirmed.Load()
		if uint64(lsn) <= old {
			return
		}
		if f.confirmed.CompareAndSwap(old, uint64(lsn)) {
			return
		}
	}
}

// now asks for an update at once.
func (f *feedback) now() {
	select {
	case f.poke <- struct{}{}:
	default:
	}
}

// close sends a last update and ends the goroutine.
func (f *feedback) close() {
	close(f.stop)
	f.done.Wait()
}

func (f *feedback) run(every time.Duration) {
	const changed = 500 * time.Millisecond // how often a moved LSN is told
	tick := time.NewTicker(changed)
	defer tick.Stop()
	sent, at := uint64(0), time.Time{}
	for {
		stopping := false
		select {
		case <-f.stop:
			stopping = true
		case <-f.poke:
			at = time.Time{}
		case <-tick.C:
			if f.listen != nil {
				f.listen()
			}
		}
		lsn := f.confirmed.Load()
		if lsn == sent && time.Since(at) < every && !stopping {
			continue
		}
		if f.err.Load() == nil {
			if err := f.send(lsn, !stopping); err != nil {
				f.err.Store(&err) // the reading half meets the same fault and reports it
			}
		}
		sent, at = lsn, time.Now()
		if stopping {
			return
		}
	}
}

func (f *feedback) send(lsn uint64, reply bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	at := pglogrepl.LSN(lsn)
	return pglogrepl.SendStandbyStatusUpdate(ctx, f.conn, pglogrepl.StandbyStatusUpdate{
		WALWritePosition: at, WALFlushPosition: at, WALApplyPosition: at, ClientTime: time.Now(), ReplyRequested: reply,
	})
}
