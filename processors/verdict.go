package processors

import (
	"context"
	"fmt"

	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/processors/state"
	"github.com/tailrace/tailrace/sinks"
)

// redo is one dead letter on its second way through the pipeline.
type redo struct {
	letter  Letter
	message kafka.Message
	order   *order // nil: it is behind the one that was asked for
	item    *item
	rows    []item // of a change of a table: one for each of its rows, instead of item
	verdict Verdict
	reason  string
	row     bool // the verdict is about all dead letters of the row
}

// owning is the dead letter that a change of the last batch came from.
func (o *owner) owning(list []*redo, index int) *redo {
	for _, r := range list {
		n := len(r.changes())
		if index < n {
			return r
		}
		index -= n
	}
	return list[len(list)-1]
}

// changes are what a dead letter gives the sink.
func (r *redo) changes() []*sinks.Change {
	p := &plan{batch: &sinks.Batch{}}
	r.addTo(p)
	return p.batch.Changes
}

// addTo adds them to a plan.
func (r *redo) addTo(p *plan) {
	if r.rows == nil && r.item != nil && !r.item.filtered {
		p.add(r.item)
	}
	for i := range r.rows {
		if !r.rows[i].filtered {
			p.add(&r.rows[i])
		}
	}
}

// pass takes dead letters without a verdict through the pipeline and judges each by
// what its row has by then. item is set for those that go to the sink.
func (o *owner) pass(ctx context.Context, list []*redo, rows parked) error {
	var open []*redo
	var batch []kafka.Message
	for _, r := range list {
		if r.item, r.rows = nil, nil; r.verdict == "" {
			open, batch = append(open, r), append(batch, r.message)
		}
	}
	if o.task != nil {
		return o.passState(ctx, open, batch)
	}
	items, err := o.transform(ctx, batch, nil, rows)
	if err != nil {
		return err
	}
	has := map[rowOf]sinks.Version{}
	for i, r := range open {
		it := &items[i]
		switch {
		case it.fault != nil:
			r.verdict, r.reason = VerdictFailed, it.fault.Error()
		case it.filtered:
			r.verdict = VerdictFiltered
		default:
			if err := o.judge(ctx, r, it, has); err != nil {
				return err
			}
		}
	}
	return nil
}

// rowOf is a row of the sink.
type rowOf struct {
	origin sinks.Origin
	key    string
}

// judge compares the changes of a dead letter with the rows that they are about. has
// holds what these have, what the letters before leave included.
func (o *owner) judge(ctx context.Context, r *redo, it *item, has map[rowOf]sinks.Version) error {
	all := []*sinks.Change{it.change}
	if it.extra != nil {
		all = append(all, it.extra.more...)
	}
	r.item, r.verdict = it, VerdictApplied
	look, ok := o.config.Sink.(sinks.Inspector)
	if !ok {
		return nil
	}
	late, latest := 0, ""
	for _, c := range all {
		if c.Floor != nil {
			continue
		}
		id := rowOf{*c.Origin, c.Key}
		version, known := has[id]
		if !known || c.Key == "" {
			found, err := look.Inspect(ctx, o.claim.Partition, []*sinks.Change{c})
			if err != nil {
				return err
			}
			version = found[0]
		}
		// Also where the row has it from an older generation: a dead letter comes alone.
		behind := version.Pos != "" && (version.Generation > o.generation || version.Pos >= c.Pos)
		switch {
		case behind && r.order != nil && r.order.Force && c.Key != "" && version.Generation <= o.generation:
			// Between what the row has and everything later.
			c.Pos = version.Pos + "/" + forcePath
		case behind:
			late, latest = late+1, version.Pos
			continue
		}
		has[id] = sinks.Version{Exists: true, Generation: o.generation, Pos: c.Pos}
	}
	if late > 0 && late == len(all) {
		r.item, r.verdict = nil, VerdictSuperseded
		r.reason = fmt.Sprintf("its row has a later change, at %s, and this one is at %s; --force applies it nevertheless", latest, r.letter.Position)
	}
	return nil
}

// conclude makes the verdicts durable, with the changes behind them and the markers
// that they clear. A *sinks.RefusedError leaves everything as it was.
func (o *owner) conclude(ctx context.Context, list []*redo, d *order, unpark [][32]byte) error {
	if o.member != nil {
		return o.member.conclude(ctx, o, list, d, unpark)
	}
	b := o.batch(o.expect)
	b.Unpark = unpark
	for _, r := range list {
		b.Changes = append(b.Changes, r.changes()...)
	}
	for _, r := range results(list, d) {
		b.DeadLetters = append(b.DeadLetters, o.answer(r))
	}
	var remembered []state.Entry
	if o.redone != nil {
		remembered = o.redone.Changes()
		b.State = entriesOf(remembered)
	}
	if _, err := o.write(ctx, b); err != nil {
		return err
	}
	if o.redone != nil {
		o.task.replica.Apply(remembered)
	}
	o.backlog = true
	o.line.applied()
	o.concluded(list, unpark)
	return nil
}

// results are what became of dead letters; of the one that was named last: who waits for
// that one has read by then what became of the others of its row.
func results(list []*redo, d *order) []*Result {
	out := make([]*Result, 0, len(list))
	var named *Result
	for _, r := range list {
		if answer := r.result(d); d != nil && r.letter.ID == d.ID {
			named = answer
		} else {
			out = append(out, answer)
		}
	}
	if named != nil {
		out = append(out, named)
	}
	return out
}

// result is what became of it, by its own command or that of its row.
func (r *redo) result(d *order) *Result {
	answer := &Result{ID: r.letter.ID, Outcome: r.verdict, Message: r.reason, Row: r.row}
	switch {
	case r.order != nil:
		answer.Command = r.order.Command.Command
	case d != nil:
		answer.Command = d.Command.Command
	}
	return answer
}

// concluded lets memory follow verdicts that are durable.
func (o *owner) concluded(list []*redo, unpark [][32]byte) {
	for _, key := range unpark {
		delete(o.parked, key)
	}
	o.mu.Lock()
	o.parkedRows = len(o.parked)
	o.mu.Unlock()
	for _, r := range list {
		o.metrics.replayed.WithLabelValues(string(r.verdict)).Inc()
	}
}

// refuse answers a command that has no effect.
func (o *owner) refuse(ctx context.Context, d *order, why string) error {
	return o.decline(ctx, d, &redo{letter: Letter{ID: d.ID}, order: d, verdict: VerdictFailed, reason: why})
}

// refuseRow answers one that was about a parked row, which stays so.
func (o *owner) refuseRow(ctx context.Context, d *order, why string) error {
	return o.decline(ctx, d, &redo{letter: Letter{ID: d.ID}, order: d, verdict: VerdictFailed, reason: why, row: true})
}

func (o *owner) decline(ctx context.Context, d *order, r *redo) error {
	o.log.Warn("a command about a dead letter was not carried out", "id", d.ID, "do", d.Do, "reason", r.reason)
	o.redone = nil
	return o.conclude(ctx, []*redo{r}, nil, nil)
}
