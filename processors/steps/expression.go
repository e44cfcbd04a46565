package steps

import (
	"errors"
	"fmt"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"

	"github.com/tailrace/tailrace/processors"
	"github.com/tailrace/tailrace/sinks"
)

// Expressions are written in the language of expr-lang, and its parser reads them.
// Their types and values are ours, since a row is a database's: decimals are exact,
// integers do not wrap round, nulls behave as in SQL where values are ordered, and
// a value that the record does not carry is an error where it is used, never a
// null. What an expression is checked against is the shape of the rows, so it is
// compiled once per version of a table, to functions that allocate nothing for
// columns, numbers and comparisons.

// Expression is a parsed expression. It is immutable.
type Expression struct {
	text string
	root ast.Node
}

// Fault is what is wrong with a step, or with an expression in it.
type Fault struct {
	// Path is the key below the step that has the fault, as set.total; "" is the
	// step itself.
	Path string
	// Offset is the character in the expression, from 0; -1 when the fault is not at
	// one.
	Offset  int
	Message string
	// Warning tells what works but will surprise.
	Warning bool
	// Differences tells that the step compares with the row before the change. Under
	// errors.on_poison: skip that is wrong: what was skipped is missing there.
	Differences bool
}

// Error is the message, with the place in the expression.
func (f *Fault) Error() string {
	s := f.Message
	if f.Offset >= 0 {
		s = fmt.Sprintf("at character %d: %s", f.Offset+1, s)
	}
	if f.Path != "" {
		s = f.Path + ": " + s
	}
	return s
}

// Faults are all that is wrong with a step. As an error it is never empty.
type Faults []Fault

// Error is one fault a line.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i := range f {
		lines[i] = f[i].Error()
	}
	return strings.Join(lines, "\n")
}

// orNil is the error that f is, if it is one.
func (f Faults) orNil() error {
	if len(f) == 0 {
		return nil
	}
	return f
}

// FaultsOf are the faults that an error of this package holds, or the error itself
// as a fault of the whole step.
func FaultsOf(err error) Faults {
	var many Faults
	if errors.As(err, &many) {
		return many
	}
	return faulty("", err)
}

// maxExpression bounds the length of an expression; a longer one is a mistake.
const maxExpression = 16 << 10

// Parse reads an expression. What is wrong with it is a *Fault.
func Parse(text string) (e *Expression, err error) {
	if strings.TrimSpace(text) == "" {
		return nil, &Fault{Offset: -1, Message: "want an expression, found nothing"}
	}
	if len(text) > maxExpression {
		return nil, &Fault{Offset: -1, Message: fmt.Sprintf("the expression has %d bytes; at most %d are read", len(text), maxExpression)}
	}
	defer func() { // the parser is not ours and meets whatever users write
		if p := recover(); p != nil {
			e, err = nil, &Fault{Offset: -1, Message: fmt.Sprintf("cannot be read: %v", p)}
		}
	}()
	tree, err := parser.Parse(text)
	if err != nil {
		fault := &Fault{Offset: -1, Message: err.Error()}
		var at *file.Error
		if errors.As(err, &at) {
			fault.Offset, fault.Message = at.From, at.Message
		}
		return nil, fault
	}
	return &Expression{text: text, root: tree.Node}, nil
}

// String is the expression's text.
func (e *Expression) String() string { return e.text }

// conjuncts are the operands of the && at the top of the expression.
func (e *Expression) conjuncts() []*Expression {
	b, ok := e.root.(*ast.BinaryNode)
	if !ok || b.Operator != "&&" && b.Operator != "and" {
		return []*Expression{e}
	}
	left, right := &Expression{e.text, b.Left}, &Expression{e.text, b.Right}
	return append(left.conjuncts(), right.conjuncts()...)
}

// readsRows tells whether the expression names a row at all, in whatever shape.
func (e *Expression) readsRows() bool {
	found := rowFinder(false)
	root := e.root
	ast.Walk(&root, &found)
	return bool(found)
}

type rowFinder bool

func (f *rowFinder) Visit(n *ast.Node) {
	if id, ok := (*n).(*ast.IdentifierNode); ok {
		switch id.Value {
		case "row", "before", "after":
			*f = true
		}
	}
}

// program is an expression, compiled for rows of one shape. It is used by one
// goroutine at a time, as the scope that it runs in.
type program struct {
	eval eval
	typ  typ
	// columns are those that it reads of the row that it is about, by index; old and
	// after tell that it names one of the two rows itself.
	columns    []int
	old, after bool
	event      bool // it reads op, source or the position
	clock      bool // it reads the clock: a replay gives another result
}

// eval gives the value of a node. Its errors are in the scope; the value is null
// then.
type eval func(*scope) value

// scope is what an expression is evaluated in.
type scope struct {
	change *processors.Change
	row    processors.Row // that the expression is about
	vars   []value        // of let
	items  []item         // of any, all, filter …, the innermost last
	args   []value        // of the functions that are called
	err    error          // the first
}

// item is an element of a list under a predicate.
type item struct {
	value value
	index int
}

func (s *scope) fail(err error) value {
	if s.err == nil {
		s.err = err
	}
	return value{}
}

// run evaluates p for a row of c.
func (p *program) run(s *scope, c *processors.Change, row processors.Row) (value, error) {
	s.change, s.row, s.err, s.items, s.args = c, row, nil, s.items[:0], s.args[:0]
	v := p.eval(s)
	return v, s.err
}

// compile checks the expression against a shape. A nil shape has no rows: it is
// for changes of a table. What is wrong is a *Fault.
func (e *Expression) compile(shape *sinks.Shape) (p *program, err error) {
	c := &compiler{text: e.text, shape: shape, program: &program{}}
	defer func() {
		if r := recover(); r != nil {
			fault, ok := r.(*Fault)
			if !ok {
				panic(r)
			}
			p, err = nil, fault
		}
	}()
	c.program.eval, c.program.typ = c.node(e.root)
	return c.program, nil
}

// condition compiles an expression that must be a boolean.
func (e *Expression) condition(shape *sinks.Shape) (*program, error) {
	p, err := e.compile(shape)
	if err != nil {
		return nil, err
	}
	if k := p.typ.kind; k != kindBool && k != kindAny && k != kindNull {
		return nil, &Fault{Offset: e.root.Location().From, Message: "want a condition, true or false; this is " + p.typ.String()}
	}
	return p, nil
}

// readsOnly tells whether p reads no column of a row but those given.
func (p *program) readsOnly(columns []int) bool {
	if p.old || p.after {
		return false
	}
	for _, i := range p.columns {
		found := false
		for _, j := range columns {
			found = found || i == j
		}
		if !found {
			return false
		}
	}
	return true
}
