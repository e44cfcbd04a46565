package schema

import (
	"math"
	"strconv"
)

// appendDefaultJSON appends one encoded value, without union branch, as a schema's
// default shows it: bytes as characters, times as their numbers. No record or
// list has a default.
func appendDefaultJSON(dst []byte, m *mapping, avro []byte) ([]byte, error) {
	c := newCursor(avro)
	switch m.typeOf() {
	case "boolean":
		dst = strconv.AppendBool(dst, c.byte() == 1)
	case "int", "long":
		dst = strconv.AppendInt(dst, c.long(), 10)
	case "float":
		dst = appendJSONFloat(dst, float64(math.Float32frombits(c.uint32())), 32)
	case "double":
		dst = appendJSONFloat(dst, math.Float64frombits(c.uint64()), 64)
	case "bytes":
		dst = appendJSONBytes(dst, c.bytes())
	default:
		dst = appendJSONString(dst, c.bytes())
	}
	return dst, c.failure()
}
