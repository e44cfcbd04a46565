package schema

import (
	"encoding/hex"
	"math"
	"math/big"
	"strconv"
)

// appendDecimalText appends an unscaled value, in two's complement, as a plain
// number of the given scale.
func appendDecimalText(dst, unscaled []byte, scale int) []byte {
	if len(unscaled) <= 8 {
		var v int64
		if len(unscaled) > 0 && unscaled[0] >= 0x80 {
			v = -1
		}
		for _, b := range unscaled {
			v = v<<8 | int64(b)
		}
		magnitude := uint64(v)
		if v < 0 {
			dst = append(dst, '-')
			magnitude = -magnitude
		}
		var digits [20]byte
		return appendDigits(dst, strconv.AppendUint(digits[:0], magnitude, 10), scale)
	}
	v := new(big.Int).SetBytes(unscaled)
	if unscaled[0] >= 0x80 {
		v.Sub(v, new(big.Int).Lsh(big.NewInt(1), uint(8*len(unscaled))))
		dst = append(dst, '-')
		v.Neg(v)
	}
	return appendDigits(dst, v.Append(nil, 10), scale)
}

// appendDigits appends digits with a decimal point before the last scale of them.
// A negative scale stands for zeros at the end.
func appendDigits(dst, digits []byte, scale int) []byte {
	if scale <= 0 {
		dst = append(dst, digits...)
		if len(digits) == 1 && digits[0] == '0' {
			return dst
		}
		for range -scale {
			dst = append(dst, '0')
		}
		return dst
	}
	if len(digits) <= scale {
		dst = append(dst, '0', '.')
		for range scale - len(digits) {
			dst = append(dst, '0')
		}
		return append(dst, digits...)
	}
	point := len(digits) - scale
	dst = append(dst, digits[:point]...)
	dst = append(dst, '.')
	return append(dst, digits[point:]...)
}

// appendText appends a value in PostgreSQL's text form. What has none, such as a
// record, is appended as JSON.
func (r *Reader) appendText(dst []byte, c *cursor, n *node, depth int) []byte {
	switch n.kind {
	case KindBool:
		if c.byte() == 0 {
			return append(dst, 'f')
		}
		return append(dst, 't')
	case KindInt16, KindInt32, KindInt64:
		return strconv.AppendInt(dst, c.long(), 10)
	case KindFloat32:
		return appendFloatText(dst, float64(math.Float32frombits(c.uint32())), 32)
	case KindFloat64:
		return appendFloatText(dst, math.Float64frombits(c.uint64()), 64)
	case KindDecimal:
		start := len(dst)
		dst = appendDecimalText(dst, c.bytes(), n.scale)
		if signedScale(n.scale) < 0 {
			dst = append(dst[:start], trimZeros(dst[start:])...)
		}
		return dst
	case KindVariableDecimal:
		return appendVariableText(dst, c)
	case KindBytes:
		if n.typ == avroFixed {
			return appendHexText(dst, c.take(n.size))
		}
		return appendHexText(dst, c.bytes())
	case KindBits:
		return appendBitsText(dst, c.bytes(), n.size)
	case KindZonedTimestamp:
		if n.typ == avroString {
			return appendZonedText(dst, c.bytes())
		}
		return appendTemporal(dst, c, n, depth)
	case KindDate, KindTime, KindTimestamp, KindZonedTime, KindInterval:
		return appendTemporal(dst, c, n, depth)
	case KindArray:
		return r.appendArrayText(dst, c, n, depth)
	case KindPoint, KindGeometry, KindCircle, KindLine, KindVector:
		return appendFigure(dst, c, n, depth)
	}
	switch n.typ {
	case avroString:
		return append(dst, c.bytes()...)
	case avroEnum:
		return append(dst, c.symbol(n)...)
	}
	return r.appendJSON(dst, c, n, depth)
}

func (c *cursor) symbol(n *node) string {
	i := c.long()
	if i < 0 || i >= int64(len(n.symbols)) {
		c.fail("no such enum symbol")
		return ""
	}
	return n.symbols[i]
}

// appendArrayText appends an array literal.
func (r *Reader) appendArrayText(dst []byte, c *cursor, n *node, depth int) []byte {
	if depth > maxDepth {
		c.fail("nested too deeply")
		return dst
	}
	_, widened := widenedBase(only(n.items).connect)
	dst = append(dst, '{')
	first := true
	for left := c.block(); left > 0 && c.err == nil; left = c.block() {
		for ; left > 0 && c.err == nil; left-- {
			if !first {
				dst = append(dst, ',')
			}
			first = false
			item := c.resolve(n.items)
			switch {
			case item == nil:
			case item.typ == avroNull:
				dst = append(dst, "NULL"...)
			case item.kind == KindArray:
				dst = r.appendArrayText(dst, c, item, depth+1)
			case item.typ == avroString && (item.plain || c.opens('{')):
				text := c.bytes()
				if (widened || !item.plain) && len(text) > 0 && text[0] == '{' {
					dst = append(dst, text...) // an inner array
					break
				}
				dst = appendElement(dst, text)
			default:
				r.elem = r.appendText(r.elem[:0], c, item, depth+1)
				dst = appendElement(dst, r.elem)
			}
		}
	}
	return append(dst, '}')
}

// only is the one type of a nullable union.
func only(n *node) *node {
	for _, b := range n.branches {
		if b.typ != avroNull {
			return b
		}
	}
	return n
}

func appendVariableText(dst []byte, c *cursor) []byte {
	scale := c.long()
	unscaled := c.bytes()
	if scale < -maxDigits || scale > maxDigits {
		c.fail("a scale outside PostgreSQL's range")
		return dst
	}
	// Few bytes can stand for many zeros; all of a record's share a bound.
	if c.zeros += max(scale, -scale); c.zeros > 1<<24 {
		c.fail("more digits than a row can have")
		return dst
	}
	return appendDecimalText(dst, unscaled, int(scale))
}

// maxDigits is the most digits that a numeric has on one side of its point
// (PostgreSQL documentation, section 8.1.2).
const maxDigits = 131072

// trimZeros takes the zeros off the end of a number with a point.
func trimZeros(number []byte) []byte {
	for len(number) > 0 && number[len(number)-1] == '0' {
		number = number[:len(number)-1]
	}
	if n := len(number); n > 0 && number[n-1] == '.' {
		number = number[:n-1]
	}
	return number
}

// appendFloatText appends a float as PostgreSQL 12 and later print it: the
// shortest digits, an exponent from 1e15 (1e6 for real) and below 1e-4.
func appendFloatText(dst []byte, v float64, bitSize int) []byte {
	switch {
	case v != v:
		return append(dst, "NaN"...)
	case math.IsInf(v, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(v, -1):
		return append(dst, "-Infinity"...)
	}
	least, limit := 1e-4, 1e15
	if bitSize == 32 {
		least, limit = float64(float32(1e-4)), 1e6
	}
	if a := math.Abs(v); a != 0 && (a < least || a >= limit) {
		return strconv.AppendFloat(dst, v, 'e', -1, bitSize)
	}
	return strconv.AppendFloat(dst, v, 'f', -1, bitSize)
}

func appendHexText(dst, b []byte) []byte {
	dst = append(dst, '\\', 'x')
	return hex.AppendEncode(dst, b)
}

// appendBitsText appends a bit string of size bits, or of more when more are set.
// Without a size it begins with the highest bit that is set.
func appendBitsText(dst, b []byte, size int) []byte {
	significant := 8 * len(b)
	for significant > 0 && b[(significant-1)/8]>>((significant-1)%8)&1 == 0 {
		significant--
	}
	if size > 1<<20 { // unbounded
		size = 0
	}
	for bit := max(size, significant) - 1; bit >= 0; bit-- {
		digit := byte('0')
		if bit/8 < len(b) {
			digit += b[bit/8] >> (bit % 8) & 1
		}
		dst = append(dst, digit)
	}
	return dst
}
