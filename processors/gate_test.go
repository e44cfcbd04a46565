package processors

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/sinks"
)

func testItem(offset int64, key byte, fault sinks.Class, full bool) item {
	m := &kafka.Message{TopicPartition: kafka.TopicPartition{Topic: "t"}, Offset: offset, Key: []byte{key}}
	it := item{message: m, keyed: true, pos: cdc.Position{Epoch: 1, LSN: cdc.LSN(offset), Ordinal: 1}.String()}
	if fault != "" {
		it.fault = &sinks.RecordError{Class: fault, Reason: "test"}
		return it
	}
	state := cdc.Unchanged
	if full {
		state = cdc.Null
	}
	it.change = &sinks.Change{Op: cdc.OpUpdate, Row: []cdc.Value{{State: state}}}
	return it
}

func TestParkingWithinOneBatch(t *testing.T) {
	t.Parallel()
	o := &owner{config: &Config{Name: "p", OnPoison: PolicyParkKey}, parked: parked{}}
	items := []item{
		testItem(1, 'a', "", true),
		testItem(2, 'a', sinks.ClassMissingBase, false),
		testItem(3, 'a', "", false), // diverted
		testItem(4, 'b', "", true),
		testItem(5, 'a', "", true), // resolves
		testItem(6, 'a', sinks.ClassConstraint, true),
		testItem(7, 'a', "", true), // diverted: only a missing base resolves itself
	}
	p := o.plan(items, 8, attempts{count: 1})
	if p.stop != nil || len(p.batch.Changes) != 3 || len(p.batch.DeadLetters) != 4 || p.faults != 2 || p.diverted != 2 {
		t.Errorf("plan: got %d changes, %d dead letters, %d faults, %d diverted, stop %v", len(p.batch.Changes), len(p.batch.DeadLetters), p.faults, p.diverted, p.stop)
	}
	if len(p.batch.Park) != 1 || p.batch.Park[0].Class != sinks.ClassConstraint || p.batch.Park[0].Count != 2 || p.batch.Park[0].FirstID != p.batch.DeadLetters[2].ID {
		t.Errorf("markers: got %+v", p.batch.Park)
	}
	if len(o.parked) != 0 || len(p.next) != 1 {
		t.Errorf("memory: %d markers before the batch is durable, %d after; want 0 and 1", len(o.parked), len(p.next))
	}
}

func TestTooManyParkedStop(t *testing.T) {
	t.Parallel()
	o := &owner{config: &Config{Name: "p", OnPoison: PolicyParkKey}, parked: parked{}}
	it := testItem(1, 'a', "", true)
	o.parked[it.row()] = sinks.Park{Key: it.row(), Class: sinks.ClassConstraint, Count: maxParkedRecords}
	p := o.plan([]item{testItem(0, 'b', "", true), it}, 2, attempts{})
	if !cdc.Stopped(p.stop) || p.batch.Next != 1 || len(p.batch.Changes) != 1 {
		t.Errorf("too many records of a row: got stop %v, next %d, %d changes", p.stop, p.batch.Next, len(p.batch.Changes))
	}
	o.parked = parked{}
	for i := range maxParkedRows {
		o.parked[[32]byte{1, byte(i), byte(i >> 8)}] = sinks.Park{}
	}
	p = o.plan([]item{testItem(1, 'a', sinks.ClassConstraint, true)}, 2, attempts{})
	if !cdc.Stopped(p.stop) || p.batch.Next != 1 || len(p.batch.DeadLetters) != 0 {
		t.Errorf("too many rows: got stop %v, next %d", p.stop, p.batch.Next)
	}
}

func TestSystemicNeedsManyRowsOfOneClass(t *testing.T) {
	t.Parallel()
	batch := func(good, bad int, class sinks.Class, keys int) []item {
		var items []item
		for i := range good {
			items = append(items, testItem(int64(i), byte(i), "", true))
		}
		for i := range bad {
			items = append(items, testItem(int64(good+i), byte(100+i%keys), class, true))
		}
		return items
	}
	for _, test := range []struct {
		name  string
		items []item
		want  bool
	}{
		{"all", batch(0, 20, sinks.ClassMapping, 20), true},
		{"too few rows", batch(0, 9, sinks.ClassMapping, 9), false},
		{"half", batch(20, 20, sinks.ClassMapping, 20), false},
		{"more than half", batch(19, 20, sinks.ClassMapping, 20), true},
		{"one row", batch(0, 50, sinks.ClassMapping, 1), false},
		{"missing bases", batch(0, 50, sinks.ClassMissingBase, 50), false},
	} {
		var s *sinks.SystemicError
		if got := errors.As(newFaults(DefaultConfig().Systemic).judge("t", nil, test.items).err, &s); got != test.want {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}

// Of a batch with few faulty rows no more than the last rows are looked at: the verdict,
// and what is remembered, are those of all of them.
func TestJudgingTheLastRowsIsJudgingAll(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	config := SystemicConfig{Rows: 3, Share: 0.5, Window: time.Minute}
	verdicts := map[bool]int{}
	for range 2000 {
		f, g := newFaults(config), newFaults(config)
		for range 4 {
			var items []item
			keys, faulty := 1+rng.IntN(30), 1+rng.IntN(10)
			for i := range rng.IntN(30) {
				class := sinks.Class("")
				if rng.IntN(faulty) == 0 {
					class = []sinks.Class{sinks.ClassConstraint, sinks.ClassMapping, sinks.ClassMissingBase}[rng.IntN(3)]
				}
				items = append(items, testItem(int64(i), byte(rng.IntN(keys)), class, true))
			}
			now := time.Now()
			order, tried, _ := try(nil, items, len(items), now)
			var all judged
			for _, row := range slices.Backward(order) {
				all.rows = append(all.rows, tried[row])
			}
			want, got := g.systemic("t", items, tried, now), f.judge("t", nil, items)
			if (got.err != nil) != (want != nil) || want != nil && got.err.Error() != want.Error() {
				t.Fatalf("got %v, want %v", got.err, want)
			}
			verdicts[want != nil]++
			f.note("t", got)
			g.note("t", all)
			if !slices.EqualFunc(f.recent["t"], g.recent["t"], func(a, b trial) bool { return a.row == b.row && a.class == b.class }) {
				t.Fatalf("remembered %v, want %v", f.recent["t"], g.recent["t"])
			}
		}
	}
	if verdicts[true] < 100 || verdicts[false] < 100 {
		t.Errorf("verdicts: %v", verdicts)
	}
}

// A sink that refuses everything refuses a trickle one by one.
func TestSystemicIsSeenOverBatches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFaults(DefaultConfig().Systemic)
		n := int64(0)
		try := func(topic string, class sinks.Class, rows parked) error {
			n++
			j := f.judge(topic, rows, []item{testItem(n, byte(n), class, true)})
			if j.err == nil {
				f.note(topic, j)
			}
			return j.err
		}
		for range 15 { // one poison in three is none of the sink's business
			for _, class := range []sinks.Class{sinks.ClassConstraint, "", ""} {
				if err := try("a", class, nil); err != nil {
					t.Fatalf("a third of the rows: %v", err)
				}
			}
		}
		for i := range 9 {
			if err := try("b", sinks.ClassConstraint, nil); err != nil {
				t.Fatalf("row %d of another topic: %v", i, err)
			}
		}
		if !sinks.Systemic(try("b", sinks.ClassConstraint, nil)) {
			t.Error("the tenth row that fails: not systemic")
		}
		if !sinks.Systemic(try("b", sinks.ClassConstraint, nil)) {
			t.Error("tried again: not systemic any more")
		}
		if err := try("b", sinks.ClassMapping, nil); err != nil {
			t.Errorf("another class: %v", err)
		}
		time.Sleep(2 * time.Minute)
		if err := try("b", sinks.ClassConstraint, nil); err != nil {
			t.Errorf("long afterwards: %v", err)
		}
		for i := range 30 { // rows behind a parked one were not tried
			it := testItem(int64(100+i), byte(100+i), sinks.ClassConstraint, true)
			j := f.judge("c", parked{it.row(): {Class: sinks.ClassConstraint}}, []item{it})
			if f.note("c", j); j.err != nil {
				t.Fatalf("diverted record %d: %v", i, j.err)
			}
		}
	})
}
