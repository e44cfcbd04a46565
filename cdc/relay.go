package cdc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Relay is the loop from source to log. One goroutine runs it.
type Relay struct {
	Config   Config
	Source   Source
	Encoder  Encoder
	Log      Log
	Observer Observer
	Logger   *slog.Logger

	tracker *Tracker
	epoch   uint32
	batch   *Batch
	env     Envelope
	last    LSN // end of the last published transaction
	skip    skip

	routes map[*Table]*route
	tables map[uint32]*Table // by relation, as of where the stream stands
	recent *route

	open  txn
	notes time.Time // when progress without rows was last written
}

// txn is the Kafka transaction that is being filled.
type txn struct {
	records, bytes int
	since          int64   // Event.Read of its first record
	commits        []int64 // commit times of the source transactions in it
	noted          bool    // it has notes
}

// Resume prepares the loop to go on from durable progress.
func (r *Relay) Resume(p Progress, slotConfirmed LSN) {
	r.tracker = NewTracker(p)
	r.epoch = p.Current().Epoch
	r.routes = map[*Table]*route{}
	r.tables = map[uint32]*Table{}
	r.skip = newSkip(p, slotConfirmed)
	if p.Last != nil {
		r.last = p.Last.EndLSN
	}
	r.notes = time.Now()
}

// Stream publishes until ctx ends or something fails. When ctx ends, what is
// complete is committed and confirmed before it returns ctx's error; ErrUnconfirmed
// when that did not succeed.
func (r *Relay) Stream(ctx context.Context) error {
	for {
		ev, err := r.Source.Next(ctx, r.wait())
		if err == nil && ev != nil {
			err = r.handle(ctx, ev)
		}
		if err == nil && r.due(ev) {
			err = r.commit(ctx)
		}
		if err == nil {
			continue
		}
		if ctx.Err() != nil {
			drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime(ctx))
			defer cancel()
			if err := r.commit(drain); err != nil {
				return fmt.Errorf("%w: %w", ErrUnconfirmed, err)
			}
			return ctx.Err()
		}
		return err
	}
}

// ErrUnconfirmed says that a relay stopped with changes under way. They are read
// again at the next start; none is lost.
var ErrUnconfirmed = errors.New("the last changes were not confirmed; they are read again at the next start")

// drainTime is how long the last commit may take: long when a person has asked the
// relay to stop, short when it was interrupted for a reason of its own, such as a
// server that shuts down and waits for us while Kafka is away.
func drainTime(ctx context.Context) time.Duration {
	if context.Cause(ctx) == ctx.Err() {
		return 10 * time.Second
	}
	return time.Second
}

// wait is how long the loop may wait for the next event: a moment when a Kafka
// transaction is open, since it is to be committed once the queue is empty.
func (r *Relay) wait() time.Duration {
	if r.open.records > 0 || r.open.noted {
		return r.Config.Limits.Idle
	}
	return time.Second
}

// due tells whether what was read is to be committed now: the queue is empty
// (ev is nil), the transaction is old, large or full, or progress without rows
// has waited long enough.
func (r *Relay) due(ev *Event) bool {
	l := &r.Config.Limits
	if r.open.records > 0 || r.open.noted {
		return ev == nil || r.open.records >= l.Rows || r.open.bytes+len(r.batchBuf()) >= l.Bytes ||
			(r.open.since > 0 && ev.Read-r.open.since >= int64(l.Age))
	}
	ahead := r.tracker.Ahead()
	if ahead == 0 || r.tracker.InTransaction() {
		return false
	}
	since := time.Since(r.notes)
	// A server that shuts down asks for replies until everything is confirmed.
	return ahead >= l.Ahead || since >= l.Keepalive || ev != nil && ev.Reply && since >= time.Second
}

func (r *Relay) batchBuf() []byte {
	if r.batch == nil {
		return nil
	}
	return r.batch.Buf
}

// handle takes one event in.
func (r *Relay) handle(ctx context.Context, ev *Event) error {
	switch ev.Kind {
	case EventBegin:
		if err := r.skip.begin(ev.Tx); err != nil {
			return err
		}
		if !r.skip.whole {
			r.tracker.Begin(ev.Tx)
		}
	case EventRow:
		return r.row(ctx, ev)
	case EventTruncate:
		for range ev.Relations {
			if err := r.pass('T', ev, "truncate"); err != nil {
				return err
			}
		}
	case EventMessage:
		return r.pass('M', ev, "message")
	case EventCommit:
		return r.endTransaction(ev)
	case EventKeepalive:
		if err := r.skip.passed(ev.LSN); err != nil {
			return err
		}
		r.tracker.Keepalive(ev.LSN)
	case EventRelation:
		return r.relation(ctx, ev)
	}
	return nil
}

// pass counts a change that is not published.
func (r *Relay) pass(kind byte, ev *Event, reason string) error {
	if r.skip.whole {
		return nil
	}
	if ev.Tx != nil { // a message outside of transactions has no ordinal to take
		if err := r.skip.change(r.tracker.Change(kind, ev.Relation, ev.LSN), r.tracker.hash); err != nil {
			return err
		}
	}
	r.Observer.Filtered(reason, 1)
	return nil
}

// endTransaction closes the source transaction.
func (r *Relay) endTransaction(ev *Event) error {
	whole, err := r.skip.commit(ev.Tx)
	if err != nil {
		return err
	}
	if whole {
		return nil
	}
	r.tracker.Commit(ev.LSN)
	r.last = ev.LSN
	if r.open.records > 0 {
		r.open.commits = append(r.open.commits, ev.Tx.CommitTime)
	}
	return nil
}

// relation puts another shape in force for the rows that follow. No Kafka
// transaction is open while the catalog or the registry is asked.
func (r *Relay) relation(ctx context.Context, ev *Event) error {
	if err := r.commit(ctx); err != nil {
		return err
	}
	t, err := r.Source.Resolve(ctx, ev.Relation, r.position())
	if err != nil {
		return err
	}
	r.retire(r.tables[ev.Relation])
	r.tables[ev.Relation] = t
	return nil
}

// row publishes one change, or skips what an earlier run has published.
func (r *Relay) row(ctx context.Context, ev *Event) error {
	if r.skip.whole {
		return nil
	}
	if r.skip.part {
		return r.skip.change(r.tracker.Change(byte(ev.Op), ev.Relation, ev.LSN), r.tracker.hash)
	}
	t := r.tables[ev.Relation]
	if t == nil {
		return &StopError{What: fmt.Sprintf("a row of relation %d came before its RELATION message", ev.Relation),
			Pos: ev.LSN.String(), Next: "report this with the server's version; restarting the relay reads the transaction again"}
	}
	if n := len(t.Columns); ev.New != nil && len(ev.New) != n || ev.Old != nil && len(ev.Old) != n {
		return &StopError{What: fmt.Sprintf("a row has another number of columns than its RELATION message (%d)", n),
			Pos: ev.LSN.String() + " of " + t.String(), Next: "report this with the server's version; restarting the relay reads the transaction again"}
	}
	rt := r.recent
	if rt == nil || rt.table != t {
		var err error
		if rt, err = r.route(ctx, t); err != nil {
			return err
		}
		r.recent = rt
	}
	if rt.filtered {
		rt.skipped++
	} else if err := r.publish(ctx, rt, ev); err != nil {
		return err
	}
	r.tracker.Change(byte(ev.Op), ev.Relation, ev.LSN)
	return nil
}

// flush hands the batch to the log.
func (r *Relay) flush(ctx context.Context) error {
	b := r.batch
	if b == nil || len(b.Records) == 0 {
		return nil
	}
	r.batch = nil
	r.open.bytes += len(b.Buf)
	return r.Log.Publish(ctx, b)
}

// commit makes everything read so far durable, then lets the server release its
// WAL. Law 1 is kept here: Confirm is called with what the log has made durable,
// and with nothing else.
func (r *Relay) commit(ctx context.Context) error {
	if r.tracker == nil || r.open.records == 0 && !r.open.noted && r.tracker.Ahead() == 0 {
		return nil
	}
	if err := r.flush(ctx); err != nil {
		return err
	}
	p := r.tracker.Next()
	if err := r.Log.Commit(ctx, p); err != nil {
		return err
	}
	confirmed := r.tracker.Durable(p)
	r.Source.Confirm(confirmed)
	r.Observer.Confirmed(confirmed)
	now := time.Now()
	for _, at := range r.open.commits {
		r.Observer.CommitToAck(now.Sub(time.UnixMicro(at)))
	}
	r.notes = now
	r.open = txn{commits: r.open.commits[:0]}
	for _, rt := range r.routes {
		rt.report(r.Observer)
	}
	return nil
}
