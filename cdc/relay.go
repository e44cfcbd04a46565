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
	History  *History // of the schema topic; the loop adds what it writes
	Samples  []Sample // of the progress topic

	tracker *Tracker
	epoch   uint32
	batch   *Batch
	env     Envelope
	last    LSN // the first half of source.sequence
	skip    skip
	adopted *Adoption           // nil: nothing is left to pass over
	members map[string][]uint32 // of the publication's list, by table

	routes map[*Table]*route
	tables map[uint32]*Table // by relation, as of where the stream stands
	stale  map[uint32]bool   // relations that were described since; their table is asked for when it is needed
	recent *route

	meta      metadata
	messages  messages
	heartbeat heartbeat
	samples   sampler
	replaying bool // a stretch of the past, into other topics

	open  txn
	notes time.Time // when progress without rows was last written
}

// txn is the Kafka transaction that is being filled.
type txn struct {
	records, bytes int
	since          int64       // Event.Read of its first record
	commits        []int64     // commit times of the source transactions in it
	noted          bool        // it has notes, or probes
	probes         []time.Time // when those were sent that become durable with it
}

// Resume prepares the loop to go on from durable progress.
func (r *Relay) Resume(p Progress, slotConfirmed LSN) {
	r.tracker = NewTracker(p)
	r.epoch = p.Current().Epoch
	r.routes = map[*Table]*route{}
	r.tables, r.stale = map[uint32]*Table{}, map[uint32]bool{}
	r.skip = newSkip(p, slotConfirmed)
	r.adopted = p.Adopted
	if r.History == nil {
		r.History = &History{}
	}
	r.notes = time.Now()
	r.heartbeat.begin(&r.Config, r.notes)
	r.samples.begin(r.Samples)
	r.messages.seen = r.notes.Truncate(time.Millisecond).UnixMicro()
	if p.Adopted != nil {
		r.last = p.Adopted.Last
	}
	if p.Last != nil {
		r.last, r.messages.seen = p.Last.EndLSN, p.Last.CommitTime
	}
	if r.Config.Debezium {
		r.last = max(r.last, p.Message)
	}
	if r.Config.Transactions {
		r.tracker.counts = r.meta.counts
	}
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
			if err := r.finish(drain); err != nil {
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
// transaction is open, since it is to be committed once the queue is empty. What comes
// while the log needs its rest goes with it: read after it, it would wait for the end of
// this transaction and for the whole of the next one.
func (r *Relay) wait() time.Duration {
	if r.open.records > 0 || r.open.noted {
		idle := r.Config.Limits.Between
		if r.tracker.InTransaction() {
			idle = r.Config.Limits.Idle
		}
		return max(idle, r.Log.Rest())
	}
	if r.heartbeat.every > 0 {
		return min(time.Second, max(r.heartbeat.left(), time.Millisecond))
	}
	return time.Second
}

// due tells whether what was read is to be committed now: the queue is empty
// (ev is nil), the transaction is old, large or full, or progress without rows
// has waited long enough.
func (r *Relay) due(ev *Event) bool {
	l := &r.Config.Limits
	if ev != nil && r.heartbeat.due(ev.Read) || ev == nil && r.heartbeat.due(time.Now().UnixNano()) {
		return true
	}
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
		return r.begin(ev)
	case EventRow:
		return r.row(ctx, ev)
	case EventTruncate:
		return r.truncate(ctx, ev)
	case EventMessage:
		return r.message(ctx, ev)
	case EventCommit:
		return r.endTransaction(ctx, ev)
	case EventKeepalive:
		if err := r.skip.passed(ev.LSN); err != nil {
			return err
		}
		r.tracker.Keepalive(ev.LSN)
		r.overtake(ev.LSN)
	case EventRelation:
		// Another shape may be in force for the rows that follow. Which one is asked
		// for the first of them that is published: its position is where a version
		// begins, and what was published before needs none.
		r.stale[ev.Relation], r.recent = true, nil
	}
	return nil
}

// begin opens the source transaction.
func (r *Relay) begin(ev *Event) error {
	r.messages.seen = ev.Tx.CommitTime
	if err := r.skip.begin(ev.Tx); err != nil || r.skip.whole {
		return err
	}
	r.epoch = r.tracker.next.EpochAt(ev.Tx.CommitLSN)
	r.tracker.Begin(ev.Tx)
	if r.Config.Transactions {
		r.meta.begin(ev.Tx, ev.LSN, r.skip.published(), r.Config.Debezium)
	}
	return nil
}

// repeated tells whether an earlier run has published a change of the open
// transaction. One that it has takes its ordinal here.
func (r *Relay) repeated(kind byte, ev *Event) (bool, error) {
	switch {
	case r.skip.whole, r.skip.early:
		return true, nil
	case r.skip.part:
		return true, r.skip.change(r.tracker.Change(kind, ev.Relation, ev.LSN), r.tracker.hash)
	}
	return false, nil
}

// endTransaction closes the source transaction.
func (r *Relay) endTransaction(ctx context.Context, ev *Event) error {
	whole, err := r.skip.commit(ev.Tx)
	if err != nil {
		return err
	}
	if whole {
		return nil
	}
	if err := r.closing(ctx, ev.LSN, ev.Read); err != nil {
		return err
	}
	r.meta.end()
	r.tracker.Commit(ev.LSN)
	r.last = ev.LSN
	r.overtake(ev.Tx.CommitLSN)
	if r.open.records > 0 {
		r.open.commits = append(r.open.commits, ev.Tx.CommitTime)
	}
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

// commit makes everything read so far durable, with a heartbeat if it is time for
// one.
func (r *Relay) commit(ctx context.Context) error {
	if err := r.beat(ctx); err != nil {
		return err
	}
	return r.settle(ctx)
}

// settle makes everything read so far durable. What is under way when ctx ends is
// not given up: a Kafka transaction whose end is not known would be read again,
// although a moment more would have confirmed it.
func (r *Relay) settle(ctx context.Context) error {
	lasting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		select {
		case <-lasting.Done():
		case <-time.After(drainTime(ctx)):
			cancel()
		}
	})()
	return r.finish(lasting)
}

// finish makes everything read so far durable, then lets the server release its
// WAL. Law 1 is kept here: Confirm is called with what the log has made durable,
// and with nothing else.
func (r *Relay) finish(ctx context.Context) error {
	if r.tracker == nil || r.open.records == 0 && !r.open.noted && r.tracker.Ahead() == 0 {
		return nil
	}
	if err := r.flush(ctx); err != nil {
		return err
	}
	p := r.tracker.Next()
	sample, err := r.sample(ctx, &p)
	if err != nil {
		return err
	}
	if err := r.Log.Commit(ctx, p); err != nil {
		return err
	}
	confirmed := r.tracker.Durable(p)
	r.Source.Confirm(confirmed)
	r.Observer.Confirmed(confirmed)
	if sample != nil {
		r.Observer.Sampled(*sample)
	}
	now := time.Now()
	for _, at := range r.open.commits {
		r.Observer.CommitToAck(now.Sub(time.UnixMicro(at)))
	}
	for _, sent := range r.open.probes {
		r.Observer.Heartbeat(sent)
	}
	r.notes = now
	r.open = txn{commits: r.open.commits[:0], probes: r.open.probes[:0]}
	for _, rt := range r.routes {
		rt.report(r.Observer)
	}
	if n := r.messages.published; n > 0 {
		r.Observer.Changes(LogicalMessages, OpMessage, n)
		r.messages.published = 0
	}
	return nil
}
