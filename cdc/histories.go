package cdc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Switch is where a server's history left a timeline: a line of its timeline
// history file (PostgreSQL documentation, section 26.3.6).
type Switch struct {
	Timeline int32 // that was left
	At       LSN
}

// Trouble is why a relay cannot simply go on where it ended.
type Trouble uint8

// The troubles. A gap is a stretch of changes that nobody can deliver any more;
// diverged, a server that does not have what was published.
const (
	NoTrouble Trouble = iota
	Gap
	Diverged
	OtherSystem
	// Undecodable: the server has the WAL and cannot decode it for this slot.
	Undecodable
)

// ErrUndecodable says that the server failed by itself while it decoded.
var ErrUndecodable = errors.New("the server could not decode its WAL")

// Remedies are what a person has allowed a start to do about trouble. Without
// trouble they do nothing.
type Remedies struct {
	Resnapshot bool // read all tables again, in another epoch (relay run --resnapshot)
	AcceptGap  bool // go on without the changes that are gone (relay run --accept-gap)
	WhenNeeded bool // Resnapshot for gaps (snapshot.mode: when_needed)
	// Shown is what the stream has shown and no start can see: Diverged, Undecodable.
	Shown Trouble
}

// Decision is what a person has accepted by a command of its own: the key
// "decision" of the progress topic. It holds for one epoch, so it is used up by
// what it causes.
type Decision struct {
	Version    int       `json:"version"` // 1
	NewHistory bool      `json:"new_history"`
	Epoch      uint32    `json:"epoch"` // that ends with it
	At         time.Time `json:"at"`
}

// verdict is what a start makes of the memory and the server it meets.
type verdict struct {
	trouble Trouble
	// progress is the memory as it is to be gone on with: in another epoch after
	// a failover.
	progress Progress
	why      *StopError // of a trouble
}

// judge compares the memory, and up to where was published at most, with the server
// and its slot, which is nil when there is none (law 7: a restart never guesses). switches are those of the server's
// timeline, and asked for only when it is another one than the memory's.
//
// What was published is compared, not what was confirmed: keepalives confirm WAL
// in which nothing was of interest, and a standby that was promoted need not have
// had that.
func judge(p Progress, published LSN, sys System, slot *Slot, switches func() ([]Switch, error)) (verdict, error) {
	v := verdict{progress: p}
	trouble := func(t Trouble, at, what string, args ...any) (verdict, error) {
		v.trouble = t
		v.why = &StopError{What: fmt.Sprintf(what, args...), Pos: at, Next: troubleNext[t], Trouble: t}
		return v, nil
	}
	at := p.Confirmed.String()
	epoch := p.Current()
	if p.SystemID != sys.ID {
		return trouble(OtherSystem, at, "the server is another system (%s) than the one published from (%s)", sys.ID, p.SystemID)
	}
	if epoch.Timeline != sys.Timeline {
		all, err := switches()
		if err != nil {
			return v, err
		}
		i := slices.IndexFunc(all, func(s Switch) bool { return s.Timeline == epoch.Timeline })
		if i < 0 {
			return trouble(Diverged, at, "the server is on timeline %d, which does not come from timeline %d, the one published from", sys.Timeline, epoch.Timeline)
		}
		left := all[i].At
		if published > left {
			return trouble(Diverged, at, "the server left timeline %d at %s, and changes up to %s were published: it does not have them", epoch.Timeline, left, published)
		}
		v.progress.Epochs = append(slices.Clone(p.Epochs), Epoch{Epoch: epoch.Epoch + 1, SystemID: sys.ID, Timeline: sys.Timeline, From: left})
		v.progress.Confirmed = min(p.Confirmed, left)
	}
	switch confirmed := v.progress.Confirmed; {
	case sys.Position < published:
		return trouble(Diverged, at, "the server's WAL ends at %s, before what was published (%s): its storage was rolled back", sys.Position, published)
	case slot == nil:
		return trouble(Gap, at, "slot %q is missing, so changes since the last published one are gone", p.Slot)
	case slot.Lost != "":
		return trouble(Gap, at, "slot %q is lost: %s", slot.Name, slot.Lost)
	case slot.Confirmed > confirmed:
		return trouble(Gap, fmt.Sprintf("%s (slot) and %s (published)", slot.Confirmed, confirmed),
			"slot %q is ahead of what was published: it was advanced or made anew, and the changes between are gone", slot.Name)
	}
	return v, nil
}

var troubleNext = map[Trouble]string{
	Gap:         "relay run --resnapshot reads all tables again and has sinks delete what went in the gap; relay run --accept-gap goes on without those changes, and records it",
	Diverged:    "find out what happened to the server; if it is the right one, relay run --resnapshot reads all tables again and has sinks delete what this history does not have",
	OtherSystem: "point the relay at its server; after a dump was restored, or pg_upgrade, relay adopt --new-history accepts it, which reads all tables again",
}

// Published is the position up to which changes were published at most.
func (p *Progress) Published() LSN {
	var at LSN
	if p.Last != nil {
		at = p.Last.EndLSN
	}
	if p.Partial != nil {
		at = max(at, p.Partial.CommitLSN)
	}
	return at
}

// EpochAt is the epoch of a change by its commit LSN: that of the interval which
// holds it. It is the same live, delivered again, and in a replay. LSNs of another
// system say nothing here.
func (p *Progress) EpochAt(commit LSN) uint32 {
	current := p.Current()
	found := current.Epoch
	for i := len(p.Epochs) - 1; i >= 0 && p.Epochs[i].SystemID == current.SystemID; i-- {
		found = p.Epochs[i].Epoch
		if p.Epochs[i].From <= commit {
			break
		}
	}
	return found
}

// withMemory is a start that finds a progress record.
//
// What can go wrong in what follows from trouble: killed before the progress record
// of the new epoch, the next start finds the same trouble, or a slot that is ahead,
// which the same remedy settles; killed after it, the start goes on with an
// unfinished snapshot, whose tables of older epochs do not count.
func (s *launch) withMemory(ctx context.Context, p Progress) error {
	if p.Slot != s.Slot || p.Database != s.sys.Database {
		return &StopError{What: fmt.Sprintf("the progress topic belongs to slot %q of database %q, not to slot %q of %q", p.Slot, p.Database, s.Slot, s.sys.Database), Pos: p.Confirmed.String(),
			Next: "give this relay a name of its own, or the slot and database of that record"}
	}
	published, err := s.published(ctx, &p)
	if err != nil {
		return err
	}
	v, err := judge(p, published, s.sys, s.slot, func() ([]Switch, error) { return s.Database.Switches(ctx, s.sys.Timeline) })
	if err != nil {
		return err
	}
	if v.trouble == NoTrouble {
		if v.why, err = s.reentered(ctx, &p); err != nil {
			return err
		}
		if v.why != nil {
			v.trouble, s.hole = Gap, true
		}
	}
	d, can := s.rem.Decision, s.Remedies
	if v.trouble == NoTrouble && can.Shown == Diverged {
		v.trouble, v.why = Diverged, &StopError{What: "the stream does not hold what was published"}
	}
	if v.trouble == NoTrouble && can.Shown == Undecodable {
		v.trouble, v.why = Gap, &StopError{What: "the server cannot decode what the slot holds"}
		s.slot.Lost = v.why.What // so that another one is made
	}
	switch {
	case v.trouble == NoTrouble:
		return s.goOn(ctx, v.progress)
	case v.trouble == OtherSystem && d != nil && d.NewHistory && d.Epoch == p.Current().Epoch:
		return s.anew(ctx, p, v, "new_history")
	case v.trouble == OtherSystem:
		return v.why
	case can.Resnapshot, can.WhenNeeded && v.trouble == Gap:
		return s.anew(ctx, p, v, "resnapshot")
	case can.AcceptGap:
		return s.accept(ctx, p, v)
	}
	return v.why
}

// published is what was published at most: what progress says, or, where that came
// after the rows, what stands at the ends of their partitions.
func (s *launch) published(ctx context.Context, p *Progress) (LSN, error) {
	at := p.Published()
	if !p.Unfenced {
		return at, nil
	}
	pos, err := s.Memory.Ends(ctx)
	if err == nil && pos.Epoch == p.Current().Epoch {
		at = max(at, pos.LSN)
	}
	return at, err
}

// anew reads all tables again, in another epoch, and has sinks delete what they
// have from before and the snapshot has not.
func (s *launch) anew(ctx context.Context, p Progress, v verdict, remedy string) error {
	s.note(&p, v, remedy)
	s.epoch(&p)
	p.SnapshotEpoch = p.Current().Epoch
	return s.from(ctx, p, &SnapshotRun{Sweep: true})
}

// accept goes on without the changes that are gone. A history that has diverged is
// another epoch: its positions would go back.
func (s *launch) accept(ctx context.Context, p Progress, v verdict) error {
	s.note(&p, v, "accept_gap")
	if v.trouble == Diverged {
		s.epoch(&p)
	} else {
		p.Epochs = v.progress.Epochs
	}
	return s.from(ctx, p, p.Snapshot)
}

// from goes on at the slot as it stands, or at a new one where there is none that
// serves. What was published is forgotten: nothing of it is to be skipped.
func (s *launch) from(ctx context.Context, p Progress, run *SnapshotRun) error {
	p.SystemID, p.Last, p.Partial, p.Adopted, p.Message = s.sys.ID, nil, nil, nil, 0
	if s.slot == nil || s.slot.Lost != "" || s.hole && run != nil && run != p.Snapshot {
		if err := s.drop(ctx); err != nil {
			return err
		}
		return s.begin(ctx, p, run)
	}
	p.Confirmed = s.slot.Confirmed
	s.settle(&p, p.Confirmed)
	if p.Snapshot = run; run != nil {
		run.At = p.Confirmed
	}
	if err := s.relay.Log.Commit(ctx, p); err != nil {
		return err
	}
	return s.goOn(ctx, p)
}

// note records what is not published, and how that was settled.
func (s *launch) note(p *Progress, v verdict, remedy string) {
	p.Gaps = append(slices.Clone(p.Gaps), Lapse{From: p.Confirmed, Epoch: p.Current().Epoch, At: time.Now().UTC(), Why: v.why.What, Remedy: remedy})
	s.relay.Logger.Warn("going on over a gap in the source's history", "remedy", remedy, "from", p.Confirmed.String(), "why", v.why.What)
}

func (s *launch) epoch(p *Progress) {
	p.Epochs = append(slices.Clone(p.Epochs), Epoch{Epoch: p.Current().Epoch + 1, SystemID: s.sys.ID, Timeline: s.sys.Timeline})
}

// settle fills in where an epoch and a gap that are just being made begin and end.
func (s *launch) settle(p *Progress, at LSN) {
	if last := &p.Epochs[len(p.Epochs)-1]; last.From == 0 {
		last.From = at
	}
	if n := len(p.Gaps); n > 0 && p.Gaps[n-1].To == 0 {
		p.Gaps[n-1].To = at
	}
}
