package postgres

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/tailrace/tailrace/cdc"
)

// message is one protocol message.
func message(kind byte, body []byte) []byte {
	b := append([]byte{kind}, binary.BigEndian.AppendUint32(nil, uint32(len(body)+4))...)
	return append(b, body...)
}

func TestAlignedReaderLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	var wire []byte
	for _, m := range []pgproto3.BackendMessage{
		&pgproto3.ParameterStatus{Name: "a", Value: "b"}, &pgproto3.ReadyForQuery{TxStatus: 'I'},
	} {
		var err error
		if wire, err = m.Encode(wire); err != nil {
			t.Fatal(err)
		}
	}
	rest := message('d', []byte("the stream begins"))
	r := bytes.NewReader(append(wire, rest...))
	fe := pgproto3.NewFrontend(&alignedReader{r: iotest.OneByteReader(r)}, io.Discard)
	for range 2 {
		if _, err := fe.Receive(); err != nil {
			t.Fatal(err)
		}
	}
	left, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(left, rest) {
		t.Errorf("left on the wire: %q, %v; want %q", left, err, rest)
	}
}

// pipe is a connection whose other end is written by the test.
func pipe(t *testing.T) (near, far net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			close(accepted)
			return
		}
		accepted <- c
	}()
	if near, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	far = <-accepted
	t.Cleanup(func() { near.Close(); far.Close() })
	return near, far
}

func TestFramesComeWholeWhateverTheirSizesAndCuts(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	var want [][]byte
	var wire []byte
	for range 400 {
		size := rng.IntN(300)
		if rng.IntN(40) == 0 {
			size = rng.IntN(3 * readBuffer)
		}
		body := make([]byte, size)
		for i := range body {
			body[i] = byte(rng.Uint32())
		}
		if rng.IntN(20) == 0 {
			wire = append(wire, message('N', []byte("Snotice\x00\x00"))...)
		}
		wire, want = append(wire, message('d', body)...), append(want, body)
	}
	near, far := pipe(t)
	go func() {
		for len(wire) > 0 {
			n := min(len(wire), 1+rng.IntN(70_000))
			if _, err := far.Write(wire[:n]); err != nil {
				return
			}
			wire = wire[n:]
		}
	}()
	f := newFrames(near, 4*readBuffer)
	for i, body := range want {
		var got []byte
		var err error
		for got == nil && err == nil {
			got, _, err = f.next(5 * time.Second)
		}
		if err != nil || !bytes.Equal(got, body) {
			t.Fatalf("frame %d: %d bytes, %v; want %d bytes", i, len(got), err, len(body))
		}
	}
	if got, _, err := f.next(time.Millisecond); got != nil || err != nil {
		t.Errorf("after the last frame: %v, %v; want nothing", got, err)
	}
}

// TestLongFramesComeInPieces: nothing of them is held, and what is not taken is
// passed over.
func TestLongFramesComeInPieces(t *testing.T) {
	t.Parallel()
	near, far := pipe(t)
	const size = 5 << 20
	go func() {
		for range 2 {
			if _, err := far.Write(message('d', make([]byte, size))); err != nil {
				return
			}
		}
		_, _ = far.Write(message('d', []byte("next")))
	}()
	f := newFrames(near, 1<<20)
	got := 0
	for round := range 2 {
		_, long, err := f.next(5 * time.Second)
		if err != nil || long != size {
			t.Fatalf("a frame of %d bytes, %v; want %d", long, err, size)
		}
		for got < size && round == 0 {
			b, err := f.piece(100_000, 5*time.Second)
			if err != nil || len(b) == 0 || len(b) > 100_000 {
				t.Fatalf("a piece of %d bytes, %v", len(b), err)
			}
			got += len(b)
		}
	}
	var body []byte
	for body == nil {
		var err error
		if body, _, err = f.next(5 * time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if string(body) != "next" || len(f.buf) > readBuffer {
		t.Errorf("%q behind them, and a buffer of %d bytes", body, len(f.buf))
	}
}

func TestALongMessageThatIsNoRowStops(t *testing.T) {
	t.Parallel()
	near, far := pipe(t)
	if _, err := far.Write(binary.BigEndian.AppendUint32([]byte{'E'}, 1<<30)); err != nil {
		t.Fatal(err)
	}
	f := newFrames(near, 1<<20)
	if _, _, err := f.next(5 * time.Second); !cdc.Stopped(err) {
		t.Errorf("got %v, want a StopError", err)
	}
}

func TestServerErrorIsAnErrorOfNext(t *testing.T) {
	t.Parallel()
	near, far := pipe(t)
	wire, err := (&pgproto3.ErrorResponse{Severity: "FATAL", Code: "57P01", Message: "going down"}).Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := far.Write(wire); err != nil {
		t.Fatal(err)
	}
	if _, _, err := newFrames(near, 1<<20).next(5 * time.Second); !ShuttingDown(err) {
		t.Errorf("got %v, want the server's 57P01", err)
	}
}

func TestCopyLines(t *testing.T) {
	t.Parallel()
	type row []string
	var got []row
	c := &copyReader{most: 1 << 20, values: make([]cdc.Value, 3), row: func(v []cdc.Value) error {
		var r row
		for _, x := range v {
			if x.State == cdc.Null {
				r = append(r, "<null>")
			} else {
				r = append(r, string(x.Data))
			}
		}
		got = append(got, r)
		return nil
	}}
	text := "1\ttab\\there\t\\N\n2\tline\\nback\\\\slash\\\\N\t\n3\t\\b\\f\\r\\v\tx\n"
	for cut := range len(text) { // whatever the server's pieces are
		got = nil
		for _, part := range []string{text[:cut], text[cut:]} {
			if _, err := c.Write([]byte(part)); err != nil {
				t.Fatalf("cut at %d: %v", cut, err)
			}
		}
		want := []row{{"1", "tab\there", "<null>"}, {"2", "line\nback\\slash\\N", ""}, {"3", "\b\f\r\v", "x"}}
		if len(got) != len(want) {
			t.Fatalf("cut at %d: %q", cut, got)
		}
		for i := range want {
			for j := range want[i] {
				if got[i][j] != want[i][j] {
					t.Errorf("cut at %d: row %d column %d: %q, want %q", cut, i, j, got[i][j], want[i][j])
				}
			}
		}
	}
	for _, bad := range []string{"1\t2\n", "1\t2\t3\t4\n"} {
		if _, err := c.Write([]byte(bad)); err == nil {
			t.Errorf("%q: want an error", bad)
		}
	}
	stop := errors.New("stop")
	c.row = func([]cdc.Value) error { return stop }
	if _, err := c.Write([]byte("1\t2\t3\n")); !errors.Is(err, stop) {
		t.Errorf("got %v, want the callback's error", err)
	}
}

// TestATupleThatCannotBeReadStopsWithPositionAndTable: never a panic, never a
// skipped row.
func TestATupleThatCannotBeReadStopsWithPositionAndTable(t *testing.T) {
	t.Parallel()
	near, far := pipe(t)
	wal := func(lsn uint64, m string) []byte {
		b := append([]byte{'w'}, binary.BigEndian.AppendUint64(nil, lsn)...)
		return message('d', append(append(b, make([]byte, 16)...), m...))
	}
	relation := "R\x00\x00\x40\x01public\x00orders\x00d\x00\x01\x01id\x00\x00\x00\x00\x17\xff\xff\xff\xff"
	torn := "I\x00\x00\x40\x01N\x00\x01t\x00\x00\x00\x09ab"
	if _, err := far.Write(append(wal(100, relation), wal(200, torn)...)); err != nil {
		t.Fatal(err)
	}
	s := &stream{frames: newFrames(near, 1<<20), versions: newVersions(nil, nil)}
	if ev, err := s.Next(t.Context(), 5*time.Second); err != nil || ev.Kind != cdc.EventRelation {
		t.Fatalf("got %+v, %v; want the relation", ev, err)
	}
	_, err := s.Next(t.Context(), 5*time.Second)
	if !cdc.Stopped(err) || !strings.Contains(err.Error(), "0/C8") || !strings.Contains(err.Error(), "public.orders") {
		t.Errorf("got %v, want a StopError with LSN 0/C8 and public.orders", err)
	}
}
