package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/tailrace/tailrace/internal/ops"
	"github.com/tailrace/tailrace/kafka"
)

// replaySummary is what a replay is about, as it is said before anything is done.
type replaySummary struct {
	ID          string         `json:"id"`
	Pipeline    string         `json:"pipeline"`
	From        string         `json:"from"`
	To          string         `json:"to,omitempty"`
	Generation  int64          `json:"generation"`
	OnlyMissing bool           `json:"only_missing"`
	Records     int64          `json:"records"` // at most, unless Exact: ends of transactions count
	Exact       bool           `json:"exact"`
	First       time.Time      `json:"first,omitzero"` // commit times
	Last        time.Time      `json:"last,omitzero"`
	Topics      []replayedPart `json:"topics"`
	Done        string         `json:"done"` // nothing, set_back, or what became of --live
	notes       []string
}

// replayedPart is the share of one topic.
type replayedPart struct {
	Topic      string    `json:"topic"`
	Partitions int       `json:"partitions"` // that go back
	Records    int64     `json:"records"`
	First      time.Time `json:"first,omitzero"`
	Last       time.Time `json:"last,omitzero"`
}

// countUpTo is how many offsets are looked at one by one, to tell records from ends of
// transactions.
const countUpTo = 100_000

// bound is behind the last offset that a move is about.
func (m *move) bound() int64 {
	if m.stretch != nil && m.stretch.Until != "" {
		return m.stretch.End
	}
	return m.from.offset
}

// summary measures the stretches.
func (r *replayer) summary(ctx context.Context) (*replaySummary, error) {
	s := &replaySummary{ID: r.id, Pipeline: r.settings.Name, From: r.flags.from, To: r.flags.to, OnlyMissing: r.flags.onlyMissing, Done: "nothing", Topics: []replayedPart{}}
	ranges := map[kafka.TopicPartition]kafka.Range{}
	for tp, m := range r.moves {
		s.Generation = max(s.Generation, m.generation)
		if m.to < m.bound() {
			ranges[tp] = kafka.Range{First: m.to, End: m.bound()}
			s.Records += m.bound() - m.to
		}
		if first := r.ranges[tp].First; m.to == first && first > 0 && r.flags.from != "beginning" {
			s.notes = append(s.notes, fmt.Sprintf("%s begins at offset %s: what was removed before it is not applied again", tp, ops.Count(first)))
		}
	}
	slices.Sort(s.notes)
	first, err := r.search.finder.First(ctx, ranges, hasPosition)
	if err != nil {
		return nil, err
	}
	last, err := r.search.finder.Last(ctx, ranges, hasPosition)
	if err != nil {
		return nil, err
	}
	records, err := r.count(ctx, ranges, s.Records)
	if err != nil {
		return nil, err
	}
	s.Exact, s.Records = s.Records <= countUpTo, 0
	topics := map[string]*replayedPart{}
	for tp := range ranges {
		t := topics[tp.Topic]
		if t == nil {
			t = &replayedPart{Topic: tp.Topic}
			topics[tp.Topic] = t
		}
		t.Partitions++
		t.Records += records[tp]
		s.Records += records[tp]
		for _, x := range []kafka.Found{first[tp], last[tp]} {
			if x.Message == nil {
				continue
			}
			at := r.timeOf(x.Message)
			t.First, t.Last = widen(t.First, t.Last, at)
			s.First, s.Last = widen(s.First, s.Last, at)
		}
	}
	for _, t := range topics {
		s.Topics = append(s.Topics, *t)
	}
	slices.SortFunc(s.Topics, func(a, b replayedPart) int { return cmp.Compare(a.Topic, b.Topic) })
	return s, nil
}

func widen(first, last, at time.Time) (time.Time, time.Time) {
	at = at.UTC()
	if first.IsZero() || at.Before(first) {
		first = at
	}
	if at.After(last) {
		last = at
	}
	return first, last
}

// count is how many records each range has: as many as it has offsets, when that is many.
func (r *replayer) count(ctx context.Context, ranges map[kafka.TopicPartition]kafka.Range, all int64) (map[kafka.TopicPartition]int64, error) {
	out := map[kafka.TopicPartition]int64{}
	for tp, known := range ranges {
		if all > countUpTo {
			out[tp] = known.End - known.First
			continue
		}
		n := int64(0)
		if _, err := r.search.finder.First(ctx, map[kafka.TopicPartition]kafka.Range{tp: known}, func(*kafka.Message) bool { n++; return false }); err != nil {
			return nil, err
		}
		out[tp] = n
	}
	return out, nil
}

// print says what would be, or is about to be, applied again.
func (s *replaySummary) print(out *ops.Output) error {
	if out.JSON {
		return nil // at the end, with what became of it
	}
	if s.Records == 0 {
		return out.Text("nothing to apply again from %s on\n", s.From)
	}
	t := ops.NewTable("TOPIC", "PARTITIONS", "RECORDS", "FIRST COMMIT", "LAST COMMIT")
	for _, p := range s.Topics {
		t.Row(p.Topic, strconv.Itoa(p.Partitions), ops.Count(p.Records), stamp(p.First), stamp(p.Last))
	}
	if err := t.Write(out); err != nil {
		return err
	}
	for _, n := range s.notes {
		if err := out.Text("%s\n", n); err != nil {
			return err
		}
	}
	most, how := "", fmt.Sprintf("in generation %d: they overwrite what was applied before", s.Generation)
	if !s.Exact {
		most = " at most"
	}
	if s.OnlyMissing {
		how = fmt.Sprintf("in generation %d: rows take what they do not have", s.Generation)
	}
	return out.Text("%s records%s of %s, %s\n", ops.Count(s.Records), most, span(s.Last.Sub(s.First)), how)
}

// span is a length of time in words.
func span(d time.Duration) string {
	if d >= 48*time.Hour {
		return fmt.Sprintf("%d days", int(d.Hours())/24)
	}
	return ops.Seconds(d.Seconds())
}
