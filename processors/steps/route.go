package steps

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/processors"
	"github.com/tailrace/tailrace/sinks"
)

// RouteConfig says where changes go. Each expression is optional, and gives a text.
type RouteConfig struct {
	Table string // a table, or schema.table
	Topic string
	// Targets are all tables that Table can give, when it reads columns: a TRUNCATE
	// of the source's table, and the sweep behind a snapshot, go to each of them.
	Targets []string
	// Merge says that several tables of the source go to one target. A TRUNCATE of
	// one of them would end the rows of all, so it is an error then.
	Merge bool
}

// Route sends changes to other tables or topics. A row that goes elsewhere because
// a column has changed leaves its former target: see move.go.
type Route struct {
	config RouteConfig
	table  *Expression // nil: as it is
	topic  *Expression

	mu sync.Mutex // guards the following
	// fed says which table of the source feeds each target, of this process.
	fed map[string]string
}

// NewRoute makes a route. An error is a Faults.
func NewRoute(c RouteConfig) (*Route, error) {
	if c.Table == "" && c.Topic == "" {
		return nil, Faults{{Offset: -1, Message: "want table or topic"}}
	}
	r := &Route{config: c, fed: map[string]string{}}
	var faults Faults
	for _, part := range []struct {
		path, text string
		e          **Expression
	}{{"table", c.Table, &r.table}, {"topic", c.Topic, &r.topic}} {
		if part.text == "" {
			continue
		}
		e, err := Parse(part.text)
		if err != nil {
			faults = append(faults, faulty(part.path, err)...)
		}
		*part.e = e
	}
	return r, faults.orNil()
}

// routing is a Route for one shape.
type routing struct {
	table, topic *program
	free         []int // columns beyond the key that the two read
}

func (r *Route) work(in *sinks.Shape) (*routing, error) {
	q := &routing{}
	for _, part := range []struct {
		path string
		e    *Expression
		p    **program
	}{{"table", r.table, &q.table}, {"topic", r.topic, &q.topic}} {
		if part.e == nil || in == nil && part.e.readsRows() {
			continue
		}
		p, err := part.e.compile(in)
		if err != nil {
			return nil, &faulty(part.path, err)[0]
		}
		switch {
		case p.typ.kind != kindText && p.typ.kind != kindAny:
			return nil, &Fault{Path: part.path, Offset: part.e.root.Location().From, Message: "want a text; this is " + p.typ.String()}
		case p.old || p.after || p.clock:
			return nil, &Fault{Path: part.path, Offset: part.e.root.Location().From, Message: "where a row goes follows from row, op and source alone: its deletes must find it"}
		}
		*part.p = p
		if in == nil {
			continue
		}
		for _, i := range p.columns {
			if !p.readsOnly(in.Key) {
				q.free = append(q.free, i)
			}
		}
	}
	return q, nil
}

// Check implements Definition.
func (r *Route) Check(in *sinks.Shape) (*sinks.Shape, Faults) {
	q, err := r.work(in)
	if err != nil {
		return in, faulty("", err)
	}
	var faults Faults
	if len(q.free) > 0 {
		faults = append(faults, needsDifferences("", ""))
	}
	if q.table != nil && len(q.table.columns) > 0 && len(r.config.Targets) == 0 {
		faults = append(faults, Fault{Path: "table", Offset: -1, Warning: true, Message: "depends on columns, so a TRUNCATE or a sweep does not know where to go and is an error; list all tables under targets"})
	}
	return in, faults
}

// New implements Definition.
func (r *Route) New() processors.Step {
	return &route{of: r, plans: newPlans(r.work), targets: map[target]*sinks.Origin{}}
}

type route struct {
	of      *Route
	plans   *plans[*routing]
	scope   scope
	targets map[target]*sinks.Origin
}

// target is where a table of the source goes.
type target struct {
	from         *sinks.Origin
	table, topic string
}

// Process implements processors.Step.
func (r *route) Process(_ context.Context, c *processors.Change, _ processors.State, emit processors.Emit) error {
	q, err := r.plans.of(c.Columns())
	if err != nil {
		return err
	}
	if c.Op == cdc.OpTruncate {
		return r.whole(c, q, emit)
	}
	if c.Op == cdc.OpUpdate && len(q.free) > 0 {
		changed, known := c.Changed(q.free)
		if !known {
			return unknownOld("the route", c.After.Columns.Columns[q.free[0]].Name)
		}
		if changed {
			return r.move(c, q, emit)
		}
	}
	if c.Target, err = r.find(c, q, c.Row()); err != nil {
		return err
	}
	return emit(c)
}

// move hands on an update of columns that the target follows from.
func (r *route) move(c *processors.Change, q *routing, emit processors.Emit) error {
	from, err := r.find(c, q, c.Before)
	if err != nil {
		return err
	}
	to, err := r.find(c, q, c.After)
	if err != nil {
		return err
	}
	if *from != *to {
		return moved(c, c.Before, from, to, emit)
	}
	c.Target = to
	return emit(c)
}

// whole sends a change of a table where its rows may be.
func (r *route) whole(c *processors.Change, q *routing, emit processors.Emit) error {
	refuse := func(why, next string) error {
		return &sinks.RecordError{Class: sinks.ClassMapping, Reason: "a TRUNCATE or a sweep of " + c.Source.Origin.String() + " cannot be routed: " + why, Next: next}
	}
	switch {
	case r.of.config.Merge:
		return refuse("several tables go to its target, and it would end the rows of all", "delete the rows of this table from the target")
	case (q.table != nil) == (r.of.table != nil) && (q.topic != nil) == (r.of.topic != nil):
		var err error
		if c.Target, err = r.find(c, q, processors.Row{}); err != nil {
			return err
		}
		return emit(c)
	case len(r.of.config.Targets) == 0:
		return refuse("its rows go by their columns", "list all tables that route.table can give under route.targets; then replay the record")
	}
	var all []*processors.Change
	for _, table := range r.of.config.Targets {
		d := c.Clone()
		var err error
		if d.Target, err = r.target(c, table, c.Target.Topic); err != nil {
			return err
		}
		all = append(all, d)
	}
	for _, d := range all {
		if err := emit(d); err != nil {
			return err
		}
	}
	return nil
}

// find is where a row of c goes.
func (r *route) find(c *processors.Change, q *routing, row processors.Row) (*sinks.Origin, error) {
	table, topic := "", c.Target.Topic
	var err error
	if q.table != nil {
		if table, err = r.name(c, q.table, row, r.of.table, "table"); err != nil {
			return nil, err
		}
	}
	if q.topic != nil {
		if topic, err = r.name(c, q.topic, row, r.of.topic, "topic"); err != nil {
			return nil, err
		}
	}
	return r.target(c, table, topic)
}

func (r *route) name(c *processors.Change, p *program, row processors.Row, e *Expression, what string) (string, error) {
	v, err := p.run(&r.scope, c, row)
	var missing *processors.UnavailableError
	switch {
	case errors.As(err, &missing) && c.Op != cdc.OpUpdate && c.Op != cdc.OpCreate:
		return "", unknownOld("the route", missing.Column)
	case err != nil:
		return "", evaluation(what, e, err)
	case v.kind != kindText || len(v.b) == 0:
		return "", fmt.Errorf("%s: %s gives no name", what, e)
	}
	return string(v.b), nil
}

// target makes the target of a name, once.
func (r *route) target(c *processors.Change, table, topic string) (*sinks.Origin, error) {
	id := target{c.Target, table, topic}
	if o := r.targets[id]; o != nil {
		return o, nil
	}
	o := *c.Target
	o.Topic = topic
	if table != "" {
		if listed := r.of.config.Targets; len(listed) > 0 && !contains(listed, table) {
			return nil, &sinks.RecordError{Class: sinks.ClassMapping, Reason: "route.table gives a table that is not under route.targets", Next: "add it there; then replay the record"}
		}
		if schema, name, ok := strings.Cut(table, "."); ok {
			o.Schema, o.Table = schema, name
		} else {
			o.Table = table
		}
	}
	if err := r.of.feed(c.Source.Origin, &o); err != nil {
		return nil, err
	}
	if len(r.targets) >= maxTargets {
		clear(r.targets)
	}
	r.targets[id] = &o
	return &o, nil
}

// maxTargets bounds how many targets a partition remembers.
const maxTargets = 10_000

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// feed notes that a table goes to a target, and refuses a second one: a TRUNCATE of
// one would end the rows of both.
func (r *Route) feed(from, to *sinks.Origin) error {
	source := from.Name + "/" + from.Database + "/" + from.String()
	name := to.Topic + "/" + to.String()
	if r.table != nil {
		name = to.String()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if known, ok := r.fed[name]; ok && known != source && !r.config.Merge {
		return &sinks.RecordError{
			Class:  sinks.ClassMapping,
			Reason: fmt.Sprintf("tables %s and %s both go to %s, where a TRUNCATE of one would end the rows of both", known, source, name),
			Next:   "set route.merge: true, which makes a TRUNCATE an error instead",
		}
	}
	if len(r.fed) >= maxTargets {
		clear(r.fed)
	}
	r.fed[name] = source
	return nil
}
