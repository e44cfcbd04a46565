package steps

import (
	"cmp"
	"errors"
	"math"
	"math/big"
	"strconv"
)

// Decimals are exact. Those of up to 18 digits are two integers; longer ones, and
// what does not fit any more, use math/big. The special values of numeric, NaN and
// the infinities, are ordered as in PostgreSQL, and nothing is computed with them.

// maxDigits bounds the scale and the exponent of a decimal: PostgreSQL's numeric
// has up to 131072 digits before the point and 16383 behind it.
const (
	maxScale    = 16383
	maxExponent = 131072
)

var (
	errSpecial  = errors.New("NaN and infinities cannot be computed with")
	errZero     = errors.New("division by zero")
	errTooLarge = errors.New("the decimal has too many digits")
	errOverflow = errors.New("the result is beyond an integer of 64 bits; decimal() has room for it")
)

var powers = func() (p [19]int64) {
	p[0] = 1
	for i := 1; i < len(p); i++ {
		p[i] = 10 * p[i-1]
	}
	return p
}()

// big is the coefficient of a decimal or an integer.
func (v value) big() *big.Int {
	if x, ok := v.x.(*big.Int); ok {
		return x
	}
	return big.NewInt(v.n)
}

// decimal makes a value of a coefficient, in its short form where there is one.
func decimal(coefficient *big.Int, scale int32) value {
	if coefficient.IsInt64() {
		return value{kind: kindDecimal, n: coefficient.Int64(), scale: scale}
	}
	return value{kind: kindDecimal, x: coefficient, scale: scale}
}

// parseDecimal reads PostgreSQL's text of a numeric, or a literal.
func parseDecimal(b []byte) (value, bool) {
	switch string(b) {
	case "NaN":
		return value{kind: kindDecimal, special: 2}, true
	case "Infinity", "inf":
		return value{kind: kindDecimal, special: 1}, true
	case "-Infinity", "-inf":
		return value{kind: kindDecimal, special: -1}, true
	}
	i, negative := 0, false
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		negative, i = b[0] == '-', 1
	}
	var n int64
	digits, scale, point, long := 0, 0, false, false
	start := i
	for ; i < len(b); i++ {
		c := b[i]
		if c == '.' && !point {
			point = true
			continue
		}
		if c < '0' || c > '9' {
			break
		}
		digits++
		if point {
			scale++
		}
		if n > (math.MaxInt64-9)/10 {
			long = true
		}
		n = 10*n + int64(c-'0')
	}
	end := i
	if digits == 0 || digits > maxExponent+maxScale {
		return value{}, false
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		exponent, err := strconv.Atoi(string(b[i+1:]))
		if err != nil || exponent > maxExponent || exponent < -maxScale {
			return value{}, false
		}
		scale -= exponent
		i = len(b)
	}
	if i != len(b) || scale > maxScale {
		return value{}, false
	}
	v := value{kind: kindDecimal, n: n, scale: int32(scale)}
	if long {
		x, ok := new(big.Int).SetString(string(withoutPoint(b[start:end])), 10)
		if !ok {
			return value{}, false
		}
		v = decimal(x, int32(scale))
	}
	if negative {
		v = negate(v)
	}
	if v.scale < 0 {
		v = rescale(v, 0)
	}
	return v, true
}

func withoutPoint(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for _, c := range b {
		if c != '.' {
			out = append(out, c)
		}
	}
	return out
}

// appendDecimal appends a decimal as PostgreSQL prints it.
func appendDecimal(dst []byte, v value) []byte {
	switch v.special {
	case 2:
		return append(dst, "NaN"...)
	case 1:
		return append(dst, "Infinity"...)
	case -1:
		return append(dst, "-Infinity"...)
	}
	start := len(dst)
	if x, ok := v.x.(*big.Int); ok {
		dst = x.Append(dst, 10)
	} else {
		dst = strconv.AppendInt(dst, v.n, 10)
	}
	if v.scale == 0 {
		return dst
	}
	if dst[start] == '-' {
		start++
	}
	for len(dst)-start <= int(v.scale) { // 5·10^-3 is 0.005
		dst = append(dst, 0)
		copy(dst[start+1:], dst[start:])
		dst[start] = '0'
	}
	point := len(dst) - int(v.scale)
	dst = append(dst, 0)
	copy(dst[point+1:], dst[point:])
	dst[point] = '.'
	return dst
}

// rescale gives v more digits behind the point. (For fewer see roundTo.)
func rescale(v value, scale int32) value {
	by := scale - v.scale
	if by <= 0 {
		return v
	}
	if v.x == nil && by < int32(len(powers)) {
		if n, ok := multiply64(v.n, powers[by]); ok {
			v.n, v.scale = n, scale
			return v
		}
	}
	return decimal(new(big.Int).Mul(v.big(), power(by)), scale)
}

func power(n int32) *big.Int {
	return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil)
}

func multiply64(a, b int64) (int64, bool) {
	if a == 0 || b == 0 {
		return 0, true
	}
	c := a * b
	return c, c/b == a && !(a == -1 && b == math.MinInt64) && !(b == -1 && a == math.MinInt64)
}

func add64(a, b int64) (int64, bool) {
	c := a + b
	return c, (c > a) == (b > 0)
}

// aligned gives two numbers one scale.
func aligned(a, b value) (value, value) {
	return rescale(a, b.scale), rescale(b, a.scale)
}

func compareDecimals(a, b value) int {
	if a.special != 0 || b.special != 0 {
		return cmp.Compare(a.special, b.special)
	}
	a, b = aligned(a, b)
	if a.x == nil && b.x == nil {
		return cmp.Compare(a.n, b.n)
	}
	return a.big().Cmp(b.big())
}

func negate(v value) value {
	if v.special == 2 {
		return v
	}
	v.special = -v.special
	if v.x == nil && v.n != math.MinInt64 {
		v.n = -v.n
		return v
	}
	return decimal(new(big.Int).Neg(v.big()), v.scale)
}

// computable is an error for special values, and for results beyond numeric.
func computable(list ...value) error {
	for _, v := range list {
		switch {
		case v.special != 0:
			return errSpecial
		case v.scale > maxScale:
			return errTooLarge
		}
		if x, ok := v.x.(*big.Int); ok && x.BitLen() > (maxExponent+maxScale)*10/3 {
			return errTooLarge
		}
	}
	return nil
}

func addDecimals(a, b value) value {
	a, b = aligned(a, b)
	if a.x == nil && b.x == nil {
		if n, ok := add64(a.n, b.n); ok || b.n == 0 {
			return value{kind: kindDecimal, n: n, scale: a.scale}
		}
	}
	return decimal(new(big.Int).Add(a.big(), b.big()), a.scale)
}

func multiplyDecimals(a, b value) value {
	if a.x == nil && b.x == nil {
		if n, ok := multiply64(a.n, b.n); ok {
			return value{kind: kindDecimal, n: n, scale: a.scale + b.scale}
		}
	}
	return decimal(new(big.Int).Mul(a.big(), b.big()), a.scale+b.scale)
}

// divisionDigits is how many digits behind the point a quotient has at least,
// before zeros at its end go.
const divisionDigits = 16

// divide is exact where 16 digits behind the point, or those of an operand, are
// enough, and rounded to them, halves away from zero, otherwise.
func divide(a, b value) (value, error) {
	if b.big().Sign() == 0 {
		return value{}, errZero
	}
	least := max(a.scale, b.scale)
	scale := max(divisionDigits, least)
	// a·10^-sa / b·10^-sb = (a·10^(scale-sa+sb) / b)·10^-scale
	n := new(big.Int).Mul(a.big(), power(scale-a.scale+b.scale))
	q := quotient(n, b.big())
	return trimmed(decimal(q, scale), least), nil
}

// quotient is n/d, rounded to the nearest, halves away from zero.
func quotient(n, d *big.Int) *big.Int {
	q, r := new(big.Int).QuoRem(n, d, new(big.Int))
	if r.Abs(r).Lsh(r, 1).CmpAbs(d) >= 0 {
		q.Add(q, big.NewInt(int64(n.Sign()*d.Sign())))
	}
	return q
}

// trimmed takes zeros off the end, down to a scale.
func trimmed(v value, least int32) value {
	ten, q, r := big.NewInt(10), v.big(), new(big.Int)
	for v.scale > least {
		next := new(big.Int)
		if next.QuoRem(q, ten, r); r.Sign() != 0 {
			break
		}
		q = next
		v.scale--
	}
	return decimal(q, v.scale)
}

// remainder has the sign of the dividend, as in PostgreSQL.
func remainder(a, b value) (value, error) {
	if b.big().Sign() == 0 {
		return value{}, errZero
	}
	a, b = aligned(a, b)
	return decimal(new(big.Int).Rem(a.big(), b.big()), a.scale), nil
}

// roundTo rounds to a number of digits behind the point, halves away from zero. A
// decimal that has fewer stays as it is.
func roundTo(v value, scale int32) value {
	if v.scale <= scale {
		return v
	}
	return decimal(quotient(v.big(), power(v.scale-scale)), scale)
}

// floored is the next integer at or below v, as a decimal.
func floored(v value) value {
	if v.scale <= 0 {
		return v
	}
	return decimal(new(big.Int).Div(v.big(), power(v.scale)), 0) // Euclidean; the divisor is positive
}

// whole is the integer that v is; ok is false when it is none, or too large.
func whole(v value) (n int64, ok bool) {
	if v.special != 0 {
		return 0, false
	}
	t := trimmed(v, 0)
	return t.n, t.scale == 0 && t.x == nil
}

// fits tells whether v has at most precision digits, scale of them behind the point.
func fits(v value, precision, scale int) bool {
	if v.special != 0 {
		return v.special == 2 // NaN is a value of every numeric
	}
	return rescale(v, int32(scale)).big().CmpAbs(power(int32(precision))) < 0
}
