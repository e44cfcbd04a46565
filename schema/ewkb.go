package schema

import "encoding/binary"

const badEWKB = "not a value in PostGIS's text form: hexadecimal digits of extended well-known binary"

// ewkbSRID is the flag, in the type of a figure, of a reference system's number
// after it (PostGIS manual, section 4.1.2.2).
const ewkbSRID = 0x20000000

// appendEWKB appends a geometry or geography of PostGIS as Debezium does: the
// bytes as they are, and the number of the reference system once more.
func appendEWKB(dst []byte, f form, text []byte) ([]byte, string) {
	if len(text)%2 != 0 || len(text) < 10 {
		return dst, badEWKB
	}
	dst = appendLong(dst, int64(len(text)/2))
	start := len(dst)
	dst, ok := appendHexBytes(dst, text)
	if !ok {
		return dst, badEWKB
	}
	srid, there, ok := sridOf(dst[start:])
	if !ok {
		return dst, badEWKB
	}
	if there {
		dst = appendLong(append(dst, 2), int64(int32(srid)))
	} else {
		dst = append(dst, 0)
	}
	if f == formGeometry {
		dst = append(dst, 0) // no extensions
	}
	return dst, ""
}

// sridOf finds the number of the reference system in extended well-known binary.
func sridOf(b []byte) (srid uint32, there, ok bool) {
	var order binary.ByteOrder = binary.LittleEndian
	switch b[0] {
	case 0:
		order = binary.BigEndian
	case 1:
	default:
		return 0, false, false
	}
	if order.Uint32(b[1:])&ewkbSRID == 0 {
		return 0, false, true
	}
	if len(b) < 9 {
		return 0, false, false
	}
	return order.Uint32(b[5:]), true, true
}
