package processors

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/processors/state"
	"github.com/tailrace/tailrace/sinks"
)

// line is the steps of one partition. It is not safe for concurrent use.
//
// What can go wrong, and what is done about it:
//
//   - a step fails on a record after it, or a step before it, has emitted: all
//     that the record gave is dropped, with what it wrote into the state;
//   - a step does not return the error of emit: the record fails nevertheless;
//   - a step panics: the record fails, the step is named, the process goes on;
//   - a record gives several changes: they share its fate in the sink. A refusal
//     of one is a refusal of the record, so that none of them stands alone there;
//   - two of them are about one target row: they have one position in the eyes of
//     the sink, which would take the second for a repetition. They are made one
//     here, in their order;
//   - a record stands behind one of its row in the dead-letter topic: it is diverted
//     and does not run, so that it leaves nothing in the state;
//   - a record fails in the sink and the batch is planned again: without state the
//     steps need not run again, so what they gave is kept beside the record. With
//     state all of the batch runs again without that record and those behind it.
type line struct {
	steps []station
	arena *arena // of the decoder: rows live as long as the batch

	// store is nil in a pipeline without state; overlay is that of the batch.
	store   *state.Memory
	overlay *state.Overlay

	generation int64 // of the pipeline

	// Of a pipeline of two stages: entity says of which entity a row is, and handAt
	// which step gathers.
	entity   func(*Change) (string, error)
	handAt   int
	concerns func(*Change) bool

	// Of the record under way.
	ctx    context.Context // Emit has none of its own
	item   *item
	change Change
	key    []cdc.Value // of the record's row, as it came
	shape  *sinks.Shape
	was    []cdc.Value // the record's row and the one before, as they came
	given  int         // changes so far
	at     int         // the step whose code runs
	err    error       // the first
	blame  int         // the step that it came from
	fresh  []cdc.Value
}

// station is one step in a line.
type station struct {
	name  string
	step  Step
	state State
	emit  Emit
}

// extra is what an item has only in a pipeline with steps.
type extra struct {
	before []cdc.Value
	source SourceInfo
	more   []*sinks.Change // beyond item.change
	step   string          // that the fault came from
	// Of two stages: handed is what the first gives, entity what the second has.
	handed  []handed
	entity  string
	retract bool
	// generation is that of the record's partition in the first stage; 0: of this one.
	generation int64
}

// newLine makes the steps of one partition; nil for a pipeline without any.
func newLine(steps []StepConfig, store *state.Memory, a *arena) *line {
	if len(steps) == 0 {
		return nil
	}
	l := &line{arena: a, store: store, steps: make([]station, len(steps))}
	for i, c := range steps {
		s := &l.steps[i]
		s.name, s.step, s.state = c.Name, c.New(), noState{}
		s.emit = func(c *Change) error { return l.process(i+1, c) }
	}
	return l
}

// batch takes the items of a batch through the steps, but those that have a fault.
// rows are parked, and parks tells whether a fault parks its row. An error is not
// about a record: the batch is tried again.
func (l *line) batch(ctx context.Context, items []item, rows parked, parks bool) error {
	l.ctx = ctx
	if l.store != nil {
		l.over(state.NewOverlay(l.store))
	}
	var failed parked
	for i := range items {
		it := &items[i]
		if it.change == nil && it.fault == nil || diverted(rows, it) || diverted(failed, it) {
			continue
		}
		if it.fault == nil {
			if err := l.record(it); err != nil {
				return fmt.Errorf("step %s: %s: %w", l.steps[l.blame].name, it.place(), err)
			}
		}
		if it.fault != nil && it.keyed && parks {
			if failed == nil {
				failed = parked{}
			}
			failed[it.row()] = sinks.Park{Class: it.fault.Class}
		}
	}
	return nil
}

// over makes the steps write into an overlay.
func (l *line) over(o *state.Overlay) {
	l.overlay = o
	for i := range l.steps {
		l.steps[i].state = &stepState{step: l.steps[i].name, overlay: o}
	}
}

// diverted tells whether it stands behind a record of its row in the dead-letter
// topic, and does not resolve that one.
func diverted(rows parked, it *item) bool {
	if len(rows) == 0 || !it.keyed {
		return false
	}
	park, ok := rows[it.row()]
	return ok && !resolves(park, it)
}

// stateful tells whether a batch must run anew when a record of it is refused.
func (l *line) stateful() bool { return l != nil && l.store != nil }

// record takes one item through the steps.
func (l *line) record(it *item) error {
	mark := 0
	if l.overlay != nil {
		mark = l.overlay.Mark()
	}
	l.begin(it)
	l.guard()
	if l.err == nil {
		l.err = l.finish()
	}
	if l.err == nil {
		it.filtered = l.given == 0
		return nil
	}
	if l.overlay != nil {
		l.overlay.Rollback(mark)
	}
	it.extra.more, it.extra.handed, it.extra.step = nil, nil, l.steps[l.blame].name
	var again *retryError
	if errors.As(l.err, &again) || l.ctx.Err() != nil {
		return l.err
	}
	it.fault = faultOf(l.err)
	return nil
}

// faultOf is a step's error as what is wrong with the record. A new value that is
// not there is a missing base: the row's next full image resolves it by itself. An
// old one will be missing the next time, too.
func faultOf(err error) *sinks.RecordError {
	var fault *sinks.RecordError
	var missing *UnavailableError
	switch {
	case errors.As(err, &fault):
		return fault
	case errors.As(err, &missing) && !missing.Old:
		return &sinks.RecordError{Class: sinks.ClassMissingBase, Reason: err.Error()}
	}
	f := &sinks.RecordError{Class: sinks.ClassMapping, Reason: err.Error()}
	var panicked *panicError
	if errors.As(err, &panicked) {
		f.Stack = panicked.stack
	}
	return f
}

// panicError is the panic of a step, with the stack of it.
type panicError struct {
	error
	stack string
}

// begin makes the change of an item.
func (l *line) begin(it *item) {
	in := it.change
	l.item, l.given, l.at, l.err, l.blame = it, 0, 0, nil, len(l.steps)-1
	l.change = Change{Op: in.Op, Source: it.extra.source, Target: in.Origin, Position: in.Position, floor: in.Floor, line: l}
	l.key, l.was, l.shape = l.key[:0], l.was[:0], in.Shape
	if in.Floor != nil {
		return
	}
	l.was = append(append(l.was, in.Row...), it.extra.before...)
	if in.Op == cdc.OpDelete {
		l.change.Before = Row{in.Shape, it.extra.before}
		if it.extra.before == nil {
			l.change.Before.Values = in.Row
		}
	} else {
		l.change.After = Row{in.Shape, in.Row}
		l.change.Before = Row{in.Shape, it.extra.before}
	}
	l.key = keyOf(Row{in.Shape, in.Row}, l.key)
}

// guard runs the steps and takes their panics.
func (l *line) guard() {
	defer func() {
		if p := recover(); p != nil {
			// The panic's own text may hold a value of the row; what the runtime says of
			// itself does not, but for the keys of maps.
			l.err, l.blame = fmt.Errorf("the step panicked (%T)", p), l.at
			if e, ok := p.(interface {
				error
				RuntimeError()
			}); ok {
				l.err = fmt.Errorf("the step panicked: %w", e)
			}
			l.err = &panicError{l.err, string(debug.Stack())}
		}
	}()
	first := 0
	if l.item.extra.retract {
		first = l.handAt // of the row nothing but its key is known
	}
	_ = l.process(first, &l.change) // l.err has it
}

// process hands a change to step i, or to the sink behind the last.
func (l *line) process(i int, c *Change) error {
	if l.err != nil {
		return l.err
	}
	err, blame := error(nil), i-1
	switch {
	case i == len(l.steps):
		err = l.output(c)
	case l.entity != nil && i == l.handAt && l.item.extra.entity == "" && l.concerns(c):
		blame = i
		err = l.hand(c)
	default:
		l.at, blame = i, i
		err = l.steps[i].step.Process(l.ctx, c, l.steps[i].state, l.steps[i].emit)
		l.at = i - 1
	}
	if err != nil && l.err == nil {
		l.err, l.blame = err, blame
	}
	return l.err
}

// applied makes the state what the batch made of it, once that is durable.
func (l *line) applied() {
	if l != nil && l.overlay != nil {
		l.store.Apply(l.overlay.Changes())
	}
}
