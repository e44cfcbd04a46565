package processors_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/processors"
	"github.com/tailrace/tailrace/processors/steps"
)

const entityTopic = "tailrace.p.entity"

// gatherByNote gathers rows by their column note.
func (w *world) gatherByNote(before ...steps.Config) logOption {
	w.t.Helper()
	latest, err := steps.NewLatest(steps.LatestConfig{Table: "docs.items", Key: `row.note == "nobody" ? nil : row.note`})
	if err != nil {
		w.t.Fatal(err)
	}
	list := append(before, steps.Config{Name: "latest", Step: latest})
	entity, err := steps.Entities(list)
	if err != nil {
		w.t.Fatal(err)
	}
	internal, err := kafka.NewOutputs(kafka.Config{Brokers: []string{w.broker.Addr()}}, kafka.OutputsConfig{Create: true, Replication: 1})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(internal.Close)
	entity.Topic = entityTopic
	entity.Partitions = func(ctx context.Context, like int32) (int32, error) {
		return internal.Partitions(ctx, entityTopic, like)
	}
	return func(s *logSetup) {
		s.config.Stateful, s.config.Steps, s.config.Entity = true, steps.Build(list), entity
		s.consumer.Topics = append(slices.Clone(s.consumer.Topics), entityTopic)
	}
}

// documents are the last documents by key; it fails unless the versions of each are
// dense.
func (w *world) documents() map[string]string {
	w.t.Helper()
	docs, versions := map[string]string{}, map[string]int{}
	for _, o := range w.outputs(outTopic) {
		if o.value == nil {
			continue
		}
		key, doc, _ := strings.Cut(strings.TrimLeft(w.say(o)[1:], " "), ",")
		versions[key]++
		if want := at(versions[key]).String(); o.pos != want {
			w.t.Errorf("document %s: version %s, want %s", key, o.pos, want)
		}
		if docs[key] = doc; doc == "" {
			delete(docs, key)
		}
	}
	return docs
}

func (w *world) wantDocuments(want map[string]string) {
	w.t.Helper()
	until(w.t, fmt.Sprintf("the documents %v, last %v", want, w.documents()), func() bool { return maps.Equal(w.documents(), want) })
}

// in puts a record into a partition.
func in(partition int32, r record) record {
	r.partition = partition
	return r
}

func TestLogGathersByAnotherKey(t *testing.T) {
	t.Parallel()
	w := newLogWorld(t, 2)
	gather := w.gatherByNote()
	p := w.startLog(gather)
	w.publish(in(0, w.put(1, 1, "one", "A", 1)), in(1, w.put(2, 2, "two", "A", 2)), in(0, w.put(3, 3, "three", "B", 3)), in(1, w.put(4, 4, "four", "nobody", 4)))
	doc := func(rows ...string) string { return `{"public.items":[` + strings.Join(rows, ",") + `]}` }
	one, two, three := `{"id":1,"name":"one","note":"A","amount":1}`, `{"id":2,"name":"two","note":"A","amount":2}`, `{"id":3,"name":"three","note":"B","amount":3}`
	w.wantDocuments(map[string]string{"A": doc(one, two), "B": doc(three)})
	// A row goes to another entity, and its record does not say from where; one loses its
	// entity, one gets one; a relay repeats.
	moved := w.put(5, 1, "one", "B", 1)
	w.publish(in(0, moved), in(1, w.put(6, 2, "two", "nobody", 2)), in(1, w.put(7, 4, "four", "A", 4)), in(0, moved))
	one, four := strings.Replace(one, `"A"`, `"B"`, 1), `{"id":4,"name":"four","note":"A","amount":4}`
	w.wantDocuments(map[string]string{"A": doc(four), "B": doc(one, three)})
	p.stop()
	// It comes back, a delete says the key alone, and a row changes within its entity.
	w.publish(in(0, w.put(8, 1, "uno", "A", 1)), in(0, w.del(9, 3)), in(1, w.put(10, 4, "vier", "A", 4)), in(0, w.put(5, 1, "late", "B", 1)))
	w.startLog(gather)
	w.wantDocuments(map[string]string{"A": doc(`{"id":1,"name":"uno","note":"A","amount":1}`, `{"id":4,"name":"vier","note":"A","amount":4}`)})
	// A TRUNCATE ends the rows of each partition.
	for partition := range int32(2) {
		w.publish(in(partition, w.truncate(11)))
	}
	w.wantDocuments(map[string]string{})
}

// A dead letter of the second stage parks its entity, and the others flow; it is applied
// again by whoever owns the entity.
func TestLogAnEntityIsParked(t *testing.T) {
	t.Parallel()
	w := newLogWorld(t, 1)
	refuses := &atomic.Bool{}
	refuses.Store(true)
	gather := w.gatherByNote()
	picky := processors.StepConfig{Name: "picky", New: func() processors.Step {
		return processors.StepFunc(func(_ context.Context, c *processors.Change, _ processors.State, emit processors.Emit) error {
			if doc, _ := c.Row().Text("document"); strings.Contains(doc, `"bad"`) && refuses.Load() {
				return fmt.Errorf("refused")
			}
			return emit(c)
		})
	}}
	w.startLog(gather, func(s *logSetup) { s.config.Steps = append(s.config.Steps, picky) })
	w.publish(w.put(1, 1, "one", "A", 1), w.put(2, 2, "bad", "A", 2), w.put(3, 3, "three", "A", 3), w.put(4, 4, "four", "B", 4))
	dead := w.dead(2)
	first := letterOf(t, dead[0])
	if first.Topic != entityTopic || first.Step != "picky" || first.Entity != "A" {
		t.Errorf("the dead letter is of %s, step %s, entity %s", first.Topic, first.Step, first.Entity)
	}
	one, four := `{"id":1,"name":"one","note":"A","amount":1}`, `{"id":4,"name":"four","note":"B","amount":4}`
	w.wantDocuments(map[string]string{"A": `{"public.items":[` + one + `]}`, "B": `{"public.items":[` + four + `]}`})
	refuses.Store(false)
	c := w.console()
	c.send(processors.DoResolve, first, first, nil)
	c.want(letterOf(t, dead[1]).ID, processors.VerdictApplied, "")
	w.wantDocuments(map[string]string{
		"A": `{"public.items":[` + one + `,{"id":2,"name":"bad","note":"A","amount":2},{"id":3,"name":"three","note":"A","amount":3}]}`,
		"B": `{"public.items":[` + four + `]}`,
	})
}

// Random histories of rows that move between entities, with kills at random points and
// repetitions: the documents are what the rows are, and each has every version once.
func TestLogGatheringSurvivesKills(t *testing.T) {
	t.Parallel()
	w := newLogWorld(t, 2)
	rng := rand.New(rand.NewPCG(7, uint64(len(t.Name()))))
	gather := w.gatherByNote()
	rows := map[int]map[string]any{}
	n := 0
	some := func() (list []record) {
		for range 40 {
			n++
			id := rng.IntN(12)
			partition := int32(id % 2)
			note := []string{"A", "B", "C", "D", "nobody"}[rng.IntN(5)]
			var r record
			if rng.IntN(5) == 0 {
				r = w.del(n, id)
				delete(rows, id)
			} else {
				r = w.put(n, id, "name", note, n)
				rows[id] = map[string]any{"id": id, "name": "name", "note": note, "amount": n}
			}
			list = append(list, in(partition, r))
			if rng.IntN(6) == 0 {
				list = append(list, in(partition, r))
			}
		}
		return list
	}
	for _, point := range []string{"produce", "offsets", "end", "changelog", "end", "produce"} {
		at := dieAt(point, 1+rng.IntN(4))
		once := &atomic.Bool{}
		p := w.startLog(gather, func(s *logSetup) {
			s.inlog.Fault = func(point string) error {
				err := at.ask(point)
				if err != nil && point == "end" && once.Swap(true) {
					return nil // after EndTxn the session begins anew, and not the process
				}
				return err
			}
		})
		var all sync.WaitGroup
		all.Go(func() { w.publish(some()...) })
		if point == "end" {
			<-at.died
			p.stop()
		} else {
			p.dies(at)
		}
		all.Wait()
	}
	w.startLog(gather)
	w.publish(some()...)
	want := map[string]string{}
	byNote := map[string][]int{}
	for id, row := range rows {
		if note, _ := row["note"].(string); note != "nobody" {
			byNote[note] = append(byNote[note], id)
		}
	}
	for note, ids := range byNote {
		// Rows stand in the order of their keys' bytes.
		slices.SortFunc(ids, func(a, b int) int { return strings.Compare(w.rowName(a), w.rowName(b)) })
		var list []string
		for _, id := range ids {
			list = append(list, fmt.Sprintf(`{"id":%d,"name":"name","note":%q,"amount":%v}`, id, note, rows[id]["amount"]))
		}
		want[note] = `{"public.items":[` + strings.Join(list, ",") + `]}`
	}
	w.wantDocuments(want)
}

// rowName is the name under which an entity keeps a row.
func (w *world) rowName(id int) string {
	b, err := json.Marshal([]string{fmt.Sprint(id)})
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b)
}

// Sources that are set back in a new generation give the documents again what their rows
// are.
func TestLogGathersAgainInANewGeneration(t *testing.T) {
	t.Parallel()
	w := newLogWorld(t, 1)
	gather := w.gatherByNote()
	p := w.startLog(gather)
	w.publish(w.put(1, 1, "one", "A", 1), w.put(2, 1, "uno", "B", 2))
	want := map[string]string{"B": `{"public.items":[{"id":1,"name":"uno","note":"B","amount":2}]}`}
	w.wantDocuments(want)
	p.stop()
	before := len(w.outputs(outTopic))
	w.setBack(0, 0, 2, nil)
	w.startLog(gather)
	until(t, "the documents again", func() bool { return len(w.outputs(outTopic)) > before+2 })
	w.reachLog(topic, 0, 2)
	w.wantDocuments(want)
}

// Topics whose rows are handed to the owner of their entity may differ in their
// partitions.
func TestLogGathersTopicsOfUnequalPartitions(t *testing.T) {
	t.Parallel()
	w := newLogWorld(t, 1)
	const others = "shop.public.others"
	if _, err := kadm.NewClient(w.client).CreateTopic(t.Context(), 3, 1, nil, others); err != nil {
		t.Fatal(err)
	}
	gather := w.gatherByNote()
	other := *table
	other.Name = "others"
	w.publish(w.put(1, 1, "one", "A", 1))
	for partition := range int32(3) {
		id := fmt.Sprint(10 + partition)
		w.publishTo(others, in(partition, w.change(&other, 2+int(partition), 'c', text(id), text("other"), text("A"), text("1"))))
	}
	w.startLog(gather, func(s *logSetup) { s.consumer.Topics = append(s.consumer.Topics, others) })
	row := func(id int, name string) string {
		return fmt.Sprintf(`{"id":%d,"name":%q,"note":"A","amount":1}`, id, name)
	}
	w.wantDocuments(map[string]string{"A": `{"public.items":[` + row(1, "one") + `],"public.others":[` + row(10, "other") + "," + row(11, "other") + "," + row(12, "other") + `]}`})
}
