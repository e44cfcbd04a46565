package measure

import (
	"errors"
	"sync"
	"time"
)

// Watch follows one process that may end by itself, and keeps what it last had.
// What a process uses in its last milliseconds can be missed.
type Watch struct {
	pid  int
	from Process
	stop chan struct{}
	done chan struct{}

	mu   sync.Mutex // guards the following
	last Process
	peak int64
}

// watchEvery is how often a process is looked at.
const watchEvery = 10 * time.Millisecond

// WatchPID begins to follow a process; Close ends it.
func WatchPID(pid int) (*Watch, error) {
	p, err := Read(pid)
	if err != nil {
		return nil, err
	}
	w := &Watch{pid: pid, from: p, last: p, stop: make(chan struct{}), done: make(chan struct{})}
	go w.run()
	return w, nil
}

func (w *Watch) run() {
	defer close(w.done)
	t := time.NewTicker(watchEvery)
	defer t.Stop()
	for w.look() {
		select {
		case <-w.stop:
			return
		case <-t.C:
		}
	}
}

// look is false when the process has ended.
func (w *Watch) look() bool {
	p, err := Read(w.pid)
	if err == nil && p.Parent != w.from.Parent {
		err = ErrGone // another one has the id
	}
	peak, err2 := PeakMemory(w.pid)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		w.last = p
	}
	if err2 == nil {
		w.peak = max(w.peak, peak)
	}
	return !errors.Is(err, ErrGone)
}

// Used is what the process has used since WatchPID, or since its own start if
// whole is true, and the most memory that it has had; as of now or of its end.
func (w *Watch) Used(whole bool) (user, system float64, peak int64) {
	w.look()
	w.mu.Lock()
	defer w.mu.Unlock()
	if whole {
		return w.last.User, w.last.System, w.peak
	}
	return w.last.User - w.from.User, w.last.System - w.from.System, w.peak
}

// Close returns when nobody looks any more.
func (w *Watch) Close() {
	close(w.stop)
	<-w.done
}
