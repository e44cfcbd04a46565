package pgoutput_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/tailrace/tailrace/cdc/pgoutput"
)

// FuzzDecode: no input panics, reads behind its end or is read differently than
// pglogrepl does, and whatever decodes encodes to the same bytes.
func FuzzDecode(f *testing.F) {
	for _, path := range captures(f) {
		var d pgoutput.Decoder
		for _, m := range captured(f, path) {
			f.Add(d.InStream(), m)
			if _, err := d.Decode(m); err != nil {
				f.Fatal(err)
			}
		}
	}
	f.Fuzz(func(t *testing.T, inStream bool, m []byte) { try(t, inStream, m) })
}

// try decodes what may be no message at all, and tells whether it was one.
func try(t *testing.T, inStream bool, m []byte) bool {
	var d pgoutput.Decoder
	if inStream {
		enter(t, &d)
	}
	// What stands behind the message in the read buffer must not matter.
	buffer := append(bytes.Clone(m), behind...)
	_, err := d.Decode(buffer[:len(m)])
	if err != nil {
		if e := err.(*pgoutput.Error); e.Offset < 0 || e.Offset > len(m) || e.Reason == "" || d.InStream() != inStream {
			t.Fatalf("%x: %+v", m, e)
		}
		return false
	}
	check(t, &d, m, inStream)
	return true
}

var behind = bytes.Repeat([]byte{'N', 0, 1, 't', 0, 0, 0, 9}, 8)

// TestGeneratedMessagesDecodeAsPglogreplReadsThem makes messages at random,
// valid and garbled ones.
func TestGeneratedMessagesDecodeAsPglogreplReadsThem(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	g := generator{rand.New(rand.NewPCG(seed, 0))}
	var d pgoutput.Decoder
	for range 20_000 {
		inStream := d.InStream()
		m := g.message(inStream)
		if g.IntN(4) == 0 { // garbled: no panic, and no state kept
			bad := bytes.Clone(m)
			for range 1 + g.IntN(3) {
				bad[g.IntN(len(bad))] = byte(g.Uint32())
			}
			fresh := pgoutput.Decoder{}
			if inStream {
				enter(t, &fresh)
			}
			if _, err := fresh.Decode(bad); err == nil {
				check(t, &fresh, bad, inStream)
			}
		}
		if _, err := d.Decode(m); err != nil {
			t.Fatalf("%x: %v", m, err)
		}
		check(t, &d, m, inStream)
	}
}

type generator struct{ *rand.Rand }

func (g generator) message(inStream bool) builder {
	kinds := "BCOITUDRYMScAbPKrp"
	if inStream {
		kinds = "OITUDRYME"
	}
	k := kinds[g.IntN(len(kinds))]
	b := msg(k)
	if inStream && k != 'O' && k != 'E' {
		b = b.u32(g.Uint32())
	}
	switch k {
	case 'B':
		return b.u64(g.Uint64()).u64(g.Uint64()).u32(g.Uint32())
	case 'C':
		return b.u8(0).u64(g.Uint64()).u64(g.Uint64()).u64(g.Uint64())
	case 'O':
		return b.u64(g.Uint64()).str(g.text())
	case 'I':
		return b.u32(g.Uint32()).tuple('N', g.row()...)
	case 'U':
		b = b.u32(g.Uint32())
		if letter := "NKO"[g.IntN(3)]; letter != 'N' {
			b = b.tuple(letter, g.row()...)
		}
		return b.tuple('N', g.row()...)
	case 'D':
		return b.u32(g.Uint32()).tuple("KO"[g.IntN(2)], g.row()...)
	case 'T':
		n := g.IntN(5)
		b = b.u32(uint32(n)).u8(byte(g.IntN(4)))
		for range n {
			b = b.u32(g.Uint32())
		}
		return b
	case 'R':
		n := g.IntN(12)
		b = b.u32(g.Uint32()).str(g.text()).str(g.text()).u8("dnfi"[g.IntN(4)]).u16(uint16(n))
		for range n {
			b = b.u8(byte(g.IntN(2))).str(g.text()).u32(g.Uint32()).u32(g.Uint32())
		}
		return b
	case 'Y':
		return b.u32(g.Uint32()).str(g.text()).str(g.text())
	case 'M':
		content := g.text()
		return append(b.u8(byte(g.IntN(2))).u64(g.Uint64()).str(g.text()).u32(uint32(len(content))), content...)
	case 'S':
		return b.u32(g.Uint32()).u8(byte(g.IntN(2)))
	case 'c':
		return b.u32(g.Uint32()).u8(0).u64(g.Uint64()).u64(g.Uint64()).u64(g.Uint64())
	case 'A':
		b = b.u32(g.Uint32()).u32(g.Uint32())
		if g.IntN(2) == 0 {
			b = b.u64(g.Uint64()).u64(g.Uint64())
		}
		return b
	case 'b':
		return b.u64(g.Uint64()).u64(g.Uint64()).u64(g.Uint64()).u32(g.Uint32()).str(g.text())
	case 'P', 'K', 'p':
		return b.u8(0).u64(g.Uint64()).u64(g.Uint64()).u64(g.Uint64()).u32(g.Uint32()).str(g.text())
	case 'r':
		return b.u8(0).u64(g.Uint64()).u64(g.Uint64()).u64(g.Uint64()).u64(g.Uint64()).u32(g.Uint32()).str(g.text())
	}
	return b // Stream Stop
}

func (g generator) row() []string {
	row := make([]string, g.IntN(20))
	for i := range row {
		switch g.IntN(4) {
		case 0:
			row[i] = null
		case 1:
			row[i] = unchanged
		default:
			row[i] = g.text()
		}
	}
	return row
}

func (g generator) text() string {
	b := make([]byte, g.IntN(20))
	for i := range b {
		b[i] = byte(1 + g.IntN(255))
	}
	return string(b)
}
