package postgres

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/tailrace/tailrace/cdc"
)

// alignedReader hands out one protocol message at a time, so that the connection
// can be taken over after START_REPLICATION without a byte left behind in
// somebody's buffer.
type alignedReader struct {
	r    io.Reader
	head [5]byte
	have int // of head, not handed out yet
	body int // bytes of the message that are still to come
}

// Read returns at most what is left of the current message.
func (a *alignedReader) Read(p []byte) (int, error) {
	if a.have == 0 && a.body == 0 {
		if _, err := io.ReadFull(a.r, a.head[:]); err != nil {
			return 0, err
		}
		a.have = len(a.head)
		a.body = int(binary.BigEndian.Uint32(a.head[1:])) - 4
	}
	if a.have > 0 {
		n := copy(p, a.head[len(a.head)-a.have:])
		a.have -= n
		return n, nil
	}
	n, err := a.r.Read(p[:min(len(p), a.body)])
	a.body -= n
	return n, err
}

const (
	readBuffer = 256 << 10
	// manySmall is after how many reads that did not need it a large buffer is given
	// up: large rows often come one after the other.
	manySmall = 100
)

// frames reads the messages of a replication connection from START_REPLICATION
// on. It is not safe for concurrent use.
type frames struct {
	conn  net.Conn
	sock  *paced // beneath conn
	buf   []byte
	r, w  int
	max   int          // bytes of a message that is held whole
	left  int          // bytes of a longer one that are still to come
	small int          // reads since the buffer was needed at its length
	last  time.Time    // when the last read returned
	begun time.Time    // silence is measured from here, so that no step of the clock counts
	heard atomic.Int64 // when bytes last arrived, nanoseconds after begun
}

func newFrames(conn net.Conn, maxMessage int) *frames {
	now := time.Now()
	conn, sock := pacedOf(conn)
	return &frames{conn: conn, sock: sock, buf: make([]byte, readBuffer), max: maxMessage, last: now, begun: now}
}

// silence is for how long nothing has arrived. Safe to call at any time.
func (f *frames) silence() time.Duration {
	return time.Since(f.begun) - time.Duration(f.heard.Load())
}

// next returns the payload of the next CopyData message, valid until the next
// call, or nil when none arrived within wait. One that is longer than max is not
// held: long is its length, and piece has its bytes; what is left of it at the next
// call is passed over. An error of the server is an error here.
func (f *frames) next(wait time.Duration) (body []byte, long int, err error) {
	for f.left > 0 {
		if b, err := f.piece(readBuffer, wait); err != nil || b == nil {
			return nil, 0, err
		}
	}
	for {
		need := 5
		if have := f.w - f.r; have >= 5 {
			need = 1 + int(binary.BigEndian.Uint32(f.buf[f.r+1:]))
			switch {
			case need < 5 || need > f.max && f.buf[f.r] != 'd':
				return nil, 0, &cdc.StopError{What: fmt.Sprintf("the server sent a message of kind %q with %d bytes", f.buf[f.r], need),
					Next: "report this with the server's version"}
			case need > f.max:
				f.r += 5
				f.left = need - 5
				return nil, f.left, nil
			}
			if have >= need {
				kind, body := f.buf[f.r], f.buf[f.r+5:f.r+need]
				f.r += need
				if kind == 'd' {
					return body, 0, nil
				}
				if err := other(kind, body); err != nil {
					return nil, 0, err
				}
				continue
			}
		}
		more, err := f.fill(need, wait)
		if err != nil || !more {
			return nil, 0, err
		}
	}
}

// piece returns the next bytes of a long message, at most so many, valid until the
// next call; nil when none arrived within wait, or none are left.
func (f *frames) piece(most int, wait time.Duration) ([]byte, error) {
	if f.left == 0 {
		return nil, nil
	}
	if f.r == f.w {
		if more, err := f.fill(1, wait); err != nil || !more {
			return nil, err
		}
	}
	b := f.buf[f.r:min(f.r+most, f.r+f.left, f.w)]
	f.r += len(b)
	f.left -= len(b)
	return b, nil
}

// fill reads once. It makes room for need bytes first and returns false when
// nothing arrived in time.
func (f *frames) fill(need int, wait time.Duration) (bool, error) {
	if f.r > 0 && (f.r == f.w || f.r+need > len(f.buf) || len(f.buf)-f.w < len(f.buf)/4) {
		f.w = copy(f.buf, f.buf[f.r:f.w])
		f.r = 0
	}
	if need > readBuffer {
		f.small = 0
	}
	if need > len(f.buf) {
		grown := make([]byte, need)
		f.w = copy(grown, f.buf[f.r:f.w])
		f.r, f.buf = 0, grown
	} else if f.small++; len(f.buf) > 4*readBuffer && f.small > manySmall && f.w-f.r < readBuffer {
		small := make([]byte, readBuffer)
		f.w = copy(small, f.buf[f.r:f.w])
		f.r, f.buf = 0, small
	}
	f.sock.hurry = f.left > 0 // a long row is bound by its bytes
	if err := f.conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return false, fmt.Errorf("read from PostgreSQL: %w", err)
	}
	n, err := f.conn.Read(f.buf[f.w:])
	f.w += n
	f.last = time.Now()
	if n > 0 {
		f.heard.Store(int64(f.last.Sub(f.begun)))
	}
	switch {
	case n > 0:
		return true, nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return false, nil
	default:
		return false, fmt.Errorf("read from PostgreSQL: %w", err)
	}
}

// other settles a message that is not CopyData.
func other(kind byte, body []byte) error {
	switch kind {
	case 'E':
		var m pgproto3.ErrorResponse
		if err := m.Decode(body); err != nil {
			return fmt.Errorf("read the server's error: %w", err)
		}
		err := error(pgconn.ErrorResponseToPgError(&m))
		if code(err) == "XX000" { // internal_error: nothing that this side, or time, would mend
			err = fmt.Errorf("%w: %w", cdc.ErrUndecodable, err)
		}
		return fmt.Errorf("replication: %w", err)
	case 'N', 'S':
		return nil
	case 'c', 'C', 'Z':
		return errors.New("replication: the server ended the stream")
	default:
		return fmt.Errorf("replication: unexpected message %q", kind)
	}
}
