package schema

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
