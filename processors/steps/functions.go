package steps

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"
)

// function is one that expressions can call. A null argument makes the result
// null, unless nulls says that the function wants them.
type function struct {
	name   string
	params []accepts
	least  int // arguments; the others may be left out
	result func(args []typ) typ
	call   func(s *scope, args []value) value
	nulls  bool
	clock  bool // its result is another one in a replay
	doc    string
}

// accepts tells what an argument may be, and says it.
type accepts struct {
	name  string
	kinds []kind
}

func (a accepts) has(k kind) bool {
	if k == kindNull || k == kindAny || len(a.kinds) == 0 {
		return true
	}
	for _, x := range a.kinds {
		if x == k {
			return true
		}
	}
	return false
}

var (
	anything  = accepts{name: "x"}
	aText     = accepts{"text", []kind{kindText}}
	aNumber   = accepts{"number", []kind{kindInt, kindDecimal, kindFloat}}
	anInteger = accepts{"integer", []kind{kindInt}}
	aList     = accepts{"list", []kind{kindList}}
	aMoment   = accepts{"date or timestamp", []kind{kindDate, kindTimestamp, kindTimestampTZ}}
	aSequence = accepts{"text or list", []kind{kindText, kindList}}
)

func gives(k kind) func([]typ) typ { return func([]typ) typ { return typ{kind: k} } }

// same is the type of the first argument.
func same(args []typ) typ { return args[0] }

func list1(k kind) func([]typ) typ { return func([]typ) typ { return typ{kind: kindList, elem: k} } }

// functions lists all that have no predicate.
func functions() []function {
	return []function{
		{name: "text", params: []accepts{anything}, result: gives(kindText), call: first((*scope).toText), doc: "the value as PostgreSQL prints it; a list, or what json() gave, as JSON"},
		{name: "int", params: []accepts{anything}, result: gives(kindInt), call: first((*scope).toInt), doc: "an integer from a text, or from a number that is whole; anything else is an error"},
		{name: "decimal", params: []accepts{anything}, result: gives(kindDecimal), call: first((*scope).toDecimal), doc: "a decimal from a text, an integer, or the shortest digits of a float"},
		{name: "float", params: []accepts{anything}, result: gives(kindFloat), call: first((*scope).toFloat), doc: "the nearest float to a number, or to that of a text"},
		{name: "bool", params: []accepts{anything}, result: gives(kindBool), call: first((*scope).toBool), doc: "a boolean from a text: t, true, f or false"},
		{name: "date", params: []accepts{anything}, result: gives(kindDate), call: first((*scope).toDate), doc: "a date from a text, or the day of a timestamp; of a timestamptz in UTC"},
		{name: "timestamp", params: []accepts{anything}, result: gives(kindTimestamp), call: first((*scope).toTimestamp), doc: "a timestamp from a text, a date, or a timestamptz in UTC"},
		{name: "timestamptz", params: []accepts{anything}, result: gives(kindTimestampTZ), call: first((*scope).toTimestampTZ), doc: "an instant from a text with its zone, or from a date or timestamp that is taken as UTC"},
		{name: "json", params: []accepts{aText}, result: gives(kindAny), call: first((*scope).parseJSON), doc: "what a text of JSON holds; a number is an integer or a decimal, as it is written"},
		{name: "len", params: []accepts{aSequence}, result: gives(kindInt), call: first(length), doc: "characters of a text, or elements of a list"},
		{name: "upper", params: []accepts{aText}, result: gives(kindText), call: onText(bytes.ToUpper), doc: "in capitals"},
		{name: "lower", params: []accepts{aText}, result: gives(kindText), call: onText(bytes.ToLower), doc: "in small letters"},
		{name: "trim", params: []accepts{aText}, result: gives(kindText), call: onText(bytes.TrimSpace), doc: "without white space at both ends"},
		{name: "replace", params: []accepts{aText, aText, aText}, result: gives(kindText), call: replace, doc: "with each occurrence of the second text replaced by the third"},
		{name: "split", params: []accepts{aText, aText}, result: list1(kindText), call: splitText, doc: "the parts between the occurrences of the second text"},
		{name: "join", params: []accepts{aList, aText}, result: gives(kindText), call: join, doc: "the elements as texts, with the second text in between; nulls are left out"},
		{name: "abs", params: []accepts{aNumber}, result: same, call: first(absolute), doc: "without its sign"},
		{name: "round", params: []accepts{aNumber, anInteger}, least: 1, result: same, call: round, doc: "to so many digits behind the point, none if left out; halves away from zero"},
		{name: "floor", params: []accepts{aNumber}, result: same, call: floor, doc: "the next whole number at or below"},
		{name: "ceil", params: []accepts{aNumber}, result: same, call: ceil, doc: "the next whole number at or above"},
		{name: "year", params: []accepts{aMoment}, result: gives(kindInt), call: part(func(y, _, _ int64, _ int64) int64 { return y }), doc: "the year; of a timestamptz in UTC, as the next three"},
		{name: "month", params: []accepts{aMoment}, result: gives(kindInt), call: part(func(_, m, _ int64, _ int64) int64 { return m }), doc: "the month, from 1"},
		{name: "day", params: []accepts{aMoment}, result: gives(kindInt), call: part(func(_, _, d int64, _ int64) int64 { return d }), doc: "the day of the month"},
		{name: "hour", params: []accepts{aMoment}, result: gives(kindInt), call: part(func(_, _, _ int64, us int64) int64 { return us / 3600 / secMicros }), doc: "the hour of the day"},
		{name: "epoch", params: []accepts{aMoment}, result: gives(kindDecimal), call: epoch, doc: "seconds since 1970-01-01, exact to the microsecond; a difference of two is a duration"},
		{name: "now", result: gives(kindTimestampTZ), call: func(*scope, []value) value { return instant(time.Now()) }, clock: true, doc: "the time of the processor's clock. Not replayable: `lint` warns"},
	}
}

// predicates are the functions that ask each element of a list.
var predicates = []struct{ name, doc string }{
	{"any", "whether one element or more meets the condition"},
	{"all", "whether every element does"},
	{"none", "whether no element does"},
	{"one", "whether exactly one does"},
	{"count", "how many do"},
	{"filter", "the list of those that do"},
	{"map", "the list of what the expression gives for each"},
}

// call compiles a call of a function.
func (c *compiler) call(n ast.Node, name string, args []ast.Node) (eval, typ) {
	for _, p := range predicates {
		if p.name == name {
			return c.predicate(n, name, args)
		}
	}
	var known []string
	for _, f := range functions() {
		if f.name == name {
			return c.function(n, &f, args)
		}
		known = append(known, f.name)
	}
	c.fault(n, "unknown function %s%s", name, near(name, known))
	return nil, typ{}
}

func (c *compiler) function(n ast.Node, f *function, args []ast.Node) (eval, typ) {
	least := f.least
	if least == 0 {
		least = len(f.params)
	}
	if len(args) < least || len(args) > len(f.params) {
		c.fault(n, "want %s, found %d arguments", f.signature(), len(args))
	}
	evals, types := make([]eval, len(args)), make([]typ, len(args))
	for i, a := range args {
		evals[i], types[i] = c.node(a)
		if !f.params[i].has(types[i].kind) {
			c.fault(a, "want %s; this is %s", f.signature(), types[i])
		}
	}
	c.program.clock = c.program.clock || f.clock
	call, nulls := f.call, f.nulls
	return func(s *scope) value {
		from := len(s.args)
		for _, e := range evals {
			v := e(s)
			if v.null() && !nulls {
				s.args = s.args[:from]
				return value{}
			}
			s.args = append(s.args, v)
		}
		v := call(s, s.args[from:])
		s.args = s.args[:from]
		return v
	}, f.result(types)
}

// signature is the function with its parameters, for messages and the page.
func (f *function) signature() string {
	parts := make([]string, len(f.params))
	for i, p := range f.params {
		parts[i] = p.name
		if f.least > 0 && i >= f.least {
			parts[i] += "?"
		}
	}
	return f.name + "(" + strings.Join(parts, ", ") + ")"
}

// first makes a call of a function of one value.
func first(f func(*scope, value) value) func(*scope, []value) value {
	return func(s *scope, args []value) value { return f(s, args[0]) }
}

func onText(f func([]byte) []byte) func(*scope, []value) value {
	return func(s *scope, args []value) value {
		if args[0].kind != kindText {
			return s.fail(errNotText)
		}
		return value{kind: kindText, b: f(args[0].b)}
	}
}

var errNotText = errors.New("a function of texts is called with something else")

func length(s *scope, v value) value {
	switch v.kind {
	case kindText:
		return integer(int64(utf8.RuneCount(v.b)))
	case kindList:
		return integer(int64(len(v.list())))
	}
	return s.fail(errNotText)
}

func replace(s *scope, a []value) value {
	if a[0].kind != kindText || a[1].kind != kindText || a[2].kind != kindText {
		return s.fail(errNotText)
	}
	if len(a[1].b) == 0 {
		return a[0]
	}
	return value{kind: kindText, b: bytes.ReplaceAll(a[0].b, a[1].b, a[2].b)}
}

func splitText(s *scope, a []value) value {
	if a[0].kind != kindText || a[1].kind != kindText {
		return s.fail(errNotText)
	}
	var out []value
	for _, p := range bytes.Split(a[0].b, a[1].b) {
		out = append(out, value{kind: kindText, b: p})
	}
	return list(out)
}

func join(s *scope, a []value) value {
	if a[0].kind != kindList || a[1].kind != kindText {
		return s.fail(errNotText)
	}
	var parts [][]byte
	for _, e := range a[0].list() {
		if !e.null() {
			parts = append(parts, s.toText(e).b)
		}
	}
	return value{kind: kindText, b: bytes.Join(parts, a[1].b)}
}

var errNotNumber = errors.New("a function of numbers is called with something else")

func absolute(s *scope, v value) value {
	zero := value{kind: v.kind}
	if v.kind == kindFloat {
		return float(math.Abs(v.f()))
	}
	o, ok := compare(v, zero)
	if !ok || !numeric(v.kind) {
		return s.fail(errNotNumber)
	}
	if o < 0 {
		return s.negative(v)
	}
	return v
}

func round(s *scope, a []value) value {
	digits := int64(0)
	if len(a) > 1 {
		digits = a[1].n
	}
	if digits < 0 || digits > maxScale {
		return s.fail(fmt.Errorf("round takes 0 to %d digits", maxScale))
	}
	switch v := a[0]; v.kind {
	case kindInt:
		return v
	case kindDecimal:
		if v.special != 0 {
			return v
		}
		return roundTo(v, int32(digits))
	case kindFloat:
		p := math.Pow(10, float64(digits))
		if r := math.Round(v.f()*p) / p; !math.IsNaN(r) && !math.IsInf(r, 0) {
			return float(r)
		}
		return v
	}
	return s.fail(errNotNumber)
}

func floor(s *scope, a []value) value {
	switch v := a[0]; v.kind {
	case kindInt:
		return v
	case kindDecimal:
		if v.special != 0 {
			return v
		}
		return floored(v)
	case kindFloat:
		return float(math.Floor(v.f()))
	}
	return s.fail(errNotNumber)
}

func ceil(s *scope, a []value) value {
	return s.negative(floor(s, []value{s.negative(a[0])}))
}

var errInfinite = errors.New("an infinite date or timestamp has no parts")

// part is a part of a date or a timestamp.
func part(f func(year, month, day, us int64) int64) func(*scope, []value) value {
	return func(s *scope, a []value) value {
		v := a[0]
		days, us := v.n, int64(0)
		switch {
		case !temporal(v.kind):
			return s.fail(errors.New("a function of dates and timestamps is called with something else"))
		case v.n == infinite || v.n == minusInfinite:
			return s.fail(errInfinite)
		case v.kind != kindDate:
			days = floorDiv(v.n, dayMicros)
			us = v.n - days*dayMicros
		}
		year, month, day := civil(days)
		return integer(f(year, month, day, us))
	}
}

func epoch(s *scope, a []value) value {
	us := micros(a[0])
	if us == infinite || us == minusInfinite {
		return s.fail(errInfinite)
	}
	return trimmed(value{kind: kindDecimal, n: us, scale: 6}, 0)
}

// FunctionsMarkdown is the table of functions for the documentation.
func FunctionsMarkdown() string {
	var b strings.Builder
	b.WriteString("| function | gives |\n|---|---|\n")
	for _, f := range functions() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", f.signature(), f.doc)
	}
	for _, p := range predicates {
		fmt.Fprintf(&b, "| `%s(list, …)` | %s; `#` is the element, `#index` its place |\n", p.name, p.doc)
	}
	return b.String()
}
