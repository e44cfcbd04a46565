package cdc

import (
	"cmp"
	"fmt"
	"strings"
)

// Position is the one number that orders all changes of a source: the epoch of
// its history, the commit LSN of the transaction, the ordinal of the change in
// it as the server sent it (from 1), and the part of that change.
//
// A bare row LSN would not do: delivery is in commit order, and rows of one
// COPY share an LSN. A snapshot row has ordinal 0 and in Part a running number
// over the whole snapshot, so every streamed change of that commit LSN sorts
// after it.
type Position struct {
	Epoch   uint32
	LSN     LSN
	Ordinal uint32
	Part    uint64
}

// The parts of one streamed change.
const (
	PartRow       = 0 // the row, or the delete half of a key change
	PartTombstone = 1 // the tombstone of a delete
	PartCreate    = 2 // the create half of a key change
)

// RecordHeader is a header of a record of the log.
type RecordHeader struct {
	Name  string
	Value []byte
}

// HeaderPosition names the record header that carries a position's text.
const HeaderPosition = "tailrace.pos"

// HeaderUnavailable names the header that lists values the WAL did not carry.
const HeaderUnavailable = "tailrace.unavailable"

// HeaderOrigin names the header that carries a replication origin.
const HeaderOrigin = "tailrace.origin"

// Compare is negative, zero or positive as p stands before, at or after q.
func (p Position) Compare(q Position) int {
	return cmp.Or(
		cmp.Compare(p.Epoch, q.Epoch),
		cmp.Compare(p.LSN, q.LSN),
		cmp.Compare(p.Ordinal, q.Ordinal),
		cmp.Compare(p.Part, q.Part),
	)
}

// String is the text form of the header: fixed-width hexadecimal, so that the
// order of texts is the order of positions.
func (p Position) String() string { return string(p.Append(nil)) }

// Append appends the text form to dst: 36 bytes for a streamed change, 50 for a
// snapshot row.
func (p Position) Append(dst []byte) []byte {
	dst = appendHex(dst, uint64(p.Epoch), 8)
	dst = append(dst, '/')
	dst = appendHex(dst, uint64(p.LSN), 16)
	dst = append(dst, '/')
	dst = appendHex(dst, uint64(p.Ordinal), 8)
	dst = append(dst, '/')
	if p.Ordinal == 0 {
		return appendHex(dst, p.Part, 16)
	}
	return appendHex(dst, p.Part, 2)
}

// CutPath separates the text of a position from the path of a processor's step,
// which records that a processor derives carry behind it: "" for a relay's.
func CutPath(text string) (position, path string) {
	const part = 35 // where it begins
	if len(text) > part {
		if i := strings.IndexByte(text[part:], '/'); i >= 0 {
			return text[:part+i], text[part+i+1:]
		}
	}
	return text, ""
}

// ParsePosition reads the text form. The path of a step behind it is checked and
// left out: where it matters, texts are compared, whose order it keeps.
func ParsePosition(text string) (Position, error) {
	s, path := CutPath(text)
	bad := func() (Position, error) {
		return Position{}, fmt.Errorf("position %q: want epoch/LSN/ordinal/part in fixed-width hexadecimal, as in 00000003/00000000016b3748/0000000c/00", text)
	}
	if len(s) < len(text) && !validPath(path) {
		return bad()
	}
	if len(s) < 37 || s[8] != '/' || s[25] != '/' || s[34] != '/' {
		return bad()
	}
	epoch, ok1 := parseHex(s[:8])
	lsn, ok2 := parseHex(s[9:25])
	ordinal, ok3 := parseHex(s[26:34])
	part, ok4 := parseHex(s[35:])
	width := 2
	if ordinal == 0 {
		width = 16
	}
	if !ok1 || !ok2 || !ok3 || !ok4 || len(s) != 35+width {
		return bad()
	}
	return Position{Epoch: uint32(epoch), LSN: LSN(lsn), Ordinal: uint32(ordinal), Part: part}, nil
}

// parseHex reads up to 16 lower-case hexadecimal digits.
func parseHex(s string) (v uint64, ok bool) {
	for i := range len(s) {
		c := s[i]
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		default:
			return 0, false
		}
		v = v<<4 | uint64(c)
	}
	return v, len(s) <= 16
}

// validPath tells whether a path is one or more numbers of four hexadecimal digits.
func validPath(path string) bool {
	for number := range strings.SplitSeq(path, "/") {
		if len(number) != 4 || strings.Trim(number, "0123456789abcdef") != "" {
			return false
		}
	}
	return true
}

func appendHex(dst []byte, v uint64, digits int) []byte {
	const hex = "0123456789abcdef"
	for shift := 4 * (digits - 1); shift >= 0; shift -= 4 {
		dst = append(dst, hex[v>>shift&15])
	}
	return dst
}
