package processors_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/tailrace/tailrace/processors"
	"github.com/tailrace/tailrace/processors/steps"
	"github.com/tailrace/tailrace/sinks/postgres"
)

// counting numbers all changes of its partition in the column note.
var counting = processors.StepFunc(func(ctx context.Context, c *processors.Change, s processors.State, emit processors.Emit) error {
	n, _, err := s.Get(ctx, processors.EntityState("all"))
	if err != nil {
		return err
	}
	n = append(slices.Clone(n), '+')
	if name, _ := c.Row().Text("name"); name == "refused by the step" {
		return errors.Join(s.Put(ctx, processors.EntityState("all"), []byte("lost")), errors.New("refused"))
	}
	if err := s.Put(ctx, processors.EntityState("all"), n); err != nil {
		return err
	}
	if err := c.Set("note", processors.Text(string(n))); err != nil {
		return err
	}
	return emit(c)
})

func stateful(step processors.Step) option {
	return func(s *setup) {
		s.config.Stateful = true
		s.config.Steps = []processors.StepConfig{{Name: "count", Stateful: true, New: func() processors.Step { return step }}}
	}
}

// State, rows and offset are one transaction of the sink: it is there after a restart,
// a duplicate does not come to the steps, and what the step or the sink refuses leaves
// no trace in it.
func TestStateInTheSinkCommitsWithTheRows(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.publish(w.put(1, 1, "one", "", 1), w.put(2, 2, "refused by the step", "", 2), w.put(3, 3, "three", "", 3))
	p := w.start(stateful(counting))
	w.reach(0, 3)
	w.wantRows(map[int]row{1: {"one", "+", "1"}, 3: {"three", "++", "3"}})
	p.stop()
	w.publish(w.put(3, 3, "three", "", 3), w.wide(4, 4, "99999999999"), w.put(5, 5, "five", "", 5))
	p = w.start(stateful(counting), func(s *setup) { s.sink.Schema = postgres.SchemaNone })
	w.reach(0, 6)
	w.wantRows(map[int]row{1: {"one", "+", "1"}, 3: {"three", "++", "3"}, 5: {"five", "+++", "5"}})
	p.wantCounters(map[string]int{"applied": 1, "dead_lettered": 1, "duplicate": 1})
	if got := w.value("SELECT count(*)::text FROM tailrace.state"); got == "0" {
		t.Error("the sink has no state")
	}
}

// Under stop, nothing behind the record has left a trace in the state.
func TestStateInTheSinkKnowsNothingBehindAStop(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.publish(w.put(1, 1, "one", "", 1), w.put(2, 2, "refused by the step", "", 2), w.put(3, 3, "three", "", 3))
	p := w.start(stateful(counting), func(s *setup) { s.config.OnPoison = processors.PolicyStop })
	p.wantStopped("a record cannot be applied")
	w.reach(0, 1)
	p.stop()
	w.start(stateful(counting), func(s *setup) { s.config.OnPoison = processors.PolicySkip })
	w.reach(0, 3)
	w.wantRows(map[int]row{1: {"one", "+", "1"}, 3: {"three", "++", "3"}})
}

// Topics whose partitions differ in number would have the rows of one entity with
// different owners.
func TestTopicsThatShareStateMustAgreeInTheirPartitions(t *testing.T) {
	t.Parallel()
	w := newLogWorld(t, 2)
	if _, err := kadm.NewClient(w.client).CreateTopic(t.Context(), 3, 1, nil, "shop.public.others"); err != nil {
		t.Fatal(err)
	}
	p := w.startLog(func(s *logSetup) {
		s.config.Stateful = true
		s.consumer.Topics = append(s.consumer.Topics, "shop.public.others")
	})
	p.wantStopped("different numbers of partitions")
}

// Two topics of one entity become one document, in a topic of its own, with versions
// of its own, and come back after a restart.
func TestLogLatestOfTwoTopics(t *testing.T) {
	t.Parallel()
	w := newLogWorld(t, 1, "shop.public.others")
	latest, err := steps.NewLatest(steps.LatestConfig{Table: "docs.items"})
	if err != nil {
		t.Fatal(err)
	}
	with := func(s *logSetup) {
		s.config.Stateful = true
		s.config.Steps = steps.Build([]steps.Config{{Name: "latest", Step: latest}})
		s.consumer.Topics = []string{topic, "shop.public.others"}
	}
	other := *table
	other.Name = "others"
	w.publish(w.put(1, 1, "one", "x", 1))
	p := w.startLog(with)
	w.reachLog(topic, 0, 1)
	w.publishTo("shop.public.others", w.change(&other, 2, 'c', text("1"), text("uno"), text("y"), text("2")))
	w.reachLog("shop.public.others", 0, 1)
	p.stop()
	w.publish(w.put(1, 1, "one", "x", 1), w.del(3, 1))
	w.startLog(with)
	w.reachLog(topic, 0, 3)
	got := w.said("out.items")
	want := []string{
		`c 1,{"public.items":[{"id":1,"name":"one","note":"x","amount":1}]}`,
		`u 1,{"public.items":[{"id":1,"name":"one","note":"x","amount":1}],"public.others":[{"id":1,"name":"uno","note":"y","amount":2}]}`,
		`u 1,{"public.others":[{"id":1,"name":"uno","note":"y","amount":2}]}`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for i, o := range w.outputs("out.items") {
		if want := at(i + 1).String(); o.pos != want {
			t.Errorf("version of document %d: got %s, want %s", i, o.pos, want)
		}
	}
}

// Dead letters of a pipeline with state are applied again through gate, steps and state:
// a parked row goes on in order, and one that is older than what its row has is
// superseded unless it is forced. What fails again leaves nothing in the state.
func TestStateInTheSinkReplaysDeadLetters(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	refuses := true
	var mu sync.Mutex
	step := processors.StepFunc(func(ctx context.Context, c *processors.Change, s processors.State, emit processors.Emit) error {
		mu.Lock()
		defer mu.Unlock()
		if name, _ := c.Row().Text("name"); name == "bad" && refuses {
			return errors.Join(s.Put(ctx, processors.EntityState("all"), []byte("lost")), errors.New("refused"))
		}
		return counting(ctx, c, s, emit)
	})
	p := w.start(stateful(step), oneByOne)
	w.publish(w.put(1, 1, "one", "", 1), w.put(2, 1, "bad", "", 2), w.put(3, 1, "three", "", 3), w.put(4, 2, "two", "", 4))
	w.reach(0, 4)
	dead := w.dead(2)
	first := letterOf(t, dead[0])
	c := w.console()
	c.send(processors.DoReplay, first, first, nil)
	c.want(first.ID, processors.VerdictFailed, "fails again, and the row stays parked")
	w.wantRows(map[int]row{1: {"one", "+", "1"}, 2: {"two", "++", "4"}})
	mu.Lock()
	refuses = false
	mu.Unlock()
	c.send(processors.DoResolve, first, first, nil)
	c.want(letterOf(t, dead[1]).ID, processors.VerdictApplied, "")
	c.want(first.ID, processors.VerdictApplied, "")
	w.wantRows(map[int]row{1: {"three", "++++", "3"}, 2: {"two", "++", "4"}})
	// The row flows, and a relay's repetition of what was replayed is one.
	w.publish(w.put(2, 1, "bad", "", 2), w.put(3, 1, "three", "", 3), w.put(5, 1, "five", "", 5))
	w.reach(0, 7)
	w.wantRows(map[int]row{1: {"five", "+++++", "5"}, 2: {"two", "++", "4"}})
	p.wantCounters(map[string]int{"applied": 3, "dead_lettered": 1, "parked": 1, "stale": 1, "duplicate": 1})
}

// A dead letter that others have passed (on_poison: skip) is judged by what its row has.
func TestStateInTheSinkRefusesWhatIsSuperseded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	refuses := &atomic.Bool{}
	refuses.Store(true)
	step := processors.StepFunc(func(ctx context.Context, c *processors.Change, s processors.State, emit processors.Emit) error {
		if name, _ := c.Row().Text("name"); name == "bad" && refuses.Load() {
			return errors.New("refused")
		}
		return counting(ctx, c, s, emit)
	})
	w.start(stateful(step), skip)
	w.publish(w.put(1, 1, "one", "", 1), w.put(2, 1, "bad", "", 2), w.put(3, 1, "three", "", 3))
	w.reach(0, 3)
	first := letterOf(t, w.dead(1)[0])
	refuses.Store(false)
	c := w.console()
	c.send(processors.DoReplay, first, first, nil)
	c.want(first.ID, processors.VerdictSuperseded, "later change")
	w.wantRows(map[int]row{1: {"three", "++", "3"}})
	c.send(processors.DoReplay, first, first, func(c *processors.Command) { c.Force = true })
	c.want(first.ID, processors.VerdictApplied, "")
	w.wantRows(map[int]row{1: {"bad", "+++", "2"}})
	w.publish(w.put(3, 1, "three", "", 3), w.put(4, 1, "four", "", 4))
	w.reach(0, 5)
	w.wantRows(map[int]row{1: {"four", "++++", "4"}})
}

// Changes of rows that may have been deleted long ago are dead letters, however many
// they are: they say nothing of the sink.
func TestManyLateChangesAreNoFaultOfTheSink(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.publish(w.put(1, 1, "one", "x", 1))
	w.start()
	w.reach(0, 1)
	w.exec(fmt.Sprintf(`INSERT INTO tailrace.expired VALUES ('p', '"public"."items"', 0, 1, '%s')`, at(100)))
	var late []record
	for id := range 30 {
		late = append(late, w.put(50, 100+id, "late", "x", 1))
	}
	w.publish(append(late, w.put(60, 1, "known", "x", 1), w.put(101, 2, "newer", "x", 1))...)
	w.reach(0, 33)
	if l := letterOf(t, w.dead(30)[0]); l.Code != "late" || l.Class != "unknown" {
		t.Errorf("class %s, code %s", l.Class, l.Code)
	}
	w.wantRows(map[int]row{1: {"known", "x", "1"}, 2: {"newer", "x", "1"}})
}
