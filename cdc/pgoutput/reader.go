package pgoutput

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/tailrace/tailrace/cdc"
)

// reader walks over the fields of a message. The first field that is not there
// sets err; from then on every read yields zero, so that a message is read
// straight down and checked once, by done.
type reader struct {
	msg []byte
	pos int
	err *Error
}

// read starts behind the kind.
func read(msg []byte) reader { return reader{msg: msg, pos: 1} }

func (r *reader) fail(offset int, format string, args ...any) {
	if r.err == nil {
		r.err = &Error{Kind: Kind(r.msg[0]), Offset: offset, Reason: fmt.Sprintf(format, args...)}
	}
}

// need tells whether n more bytes are there.
func (r *reader) need(n int, field string) bool {
	if r.err != nil {
		return false
	}
	if left := len(r.msg) - r.pos; left < n {
		r.fail(r.pos, "%s takes %d bytes, %d are left", field, n, left)
		return false
	}
	return true
}

func (r *reader) byte(field string) byte {
	if !r.need(1, field) {
		return 0
	}
	b := r.msg[r.pos]
	r.pos++
	return b
}

// flags is a byte in which only the bits of known may be set: an unknown bit
// could change what the rest means.
func (r *reader) flags(field string, known byte) byte {
	b := r.byte(field)
	if b&^known != 0 {
		r.fail(r.pos-1, "%s has unknown bits: %#02x", field, b)
	}
	return b
}

func (r *reader) uint16(field string) uint16 {
	if !r.need(2, field) {
		return 0
	}
	v := binary.BigEndian.Uint16(r.msg[r.pos:])
	r.pos += 2
	return v
}

func (r *reader) uint32(field string) uint32 {
	if !r.need(4, field) {
		return 0
	}
	v := binary.BigEndian.Uint32(r.msg[r.pos:])
	r.pos += 4
	return v
}

func (r *reader) uint64(field string) uint64 {
	if !r.need(8, field) {
		return 0
	}
	v := binary.BigEndian.Uint64(r.msg[r.pos:])
	r.pos += 8
	return v
}

func (r *reader) lsn(field string) cdc.LSN { return cdc.LSN(r.uint64(field)) }

// epoch is 2000-01-01 UTC, from which PostgreSQL counts time, in microseconds
// since 1970-01-01.
const epoch = 946_684_800_000_000

func (r *reader) time(field string) int64 {
	if !r.need(8, field) {
		return 0
	}
	return int64(r.uint64(field)) + epoch
}

// cstring is a text up to its zero byte, sharing the message's memory.
func (r *reader) cstring(field string) []byte {
	if r.err != nil {
		return nil
	}
	n := bytes.IndexByte(r.msg[r.pos:], 0)
	if n < 0 {
		r.fail(r.pos, "%s has no end", field)
		return nil
	}
	s := r.msg[r.pos : r.pos+n]
	r.pos += n + 1
	return s
}

// length is a signed 32-bit length of bytes that must follow it.
func (r *reader) length(field string) int {
	at := r.pos
	n := int32(r.uint32(field))
	if r.err != nil {
		return 0
	}
	if n < 0 {
		r.fail(at, "%s is negative: %d", field, n)
		return 0
	}
	if left := len(r.msg) - r.pos; int(n) > left {
		r.fail(at, "%s is %d, %d bytes are left", field, n, left)
		return 0
	}
	return int(n)
}

// xid reads the transaction id that stands in front inside a stream block.
func (r *reader) xid(inStream bool) uint32 {
	if !inStream {
		return 0
	}
	return r.uint32("transaction id")
}

// done is the verdict on the message; bytes behind the last field are an error,
// since they show that it was not read as it was written.
func (r *reader) done() *Error {
	if r.err == nil && r.pos != len(r.msg) {
		r.fail(r.pos, "%d bytes behind the last field", len(r.msg)-r.pos)
	}
	return r.err
}

// keep is b as a string: s itself when it says the same, so that names which
// come again and again are allocated once.
func keep(s string, b []byte) string {
	if s == string(b) {
		return s
	}
	return string(b)
}
