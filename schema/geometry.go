package schema

import (
	"bytes"
	"encoding/binary"
)

const badGeometry = "not a value of its geometric type in PostgreSQL's text form"

// The types of well-known binary (OGC 06-103r4, section 8.2).
const (
	wkbPoint      = 1
	wkbLineString = 2
	wkbPolygon    = 3
)

// The ends of Debezium's Geometry records: no reference system, and what the
// figure is called in PostgreSQL, as a map.
var (
	boxExtensions     = extensionsOf("type", "box")
	lsegExtensions    = extensionsOf("type", "lseg")
	polygonExtensions = extensionsOf("type", "polygon")
	pathExtensions    = extensionsOf("type", "path")
	openExtensions    = extensionsOf("closed", "false", "type", "path")
	closedExtensions  = extensionsOf("closed", "true", "type", "path")
)

func extensionsOf(pairs ...string) []byte {
	dst := appendLong([]byte{0, 2}, int64(len(pairs)/2))
	for _, s := range pairs {
		dst = appendString(dst, s)
	}
	return append(dst, 0)
}

// appendGeometry appends a value of a geometric form.
func appendGeometry(dst []byte, f form, text []byte) ([]byte, string) {
	switch f {
	case formPoint:
		return appendPoint(dst, text)
	case formCircle:
		return appendCircle(dst, text)
	case formLine:
		return appendLine(dst, text)
	case formGeometry, formGeography:
		return appendEWKB(dst, f, text)
	case formBox:
		return appendBox(dst, text)
	}
	open, end := byte('('), byte(')')
	if f == formLseg || f == formPath && len(text) > 0 && text[0] == '[' {
		open, end = '[', ']'
	}
	n := len(text)
	if n < 2 || text[0] != open || text[n-1] != end {
		return dst, badGeometry
	}
	points, count, ok := countPoints(text[1 : n-1])
	if !ok || f == formLseg && count != 2 {
		return dst, badGeometry
	}
	switch {
	case f == formPolygon:
		return append(appendRing(dst, points, count), polygonExtensions...), ""
	case f == formLseg:
		return append(appendLineString(dst, points, count), lsegExtensions...), ""
	case open == '[':
		return append(appendLineString(dst, points, count), openExtensions...), ""
	}
	return append(appendLineString(dst, points, count), closedExtensions...), ""
}

// pointList walks points with commas between them: (x,y),(x,y)
type pointList []byte

// next takes a point off; ok is false at a fault.
func (l *pointList) next() (x, y float64, ok bool) {
	b := *l
	comma, end := bytes.IndexByte(b, ','), bytes.IndexByte(b, ')')
	if comma < 2 || end < comma || b[0] != '(' {
		return 0, 0, false
	}
	x, ok1 := parseFloat(b[1:comma], 64)
	y, ok2 := parseFloat(b[comma+1:end], 64)
	b = b[end+1:]
	if len(b) > 0 {
		if b[0] != ',' || len(b) == 1 {
			return 0, 0, false
		}
		b = b[1:]
	}
	*l = b
	return x, y, ok1 && ok2
}

// countPoints checks a list of points, of which there is one at least.
func countPoints(text []byte) (list pointList, count int, ok bool) {
	for rest := pointList(text); len(rest) > 0 || count == 0; count++ {
		if _, _, ok := rest.next(); !ok {
			return nil, 0, false
		}
	}
	return text, count, true
}

func appendWKBHead(dst []byte, kind uint32) []byte {
	return binary.LittleEndian.AppendUint32(append(dst, 1), kind) // little-endian
}

func appendCoordinates(dst []byte, x, y float64) []byte {
	return appendFloat64(appendFloat64(dst, x), y)
}

func appendLineString(dst []byte, points pointList, count int) []byte {
	dst = appendLong(dst, int64(9+16*count))
	dst = binary.LittleEndian.AppendUint32(appendWKBHead(dst, wkbLineString), uint32(count))
	for range count {
		x, y, _ := points.next()
		dst = appendCoordinates(dst, x, y)
	}
	return dst
}

// appendRing appends points as a polygon's ring. It is closed by its first point
// unless it ends with it.
func appendRing(dst []byte, points pointList, count int) []byte {
	first := points
	x0, y0, _ := first.next()
	x, y := x0, y0
	for walk, i := points, 0; i < count; i++ {
		x, y, _ = walk.next()
	}
	open := count >= 2 && (x != x0 || y != y0)
	n := count
	if open {
		n++
	}
	dst = appendLong(dst, int64(13+16*n))
	dst = binary.LittleEndian.AppendUint32(appendWKBHead(dst, wkbPolygon), 1)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(n))
	for range count {
		x, y, _ = points.next()
		dst = appendCoordinates(dst, x, y)
	}
	if open {
		dst = appendCoordinates(dst, x0, y0)
	}
	return dst
}

// appendBox appends (x,y),(x,y), two corners, as a ring of four.
func appendBox(dst, text []byte) ([]byte, string) {
	points, count, ok := countPoints(text)
	if !ok || count != 2 {
		return dst, badGeometry
	}
	x1, y1, _ := points.next()
	x2, y2, _ := points.next()
	dst = appendLong(dst, 13+16*5)
	dst = binary.LittleEndian.AppendUint32(appendWKBHead(dst, wkbPolygon), 1)
	dst = binary.LittleEndian.AppendUint32(dst, 5)
	for _, p := range [...][2]float64{{x1, y1}, {x1, y2}, {x2, y2}, {x2, y1}, {x1, y1}} {
		dst = appendCoordinates(dst, p[0], p[1])
	}
	return append(dst, boxExtensions...), ""
}

// appendPoint appends (x,y) as Debezium's record: x, y, the same as well-known
// binary, and no reference system.
func appendPoint(dst, text []byte) ([]byte, string) {
	points, count, ok := countPoints(text)
	if !ok || count != 1 {
		return dst, badGeometry
	}
	x, y, _ := points.next()
	return appendPointRecord(dst, x, y), ""
}

func appendPointRecord(dst []byte, x, y float64) []byte {
	dst = appendCoordinates(dst, x, y)
	dst = appendWKBHead(append(dst, 2, 2*21), wkbPoint) // present, 21 bytes
	return append(appendCoordinates(dst, x, y), 0)      // no srid
}

// appendCircle appends <(x,y),r>.
func appendCircle(dst, text []byte) ([]byte, string) {
	n, comma := len(text), bytes.LastIndexByte(text, ',')
	if n < 2 || comma < 2 || text[0] != '<' || text[n-1] != '>' {
		return dst, badGeometry
	}
	radius, ok := parseFloat(text[comma+1:n-1], 64)
	if !ok {
		return dst, badGeometry
	}
	dst, reason := appendPoint(dst, text[1:comma])
	return appendFloat64(dst, radius), reason
}

// appendLine appends {A,B,C}.
func appendLine(dst, text []byte) ([]byte, string) {
	n := len(text)
	if n < 2 || text[0] != '{' || text[n-1] != '}' {
		return dst, badGeometry
	}
	rest := text[1 : n-1]
	for i := range 3 {
		number := rest
		if comma := bytes.IndexByte(rest, ','); i < 2 {
			if comma < 0 {
				return dst, badGeometry
			}
			number, rest = rest[:comma], rest[comma+1:]
		}
		v, ok := parseFloat(number, 64)
		if !ok {
			return dst, badGeometry
		}
		dst = appendFloat64(dst, v)
	}
	return dst, ""
}
