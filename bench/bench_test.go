package main

import (
	"encoding/binary"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/tailrace/tailrace/bench/measure"
)

func TestGoalComparesRunsOfOneRoundThatCount(t *testing.T) {
	t.Parallel()
	run := func(contender string, round int, seconds float64) *result {
		return &result{Contender: contender, Round: round, Rows: 100, Seconds: seconds}
	}
	refused, failed := run("a", 3, 1), run("b", 4, 1)
	refused.Refused, failed.Error = true, "it failed"
	runs := []*result{
		run("a", 1, 1), run("b", 1, 2), // 2
		run("a", 2, 1), run("b", 2, 4), // 4
		refused, run("b", 3, 100), run("a", 4, 1), failed, run("c", 1, 1),
	}
	g := atLeastValue("a beside b", "a", "b", 3, rates)
	if got, want := g.measured(runs), []float64{2, 4}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if text, s := g.verdict(runs); text != "met" || s != (measure.Spread{Median: 3, Min: 2, Max: 4}) {
		t.Errorf("got %s %v", text, s)
	}
	g.bound = 3.01
	if text, _ := g.verdict(runs); text != "MISSED" {
		t.Errorf("got %s, want MISSED", text)
	}
	most := atMost("seconds of a", "a", "", 1, "s", func(a, _ *result) float64 { return a.Seconds })
	if text, s := most.verdict(runs); text != "met" || s.Median != 1 {
		t.Errorf("got %s %v", text, s)
	}
	if text, s := most.verdict(nil); text != "not measured" || !math.IsNaN(s.Median) {
		t.Errorf("got %s %v of no runs", text, s)
	}
}

func TestADisturbedRunIsRefusedUnlessAllowed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		others             measure.Others
		allow              bool
		disturbed, refused bool
	}{
		{measure.Others{CPU: 0.3}, false, false, false},
		{measure.Others{CPU: 0.3, Steal: 0.3}, false, true, true},
		{measure.Others{CPU: 0.6}, false, true, true},
		{measure.Others{CPU: 0.6}, true, true, false},
	} {
		r := &result{Seconds: 10, Others: c.others}
		if r.judge(0.05, c.allow); r.Disturbed != c.disturbed || r.Refused != c.refused {
			t.Errorf("%+v, allowed %v: disturbed %v, refused %v", c.others, c.allow, r.Disturbed, r.Refused)
		}
	}
}

// TestEveryGoalSpeaksOfAContender: a name that no work runs would never be judged.
func TestEveryGoalSpeaksOfAContender(t *testing.T) {
	t.Parallel()
	s := &stage{rig: &rig{}}
	f := &filled{stage: s}
	names := map[string]bool{"": true}
	for _, c := range []contender{s.recvlogical(), s.counting(), s.toEmbedded(), s.toKafka(toKafka, exactly), s.toKafka(toKafkaLeast, atLeast), s.debezium(),
		s.relayTimely(atLeast), s.relayTimely(exactly), s.debeziumTimely(), s.copyOut(), s.snapshot(), f.inServer(), f.processor(intoTable, "add"), f.processor(beside, "none"), f.jdbc(), f.bareLoop(), f.processorToTopic(), f.processorTimely(), s.line()} {
		names[c.name] = true
	}
	for _, w := range works() {
		for _, g := range w.goals {
			if !names[g.of] || !names[g.beside] {
				t.Errorf("%s: %s: no contender %q or %q", w.name, g.about, g.of, g.beside)
			}
		}
	}
}

func TestKeyOfARecord(t *testing.T) {
	t.Parallel()
	for _, id := range []int64{0, 1, 63, 64, 1 << 40, -5} {
		key := binary.AppendVarint([]byte{0, 0, 0, 0, 7}, id)
		if got, err := keyOf(key); got != id || err != nil {
			t.Errorf("%d: got %d, %v", id, got, err)
		}
	}
	for _, bad := range []string{"", "\x00\x00\x00\x00\x01", "\x00\x00\x00\x00\x01\x02\x02"} {
		if _, err := keyOf([]byte(bad)); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestFlags(t *testing.T) {
	t.Parallel()
	o, err := parse([]string{"--only", "stream,kafka", "--without", "debezium", "--runs", "1", "--allow-disturbed"}, io.Discard)
	if err != nil || !slices.Equal(o.only, []string{"stream", "kafka"}) || !slices.Equal(o.without, []string{"debezium"}) || o.runs != 1 || !o.allowDisturbed {
		t.Errorf("got %+v, %v", o, err)
	}
	for _, bad := range []string{"--only nothing", "--rows 5", "--runs 0", "what"} {
		if _, err := parse(strings.Fields(bad), io.Discard); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
}
