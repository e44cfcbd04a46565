package schema

import (
	"math"
	"math/big"
	"math/bits"
	"strconv"
	"unsafe"
)

// The reasons that parsers give; each stands for one *cdc.ValueError. A reason
// is a constant, so that no parser allocates.
const (
	badInteger = "not an integer of its type"
	badFloat   = "not a number in PostgreSQL's text form"
	badNumeric = "not a decimal in PostgreSQL's text form"
	badScale   = "more fraction digits than the column's scale"
	notFinite  = "NaN or infinity has no form in a decimal"
)

// parseInt reads a decimal integer of at most the given magnitude (as a positive
// number; the negative side reaches one further).
func parseInt(b []byte, limit uint64) (int64, bool) {
	negative := false
	if len(b) > 0 && b[0] == '-' {
		negative, b = true, b[1:]
		limit++
	}
	if len(b) == 0 || len(b) > 19 {
		return 0, false
	}
	var v uint64
	for _, c := range b {
		c -= '0'
		if c > 9 {
			return 0, false
		}
		v = v*10 + uint64(c) // nineteen digits fit
	}
	if v > limit {
		return 0, false
	}
	if negative {
		return -int64(v), true
	}
	return int64(v), true
}

// canonicalNaN is the NaN that Java writes; Go's own has another payload.
const (
	canonicalNaN32 = 0x7fc00000
	canonicalNaN64 = 0x7ff8000000000000
)

func parseFloat(b []byte, bitSize int) (float64, bool) {
	if len(b) == 0 {
		return 0, false
	}
	switch string(b) {
	case "NaN":
		return math.NaN(), true
	case "Infinity":
		return math.Inf(1), true
	case "-Infinity":
		return math.Inf(-1), true
	}
	for _, c := range b {
		if (c < '0' || c > '9') && c != '.' && c != '-' && c != '+' && c != 'e' && c != 'E' {
			return 0, false
		}
	}
	v, err := strconv.ParseFloat(unsafe.String(&b[0], len(b)), bitSize)
	return v, err == nil
}

// decimal is a number as its digits: intPart.frac, without sign.
type decimal struct {
	intPart, frac []byte
	negative      bool
}

func parseDecimal(b []byte) (decimal, string) {
	switch string(b) {
	case "NaN", "Infinity", "-Infinity":
		return decimal{}, notFinite
	}
	var d decimal
	if len(b) > 0 && b[0] == '-' {
		d.negative, b = true, b[1:]
	}
	d.intPart = b
	for i, c := range b {
		if c == '.' {
			d.intPart, d.frac = b[:i], b[i+1:]
			break
		}
	}
	if len(d.intPart)+len(d.frac) == 0 || !allDigits(d.intPart) || !allDigits(d.frac) {
		return decimal{}, badNumeric
	}
	for len(d.intPart) > 0 && d.intPart[0] == '0' {
		d.intPart = d.intPart[1:]
	}
	return d, ""
}

func allDigits(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

func (d *decimal) trimFraction() {
	for len(d.frac) > 0 && d.frac[len(d.frac)-1] == '0' {
		d.frac = d.frac[:len(d.frac)-1]
	}
}

// appendDecimal appends the unscaled value of a number of the given scale as
// Avro bytes: big-endian two's complement, as short as it goes.
func appendDecimal(dst, text []byte, scale int) ([]byte, string) {
	d, reason := parseDecimal(text)
	if reason != "" {
		return dst, reason
	}
	if len(d.frac) > scale {
		d.trimFraction()
		if len(d.frac) > scale {
			return dst, badScale
		}
	}
	return appendUnscaled(dst, d, scale-len(d.frac)), ""
}

// appendVariable appends a VariableScaleDecimal: the scale, then the unscaled
// value, without the fraction's trailing zeros.
func appendVariable(dst, text []byte) ([]byte, string) {
	d, reason := parseDecimal(text)
	if reason != "" {
		return dst, reason
	}
	d.trimFraction()
	dst = appendLong(dst, int64(len(d.frac)))
	return appendUnscaled(dst, d, 0), ""
}

// appendUnscaled appends the digits of d, followed by so many zeros, as one
// integer.
func appendUnscaled(dst []byte, d decimal, zeros int) []byte {
	digits := len(d.intPart) + len(d.frac) + zeros
	if digits <= 18 {
		var v int64
		for _, c := range d.intPart {
			v = v*10 + int64(c-'0')
		}
		for _, c := range d.frac {
			v = v*10 + int64(c-'0')
		}
		for range zeros {
			v *= 10
		}
		if d.negative {
			v = -v
		}
		return appendInt64Bytes(dst, v)
	}
	if digits <= 38 {
		return appendUnscaled128(dst, d, zeros)
	}
	return appendUnscaledBig(dst, d, zeros)
}

// appendInt64Bytes appends v as Avro bytes in two's complement.
func appendInt64Bytes(dst []byte, v int64) []byte {
	n := 1
	for n < 8 && v>>(8*n-1) != v>>63 {
		n++
	}
	dst = append(dst, byte(2*n))
	for i := n - 1; i >= 0; i-- {
		dst = append(dst, byte(v>>(8*i)))
	}
	return dst
}

func appendUnscaled128(dst []byte, d decimal, zeros int) []byte {
	var hi, lo uint64
	push := func(digit uint64) {
		h, l := bits.Mul64(lo, 10)
		var carry uint64
		lo, carry = bits.Add64(l, digit, 0)
		hi = hi*10 + h + carry
	}
	for _, c := range d.intPart {
		push(uint64(c - '0'))
	}
	for _, c := range d.frac {
		push(uint64(c - '0'))
	}
	for range zeros {
		push(0)
	}
	if d.negative {
		var borrow uint64
		lo, borrow = bits.Sub64(0, lo, 0)
		hi, _ = bits.Sub64(0, hi, borrow)
	}
	var b [16]byte
	for i := range 8 {
		b[i] = byte(hi >> (56 - 8*i))
		b[8+i] = byte(lo >> (56 - 8*i))
	}
	first := 0
	for first < 15 && (b[first] == 0 && b[first+1] < 0x80 || b[first] == 0xff && b[first+1] >= 0x80) {
		first++
	}
	dst = append(dst, byte(2*(16-first)))
	return append(dst, b[first:]...)
}

// appendUnscaledBig is for numbers of more than 38 digits; it allocates.
func appendUnscaledBig(dst []byte, d decimal, zeros int) []byte {
	text := make([]byte, 0, len(d.intPart)+len(d.frac)+zeros)
	text = append(append(text, d.intPart...), d.frac...)
	for range zeros {
		text = append(text, '0')
	}
	var v big.Int
	v.SetString(string(text), 10) // nothing but digits
	if d.negative {
		v.Neg(&v)
	}
	b := bigBytes(&v)
	dst = appendLong(dst, int64(len(b)))
	return append(dst, b...)
}

// bigBytes is v in big-endian two's complement, as short as it goes.
func bigBytes(v *big.Int) []byte {
	if v.Sign() >= 0 {
		return append(make([]byte, 1, 1+v.BitLen()/8+1)[:signByte(v)], v.Bytes()...)
	}
	// -v-1 has the same bytes as v, inverted.
	inverted := new(big.Int).Not(v)
	b := append(make([]byte, 1)[:signByte(inverted)], inverted.Bytes()...)
	for i := range b {
		b[i] = ^b[i]
	}
	return b
}

// signByte is how many zero bytes go before the magnitude of v, which is not
// negative, so that the first bit is zero.
func signByte(v *big.Int) int {
	if v.BitLen()%8 == 0 {
		return 1
	}
	return 0
}
