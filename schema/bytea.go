package schema

import (
	"encoding/base64"
	"encoding/hex"
)

// byteaLength is how many bytes a bytea in one of the server's text forms
// (bytea_output) has: hex, which begins with \x, or escape, in which a backslash
// never stands alone. It is -1 for other texts.
func byteaLength(text []byte) int {
	if isHex(text) {
		if len(text)%2 != 0 {
			return -1
		}
		return len(text)/2 - 1
	}
	n := 0
	for i := 0; i < len(text); n++ {
		switch {
		case text[i] != '\\':
			i++
		case i+1 < len(text) && text[i+1] == '\\':
			i += 2
		case i+3 < len(text) && isOctal(text[i+1:i+4]):
			i += 4
		default:
			return -1
		}
	}
	return n
}

func isHex(text []byte) bool { return len(text) >= 2 && text[0] == '\\' && text[1] == 'x' }

func isOctal(b []byte) bool {
	return b[0] >= '0' && b[0] <= '3' && b[1] >= '0' && b[1] <= '7' && b[2] >= '0' && b[2] <= '7'
}

// appendByteaBytes appends the bytes of a text of which byteaLength is known.
func appendByteaBytes(dst, text []byte) (out []byte, ok bool) {
	if isHex(text) {
		return appendHexBytes(dst, text[2:])
	}
	for i := 0; i < len(text); {
		switch {
		case text[i] != '\\':
			dst = append(dst, text[i])
			i++
		case text[i+1] == '\\':
			dst = append(dst, '\\')
			i += 2
		default:
			dst = append(dst, (text[i+1]-'0')<<6|(text[i+2]-'0')<<3|(text[i+3]-'0'))
			i += 4
		}
	}
	return dst, true
}

// appendHexBytes appends the bytes of an even number of hexadecimal digits.
func appendHexBytes(dst, digits []byte) (out []byte, ok bool) {
	for i := 0; i < len(digits); i += 2 {
		hi, lo := hexValues[digits[i]], hexValues[digits[i+1]]
		if hi|lo > 15 {
			return dst, false
		}
		dst = append(dst, hi<<4|lo)
	}
	return dst, true
}

func encodeBytea(dst, text []byte) ([]byte, string) {
	n := byteaLength(text)
	if n < 0 {
		return dst, badBytes
	}
	dst, ok := appendByteaBytes(appendLong(dst, int64(n)), text)
	if !ok {
		return dst, badBytes
	}
	return dst, ""
}

// encodeBinary appends a bytea as text: in base64 or in hexadecimal digits.
func (p *Plan) encodeBinary(dst []byte, f form, text []byte) ([]byte, string) {
	if byteaLength(text) < 0 {
		return dst, badBytes
	}
	b, ok := appendByteaBytes(p.json[:0], text)
	p.json = b
	if !ok {
		return dst, badBytes
	}
	return appendBinaryText(dst, f, b), ""
}

// appendBinaryText appends bytes as a string in the encoding of a form.
func appendBinaryText(dst []byte, f form, b []byte) []byte {
	switch f {
	case formBase64:
		dst = appendLong(dst, int64(base64.StdEncoding.EncodedLen(len(b))))
		return base64.StdEncoding.AppendEncode(dst, b)
	case formBase64URL:
		dst = appendLong(dst, int64(base64.URLEncoding.EncodedLen(len(b))))
		return base64.URLEncoding.AppendEncode(dst, b)
	case formHex:
		dst = appendLong(dst, int64(hex.EncodedLen(len(b))))
		return hex.AppendEncode(dst, b)
	}
	return appendBytes(dst, b)
}

var hexValues = func() (v [256]byte) {
	for i := range v {
		v[i] = 0xff
	}
	for i := range byte(10) {
		v['0'+i] = i
	}
	for i := range byte(6) {
		v['a'+i], v['A'+i] = 10+i, 10+i
	}
	return v
}()
