package pgoutput_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/tailrace/tailrace/cdc/pgoutput"
)

// TestMutatedMessages does what FuzzDecode does without looking at coverage, and so
// many times faster: captured and generated messages, changed at random, hostile
// lengths and counts among them.
//
//	TAILRACE_MUTATIONS=100000000 TAILRACE_SEED=7 go test ./cdc/pgoutput -run TestMutatedMessages -timeout 0
func TestMutatedMessages(t *testing.T) {
	t.Parallel()
	number := func(variable string, otherwise uint64) uint64 {
		text := os.Getenv(variable)
		if text == "" {
			return otherwise
		}
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", variable, err)
		}
		return n
	}
	runs, seed := number("TAILRACE_MUTATIONS", 50_000), number("TAILRACE_SEED", rand.Uint64())
	m := mutator{generator: generator{rand.New(rand.NewPCG(seed, 0))}}
	for _, path := range captures(t) {
		var d pgoutput.Decoder
		for _, b := range captured(t, path) {
			m.known = append(m.known, known{d.InStream(), b})
			if _, err := d.Decode(b); err != nil {
				t.Fatal(err)
			}
		}
	}
	var b []byte
	var n uint64
	defer func() {
		p := recover()
		if p != nil || t.Failed() {
			t.Errorf("seed %d, execution %d: %x: panic: %v", seed, n, b, p)
		}
	}()
	accepted := 0
	for n = range runs {
		var inStream bool
		inStream, b = m.next()
		if try(t, inStream, b) {
			accepted++
		}
	}
	t.Logf("seed %d: %d executions, of which %d were messages", seed, runs, accepted)
	if accepted < int(runs/100) {
		t.Errorf("%d of %d were messages: the changes leave too few to compare", accepted, runs)
	}
}

type known struct {
	inStream bool
	message  []byte
}

// mutator changes messages; what it returns is valid until the next call.
type mutator struct {
	generator
	known []known
	buf   []byte
}

// sizes are those that a length or a count can do most harm with.
var sizes = []uint32{0, 1, 0x7f, 0xff, 0x7fff, 0x8000, 0xffff, 1 << 24, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff}

func (m *mutator) next() (inStream bool, b []byte) {
	if m.IntN(2) == 0 {
		inStream = m.IntN(3) == 0
		m.buf = append(m.buf[:0], m.message(inStream)...)
	} else {
		k := m.known[m.IntN(len(m.known))]
		inStream = k.inStream != (m.IntN(20) == 0)
		m.buf = append(m.buf[:0], k.message...)
	}
	for range m.IntN(4) {
		m.change()
	}
	return inStream, m.buf
}

func (m *mutator) change() {
	n := len(m.buf)
	if n == 0 {
		m.buf = append(m.buf, byte(m.Uint32()))
		return
	}
	at := m.IntN(n)
	switch m.IntN(9) {
	case 0:
		m.buf[at] ^= 1 << m.IntN(8)
	case 1:
		m.buf[at] = byte(m.Uint32())
	case 2: // cut off
		m.buf = m.buf[:at]
	case 3: // a stretch is gone
		m.buf = append(m.buf[:at], m.buf[min(n, at+1+m.IntN(8)):]...)
	case 4: // a stretch comes again
		m.buf = append(m.buf, m.buf[at:min(n, at+1+m.IntN(64))]...)
	case 5:
		if at+4 <= n {
			binary.BigEndian.PutUint32(m.buf[at:], sizes[m.IntN(len(sizes))])
		}
	case 6:
		if at+2 <= n {
			binary.BigEndian.PutUint16(m.buf[at:], uint16(sizes[m.IntN(len(sizes))]))
		}
	case 7: // the end of another message
		other := m.known[m.IntN(len(m.known))].message
		m.buf = append(m.buf[:at], other[min(len(other), at):]...)
	case 8: // another kind, or another kind of value
		m.buf[at] = "BCOITUDRYMScAbPKrpENKOntub\x00"[m.IntN(27)]
	}
	if len(m.buf) > 1<<16 {
		m.buf = bytes.Clone(m.buf[:1<<16])
	}
}
