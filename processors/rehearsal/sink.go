package rehearsal

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/sinks"
)

// Sink keeps rows in memory. It passes the suite of every sink, and it shows what
// is asked of it. Safe for concurrent use.
type Sink struct {
	// Target names the table of an origin; by default schema.table.
	Target func(*sinks.Origin) string

	mu     sync.Mutex // guards the following
	parts  map[partition]*owned
	tables map[string]*table
	log    []Write
}

// Write is one change that took effect, or did not.
type Write struct {
	Target  string
	Change  *sinks.Change
	Outcome sinks.Outcome
}

type partition struct {
	topic  string
	number int32
}

// owned is the offset row of a partition, with what stands beside it.
type owned struct {
	id      string
	epoch   int64
	next    int64
	parked  map[[32]byte]sinks.Park
	letters []sinks.DeadLetter
	refs    int64
}

// table is a target.
type table struct {
	rows   map[string]*row
	gone   map[string]version // of deleted rows
	floor  version
	sweeps map[partition]version
	count  int
}

// row is a row by its columns' names. A row without key has a number.
type row struct {
	version
	values map[string]cdc.Value
	key    []string // names, in key order
	types  map[string]sinks.Column
	from   int // the change of the batch that wrote it last
	number int
}

// version orders what was done to a row.
type version struct {
	generation int64
	pos        string
}

func (v version) compare(w version) int {
	return cmp.Or(cmp.Compare(v.generation, w.generation), cmp.Compare(v.pos, w.pos))
}

// NewSink makes an empty sink.
func NewSink() *Sink {
	return &Sink{Target: (*sinks.Origin).String, parts: map[partition]*owned{}, tables: map[string]*table{}}
}

// Claim implements sinks.Sink.
func (s *Sink) Claim(_ context.Context, p sinks.Partition) (sinks.Claim, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.parts[partition{p.Topic, p.Number}]
	if o == nil {
		o = &owned{id: p.ID, next: sinks.NoOffset, parked: map[[32]byte]sinks.Park{}}
		s.parts[partition{p.Topic, p.Number}] = o
	}
	return o.claim(p), nil
}

// claim raises the epoch.
func (o *owned) claim(p sinks.Partition) sinks.Claim {
	o.epoch++
	p.ID = o.id
	c := sinks.Claim{Partition: p, Epoch: o.epoch, Next: o.next, Backlog: len(o.letters) > 0}
	for _, park := range o.parked {
		c.Parked = append(c.Parked, park)
	}
	return c
}

// Reclaim implements sinks.Sink.
func (s *Sink) Reclaim(_ context.Context, c sinks.Claim) (sinks.Claim, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.parts[partition{c.Topic, c.Number}]
	if o == nil || o.epoch != c.Epoch {
		return c, sinks.ErrFenced
	}
	return o.claim(c.Partition), nil
}

// Close implements sinks.Sink.
func (s *Sink) Close() {}

// Write implements sinks.Sink.
func (s *Sink) Write(_ context.Context, b *sinks.Batch) (sinks.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.parts[partition{b.Claim.Topic, b.Claim.Number}]
	if o == nil || o.epoch != b.Claim.Epoch || o.next != b.Expect {
		return sinks.Result{}, sinks.ErrFenced
	}
	t := &transaction{sink: s, batch: b, tables: map[string]*table{}}
	outcomes, refusals := t.apply()
	if len(refusals) > 0 {
		return sinks.Result{}, &sinks.RefusedError{Refusals: refusals}
	}
	for name, changed := range t.tables {
		s.tables[name] = changed
	}
	for i, c := range b.Changes {
		s.log = append(s.log, Write{s.Target(c.Origin), c, outcomes[i]})
	}
	o.next = b.Next
	for _, p := range b.Park {
		o.parked[p.Key] = p
	}
	for _, k := range b.Unpark {
		delete(o.parked, k)
	}
	for _, l := range b.DeadLetters {
		o.refs++
		l.Ref = o.refs
		o.letters = append(o.letters, l)
	}
	return sinks.Result{Outcomes: outcomes}, nil
}

// Undelivered implements sinks.Outbox.
func (s *Sink) Undelivered(_ context.Context, c sinks.Claim, limit int) ([]sinks.DeadLetter, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.parts[partition{c.Topic, c.Number}]
	if o == nil || o.epoch != c.Epoch {
		return nil, nil
	}
	return slices.Clone(o.letters[:min(limit, len(o.letters))]), nil
}

// Delivered implements sinks.Outbox.
func (s *Sink) Delivered(_ context.Context, c sinks.Claim, letters []sinks.DeadLetter) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.parts[partition{c.Topic, c.Number}]
	o.letters = slices.DeleteFunc(o.letters, func(d sinks.DeadLetter) bool {
		return slices.ContainsFunc(letters, func(x sinks.DeadLetter) bool { return x.Ref == d.Ref })
	})
	return nil
}

// Take returns what was written and dead-lettered since the last time.
func (s *Sink) Take() (writes []Write, letters []sinks.DeadLetter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	writes, s.log = s.log, nil
	for _, o := range s.parts {
		letters = append(letters, o.letters...)
		o.letters = nil
	}
	return writes, letters
}

// Row is a row of a target as it stands: values by column; nil is null.
type Row map[string]*string

// Rows are the rows of a target, in the order of their keys.
func (s *Sink) Rows(target string) []Row {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tables[target]
	if t == nil {
		return nil
	}
	keys := make([]string, 0, len(t.rows))
	for k := range t.rows {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int {
		return cmp.Or(cmp.Compare(t.rows[a].number, t.rows[b].number), cmp.Compare(a, b))
	})
	out := make([]Row, len(keys))
	for i, k := range keys {
		out[i] = Row{}
		for name, v := range t.rows[k].values {
			if v.State == cdc.Text {
				text := string(v.Data)
				out[i][name] = &text
			} else {
				out[i][name] = nil
			}
		}
	}
	return out
}

// Targets are the names of the tables that have, or had, rows.
func (s *Sink) Targets() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := make([]string, 0, len(s.tables))
	for name := range s.tables {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
