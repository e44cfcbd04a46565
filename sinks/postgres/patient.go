package postgres

import (
	"context"
	"errors"
	"slices"

	"github.com/tailrace/tailrace/sinks"
)

// A batch of which the server refuses rows is written in parts, each behind a savepoint:
// what is good stays, what is refused is found by what the server says of it, or in
// eighths of eighths, and the caller is
// asked, within the transaction, what the batch is without it (Batch.Without). So one
// faulty row in thousands costs little more than itself; the other way, to find the rows,
// roll all back and write the batch anew, costs as much as two more batches.
//
// What can go wrong, and what is done about it:
//
//	the caller leaves out more than what was refused, and some    all is rolled back, and the rows are
//	of that is written: later changes of a row that is parked     named (*sinks.RefusedError)
//	now, or other changes of a record of which one was refused
//	a row's changes were one operation, and it is refused         none of it is written; what is left of it is
//	                                                              written when the caller has answered
//	one of those is refused in its turn                           as the first
//	the connection ends, another owner has claimed                as in any other transaction
//
// What the rows have broken before, a length or a check constraint, is looked for first
// (screen.go), so that the others can go in one statement; those that break it are tried
// one by one (probe.go).
//
// wary says for how many batches this way is the first that is tried: where one row is
// faulty, others soon are.

const (
	waryBatches = 8
	// partsAtOnce are sent in one round trip; what stands behind a refused one is sent again.
	partsAtOnce = 8
	leastPart   = 64
	// mostParts bounds the subtransactions, which all sessions of the server have to look up
	// when one has more than 64 of them.
	mostParts = 32
)

// patient writes the batch in parts.
func (t *transaction) patient(ctx context.Context) (result sinks.Result, err error) {
	defer func() {
		if err != nil {
			t.rollback()
		}
	}()
	if err := t.prepareMembers(ctx); err != nil {
		return result, err
	}
	answers, err := t.send(ctx, []*query{newQuery("BEGIN"), t.fence()})
	if err != nil {
		return result, err
	}
	if answers[1].affected != 1 {
		return result, sinks.ErrFenced
	}
	outcomes, plain := t.folded.outcomes, t.hopeful()
	if err := t.parts(ctx, t.folded.ops, plain, outcomes); err != nil {
		return result, err
	}
	if len(t.refusals) == 0 {
		result.Outcomes = outcomes
		return result, t.conclude(ctx, result)
	}
	t.sink.wary.Store(waryBatches)
	was := t.batch
	refused := t.refused()
	amended := was.Without(t.refusals)
	if amended == nil {
		return result, refused
	}
	before := t.folded
	t.batch, t.refusals = amended, nil
	if less, ok := before.without(was.Changes, amended.Changes); ok {
		t.folded = less
		if all := writtenOf(before.ops); len(all) != len(less.ops) || len(writtenOf(less.ops)) != len(all) {
			return result, refused // something is written that is to be left out, or the reverse
		}
		result.Outcomes = t.folded.outcomes
		return result, t.conclude(ctx, result)
	}
	t.folded = fold(amended.Changes, t.sink.template.target)
	rest, known := t.remaining(writtenOf(before.ops), was, outcomes)
	if !known || len(t.folded.refusals) > 0 || len(t.folded.floors) > 0 {
		return result, refused
	}
	if err := t.parts(ctx, rest, plain, t.folded.outcomes); err != nil {
		return result, err
	}
	if len(t.refusals) > 0 {
		return result, refused
	}
	result.Outcomes = t.folded.outcomes
	return result, t.conclude(ctx, result)
}

// remaining are the operations of an amended batch that are not written yet; the outcomes
// of the others are taken over. known is false when something is written that the batch
// does not have any more.
func (t *transaction) remaining(written []*operation, was *sinks.Batch, outcomes []sinks.Outcome) (rest []*operation, known bool) {
	before := make(map[*sinks.Change]*operation, len(written)) // by its first change
	for _, op := range written {
		before[was.Changes[op.members[0]]] = op
	}
	for _, op := range t.folded.ops {
		first := t.batch.Changes[op.members[0]]
		old := before[first]
		if old == nil {
			rest = append(rest, op)
			continue
		}
		if !slices.EqualFunc(op.members, old.members, func(now, then int) bool { return t.batch.Changes[now] == was.Changes[then] }) {
			return nil, false
		}
		for i, m := range op.members {
			t.folded.outcomes[m] = outcomes[old.members[i]]
		}
		delete(before, first)
	}
	return rest, len(before) == 0
}

// conclude writes what the batch has beside its rows, and commits.
func (t *transaction) conclude(ctx context.Context, result sinks.Result) error {
	if queries := t.beside(); len(queries) > 0 || t.undo {
		if _, err := t.send(ctx, queries); err != nil {
			return err
		}
	}
	return t.commit(ctx, result)
}

// writtenOf are the operations that are written.
func writtenOf(ops []*operation) []*operation {
	out := make([]*operation, 0, len(ops))
	for _, op := range ops {
		if op.written {
			out = append(out, op)
		}
	}
	return out
}

// parts writes operations part by part; those that are written are marked. plain says which
// rows are taken for new. What is refused is in t.refusals.
func (t *transaction) parts(ctx context.Context, ops []*operation, plain func(*operation) bool, outcomes []sinks.Outcome) error {
	var all []*operation // that were unlikely
	for _, g := range t.groups(ops, plain) {
		unlikely, err := t.part(ctx, g, outcomes)
		if err != nil {
			return err
		}
		all = append(all, unlikely...)
	}
	if len(t.refusals) == 0 {
		return nil
	}
	t.sink.foresees.Store(t.foreseen(all))
	refused := make(map[int]bool, len(t.refusals))
	for _, r := range t.refusals {
		refused[r.Index] = true
	}
	// Some are found by looking, not by an error: nothing of those is written either.
	for _, op := range ops {
		op.written = op.written && !slices.ContainsFunc(op.members, func(m int) bool { return refused[m] })
	}
	return nil
}

// part writes the operations of a group: first those that are likely to be taken.
func (t *transaction) part(ctx context.Context, g *group, outcomes []sinks.Outcome) (unlikely []*operation, err error) {
	if t.refusal != nil { // of the batch in one piece
		if err := t.learn(ctx, g); err != nil {
			return nil, err
		}
	}
	likely, unlikely, err := t.screen(ctx, g, g.ops)
	if err != nil {
		return nil, err
	}
	if g.plain && len(likely) > 0 {
		written, err := t.plainly(ctx, g, likely)
		if err != nil {
			return nil, err
		}
		if written {
			likely = nil
		}
	}
	size := max(leastPart, (len(g.ops)+mostParts-1)/mostParts)
	if t.sink.foresees.Load() || t.refusal != nil && len(unlikely) > 0 { // what was refused last was known before, or is known now
		size = max(leastPart, len(likely))
	}
	if err := t.divide(ctx, g, likely, size, outcomes); err != nil {
		return nil, err
	}
	return unlikely, t.tryUnlikely(ctx, g, unlikely, outcomes)
}

// plainly writes operations of rows that are taken for new, in one statement (hope.go).
// Where it is refused, or some of the rows are not new, nothing of it is written.
func (t *transaction) plainly(ctx context.Context, g *group, ops []*operation) (written bool, err error) {
	all := []*group{{kind: g.kind, table: g.table, columns: g.columns, ops: ops, plain: true}}
	answers, record, err := t.together(ctx, all)
	if err != nil {
		return false, err
	}
	var refused error
	if record != nil {
		refused = record
	}
	if t.vain(all, answers, refused) || record != nil {
		t.undo = true
		return false, nil
	}
	t.sink.hopes.kept(g.table.name)
	for _, op := range ops {
		op.written = true
	}
	return true, nil
}

// divide writes the operations of a group in parts of a size, and those of a part that is
// refused in eighths of it.
func (t *transaction) divide(ctx context.Context, g *group, ops []*operation, size int, outcomes []sinks.Outcome) error {
	for len(ops) > 0 {
		var parts []*group
		for part := range slices.Chunk(ops, size) {
			if parts = append(parts, &group{kind: g.kind, table: g.table, columns: g.columns, ops: part}); len(parts) == partsAtOnce {
				break
			}
		}
		answers, record, err := t.together(ctx, parts)
		if err != nil {
			return err
		}
		for i, a := range answers {
			for _, op := range parts[i].ops {
				op.written = true
			}
			if err := t.account(ctx, parts[i], a, outcomes); err != nil {
				return err
			}
			ops = ops[len(parts[i].ops):]
		}
		if record == nil {
			continue
		}
		if err := t.learn(ctx, g); err != nil {
			return err
		}
		bad := parts[len(answers)].ops
		ops = ops[len(bad):]
		if len(bad) == 1 {
			if err := t.blame(ctx, bad[0], record); err != nil {
				return err
			}
			continue
		}
		size := (len(bad) + partsAtOnce - 1) / partsAtOnce
		if i := suspect(t.refusal, g, bad); i >= 0 {
			// First all of the part without it, and then it alone.
			bad = append(slices.Concat(bad[:i], bad[i+1:]), bad[i])
			size = len(bad) - 1
		}
		if err := t.divide(ctx, g, bad, size, outcomes); err != nil {
			return err
		}
	}
	return nil
}

// together runs the statements of parts in one round trip, each behind a savepoint, up to
// the first that the server refuses: what stands before that one stays.
func (t *transaction) together(ctx context.Context, parts []*group) (answers []answer, record *sinks.RecordError, err error) {
	var queries []*query
	for _, p := range parts {
		if t.saved {
			queries = append(queries, newQuery("RELEASE SAVEPOINT part"))
		}
		queries = append(queries, newQuery("SAVEPOINT part"), p.statement(t.scope))
		t.saved = true
	}
	first := len(queries) - 3*len(parts) + 3 // of the first part, with its statement
	all, err := t.send(ctx, queries)
	for i := first - 1; i < len(all); i += 3 {
		answers = append(answers, all[i])
	}
	if errors.As(err, &record) {
		t.undo, err = true, nil
	}
	return answers, record, err
}

// blame finds which of an operation's changes is refused, and leaves none of them written.
func (t *transaction) blame(ctx context.Context, op *operation, record *sinks.RecordError) error {
	if len(op.members) == 1 {
		t.refusals = append(t.refusals, sinks.Refusal{Index: op.members[0], Err: record})
		return nil
	}
	var queries []*query
	if t.saved {
		queries = append(queries, newQuery("RELEASE SAVEPOINT part"))
	}
	if _, err := t.send(ctx, append(queries, newQuery("SAVEPOINT whole"))); err != nil {
		return err
	}
	t.saved = false
	if err := t.oneByOne(ctx, op, record); err != nil {
		return err
	}
	t.saved = false
	_, err := t.send(ctx, []*query{newQuery("ROLLBACK TO SAVEPOINT whole"), newQuery("RELEASE SAVEPOINT whole")})
	return err
}
