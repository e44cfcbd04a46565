package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// pool lends connections, at most as many at once as it has slots. It dials
// when it has none to lend. Safe for concurrent use.
type pool struct {
	connect func(context.Context) (*pgx.Conn, error)
	slots   chan struct{} // one element per connection that is lent

	mu     sync.Mutex // guards the following
	idle   []resting
	closed bool
}

type resting struct {
	conn  *pgx.Conn
	since time.Time
}

// pingAfter is how long a connection may have been idle and be lent unasked.
const pingAfter = 5 * time.Second

// acquire lends a connection that is outside of any transaction.
func (p *pool) acquire(ctx context.Context) (*pgx.Conn, error) {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	for {
		r := p.pop()
		if r.conn == nil {
			break
		}
		if time.Since(r.since) < pingAfter || r.conn.Ping(ctx) == nil {
			return r.conn, nil
		}
		discard(r.conn) // it ended while it was idle
	}
	conn, err := p.connect(ctx)
	if err != nil {
		<-p.slots
		return nil, err
	}
	return conn, nil
}

// pop takes the connection that was used last.
func (p *pool) pop() resting {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) == 0 {
		return resting{}
	}
	r := p.idle[len(p.idle)-1]
	p.idle = p.idle[:len(p.idle)-1]
	return r
}

// release takes a connection back. One that is not idle is closed: what it was
// in the middle of is nobody's any more.
func (p *pool) release(conn *pgx.Conn) {
	defer func() { <-p.slots }()
	if conn.IsClosed() || conn.PgConn().IsBusy() || conn.PgConn().TxStatus() != 'I' {
		discard(conn)
		return
	}
	p.mu.Lock()
	if !p.closed {
		p.idle = append(p.idle, resting{conn, time.Now()})
		conn = nil
	}
	p.mu.Unlock()
	if conn != nil {
		discard(conn)
	}
}

// close ends idle connections; lent ones end when they come back.
func (p *pool) close() {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.closed = nil, true
	p.mu.Unlock()
	for _, r := range idle {
		discard(r.conn)
	}
}

func discard(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}
