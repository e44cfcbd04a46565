package schema

import (
	"math/bits"
	"strconv"
	"unsafe"
)

// scanMoney reads an amount such as -$1,234.11 or ($1.00) as a plain number into
// dst. The separators are the server's (lc_monetary): the last one starts the
// fraction, unless it can stand between groups of three digits.
func scanMoney(dst, text []byte) []byte {
	point := fractionOf(text)
	for i, c := range text {
		switch {
		case i == point:
			dst = append(dst, '.')
		case c == '-' || c == '(':
			if len(dst) == 0 {
				dst = append(dst, '-')
			}
		case c >= '0' && c <= '9':
			dst = append(dst, c)
		}
	}
	return dst
}

// fractionOf is where an amount's decimal point stands; -1 for none. Three digits
// behind the only separator are a group: 1,234.
func fractionOf(text []byte) int {
	last, digits, others := -1, 0, 0
	seen := false
	for i, c := range text {
		switch {
		case c >= '0' && c <= '9':
			digits++
			seen = true
		case seen && (c == '.' || c == ','):
			if last >= 0 && text[last] != c {
				others++
			}
			last, digits = i, 0
		}
	}
	if digits == 0 || digits == 3 && others == 0 {
		return -1
	}
	return last
}

// appendMoney appends an amount as the unscaled value of a decimal, rounded half
// up, as Debezium does, where the scale has fewer digits than the amount.
func (p *Plan) appendMoney(dst, text []byte, scale int) ([]byte, string) {
	d, reason := parseDecimal(scanMoney(p.json[:0], text))
	if reason != "" {
		return dst, reason
	}
	if len(d.frac) <= scale {
		return appendUnscaled(dst, d, scale-len(d.frac)), ""
	}
	up := d.frac[scale] >= '5'
	d.frac = d.frac[:scale]
	if !up {
		return appendUnscaled(dst, d, 0), ""
	}
	return appendRoundedUp(dst, d), ""
}

// appendRoundedUp appends the unscaled value of d, plus one away from zero. An
// amount has at most 19 digits.
func appendRoundedUp(dst []byte, d decimal) []byte {
	var v, carry uint64
	for _, digits := range [...][]byte{d.intPart, d.frac} {
		for _, c := range digits {
			hi, lo := bits.Mul64(v, 10)
			v, carry = bits.Add64(lo, uint64(c-'0'), 0)
			if hi+carry != 0 {
				return appendUnscaled(dst, d, 0) // not an amount
			}
		}
	}
	var text [20]byte
	return appendUnscaled(dst, decimal{intPart: strconv.AppendUint(text[:0], v+1, 10), negative: d.negative}, 0)
}

func (p *Plan) encodeMoneyText(dst, text []byte) ([]byte, string) {
	number := scanMoney(p.json[:0], text)
	if _, reason := parseDecimal(number); reason != "" {
		return dst, reason
	}
	return appendBytes(dst, number), ""
}

func (p *Plan) encodeMoneyReal(dst, text []byte) ([]byte, string) {
	return encodeReal(dst, scanMoney(p.json[:0], text))
}

// encodeDecimalText appends a numeric as its digits; Debezium has its own words
// for what is not finite. (Behind a number of negative scale it writes 2046 zeros
// more.)
func encodeDecimalText(dst, text []byte) ([]byte, string) {
	switch string(text) {
	case "NaN":
		return appendString(dst, "NAN"), ""
	case "Infinity":
		return appendString(dst, positiveInfinity), ""
	case "-Infinity":
		return appendString(dst, negativeInfinity), ""
	}
	if _, reason := parseDecimal(text); reason != "" {
		return dst, reason
	}
	return appendBytes(dst, text), ""
}

// encodeReal appends the double that is closest to a number.
func encodeReal(dst, text []byte) ([]byte, string) {
	if v, ok := parseFloat(text, 64); ok {
		return appendFloat64(dst, v), ""
	}
	if _, reason := parseDecimal(text); reason == "" {
		if _, err := strconv.ParseFloat(unsafe.String(&text[0], len(text)), 64); err != nil {
			return dst, badRange
		}
	}
	return dst, badFloat
}
