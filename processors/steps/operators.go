package steps

import (
	"bytes"
	"errors"
	"math"
	"regexp"
	"slices"

	"github.com/expr-lang/expr/ast"
)

func numeric(k kind) bool { return k == kindInt || k == kindDecimal || k == kindFloat || k == kindAny }

func temporal(k kind) bool { return k == kindDate || k == kindTimestamp || k == kindTimestampTZ }

// truth compiles an operand that must be a boolean.
func (c *compiler) truth(n ast.Node, what string) eval {
	f, t := c.node(n)
	if t.kind != kindBool && t.kind != kindAny && t.kind != kindNull {
		c.fault(n, "%s must be a boolean; this is %s", what, t)
	}
	return f
}

func (c *compiler) unary(n *ast.UnaryNode) (eval, typ) {
	switch n.Operator {
	case "not", "!":
		f := c.truth(n.Node, "what "+n.Operator+" is said of")
		return func(s *scope) value {
			v := f(s)
			if v.kind != kindBool {
				return value{} // not unknown is unknown
			}
			return boolean(v.n == 0)
		}, typ{kind: kindBool}
	case "+", "-":
		f, t := c.node(n.Node)
		if !numeric(t.kind) && t.kind != kindNull {
			c.fault(n, "want a number after %s; this is %s", n.Operator, t)
		}
		if n.Operator == "+" {
			return f, t
		}
		return func(s *scope) value { return s.negative(f(s)) }, t
	}
	c.fault(n, "there is no operator %s", n.Operator)
	return nil, typ{}
}

func (s *scope) negative(v value) value {
	switch v.kind {
	case kindNull:
	case kindInt:
		if v.n == math.MinInt64 {
			return s.fail(errOverflow)
		}
		v.n = -v.n
	case kindDecimal:
		return negate(v)
	case kindFloat:
		return float(-v.f())
	default:
		return s.fail(errors.New("- stands before something that is no number"))
	}
	return v
}

func (c *compiler) binary(n *ast.BinaryNode) (eval, typ) {
	switch n.Operator {
	case "&&", "and", "||", "or":
		return c.logic(n)
	case "==", "!=":
		return c.equality(n)
	case "<", "<=", ">", ">=":
		return c.order(n)
	case "+", "-", "*", "/", "%":
		return c.arithmetic(n)
	case "in":
		return c.in(n)
	case "??":
		a, ta := c.node(n.Left)
		b, tb := c.node(n.Right)
		a, b, t := c.unify(n, a, ta, b, tb, "the two sides of ??")
		return func(s *scope) value {
			if v := a(s); !v.null() {
				return v
			}
			return b(s)
		}, t
	case "contains", "startsWith", "endsWith":
		return c.within(n)
	case "matches":
		return c.matches(n)
	}
	c.fault(n, "there is no operator %s", n.Operator)
	return nil, typ{}
}

// logic is that of SQL: what the known operand decides is known.
func (c *compiler) logic(n *ast.BinaryNode) (eval, typ) {
	a, b := c.truth(n.Left, "the left side of "+n.Operator), c.truth(n.Right, "the right side of "+n.Operator)
	decides := int64(0)
	if n.Operator == "||" || n.Operator == "or" {
		decides = 1
	}
	return func(s *scope) value {
		x := a(s)
		if x.kind == kindBool && x.n == decides || s.err != nil {
			return x
		}
		y := b(s)
		switch {
		case y.kind == kindBool && y.n == decides:
			return y
		case x.kind != kindBool || y.kind != kindBool:
			return value{}
		}
		return y
	}, typ{kind: kindBool}
}

// pair compiles the operands of a comparison, so that they can be compared: a text
// that is written out becomes a date or a timestamp beside one.
func (c *compiler) pair(n *ast.BinaryNode) (a, b eval) {
	a, ta := c.node(n.Left)
	b, tb := c.node(n.Right)
	if temporal(ta.kind) {
		b, tb = c.moment(n.Right, b, tb, ta.kind)
	} else if temporal(tb.kind) {
		a, ta = c.moment(n.Left, a, ta, tb.kind)
	}
	if ta.kind == kindFloat {
		b, tb = c.floated(n.Right, b, tb)
	} else if tb.kind == kindFloat {
		a, ta = c.floated(n.Left, a, ta)
	}
	if !comparable(ta.kind, tb.kind) {
		c.fault(n, "%s and %s cannot be compared%s", ta, tb, advice(ta.kind, tb.kind))
	}
	return a, b
}

func comparable(a, b kind) bool {
	switch {
	case a == b, a == kindNull, b == kindNull, a == kindAny, b == kindAny:
		return true
	case a == kindFloat || b == kindFloat:
		return a == kindInt || b == kindInt
	case numeric(a) && numeric(b):
		return true
	}
	return a == kindDate && b == kindTimestamp || a == kindTimestamp && b == kindDate
}

// advice is what to write where two kinds do not go together.
func advice(a, b kind) string {
	switch {
	case a == kindText && numeric(b), b == kindText && numeric(a):
		return "; int(…) and decimal(…) read a number from a text, text(…) writes one"
	case a == kindFloat && b == kindDecimal, a == kindDecimal && b == kindFloat:
		return "; decimal(…) or float(…) says which of the two is meant"
	case temporal(a) && temporal(b):
		return "; a timestamp has no time zone: timestamptz(…) takes it as UTC"
	case a == kindList || b == kindList:
		return "; in, any(…) and all(…) look into a list"
	}
	return ""
}

// moment reads a text that is written out as the kind beside it.
func (c *compiler) moment(n ast.Node, f eval, t typ, k kind) (eval, typ) {
	s, ok := n.(*ast.StringNode)
	if !ok {
		return f, t
	}
	for _, as := range []kind{k, kindDate, kindTimestamp} {
		if as != k && k == kindTimestampTZ {
			break
		}
		if v, ok := parseTemporal([]byte(s.Value), as); ok {
			return constant(v), typ{kind: as}
		}
	}
	c.fault(n, "%q is not %s as in %s", s.Value, k, map[kind]string{kindDate: "2026-11-21", kindTimestamp: "2026-11-21 15:04:05", kindTimestampTZ: "2026-11-21 15:04:05+00"}[k])
	return nil, typ{}
}

// floated makes a number that is written out a float, beside one.
func (c *compiler) floated(n ast.Node, f eval, t typ) (eval, typ) {
	if u, ok := n.(*ast.UnaryNode); ok {
		n = u.Node
	}
	if _, ok := n.(*ast.FloatNode); !ok {
		return f, t
	}
	return func(s *scope) value { return s.toFloat(f(s)) }, typ{kind: kindFloat}
}

// equality holds for two nulls; a null differs from everything else.
func (c *compiler) equality(n *ast.BinaryNode) (eval, typ) {
	a, b := c.pair(n)
	negated := n.Operator == "!="
	return func(s *scope) value { return boolean(equal(a(s), b(s)) != negated) }, typ{kind: kindBool}
}

var errNoOrder = errors.New("two values have no order: they are of different types")

// order is null when an operand is.
func (c *compiler) order(n *ast.BinaryNode) (eval, typ) {
	a, b := c.pair(n)
	holds := map[string]func(int) bool{
		"<":  func(o int) bool { return o < 0 },
		"<=": func(o int) bool { return o <= 0 },
		">":  func(o int) bool { return o > 0 },
		">=": func(o int) bool { return o >= 0 },
	}[n.Operator]
	return func(s *scope) value {
		x, y := a(s), b(s)
		if x.null() || y.null() {
			return value{}
		}
		o, ok := compare(x, y)
		if !ok {
			return s.fail(errNoOrder)
		}
		return boolean(holds(o))
	}, typ{kind: kindBool}
}

// in tells whether a list has an equal element.
func (c *compiler) in(n *ast.BinaryNode) (eval, typ) {
	a, ta := c.node(n.Left)
	b, tb := c.node(n.Right)
	if tb.kind != kindList && tb.kind != kindAny && tb.kind != kindNull {
		c.fault(n.Right, "want a list after in; this is %s", tb)
	}
	if tb.kind == kindList && !comparable(ta.kind, tb.elem) {
		c.fault(n, "%s is never in %s%s", ta, tb, advice(ta.kind, tb.elem))
	}
	return func(s *scope) value {
		x, l := a(s), b(s)
		if l.kind == kindNull {
			return value{}
		}
		return boolean(slices.ContainsFunc(l.list(), func(e value) bool { return equal(x, e) }))
	}, typ{kind: kindBool}
}

func (c *compiler) texts(n *ast.BinaryNode) (a, b eval) {
	a, ta := c.node(n.Left)
	b, tb := c.node(n.Right)
	for i, t := range []typ{ta, tb} {
		if t.kind != kindText && t.kind != kindAny && t.kind != kindNull {
			c.fault([]ast.Node{n.Left, n.Right}[i], "%s is about texts; this is %s", n.Operator, t)
		}
	}
	return a, b
}

func (c *compiler) within(n *ast.BinaryNode) (eval, typ) {
	a, b := c.texts(n)
	holds := map[string]func(a, b []byte) bool{"contains": bytes.Contains, "startsWith": bytes.HasPrefix, "endsWith": bytes.HasSuffix}[n.Operator]
	return func(s *scope) value {
		x, y := a(s), b(s)
		if x.kind != kindText || y.kind != kindText {
			return value{}
		}
		return boolean(holds(x.b, y.b))
	}, typ{kind: kindBool}
}

func (c *compiler) matches(n *ast.BinaryNode) (eval, typ) {
	a, _ := c.texts(n)
	pattern, ok := n.Right.(*ast.StringNode)
	if !ok {
		c.fault(n.Right, "the pattern after matches is written out, as in row.name matches \"^a\"")
	}
	re, err := regexp.Compile(pattern.Value)
	if err != nil {
		c.fault(n.Right, "%v", err)
	}
	return func(s *scope) value {
		x := a(s)
		if x.kind != kindText {
			return value{}
		}
		return boolean(re.Match(x.b))
	}, typ{kind: kindBool}
}
