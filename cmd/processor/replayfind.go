package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/processors"
	"github.com/tailrace/tailrace/schema"
)

// searching turns places into offsets. Positions can be compared within one source only, so
// each source has a cut of its own: a position before which nothing of it is applied
// again, in whatever partition it stands.
type searching struct {
	finder  *kafka.Finder
	reader  *reading
	sources map[string][]string // topics by source
}

// clockSkew is how much the clocks of brokers' records and of the database may differ.
const clockSkew = 5 * time.Second

// reading tells from a record what its source says. Safe for concurrent use.
type reading struct {
	mu      sync.Mutex // guards the following
	schemas schemas
	readers map[int]*schema.Reader // nil: it is not that of a row change
	failed  error                  // why a record could not be read that may count
}

func newReading(s *settings) (*reading, error) {
	known, err := s.schemas(prometheus.NewRegistry())
	return &reading{schemas: known, readers: map[int]*schema.Reader{}}, err
}

// source is what a record says of its origin; ok is false for one that is no row change.
func (r *reading) source(m *kafka.Message) (s schema.Source, ok bool) {
	id, body, err := schema.SplitHeader(m.Value)
	if err != nil {
		return s, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	reader, known := r.readers[id]
	if !known {
		text, err := r.schemas.SchemaByID(context.Background(), id)
		if err != nil && !errors.Is(err, processors.ErrUnknownSchema) {
			r.failed = err
			return s, false
		}
		if made, err := schema.NewReader(text); err == nil && made.Envelope() {
			reader = made
		}
		r.readers[id] = reader
	}
	var e schema.Event
	if reader == nil || reader.Read(body, &e) != nil {
		return s, false
	}
	s = e.Source
	s.Name, s.DB = strings.Clone(s.Name), strings.Clone(s.DB)
	return s, true
}

// first is the first record of each range for whose source a condition holds.
func (f *searching) first(ctx context.Context, ranges map[kafka.TopicPartition]kafka.Range, holds func(schema.Source) bool) (map[kafka.TopicPartition]kafka.Found, error) {
	found, err := f.finder.First(ctx, ranges, func(m *kafka.Message) bool {
		if !hasPosition(m) {
			return false
		}
		s, ok := f.reader.source(m)
		return ok && holds(s)
	})
	f.reader.mu.Lock()
	defer f.reader.mu.Unlock()
	return found, errors.Join(err, f.reader.failed)
}

// position is the header's; ok is false for a record without one.
func position(m *kafka.Message) (p cdc.Position, ok bool) {
	for _, h := range m.Headers {
		if h.Name == cdc.HeaderPosition {
			p, err := cdc.ParsePosition(string(h.Value))
			return p, err == nil
		}
	}
	return p, false
}

func hasPosition(m *kafka.Message) bool {
	_, ok := position(m)
	return ok
}

// topics are those that the pipeline reads.
func (f *searching) topics(ctx context.Context, s *sourceSettings) ([]string, error) {
	if s.TopicsPattern == "" {
		return s.Topics, nil
	}
	return f.finder.Matching(ctx, s.TopicsPattern)
}

// learn finds out which topics are of one source.
func (f *searching) learn(ctx context.Context, ranges map[kafka.TopicPartition]kafka.Range) error {
	found, err := f.first(ctx, ranges, func(schema.Source) bool { return true })
	if err != nil {
		return err
	}
	of := map[string]string{}
	for tp, x := range found {
		if x.Message != nil {
			s, _ := f.reader.source(x.Message)
			of[tp.Topic] = s.Name + "/" + s.DB
		}
	}
	f.sources = map[string][]string{}
	for tp := range ranges { // a topic without any record belongs to no source, and is where it ends
		if s := of[tp.Topic]; !slices.Contains(f.sources[s], tp.Topic) {
			f.sources[s] = append(f.sources[s], tp.Topic)
		}
	}
	return nil
}

func (f *searching) within(ranges map[kafka.TopicPartition]kafka.Range, source string) map[kafka.TopicPartition]kafka.Range {
	out := map[kafka.TopicPartition]kafka.Range{}
	for tp, r := range ranges {
		if slices.Contains(f.sources[source], tp.Topic) {
			out[tp] = r
		}
	}
	return out
}

// cuts are the positions that a place means, by source. A source without one has nothing
// at or behind the place.
func (f *searching) cuts(ctx context.Context, ranges map[kafka.TopicPartition]kafka.Range, p place) (map[string]cdc.Position, error) {
	named := slices.Sorted(maps.Keys(f.sources))
	named = slices.DeleteFunc(named, func(s string) bool { return s == "" })
	if p.at.IsZero() && len(named) > 1 {
		return nil, fmt.Errorf("the topics are of several sources (%s), whose positions cannot be compared: give a time, or choose the topics of one with --topic", strings.Join(named, ", "))
	}
	cuts := map[string]cdc.Position{}
	for _, source := range named {
		mine := f.within(ranges, source)
		var cut *cdc.Position
		var err error
		switch {
		case p.pos != nil:
			cut = p.pos
		case p.lsn != 0:
			cut, err = f.epoch(ctx, mine, p.lsn)
		default:
			cut, err = f.moment(ctx, mine, p.at)
		}
		if err != nil {
			return nil, err
		}
		if cut != nil {
			cuts[source] = *cut
		}
	}
	return cuts, nil
}

// moment is the first commit at which the greatest commit time so far reaches a time. What
// was committed then was published then or later, so the records before that need not be
// looked at.
func (f *searching) moment(ctx context.Context, ranges map[kafka.TopicPartition]kafka.Range, at time.Time) (*cdc.Position, error) {
	late, err := f.finder.Since(ctx, ranges, at.Add(-clockSkew))
	if err != nil {
		return nil, err
	}
	found, err := f.first(ctx, late, func(s schema.Source) bool { return s.TsMs >= at.UnixMilli() })
	if err != nil {
		return nil, err
	}
	var cut *cdc.Position
	for _, x := range found {
		if x.Message == nil {
			continue
		}
		p, _ := position(x.Message)
		p.Ordinal, p.Part = 0, 0
		if cut == nil || p.Compare(*cut) < 0 {
			cut = &p
		}
	}
	return cut, nil
}

// epoch is an LSN as a position of the newest history that has reached it.
func (f *searching) epoch(ctx context.Context, ranges map[kafka.TopicPartition]kafka.Range, lsn cdc.LSN) (*cdc.Position, error) {
	first, err := f.finder.First(ctx, ranges, hasPosition)
	if err != nil {
		return nil, err
	}
	last, err := f.finder.Last(ctx, ranges, hasPosition)
	if err != nil {
		return nil, err
	}
	var low, high uint32
	for tp := range ranges {
		if m := first[tp].Message; m != nil {
			if p, _ := position(m); low == 0 || p.Epoch < low {
				low = p.Epoch
			}
		}
		if m := last[tp].Message; m != nil {
			p, _ := position(m)
			high = max(high, p.Epoch)
		}
	}
	for e := high; e > low; e-- {
		begins, err := f.search(ctx, ranges, cdc.Position{Epoch: e})
		if err != nil {
			return nil, err
		}
		for _, x := range begins {
			if x.Message == nil {
				continue
			}
			if p, _ := position(x.Message); p.Epoch == e && p.LSN <= lsn {
				return &cdc.Position{Epoch: e, LSN: lsn}, nil
			}
		}
	}
	return &cdc.Position{Epoch: low, LSN: lsn}, nil
}

// search finds the offset of a position in every partition.
func (f *searching) search(ctx context.Context, ranges map[kafka.TopicPartition]kafka.Range, cut cdc.Position) (map[kafka.TopicPartition]kafka.Found, error) {
	return f.finder.Search(ctx, ranges, func(m *kafka.Message) (reached, known bool) {
		p, ok := position(m)
		return p.Compare(cut) >= 0, ok
	})
}

// offsets finds a place in every partition.
func (f *searching) offsets(ctx context.Context, ranges map[kafka.TopicPartition]kafka.Range, p place) (map[kafka.TopicPartition]kafka.Found, map[string]cdc.Position, error) {
	if p.beginning {
		found, err := f.finder.First(ctx, ranges, hasPosition)
		for tp, x := range found {
			found[tp] = kafka.Found{Offset: ranges[tp].First, Message: x.Message}
		}
		return found, nil, err
	}
	cuts, err := f.cuts(ctx, ranges, p)
	if err != nil {
		return nil, nil, err
	}
	all := map[kafka.TopicPartition]kafka.Found{}
	for source := range f.sources {
		mine := f.within(ranges, source)
		cut, ok := cuts[source]
		if !ok {
			for tp, r := range mine {
				all[tp] = kafka.Found{Offset: r.End}
			}
			continue
		}
		found, err := f.search(ctx, mine, cut)
		if err != nil {
			return nil, nil, err
		}
		maps.Copy(all, found)
	}
	return all, cuts, nil
}
