package postgres

import (
	"errors"
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
		if !f.sock.pace.fast {
			t.Fatal("the backlog was not paced; what follows shows nothing")
		}
		arrives("a change after a backlog", 2*paceEvery, 1)
	})
}

// backlog has a pacer read n bytes after each of its pauses, and returns when long
// pauses began, by the number of the read.
func (p *pacer) backlog(reads int, bytes func(i int) int) (began []int) {
	now := p.last
	p.fast = true // as after the first three milliseconds
	for i := range reads {
		if until := p.until(); until.After(now) {
			now = until
		}
		now = now.Add(10 * time.Microsecond)
		before := p.long
		p.read(bytes(i), now)
		if p.long > before {
			began = append(began, i)
		}
	}
	return began
}

// TestOnePacketPerRowIsEndedByLongerPauses: a backlog that has settled in the dear way
// is brought out of it, and one that is as fast as its server is left alone.
func TestOnePacketPerRowIsEndedByLongerPauses(t *testing.T) {
	t.Parallel()
	const loose, dense, trickle = 120 << 10, 248 << 10, 20 << 10
	always := func(n int) func(int) int { return func(int) int { return n } }
	p := newPacer(time.Now())
	if began := p.backlog(1000, always(dense)); len(began) > 0 {
		t.Errorf("a dense backlog is paused longer, from reads %v", began)
	}
	p = newPacer(time.Now())
	if began := p.backlog(10_000, always(trickle)); len(began) > 0 {
		t.Errorf("a steady stream of 7 MB/s is paused longer, from reads %v", began)
	}
	p = newPacer(time.Now())
	began := p.backlog(1000, func(i int) int {
		if i < 2*looked {
			return loose
		}
		return dense
	})
	if len(began) != 1 || began[0] > looked {
		t.Errorf("long pauses began at reads %v, want them once, after %d", began, looked)
	}
	p = newPacer(time.Now())
	before := p.last
	began = p.backlog(10_000, always(loose))
	if n := len(began); n < 5 || n > 12 {
		t.Errorf("where long pauses change nothing they came %d times in %v: %v", n, p.last.Sub(before), began)
	}
	p.backlog(3*looked, always(dense))
	if began := p.backlog(2*looked, always(loose)); len(began) == 0 {
		t.Error("after a dense backlog a loose one is not judged anew")
	}
}

// TestALayerOfSmallReadsIsPacedBeneath: TLS reads a header and a record at a time, of one
// row each. The socket is emptied in large pieces all the same, and the pauses before that
// are no silence of the server, however short the wait is.
func TestALayerOfSmallReadsIsPacedBeneath(t *testing.T) {
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
		c, p := pacedOf(w)
		b := make([]byte, packetBytes)
		rows := func(n int) {
			t.Helper()
			for range n {
				for _, part := range [][]byte{b[:5], b[5:]} {
					for len(part) > 0 {
						if err := c.SetReadDeadline(time.Now().Add(100 * time.Microsecond)); err != nil {
							t.Fatal(err)
						}
						n, err := c.Read(part)
						if err != nil {
							t.Fatalf("with a backlog: %v", err)
						}
						part = part[n:]
					}
				}
			}
		}
		rows(first)
		if !p.pace.fast {
			t.Fatal("the backlog was not paced; what follows shows nothing")
		}
		reads := w.reads
		rows(backlog)
		if piece := backlog * packetBytes / (w.reads - reads); piece < receiveBuffer/2 {
			t.Errorf("pieces of %d bytes on average, want about %d", piece, receiveBuffer)
		}
		if err := c.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("when nothing comes: %v", err)
		}
	})
}
