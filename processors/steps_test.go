package processors_test

import (
	"context"
	"testing"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/processors"
	"github.com/tailrace/tailrace/processors/steps"
)

// withSteps makes the process have steps.
func withSteps(t *testing.T, list ...steps.Definition) option {
	t.Helper()
	var configs []steps.Config
	for i, d := range list {
		configs = append(configs, steps.Config{Name: []string{"first", "second", "third"}[i], Step: d})
	}
	return func(s *setup) { s.config.Steps = steps.Build(configs) }
}

func must[D steps.Definition](d D, err error) steps.Definition {
	if err != nil {
		panic(err)
	}
	return d
}

func TestStepsStandBetweenLogAndSink(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	gone := w.del(7, 3)
	w.publish(
		w.put(1, 1, "one", "x", 11), w.put(2, 2, "two", "x", 5), w.put(3, 3, "three", "x", 30),
		w.put(4, 1, "uno", "x", 3), // leaves the filter
		w.put(5, 2, "zwei", "x", 20),
		w.put(3, 3, "three", "x", 30), // delivered again
		w.put(6, 4, "four", "x", 0),   // an error: division by zero
		gone, tombstone(gone),
		w.put(8, 4, "four", "x", 50), // behind it
	)
	p := w.start(withSteps(t,
		must(steps.NewFilter("100 / row.amount < 10")),
		must(steps.NewMap(map[string]string{"note": `row.name + "/" + text(row.amount)`, "double": "row.amount * 2"})),
		must(steps.NewProject(steps.ProjectConfig{Drop: []string{"amount"}, Rename: map[string]string{"double": "amount"}})),
	))
	w.reach(0, 10)
	w.wantRows(map[int]row{2: {"zwei", "zwei/20", "40"}})
	p.wantCounters(map[string]int{"applied": 6, "duplicate": 1, "filtered": 1, "dead_lettered": 1, "parked": 1})
	dead := w.dead(2)
	if h := headers(dead[0]); h["dlq.step"] != "first" || h["dlq.class"] != "mapping" || h["dlq.entity"] != `["4"]` || h["dlq.op"] != "u" || h["dlq.version"] != at(6).String() {
		t.Errorf("dead letter: got %v", h)
	}
	if h := headers(dead[1]); h["dlq.parked"] != "true" || h["dlq.parked.behind"] != headers(dead[0])["dlq.id"] {
		t.Errorf("behind it: got %v", h)
	}
}

// A record that gives two changes is one to the sink: when it refuses one of them,
// the other is not written either, and a second delivery of it is a duplicate.
func TestChangesOfOneRecordShareItsFate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.exec(`CREATE TABLE public.items (id integer, name text PRIMARY KEY, note text, amount bigint CHECK (amount < 1000), _tailrace_gen bigint, _tailrace_pos text COLLATE "C")`)
	full := func(n int, old, name, amount string) record {
		r := w.change(items("int8"), n, cdc.OpUpdate, text("1"), text(name), text("x"), text(amount))
		e := &cdc.Envelope{Op: cdc.OpUpdate, Before: []cdc.Value{text("1"), text(old), text("x"), text("1")}, After: []cdc.Value{text("1"), text(name), text("x"), text(amount)}, Tx: &cdc.Transaction{CommitLSN: cdc.LSN(n)}, LSN: cdc.LSN(n)}
		value, err := w.plan(items("int8")).AppendValue(nil, e)
		if err != nil {
			t.Fatal(err)
		}
		r.value = value
		return r
	}
	byName := must(steps.NewProject(steps.ProjectConfig{Key: []string{"name"}}))
	moves := full(2, "a", "b", "2")
	w.publish(w.change(items("int8"), 1, cdc.OpCreate, text("1"), text("a"), text("x"), text("1")), moves, moves, full(3, "b", "c", "5000"))
	p := w.start(withSteps(t, byName), func(s *setup) { s.config.OnPoison = processors.PolicySkip })
	w.reach(0, 4)
	w.wantRows(map[int]row{1: {"b", "x", "2"}})
	if got := w.value("SELECT _tailrace_pos FROM public.items"); got != at(2).String()+"/0001" {
		t.Errorf("position of the second change: got %s", got)
	}
	p.wantCounters(map[string]int{"applied": 2, "duplicate": 1, "dead_lettered": 1})
	if h := headers(w.dead(1)[0]); h["dlq.step"] != "sink" || h["dlq.class"] != "constraint" {
		t.Errorf("dead letter: got %v", h)
	}
}

// When most rows of a batch fail, the step is to blame: nothing is dead-lettered,
// and the batch passes once the step does.
func TestAStepThatFailsForAllIsSystemic(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	var records []record
	for i := range 40 {
		records = append(records, w.put(i+1, i, "x", "x", 1))
	}
	w.publish(records...)
	calls := make(chan struct{}, 200)
	p := w.start(func(s *setup) {
		s.config.Steps = []processors.StepConfig{{Name: "picky", New: func() processors.Step {
			n := 0
			return processors.StepFunc(func(_ context.Context, c *processors.Change, _ processors.State, emit processors.Emit) error {
				if n++; n <= 40 {
					calls <- struct{}{}
					panic("not ready")
				}
				return emit(c)
			})
		}}}
	})
	w.reach(0, 40)
	if len(calls) != 40 {
		t.Errorf("the step failed %d times, want 40", len(calls))
	}
	if got := w.value("SELECT count(*)::text FROM public.items"); got != "40" {
		t.Errorf("rows: got %s, want 40", got)
	}
	p.wantCounters(map[string]int{"applied": 40})
}
