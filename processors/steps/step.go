package steps

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"sync"

	"github.com/tailrace/tailrace/processors"
	"github.com/tailrace/tailrace/sinks"
)

// Definition is a step as a configuration has it. It is immutable; New may be
// called by several goroutines.
type Definition interface {
	// New makes the step of one partition.
	New() processors.Step
	// Check says what the step makes of rows of a shape: their shape behind it, nil
	// when that cannot be said, and what is wrong with the step for such rows. It is
	// what lint asks, without any row.
	Check(in *sinks.Shape) (out *sinks.Shape, faults Faults)
}

// Config is one step of a pipeline.
type Config struct {
	Name string // as in processors.StepConfig
	// Tables are patterns of schema.table at the source; * stands for any part of a
	// name. Changes of other tables pass the step by. None: all tables.
	Tables []string
	Step   Definition
}

// Build makes the steps of a pipeline ready for the runtime.
func Build(list []Config) []processors.StepConfig {
	out := make([]processors.StepConfig, len(list))
	for i, c := range list {
		kept, ok := c.Step.(interface{ Stateful() bool })
		out[i] = processors.StepConfig{Name: c.Name, New: c.Step.New, Stateful: ok && kept.Stateful()}
		if len(c.Tables) > 0 {
			out[i].New = func() processors.Step {
				return &scoped{patterns: c.Tables, step: c.Step.New(), known: map[*sinks.Origin]bool{}}
			}
		}
	}
	return out
}

// Check is what the step's Check says of rows of a table.
func (c *Config) Check(table string, in *sinks.Shape) (*sinks.Shape, Faults) {
	if s, ok := c.Step.(interface {
		CheckTable(table string, in *sinks.Shape) (*sinks.Shape, Faults)
	}); ok {
		return s.CheckTable(table, in)
	}
	return c.Step.Check(in)
}

// Concerns tells whether a step is about a table, named schema.table.
func (c *Config) Concerns(table string) bool { return len(c.Tables) == 0 || concerns(c.Tables, table) }

func concerns(patterns []string, table string) bool {
	for _, p := range patterns {
		if ok, _ := path.Match(p, table); ok {
			return true
		}
	}
	return false
}

// ValidPattern tells whether a pattern of Config.Tables can mean a table.
func ValidPattern(p string) error {
	if _, err := path.Match(p, ""); err != nil || strings.ContainsAny(p, `[]?\/`) {
		return errors.New("only * has a meaning in a pattern: any characters")
	}
	if strings.Count(p, ".") != 1 && p != "*" {
		return errors.New("want schema.table, as in public.orders or public.*")
	}
	return nil
}

// scoped is a step that some tables pass by.
type scoped struct {
	patterns []string
	step     processors.Step
	known    map[*sinks.Origin]bool
}

func (s *scoped) Process(ctx context.Context, c *processors.Change, st processors.State, emit processors.Emit) error {
	mine, ok := s.known[c.Source.Origin]
	if !ok {
		if len(s.known) >= maxPlans {
			clear(s.known)
		}
		mine = concerns(s.patterns, c.Source.Origin.String())
		s.known[c.Source.Origin] = mine
	}
	if !mine {
		return emit(c)
	}
	return s.step.Process(ctx, c, st, emit)
}

// maxPlans bounds how many versions of tables a step of a partition remembers.
const maxPlans = 512

// plans is what a step has worked out for each shape that it has met. Not safe for
// concurrent use.
type plans[T any] struct {
	work  func(*sinks.Shape) (T, error)
	known map[*sinks.Shape]planned[T]
	// Most changes come in runs of one table.
	last  *sinks.Shape
	plan  T
	fault error
}

type planned[T any] struct {
	plan T
	err  error
}

func newPlans[T any](work func(*sinks.Shape) (T, error)) *plans[T] {
	return &plans[T]{work: work, known: map[*sinks.Shape]planned[T]{}}
}

func (p *plans[T]) of(shape *sinks.Shape) (T, error) {
	if shape == p.last && shape != nil {
		return p.plan, p.fault
	}
	known, ok := p.known[shape]
	if !ok {
		if len(p.known) >= maxPlans {
			clear(p.known)
		}
		known.plan, known.err = p.work(shape)
		if known.err != nil {
			known.err = misfit(known.err)
		}
		p.known[shape] = known
	}
	p.last, p.plan, p.fault = shape, known.plan, known.err
	return known.plan, known.err
}

// misfit is a step that does not fit rows of a shape: a fault of the configuration,
// which every such record has.
func misfit(err error) error {
	return &sinks.RecordError{Class: sinks.ClassMapping, Reason: err.Error(), Next: "processor lint shows the place in the configuration"}
}

// shapes holds what a step makes of each shape, for all partitions: changes of one
// version of a table share a *sinks.Shape behind the step as before it. Safe for
// concurrent use.
type shapes struct {
	mu    sync.Mutex // guards the following
	known map[*sinks.Shape]*sinks.Shape
}

func newShapes() *shapes { return &shapes{known: map[*sinks.Shape]*sinks.Shape{}} }

// one returns the shape that was made of in first.
func (s *shapes) one(in, out *sinks.Shape) *sinks.Shape {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.known[in]; known != nil {
		return known
	}
	if len(s.known) >= maxPlans {
		clear(s.known)
	}
	s.known[in] = out
	return out
}

// evaluation is the error of an expression about a record.
func evaluation(what string, e *Expression, err error) error {
	var missing *processors.UnavailableError
	if errors.As(err, &missing) {
		return fmt.Errorf("%s: %w", what, missing)
	}
	return fmt.Errorf("%s: %s: %w", what, e, err)
}

func index(shape *sinks.Shape, column string) int {
	for i := range shape.Columns {
		if shape.Columns[i].Name == column {
			return i
		}
	}
	return -1
}

func columnNames(shape *sinks.Shape) []string {
	names := make([]string, len(shape.Columns))
	for i := range shape.Columns {
		names[i] = shape.Columns[i].Name
	}
	return names
}

// clocked warns of an expression that a replay evaluates to something else.
func clocked(p *program, path string) Faults {
	if !p.clock {
		return nil
	}
	return Faults{{Path: path, Offset: -1, Warning: true, Message: "reads the clock: a replay of the same records gives other values"}}
}

// faulty is err as the fault of a path.
func faulty(path string, err error) Faults {
	f := Fault{Path: path, Offset: -1, Message: err.Error()}
	var at *Fault
	if errors.As(err, &at) {
		f = *at
		if path != "" {
			f.Path = path
		}
	}
	return Faults{f}
}
