package schema

import "encoding/binary"

// cursor reads Avro bytes. After the first failure every read gives zero.
type cursor struct {
	data []byte
	// base is the length of the whole input, for offsets in errors.
	base  int
	zeros int64 // that decimals' scales stand for, so far
	err   *DecodeError
}

func newCursor(data []byte) cursor { return cursor{data: data, base: len(data)} }

func (c *cursor) offset() int { return c.base - len(c.data) }

func (c *cursor) fail(reason string) {
	if c.err == nil {
		c.err = &DecodeError{Offset: c.offset(), Reason: reason}
	}
	c.data = nil
}

// failure is c.err as an error that is nil when there was none.
func (c *cursor) failure() error {
	if c.err == nil {
		return nil
	}
	return c.err
}

func (c *cursor) take(n int) []byte {
	if n < 0 || n > len(c.data) {
		c.fail("the data ends inside a value")
		return nil
	}
	b := c.data[:n:n]
	c.data = c.data[n:]
	return b
}

func (c *cursor) byte() byte {
	if len(c.data) == 0 {
		c.fail("the data ends inside a value")
		return 0
	}
	b := c.data[0]
	c.data = c.data[1:]
	return b
}

func (c *cursor) long() int64 {
	v, n := binary.Uvarint(c.data)
	if n <= 0 {
		c.fail("not a variable-length integer")
		return 0
	}
	c.data = c.data[n:]
	return int64(v>>1) ^ -int64(v&1)
}

func (c *cursor) bytes() []byte {
	n := c.long()
	if n < 0 || n > int64(len(c.data)) {
		c.fail("a length goes beyond the data")
		return nil
	}
	return c.take(int(n))
}

// opens tells whether the string that follows begins with a character.
func (c *cursor) opens(first byte) bool {
	ahead := *c
	b := ahead.bytes()
	return len(b) > 0 && b[0] == first
}

func (c *cursor) uint32() uint32 {
	if b := c.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (c *cursor) uint64() uint64 {
	if b := c.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}
