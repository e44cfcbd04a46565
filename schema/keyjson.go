package schema

import (
	"encoding/base64"
	"math"
	"strconv"
)

// keyJSON writes an encoded key as Kafka Connect writes a struct into a header:
// bytes in base64, decimals as numbers, times as their numbers.
type keyJSON struct {
	// connect writes it byte for byte as Connect, also where that is no JSON: line
	// breaks stay in strings, and NaN and the dates of Connect have no quotes.
	connect bool
	// members is scratch memory.
	members []byte
}

func (k *keyJSON) value(dst []byte, c *cursor, n *node) []byte {
	if n = c.resolve(n); n == nil {
		return dst
	}
	switch n.typ {
	case avroNull:
		return append(dst, "null"...)
	case avroBoolean:
		return strconv.AppendBool(dst, c.byte() == 1)
	case avroInt, avroLong:
		return k.integer(dst, c.long(), n)
	case avroFloat:
		return k.float(dst, float64(math.Float32frombits(c.uint32())), 32)
	case avroDouble:
		return k.float(dst, math.Float64frombits(c.uint64()), 64)
	case avroBytes:
		if n.kind == KindDecimal {
			return appendDecimalText(dst, c.bytes(), n.scale)
		}
		dst = base64.StdEncoding.AppendEncode(append(dst, '"'), c.bytes())
		return append(dst, '"')
	case avroRecord:
		for i := range n.fields {
			dst = append(dst, "{,"[min(i, 1)])
			dst = append(appendHeaderText(dst, n.fields[i].name, k.connect), ':')
			dst = k.value(dst, c, n.fields[i].node)
		}
		return append(dst, '}')
	case avroArray, avroMap:
		return k.list(dst, c, n)
	}
	return appendHeaderText(dst, c.bytes(), k.connect)
}

// list writes an array, or a map as an object. The converter turns maps without
// text keys into arrays of entries, which are objects here again.
func (k *keyJSON) list(dst []byte, c *cursor, n *node) []byte {
	entries := n.typ == avroArray && n.items.name == "io.confluent.connect.avro.MapEntry"
	open, end := byte('['), byte(']')
	if n.typ == avroMap || entries {
		open, end = '{', '}'
	}
	dst = append(dst, open)
	start := len(dst)
	closed := -1
	for left := c.block(); left > 0 && c.err == nil; left = c.block() {
		for ; left > 0 && c.err == nil; left-- {
			if len(dst) > start {
				dst = append(dst, ',')
			}
			switch {
			case entries:
				dst = append(k.name(dst, c, n.items.fields[0].node), ':')
				dst = k.value(dst, c, n.items.fields[1].node)
			case n.typ == avroMap:
				name := c.bytes()
				if string(name) == "closed" && len(dst) == start {
					closed = start
				}
				dst = append(appendHeaderText(dst, name, k.connect), ':')
				dst = k.value(dst, c, n.items)
			default:
				dst = k.value(dst, c, n.items)
			}
		}
	}
	if closed >= 0 && n.items.typ == avroString {
		dst = k.closedLast(dst, start)
	}
	return append(dst, end)
}

// name writes a number as the name of a member.
func (k *keyJSON) name(dst []byte, c *cursor, n *node) []byte {
	if k.connect {
		return k.value(dst, c, n)
	}
	return append(k.value(append(dst, '"'), c, n), '"')
}

// closedLast puts the first member, which tells whether a path is closed, behind
// the one that says that it is a path: Connect's map has them in another order
// than the converter.
func (k *keyJSON) closedLast(dst []byte, start int) []byte {
	for i := start; i < len(dst); i++ {
		if dst[i] == ',' {
			k.members = append(append(k.members[:0], dst[i+1:]...), ',')
			k.members = append(k.members, dst[start:i]...)
			return append(dst[:start], k.members...)
		}
	}
	return dst
}

// appendHeaderText appends a string in quotes.
func appendHeaderText[T string | []byte](dst []byte, s T, connect bool) []byte {
	if !connect {
		return appendJSONString(dst, s)
	}
	dst = append(dst, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, s[i])
	}
	return append(dst, '"')
}

func (k *keyJSON) float(dst []byte, v float64, bitSize int) []byte {
	if k.connect && (v != v || math.IsInf(v, 0)) {
		return appendFloatText(dst, v, bitSize)
	}
	return appendJSONFloat(dst, v, bitSize)
}

// integer writes a number. Connect's own dates and times are texts: without a
// time of day they are dates.
func (k *keyJSON) integer(dst []byte, v int64, n *node) []byte {
	if n.connect == "" || len(n.connect) < len(connectData) || n.connect[:len(connectData)] != connectData {
		return strconv.AppendInt(dst, v, 10)
	}
	if !k.connect {
		dst = append(dst, '"')
	}
	const perDay = secondsPerDay * 1000
	days, millis := v, int64(0)
	if n.kind != KindDate {
		days = floorDiv(v, perDay)
		millis = v - days*perDay
	}
	if n.kind == KindTime {
		dst = append(appendMillis(dst, v), 'Z')
	} else if dst = appendISODate(dst, days); millis != 0 {
		dst = append(appendMillis(append(dst, 'T'), millis), 'Z')
	}
	if !k.connect {
		dst = append(dst, '"')
	}
	return dst
}

const connectData = "org.apache.kafka.connect.data."

// appendMillis appends milliseconds of a day with three fraction digits.
func appendMillis(dst []byte, millis int64) []byte {
	dst = append(appendClock(dst, millis/1000), '.')
	return appendPadded(dst, millis%1000, 3)
}
