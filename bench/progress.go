package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/tailrace/tailrace/internal/ops"
)

// progress tells a person what is being done: on a terminal in a line that is
// written over, with the time it has taken. Its methods are safe for concurrent
// use.
type progress struct {
	w        io.Writer
	terminal bool

	mu    sync.Mutex // guards the following
	now   string     // what is being done; "": nothing
	since time.Time
	stop  chan struct{}
}

func newProgress(w io.Writer) *progress {
	f, ok := w.(*os.File)
	return &progress{w: w, terminal: ok && ops.IsTerminal(f)}
}

// begin says what is being done from now on.
func (p *progress) begin(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now, p.since = fmt.Sprintf(format, args...), time.Now()
	if !p.terminal {
		return
	}
	p.draw()
	if p.stop == nil {
		p.stop = make(chan struct{})
		go p.run(p.stop)
	}
}

func (p *progress) run(stop chan struct{}) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-stop:
			return
		case <-t.C:
			p.mu.Lock()
			if p.stop == stop {
				p.draw()
			}
			p.mu.Unlock()
		}
	}
}

// draw is called with mu held.
func (p *progress) draw() {
	fmt.Fprintf(p.w, "\r\x1b[K%s (%.0f s)", p.now, time.Since(p.since).Seconds())
}

// clear says that nothing is being done.
func (p *progress) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = ""
	if p.stop != nil {
		close(p.stop)
		p.stop = nil
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

// say prints a line that stays.
func (p *progress) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stop != nil {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
	fmt.Fprintf(p.w, format+"\n", args...)
	if p.stop != nil {
		p.draw()
	}
}
