package test

import (
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// trap is a fault point: the n-th message of a kind, and what happens there,
// before or after the message goes on. The message waits meanwhile, so the
// system under test stands exactly at that point. Safe for concurrent use.
type trap struct {
	mu    sync.Mutex // guards the following
	kind  string
	after bool
	left  int // messages of the kind that still pass
	fire  func()
	hit   chan struct{} // closed when fire has returned
}

// set arms the trap.
func (p *trap) set(kind string, after bool, skip int, fire func()) (hit <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kind, p.after, p.left, p.fire, p.hit = kind, after, skip, fire, make(chan struct{})
	return p.hit
}

// pass is called around each message by whoever forwards it.
func (p *trap) pass(kind string, after bool) {
	p.mu.Lock()
	if p.fire == nil || p.kind != kind || p.after != after {
		p.mu.Unlock()
		return
	}
	if p.left > 0 {
		p.left--
		p.mu.Unlock()
		return
	}
	fire, hit := p.fire, p.hit
	p.fire = nil
	p.mu.Unlock()
	fire()
	close(hit)
}

// tap is a TCP proxy that knows where messages begin and end. Its connections
// can be cut and its answers slowed down. Safe for concurrent use.
type tap struct {
	t        *testing.T
	trap     *trap
	listener net.Listener
	target   func() string
	talk     func(*link) (up, down func() error) // forward one message each way
	// linger is for how long the server does not hear that a client is gone, or until it
	// answers it: the client's machine is gone. kfake counts a member in whose first answer
	// it cannot deliver, and never finds it missing.
	linger  time.Duration
	instead atomic.Pointer[[]byte] // what a client of PostgreSQL gets in the place of the next change

	mu    sync.Mutex // guards the following
	links map[*link]bool
	slow  func() time.Duration
	mute  chan struct{} // not nil: nothing goes through until it is closed
}

// link is one connection through a tap.
type link struct {
	tap            *tap
	client, server net.Conn
}

func newTap(t *testing.T, p *trap, target func() string, talk func(*link) (up, down func() error)) *tap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	x := &tap{t: t, trap: p, listener: l, target: target, talk: talk, links: map[*link]bool{}}
	t.Cleanup(func() {
		_ = l.Close() // no more links
		x.cut()
	})
	go x.accept()
	return x
}

func (x *tap) addr() string { return x.listener.Addr().String() }

func (x *tap) accept() {
	for {
		client, err := x.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", x.target())
		if err != nil {
			_ = client.Close() // as refused
			continue
		}
		l := &link{tap: x, client: client, server: server}
		x.mu.Lock()
		x.links[l] = true
		x.mu.Unlock()
		up, down := x.talk(l)
		go func() {
			l.run(up)
			if x.linger > 0 {
				_ = l.client.Close()
				select {
				case <-x.t.Context().Done():
				case <-time.After(x.linger):
				}
			}
			l.close()
		}()
		go func() {
			l.run(down)
			l.close()
		}()
	}
}

func (l *link) run(one func() error) {
	for one() == nil {
		l.tap.mu.Lock()
		mute := l.tap.mute
		l.tap.mu.Unlock()
		if mute == nil {
			continue
		}
		select {
		case <-mute:
		case <-l.tap.t.Context().Done():
		}
	}
}

// hush lets nothing through any more, in both directions, but what is on its way:
// the network is gone, and no side is told. The function that it returns ends it.
func (x *tap) hush() (end func()) {
	mute := make(chan struct{})
	set := func(c chan struct{}) {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.mute = c
	}
	set(mute)
	return func() {
		set(nil)
		close(mute)
	}
}

func (l *link) close() {
	_, _ = l.client.Close(), l.server.Close() // either side may be gone
	l.tap.mu.Lock()
	delete(l.tap.links, l)
	l.tap.mu.Unlock()
}

// cut ends all connections.
func (x *tap) cut() {
	x.mu.Lock()
	var all []*link
	for l := range x.links {
		all = append(all, l)
	}
	x.mu.Unlock()
	for _, l := range all {
		l.close()
	}
}

// slowly makes every answer wait; nil ends it.
func (x *tap) slowly(wait func() time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.slow = wait
}

func (x *tap) dawdle() {
	x.mu.Lock()
	slow := x.slow
	x.mu.Unlock()
	if slow != nil {
		select {
		case <-x.t.Context().Done():
		case <-time.After(slow()):
		}
	}
}

// between makes times between two bounds.
func between(least, most time.Duration) func() time.Duration {
	return func() time.Duration { return least + time.Duration(rand.Int64N(int64(most-least))) }
}

var errFrame = errors.New("not a message of the protocol")

// sized reads a message that begins with its length: a length of its own bytes
// too when own is set. head bytes stand before the length.
func sized(r io.Reader, head int, own bool) ([]byte, error) {
	buf := make([]byte, head+4)
	if _, err := io.ReadFull(r, buf); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint32(buf[head:]))
	if own {
		n -= 4
	}
	if n < 0 || n > 1<<30 {
		return nil, errFrame
	}
	buf = append(buf, make([]byte, n)...)
	_, err := io.ReadFull(r, buf[head+4:])
	return buf, err
}
