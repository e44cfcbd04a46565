package steps

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/processors"
	"github.com/tailrace/tailrace/sinks"
)

// ProjectConfig chooses, names and types columns: first Keep or Drop, by the names
// as they come, then Rename, then Cast and Key, by the names as they are then.
//
// A column that a version of the table does not have is passed over: an older or
// newer record has other columns. Check calls it a fault.
type ProjectConfig struct {
	Keep   []string // names or patterns with *; the key's columns must be among them
	Drop   []string // likewise
	Rename map[string]string
	Cast   map[string]string // PostgreSQL's names of types: numeric(10,2), text, …
	Key    []string          // instead of the table's key
}

// Project is the step of a ProjectConfig.
type Project struct {
	config ProjectConfig
	casts  map[string]sinks.Column
	shapes *shapes
}

// NewProject checks what can be checked without a table. An error is a Faults.
func NewProject(c ProjectConfig) (*Project, error) {
	p := &Project{config: c, casts: map[string]sinks.Column{}, shapes: newShapes()}
	var faults Faults
	switch {
	case len(c.Keep) > 0 && len(c.Drop) > 0:
		faults = append(faults, Fault{Offset: -1, Message: "want keep or drop, found both"})
	case len(c.Keep)+len(c.Drop)+len(c.Rename)+len(c.Cast)+len(c.Key) == 0:
		faults = append(faults, Fault{Offset: -1, Message: "want one of keep, drop, rename, cast and key"})
	}
	for _, column := range slices.Sorted(maps.Keys(c.Cast)) {
		t, err := parseType(c.Cast[column])
		if err != nil {
			faults = append(faults, faulty("cast."+column, err)...)
		}
		p.casts[column] = t
	}
	return p, faults.orNil()
}

// projection is a Project for one shape.
type projection struct {
	out   *sinks.Shape
	from  []int // of each column of out, its place in the row that comes
	casts []func(*scope, []byte) ([]byte, error)
	same  bool // every column stays where it is, so that a row needs no copy
	// newKey are the new key's columns in the row that comes; nil: the key stays.
	newKey []int
}

func (p *Project) work(in *sinks.Shape) (*projection, error) {
	if in == nil { // a change of a table has no columns
		return nil, nil
	}
	out := &sinks.Shape{}
	q := &projection{}
	for i, c := range in.Columns {
		if !p.kept(c.Name) {
			continue
		}
		if name := p.config.Rename[c.Name]; name != "" {
			c.Name = name
		}
		if index(out, c.Name) >= 0 {
			return nil, fmt.Errorf("two columns are named %q", c.Name)
		}
		var convert func(*scope, []byte) ([]byte, error)
		if to, ok := p.casts[c.Name]; ok {
			to.Name = c.Name
			var err error
			if convert, err = caster(&c, &to); err != nil {
				return nil, err
			}
			c = to
		}
		out.Columns = append(out.Columns, c)
		q.from = append(q.from, i)
		q.casts = append(q.casts, convert)
	}
	q.same = len(q.from) == len(in.Columns) && !slices.ContainsFunc(q.casts, func(f func(*scope, []byte) ([]byte, error)) bool { return f != nil })
	if err := p.key(in, out, q); err != nil {
		return nil, err
	}
	q.out = p.shapes.one(in, out)
	return q, nil
}

// key finds the columns of the key behind the step.
func (p *Project) key(in, out *sinks.Shape, q *projection) error {
	if len(p.config.Key) == 0 {
		for _, k := range in.Key {
			at := slices.Index(q.from, k)
			if at < 0 {
				return fmt.Errorf("column %q is of the key and must stay, or key must name another key", in.Columns[k].Name)
			}
			out.Key = append(out.Key, at)
		}
		return nil
	}
	for _, name := range p.config.Key {
		at := index(out, name)
		if at < 0 {
			return fmt.Errorf("there is no column %q for the key%s", name, near(name, columnNames(out)))
		}
		out.Key = append(out.Key, at)
		q.newKey = append(q.newKey, q.from[at])
	}
	return nil
}

func (p *Project) kept(name string) bool {
	switch {
	case len(p.config.Keep) > 0:
		return slices.ContainsFunc(p.config.Keep, func(s string) bool { return fitsName(s, name) })
	case len(p.config.Drop) > 0:
		return !slices.ContainsFunc(p.config.Drop, func(s string) bool { return fitsName(s, name) })
	}
	return true
}

// fitsName tells whether a name fits a pattern, in which * is any characters.
func fitsName(pattern, name string) bool {
	head, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == name
	}
	if !strings.HasPrefix(name, head) {
		return false
	}
	for i := len(head); i <= len(name); i++ {
		if fitsName(rest, name[i:]) {
			return true
		}
	}
	return false
}

// Check implements Definition.
func (p *Project) Check(in *sinks.Shape) (*sinks.Shape, Faults) {
	var faults Faults
	missing := func(path, name string, among []string) {
		if !slices.ContainsFunc(among, func(have string) bool { return fitsName(name, have) }) {
			faults = append(faults, Fault{Path: path, Offset: -1, Message: fmt.Sprintf("there is no column %q%s", name, near(name, among))})
		}
	}
	for i, name := range p.config.Keep {
		missing(fmt.Sprintf("keep[%d]", i), name, columnNames(in))
	}
	for i, name := range p.config.Drop {
		missing(fmt.Sprintf("drop[%d]", i), name, columnNames(in))
	}
	for _, name := range slices.Sorted(maps.Keys(p.config.Rename)) {
		missing("rename."+name, name, columnNames(in))
	}
	q, err := p.work(in)
	if err != nil {
		return nil, append(faults, faulty("", err)...)
	}
	for _, name := range slices.Sorted(maps.Keys(p.config.Cast)) {
		missing("cast."+name, name, columnNames(q.out))
	}
	for i, k := range q.newKey {
		if !slices.Contains(in.Key, k) {
			faults = append(faults, needsDifferences(fmt.Sprintf("key[%d]", i), ""))
		}
	}
	return q.out, faults
}

// New implements Definition.
func (p *Project) New() processors.Step { return &project{plans: newPlans(p.work)} }

type project struct {
	plans *plans[*projection]
	scope scope
}

// Process implements processors.Step.
func (p *project) Process(_ context.Context, c *processors.Change, _ processors.State, emit processors.Emit) error {
	q, err := p.plans.of(c.Columns())
	if err != nil {
		return err
	}
	if q == nil {
		return emit(c)
	}
	moves := false
	if q.newKey != nil && c.Op == cdc.OpUpdate {
		changed, known := c.Changed(q.newKey)
		if !known {
			return unknownOld("the new key", q.out.Columns[q.out.Key[0]].Name)
		}
		moves = changed
	}
	if c.Op == cdc.OpDelete {
		for _, i := range q.newKey {
			if c.Before.Values[i].State == cdc.Absent {
				return unknownOld("the new key", c.Before.Columns.Columns[i].Name)
			}
		}
	}
	before, err := p.row(c, c.Before, q)
	if err != nil {
		return err
	}
	after, err := p.row(c, c.After, q)
	if err != nil {
		return err
	}
	c.Before, c.After = before, after
	if moves {
		return moved(c, before, c.Target, c.Target, emit)
	}
	return emit(c)
}

// row is a row behind the step.
func (p *project) row(c *processors.Change, in processors.Row, q *projection) (processors.Row, error) {
	if !in.Exists() {
		return processors.Row{}, nil
	}
	if q.same {
		return processors.Row{Columns: q.out, Values: in.Values}, nil
	}
	out := c.NewRow(q.out)
	for i, from := range q.from {
		v := in.Values[from]
		if convert := q.casts[i]; convert != nil && v.State == cdc.Text {
			p.scope.err = nil
			text, err := convert(&p.scope, v.Data)
			if err == nil {
				err = p.scope.err
			}
			if err != nil {
				return out, fmt.Errorf("cast of column %q: %w", q.out.Columns[i].Name, err)
			}
			v.Data = text
		}
		out.Values[i] = v
	}
	return out, nil
}
