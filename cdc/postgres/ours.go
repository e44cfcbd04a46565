package postgres

import (
	"errors"
	"fmt"
	"time"
)

// A relay that publishes at least once is not fenced by Kafka, so it has to know
// by itself when the slot may be another's. ours is what it knows, and is asked
// before anything is handed to Kafka, and every half second beside that.
//
// What can go wrong:
//
//   - the server ends the session (terminated, cut by something in between) while
//     reading is paused because Kafka is slow: nobody would read the end. The
//     socket is asked for it, without reading. Behind a closed window it does not
//     come, and the next two count;
//   - the network is gone: nothing comes. The server gives the session up after
//     wal_sender_timeout at the earliest, this relay after half of that;
//   - reading is paused for long, by a snapshot, a slow Kafka or a wait, and all is
//     well: what the socket has got counts, read or not, since every status asks for
//     an answer. Behind a closed window nothing comes either; so the server is asked
//     over another connection whose session the slot has (Vouch), and the answer
//     counts from when it was asked for;
//   - the process is frozen, and goes on when the slot is another's: the time that
//     went by counts like any silence.

var errHungUp = errors.New("PostgreSQL has ended the replication connection, so the slot may be another relay's")

// ours is an error when the slot may be another session's by now. Safe to call at
// any time.
func (s *stream) ours() error {
	if err := s.lost.Load(); err != nil {
		return *err
	}
	if s.closed.Load() {
		return nil
	}
	ended, unread, ok := peek(s.conn.Conn())
	if ended {
		return errHungUp
	}
	quiet := min(s.frames.silence(), time.Since(s.frames.begun)-time.Duration(s.vouched.Load()))
	if ok {
		quiet = min(quiet, unread)
	}
	if s.limit > 0 && quiet > s.limit {
		return fmt.Errorf("PostgreSQL has not been heard of for %s, so the slot may be another relay's", quiet.Round(time.Millisecond))
	}
	return nil
}

// Ours is an error when the slot may be another session's by now; nil before there
// is a stream. Safe to call at any time.
func (d *Database) Ours() error {
	if s := d.live.Load(); s != nil {
		return s.ours()
	}
	return nil
}

// Vouch notes that the server, asked at a time, named the session that streams from
// the slot by its process. Safe to call at any time.
func (d *Database) Vouch(pid uint32, asked time.Time) {
	if s := d.live.Load(); s != nil && pid != 0 && s.conn.PID() == pid {
		s.vouched.Store(int64(asked.Sub(s.frames.begun)))
	}
}
