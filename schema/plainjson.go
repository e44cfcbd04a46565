package schema

import (
	"encoding/base64"
	"math"
	"strconv"
)

// appendPlainJSON appends one encoded value, without union branch, as a schema's
// default shows it: bytes as characters, times as their numbers. It returns the
// bytes after the value.
func appendPlainJSON(dst []byte, m *mapping, avro []byte) (out, rest []byte, err error) {
	return appendValueJSON(dst, m, avro, appendJSONBytes)
}

// appendValueJSON appends one encoded value as JSON; raw bytes go through
// writeBytes.
func appendValueJSON(dst []byte, m *mapping, avro []byte, writeBytes func(dst, b []byte) []byte) (out, rest []byte, err error) {
	c := newCursor(avro)
	switch m.avroType() {
	case "boolean":
		dst = strconv.AppendBool(dst, c.byte() == 1)
	case "int", "long":
		dst = strconv.AppendInt(dst, c.long(), 10)
	case "float":
		dst = appendJSONFloat(dst, float64(math.Float32frombits(c.uint32())), 32)
	case "double":
		dst = appendJSONFloat(dst, math.Float64frombits(c.uint64()), 64)
	case "bytes":
		dst = writeBytes(dst, c.bytes())
	case "array":
		dst = append(dst, '[')
		for n := c.long(); n > 0 && c.err == nil; n-- {
			if dst, err = appendElementJSON(dst, m, &c, writeBytes); err != nil {
				return dst, nil, err
			}
			if n > 1 {
				dst = append(dst, ',')
			}
		}
		if len(c.data) > 0 && dst[len(dst)-1] != '[' {
			c.byte() // the end of the blocks
		}
		dst = append(dst, ']')
	case "record":
		if m.form == formPoint {
			dst = appendPointJSON(dst, &c, writeBytes)
			break
		}
		dst = append(dst, `{"scale":`...)
		dst = strconv.AppendInt(dst, c.long(), 10)
		dst = append(dst, `,"value":`...)
		dst = append(writeBytes(dst, c.bytes()), '}')
	default:
		dst = appendJSONString(dst, c.bytes())
	}
	return dst, c.data, c.failure()
}

func appendElementJSON(dst []byte, m *mapping, c *cursor, writeBytes func(dst, b []byte) []byte) ([]byte, error) {
	if m.elemNullable && c.byte() == 0 {
		return append(dst, "null"...), c.failure()
	}
	out, rest, err := appendValueJSON(dst, m.elem, c.data, writeBytes)
	c.data = rest
	return out, err
}

// appendKeyField appends one encoded key field as Debezium's key headers show
// it: bytes in base64, decimals as numbers.
func appendKeyField(dst []byte, m *mapping, avro []byte) ([]byte, error) {
	if m.form == formDecimal || m.form == formMoney {
		c := newCursor(avro)
		dst = appendDecimalText(dst, c.bytes(), m.scale)
		return dst, c.failure()
	}
	out, _, err := appendValueJSON(dst, m, avro, func(dst, b []byte) []byte {
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, b)
		return append(dst, '"')
	})
	return out, err
}
