package cdc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// A replay is the relay's loop over another slot and into other topics: a copy of a
// slot that was left behind, and topics of the replay's own. What makes it one:
//
//   - Stretch ends the stream, and puts table versions in force where the history
//     says that the relay did, which need not be where RELATION messages stand.
//   - The loop leaves out what commits before From (skip.go), and writes nothing into
//     the history.
//   - Progress is the replay's own, so one that was killed is gone on with as a relay
//     is: what it had published is skipped and compared.
//
// The epoch of a change is that of the interval which holds its commit LSN, its
// ordinal counts what the server sends, and the schemas are those of the history: so
// positions, keys and values are those that the relay wrote. What differs is when
// the relay read the change (ts_ms, ts_us and ts_ns outside of source), source.xmin,
// which is null, and the context headers' runId.

// ErrReplayed ends the stream of a stretch.
var ErrReplayed = errors.New("the stretch is read")

// Stretch is a source that ends where a stretch of the past ends, and that has the
// tables of that time. It is for one goroutine, as the source is.
type Stretch struct {
	source   Source
	history  *History
	progress Progress // the relay's, for its epochs
	to       LSN      // the first commit that is not part of it

	changes []coming // versions of tables, as they came into force
	next    int      // the first of changes that is not in force yet
	held    *Event   // waits until a version is announced
	tx      LSN      // commit LSN of the open transaction; 0: none is open
	at      Position // of the change before
}

// coming is a table version coming into force.
type coming struct {
	from     Position
	relation uint32
}

// NewStretch reads src up to the first commit at or after to. progress is the
// relay's, not the replay's.
func NewStretch(src Source, h *History, progress Progress, to LSN) *Stretch {
	s := &Stretch{source: src, history: h, progress: progress, to: to}
	for relation, versions := range h.versions {
		for i := range versions {
			s.changes = append(s.changes, coming{versions[i].from, relation})
		}
	}
	slices.SortFunc(s.changes, func(a, b coming) int {
		return cmp.Or(a.from.Compare(b.from), cmp.Compare(a.relation, b.relation))
	})
	return s
}

// Next returns the next event of the stretch, or ErrReplayed at its end.
func (s *Stretch) Next(ctx context.Context, wait time.Duration) (*Event, error) {
	ev := s.held
	if s.held = nil; ev == nil {
		var err error
		if ev, err = s.source.Next(ctx, wait); ev == nil || err != nil {
			return nil, err
		}
		if err := s.follow(ev); err != nil {
			return nil, err
		}
	}
	if s.next < len(s.changes) && s.tx != 0 && s.at.Ordinal > 0 && s.changes[s.next].from.LSN <= s.tx && s.changes[s.next].from.Compare(s.at) <= 0 {
		relation := s.changes[s.next].relation
		s.next++
		s.held = ev
		return &Event{Kind: EventRelation, Relation: relation, Tx: ev.Tx, LSN: ev.LSN, Read: ev.Read}, nil
	}
	return ev, nil
}

// follow keeps count of where the stream is.
func (s *Stretch) follow(ev *Event) error {
	switch ev.Kind {
	case EventBegin:
		if ev.Tx.CommitLSN >= s.to {
			return ErrReplayed
		}
		s.tx = ev.Tx.CommitLSN
		s.at = Position{Epoch: s.progress.EpochAt(s.tx), LSN: s.tx}
	case EventCommit:
		s.tx = 0
	case EventRow:
		s.at.Ordinal++
	case EventTruncate:
		s.at.Ordinal += uint32(len(ev.Relations))
	case EventMessage:
		if ev.Tx != nil {
			s.at.Ordinal++
		} else if ev.LSN > s.to { // LSN is the end of its record
			return ErrReplayed
		}
	case EventKeepalive:
		if ev.LSN >= s.to {
			return ErrReplayed
		}
	}
	return nil
}

// Resolve is the source's.
func (s *Stretch) Resolve(ctx context.Context, relation uint32, at Position) (*Table, error) {
	return s.source.Resolve(ctx, relation, at)
}

// Refresh is the source's.
func (s *Stretch) Refresh(ctx context.Context, relation uint32) (*Table, error) {
	return s.source.Refresh(ctx, relation)
}

// Confirm is the source's: of the slot that is read, which is the replay's own.
func (s *Stretch) Confirm(lsn LSN) { s.source.Confirm(lsn) }

// Known tells whether a table version is one of the history, and not made up from
// what the server says of the relation alone.
func (h *History) Known(t *Table) bool {
	return slices.ContainsFunc(h.versions[t.OID], func(e entry) bool { return e.version.Table == t })
}

// Begins is the first position that the history of any table knows; false when it is
// empty.
func (h *History) Begins() (Position, bool) {
	var first Position
	found := false
	for _, versions := range h.versions {
		for i := range versions {
			if !found || versions[i].from.Compare(first) < 0 {
				first, found = versions[i].from, true
			}
		}
	}
	return first, found
}

// Rehearse prepares the loop for a replay that goes on from p, its own progress. What
// commits before from is read and left out.
func (r *Relay) Rehearse(p Progress, from LSN) {
	r.Resume(p, p.Confirmed)
	r.skip.from = from
	r.replaying = true
}

// Replay publishes until the stretch ends, and says so in the replay's progress.
func (r *Relay) Replay(ctx context.Context) error {
	if err := r.Stream(ctx); !errors.Is(err, ErrReplayed) {
		return err
	}
	r.open.noted = true // what was only counted is told of, too
	if err := r.Log.Note(ctx, Note{Key: KeyDone, Value: []byte(`{"version":1}`)}); err != nil {
		return fmt.Errorf("end of the replay: %w", err)
	}
	return r.settle(ctx)
}

// The keys of a replay's memory beside progress: what was asked for, and that it is
// whole.
const (
	KeyRequest = "request"
	KeyDone    = "done"
)

// FirstAt is the commit LSN of the first transaction of src at which the clock
// reaches a time; both in microseconds since 1970. clock is where it stands when src
// begins; 0: that is not known, so if the first transaction reaches the time, an
// earlier one may have: not sure. ErrReplayed when none reaches it.
func FirstAt(ctx context.Context, src Source, clock, at int64) (lsn LSN, sure bool, err error) {
	sure = clock != 0
	for {
		ev, err := src.Next(ctx, time.Second)
		if err != nil {
			return 0, sure, err
		}
		if ev == nil {
			continue
		}
		switch ev.Kind {
		case EventBegin:
			if clock = max(clock, ev.Tx.CommitTime); clock >= at {
				return ev.Tx.CommitLSN, sure, nil
			}
			sure = true
		case EventCommit:
			src.Confirm(ev.LSN)
		}
	}
}
