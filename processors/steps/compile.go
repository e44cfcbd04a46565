package steps

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"

	"github.com/tailrace/tailrace/sinks"
)

// compiler turns nodes into functions and checks their types on the way. A fault
// leaves it as a panic of a *Fault, which compile takes.
type compiler struct {
	text    string
	shape   *sinks.Shape
	program *program
	vars    []variable // of let, the innermost last
	items   []kind     // of predicates, the innermost last
}

type variable struct {
	name string
	typ  typ
	slot int
}

// fault ends the compilation.
func (c *compiler) fault(n ast.Node, format string, args ...any) {
	panic(&Fault{Offset: n.Location().From, Message: fmt.Sprintf(format, args...)})
}

// constant is a function that gives one value.
func constant(v value) eval { return func(*scope) value { return v } }

// node compiles any node.
func (c *compiler) node(n ast.Node) (eval, typ) {
	switch n := n.(type) {
	case *ast.NilNode:
		return constant(value{}), typ{kind: kindNull}
	case *ast.BoolNode:
		return constant(boolean(n.Value)), typ{kind: kindBool}
	case *ast.IntegerNode:
		return constant(integer(int64(n.Value))), typ{kind: kindInt}
	case *ast.FloatNode:
		return c.literal(n), typ{kind: kindDecimal}
	case *ast.StringNode:
		return constant(text(n.Value)), typ{kind: kindText}
	case *ast.IdentifierNode:
		return c.identifier(n)
	case *ast.ChainNode:
		return c.node(n.Node)
	case *ast.MemberNode:
		return c.member(n)
	case *ast.SliceNode:
		return c.slice(n)
	case *ast.UnaryNode:
		return c.unary(n)
	case *ast.BinaryNode:
		return c.binary(n)
	case *ast.ConditionalNode:
		return c.conditional(n)
	case *ast.ArrayNode:
		return c.array(n)
	case *ast.VariableDeclaratorNode:
		return c.let(n)
	case *ast.PointerNode:
		return c.pointer(n)
	case *ast.BuiltinNode:
		return c.call(n, n.Name, n.Arguments)
	case *ast.CallNode:
		if id, ok := n.Callee.(*ast.IdentifierNode); ok {
			return c.call(n, id.Value, n.Arguments)
		}
		c.fault(n, "values have no methods; functions are called as in upper(row.name)")
	}
	c.fault(n, "this part of the language has no use here")
	return nil, typ{}
}

// literal is a number with a point or an exponent. It is taken as it is written:
// the parser has made a float of it, which would lose digits.
func (c *compiler) literal(n *ast.FloatNode) eval {
	at, runes := n.Location(), []rune(c.text)
	if at.From < 0 || at.To > len(runes) || at.From >= at.To {
		c.fault(n, "a number that cannot be read")
	}
	v, ok := parseDecimal([]byte(strings.ReplaceAll(string(runes[at.From:at.To]), "_", "")))
	if !ok {
		c.fault(n, "a number that cannot be read")
	}
	return constant(v)
}

// conditional is a ? b : c. A condition that is null counts as false.
func (c *compiler) conditional(n *ast.ConditionalNode) (eval, typ) {
	cond := c.truth(n.Cond, "the condition of ?")
	yes, ty := c.node(n.Exp1)
	no, tn := c.node(n.Exp2)
	yes, no, t := c.unify(n, yes, ty, no, tn, "the two sides of :")
	return func(s *scope) value {
		if cond(s).true() {
			return yes(s)
		}
		return no(s)
	}, t
}

// unify finds the type that two values have together.
func (c *compiler) unify(n ast.Node, a eval, ta typ, b eval, tb typ, what string) (eval, eval, typ) {
	switch {
	case ta == tb:
		return a, b, ta
	case ta.kind == kindNull:
		return a, b, tb
	case tb.kind == kindNull:
		return a, b, ta
	case ta.kind == kindAny || tb.kind == kindAny || ta.kind == kindObject || tb.kind == kindObject:
		return a, b, typ{kind: kindAny}
	case ta.kind == kindList && tb.kind == kindList:
		return a, b, typ{kind: kindList, elem: kindAny}
	case ta.kind == kindInt && tb.kind == kindDecimal:
		return widened(a), b, tb
	case ta.kind == kindDecimal && tb.kind == kindInt:
		return a, widened(b), ta
	}
	c.fault(n, "%s are %s and %s; they must be of one type", what, ta, tb)
	return nil, nil, typ{}
}

// widened makes integers decimals.
func widened(f eval) eval {
	return func(s *scope) value {
		v := f(s)
		if v.kind == kindInt {
			v.kind = kindDecimal
		}
		return v
	}
}

func (c *compiler) array(n *ast.ArrayNode) (eval, typ) {
	t := typ{kind: kindNull}
	parts := make([]eval, len(n.Nodes))
	for i, e := range n.Nodes {
		f, et := c.node(e)
		if i == 0 || t.kind == kindNull {
			t = et
		} else if et != t && et.kind != kindNull {
			if numeric(et.kind) && numeric(t.kind) && et.kind != kindFloat && t.kind != kindFloat {
				et.kind = kindDecimal
				t = et
			} else {
				t = typ{kind: kindAny}
			}
		}
		parts[i] = f
	}
	elem := t.kind
	if elem == kindNull {
		elem = kindAny
	}
	if fixed, ok := constants(n.Nodes, parts); ok {
		return constant(list(fixed)), typ{kind: kindList, elem: elem}
	}
	return func(s *scope) value {
		out := make([]value, len(parts))
		for i, f := range parts {
			out[i] = f(s)
		}
		return list(out)
	}, typ{kind: kindList, elem: elem}
}

// constants are the values of literals.
func constants(nodes []ast.Node, parts []eval) ([]value, bool) {
	out := make([]value, len(parts))
	for i, n := range nodes {
		switch n.(type) {
		case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NilNode:
			out[i] = parts[i](nil)
		default:
			return nil, false
		}
	}
	return out, true
}

// maxVariables bounds nested lets.
const maxVariables = 64

func (c *compiler) let(n *ast.VariableDeclaratorNode) (eval, typ) {
	slot := len(c.vars)
	switch {
	case slot == maxVariables:
		c.fault(n, "too many variables")
	case slices.Contains(names, n.Name) || c.isVariable(n.Name):
		c.fault(n, "%s is the name of something else", n.Name)
	}
	what, t := c.node(n.Value)
	c.vars = append(c.vars, variable{n.Name, t, slot})
	then, tt := c.node(n.Expr)
	c.vars = c.vars[:slot]
	return func(s *scope) value {
		v := what(s)
		if len(s.vars) <= slot {
			s.vars = append(s.vars, make([]value, slot+1-len(s.vars))...)
		}
		s.vars[slot] = v
		return then(s)
	}, tt
}

// pointer is # and what it has: the element that a predicate is about.
func (c *compiler) pointer(n *ast.PointerNode) (eval, typ) {
	if len(c.items) == 0 {
		c.fault(n, "# is the element within any, all, none, one, count, filter or map")
	}
	depth := len(c.items) - 1
	switch n.Name {
	case "":
		return func(s *scope) value { return s.items[depth].value }, typ{kind: c.items[depth]}
	case "index":
		return func(s *scope) value { return integer(int64(s.items[depth].index)) }, typ{kind: kindInt}
	}
	c.fault(n, "unknown name #%s; there are # and #index", n.Name)
	return nil, typ{}
}

// slice cuts a text by characters, or a list.
func (c *compiler) slice(n *ast.SliceNode) (eval, typ) {
	of, t := c.node(n.Node)
	if t.kind != kindText && t.kind != kindList && t.kind != kindAny {
		c.fault(n, "a part is taken of a text or a list; this is %s", t)
	}
	bound := func(e ast.Node) eval {
		if e == nil {
			return constant(value{})
		}
		f, t := c.node(e)
		if t.kind != kindInt && t.kind != kindAny {
			c.fault(e, "want an integer; this is %s", t)
		}
		return f
	}
	from, to := bound(n.From), bound(n.To)
	return func(s *scope) value {
		v, a, b := of(s), from(s), to(s)
		switch v.kind {
		case kindText:
			runes := []rune(string(v.b))
			i, j := between(a, b, len(runes))
			return text(string(runes[i:j]))
		case kindList:
			l := v.list()
			i, j := between(a, b, len(l))
			return list(l[i:j])
		case kindNull:
			return v
		}
		return s.fail(errors.New("a part is taken of something that is neither text nor list"))
	}, t
}

// between brings the bounds of a part within n; null is the end on its side.
func between(from, to value, n int) (i, j int) {
	within := func(v value, otherwise int) int {
		switch {
		case v.kind != kindInt:
			return otherwise
		case v.n < 0:
			return int(max(0, int64(n)+v.n))
		}
		return int(min(int64(n), v.n))
	}
	i, j = within(from, 0), within(to, n)
	return min(i, j), j
}
