package processors

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/processors/state"
	"github.com/tailrace/tailrace/sinks"
)

var lineShape = &sinks.Shape{Key: []int{0}, Columns: []sinks.Column{{Name: "id", Type: sinks.Int64}, {Name: "name"}}}

var lineOrigin = &sinks.Origin{Topic: "shop.public.items", Name: "shop", Database: "shop", Schema: "public", Table: "items"}

// lineItem is a change of row id as the decoder gives it to a line.
func lineItem(n int, op cdc.Op, id, name string) item {
	pos := cdc.Position{Epoch: 1, LSN: cdc.LSN(n), Ordinal: 1}
	it := item{
		message: &kafka.Message{Offset: int64(n), Key: []byte(id)}, keyed: true, pos: pos.String(), extra: &extra{source: SourceInfo{Origin: lineOrigin}},
		change: &sinks.Change{Op: op, Origin: lineOrigin, Position: pos, Pos: pos.String(), Shape: lineShape, Row: []cdc.Value{Text(id), Text(name)}},
	}
	if op == cdc.OpDelete {
		it.change.Row[1] = cdc.Value{State: cdc.Absent}
	}
	it.change.Key = sinks.RowKey(it.change.Row[:1])
	it.entity = it.change.Key
	return it
}

func runLine(t *testing.T, store *state.Memory, items []item, steps ...StepFunc) *line {
	t.Helper()
	var configs []StepConfig
	for i, s := range steps {
		configs = append(configs, StepConfig{Name: fmt.Sprintf("step%d", i), New: func() Step { return s }})
	}
	l := newLine(configs, store, &arena{})
	if err := l.batch(t.Context(), items, parked{}, true); err != nil {
		t.Fatal(err)
	}
	return l
}

// given are the changes that an item gives the sink, in a line each.
func given(it *item) string {
	if it.fault != nil {
		return fmt.Sprintf("fault %s %s: %s", it.step(), it.fault.Class, it.fault.Reason)
	}
	if it.filtered {
		return "filtered"
	}
	var lines []string
	for _, c := range append([]*sinks.Change{it.change}, it.extra.more...) {
		line := fmt.Sprintf("%s %s %s %s", c.Op, c.Origin, c.Key, c.Pos[len(it.pos):])
		for i := range c.Row {
			switch c.Row[i].State {
			case cdc.Text:
				line += " " + c.Shape.Columns[i].Name + "=" + string(c.Row[i].Data)
			case cdc.Null:
				line += " " + c.Shape.Columns[i].Name + "=null"
			}
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func wantGiven(t *testing.T, it *item, want string) {
	t.Helper()
	if got := given(it); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func pass(_ context.Context, c *Change, _ State, emit Emit) error { return emit(c) }

func TestOneRecordGivesOneChangeWithoutCost(t *testing.T) {
	it := lineItem(1, cdc.OpUpdate, "7", "seven")
	before := it.change
	l := newLine([]StepConfig{{Name: "a", New: func() Step { return StepFunc(pass) }}, {Name: "b", New: func() Step { return StepFunc(pass) }}}, nil, &arena{})
	items := []item{it}
	run := func() {
		if err := l.batch(t.Context(), items, parked{}, true); err != nil {
			t.Fatal(err)
		}
	}
	run()
	wantGiven(t, &items[0], `u public.items ["7"]  id=7 name=seven`)
	if items[0].change != before {
		t.Error("the record's own change was not used")
	}
	if n := testing.AllocsPerRun(100, run); n > 0 {
		t.Errorf("%v allocations for a record that steps pass on", n)
	}
}

func TestWhatOneRecordGivesSharesItsPosition(t *testing.T) {
	t.Parallel()
	items := []item{lineItem(1, cdc.OpUpdate, "7", "a,b,c")}
	runLine(t, nil, items, func(_ context.Context, c *Change, _ State, emit Emit) error {
		names, err := c.After.Text("name")
		if err != nil {
			return err
		}
		for i, name := range strings.Split(names, ",") {
			d := c.Clone()
			if err := errors.Join(d.Set("id", Text(fmt.Sprintf("7-%d", i))), d.Set("name", Text(name))); err != nil {
				return err
			}
			if err := emit(d); err != nil {
				return err
			}
		}
		return nil
	}, pass)
	wantGiven(t, &items[0], `u public.items ["7-0"]  id=7-0 name=a
u public.items ["7-1"] /0001 id=7-1 name=b
u public.items ["7-2"] /0002 id=7-2 name=c`)
}

// The sink takes two changes of a row with one position for a repetition.
func TestChangesOfOneRowFromOneRecordAreMadeOne(t *testing.T) {
	t.Parallel()
	unknown := cdc.Value{State: cdc.Unchanged}
	emitAll := func(names ...cdc.Value) StepFunc {
		return func(_ context.Context, c *Change, _ State, emit Emit) error {
			for _, v := range names {
				d := c.Clone()
				if v.State == cdc.Absent {
					d.Remove()
				} else if err := d.Set("name", v); err != nil {
					return err
				}
				if err := emit(d); err != nil {
					return err
				}
			}
			return nil
		}
	}
	gone := cdc.Value{State: cdc.Absent}
	for _, test := range []struct {
		names []cdc.Value
		want  string
	}{
		{[]cdc.Value{Text("a"), Text("b")}, `u public.items ["7"] /0001 id=7 name=b`},
		{[]cdc.Value{Text("a"), unknown}, `u public.items ["7"] /0001 id=7 name=a`},
		{[]cdc.Value{gone, Text("b")}, `u public.items ["7"] /0001 id=7 name=b`},
		{[]cdc.Value{Text("a"), gone}, `d public.items ["7"] /0001 id=7`},
		{[]cdc.Value{gone, unknown}, "fault step0 mapping: the steps delete a row and then change some of its columns"},
	} {
		items := []item{lineItem(1, cdc.OpUpdate, "7", "seven")}
		runLine(t, nil, items, emitAll(test.names...))
		wantGiven(t, &items[0], test.want)
	}
}

func TestAFailureTakesEverythingOfItsRecordBack(t *testing.T) {
	t.Parallel()
	store := state.NewMemory()
	fails := func(how func(emit Emit, c *Change) error) StepFunc {
		return func(ctx context.Context, c *Change, s State, emit Emit) error {
			if err := s.Put(ctx, c.RowState(), []byte("seen")); err != nil {
				return err
			}
			if id, _ := c.After.Text("id"); id != "7" {
				return emit(c)
			}
			return how(emit, c)
		}
	}
	for _, test := range []struct {
		name string
		how  func(emit Emit, c *Change) error
		last StepFunc
		want string
	}{
		{"after emitting", func(emit Emit, c *Change) error { return errors.Join(emit(c), errors.New("too late")) }, pass, "fault step0 mapping: too late"},
		{"panic", func(Emit, *Change) error { var none []int; return fmt.Errorf("%d", none[3]) }, pass, "fault step0 mapping: the step panicked: runtime error: index out of range [3] with length 0"},
		{"panic with a value", func(_ Emit, c *Change) error { panic(string(c.After.Values[1].Data)) }, pass, "fault step0 mapping: the step panicked (string)"},
		{"the error of emit is kept back", func(emit Emit, c *Change) error { _ = emit(c); return nil },
			func(context.Context, *Change, State, Emit) error { return errors.New("inner") }, "fault step1 mapping: inner"},
		{"panic behind", func(emit Emit, c *Change) error { return emit(c) },
			func(context.Context, *Change, State, Emit) error { panic(errors.New("x")) }, "fault step1 mapping: the step panicked (*errors.errorString)"},
		{"unknown value", func(_ Emit, c *Change) error {
			c.After.Values[1] = cdc.Value{State: cdc.Unchanged}
			_, err := c.After.Text("name")
			return err
		}, pass, `fault step0 missing_base: the record does not carry column "name", which is stored apart and was not changed; ALTER TABLE … REPLICA IDENTITY FULL at the source makes it`},
		{"a class of its own", func(Emit, *Change) error { return &sinks.RecordError{Class: sinks.ClassTooLarge, Reason: "big"} }, pass, "fault step0 too_large: big"},
		{"no key", func(emit Emit, c *Change) error { return errors.Join(c.Set("id", Null), emit(c)) }, pass, `fault step1 mapping: key column "id" of the row is null or not known after the steps`},
		{"no row", func(emit Emit, c *Change) error { c.Op = cdc.OpDelete; return emit(c) }, pass, "fault step1 mapping: a step emitted op d without its row"},
		{"a truncate of its own", func(emit Emit, c *Change) error { c.Op = cdc.OpTruncate; return emit(c) }, pass, "fault step1 mapping: a step made a change of a row one of a table, or the reverse"},
	} {
		items := []item{lineItem(1, cdc.OpUpdate, "6", "six"), lineItem(2, cdc.OpUpdate, "7", "seven"), lineItem(3, cdc.OpUpdate, "8", "eight")}
		last := test.last
		l := runLine(t, store, items, fails(test.how), func(ctx context.Context, c *Change, s State, emit Emit) error {
			if id, _ := c.After.Text("id"); id == "7" {
				return last(ctx, c, s, emit)
			}
			return emit(c)
		})
		if got := given(&items[1]); got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
		wantGiven(t, &items[0], `u public.items ["6"]  id=6 name=six`)
		wantGiven(t, &items[2], `u public.items ["8"]  id=8 name=eight`)
		var keys []string
		for _, e := range l.overlay.Changes() {
			keys = append(keys, e.Key.Key)
		}
		if got := strings.Join(keys, " "); got != `["6"] ["8"]` {
			t.Errorf("%s: state of %s, want that of rows 6 and 8", test.name, got)
		}
	}
}

func TestAnErrorThatMayPassIsNotTheRecords(t *testing.T) {
	t.Parallel()
	items := []item{lineItem(1, cdc.OpUpdate, "7", "seven")}
	l := newLine([]StepConfig{{Name: "s", New: func() Step {
		return StepFunc(func(context.Context, *Change, State, Emit) error { return TryAgain(errors.New("the service is away")) })
	}}}, nil, &arena{})
	if err := l.batch(t.Context(), items, parked{}, true); err == nil || items[0].fault != nil {
		t.Errorf("got %v, fault %v; want an error of the batch", err, items[0].fault)
	}
}

func TestStateIsTheStepsOwnAndFollowsTheBatch(t *testing.T) {
	t.Parallel()
	store := state.NewMemory()
	count := func(ctx context.Context, c *Change, s State, emit Emit) error {
		n, ok, err := s.Get(ctx, EntityState("all"))
		if err != nil {
			return err
		}
		if !ok {
			n = []byte{'0'}
		}
		if err := s.Put(ctx, EntityState("all"), []byte{n[0] + 1}); err != nil {
			return err
		}
		return emit(c)
	}
	twice := func(ctx context.Context, c *Change, s State, emit Emit) error {
		return errors.Join(s.Put(ctx, EntityState("all"), []byte("other")), emit(c))
	}
	items := []item{lineItem(1, cdc.OpUpdate, "7", "a"), lineItem(2, cdc.OpUpdate, "7", "b")}
	l := runLine(t, store, items, count, twice)
	if n := len(store.List()); n != 0 {
		t.Errorf("the store has %d values before the batch is durable", n)
	}
	l.applied()
	var got []string
	for _, e := range store.List() {
		got = append(got, fmt.Sprintf("%s %s=%s", e.Key.Step, e.Key.Key, e.Value))
	}
	if want := "step0 all=2, step1 all=other"; strings.Join(got, ", ") != want {
		t.Errorf("got %s, want %s", strings.Join(got, ", "), want)
	}
}

// With state, a record that stands behind a poison record of its row must leave
// nothing in it: it is diverted.
func TestDivertedRecordsDoNotRun(t *testing.T) {
	t.Parallel()
	items := []item{lineItem(1, cdc.OpUpdate, "7", "a"), lineItem(2, cdc.OpUpdate, "7", "b"), lineItem(3, cdc.OpUpdate, "8", "c")}
	items[0].fault = &sinks.RecordError{Class: sinks.ClassConstraint, Reason: "refused by the sink"}
	l := runLine(t, state.NewMemory(), items, func(ctx context.Context, c *Change, s State, emit Emit) error {
		return errors.Join(s.Put(ctx, c.RowState(), []byte("x")), emit(c))
	})
	if changes := l.overlay.Changes(); len(changes) != 1 || changes[0].Key.Key != `["8"]` {
		t.Errorf("state: got %v, want that of row 8 alone", changes)
	}
}

func TestFloorsPassStepsAsChangesOfTables(t *testing.T) {
	t.Parallel()
	it := lineItem(1, cdc.OpTruncate, "", "")
	it.change.Floor, it.change.Row, it.change.Key, it.keyed = &sinks.Floor{Pos: "x", Sweep: true, Partitions: 3}, nil, "", false
	items := []item{it}
	runLine(t, nil, items, func(_ context.Context, c *Change, _ State, emit Emit) error {
		if !c.Sweep() || c.Row().Exists() || c.Columns() != nil {
			return errors.New("not seen as a sweep")
		}
		c.Remove() // says nothing of a table
		if _, err := c.Row().Text("id"); !errors.Is(err, ErrNoRow) {
			return err
		}
		return emit(c)
	})
	if c := items[0].change; items[0].fault != nil || c.Op != cdc.OpTruncate || c.Floor == nil || c.Floor.Partitions != 3 {
		t.Errorf("got %+v, %v", c, items[0].fault)
	}
}

func TestOutcomeOfARecordWithSeveralChanges(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		a, b, want sinks.Outcome
	}{
		{sinks.Applied, sinks.Stale, sinks.Applied}, {sinks.Duplicate, sinks.Applied, sinks.Applied},
		{sinks.Stale, sinks.Duplicate, sinks.Stale}, {sinks.Duplicate, sinks.Duplicate, sinks.Duplicate},
	} {
		if got := outcomeOf(test.a, test.b); got != test.want {
			t.Errorf("%s and %s: got %s", test.a, test.b, got)
		}
	}
}
