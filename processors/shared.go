package processors

import (
	"context"
	"errors"
	"time"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/processors/state"
	"github.com/tailrace/tailrace/sinks"
)

// commitShared is commit for a pipeline whose steps keep state: the gate by row stands
// before them, and the state is written in the batch's own transaction. What is in
// memory is a cache of it, for this owner alone: a claim reads it anew. Partitions with
// one number take turns.
func (o *owner) commitShared(ctx context.Context, messages []kafka.Message, tries attempts) error {
	t := o.task
	t.serial.Lock()
	defer t.serial.Unlock()
	if err := o.load(ctx); err != nil {
		return err
	}
	var stop error
	for {
		overlay := state.NewOverlay(t.replica.Memory)
		items, err := o.admit(ctx, messages, overlay)
		if err != nil {
			return err
		}
		for i := range items {
			if c := items[i].change; c != nil && c.Floor != nil && items[i].fault == nil {
				items[i].filtered = true // it has become a delete of each of its rows
			}
		}
		next := messages[len(messages)-1].Offset + 1
		if len(items) == 0 && stop == nil { // only ends of transactions
			o.passed(next)
			return nil
		}
		judged := o.faults.judge(o.tp.Topic, o.parked, items)
		if judged.err != nil {
			return judged.err
		}
		p := o.plan(items, next, tries)
		if p.stop != nil { // what stands behind has left its traces in the state: anew, without it
			stop = p.stop
			if messages = before(messages, p.batch.Next); len(messages) == 0 {
				return stop
			}
			continue
		}
		o.purge(overlay)
		changes := overlay.Changes()
		p.batch.State = entriesOf(changes)
		o.gated, p.batch.Beside = p.gated, t.beside(o.tp.Topic)
		result, err := o.write(ctx, p.batch)
		var refused *sinks.RefusedError
		if errors.As(err, &refused) {
			for _, r := range refused.Refusals {
				o.blamed[p.items[r.Index].message.Offset] = r.Err
			}
			continue // each round has fewer changes than the one before
		}
		if err != nil {
			return err
		}
		t.replica.Apply(changes)
		clear(o.blamed)
		o.committed(p, result)
		o.faults.note(o.tp.Topic, judged)
		return stop
	}
}

// entriesOf are pieces of state as a sink stores them.
func entriesOf(changes []state.Entry) []sinks.StateEntry {
	out := make([]sinks.StateEntry, len(changes))
	for i, e := range changes {
		out[i] = sinks.StateEntry{Key: e.Key.Append(nil), Value: e.Value}
	}
	return out
}

// load reads the state of the owner's task, once.
func (o *owner) load(ctx context.Context) error {
	t := o.task
	if t.loaded {
		return nil
	}
	kept, ok := o.config.Sink.(sinks.Stateful)
	if !ok {
		return &cdc.StopError{What: "the sink keeps no state, and a step needs it", Pos: o.tp.String(), Next: "choose a sink that does: postgres or kafka"}
	}
	fresh := state.NewReplica()
	if err := kept.States(ctx, t.number, fresh.Take); err != nil {
		return err
	}
	t.replica.Become(fresh.Memory)
	t.loaded = true
	keys, bytes := fresh.Size()
	o.log.Info("read the state", "keys", keys, "bytes", bytes)
	return nil
}

// purge forgets rows that were deleted long ago, now and then.
func (o *owner) purge(overlay *state.Overlay) {
	t, now := o.task, time.Now()
	if o.config.Retention <= 0 || now.Sub(t.purged) < purgeEvery {
		return
	}
	t.purged = now
	mark := overlay.Mark()
	if _, err := forgetRows(overlay, t.replica.Memory, now.Add(-o.config.Retention)); err != nil {
		overlay.Rollback(mark)
		o.log.Error("the positions of deleted rows stay for now", "error", err)
	}
}

// claim notes the claim of one of the task's partitions.
func (t *task) claim(c sinks.Claim) {
	t.claimsMu.Lock()
	defer t.claimsMu.Unlock()
	if t.claims == nil {
		t.claims = map[string]sinks.Claim{}
	}
	t.claims[c.Topic] = c
}

// unclaim forgets a partition that is not here any more.
func (t *task) unclaim(topic string) {
	t.claimsMu.Lock()
	defer t.claimsMu.Unlock()
	delete(t.claims, topic)
}

// beside are the claims of the task's other partitions.
func (t *task) beside(topic string) (all []sinks.Claim) {
	t.claimsMu.Lock()
	defer t.claimsMu.Unlock()
	for other, c := range t.claims {
		if other != topic {
			all = append(all, c)
		}
	}
	return all
}

// share makes an owner one of a task's. r.mu is held.
func (r *Runtime) share(o *owner, of int32) error {
	counts := map[string]int32{o.tp.Topic: of}
	for tp, other := range r.owners {
		if other.of > 0 {
			counts[tp.Topic] = other.of
		}
	}
	if err := evenly(counts); of > 0 && err != nil {
		return err
	}
	t := r.tasks[o.tp.Partition]
	if t == nil {
		t = &task{number: o.tp.Partition, replica: state.NewReplica(), line: newLine(r.config.Steps, nil, &o.decoder.arena)}
		if r.config.State != nil {
			t.replica.Memory, t.loaded = r.config.State, true
		}
		r.tasks[o.tp.Partition] = t
	}
	o.task, o.of, o.blamed, o.line = t, of, map[int64]*sinks.RecordError{}, nil
	o.decoder.steps = true
	t.claim(o.claim)
	return nil
}

// unshare lets go of tasks that have no owner here any more: the next reads their state
// again. r.mu is held.
func (r *Runtime) unshare() {
	for number, t := range r.tasks {
		if !r.has(t) {
			delete(r.tasks, number)
		}
	}
}
