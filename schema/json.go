package schema

import (
	"math"
	"strconv"
)

// appendJSONString appends s as a JSON string with the escapes that Debezium's
// converter writes: short ones where JSON has them, else \u00XX in capitals.
func appendJSONString[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	for i := range len(s) {
		dst = appendJSONByte(dst, s[i])
	}
	return append(dst, '"')
}

func appendJSONByte(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	}
	if c < ' ' {
		const hex = "0123456789ABCDEF"
		return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
	}
	return append(dst, c)
}

// appendJSONBytes appends bytes as Avro writes them in a default: a character of
// ISO 8859-1 for each byte.
func appendJSONBytes(dst, b []byte) []byte {
	dst = append(dst, '"')
	for _, c := range b {
		if c >= 0x80 {
			dst = append(dst, 0xc0|c>>6, 0x80|c&0x3f)
			continue
		}
		dst = appendJSONByte(dst, c)
	}
	return append(dst, '"')
}

// appendJSONFloat appends a number as Java prints it: 0.0, 1.5, 1.0E300. What is
// not finite becomes a string.
func appendJSONFloat(dst []byte, v float64, bitSize int) []byte {
	switch {
	case v != v:
		return append(dst, `"NaN"`...)
	case math.IsInf(v, 1):
		return append(dst, `"Infinity"`...)
	case math.IsInf(v, -1):
		return append(dst, `"-Infinity"`...)
	}
	if a := math.Abs(v); a == 0 || a >= 1e-3 && a < 1e7 {
		start := len(dst)
		dst = strconv.AppendFloat(dst, v, 'f', -1, bitSize)
		for _, c := range dst[start:] {
			if c == '.' {
				return dst
			}
		}
		return append(dst, ".0"...)
	}
	start := len(dst)
	dst = strconv.AppendFloat(dst, v, 'e', -1, bitSize)
	text := string(dst[start:])
	dst = dst[:start]
	for i := range len(text) {
		if text[i] != 'e' {
			continue
		}
		mantissa, exponent := text[:i], text[i+1:]
		dst = append(dst, mantissa...)
		if len(mantissa) < 3 || mantissa[1] != '.' && mantissa[2] != '.' {
			dst = append(dst, ".0"...)
		}
		n, _ := strconv.Atoi(exponent)
		return strconv.AppendInt(append(dst, 'E'), int64(n), 10)
	}
	return append(dst, text...)
}
