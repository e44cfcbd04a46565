package postgres

import "time"

// The pacing of reads. The walsender writes once per change; while the window is
// open each write is a packet of its own, which costs it more than decoding the
// change does. Reading at most once every three milliseconds while a lot arrives
// lets the fixed receive buffer fill and the window close, so that what follows
// travels in large pieces. The two belong together: the pause must be long enough
// for one-row packets to fill the buffer (measured: 3 ms with 192 to 384 KiB are
// stable; 1 to 2 ms with as much fall back to one packet per row).
//
// A lone change and a trickle are never delayed: the pause comes only while the
// last milliseconds brought much, in however many reads (a reader that keeps up
// with a fast writer gets one row at a time).
//
// A backlog can still settle in one packet per row: each of them then costs the
// walsender so much that it does not fill the buffer in a pause, so the window stays
// open and nothing changes. Reads bring less than half of what the buffer takes then.
// A few longer pauses fill it once, and what comes after that is cheap again. Where
// they change nothing, the server has no more to send, and they come less and less
// often.
const (
	paceEvery = 3 * time.Millisecond
	paceAbove = 2 << 10 // bytes per millisecond: 2 MB/s

	looked     = 32        // reads after which it is judged what they bring
	looseAbove = 40 << 10  // bytes per read: less is no backlog
	looseBelow = 128 << 10 // bytes per read: less is one packet per row
	longPauses = 6         // that follow one another
	longPause  = 3 * paceEvery
	longestOff = 64 // judgements that are passed over, at most, where they changed nothing
)

// pacer says how long a reader waits before it reads again. Times are those of the
// reads; it asks no clock.
type pacer struct {
	last  time.Time // when the last read returned
	since time.Time // when the current measurement began
	bytes int       // that arrived in it
	fast  bool      // the last measurement brought so much that the next read can wait

	reads, got int // while fast, since the last judgement
	long       int // long pauses that are still to come
	off, next  int // judgements to pass over; and how many the next time
}

func newPacer(now time.Time) pacer { return pacer{last: now, since: now} }

// until is the time before which the next read need not come; zero: at once.
func (p *pacer) until() time.Time {
	switch {
	case !p.fast:
		return time.Time{}
	case p.long > 0:
		return p.last.Add(longPause)
	}
	return p.last.Add(paceEvery)
}

// read takes note of a read that has returned with n bytes.
func (p *pacer) read(n int, now time.Time) {
	p.last = now
	p.bytes += n
	if p.fast {
		p.judge(n)
	}
	if elapsed := now.Sub(p.since); elapsed >= paceEvery {
		p.fast = int64(p.bytes)*int64(time.Millisecond) >= paceAbove*int64(elapsed)
		p.since, p.bytes = now, 0
		if !p.fast {
			p.reads, p.got, p.long = 0, 0, 0
		}
	}
}

// judge looks whether a backlog comes in one packet per row.
func (p *pacer) judge(n int) {
	if p.long > 0 {
		p.long--
		return
	}
	p.got += n
	if p.reads++; p.reads < looked {
		return
	}
	average := p.got / p.reads
	p.reads, p.got = 0, 0
	switch {
	case average >= looseBelow:
		p.off, p.next = 0, 0
	case average < looseAbove:
	case p.off > 0:
		p.off--
	default:
		p.long = longPauses
		p.off, p.next = p.next, min(2*p.next+1, longestOff)
	}
}
