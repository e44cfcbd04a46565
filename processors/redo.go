package processors

import (
	"context"
	"fmt"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/processors/state"
)

// Dead letters that are applied again where the truth about positions is the
// pipeline's own state. What it is judged by and what can go wrong:
//
//   - the gate has seen the record when it failed, so "seen" would call it a
//     duplicate: it is judged by what was applied to its row since;
//   - it is older than that: superseded. With force it stands between what the row has
//     and everything later: the row's position with the path ffff, above the numbers of derived records, so that its
//     repetition by a relay, and what came between, stay behind it;
//   - it is newer than what was seen (a dead letter of an earlier generation): it is
//     seen as well, or the relay's repetition would pass again;
//   - its steps fail: what it wrote into the state is taken back, and of a parked row
//     nothing is written at all (letGo);
//   - the deletion of one row by a TRUNCATE failed: its record was never in the log, so
//     it cannot be made again.

// forcePath is the path of a change that was applied by force: as a number, which readers of
// the outputs know, and the highest.
const forcePath = "ffff"

// passState takes dead letters through gate and steps into a new overlay, redone.
func (o *owner) passState(ctx context.Context, list []*redo, messages []kafka.Message) error {
	o.redone = state.NewOverlay(o.task.replica.Memory)
	items, err := o.decoder.batch(ctx, messages)
	if err != nil {
		return err
	}
	if l := o.task.line; l != nil {
		l.ctx, l.arena, l.generation = ctx, &o.decoder.arena, o.generation
		l.over(o.redone)
	}
	gate := o.gate(o.redone)
	for i, r := range list {
		mark := o.redone.Mark()
		if err := o.redo(ctx, gate, r, &items[i]); err != nil {
			return err
		}
		switch r.verdict {
		case VerdictApplied, VerdictFiltered:
		default:
			o.redone.Rollback(mark)
			gate.forget()
			r.item, r.rows = nil, nil
		}
	}
	return nil
}

// redo takes one dead letter through gate and steps, and gives it its verdict.
func (o *owner) redo(ctx context.Context, gate *rowGate, r *redo, it *item) error {
	switch {
	case it.fault != nil:
		r.verdict, r.reason = VerdictFailed, it.fault.Error()
		return nil
	case it.change == nil && r.message.Value == nil && r.letter.Op == cdc.OpDelete.String():
		r.verdict, r.reason = VerdictFailed, "it is the deletion of one row by a change of its whole table, and no record of its own; resolve it, and delete the row at the source or in the outputs"
		return nil
	case it.change == nil:
		r.verdict = VerdictFiltered
		return nil
	}
	gate.generation = o.generationOf(it)
	p, late, err := gate.again(ctx, it, r.order != nil && r.order.Force)
	if err != nil {
		return err
	}
	if late != "" {
		r.verdict, r.reason = VerdictSuperseded, late
		return nil
	}
	r.item, r.verdict = it, VerdictApplied
	if p.floor {
		if r.rows, err = o.expand(ctx, gate, it, p); err != nil {
			return err
		}
		it.filtered = true // it has become a delete of each of its rows
		for i := range r.rows {
			if f := r.rows[i].fault; f != nil {
				r.verdict, r.reason = VerdictFailed, f.Error()
			}
		}
		return nil
	}
	op := it.change.Op
	if err := o.steps(it); err != nil {
		return err
	}
	if it.fault != nil {
		r.verdict, r.reason = VerdictFailed, it.fault.Error()
		return nil
	}
	if p.forced {
		it.change.Same = false // it leaves with another position than it came with
	}
	gate.apply(p, op)
	if it.filtered {
		r.verdict = VerdictFiltered
	}
	return nil
}

// again judges a record that is a dead letter by what was applied to its row. late says
// why it is superseded.
func (g *rowGate) again(ctx context.Context, it *item, force bool) (p *passage, late string, err error) {
	if it.change.Floor != nil {
		p, v, err := g.see(ctx, it)
		if err == nil && v != passes {
			late = "the table has this change, or a later one of all its rows"
		}
		return p, late, err
	}
	c, at := it.change, placeOf(it)
	t, err := g.table(ctx, c.Origin)
	if err != nil {
		return nil, "", err
	}
	p = &passage{at: at, table: t}
	// What an older generation has done to the row or the table counts too: a dead letter
	// comes alone, and nothing behind it comes again with it.
	emptied, _, err := g.stored(ctx, t.name)
	if err != nil {
		return nil, "", err
	}
	if p.keyless = it.message.Key == nil; p.keyless {
		// Its table's changes have no rows to be compared with, and the dead letter was
		// not applied: whether it was since, its result says.
		if at.Compare(emptied.Truncated) <= 0 && !force {
			return p, fmt.Sprintf("its table was emptied later, at %s; --force applies it nevertheless", emptied.Truncated), nil
		}
		t.of(it.schema)
		return p, "", nil
	}
	p.key = g.rowKey(t, it.message.Key)
	old, known, err := g.row(ctx, p.key)
	if err != nil {
		return nil, "", err
	}
	p.row = old
	own := known && old.Generation == g.generation
	newest := old.Applied
	if emptied.Truncated.Compare(newest) > 0 {
		newest = emptied.Truncated
	}
	switch {
	case known && old.Generation > g.generation:
		return p, fmt.Sprintf("its row was applied in generation %d, and this is %d", old.Generation, g.generation), nil
	case at.Compare(newest) <= 0 && !force:
		return p, fmt.Sprintf("its row has a later change, at %s, and this one is at %s; --force applies it nevertheless", newest, at), nil
	case at.Compare(newest) <= 0:
		p.forced, p.at = true, state.Place{Position: newest.Position, Path: forcePath}
		if newest.Path != "" {
			p.at.Path = newest.Path + "/" + forcePath
		}
		c.Pos = p.at.String()
		it.pos = c.Pos
	case !known && t.record.Generation == g.generation && at.Compare(t.record.Expired) <= 0 && !force:
		return p, fmt.Sprintf("its row is not known, and may have been deleted: what is as old as %s is not kept any more; --force applies it nevertheless", t.record.Expired), nil
	}
	if !own || p.at.Compare(old.Seen) > 0 {
		p.row.Seen = p.at
	}
	if !own {
		p.row.Applied = state.Place{}
	}
	p.row.Generation, p.row.KeySchema = g.generation, it.schema.key
	t.of(it.schema)
	return p, "", nil
}
