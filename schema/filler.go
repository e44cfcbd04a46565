package schema

import (
	"crypto/md5"
	"fmt"
	"strconv"
)

// zero is Debezium's filler for a NOT NULL column without default.
func zero(m *mapping) []byte {
	switch m.form {
	case formFloat32:
		return make([]byte, 4)
	case formFloat64, formDecimalReal, formMoneyReal:
		return make([]byte, 8)
	case formDecimal, formMoney:
		return []byte{2, 0} // one byte: zero
	case formDecimalText, formMoneyText:
		return appendString(nil, strconv.FormatFloat(0, 'f', m.scale, 64))
	case formVariable:
		return []byte{0, 2, 0}
	case formZonedTimestamp, formISOTimestamp:
		return appendString(nil, "1970-01-01T00:00:00Z")
	case formZonedTime, formISOTime:
		return appendString(nil, "00:00:00Z")
	case formISODate:
		return appendString(nil, "1970-01-01Z")
	case formPeriod:
		return appendString(nil, "P0Y0M0DT0H0M0S")
	case formHstore:
		return appendString(nil, "{}")
	case formDateParts, formTimeParts, formTimestampParts, formZonedTimestampParts, formZonedTimeParts, formPeriodParts:
		return zeroParts(m)
	case formSparsevec:
		return []byte{0, 0}
	}
	if formShapes[m.form].record != nil {
		return zeroGeometry(m.form)
	}
	return []byte{0} // number, false, empty string, bytes, list or map
}

// zeroGeometry is a small figure that is valid where Debezium's is.
func zeroGeometry(f form) []byte {
	text := map[form]string{
		formPoint: "(0,0)", formCircle: "<(0,0),0>", formLine: "{0,1,0}", formGeometry: "010700000000000000", formGeography: "010700000000000000",
		formBox: "(0,0),(1,1)", formLseg: "[(0,0),(1,0)]", formPath: "[(0,0),(1,0)]", formPolygon: "((0,0),(1,0),(0,1))",
	}[f]
	filler, reason := appendGeometry(nil, f, []byte(text))
	if reason != "" {
		panic("schema: the filler " + text + ": " + reason)
	}
	if f == formPath { // Debezium's does not say whether it is open
		filler, _ = appendGeometry(nil, formLseg, []byte(text))
		filler = append(filler[:len(filler)-len(lsegExtensions)], pathExtensions...)
	}
	return filler
}

// sentinel is what an unchanged TOASTed value of the type is written as; nil
// where the placeholder does not fit. Under Compat it is nil where Debezium
// writes null.
func (s *Settings) sentinel(m *mapping) []byte {
	placeholder := s.placeholder()
	switch m.form {
	case formString, formEnum, formBytes, formHex, formDecimalText, formMoneyText:
		return appendString(nil, placeholder)
	case formBase64, formBase64URL:
		if s.Compat {
			return nil
		}
		return appendString(nil, placeholder)
	case formHstore:
		json := appendJSONString([]byte{'{'}, placeholder)
		json = appendJSONString(append(json, ':'), placeholder)
		return appendBytes(nil, append(json, '}'))
	case formHstoreMap:
		return append(appendString(append(appendString([]byte{2}, placeholder), 2), placeholder), 0)
	case formArray:
		return listOf(m, placeholder)
	}
	return nil
}

func listOf(m *mapping, placeholder string) []byte {
	var list []byte
	switch m.list {
	case listOne:
		list = appendString([]byte{2, 2}, placeholder)
	case listUUID:
		list = appendString([]byte{2, 2}, nameUUID(placeholder))
	case listBytes:
		list = appendLong(nil, int64(len(placeholder)))
		for i := range len(placeholder) {
			list = appendLong(append(list, 2), int64(placeholder[i]))
		}
		if len(placeholder) == 0 {
			return []byte{0}
		}
	default:
		return nil
	}
	return append(list, 0)
}

// nameUUID is the version 3 UUID of a name without namespace, as Java's
// UUID.nameUUIDFromBytes makes it.
func nameUUID(name string) string {
	h := md5.Sum([]byte(name))
	h[6] = h[6]&0x0f | 0x30
	h[8] = h[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", h[:4], h[4:6], h[6:8], h[8:10], h[10:])
}
