package steps

import (
	"context"
	"errors"
	"fmt"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/processors"
	"github.com/tailrace/tailrace/sinks"
)

// keying is the key's expression of a Latest for one shape.
type keying struct {
	program *program
	column  sinks.Column // whose text the key is
}

// byExpression tells whether rows of any table are gathered by an expression.
func (l *Latest) byExpression() bool { return l.key != nil || len(l.keys) > 0 }

// keyOf is the expression for rows of a table, nil for their record key, and where it
// stands in the configuration.
func (l *Latest) keyOf(table string) (e *Expression, path string) {
	if e := l.keys[table]; e != nil {
		return e, "keys." + table
	}
	return l.key, "key"
}

// keyingOf compiles a key's expression.
func keyingOf(e *Expression, path string) func(*sinks.Shape) (*keying, error) {
	return func(in *sinks.Shape) (*keying, error) {
		if in == nil {
			return nil, nil
		}
		p, err := e.compile(in)
		if err != nil {
			return nil, &faulty(path, err)[0]
		}
		if p.old || p.after || p.event || p.clock {
			return nil, &Fault{Path: path, Offset: 0, Message: "of which entity a row is follows from its columns and source alone"}
		}
		c, ok := columnOf("key", p.typ)
		if !ok {
			return nil, &Fault{Path: path, Offset: 0, Message: "of what type is it? text(nil), int(nil) and their like say so"}
		}
		return &keying{p, c}, nil
	}
}

// finder makes what says of which entity a row is, for one partition; nil where that is
// the record key of every row.
func (l *Latest) finder() func(*processors.Change) (string, error) {
	if !l.byExpression() {
		return nil
	}
	type tableKeys struct {
		e     *Expression
		plans *plans[*keying]
	}
	tables, within := map[*sinks.Origin]*tableKeys{}, &scope{}
	return func(c *processors.Change) (string, error) {
		t := tables[c.Source.Origin]
		if t == nil {
			e, path := l.keyOf(c.Source.Origin.String())
			if t = (&tableKeys{e: e}); e != nil {
				t.plans = newPlans(keyingOf(e, path))
			}
			if len(tables) >= maxPlans {
				clear(tables)
			}
			tables[c.Source.Origin] = t
		}
		if t.e == nil {
			return entityKey(c.Row()), nil
		}
		q, err := t.plans.of(c.Columns())
		if err != nil {
			return "", err
		}
		v, err := q.program.run(within, c, c.Row())
		if err != nil {
			return "", evaluation("key", t.e, err)
		}
		if v.null() {
			return "", nil
		}
		text, err := encode(nil, v, &q.column)
		if err != nil {
			return "", evaluation("key", t.e, err)
		}
		if len(text) > maxEntityKey {
			return "", fmt.Errorf("key: %s gives %d bytes, want at most %d", t.e, len(text), maxEntityKey)
		}
		return string(text), nil
	}
}

// maxEntityKey is how long an entity's key may be, in bytes: it stands in headers and in
// the keys of state.
const maxEntityKey = 1024

// move gathers by an expression where one owner has all rows: in a rehearsal. The row's
// entity is remembered, since a change need not carry what it was.
func (l *latest) move(ctx context.Context, c *processors.Change, s processors.State, emit processors.Emit) error {
	k := c.RowState()
	known, had, err := s.Get(ctx, k)
	if err != nil {
		return err
	}
	was, now := string(known), ""
	if c.Op != cdc.OpDelete {
		if now, err = l.find(c); err != nil {
			return err
		}
	}
	switch {
	case now == "" && had:
		err = s.Delete(ctx, k)
	case now != "" && now != was:
		err = s.Put(ctx, k, []byte(now))
	}
	if err != nil {
		return err
	}
	if had && was != now {
		gone := c.Clone()
		gone.Remove()
		if err := l.gather(ctx, gone, was, s, emit); err != nil {
			return err
		}
	}
	if now == "" {
		return nil
	}
	return l.gather(ctx, c, now, s, emit)
}

// Entities is what splits a pipeline whose rows are gathered by an expression in two
// stages; nil where none is. Topic and Partitions are left to the caller.
func Entities(list []Config) (*processors.EntityConfig, error) {
	var out *processors.EntityConfig
	for i, c := range list {
		l, ok := c.Step.(*Latest)
		if !ok || !l.byExpression() {
			if kept, ok := c.Step.(interface{ Stateful() bool }); ok && kept.Stateful() && out == nil {
				for _, later := range list[i+1:] {
					if l, ok := later.Step.(*Latest); ok && l.byExpression() {
						return nil, fmt.Errorf("%s: a step with state cannot stand before one that gathers by an expression; make two pipelines, with a topic between them", c.Name)
					}
				}
			}
			continue
		}
		if out != nil {
			return nil, errors.New(c.Name + ": one step of a pipeline can gather by an expression; make two pipelines, with a topic between them")
		}
		out = &processors.EntityConfig{
			At: i, Key: l.finder,
			Concerns: func(change *processors.Change) bool { return c.Concerns(change.Source.Origin.String()) },
		}
	}
	return out, nil
}
