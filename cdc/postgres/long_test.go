package postgres

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/cdc/pgoutput"
)

// collected is a LongRow that keeps what it is told.
type collected struct {
	rows  [2][]cdc.Value // old, new
	whole bool
	now   int
	ended int
}

func (c *collected) Row(old, whole bool) error {
	c.now = 1
	if old {
		c.now, c.whole = 0, whole
	}
	c.rows[c.now] = []cdc.Value{}
	return nil
}

func (c *collected) Value(column int, state cdc.State) error {
	if column != len(c.rows[c.now]) {
		return fmt.Errorf("column %d after %d", column, len(c.rows[c.now]))
	}
	c.rows[c.now] = append(c.rows[c.now], cdc.Value{State: state})
	return nil
}

func (c *collected) Data(p []byte) error {
	v := &c.rows[c.now][len(c.rows[c.now])-1]
	v.Data = append(v.Data, p...)
	return nil
}

func (c *collected) End() error { c.ended++; return nil }

// rowBytes makes a row message at random.
func rowBytes(rng *rand.Rand) []byte {
	tuple := func(letter byte) []byte {
		n := rng.IntN(6)
		b := binary.BigEndian.AppendUint16([]byte{letter}, uint16(n))
		for range n {
			switch rng.IntN(4) {
			case 0:
				b = append(b, 'n')
			case 1:
				b = append(b, 'u')
			default:
				size := rng.IntN(40)
				if rng.IntN(3) == 0 {
					size = rng.IntN(3 * readBuffer)
				}
				b = binary.BigEndian.AppendUint32(append(b, 't'), uint32(size))
				b = append(b, bytes.Repeat([]byte{byte(rng.IntN(256))}, size)...)
			}
		}
		return b
	}
	kind := "IUUUD"[rng.IntN(5)]
	b := binary.BigEndian.AppendUint32([]byte{kind}, 77)
	if kind != 'I' && (kind == 'D' || rng.IntN(3) > 0) {
		b = append(b, tuple("KO"[rng.IntN(2)])...)
	}
	if kind != 'D' {
		b = append(b, tuple('N')...)
	}
	return b
}

func walData(b []byte) []byte {
	return message('d', append(append([]byte{'w'}, make([]byte, 24)...), b...))
}

// longStream is a stream that holds nothing, over what a test writes.
func longStream(t *testing.T, wire []byte, rng *rand.Rand) *stream {
	t.Helper()
	near, far := pipe(t)
	cuts := rand.New(rand.NewPCG(rng.Uint64(), 0)) // the test goes on with its own
	go func() {
		for len(wire) > 0 {
			n := min(len(wire), 1+cuts.IntN(100_000))
			if _, err := far.Write(wire[:n]); err != nil {
				return
			}
			wire = wire[n:]
		}
	}()
	return &stream{frames: newFrames(near, 10), inTx: true}
}

// TestLongRowsAreReadAsTheDecoderReadsThem: whatever the cuts, also when some are
// not wanted.
func TestLongRowsAreReadAsTheDecoderReadsThem(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	var messages [][]byte
	var wire []byte
	for range 150 {
		b := rowBytes(rng)
		messages, wire = append(messages, b), append(wire, walData(b)...)
	}
	s := longStream(t, wire, rand.New(rand.NewPCG(seed, 1)))
	var d pgoutput.Decoder
	for i, m := range messages {
		if _, err := d.Decode(m); err != nil {
			t.Fatal(err)
		}
		var ev *cdc.Event
		for ev == nil {
			var err error
			if ev, err = s.Next(t.Context(), time.Second); err != nil {
				t.Fatal(err)
			}
		}
		if ev.Relation != 77 || ev.OldFull != (d.Row.OldKind == 'O') || ev.Long == nil || ev.Size != len(m)+25 {
			t.Fatalf("message %d: %+v", i, ev)
		}
		if rng.IntN(4) == 0 {
			continue // passed over
		}
		var c collected
		if err := ev.Long(t.Context(), &c); err != nil || c.ended != 1 {
			t.Fatalf("message %d: %v", i, err)
		}
		for side, want := range [][]cdc.Value{d.Row.Old, d.Row.New} {
			if (want == nil) != (c.rows[side] == nil) || len(want) != len(c.rows[side]) {
				t.Fatalf("message %d: rows %v", i, side)
			}
			for j := range want {
				if got := c.rows[side][j]; got.State != want[j].State || !bytes.Equal(got.Data, want[j].Data) {
					t.Fatalf("message %d, column %d: %d bytes, want %d", i, j, len(got.Data), len(want[j].Data))
				}
			}
		}
	}
}

// TestLongRowsThatAreHurtStop: what the decoder refuses is refused, and nothing is
// read beyond the message.
func TestLongRowsThatAreHurtStop(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	refused := 0
	for range 300 {
		b := rowBytes(rng)
		for range 1 + rng.IntN(2) {
			b[rng.IntN(min(len(b), 60))] = byte(rng.IntN(256))
		}
		if rng.IntN(2) == 0 {
			b = b[:rng.IntN(len(b))+1]
		}
		if !strings.ContainsRune("IUD", rune(b[0])) {
			continue
		}
		s := longStream(t, walData(b), rng)
		var d pgoutput.Decoder
		_, want := d.Decode(b)
		ev, err := s.Next(t.Context(), time.Second)
		if err == nil && ev.Kind == cdc.EventRow {
			err = ev.Long(t.Context(), &collected{})
		}
		if (err != nil) != (want != nil) {
			t.Fatalf("%x: %v, the decoder says %v", b[:min(len(b), 100)], err, want)
		}
		if err != nil {
			refused++
			if errors.Is(err, errShort) && !cdc.Stopped(err) && len(b) > 6 {
				t.Errorf("%v is no stop", err)
			}
		}
	}
	if refused == 0 {
		t.Error("nothing was refused")
	}
}

func TestLongMessages(t *testing.T) {
	t.Parallel()
	content := strings.Repeat("c", 3*readBuffer)
	for _, flags := range []byte{0, 1} {
		b := append([]byte{'M', flags}, binary.BigEndian.AppendUint64(nil, 4711)...)
		b = append(append(b, "pfx"...), 0)
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(content))), content...)
		s := longStream(t, walData(b), rand.New(rand.NewPCG(1, 1)))
		ev, err := s.Next(t.Context(), time.Second)
		if err != nil || ev.Kind != cdc.EventMessage || ev.Prefix != "pfx" || ev.LSN != 4711 || (ev.Tx != nil) != (flags == 1) {
			t.Fatalf("%+v, %v", ev, err)
		}
		var c collected
		if err := ev.Long(t.Context(), &c); err != nil || string(c.rows[1][0].Data) != content {
			t.Errorf("%v", err)
		}
	}
	b := append([]byte{'M', 1}, make([]byte, 8)...)
	b = append(b, bytes.Repeat([]byte{'x'}, 3*mostPrefix)...)
	if _, err := longStream(t, walData(b), rand.New(rand.NewPCG(1, 1))).Next(t.Context(), time.Second); !cdc.Stopped(err) {
		t.Errorf("a prefix without end: %v", err)
	}
}

// TestCopyPiecesAreTheLines: lines of COPY, cut into pieces by the reader and then
// anywhere, give the rows that they give whole.
func TestCopyPiecesAreTheLines(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	alphabet := []string{"a", `\\`, `\n`, `\t`, `\N`, "ä", "N", `\\N`, "xyz"}
	var wire []byte
	var lines []string
	for range 120 {
		var fields []string
		for range 3 {
			var b strings.Builder
			switch rng.IntN(5) {
			case 0:
				b.WriteString(`\N`)
			case 1: // empty
			default:
				for range rng.IntN(200) {
					if s := alphabet[rng.IntN(len(alphabet))]; s != `\N` {
						b.WriteString(s)
					}
				}
			}
			fields = append(fields, b.String())
		}
		lines = append(lines, strings.Join(fields, "\t")+"\n")
		wire = append(wire, message('d', []byte(lines[len(lines)-1]))...)
	}
	show := func(values []cdc.Value) string {
		var out []string
		for _, v := range values {
			out = append(out, fmt.Sprintf("%d:%s", v.State, v.Data))
		}
		return strings.Join(out, "|")
	}
	read := func(most int, feed func(*copyReader) error) (rows []string, long int) {
		var c *collected
		end := func() {
			if c != nil && c.ended == 1 {
				rows, c = append(rows, show(c.rows[1])), nil
			}
		}
		r := &copyReader{most: most, values: make([]cdc.Value, 3), row: func(v []cdc.Value) error {
			end()
			rows = append(rows, show(v))
			return nil
		}, begin: func() (cdc.LongRow, error) {
			end()
			long++
			c = &collected{}
			return c, nil
		}}
		if err := feed(r); err != nil {
			t.Fatal(err)
		}
		end()
		return rows, long
	}
	want, _ := read(1<<20, func(r *copyReader) error {
		for _, l := range lines {
			if _, err := r.Write([]byte(l)); err != nil {
				return err
			}
		}
		return nil
	})
	if len(want) != len(lines) {
		t.Fatalf("%d rows of %d lines", len(want), len(lines))
	}
	got, long := read(100, func(r *copyReader) error {
		fe := pgproto3.NewFrontend(newPiecesReader(iotest.HalfReader(bytes.NewReader(wire)), 1+rng.IntN(150)), nil)
		for total := 0; total < len(strings.Join(lines, "")); {
			m, err := fe.Receive()
			if err != nil {
				return err
			}
			data := m.(*pgproto3.CopyData).Data
			total += len(data)
			if _, err := r.Write(data); err != nil {
				return err
			}
		}
		return nil
	})
	if long < 20 || strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%d long ones;\ngot  %.2000s\nwant %.2000s", long, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
