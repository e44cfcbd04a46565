package steps

import (
	"context"
	"slices"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/processors"
	"github.com/tailrace/tailrace/sinks"
)

// Filter lets through what meets a condition. A condition says which rows are in
// the target, not which records: a row that meets it and then no more must leave
// the target.
//
// The condition is split at the && at its top. A part that reads no column but
// those of the key is about events: it is the same before and after a change, so
// what does not meet it never concerned the target, and is dropped. A part that
// reads other columns is about rows:
//
//	r, c that do not meet it   dropped: such a row was not in the target. A row of
//	                           an incremental snapshot becomes a delete: it may be
//	                           there to mend a change that was lost
//	u that does not            becomes a delete: the row may have been in the target
//	d                          passes unasked: its old row may not be known, and a
//	                           delete of an absent row harms nobody
//	t                          passes; a part that names no row is asked
//
// A part that reads before is about updates: one that does not meet it is dropped,
// and the row stays in the target as it is there.
type Filter struct{ where *Expression }

// NewFilter makes a filter of a condition. An error is a Faults.
func NewFilter(where string) (*Filter, error) {
	e, err := Parse(where)
	if err != nil {
		return nil, faulty("", err)
	}
	return &Filter{e}, nil
}

// filterPlan is a filter for one shape.
type filterPlan struct{ events, updates, rows []*program }

func (f *Filter) plan(shape *sinks.Shape) (*filterPlan, error) {
	p := &filterPlan{}
	for _, part := range f.where.conjuncts() {
		if shape == nil && part.readsRows() {
			continue // of a change of a table only the rest is asked
		}
		q, err := part.condition(shape)
		if err != nil {
			return nil, err
		}
		switch {
		case q.old:
			p.updates = append(p.updates, q)
		case shape == nil || q.readsOnly(shape.Key):
			p.events = append(p.events, q)
		default:
			p.rows = append(p.rows, q)
		}
	}
	return p, nil
}

// Check implements Definition.
func (f *Filter) Check(in *sinks.Shape) (*sinks.Shape, Faults) {
	p, err := f.plan(in)
	if err != nil {
		return in, faulty("", err)
	}
	var faults Faults
	for _, q := range slices.Concat(p.events, p.updates, p.rows) {
		faults = append(faults, clocked(q, "")...)
		faults = append(faults, differs(q, "")...)
	}
	if len(in.Key) == 0 && len(p.rows) > 0 {
		faults = append(faults, Fault{Offset: -1, Warning: true, Message: "the table has no key, so a row that stops meeting the condition cannot be deleted"})
	}
	return in, faults
}

// New implements Definition.
func (f *Filter) New() processors.Step { return &filter{where: f.where, plans: newPlans(f.plan)} }

type filter struct {
	where *Expression
	plans *plans[*filterPlan]
	scope scope
}

// Process implements processors.Step.
func (f *filter) Process(_ context.Context, c *processors.Change, _ processors.State, emit processors.Emit) error {
	p, err := f.plans.of(c.Columns())
	if err != nil {
		return err
	}
	if met, err := f.ask(p.events, c); err != nil || !met {
		return err
	}
	switch c.Op {
	case cdc.OpDelete, cdc.OpTruncate:
		return emit(c)
	case cdc.OpUpdate:
		if met, err := f.ask(p.updates, c); err != nil || !met {
			return err
		}
	}
	met, err := f.ask(p.rows, c)
	switch {
	case err != nil:
		return err
	case met:
		return emit(c)
	case c.Op == cdc.OpUpdate, c.Op == cdc.OpRead && c.Source.Snapshot == incremental:
		c.Remove()
		return emit(c)
	}
	return nil
}

// incremental marks the rows of a snapshot that is taken while changes stream.
const incremental = "incremental"

func (f *filter) ask(parts []*program, c *processors.Change) (bool, error) {
	for _, p := range parts {
		v, err := p.run(&f.scope, c, c.Row())
		if err != nil {
			return false, evaluation("the condition", f.where, err)
		}
		if !v.true() {
			return false, nil
		}
	}
	return true, nil
}
