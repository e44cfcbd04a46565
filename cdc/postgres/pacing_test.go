package postgres

import (
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// wire is a connection whose receive buffer holds so many packets, of one row
// each: a writer waits while it is full, as the walsender does on a closed window.
// One goroutine reads.
type wire struct {
	net.Conn // nothing else is asked of it
	packets  chan []byte
	rest     []byte // of a packet that was read in part
	deadline time.Time
	reads    int // that brought something
}

func (w *wire) SetReadDeadline(t time.Time) error { w.deadline = t; return nil }

// Read waits for the first packet and takes what else is there.
func (w *wire) Read(p []byte) (int, error) {
	if len(w.rest) == 0 {
		timer := time.NewTimer(time.Until(w.deadline))
		defer timer.Stop()
		select {
		case w.rest = <-w.packets:
		case <-timer.C:
			return 0, os.ErrDeadlineExceeded
		}
	}
	w.reads++
	n := 0
	for {
		c := copy(p[n:], w.rest)
		n, w.rest = n+c, w.rest[c:]
		if len(w.rest) > 0 {
			return n, nil
		}
		select {
		case w.rest = <-w.packets:
		default:
			return n, nil
		}
	}
}

const packetBytes = 200

func newWire() *wire { return &wire{packets: make(chan []byte, receiveBuffer/packetBytes)} }

// row is the packet of one change.
func row() []byte { return message('d', make([]byte, packetBytes-5)) }

// until reads so many rows.
func until(t *testing.T, f *frames, rows int) {
	t.Helper()
	for range rows {
		for {
			body, _, err := f.next(time.Second)
			if err != nil {
				t.Fatal(err)
			}
			if body != nil {
				break
			}
		}
	}
}

// TestABacklogIsReadInLargePieces: a writer that sends a row each microsecond, and
// a reader that could keep up with it row by row, which would cost the walsender a
// packet and a wake-up for each.
func TestABacklogIsReadInLargePieces(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const first, backlog = 10_000, 60_000
		w := newWire()
		go func() {
			for range first + backlog {
				time.Sleep(time.Microsecond)
				w.packets <- row()
			}
		}()
		f := newFrames(w, 1<<20)
		until(t, f, first) // it takes a moment to see what arrives
		reads, began := w.reads, time.Now()
		until(t, f, backlog)
		reads = w.reads - reads
		if piece := backlog * packetBytes / reads; piece < receiveBuffer/2 {
			t.Errorf("%d reads of %d bytes on average; want pieces of about %d", reads, piece, receiveBuffer)
		}
		if took, most := time.Since(began), backlog*packetBytes/receiveBuffer*paceEvery*3/2; took > most {
			t.Errorf("it took %v, want at most %v: a pause is for filling the buffer, not for waiting on a full one", took, most)
		}
	})
}

// TestALoneChangeLeavesAtOnce: alone, in a trickle, in a short burst, and after a
// backlog. No setting is needed for either.
func TestALoneChangeLeavesAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		f := newFrames(w, 1<<20)
		arrives := func(what string, after time.Duration, rows int) {
			t.Helper()
			sent := make(chan time.Time, 1)
			go func() {
				time.Sleep(after)
				sent <- time.Now()
				for range rows {
					w.packets <- row()
				}
			}()
			until(t, f, rows)
			if delay := time.Since(<-sent); delay > 0 {
				t.Errorf("%s: read %v after it was sent", what, delay)
			}
		}
		arrives("the first change", time.Millisecond, 1)
		arrives("a change after ten minutes", 10*time.Minute, 1)
		for range 2000 { // 1 MB/s
			arrives("a change of a trickle", 200*time.Microsecond, 1)
		}
		arrives("a burst of 100 rows", 50*time.Millisecond, 100)
		go func() {
			for range 30_000 {
				time.Sleep(time.Microsecond)
				w.packets <- row()
			}
		}()
		until(t, f, 30_000)
		if !f.fast {
			t.Fatal("the backlog was not paced; what follows shows nothing")
		}
		arrives("a change after a backlog", 2*paceEvery, 1)
	})
}
