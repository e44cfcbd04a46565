package schema

import (
	"bytes"
	"math"
)

const (
	badVector   = "not a vector in its text form"
	wideVector  = "a sparse vector of more dimensions than its record holds"
	badIntegers = "not a list of integers"
)

// appendVector appends a pgvector vector or halfvec, [1,2.5,3], as an array of
// numbers of so many bits. The numbers are walked twice, since their count comes
// first.
func appendVector(dst, text []byte, bitSize int) ([]byte, string) {
	n := len(text)
	if n < 2 || text[0] != '[' || text[n-1] != ']' {
		return dst, badVector
	}
	rest := text[1 : n-1]
	if len(rest) == 0 {
		return append(dst, 0), ""
	}
	dst = appendLong(dst, int64(bytes.Count(rest, []byte{','})+1))
	for more := true; more; {
		var number []byte
		number, rest, more = cutByte(rest, ',')
		v, ok := parseFloat(number, bitSize)
		if !ok {
			return dst, badVector
		}
		if bitSize == 32 {
			dst = appendFloat32(dst, v)
		} else {
			dst = appendFloat64(dst, v)
		}
	}
	return append(dst, 0), ""
}

// appendSparse appends a pgvector sparsevec, {1:1.5,3:-2}/5: the number of
// dimensions, and the elements that are not zero in the order of their indexes.
func appendSparse(dst, text []byte) ([]byte, string) {
	list, dimensions, found := cutByte(text, '/')
	n := len(list)
	if !found || n < 2 || list[0] != '{' || list[n-1] != '}' {
		return dst, badVector
	}
	d, ok := parseInt(dimensions, math.MaxInt32)
	switch {
	case !ok || d < 0:
		return dst, badVector
	case d > math.MaxInt16:
		return dst, wideVector
	}
	dst = appendLong(dst, d)
	rest := list[1 : n-1]
	if len(rest) == 0 {
		return append(dst, 0), ""
	}
	dst = appendLong(dst, int64(bytes.Count(rest, []byte{','})+1))
	for more := true; more; {
		var element []byte
		element, rest, more = cutByte(rest, ',')
		index, number, found := cutByte(element, ':')
		i, ok1 := parseInt(index, math.MaxInt16)
		v, ok2 := parseFloat(number, 64)
		if !found || !ok1 || !ok2 {
			return dst, badVector
		}
		dst = appendFloat64(appendLong(dst, i), v)
	}
	return append(dst, 0), ""
}

// appendIntegers appends an int2vector or oidvector: integers with spaces between
// them.
func appendIntegers(dst, text []byte, limit uint64) ([]byte, string) {
	if len(text) == 0 {
		return append(dst, 0), ""
	}
	dst = appendLong(dst, int64(bytes.Count(text, []byte{' '})+1))
	for more := true; more; {
		var number []byte
		number, text, more = cutByte(text, ' ')
		v, ok := parseInt(number, limit)
		if !ok {
			return dst, badIntegers
		}
		dst = appendLong(dst, v)
	}
	return append(dst, 0), ""
}

func cutByte(b []byte, sep byte) (before, after []byte, found bool) {
	i := bytes.IndexByte(b, sep)
	if i < 0 {
		return b, nil, false
	}
	return b[:i], b[i+1:], true
}
