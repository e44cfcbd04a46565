package schema

import (
	"bytes"
	"encoding/binary"
	"math"
)

const (
	pointName = "io.debezium.data.geometry.Point"
	badPoint  = "not a point in PostgreSQL's text form"
)

// appendPoint appends (x,y) as Debezium's record: x, y, the same as well-known
// binary (OGC 06-103r4, section 8), and no reference system.
func appendPoint(dst, text []byte) ([]byte, string) {
	n := len(text)
	comma := bytes.IndexByte(text, ',')
	if comma < 2 || text[0] != '(' || text[n-1] != ')' {
		return dst, badPoint
	}
	x, ok1 := parseFloat(text[1:comma], 64)
	y, ok2 := parseFloat(text[comma+1:n-1], 64)
	if !ok1 || !ok2 {
		return dst, badPoint
	}
	return appendPointRecord(dst, x, y), ""
}

func appendPointRecord(dst []byte, x, y float64) []byte {
	dst = appendFloat64(appendFloat64(dst, x), y)
	dst = append(dst, 2, 2*21, 1) // wkb: present, 21 bytes, little-endian
	dst = binary.LittleEndian.AppendUint32(dst, 1)
	dst = appendFloat64(appendFloat64(dst, x), y)
	return append(dst, 0) // srid
}

// appendPointText appends a Point record as (x,y).
func appendPointText(dst []byte, c *cursor, n *node, depth int) []byte {
	x, y := math.Float64frombits(c.uint64()), math.Float64frombits(c.uint64())
	for i := 2; i < len(n.fields); i++ {
		c.skip(n.fields[i].node, depth+1)
	}
	dst = appendFloatText(append(dst, '('), x, 64)
	dst = appendFloatText(append(dst, ','), y, 64)
	return append(dst, ')')
}

// appendPointJSON appends an encoded Point as Debezium's key headers show it.
func appendPointJSON(dst []byte, c *cursor, writeBytes func(dst, b []byte) []byte) []byte {
	dst = appendJSONFloat(append(dst, `{"x":`...), math.Float64frombits(c.uint64()), 64)
	dst = appendJSONFloat(append(dst, `,"y":`...), math.Float64frombits(c.uint64()), 64)
	c.byte()
	dst = writeBytes(append(dst, `,"wkb":`...), c.bytes())
	c.byte()
	return append(dst, `,"srid":null}`...)
}
