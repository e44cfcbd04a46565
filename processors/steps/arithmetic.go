package steps

import (
	"errors"
	"math"
	"slices"

	"github.com/expr-lang/expr/ast"
)

func (c *compiler) arithmetic(n *ast.BinaryNode) (eval, typ) {
	a, ta := c.node(n.Left)
	b, tb := c.node(n.Right)
	if ta.kind == kindFloat {
		b, tb = c.floated(n.Right, b, tb)
	} else if tb.kind == kindFloat {
		a, ta = c.floated(n.Left, a, ta)
	}
	x, y := ta.kind, tb.kind
	if n.Operator == "+" && (x == kindText || y == kindText) {
		if x != y && x != kindNull && y != kindNull && x != kindAny && y != kindAny {
			c.fault(n, "a text and %s do not add; text(…) writes a value", map[bool]typ{true: tb, false: ta}[x == kindText])
		}
		return func(s *scope) value { return s.concatenate(a(s), b(s)) }, typ{kind: kindText}
	}
	if x != kindNull && !numeric(x) || y != kindNull && !numeric(y) {
		c.fault(n, "%s computes with numbers; these are %s and %s%s", n.Operator, ta, tb, advice(x, y))
	}
	if x == kindFloat && y == kindDecimal || x == kindDecimal && y == kindFloat {
		c.fault(n, "a float and a decimal do not mix%s", advice(x, y))
	}
	operator := n.Operator[0]
	return func(s *scope) value { return s.compute(operator, a(s), b(s)) }, typ{kind: result(operator, x, y)}
}

// result is the kind that computing gives.
func result(operator byte, a, b kind) kind {
	switch {
	case a == kindNull || b == kindNull:
		return max(a, b)
	case a == kindAny || b == kindAny:
		return kindAny
	case a == kindFloat || b == kindFloat:
		return kindFloat
	case a == kindDecimal || b == kindDecimal || operator == '/':
		return kindDecimal
	}
	return kindInt
}

func (s *scope) concatenate(a, b value) value {
	switch {
	case a.null() || b.null():
		return value{}
	case a.kind != kindText || b.kind != kindText:
		return s.fail(errors.New("a text and something else do not add"))
	}
	return value{kind: kindText, b: slices.Concat(a.b, b.b)}
}

// compute is null when an operand is.
func (s *scope) compute(operator byte, a, b value) value {
	switch {
	case a.null() || b.null():
		return value{}
	case a.kind == kindFloat || b.kind == kindFloat:
		return s.floats(operator, s.toFloat(a).f(), s.toFloat(b).f())
	case a.kind == kindInt && b.kind == kindInt && operator != '/':
		return s.integers(operator, a.n, b.n)
	case (a.kind != kindInt && a.kind != kindDecimal) || (b.kind != kindInt && b.kind != kindDecimal):
		return s.fail(errors.New("something that is no number is computed with"))
	}
	if err := computable(a, b); err != nil {
		return s.fail(err)
	}
	var v value
	var err error
	switch operator {
	case '+':
		v = addDecimals(a, b)
	case '-':
		v = addDecimals(a, negate(b))
	case '*':
		v = multiplyDecimals(a, b)
	case '/':
		v, err = divide(a, b)
	case '%':
		v, err = remainder(a, b)
	}
	if err == nil {
		err = computable(v)
	}
	if err != nil {
		return s.fail(err)
	}
	return v
}

func (s *scope) floats(operator byte, a, b float64) value {
	switch operator {
	case '+':
		return float(a + b)
	case '-':
		return float(a - b)
	case '*':
		return float(a * b)
	case '/':
		if b == 0 {
			return s.fail(errZero)
		}
		return float(a / b)
	}
	if b == 0 {
		return s.fail(errZero)
	}
	return float(math.Mod(a, b))
}

// integers fails where 64 bits are not enough.
func (s *scope) integers(operator byte, a, b int64) value {
	var n int64
	ok := true
	switch operator {
	case '+':
		n, ok = add64(a, b)
		ok = ok || b == 0
	case '-':
		n = a - b
		ok = (n < a) == (b > 0) || b == 0
	case '*':
		n, ok = multiply64(a, b)
	case '%':
		if b == 0 {
			return s.fail(errZero)
		}
		if b != -1 { // MinInt64 % -1 does not divide everywhere
			n = a % b
		}
	}
	if !ok {
		return s.fail(errOverflow)
	}
	return integer(n)
}
