package cdc

import (
	"context"
	"encoding/json"
	"fmt"
)

// launch is one start, from the moment that the slot is ours, if there is one.
type launch struct {
	*Starter
	relay  *Relay
	sys    System
	slot   *Slot
	stream Stream // nil until there is one
	rem    Remembered
	hole   bool // changes are gone that the slot does not tell of
}

func (s *launch) run(ctx context.Context) error {
	if err := s.Memory.Fence(ctx); err != nil {
		return err
	}
	var err error
	if s.rem, err = s.Memory.Read(ctx); err != nil {
		return err
	}
	s.relay.History, s.relay.Samples = s.rem.History, s.rem.Samples
	s.Database.Remember(s.rem.History)
	if s.rem.Progress == nil {
		return s.withoutMemory(ctx)
	}
	return s.withMemory(ctx, *s.rem.Progress)
}

// withoutMemory is a start that finds no progress record.
func (s *launch) withoutMemory(ctx context.Context) error {
	slot := s.slot
	switch {
	case s.Adopt && slot == nil:
		return &StopError{What: fmt.Sprintf("slot %q, which is to be adopted, does not exist", s.Slot),
			Next: "set postgres.slot.name to the connector's slot.name; without its slot there is nothing to go on with: set postgres.slot.adopt: false for a new snapshot"}
	case slot == nil:
		return s.begin(ctx, s.progress(s.sys, 0), s.initial())
	case slot.Lost != "" && s.rem.Intent == nil:
		return &StopError{What: fmt.Sprintf("slot %q is lost: %s", slot.Name, slot.Lost),
			Next: fmt.Sprintf("drop it to begin with a new snapshot: SELECT pg_drop_replication_slot('%s')", slot.Name)}
	case s.Adopt:
		p, err := s.adopt(ctx, s.relay, s.sys, slot, s.rem.Done)
		if err != nil {
			return err
		}
		return s.goOn(ctx, *p)
	case s.rem.Intent != nil && s.rem.Intent.Slot == slot.Name && s.rem.Intent.SystemID == s.sys.ID:
		// A torso of a first start that was cut off; no gap, since nothing was
		// published.
		if err := s.drop(ctx); err != nil {
			return err
		}
		return s.begin(ctx, s.progress(s.sys, 0), s.initial())
	case s.Snapshot:
		return &StopError{
			What: fmt.Sprintf("slot %q exists, but the progress topic knows nothing of it", slot.Name), Pos: slot.Confirmed.String(),
			Next: fmt.Sprintf("drop it to begin with a new snapshot (SELECT pg_drop_replication_slot('%s')), set snapshot.mode: never to begin where it stands, or postgres.slot.adopt: true if a Debezium connector left it", slot.Name)}
	}
	return s.goOn(ctx, s.progress(s.sys, slot.Confirmed))
}

// goOn is a start with a slot that streams on from where the memory ends.
func (s *launch) goOn(ctx context.Context, p Progress) error {
	if err := s.Database.Publication(ctx); err != nil {
		return err
	}
	s.relay.Source = s.stream
	if err := s.unread(ctx, &p); err != nil {
		return err
	}
	if err := s.members(ctx); err != nil {
		return err
	}
	s.relay.Resume(p, s.slot.Confirmed)
	if p.Snapshot == nil {
		return nil
	}
	rows, err := s.Database.Rows(ctx)
	if err != nil {
		return err
	}
	defer rows.Close()
	if err := s.whole(ctx, &p); err != nil { // some may have been made in the meantime
		return err
	}
	s.State("snapshot", "")
	return s.relay.Snapshot(ctx, rows, s.rem.Done, s.Report)
}

// unread begins a snapshot when the publication has tables that nobody has read
// yet: they were added to it, by us or by hand, or made anew. Their rows get the
// position where the stream goes on, so every change that it brings passes them.
func (s *launch) unread(ctx context.Context, p *Progress) error {
	if !s.Snapshot || p.Snapshot != nil {
		return nil
	}
	tables, err := s.Database.Published(ctx)
	if err != nil {
		return err
	}
	if err := s.whole(ctx, p); err != nil {
		return err
	}
	done := s.rem.Done
	for name, oid := range tables {
		if !done[name].read(oid, p.SnapshotEpoch) {
			p.Snapshot = &SnapshotRun{At: p.Confirmed}
			return nil
		}
	}
	return nil
}

// whole notes that the tables count as read that the stream brings whole.
func (s *launch) whole(ctx context.Context, p *Progress) error {
	whole, err := s.Database.Whole(ctx, p.Since)
	if err != nil {
		return err
	}
	done := s.rem.Done
	for name, oid := range whole {
		if done[name].read(oid, p.SnapshotEpoch) {
			continue
		}
		c := Cursor{Version: 1, OID: oid, At: p.Confirmed, Epoch: p.Current().Epoch}
		v, err := json.Marshal(c)
		if err != nil {
			return fmt.Errorf("cursor of %s: %w", name, err)
		}
		if err := s.relay.Log.Note(ctx, Note{Key: snapshotPrefix + name, Value: v}); err != nil {
			return err
		}
		done[name], s.relay.open.noted = c, true
	}
	return nil
}

// initial is the snapshot of a first start; nil: there is to be none.
func (st *Starter) initial() *SnapshotRun {
	if !st.Snapshot {
		return nil
	}
	return &SnapshotRun{}
}

// begin makes the slot and goes on with p from its consistent point: the intent is
// durable before the slot exists, and the progress record before the first row.
func (s *launch) begin(ctx context.Context, p Progress, run *SnapshotRun) error {
	if !s.Create {
		return &StopError{What: fmt.Sprintf("slot %q does not exist, and postgres.slot.create is false", s.Slot),
			Next: fmt.Sprintf("create it: SELECT pg_create_logical_replication_slot('%s', 'pgoutput')", s.Slot)}
	}
	if err := s.Database.Publication(ctx); err != nil {
		return err
	}
	if err := s.members(ctx); err != nil {
		return err
	}
	intent := Intent{Version: 1, Slot: s.Slot, SystemID: s.sys.ID, Database: s.sys.Database, Nonce: s.Nonce}
	if err := s.Memory.Intend(ctx, intent); err != nil {
		return err
	}
	at, rows, stream, err := s.Database.CreateSlot(ctx)
	if err != nil {
		return err
	}
	defer rows.Close()
	s.stream = stream
	p.Confirmed, p.Since = at, rows.Since()
	s.settle(&p, at)
	if p.Snapshot = run; run != nil {
		run.At = at
	}
	r := s.relay
	r.Source = stream
	r.Resume(p, at)
	if err := r.Log.Commit(ctx, p); err != nil {
		return err
	}
	if run == nil {
		return nil
	}
	s.State("snapshot", "")
	return r.Snapshot(ctx, rows, s.rem.Done, s.Report)
}

// drop ends the stream and drops the slot.
func (s *launch) drop(ctx context.Context) error {
	if s.stream != nil {
		s.stream.Close()
		s.stream = nil
	}
	if s.slot == nil {
		return nil
	}
	s.slot = nil
	return s.Database.DropSlot(ctx)
}

// progress is the record of a slot that begins at an LSN.
func (st *Starter) progress(sys System, at LSN) Progress {
	return Progress{
		Version: 1, SystemID: sys.ID, Database: sys.Database, Slot: st.Slot, Publication: st.Publication, Confirmed: at,
		Epochs: []Epoch{{Epoch: 1, SystemID: sys.ID, Timeline: sys.Timeline, From: at}},
	}
}
