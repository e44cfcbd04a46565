package cdc

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// samples are those that the log holds, as a start reads them.
func (l *topics) samples(t checker) []Sample {
	t.Helper()
	ring := map[string]Sample{}
	for _, n := range l.notes {
		if strings.HasPrefix(n.Key, samplePrefix) {
			var s Sample
			if err := json.Unmarshal(n.Value, &s); err != nil {
				t.Fatalf("%v", err)
			}
			ring[n.Key] = s
		}
	}
	var out []Sample
	for _, s := range ring {
		out = append(out, s)
	}
	return l.progress.Places(out)
}

// again is a world over the same server into which a stretch of w is replayed.
func (w *world) again() *world {
	n := w.fresh()
	n.config.Sample = 0
	return n
}

// rehearse replays a stretch from a place, going on where an earlier run ended.
func (w *world) rehearse(live Progress, h *History, at Sample, from, to LSN) (*Relay, *session) {
	w.log.abort()
	p := Progress{Version: 1, Epochs: live.Epochs, Confirmed: at.LSN, Last: at.Last, Message: at.Message, Clock: at.Clock}
	if w.log.progress != nil {
		p = *w.log.progress
	}
	w.server.confirmed = p.Confirmed
	s := w.server.stream(w.versions)
	r := &Relay{Config: w.config, Source: NewStretch(s, h, live, to), Encoder: w.encoder, Log: w.log, Observer: w.sums, Logger: discard, History: h}
	r.Rehearse(p, from)
	return r, s
}

// TestReplayGivesTheRecordsOfTheStretch: from any sample, for any stretch, and
// however often it is killed, a replay publishes what the relay has published there.
func TestReplayGivesTheRecordsOfTheStretch(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := workload(t)
		w.config.Sample = time.Nanosecond
		w.server.transaction(insert(1, "end", "x"))
		all := w.run(t)
		live, history := *w.log.progress, w.log.history(w.log.notes)
		samples := w.log.samples(t)
		if len(samples) == 0 {
			t.Fatalf("there are no samples")
		}
		place := rapid.SampledFrom(samples).Draw(t, "place")
		if rapid.Bool().Draw(t, "from the slot's beginning") {
			place = Sample{LSN: 0x1000}
		}
		last := w.server.units[len(w.server.units)-1].start
		var starts []LSN
		for _, u := range w.server.units {
			if u.start >= place.LSN {
				starts = append(starts, u.start)
			}
		}
		if len(starts) == 0 {
			return
		}
		from := rapid.SampledFrom(starts).Draw(t, "from")
		to := rapid.SampledFrom(append(slices.DeleteFunc(slices.Clone(starts), func(l LSN) bool { return l < from }), last)).Draw(t, "to")
		var want []record
		for _, r := range all {
			pos, err := ParsePosition(r.pos)
			if err != nil {
				t.Fatalf("%v", err)
			}
			if pos.LSN >= from && pos.LSN < to {
				want = append(want, r)
			}
		}
		n := w.again()
		deaths := rapid.IntRange(0, 4).Draw(t, "deaths")
		for i := 0; ; i++ {
			r, s := n.rehearse(live, history, place, from, to)
			if i < deaths {
				if rapid.Bool().Draw(t, "killed in a commit") {
					n.log.killAt = n.log.commits + rapid.IntRange(1, 6).Draw(t, "commit")
					n.log.survives = rapid.Bool().Draw(t, "it was durable")
				} else {
					s.killAt = rapid.IntRange(0, len(s.events)).Draw(t, "event")
				}
			}
			err := r.Replay(context.Background())
			if err == nil {
				break
			}
			if !errors.Is(err, errKilled) || i >= deaths {
				t.Fatalf("the replay ended with: %v", err)
			}
		}
		if len(n.log.records) != len(want) {
			t.Errorf("%d records, want %d", len(n.log.records), len(want))
		}
		for i := range min(len(n.log.records), len(want)) {
			if n.log.records[i] != want[i] {
				t.Fatalf("record %d:\n got %s\nwant %s", i, n.log.records[i], want[i])
			}
		}
		if !slices.ContainsFunc(n.log.notes, func(note Note) bool { return note.Key == KeyDone }) {
			t.Errorf("nothing says that the replay is whole")
		}
		for _, note := range n.log.notes {
			if note.Schema {
				t.Errorf("a replay wrote into the schema history: %s", note.Value)
			}
		}
	})
}

// events is a source of given events.
type given struct {
	Source
	list []Event
}

func (g *given) Next(context.Context, time.Duration) (*Event, error) {
	if len(g.list) == 0 {
		return nil, errRead
	}
	ev := g.list[0]
	g.list = g.list[1:]
	return &ev, nil
}

func (g *given) Confirm(LSN) {}

// TestAStretchPutsVersionsInForceWhereTheRelayDid: a fact that the relay held back,
// or that a row has shown, is announced by no RELATION message.
func TestAStretchPutsVersionsInForceWhereTheRelayDid(t *testing.T) {
	t.Parallel()
	h := &History{}
	for _, from := range []Position{{1, 0x100, 1, 0}, {1, 0x200, 2, 0}, {1, 0x300, 1, 0}} {
		text, err := json.Marshal(Version{Version: 1, From: from.String(), Table: tableOf(7, "t", "id")})
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Add(text); err != nil {
			t.Fatal(err)
		}
	}
	tx := &Transaction{CommitLSN: 0x200}
	row := insert(9, "1")
	row.Tx = tx
	s := NewStretch(&given{list: []Event{
		{Kind: EventBegin, Tx: tx}, row, row, row, {Kind: EventCommit, Tx: tx, LSN: 0x210},
		{Kind: EventKeepalive, LSN: 0x280}, {Kind: EventBegin, Tx: &Transaction{CommitLSN: 0x290}},
	}}, h, Progress{Epochs: []Epoch{{Epoch: 1}}}, 0x290)
	var kinds []EventKind
	for {
		ev, err := s.Next(t.Context(), 0)
		if errors.Is(err, ErrReplayed) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, ev.Kind)
	}
	want := []EventKind{EventBegin, EventRelation, EventRow, EventRelation, EventRow, EventRow, EventCommit, EventKeepalive}
	if !slices.Equal(kinds, want) {
		t.Errorf("got %v\nwant %v", kinds, want)
	}
}

// TestATimeIsTheFirstCommitAtWhichTheClockReachesIt: commit times do not grow with
// LSNs.
func TestATimeIsTheFirstCommitAtWhichTheClockReachesIt(t *testing.T) {
	t.Parallel()
	var list []Event
	for i, at := range []int64{50, 30, 70, 60, 90} {
		list = append(list, Event{Kind: EventBegin, Tx: &Transaction{CommitLSN: LSN(0x100 * (i + 1)), CommitTime: at}})
	}
	for _, c := range []struct {
		clock, at int64
		want      LSN
		sure      bool
	}{
		{0, 55, 0x300, true},  // not the one of 60, which comes later
		{0, 30, 0x100, false}, // an earlier commit may have reached it
		{10, 30, 0x100, true}, // none has
		{65, 61, 0x100, true}, // reached before
		{10, 71, 0x500, true}, //
		{100, 101, 0, true},   // none
		{0, 50, 0x100, false}, //
		{0, 50.0 + 1, 0x300, true},
	} {
		src := NewStretch(&given{list: append(slices.Clone(list), Event{Kind: EventKeepalive, LSN: 0x900})}, &History{}, Progress{Epochs: []Epoch{{Epoch: 1}}}, 0x900)
		lsn, sure, err := FirstAt(t.Context(), src, c.clock, c.at)
		if lsn != c.want || lsn != 0 && sure != c.sure || (err != nil) != (c.want == 0) {
			t.Errorf("clock %d, time %d: %s, sure %v, %v; want %s, %v", c.clock, c.at, lsn, sure, err, c.want, c.sure)
		}
	}
}

// TestSamplesOfAHistoryThatWasLeftDoNotCount: their LSNs are others now.
func TestSamplesOfAHistoryThatWasLeftDoNotCount(t *testing.T) {
	t.Parallel()
	p := Progress{Epochs: []Epoch{{1, "other", 1, 0}, {2, "sys", 1, 0x100}, {3, "sys", 2, 0x500}}}
	got := p.Places([]Sample{
		{Epoch: 3, LSN: 0x600}, {Epoch: 2, LSN: 0x400}, {Epoch: 2, LSN: 0x510}, {Epoch: 1, LSN: 0x300}, {Epoch: 2, LSN: 0x200},
	})
	var lsns []LSN
	for _, s := range got {
		lsns = append(lsns, s.LSN)
	}
	if !slices.Equal(lsns, []LSN{0x200, 0x400, 0x600}) {
		t.Errorf("got %v", lsns)
	}
}

// TestCountOnlyCountsWhatIsPublished: without schemas, topics or records.
func TestCountOnlyCountsWhatIsPublished(t *testing.T) {
	t.Parallel()
	w := newWorld(tableOf(1, "t", "id"), tableOf(3, "hidden", "id"))
	w.config.CountOnly, w.config.Truncates = true, true
	w.server.transaction(insert(1, "1"), insert(3, "1"), remove(1, "1"), truncateOf(1), message("pfx", "x"))
	w.server.transaction(insert(1, "2"))
	end := w.server.units[1].start
	live := Progress{Epochs: []Epoch{{Epoch: 1}}}
	r, _ := w.rehearse(live, &History{}, Sample{LSN: 0x1000}, 0x1000, end)
	if err := r.Replay(t.Context()); err != nil {
		t.Fatal(err)
	}
	for what, n := range map[string]int{"public.t c": 1, "public.t d": 1, "public.t t": 1, "message m": 1} {
		if w.sums.changes[what] != n {
			t.Errorf("%s: %d, want %d", what, w.sums.changes[what], n)
		}
	}
	if len(w.log.records) > 0 || len(w.encoder.plans) > 0 || w.sums.filtered["table"] != 1 {
		t.Errorf("%d records, plans %v, filtered %v", len(w.log.records), w.encoder.plans, w.sums.filtered)
	}
}
