package pgoutput_test

import "encoding/binary"

// builder writes messages byte by byte, as the server would.
type builder []byte

func msg(kind byte) builder { return builder{kind} }

func (b builder) u8(v byte) builder    { return append(b, v) }
func (b builder) u16(v uint16) builder { return binary.BigEndian.AppendUint16(b, v) }
func (b builder) u32(v uint32) builder { return binary.BigEndian.AppendUint32(b, v) }
func (b builder) u64(v uint64) builder { return binary.BigEndian.AppendUint64(b, v) }
func (b builder) str(s string) builder { return append(append(b, s...), 0) }

// tuple appends a letter ('N', 'K' or 'O') and a TupleData: null and unchanged
// stand for themselves, everything else is a text.
func (b builder) tuple(letter byte, columns ...string) builder {
	b = b.u8(letter).u16(uint16(len(columns)))
	for _, c := range columns {
		switch c {
		case null:
			b = b.u8('n')
		case unchanged:
			b = b.u8('u')
		default:
			b = append(b.u8('t').u32(uint32(len(c))), c...)
		}
	}
	return b
}

const (
	null      = "\x00null"
	unchanged = "\x00unchanged"
)
