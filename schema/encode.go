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
	badNested  = "a multidimensional array in a list of numbers, times, bytes or records"
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
		if !m.knows(text) {
			return dst, newLabel
		}
		return appendBytes(dst, text), ""
	case formArray:
		return p.encodeArray(dst, m, text)
	}
	return p.encodeOther(dst, m, text)
}

func (p *Plan) encodeOther(dst []byte, m *mapping, text []byte) ([]byte, string) {
	if m.raw {
		return appendBinaryText(dst, m.form, text), ""
	}
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
	case formBase64, formBase64URL, formHex:
		return p.encodeBinary(dst, m.form, text)
	case formBit:
		return encodeBit(dst, text)
	case formBits:
		return encodeBits(dst, text)
	case formHstore:
		return p.encodeHstore(dst, text)
	case formHstoreMap:
		return encodeHstoreMap(dst, text)
	case formMoney:
		return p.appendMoney(dst, text, m.scale)
	case formMoneyText:
		return p.encodeMoneyText(dst, text)
	case formMoneyReal:
		return p.encodeMoneyReal(dst, text)
	case formDecimalText:
		return encodeDecimalText(dst, text)
	case formDecimalReal:
		return encodeReal(dst, text)
	case formVector:
		return appendVector(dst, text, 64)
	case formHalfvec:
		return appendVector(dst, text, 32)
	case formSparsevec:
		return appendSparse(dst, text)
	case formInt2Vector:
		return appendIntegers(dst, text, math.MaxInt16)
	case formOIDVector:
		return appendIntegers(dst, text, math.MaxUint32)
	case formPoint, formBox, formLseg, formPath, formPolygon, formCircle, formLine, formGeometry, formGeography:
		return appendGeometry(dst, m.form, text)
	}
	return p.encodeTime(dst, m, text)
}

// encodeTime is encodeText of dates, times, timestamps and intervals.
func (p *Plan) encodeTime(dst []byte, m *mapping, text []byte) ([]byte, string) {
	switch m.form {
	case formDate, formConnectDate:
		v, reason := parseDate(text)
		return appendLong(dst, v), reason
	case formTimeMicros:
		v, reason := parseTime(text)
		return appendLong(dst, v), reason
	case formTimeMillis, formConnectTime:
		v, reason := parseTime(text)
		return appendLong(dst, v/1000), reason
	case formTimeNanos:
		v, reason := parseTime(text)
		return appendLong(dst, v*1000), reason
	case formTimestampMicros, formTimestampMillis, formConnectTimestamp, formTimestampNanos:
		return encodeTimestamp(dst, m.form, text)
	case formZonedTime:
		return appendZonedTime(dst, text)
	case formDuration:
		return encodeDuration(dst, text)
	case formPeriod:
		return p.encodePeriod(dst, text)
	case formISODate:
		return p.encodeISODate(dst, text)
	case formISOTime:
		return p.encodeISOTime(dst, text)
	case formISOTimestamp:
		return p.encodeISOTimestamp(dst, text)
	case formDateParts:
		return encodeDateParts(dst, text)
	case formTimeParts:
		return encodeTimeParts(dst, m, text)
	case formTimestampParts:
		return encodeTimestampParts(dst, m, text)
	case formZonedTimestampParts:
		return encodeZonedTimestampParts(dst, m, text)
	case formZonedTimeParts:
		return encodeZonedTimeParts(dst, m, text)
	}
	return encodePeriodParts(dst, m, text)
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

// knows tells whether an enum has the label, as far as its labels are known.
func (m *mapping) knows(text []byte) bool {
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
