package steps

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/tailrace/tailrace/sinks"
)

// typeOf is the type of a column in expressions. What has no type of its own there
// is a text, as PostgreSQL prints it.
func typeOf(c *sinks.Column) typ {
	k := kindText
	switch c.Type {
	case sinks.Bool:
		k = kindBool
	case sinks.Int16, sinks.Int32, sinks.Int64:
		k = kindInt
	case sinks.Float32, sinks.Float64:
		k = kindFloat
	case sinks.Decimal:
		k = kindDecimal
	case sinks.Date:
		k = kindDate
	case sinks.Timestamp:
		k = kindTimestamp
	case sinks.TimestampTZ:
		k = kindTimestampTZ
	}
	if c.Array {
		return typ{kind: kindList, elem: k}
	}
	return typ{kind: k}
}

var errText = errors.New("a column's text is not of its type")

// reader reads the text of a column's value.
func reader(c *sinks.Column) (func(*scope, []byte) value, typ) {
	t := typeOf(c)
	if t.kind == kindList {
		return func(s *scope, b []byte) value {
			l, err := parseArray(b, t.elem)
			if err != nil {
				return s.fail(err)
			}
			return list(l)
		}, t
	}
	return func(s *scope, b []byte) value {
		v, ok := parse(b, t.kind)
		if !ok {
			return s.fail(errText)
		}
		return v
	}, t
}

// parse reads PostgreSQL's text of a value.
func parse(b []byte, k kind) (value, bool) {
	switch k {
	case kindText:
		return value{kind: kindText, b: b}, true
	case kindInt:
		n, ok := parseInt(b)
		return integer(n), ok
	case kindDecimal:
		return parseDecimal(b)
	case kindFloat:
		f, err := strconv.ParseFloat(string(b), 64)
		return float(f), err == nil || errors.Is(err, strconv.ErrRange)
	case kindBool:
		switch string(b) {
		case "t", "true":
			return boolean(true), true
		case "f", "false":
			return boolean(false), true
		}
	case kindDate, kindTimestamp, kindTimestampTZ:
		return parseTemporal(b, k)
	}
	return value{}, false
}

// parseInt is strconv.ParseInt without making a string.
func parseInt(b []byte) (int64, bool) {
	i, negative := 0, false
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		negative, i = b[0] == '-', 1
	}
	if i == len(b) || len(b)-i > 19 {
		return 0, false
	}
	var n uint64
	for _, c := range b[i:] {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + uint64(c-'0')
	}
	switch {
	case negative && n <= 1<<63:
		return -int64(n), true
	case !negative && n <= math.MaxInt64:
		return int64(n), true
	}
	return 0, false
}

// appendText appends a value as PostgreSQL prints it.
func appendText(dst []byte, v value) []byte {
	switch v.kind {
	case kindBool:
		if v.n == 1 {
			return append(dst, 't')
		}
		return append(dst, 'f')
	case kindInt:
		return strconv.AppendInt(dst, v.n, 10)
	case kindDecimal:
		return appendDecimal(dst, v)
	case kindFloat:
		return appendFloat(dst, v.f())
	case kindText:
		return append(dst, v.b...)
	case kindDate, kindTimestamp, kindTimestampTZ:
		return appendTemporal(dst, v)
	}
	return appendJSON(dst, v)
}

// appendFloat appends the shortest digits that are read back as f, in PostgreSQL's
// form.
func appendFloat(dst []byte, f float64) []byte {
	switch {
	case f != f:
		return append(dst, "NaN"...)
	case math.IsInf(f, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(f, -1):
		return append(dst, "-Infinity"...)
	}
	if a := math.Abs(f); a != 0 && (a < 1e-4 || a >= 1e15) {
		return strconv.AppendFloat(dst, f, 'e', -1, 64)
	}
	return strconv.AppendFloat(dst, f, 'f', -1, 64)
}

// The conversions that expressions call. Their errors do not show the value.

func (s *scope) toText(v value) value {
	if v.kind == kindText || v.null() {
		return v
	}
	return value{kind: kindText, b: appendText(nil, v)}
}

func (s *scope) toInt(v value) value {
	switch v.kind {
	case kindInt, kindNull:
		return v
	case kindText:
		if n, ok := parseInt(v.b); ok {
			return integer(n)
		}
	case kindDecimal:
		if n, ok := whole(v); ok {
			return integer(n)
		}
		return s.fail(errors.New("int: the decimal is not whole, or beyond 64 bits; round(…), floor(…) and ceil(…) make one whole"))
	case kindFloat:
		if f := v.f(); f == math.Trunc(f) && f >= -1<<63 && f < 1<<63 {
			return integer(int64(f))
		}
		return s.fail(errors.New("int: the float is not whole, or beyond 64 bits; round(…), floor(…) and ceil(…) make one whole"))
	case kindBool:
		return integer(v.n)
	}
	return s.fail(errors.New("int: the value is no integer"))
}

func (s *scope) toDecimal(v value) value {
	switch v.kind {
	case kindDecimal, kindNull:
		return v
	case kindInt:
		v.kind = kindDecimal
		return v
	case kindText:
		if d, ok := parseDecimal(v.b); ok {
			return d
		}
	case kindFloat:
		if d, ok := parseDecimal(strconv.AppendFloat(nil, v.f(), 'f', -1, 64)); ok {
			return d
		}
		if d, ok := parseDecimal(appendFloat(nil, v.f())); ok {
			return d
		}
	}
	return s.fail(errors.New("decimal: the value is no number"))
}

func (s *scope) toFloat(v value) value {
	switch v.kind {
	case kindFloat, kindNull:
		return v
	case kindInt:
		return float(float64(v.n))
	case kindDecimal, kindText:
		b := v.b
		if v.kind == kindDecimal {
			b = appendDecimal(nil, v)
		}
		if f, ok := parse(b, kindFloat); ok {
			return f
		}
	}
	return s.fail(errors.New("float: the value is no number"))
}

func (s *scope) toBool(v value) value {
	switch v.kind {
	case kindBool, kindNull:
		return v
	case kindText:
		if b, ok := parse(v.b, kindBool); ok {
			return b
		}
	}
	return s.fail(errors.New("bool: the value is no boolean"))
}

func (s *scope) toDate(v value) value {
	switch v.kind {
	case kindDate, kindNull:
		return v
	case kindText:
		if d, ok := parseTemporal(v.b, kindDate); ok {
			return d
		}
	case kindTimestamp, kindTimestampTZ:
		if v.n != infinite && v.n != minusInfinite {
			v.n = floorDiv(v.n, dayMicros)
		}
		v.kind = kindDate
		return v
	}
	return s.fail(errors.New("date: the value is no date"))
}

func (s *scope) toTimestamp(v value) value { return s.toMoment(v, kindTimestamp) }

func (s *scope) toTimestampTZ(v value) value { return s.toMoment(v, kindTimestampTZ) }

func (s *scope) toMoment(v value, k kind) value {
	switch v.kind {
	case kindNull:
		return v
	case kindTimestamp, kindTimestampTZ:
		v.kind = k
		return v
	case kindDate:
		us := micros(v)
		if us == v.n || us != infinite && us != minusInfinite {
			return value{kind: k, n: us}
		}
	case kindText:
		if t, ok := parseTemporal(v.b, k); ok {
			return t
		}
	}
	return s.fail(fmt.Errorf("%s: the value is none", k))
}

// columnOf is the column type that holds values of a type; ok is false for a type
// that says nothing, such as that of nil.
func columnOf(name string, t typ) (c sinks.Column, ok bool) {
	c.Name = name
	k := t.kind
	if k == kindList {
		c.Array, k = true, t.elem
	}
	switch k {
	case kindBool:
		c.Type = sinks.Bool
	case kindInt:
		c.Type = sinks.Int64
	case kindDecimal:
		c.Type = sinks.Decimal
	case kindFloat:
		c.Type = sinks.Float64
	case kindText:
		c.Type = sinks.Text
	case kindDate:
		c.Type = sinks.Date
	case kindTimestamp:
		c.Type = sinks.Timestamp
	case kindTimestampTZ:
		c.Type = sinks.TimestampTZ
	case kindAny, kindObject:
		c.Type, c.Array = sinks.JSON, false
	default:
		return c, false
	}
	return c, true
}

// holds tells whether a column takes values of a type as they are.
func holds(c *sinks.Column, t typ) bool {
	if c.Type == sinks.JSON && !c.Array {
		return t.kind == kindAny || t.kind == kindText || t.kind == kindNull
	}
	own := typeOf(c)
	return t.kind == kindNull || t.kind == own.kind && (t.kind != kindList || t.elem == own.elem) ||
		t.kind == kindInt && (own.kind == kindDecimal || own.kind == kindFloat)
}

var (
	errRange     = errors.New("the number is beyond the column's type")
	errPrecision = errors.New("the number has more digits than the column's type")
)

// encode appends the text of a value, which is not null, for a column that holds
// its type. A decimal is rounded to the column's scale, as PostgreSQL does.
func encode(dst []byte, v value, c *sinks.Column) ([]byte, error) {
	if c.Array {
		return appendArray(dst, v, c)
	}
	switch c.Type {
	case sinks.JSON:
		if v.kind == kindText {
			return append(dst, v.b...), nil
		}
		return appendJSON(dst, v), nil
	case sinks.Int16, sinks.Int32:
		bits := map[sinks.Type]uint{sinks.Int16: 15, sinks.Int32: 31}[c.Type]
		if v.n >= 1<<bits || v.n < -(1<<bits) {
			return dst, errRange
		}
	case sinks.Decimal:
		if v.kind == kindInt {
			v.kind = kindDecimal
		}
		if c.Precision > 0 && v.special == 0 {
			v = roundTo(v, int32(c.Scale))
			if !fits(v, c.Precision, c.Scale) {
				return dst, errPrecision
			}
			v = rescale(v, int32(c.Scale))
		}
	case sinks.Float32:
		if v.kind == kindFloat {
			f := v.f()
			if g := float64(float32(f)); math.IsInf(g, 0) && !math.IsInf(f, 0) {
				return dst, errRange
			}
		}
	}
	return appendText(dst, v), nil
}
