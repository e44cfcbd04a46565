package steps

import (
	"errors"

	"github.com/expr-lang/expr/ast"
)

// predicate compiles any(list, condition) and its like.
func (c *compiler) predicate(n ast.Node, name string, args []ast.Node) (eval, typ) {
	if len(args) != 2 {
		c.fault(n, "want %s(list, condition), found %d arguments", name, len(args))
	}
	body, ok := args[1].(*ast.PredicateNode)
	if !ok {
		c.fault(n, "want %s(list, condition)", name)
	}
	of, t := c.node(args[0])
	if t.kind != kindList && t.kind != kindAny && t.kind != kindNull {
		c.fault(args[0], "want a list; this is %s", t)
	}
	elem := t.elem
	if t.kind != kindList {
		elem = kindAny
	}
	c.items = append(c.items, elem)
	f, bt := c.node(body.Node)
	c.items = c.items[:len(c.items)-1]
	if name != "map" && bt.kind != kindBool && bt.kind != kindAny && bt.kind != kindNull {
		c.fault(body.Node, "want a condition; this is %s", bt)
	}
	each := func(s *scope, l []value, visit func(element, result value) (more bool)) {
		s.items = append(s.items, item{})
		at := len(s.items) - 1
		for i, e := range l {
			s.items[at] = item{e, i}
			if r := f(s); s.err != nil || !visit(e, r) {
				break
			}
		}
		s.items = s.items[:at]
	}
	result := typ{kind: kindBool}
	switch name {
	case "count":
		result.kind = kindInt
	case "filter":
		result = typ{kind: kindList, elem: elem}
	case "map":
		result = typ{kind: kindList, elem: bt.kind}
	}
	return func(s *scope) value {
		v := of(s)
		if v.kind != kindList {
			if v.kind != kindNull {
				return s.fail(errors.New(name + " is asked of something that is no list"))
			}
			return value{}
		}
		l := v.list()
		hits := 0
		var out []value
		each(s, l, func(e, r value) bool {
			if name == "map" {
				out = append(out, r)
				return true
			}
			if r.true() {
				hits++
				if name == "filter" {
					out = append(out, e)
				}
				return name != "any" && name != "none"
			}
			return name != "all"
		})
		switch name {
		case "any":
			return boolean(hits > 0)
		case "all":
			return boolean(hits == len(l))
		case "none":
			return boolean(hits == 0)
		case "one":
			return boolean(hits == 1)
		case "count":
			return integer(int64(hits))
		}
		return list(out)
	}, result
}
