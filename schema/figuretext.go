package schema

import (
	"encoding/binary"
	"math"
	"strconv"
)

// appendFigure appends a geometric value, or a vector, in PostgreSQL's text form.
func appendFigure(dst []byte, c *cursor, n *node, depth int) []byte {
	switch n.kind {
	case KindPoint:
		return appendPointText(dst, c, n, depth)
	case KindCircle:
		dst = appendPointText(append(dst, '<'), c, n.fields[0].node, depth+1)
		dst = appendFloatText(append(dst, ','), c.float64(), 64)
		return append(dst, '>')
	case KindLine:
		for i := range 3 {
			dst = append(dst, "{,"[min(i, 1)])
			dst = appendFloatText(dst, c.float64(), 64)
		}
		return append(dst, '}')
	case KindGeometry:
		return appendGeometryText(dst, c, n, depth)
	}
	if n.typ == avroRecord {
		return appendSparseText(dst, c)
	}
	return appendVectorText(dst, c, only(n.items))
}

func (c *cursor) float64() float64 { return math.Float64frombits(c.uint64()) }

// appendPointText appends a Point record as (x,y).
func appendPointText(dst []byte, c *cursor, n *node, depth int) []byte {
	x, y := c.float64(), c.float64()
	for i := 2; i < len(n.fields); i++ {
		c.skip(n.fields[i].node, depth+1)
	}
	return appendPointAs(dst, x, y)
}

func appendPointAs(dst []byte, x, y float64) []byte {
	dst = appendFloatText(append(dst, '('), x, 64)
	dst = appendFloatText(append(dst, ','), y, 64)
	return append(dst, ')')
}

// appendGeometryText appends a Geometry or Geography record: as the figure that
// its extensions name, else as PostGIS prints it.
func appendGeometryText(dst []byte, c *cursor, n *node, depth int) []byte {
	wkb := c.bytes()
	var figure, closed []byte
	for i := 1; i < len(n.fields); i++ {
		f := n.fields[i]
		if m := only(f.node); f.name != "extensions" || m.typ != avroMap || only(m.items).typ != avroString {
			c.skip(f.node, depth+1)
			continue
		}
		figure, closed = c.extensions(f.node)
	}
	if figure != nil {
		if out, ok := appendFigureText(dst, wkb, string(figure), string(closed) == "true"); ok {
			return out
		}
	}
	const digits = "0123456789ABCDEF"
	for _, b := range wkb {
		dst = append(dst, digits[b>>4], digits[b&15])
	}
	return dst
}

// extensions reads the map of a Geometry record, which may be null.
func (c *cursor) extensions(n *node) (figure, closed []byte) {
	m := c.resolve(n)
	if m == nil || m.typ != avroMap {
		return nil, nil
	}
	for left := c.block(); left > 0 && c.err == nil; left = c.block() {
		for ; left > 0 && c.err == nil; left-- {
			name := c.bytes()
			value := c.resolve(m.items)
			if value == nil || value.typ != avroString {
				continue
			}
			switch text := c.bytes(); string(name) {
			case "type":
				figure = text
			case "closed":
				closed = text
			}
		}
	}
	return figure, closed
}

// appendFigureText appends well-known binary of a line string or a polygon of one
// ring, in little-endian order, as PostgreSQL's figure.
func appendFigureText(dst, wkb []byte, figure string, closed bool) (out []byte, ok bool) {
	if len(wkb) < 9 || wkb[0] != 1 {
		return dst, false
	}
	points := wkb[9:]
	count := int(binary.LittleEndian.Uint32(wkb[5:]))
	switch kind := binary.LittleEndian.Uint32(wkb[1:]); {
	case kind == wkbPolygon && count == 1 && len(wkb) >= 13:
		count = int(binary.LittleEndian.Uint32(points))
		points = points[4:]
	case kind != wkbLineString:
		return dst, false
	}
	if count < 1 || len(points) != 16*count {
		return dst, false
	}
	at := func(i int) (x, y float64) {
		return math.Float64frombits(binary.LittleEndian.Uint64(points[16*i:])), math.Float64frombits(binary.LittleEndian.Uint64(points[16*i+8:]))
	}
	open, end := "(", ")"
	switch {
	case figure == "box" && count == 5:
		x1, y1 := at(0)
		x2, y2 := at(2)
		return appendPointAs(append(appendPointAs(dst, x1, y1), ','), x2, y2), true
	case figure == "lseg" || figure == "path" && !closed:
		open, end = "[", "]"
	case figure == "polygon" && count > 2:
		x1, y1 := at(0)
		if x2, y2 := at(count - 1); x1 == x2 && y1 == y2 {
			count--
		}
	case figure != "path" && figure != "polygon":
		return dst, false
	}
	dst = append(dst, open...)
	for i := range count {
		if i > 0 {
			dst = append(dst, ',')
		}
		x, y := at(i)
		dst = appendPointAs(dst, x, y)
	}
	return append(dst, end...), true
}

// appendVectorText appends an array of numbers as [1,2.5].
func appendVectorText(dst []byte, c *cursor, item *node) []byte {
	dst = append(dst, '[')
	first := true
	for left := c.block(); left > 0 && c.err == nil; left = c.block() {
		for ; left > 0 && c.err == nil; left-- {
			if !first {
				dst = append(dst, ',')
			}
			first = false
			switch item.typ {
			case avroDouble:
				dst = appendFloatText(dst, c.float64(), 64)
			case avroFloat:
				dst = appendFloatText(dst, float64(math.Float32frombits(c.uint32())), 32)
			default:
				c.skip(item, 0)
			}
		}
	}
	return append(dst, ']')
}

// appendSparseText appends a SparseDoubleVector record as {1:1.5,3:-2}/5.
func appendSparseText(dst []byte, c *cursor) []byte {
	dimensions := c.long()
	dst = append(dst, '{')
	first := true
	for left := c.block(); left > 0 && c.err == nil; left = c.block() {
		for ; left > 0 && c.err == nil; left-- {
			if !first {
				dst = append(dst, ',')
			}
			first = false
			dst = append(strconv.AppendInt(dst, c.long(), 10), ':')
			dst = appendFloatText(dst, c.float64(), 64)
		}
	}
	return strconv.AppendInt(append(dst, '}', '/'), dimensions, 10)
}
