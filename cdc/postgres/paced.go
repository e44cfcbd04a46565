package postgres

import (
	"net"
	"time"
)

// paced is the socket of a replication connection, beneath TLS where there is any: reads
// that are to be paced are those that empty the socket's buffer, and TLS hands out one
// record at a time, of one row each.
//
// From begin on, the deadline of a read counts from when it asks the socket: a pause that
// comes before is not part of it, or a backlog would look like silence after each of them.
// One goroutine reads and sets read deadlines; the rest is as with any net.Conn.
type paced struct {
	net.Conn
	begun    bool
	pace     pacer
	unpaced  bool // no pauses ever: a Unix socket holds a few hundred rows, so a pause would be all that it does
	hurry    bool // none now
	deadline time.Time

	buf  []byte // for readers of small pieces: TLS
	r, w int
}

// smallPiece is below what a read takes a buffer of its own.
const smallPiece = 32 << 10

// pacedOf is the socket beneath a connection, which begins to pace. A connection that is
// made over none has one put over it.
func pacedOf(conn net.Conn) (net.Conn, *paced) {
	for c := conn; ; {
		if p, ok := c.(*paced); ok {
			p.begin()
			return conn, p
		}
		over, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			p := &paced{Conn: conn}
			p.begin()
			return p, p
		}
		c = over.NetConn()
	}
}

func (p *paced) begin() { p.begun, p.pace = true, newPacer(time.Now()) }

// NetConn is the connection beneath.
func (p *paced) NetConn() net.Conn { return p.Conn }

// SetReadDeadline is net.Conn's.
func (p *paced) SetReadDeadline(t time.Time) error {
	if !p.begun {
		return p.Conn.SetReadDeadline(t)
	}
	p.deadline = t
	return nil
}

// Read is net.Conn's.
func (p *paced) Read(b []byte) (n int, err error) {
	switch {
	case !p.begun:
		return p.Conn.Read(b)
	case p.r == p.w && len(b) >= smallPiece:
		return p.fetch(b)
	case p.r == p.w:
		if p.buf == nil {
			p.buf = make([]byte, receiveBuffer)
		}
		p.r = 0
		p.w, err = p.fetch(p.buf)
	}
	n = copy(b, p.buf[p.r:p.w])
	p.r += n
	return n, err
}

// fetch empties the socket.
func (p *paced) fetch(b []byte) (int, error) {
	deadline := p.deadline
	if until := p.pace.until(); !p.hurry && !p.unpaced && !until.IsZero() {
		began := time.Now()
		time.Sleep(until.Sub(began))
		if !deadline.IsZero() {
			deadline = deadline.Add(time.Since(began))
		}
	}
	if err := p.Conn.SetReadDeadline(deadline); err != nil {
		return 0, err
	}
	n, err := p.Conn.Read(b)
	p.pace.read(n, time.Now())
	return n, err
}
