package processors

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/tailrace/tailrace/kafka"
)

// queue holds the messages of one partition that were fetched and are not
// committed yet. One goroutine puts, one takes.
type queue struct {
	mu     sync.Mutex // guards the following
	ready  []kafka.Message
	bytes  int // of ready and of what was taken and is not done
	closed bool
	poked  bool
	stale  bool // until the reading has gone on elsewhere, what comes is not to be had

	signal chan struct{} // holds an element when ready or closed changed
}

func newQueue() *queue { return &queue{signal: make(chan struct{}, 1)} }

// put adds messages and returns how many bytes the partition now holds.
func (q *queue) put(messages []kafka.Message) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || q.stale {
		return q.bytes
	}
	for i := range messages {
		q.bytes += messages[i].Size()
	}
	q.ready = append(q.ready, messages...)
	q.wake()
	return q.bytes
}

func (q *queue) wake() {
	select {
	case q.signal <- struct{}{}:
	default:
	}
}

// poke makes take return, now or when it is next called, with nothing taken: its
// caller has something else to do first.
func (q *queue) poke() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.poked = true
	q.wake()
}

// close ends take; what was not taken is dropped, and is read again by whoever
// owns the partition next.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.empty()
	q.wake()
}

// empty drops what was not taken. q.mu is held.
func (q *queue) empty() {
	for i := range q.ready {
		q.bytes -= q.ready[i].Size()
	}
	q.ready = nil
}

// refuse drops what was not taken, and what is put before accept.
func (q *queue) refuse() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stale = true
	q.empty()
}

func (q *queue) accept() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stale = false
}

// take waits for messages and takes up to rows of them and about bytes. Its
// result is empty when idle fires first, and after poke. ok is false when the queue is closed or
// ctx ended.
func (q *queue) take(ctx context.Context, idle <-chan time.Time, rows, bytes int) (messages []kafka.Message, ok bool) {
	for {
		q.mu.Lock()
		if q.closed {
			q.mu.Unlock()
			return nil, false
		}
		if q.poked {
			q.poked = false
			q.mu.Unlock()
			return nil, true
		}
		if len(q.ready) > 0 {
			n := q.batch(rows, bytes)
			messages = slices.Clone(q.ready[:n])
			clear(q.ready[:n]) // or what was taken long ago would live as long as the array
			if q.ready = q.ready[n:]; len(q.ready) == 0 {
				q.ready = nil
			}
			q.mu.Unlock()
			return messages, true
		}
		q.mu.Unlock()
		select {
		case <-q.signal:
		case <-idle:
			return nil, true
		case <-ctx.Done():
			return nil, false
		}
	}
}

// batch is how many messages take takes. q.mu is held.
func (q *queue) batch(rows, bytes int) (n int) {
	size := 0
	for n < len(q.ready) && n < rows && (n == 0 || size+q.ready[n].Size() <= bytes) {
		size += q.ready[n].Size()
		n++
	}
	return n
}

// peek returns what take would now give, and leaves it there.
func (q *queue) peek(rows, bytes int) []kafka.Message {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := q.batch(rows, bytes)
	return slices.Clone(q.ready[:n])
}

// waiting tells whether take would give messages now.
func (q *queue) waiting() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.ready) > 0
}

// done gives back the room of messages that are committed, and returns how many
// bytes the partition still holds.
func (q *queue) done(messages []kafka.Message) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range messages {
		q.bytes -= messages[i].Size()
	}
	return q.bytes
}

// size is how many bytes the partition holds.
func (q *queue) size() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes
}

// oldest is the timestamp of the first message that was not taken.
func (q *queue) oldest() time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range q.ready {
		if !q.ready[i].Control {
			return q.ready[i].Time
		}
	}
	return time.Time{}
}
