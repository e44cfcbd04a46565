package schema

import (
	"encoding/binary"
	"math"
)

// appendLong appends an Avro int or long: zigzag, then seven bits a byte.
func appendLong(dst []byte, v int64) []byte {
	return binary.AppendUvarint(dst, uint64(v)<<1^uint64(v>>63))
}

// appendBytes appends Avro bytes or a string.
func appendBytes(dst, b []byte) []byte {
	return append(appendLong(dst, int64(len(b))), b...)
}

func appendString(dst []byte, s string) []byte {
	return append(appendLong(dst, int64(len(s))), s...)
}

func appendFloat32(dst []byte, v float64) []byte {
	if v != v {
		return binary.LittleEndian.AppendUint32(dst, canonicalNaN32)
	}
	return binary.LittleEndian.AppendUint32(dst, math.Float32bits(float32(v)))
}

func appendFloat64(dst []byte, v float64) []byte {
	if v != v {
		return binary.LittleEndian.AppendUint64(dst, canonicalNaN64)
	}
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
}

// Reasons that are not about the form of the text.
const (
	badBool    = "not a boolean"
	badBytes   = "not a bytea value in the forms hex or escape"
	badBits    = "not a bit string"
	badHstore  = "not an hstore in PostgreSQL's text form"
	badNested  = "a multidimensional array in a list of numbers, times or bytes"
	emptyBit   = "an empty bit string has no form as a boolean"
	newLabel   = "enum label outside the catalog's"
	nullInList = "NULL in a list without null"
)

// encodeText appends the Avro form of a value given as PostgreSQL's text. The
// reason is empty when that went well; dst is then complete.
func (p *Plan) encodeText(dst []byte, m *mapping, text []byte) ([]byte, string) {
	switch m.form {
	case formString:
		return appendBytes(dst, text), ""
	case formInt32:
		return encodeInt(dst, text, math.MaxInt32)
	case formInt64:
		return encodeInt(dst, text, math.MaxInt64)
	case formInt16:
		return encodeInt(dst, text, math.MaxInt16)
	case formOID:
		if len(text) > 0 && text[0] == '-' {
			return dst, badInteger
		}
		return encodeInt(dst, text, math.MaxUint32)
	case formBool:
		return encodeBool(dst, text)
	case formDecimal:
		return appendDecimal(dst, text, m.scale)
	case formVariable:
		return appendVariable(dst, text)
	case formZonedTimestamp:
		return appendZonedTimestamp(dst, text, m.precision)
	case formEnum:
		if !p.knownLabel(m, text) {
			return dst, newLabel
		}
		return appendBytes(dst, text), ""
	case formArray:
		return p.encodeArray(dst, m, text)
	}
	return p.encodeOther(dst, m, text)
}

func (p *Plan) encodeOther(dst []byte, m *mapping, text []byte) ([]byte, string) {
	switch m.form {
	case formFloat32:
		v, ok := parseFloat(text, 32)
		if !ok {
			return dst, badFloat
		}
		return appendFloat32(dst, v), ""
	case formFloat64:
		v, ok := parseFloat(text, 64)
		if !ok {
			return dst, badFloat
		}
		return appendFloat64(dst, v), ""
	case formBytes:
		return encodeBytea(dst, text)
	case formDate:
		v, reason := parseDate(text)
		return appendLong(dst, v), reason
	case formTimeMicros:
		v, reason := parseTime(text)
		return appendLong(dst, v), reason
	case formTimeMillis:
		v, reason := parseTime(text)
		return appendLong(dst, v/1000), reason
	case formTimestampMicros, formTimestampMillis:
		return encodeTimestamp(dst, m, text)
	case formZonedTime:
		return appendZonedTime(dst, text)
	case formDuration:
		v, reason := parseInterval(text)
		return appendLong(dst, v), reason
	case formMoney:
		return appendMoney(dst, p.scratch, text, m.scale)
	case formPoint:
		return appendPoint(dst, text)
	case formBit:
		return encodeBit(dst, text)
	case formBits:
		return encodeBits(dst, text)
	}
	return p.encodeHstore(dst, text)
}

func encodeInt(dst, text []byte, limit uint64) ([]byte, string) {
	v, ok := parseInt(text, limit)
	if !ok {
		return dst, badInteger
	}
	return appendLong(dst, v), ""
}

func encodeBool(dst, text []byte) ([]byte, string) {
	switch string(text) {
	case "t", "true":
		return append(dst, 1), ""
	case "f", "false":
		return append(dst, 0), ""
	}
	return dst, badBool
}

func encodeBit(dst, text []byte) ([]byte, string) {
	switch string(text) {
	case "1":
		return append(dst, 1), ""
	case "0":
		return append(dst, 0), ""
	case "":
		return dst, emptyBit
	}
	return dst, badBits
}

// encodeBits appends a bit string with its last bit as the lowest of the first
// byte; zero bytes at the end are left out, as in Debezium.
func encodeBits(dst, text []byte) ([]byte, string) {
	first := 0
	for first < len(text) && text[first] == '0' {
		first++
	}
	significant := text[first:]
	n := (len(significant) + 7) / 8
	dst = appendLong(dst, int64(n))
	start := len(dst)
	for range n {
		dst = append(dst, 0)
	}
	for i, c := range significant {
		bit := len(significant) - 1 - i
		switch c {
		case '1':
			dst[start+bit/8] |= 1 << (bit % 8)
		case '0':
		default:
			return dst, badBits
		}
	}
	return dst, ""
}

func encodeTimestamp(dst []byte, m *mapping, text []byte) ([]byte, string) {
	days, clock, infinity, reason := parseTimestamp(text)
	millis := m.form == formTimestampMillis
	var v int64
	switch {
	case reason != "":
		return dst, reason
	case infinity > 0 && millis:
		v = msInfinity
	case infinity < 0 && millis:
		v = msNegInfinity
	case infinity > 0:
		v = math.MaxInt64
	case infinity < 0:
		v = math.MinInt64
	case millis:
		v = days*(secondsPerDay*1000) + clock/1000
	case days > (math.MaxInt64-clock)/microsPerDay || days < math.MinInt64/microsPerDay:
		return dst, badRange // PostgreSQL's range ends 29 years later
	default:
		v = days*microsPerDay + clock
	}
	return appendLong(dst, v), ""
}

// encodeBytea takes both of the server's forms (bytea_output): hex, which begins
// with \x, and escape, in which a backslash never stands alone.
func encodeBytea(dst, text []byte) ([]byte, string) {
	if len(text) >= 2 && text[0] == '\\' && text[1] == 'x' {
		digits := text[2:]
		if len(digits)%2 != 0 {
			return dst, badBytes
		}
		dst = appendLong(dst, int64(len(digits)/2))
		for i := 0; i < len(digits); i += 2 {
			hi, lo := hexValues[digits[i]], hexValues[digits[i+1]]
			if hi|lo > 15 {
				return dst, badBytes
			}
			dst = append(dst, hi<<4|lo)
		}
		return dst, ""
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
			return dst, badBytes
		}
	}
	dst = appendLong(dst, int64(n))
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
	return dst, ""
}

func isOctal(b []byte) bool {
	return b[0] >= '0' && b[0] <= '3' && b[1] >= '0' && b[1] <= '7' && b[2] >= '0' && b[2] <= '7'
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

func (p *Plan) knownLabel(m *mapping, text []byte) bool {
	if len(m.labels) == 0 {
		return true // none known, so none can be missing
	}
	for _, l := range m.labels {
		if l == string(text) {
			return true
		}
	}
	return false
}

// encodeArray appends an array: one block of all elements, then the end. The
// elements are walked twice, since their number comes first.
func (p *Plan) encodeArray(dst []byte, m *mapping, text []byte) ([]byte, string) {
	delim := byte(',')
	switch m.elem.semantic {
	case semanticPrefix + "box":
		delim = ';' // pg_type.typdelim
	case semanticPrefix + "geometry", semanticPrefix + "geography":
		delim = ':'
	}
	a, reason := openArray(text, delim)
	if reason != "" {
		return dst, reason
	}
	count := 0
	for walk := a; ; count++ {
		item, reason := walk.next(p.scratch)
		if reason != "" {
			return dst, reason
		}
		if item.end {
			break
		}
		if item.escaped {
			p.scratch = item.text // as far as it grew
		}
	}
	if count == 0 {
		return append(dst, 0), ""
	}
	dst = appendLong(dst, int64(count))
	for range count {
		item, _ := a.next(p.scratch)
		if dst, reason = p.encodeElement(dst, m, item); reason != "" {
			return dst, reason
		}
	}
	return append(dst, 0), ""
}

func (p *Plan) encodeElement(dst []byte, m *mapping, item element) ([]byte, string) {
	if item.null {
		if !m.elemNullable {
			return dst, nullInList
		}
		return append(dst, 0), ""
	}
	if m.elemNullable {
		dst = append(dst, 2)
	}
	if item.nested {
		switch m.elem.form {
		case formString, formEnum, formZonedTimestamp, formZonedTime, formHstore:
			return appendBytes(dst, item.text), ""
		}
		return dst, badNested
	}
	return p.encodeText(dst, m.elem, item.text)
}
