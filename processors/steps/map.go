package steps

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/processors"
	"github.com/tailrace/tailrace/sinks"
)

// Map sets columns by expressions, all from the row as it came. A column that is
// there keeps its type when it holds the expression's values, and takes the
// expression's otherwise; a new one stands behind the others.
//
// Rules for what the record does not carry:
//
//   - an expression whose columns are all unavailable gives an unavailable value:
//     nothing that it depends on has changed;
//   - one of which only some are is an error: its value has changed, and nobody can
//     tell to what;
//   - in the old row, what cannot be computed is not known.
//
// Columns of the key may be set: see move.go.
type Map struct {
	set    []assignment // by name
	shapes *shapes
}

type assignment struct {
	column string
	value  *Expression
}

// NewMap makes a map of expressions by column. An error is a Faults.
func NewMap(set map[string]string) (*Map, error) {
	if len(set) == 0 {
		return nil, Faults{{Offset: -1, Message: "want at least one column in set"}}
	}
	m := &Map{shapes: newShapes()}
	var faults Faults
	for _, column := range slices.Sorted(maps.Keys(set)) {
		e, err := Parse(set[column])
		if err != nil {
			faults = append(faults, faulty("set."+column, err)...)
		}
		m.set = append(m.set, assignment{column, e})
	}
	return m, faults.orNil()
}

// mapping is a Map for one shape.
type mapping struct {
	out   *sinks.Shape
	parts []mapped
	// key are the parts that set columns of the key; needs are the columns beyond
	// the key that they read.
	key   []int
	needs []int
}

type mapped struct {
	at      int // in out
	value   *Expression
	program *program
	column  *sinks.Column
	// plain tells an expression of the row's own columns alone: what it gives can
	// only change with them, and the old row has it as the new one.
	plain bool
	free  []int // the columns that it reads, without those of the key
}

func (m *Map) work(in *sinks.Shape) (*mapping, error) {
	if in == nil {
		return nil, nil
	}
	out := &sinks.Shape{Columns: slices.Clone(in.Columns), Key: in.Key}
	q := &mapping{}
	for _, a := range m.set {
		p, err := a.value.compile(in)
		if err != nil {
			return nil, &faulty("set."+a.column, err)[0]
		}
		at := index(in, a.column)
		if at < 0 || !holds(&in.Columns[at], p.typ) {
			c, ok := columnOf(a.column, p.typ)
			if !ok {
				return nil, &Fault{Path: "set." + a.column, Offset: 0, Message: "of what type is it? text(nil), int(nil) and their like say so"}
			}
			if at < 0 {
				at = len(out.Columns)
				out.Columns = append(out.Columns, c)
			} else {
				out.Columns[at] = c
			}
		}
		part := mapped{at: at, value: a.value, program: p, plain: !p.old && !p.after && !p.event && !p.clock}
		for _, i := range p.columns {
			if !slices.Contains(in.Key, i) {
				part.free = append(part.free, i)
			}
		}
		if slices.Contains(in.Key, at) {
			if !part.plain {
				return nil, &Fault{Path: "set." + a.column, Offset: 0, Message: "a column of the key can be set by columns of the row alone"}
			}
			q.key = append(q.key, len(q.parts))
			q.needs = append(q.needs, part.free...)
		}
		q.parts = append(q.parts, part)
	}
	q.out = m.shapes.one(in, out)
	for i := range q.parts {
		q.parts[i].column = &q.out.Columns[q.parts[i].at]
	}
	return q, nil
}

// Check implements Definition.
func (m *Map) Check(in *sinks.Shape) (*sinks.Shape, Faults) {
	var faults Faults
	for _, a := range m.set { // all faults at once
		if _, err := a.value.compile(in); err != nil {
			faults = append(faults, faulty("set."+a.column, err)...)
		}
	}
	if len(faults) > 0 {
		return nil, faults
	}
	q, err := m.work(in)
	if err != nil {
		return nil, faulty("", err)
	}
	for i, a := range m.set {
		path := "set." + a.column
		faults = append(faults, clocked(q.parts[i].program, path)...)
		faults = append(faults, differs(q.parts[i].program, path)...)
		if at := index(in, a.column); at >= 0 && q.out.Columns[at].Type != in.Columns[at].Type {
			faults = append(faults, Fault{Path: path, Offset: -1, Warning: true, Message: fmt.Sprintf("the column was %s and becomes %s", typeName(&in.Columns[at]), typeName(&q.out.Columns[at]))})
		}
	}
	if len(q.needs) > 0 {
		faults = append(faults, needsDifferences("", "the key "))
	}
	return q.out, faults
}

// New implements Definition.
func (m *Map) New() processors.Step { return &mapStep{plans: newPlans(m.work)} }

type mapStep struct {
	plans *plans[*mapping]
	scope scope
	found []cdc.Value
}

// Process implements processors.Step.
func (m *mapStep) Process(_ context.Context, c *processors.Change, _ processors.State, emit processors.Emit) error {
	q, err := m.plans.of(c.Columns())
	if err != nil {
		return err
	}
	if q == nil {
		return emit(c)
	}
	moves := len(q.needs) > 0 && c.Op != cdc.OpCreate && c.Op != cdc.OpRead
	if moves {
		for _, i := range q.needs {
			if !c.Before.Exists() || c.Before.Values[i].State == cdc.Absent {
				return unknownOld("the key", c.Columns().Columns[i].Name)
			}
		}
	}
	before, err := m.row(c, c.Before, q, true)
	if err != nil {
		return err
	}
	after, err := m.row(c, c.After, q, false)
	if err != nil {
		return err
	}
	c.Before, c.After = before, after
	if !moves || c.Op != cdc.OpUpdate {
		return emit(c)
	}
	for _, i := range q.key {
		at := q.parts[i].at
		if a, b := before.Values[at], after.Values[at]; a.State != b.State || string(a.Data) != string(b.Data) {
			return moved(c, before, c.Target, c.Target, emit)
		}
	}
	return emit(c)
}

// row is a row behind the step.
func (m *mapStep) row(c *processors.Change, in processors.Row, q *mapping, old bool) (processors.Row, error) {
	if !in.Exists() {
		return processors.Row{}, nil
	}
	m.found = m.found[:0]
	for i := range q.parts {
		v, err := m.part(c, in, &q.parts[i], old)
		if err != nil {
			return in, err
		}
		m.found = append(m.found, v)
	}
	out := processors.Row{Columns: q.out, Values: in.Values}
	if len(q.out.Columns) != len(in.Values) {
		out = c.NewRow(q.out)
		copy(out.Values, in.Values)
	}
	for i := range q.parts {
		out.Values[q.parts[i].at] = m.found[i]
	}
	return out, nil
}

// part is the value of one column.
func (m *mapStep) part(c *processors.Change, in processors.Row, p *mapped, old bool) (cdc.Value, error) {
	if old && !p.plain {
		return cdc.Value{State: cdc.Absent}, nil
	}
	if p.plain && len(p.free) > 0 && !slices.ContainsFunc(p.free, func(i int) bool { return in.Values[i].State != cdc.Unchanged }) {
		return cdc.Value{State: cdc.Unchanged}, nil
	}
	v, err := p.program.run(&m.scope, c, in)
	if err == nil && !v.null() {
		var text []byte
		if text, err = encode(nil, v, p.column); err == nil {
			return cdc.Value{State: cdc.Text, Data: text}, nil
		}
	}
	if err == nil {
		return cdc.Value{}, nil
	}
	if old {
		return cdc.Value{State: cdc.Absent}, nil
	}
	return cdc.Value{}, evaluation("column "+p.column.Name, p.value, err)
}
