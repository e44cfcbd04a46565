package steps

import (
	"bytes"
	"cmp"
	"math"
	"math/big"
)

// kind is what an expression's value is, or can be.
type kind uint8

const (
	kindNull kind = iota
	kindBool
	kindInt     // 64 bits
	kindDecimal // exact, of any size
	kindFloat   // 64 bits, binary
	kindText
	kindDate
	kindTimestamp   // without time zone
	kindTimestampTZ // an instant
	kindList
	kindObject // of JSON
	kindAny    // of a type: whatever json() finds
)

func (k kind) String() string {
	return [...]string{"null", "a boolean", "an integer", "a decimal", "a float", "a text", "a date", "a timestamp", "a timestamptz", "a list", "an object", "a value of JSON"}[k]
}

// typ is the type of an expression: a kind, and of a list that of its elements.
// Every value may be null.
type typ struct {
	kind kind
	elem kind // of a list; kindAny when it is not known
}

func (t typ) String() string {
	if t.kind == kindList && t.elem != kindAny {
		return "a list of which each is " + t.elem.String()
	}
	return t.kind.String()
}

// value is a value at run time. Texts share their bytes with the record.
//
//	bool, int          n
//	float              n, as its bits
//	decimal            n·10^-scale, or x·10^-scale with x a *big.Int, or special
//	date               n days since 1970-01-01
//	timestamp, …tz     n microseconds since 1970-01-01
//	text               b
//	list, object       x: []value, map[string]value
type value struct {
	kind    kind
	special int8 // of a decimal: ±1 for the infinities, 2 for NaN
	scale   int32
	n       int64
	b       []byte
	x       any
}

// The infinities of dates and timestamps.
const (
	infinite      = math.MaxInt64
	minusInfinite = math.MinInt64
)

func boolean(b bool) value {
	if b {
		return value{kind: kindBool, n: 1}
	}
	return value{kind: kindBool}
}

func integer(n int64) value   { return value{kind: kindInt, n: n} }
func float(f float64) value   { return value{kind: kindFloat, n: int64(math.Float64bits(f))} }
func text(s string) value     { return value{kind: kindText, b: []byte(s)} }
func list(v []value) value    { return value{kind: kindList, x: v} }
func (v value) f() float64    { return math.Float64frombits(uint64(v.n)) }
func (v value) list() []value { l, _ := v.x.([]value); return l }
func (v value) null() bool    { return v.kind == kindNull }
func (v value) true() bool    { return v.kind == kindBool && v.n == 1 }

// equal holds for two nulls, and for equal values of kinds that can be compared.
func equal(a, b value) bool {
	switch {
	case a.kind == kindNull || b.kind == kindNull:
		return a.kind == b.kind
	case a.kind == kindText && b.kind == kindText:
		return bytes.Equal(a.b, b.b)
	case a.kind == kindList && b.kind == kindList:
		x, y := a.list(), b.list()
		if len(x) != len(y) {
			return false
		}
		for i := range x {
			if !equal(x[i], y[i]) {
				return false
			}
		}
		return true
	case a.kind == kindObject && b.kind == kindObject:
		x, y := a.x.(map[string]value), b.x.(map[string]value)
		if len(x) != len(y) {
			return false
		}
		for k, v := range x {
			if w, ok := y[k]; !ok || !equal(v, w) {
				return false
			}
		}
		return true
	}
	order, ok := compare(a, b)
	return ok && order == 0
}

// compare orders two values that are not null; ok is false when their kinds have
// no order between them. Special numbers stand as in PostgreSQL: NaN equals NaN
// and is above all.
func compare(a, b value) (order int, ok bool) {
	if a.kind == b.kind {
		switch a.kind {
		case kindBool, kindInt, kindDate, kindTimestamp, kindTimestampTZ:
			return cmp.Compare(a.n, b.n), true
		case kindText:
			return bytes.Compare(a.b, b.b), true
		case kindFloat:
			return compareFloats(a.f(), b.f()), true
		case kindDecimal:
			return compareDecimals(a, b), true
		}
		return 0, false
	}
	switch {
	case a.kind == kindInt && b.kind == kindDecimal, a.kind == kindDecimal && b.kind == kindInt:
		return compareDecimals(a, b), true
	case a.kind == kindInt && b.kind == kindFloat:
		return compareIntFloat(a.n, b.f()), true
	case a.kind == kindFloat && b.kind == kindInt:
		return -compareIntFloat(b.n, a.f()), true
	case a.kind == kindDate && b.kind == kindTimestamp:
		return cmp.Compare(micros(a), b.n), true
	case a.kind == kindTimestamp && b.kind == kindDate:
		return cmp.Compare(a.n, micros(b)), true
	}
	return 0, false
}

func compareFloats(a, b float64) int {
	switch {
	case a != a || b != b:
		return cmp.Compare(boolean(a != a).n, boolean(b != b).n)
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// compareIntFloat is exact: not every integer has a float.
func compareIntFloat(n int64, f float64) int {
	const exact = 1 << 53
	switch {
	case f != f:
		return -1
	case n > -exact && n < exact, math.IsInf(f, 0):
		return compareFloats(float64(n), f)
	}
	return new(big.Float).SetInt64(n).Cmp(big.NewFloat(f))
}
