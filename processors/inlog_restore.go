package processors

import (
	"context"
	"fmt"
	"time"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/processors/state"
)

// restore reads a task's state, and then lets its partitions be read. A task whose
// state is there, or on its way, only takes the partitions up. r.mu is held.
func (m *member) restore(t *task, owners []*owner, info kafka.ChangelogInfo) {
	if t.ready.Load() {
		for _, o := range owners {
			m.takeUp(o)
		}
		return
	}
	if t.ends != nil {
		return // what reads takes all up that is there at its end
	}
	ctx, cancel := context.WithCancel(context.Background()) // ended by Revoke, Lose or drop
	t.ends = cancel
	known := t.known
	m.reading.Go(func() { m.restoring(ctx, t, info, known) })
}

// takeUp lets a partition be read whose state is there.
func (m *member) takeUp(o *owner) {
	marks, err := o.task.markers(o.tp.Topic)
	if err == nil {
		err = o.sameTopic()
	}
	if cdc.Stopped(err) {
		o.end(err)
		o.log.Error("the partition is stopped; the others go on", "error", err)
		return
	}
	if err != nil {
		o.end(&cdc.StopError{What: "a record of the state cannot be read", Pos: o.tp.String(), Err: err, Next: "another program wrote to the topic of the state; build the pipeline anew under another name"})
		return
	}
	o.parked = marks
	o.mu.Lock()
	o.parkedRows, o.failure = len(marks), nil
	o.mu.Unlock()
	keys, bytes := o.task.replica.Size()
	o.log.Info("owns the partition", "offset", o.expect, "session", m.number, "state_keys", keys, "state_bytes", bytes)
	m.session.Resume(o.tp)
}

func (m *member) restoring(ctx context.Context, t *task, info kafka.ChangelogInfo, known int64) {
	r := m.runtime
	wait := backoff{config: r.config.Retry}
	for {
		err := m.read(ctx, t, info, known)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return
		}
		for _, o := range r.ownersOf(t) {
			if cdc.Stopped(err) {
				o.end(err)
				o.log.Error("the partition is stopped; the others go on", "error", err)
			} else {
				o.failing(fmt.Errorf("read the state: %w", err))
			}
		}
		if cdc.Stopped(err) || sleep(ctx, wait.next()) != nil {
			return
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	for _, o := range r.owners {
		if o.task == t {
			m.takeUp(o)
		}
	}
	t.ready.Store(true)
	if r.orders.some() {
		m.poke() // commands do not wait for the poll under way
	}
}

// ownersOf are the owners of a task's partitions.
func (r *Runtime) ownersOf(t *task) []*owner {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []*owner
	for _, o := range r.owners {
		if o.task == t {
			out = append(out, o)
		}
	}
	return out
}

// read brings a task's replica up to what is committed: by what the changelog has
// behind it when it is fit for that, else from the beginning.
func (m *member) read(ctx context.Context, t *task, info kafka.ChangelogInfo, known int64) error {
	r := m.runtime
	if err := m.fault("restore"); err != nil {
		return err
	}
	changelog := r.config.InLog.Changelog
	end, err := changelog.End(ctx, t.number)
	if err != nil {
		return err
	}
	if end < known {
		return &cdc.StopError{What: fmt.Sprintf("the topic of the state has lost records: it ends at %d, and went to %d when the group's offset was committed", end, known), Pos: fmt.Sprintf("%s/%d", changelog.Topic(), t.number),
			Next: "the state of what was read is lost; delete the group's offsets and the outputs, and build the pipeline anew from the beginning"}
	}
	from, now := int64(0), time.Now()
	into := t.replica
	if into.Follows(info.ID, info.DeleteRetention, now) {
		from = into.Next
	} else {
		into = state.NewReplica() // beside the old one
	}
	next, err := changelog.Read(ctx, t.number, from, into.Take)
	if err != nil {
		into.Next = 0 // some of the suffix is applied, or it is gone: all of it, the next time
		return err
	}
	into.Topic, into.Next, into.As = info.ID, next, now
	r.mu.Lock()
	t.replica = into
	r.mu.Unlock()
	how := restoreFull
	if from > 0 {
		how = restoreSuffix
	}
	r.metrics.restores.WithLabelValues(how).Inc()
	return nil
}

// stateSize is what the states in memory hold. r.mu is held.
func (r *Runtime) stateSize() (keys, bytes int) {
	seen := map[*task]bool{}
	for _, o := range r.owners {
		if t := o.task; t != nil && !seen[t] {
			seen[t] = true
			k, b := t.replica.Size()
			keys, bytes = keys+k, bytes+b
		}
	}
	return keys, bytes
}
