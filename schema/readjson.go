package schema

import (
	"math"
	"strconv"
)

// AppendJSON appends a whole record, of any schema, as compact JSON in field
// order, for people: decimals are numbers, times PostgreSQL's text, bytes \x and
// hexadecimal digits, numbers that are not finite strings. It follows Read in
// everything else.
func (r *Reader) AppendJSON(dst, body []byte) ([]byte, error) {
	c := newCursor(body)
	dst = r.appendJSON(dst, &c, r.root, 0)
	return dst, c.finish()
}

func (r *Reader) appendJSON(dst []byte, c *cursor, n *node, depth int) []byte {
	if n = c.resolve(n); n == nil {
		return append(dst, "null"...)
	}
	if depth > maxDepth {
		c.fail("nested too deeply")
		return append(dst, "null"...)
	}
	switch n.kind {
	case KindBool:
		return strconv.AppendBool(dst, c.byte() != 0)
	case KindInt16, KindInt32, KindInt64, KindDecimal, KindVariableDecimal:
		return r.appendText(dst, c, n, depth)
	case KindFloat32:
		return appendFloatJSON(dst, float64(math.Float32frombits(c.uint32())), 32)
	case KindFloat64:
		return appendFloatJSON(dst, math.Float64frombits(c.uint64()), 64)
	}
	switch n.typ {
	case avroNull:
		return append(dst, "null"...)
	case avroRecord:
		if n.kind != KindOther && n.kind != KindPoint {
			break
		}
		dst = append(dst, '{')
		for i := range n.fields {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendJSONString(dst, n.fields[i].name), ':')
			dst = r.appendJSON(dst, c, n.fields[i].node, depth+1)
		}
		return append(dst, '}')
	case avroArray, avroMap:
		return r.appendListJSON(dst, c, n, depth)
	case avroString:
		if n.plain {
			return appendJSONString(dst, c.bytes())
		}
	}
	r.leaf = r.appendText(r.leaf[:0], c, n, depth)
	return appendJSONString(dst, r.leaf)
}

func (r *Reader) appendListJSON(dst []byte, c *cursor, n *node, depth int) []byte {
	open, end := byte('['), byte(']')
	if n.typ == avroMap {
		open, end = '{', '}'
	}
	dst = append(dst, open)
	first := true
	for left := c.block(); left > 0 && c.err == nil; left = c.block() {
		for ; left > 0 && c.err == nil; left-- {
			if !first {
				dst = append(dst, ',')
			}
			first = false
			if n.typ == avroMap {
				dst = append(appendJSONString(dst, c.bytes()), ':')
			}
			dst = r.appendJSON(dst, c, n.items, depth+1)
		}
	}
	return append(dst, end)
}

func appendFloatJSON(dst []byte, v float64, bitSize int) []byte {
	if v != v || math.IsInf(v, 0) {
		return appendJSONString(dst, appendFloatText(nil, v, bitSize))
	}
	return appendFloatText(dst, v, bitSize)
}
