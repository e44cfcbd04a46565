// Package stdout writes changes as lines of JSON to an open file: the terminal, a
// pipe. It has no memory of its own: the group's offset says how far it is, so after
// a crash changes come once more, with the same pos.
package stdout

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/tailrace/tailrace/sinks"
	"github.com/tailrace/tailrace/sinks/jsonlines"
)

// Sink writes each batch in one go. What is parked and which dead letters wait it
// knows until it ends; a new one begins where the group is. Of the promises of
// sinks.Sink it keeps 4 and, within one process, 2. Safe for concurrent use.
type Sink struct {
	mu    sync.Mutex // guards the following
	w     io.Writer
	parts map[part]*memory
	buf   []byte
}

type part struct {
	topic  string
	number int32
}

// memory is what is known of one partition.
type memory struct {
	epoch, next, ref int64
	parked           map[[32]byte]sinks.Park
	letters          []sinks.DeadLetter
}

var (
	_ sinks.Sink   = (*Sink)(nil)
	_ sinks.Outbox = (*Sink)(nil)
)

// New makes a Sink.
func New(w io.Writer) *Sink { return &Sink{w: w, parts: map[part]*memory{}} }

// Close has nothing to do: the writer is the caller's.
func (s *Sink) Close() {}

func (s *Sink) of(p sinks.Partition) *memory {
	id := part{p.Topic, p.Number}
	if s.parts[id] == nil {
		s.parts[id] = &memory{next: sinks.NoOffset, parked: map[[32]byte]sinks.Park{}}
	}
	return s.parts[id]
}

// Claim raises the epoch of a partition.
func (s *Sink) Claim(_ context.Context, p sinks.Partition) (sinks.Claim, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.claim(p), nil
}

func (s *Sink) claim(p sinks.Partition) sinks.Claim {
	m := s.of(p)
	m.epoch++
	c := sinks.Claim{Partition: p, Epoch: m.epoch, Next: m.next, Backlog: len(m.letters) > 0, Local: true}
	for _, park := range m.parked {
		c.Parked = append(c.Parked, park)
	}
	return c
}

// Reclaim is Claim for an owner whose claim is the newest.
func (s *Sink) Reclaim(_ context.Context, c sinks.Claim) (sinks.Claim, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of(c.Partition).epoch != c.Epoch {
		return sinks.Claim{}, sinks.ErrFenced
	}
	return s.claim(c.Partition), nil
}

// Write writes the lines of a batch.
func (s *Sink) Write(_ context.Context, b *sinks.Batch) (sinks.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.of(b.Claim.Partition)
	if m.epoch != b.Claim.Epoch || m.next != b.Expect {
		return sinks.Result{}, sinks.ErrFenced
	}
	s.buf = s.buf[:0]
	for _, c := range b.Changes {
		s.buf = jsonlines.Append(s.buf, b.Claim.Partition, b.Generation, c)
	}
	if len(s.buf) > 0 {
		if _, err := s.w.Write(s.buf); err != nil {
			return sinks.Result{}, &sinks.SystemicError{Err: fmt.Errorf("sink.stdout: %w", err), Next: "does somebody still read it?"}
		}
	}
	m.next = b.Next
	for _, key := range b.Unpark {
		delete(m.parked, key)
	}
	for _, p := range b.Park {
		m.parked[p.Key] = p
	}
	for _, d := range b.DeadLetters {
		m.ref++
		d.Ref = m.ref
		m.letters = append(m.letters, d)
	}
	return sinks.Result{Outcomes: make([]sinks.Outcome, len(b.Changes))}, nil
}

// Undelivered returns dead letters of a claimed partition.
func (s *Sink) Undelivered(_ context.Context, c sinks.Claim, limit int) ([]sinks.DeadLetter, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.of(c.Partition)
	if m.epoch != c.Epoch {
		return nil, nil
	}
	return append([]sinks.DeadLetter(nil), m.letters[:min(limit, len(m.letters))]...), nil
}

// Delivered forgets dead letters.
func (s *Sink) Delivered(_ context.Context, c sinks.Claim, letters []sinks.DeadLetter) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.of(c.Partition)
	gone := map[int64]bool{}
	for _, d := range letters {
		gone[d.Ref] = true
	}
	kept := m.letters[:0]
	for _, d := range m.letters {
		if !gone[d.Ref] {
			kept = append(kept, d)
		}
	}
	m.letters = kept
	return nil
}
