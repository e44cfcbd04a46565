package processors_test

import (
	"bytes"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"
)

// proxy stands between a sink and its PostgreSQL, and can do what a crash or a
// network does at the moment of COMMIT.
type proxy struct {
	listener net.Listener
	server   string
	url      string

	mu       sync.Mutex // guards the following
	atCommit func() verdict
	dead     bool
	conns    map[net.Conn]bool
}

// verdict is what becomes of a COMMIT and of its connection.
type verdict int

const (
	pass      verdict = iota
	swallow           // COMMIT never arrives, the connection breaks
	muteReply         // COMMIT arrives, its answer does not, the connection breaks
)

func newProxy(t *testing.T, database string) *proxy {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, server: u.Host, conns: map[net.Conn]bool{}}
	u.Host = l.Addr().String()
	q := u.Query()
	q.Set("sslmode", "disable")
	u.RawQuery = q.Encode()
	p.url = u.String()
	go p.accept()
	t.Cleanup(func() {
		p.kill()
		_ = l.Close()
	})
	return p
}

// kill breaks all connections and refuses new ones: the process is gone, or cut
// off.
func (p *proxy) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dead = true
	for c := range p.conns {
		_ = c.Close()
	}
}

// revive lets connections in again.
func (p *proxy) revive() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dead = false
}

// onCommit sets what happens at the next COMMIT; f runs before its verdict.
func (p *proxy) onCommit(f func() verdict) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.atCommit = f
}

func (p *proxy) add(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead {
		return false
	}
	p.conns[c] = true
	return true
}

func (p *proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		s, err := net.DialTimeout("tcp", p.server, 5*time.Second)
		if err != nil || !p.add(c) || !p.add(s) {
			_ = c.Close()
			if s != nil {
				_ = s.Close()
			}
			continue
		}
		muted := make(chan struct{})
		go p.toServer(c, s, muted)
		go p.toClient(c, s, muted)
	}
}

var commitMessage = []byte("COMMIT\x00")

func (p *proxy) toServer(c, s net.Conn, muted chan struct{}) {
	defer s.Close()
	defer c.Close()
	buf := make([]byte, 1<<16)
	for {
		n, err := c.Read(buf)
		if n > 0 && bytes.HasPrefix(buf[:n], []byte("Q")) && bytes.HasSuffix(buf[:n], commitMessage) {
			p.mu.Lock()
			f := p.atCommit
			p.atCommit = nil
			p.mu.Unlock()
			if f != nil {
				switch f() {
				case swallow:
					return
				case muteReply:
					close(muted)
				}
			}
		}
		if n > 0 {
			if _, err := s.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *proxy) toClient(c, s net.Conn, muted chan struct{}) {
	defer s.Close()
	defer c.Close()
	buf := make([]byte, 1<<16)
	for {
		n, err := s.Read(buf)
		select {
		case <-muted:
			return // the answer to COMMIT has come, so the server is done with it
		default:
		}
		if n > 0 {
			if _, err := c.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
