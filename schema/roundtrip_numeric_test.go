package schema

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var (
	decimals  = compat(Settings{}, Settings{Decimal: "string"}, Settings{Decimal: "double"})
	nonfinite = compat(Settings{Nonfinite: "null"}, Settings{Nonfinite: "fail"}, Settings{Nonfinite: "string"}, Settings{Decimal: "string", Nonfinite: "null"}, Settings{Decimal: "double", Nonfinite: "null"})
)

// asText tells whether numerics are texts: where that is asked for, or where it is
// asked for NaN, which has no other place.
func asText(s Settings) bool {
	return s.Decimal == "string" || s.Decimal == "" && s.Nonfinite == "string" && !s.Compat
}

// FuzzRoundTripNumeric: the oracle is math/big. Of a fixed scale nothing is lost;
// without one the fraction's trailing zeros are; double rounds to the nearest and
// has no place for what is beyond its largest; string loses nothing.
func FuzzRoundTripNumeric(f *testing.F) {
	fam := numericFamily(f)
	for _, c := range fam {
		c.most = 2000 // TestRoundTripOfTheLargestNumerics has longer ones
	}
	fam.fuzz(f,
		"0", "-0", "1", "-1", "0.0", "00012.50", "127", "128", "-128", "-129", "32767", "32768", "-32768", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809",
		"170141183460469231731687303715884105727", "-170141183460469231731687303715884105728", "170141183460469231731687303715884105728",
		"NaN", "Infinity", "-Infinity", "inf", "nan", "1e400", ".5", "5.", "+1", "1_000", "0x1F",
		// numeric.sql of PostgreSQL's regression tests
		"-34338492.215397047", "4.31", "7799461.4119", "16397.038491", "93901.57763026", "-83028485", "74881", "-24926804.045047420000000000", "99999999999999999999999999999999999.9", "0.00000000000000000000000000000000001",
	)
}

// TestRoundTripOfTheLargestNumerics is FuzzRoundTripNumeric at both ends of what a
// numeric can be: 131,072 digits before the point and 16,383 after it.
func TestRoundTripOfTheLargestNumerics(t *testing.T) {
	t.Parallel()
	for _, c := range numericFamily(t) {
		if c.modifier != -1 || c.settings.Compat || c.settings.Nonfinite != "" {
			continue
		}
		for _, text := range []string{
			"0." + strings.Repeat("0", 16382) + "1", "0." + strings.Repeat("0", 16383), "1" + strings.Repeat("0", 131071),
			"-" + strings.Repeat("9", 131072) + "." + strings.Repeat("9", 16383),
		} {
			c.judge(t, c, text, c.run(t, text))
		}
	}
}

func numericFamily(t testing.TB) family {
	t.Helper()
	var fam family
	all := slices.Concat(decimals, nonfinite)
	for _, m := range []struct{ precision, scale int32 }{{10, 2}, {4, 0}, {5, 5}, {18, 9}, {38, 10}, {39, 0}, {80, 20}, {1000, 500}} {
		fam.add(t, all, base("numeric"), numericModifier(m.precision, m.scale), drawFixed(int(m.precision), int(m.scale)), judgeNumeric(int(m.scale)))
	}
	// PostgreSQL 15 and later: a scale below zero, and one above the precision.
	fam.add(t, decimals, base("numeric"), numericModifier(3, -2), drawFixed(3, -2), judgeNumeric(-2))
	fam.add(t, decimals, base("numeric"), numericModifier(2, 5), drawFixed(2, 5), judgeNumeric(5))
	fam.add(t, decimals, base("numeric"), -1, drawFree, judgeNumeric(math.MinInt))
	fam.add(t, nonfinite, base("numeric"), -1, drawFree, judgeNumeric(math.MinInt))
	for _, c := range fam {
		c.back = !asText(c.settings) // Debezium's words come back as they are
	}
	return fam
}

var serverNumeric = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(?:\.([0-9]+))?$`)

// judgeNumeric is the oracle of columns of a scale; math.MinInt: without one.
func judgeNumeric(scale int) func(*testing.T, *course, string, outcome) {
	return func(t *testing.T, c *course, text string, o outcome) {
		t.Helper()
		switch text {
		case "NaN", "Infinity", "-Infinity":
			judgeNonfinite(t, c, text, o)
			return
		}
		m := serverNumeric.FindStringSubmatch(text)
		if m == nil || len(m[1]) > maxDigits || len(m[2]) > 16383 {
			return
		}
		if asText(c.settings) {
			o.is(t, c, text, text, text)
			return
		}
		if c.settings.Decimal == "double" {
			want, err := strconv.ParseFloat(text, 64)
			if err != nil { // beyond the largest
				o.refused(t, c, text)
				return
			}
			judgeDouble(t, c, text, o, want)
			return
		}
		judgePrecise(t, c, scale, text, o, m[2])
	}
}

func judgePrecise(t *testing.T, c *course, scale int, text string, o outcome, fraction string) {
	t.Helper()
	digits := strings.Replace(text, ".", "", 1)
	have := len(fraction)
	for have > 0 && (scale == math.MinInt || have > scale) && fraction[have-1] == '0' {
		have--
	}
	v, ok := new(big.Int).SetString(digits[:len(digits)-len(fraction)+have], 10)
	if !ok {
		t.Fatalf("%q", digits)
	}
	plain := v.String()
	switch {
	case scale == math.MinInt:
		o.is(t, c, text, map[string]any{"scale": int32(have), "value": shortest(v)}, withPoint(plain, have))
		return
	case have > scale && scale >= 0:
		o.refused(t, c, text)
		return
	case scale < 0 && have > 0: // no value of the column
		return
	case scale < 0:
		// Debezium writes the eleven bits of the scale as they are.
		zeros := int64(scale + 2048 - have)
		want := new(big.Int).Mul(v, new(big.Int).Exp(big.NewInt(10), big.NewInt(zeros), nil))
		o.is(t, c, text, shortest(want), withPoint(plain, have))
		return
	}
	v.Mul(v, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale-have)), nil))
	o.is(t, c, text, shortest(v), withPoint(v.String(), scale))
}

// judgeNonfinite is what becomes of NaN and the infinities by Nonfinite.
func judgeNonfinite(t *testing.T, c *course, text string, o outcome) {
	t.Helper()
	words := map[string]string{"NaN": "NAN", "Infinity": "POSITIVE_INFINITY", "-Infinity": "NEGATIVE_INFINITY"}
	switch s := c.settings; {
	case asText(s):
		o.is(t, c, text, words[text], words[text])
	case s.Decimal == "double":
		want, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatal(err)
		}
		judgeDouble(t, c, text, o, want)
	case s.Nonfinite == "null" || s.Compat && s.Nonfinite != "fail":
		o.isNull(t, c, text)
	default:
		o.refused(t, c, text)
	}
}

// judgeDouble compares bits, so that -0 and NaN count; what comes back is a text
// of the same number.
func judgeDouble(t *testing.T, c *course, text string, o outcome, want float64) {
	t.Helper()
	got, ok := o.native.(float64)
	if o.err != nil || !ok || math.Float64bits(got) != math.Float64bits(want) && (got == got || want == want) {
		t.Fatalf("%s: %q is %v (%v), want %v", c.name, text, o.native, o.err, want)
	}
	back, err := strconv.ParseFloat(o.text, 64)
	if err != nil || math.Float64bits(back) != math.Float64bits(want) && back == back {
		t.Fatalf("%s: %q came back as %q: %v", c.name, text, o.text, err)
	}
}

// shortest is the two's complement of Java's BigInteger.toByteArray, by way of
// the value plus the next power of 256 above it.
func shortest(v *big.Int) []byte {
	n := v.BitLen()/8 + 1
	if v.Sign() < 0 { // -128 has eight bits and fits one byte
		n = new(big.Int).Not(v).BitLen()/8 + 1
		v = new(big.Int).Add(v, new(big.Int).Lsh(big.NewInt(1), uint(8*n)))
	}
	return v.FillBytes(make([]byte, n))
}

// withPoint puts a point before the last digits of an integer.
func withPoint(integer string, scale int) string {
	if scale <= 0 {
		return integer
	}
	sign := ""
	if integer[0] == '-' {
		sign, integer = "-", integer[1:]
	}
	if missing := scale + 1 - len(integer); missing > 0 {
		integer = strings.Repeat("0", missing) + integer
	}
	return sign + integer[:len(integer)-scale] + "." + integer[len(integer)-scale:]
}

func drawDigitsOf(r *rand.Rand, most int) *big.Int {
	n := 1 + r.IntN(most)
	if r.IntN(4) > 0 {
		n = 1 + r.IntN(min(most, 20))
	}
	digits := make([]byte, n)
	for i := range digits {
		digits[i] = byte('0' + r.IntN(10))
		if r.IntN(3) == 0 {
			digits[i] = "09"[r.IntN(2)]
		}
	}
	v, _ := new(big.Int).SetString(string(digits), 10)
	if r.IntN(2) == 0 {
		v.Neg(v)
	}
	return v
}

// drawFixed makes numbers as a server prints those of a column.
func drawFixed(precision, scale int) func(*rand.Rand) string {
	return func(r *rand.Rand) string {
		if r.IntN(20) == 0 {
			return []string{"NaN", "Infinity", "-Infinity"}[r.IntN(3)]
		}
		v := drawDigitsOf(r, precision)
		if scale < 0 {
			if v.Sign() == 0 {
				return "0"
			}
			return v.String() + strings.Repeat("0", -scale)
		}
		return withPoint(v.String(), scale)
	}
}

func drawFree(r *rand.Rand) string {
	if r.IntN(20) == 0 {
		return []string{"NaN", "Infinity", "-Infinity"}[r.IntN(3)]
	}
	most := 60
	if r.IntN(50) == 0 {
		most = 2000
	}
	return withPoint(drawDigitsOf(r, most).String(), r.IntN(most))
}

// FuzzRoundTripMoney: the oracle knows one locale, C's and en_US's. As a decimal
// the amount is rounded half away from zero to MoneyDigits; as text and as double
// it is the server's.
func FuzzRoundTripMoney(f *testing.F) {
	moneyFamily(f).fuzz(f, "$0.00", "$1,234.11", "-$1,234.11", "($1.00)", "$0.05", "-$0.05", "$0.15", "$92,233,720,368,547,758.07", "-$92,233,720,368,547,758.08", "1.234,50 €", "¥1,234", "$", "-", "")
}

func moneyFamily(t testing.TB) family {
	t.Helper()
	var fam family
	for _, digits := range []int{0, 1, 2, 3, 5} {
		fam.add(t, compat(Settings{MoneyDigits: digits}, Settings{MoneyDigits: digits, Decimal: "string"}, Settings{MoneyDigits: digits, Decimal: "double"}), base("money"), -1, drawMoney, judgeMoney)
	}
	for _, c := range fam {
		c.back = false // a plain number comes back
	}
	return fam
}

var serverMoney = regexp.MustCompile(`^(-?)\$(0|[1-9][0-9]{0,2}(?:,[0-9]{3})*)\.([0-9]{2})$`)

func judgeMoney(t *testing.T, c *course, text string, o outcome) {
	t.Helper()
	m := serverMoney.FindStringSubmatch(text)
	if m == nil || len(m[2]) > 24 || m[1] == "-" && strings.Trim(m[2]+m[3], "0") == "" {
		return
	}
	digits := c.settings.MoneyDigits
	if c.settings.Decimal != "" {
		digits = 2
	}
	cents, _ := new(big.Int).SetString(strings.ReplaceAll(m[2], ",", "")+m[3], 10)
	unscaled := new(big.Int).Set(cents)
	for range digits - 2 {
		unscaled.Mul(unscaled, big.NewInt(10))
	}
	if digits < 2 {
		unit := big.NewInt(map[int]int64{0: 100, 1: 10}[digits])
		unscaled.Add(unscaled, new(big.Int).Rsh(unit, 1)).Quo(unscaled, unit)
	}
	if m[1] == "-" {
		unscaled.Neg(unscaled)
	}
	plain := withPoint(unscaled.String(), digits)
	switch c.settings.Decimal {
	case "string":
		o.is(t, c, text, plain, plain)
	case "double":
		want, err := strconv.ParseFloat(plain, 64)
		if err != nil {
			t.Fatal(err)
		}
		judgeDouble(t, c, text, o, want)
	default:
		o.is(t, c, text, shortest(unscaled), plain)
	}
}

func drawMoney(r *rand.Rand) string {
	cents := uint64(r.Int64N(1 << (1 + r.IntN(62))))
	sign := ""
	if r.IntN(2) == 0 && cents > 0 {
		sign = "-"
	}
	whole := strconv.FormatUint(cents/100, 10)
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	return fmt.Sprintf("%s$%s.%02d", sign, whole, cents%100)
}

// FuzzRoundTripNumbers is the family of integers, booleans and floats: the oracle
// is strconv. Floats come back in PostgreSQL's shortest form.
func FuzzRoundTripNumbers(f *testing.F) {
	numbersFamily(f).fuzz(f,
		"0", "-0", "1", "-1", "32767", "-32768", "32768", "2147483647", "-2147483648", "2147483648", "9223372036854775807", "-9223372036854775808", "9223372036854775808", "4294967295", "4294967296", "00", "+1", "0x1f", "1_0",
		"t", "f", "true", "false", "NaN", "Infinity", "-Infinity", "nan", "inf",
		// float4.sql and float8.sql of PostgreSQL's regression tests
		"1.1754944e-38", "1.4e-45", "3.4028235e+38", "1.2345679e-20", "-34.84", "1004.3", "2.2250738585072014e-308", "4.9406564584124654e-324", "5e-324", "1.7976931348623157e+308", "1.2345678901234e+200", "1e-05", "0.0001", "1e+15", "999999999999999.9", "123456789012345.67", "1e+06", "999999.9",
		"10e400", "-10e-400", "1e", "e1", ".", "1..2", "0x1p-2",
	)
}

func numbersFamily(t testing.TB) family {
	t.Helper()
	var fam family
	for _, i := range []struct {
		name   string
		lo, hi int64
	}{{"int2", math.MinInt16, math.MaxInt16}, {"int4", math.MinInt32, math.MaxInt32}, {"int8", math.MinInt64, math.MaxInt64}, {"oid", 0, math.MaxUint32}} {
		fam.add(t, compat(Settings{}), base(i.name), -1, func(r *rand.Rand) string {
			v := int64(r.Uint64()) >> r.IntN(64)
			return strconv.FormatInt(max(i.lo, min(i.hi, v)), 10)
		}, func(t *testing.T, c *course, text string, o outcome) {
			t.Helper()
			v, err := strconv.ParseInt(text, 10, 64)
			if err != nil || strconv.FormatInt(v, 10) != text {
				return
			}
			switch {
			case v < i.lo || v > i.hi:
				o.refused(t, c, text)
			case i.name == "int2" || i.name == "int4":
				o.is(t, c, text, int32(v), text)
			default:
				o.is(t, c, text, v, text)
			}
		})
	}
	fam.add(t, compat(Settings{}), base("bool"), -1, func(r *rand.Rand) string { return "tf"[r.IntN(2):][:1] }, func(t *testing.T, c *course, text string, o outcome) {
		t.Helper()
		if text == "t" || text == "f" {
			o.is(t, c, text, text == "t", text)
		}
	})
	fam.add(t, compat(Settings{}), base("float8"), -1, drawFloat(64), func(t *testing.T, c *course, text string, o outcome) {
		t.Helper()
		want, err := strconv.ParseFloat(text, 64)
		if err != nil || pgFloatText(want, 64) != text {
			return
		}
		judgeDouble(t, c, text, o, want)
		if o.text != text {
			t.Fatalf("%s: %q came back as %q", c.name, text, o.text)
		}
	})
	fam.add(t, compat(Settings{}), base("float4"), -1, drawFloat(32), func(t *testing.T, c *course, text string, o outcome) {
		t.Helper()
		want, err := strconv.ParseFloat(text, 32)
		if err != nil || pgFloatText(want, 32) != text {
			return
		}
		got, ok := o.native.(float32)
		if o.err != nil || !ok || math.Float32bits(got) != math.Float32bits(float32(want)) && got == got || o.text != text {
			t.Fatalf("%s: %q is %v (%v), came back as %q", c.name, text, o.native, o.err, o.text)
		}
	})
	return fam
}

// pgFloatText is the shortest form, as PostgreSQL 12 and later print it: fixed
// for decimal exponents from -4 to 14 (5 for real), else with at least two digits
// of exponent.
func pgFloatText(v float64, bits int) string {
	switch {
	case v != v:
		return "NaN"
	case math.IsInf(v, 1):
		return "Infinity"
	case math.IsInf(v, -1):
		return "-Infinity"
	case v == 0:
		return strconv.FormatFloat(v, 'f', -1, bits)
	}
	scientific := strconv.FormatFloat(v, 'e', -1, bits)
	exponent, _ := strconv.Atoi(scientific[strings.IndexByte(scientific, 'e')+1:])
	limit := 15
	if bits == 32 {
		limit = 6
	}
	if exponent < -4 || exponent >= limit {
		return scientific
	}
	return strconv.FormatFloat(v, 'f', -1, bits)
}

func drawFloat(bits int) func(*rand.Rand) string {
	return func(r *rand.Rand) string {
		v := math.Float64frombits(r.Uint64())
		if bits == 32 {
			v = float64(math.Float32frombits(r.Uint32()))
		}
		if r.IntN(2) == 0 {
			v = float64(r.IntN(2_000_000_000)-1_000_000_000) / math.Pow10(r.IntN(12))
			if bits == 32 {
				v = float64(float32(v))
			}
		}
		return pgFloatText(v, bits)
	}
}
