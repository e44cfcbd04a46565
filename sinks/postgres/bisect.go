package postgres

import (
	"context"
	"errors"
	"slices"

	"github.com/tailrace/tailrace/sinks"
)

// careful runs the batch's statements one by one with savepoints, halves those
// that the server refuses until single rows are left, and rolls everything back.
// It returns the *sinks.RefusedError; nil never.
//
// An operation that stands for several changes is tried change by change: the
// ones before the guilty one are good, and must not share its fate.
func (t *transaction) careful(ctx context.Context) error {
	defer t.rollback()
	answers, err := t.send(ctx, []*query{newQuery("BEGIN"), t.fence()})
	if err != nil {
		return err
	}
	if answers[1].affected != 1 {
		return sinks.ErrFenced
	}
	for _, f := range t.folded.floors {
		record, err := t.tried(ctx, f.statements(t.scope), nil)
		if err != nil {
			return err
		}
		if record != nil {
			t.refusals = append(t.refusals, sinks.Refusal{Index: f.index, Err: record})
		}
	}
	for _, g := range t.groups(t.folded.ops, nil) {
		for part := range slices.Chunk(g.ops, suspects) {
			if err := t.bisect(ctx, g, part); err != nil {
				return err
			}
		}
	}
	if len(t.refusals) == 0 {
		return errors.New("the server refused a statement of the batch, and then none of its rows; the batch is tried again")
	}
	return t.refused()
}

// suspects is how many rows are tried at once when it is known that one of the batch
// is refused: with a few of them in thousands, most parts pass at the first try.
const suspects = 64

// bisect finds the operations among ops that the server refuses.
func (t *transaction) bisect(ctx context.Context, g *group, ops []*operation) error {
	part := &group{kind: g.kind, table: g.table, columns: g.columns, ops: ops}
	record, err := t.attempt(ctx, part)
	if err != nil || record == nil {
		return err
	}
	if len(ops) > 1 {
		half := len(ops) / 2
		if err := t.bisect(ctx, g, ops[:half]); err != nil {
			return err
		}
		return t.bisect(ctx, g, ops[half:])
	}
	members := ops[0].members
	if len(members) == 1 {
		t.refusals = append(t.refusals, sinks.Refusal{Index: members[0], Err: record})
		return nil
	}
	return t.oneByOne(ctx, ops[0], record)
}

// oneByOne applies the changes of one operation in order and refuses the first
// that the server refuses; if it takes each alone, the last one.
func (t *transaction) oneByOne(ctx context.Context, op *operation, together *sinks.RecordError) error {
	for _, m := range op.members {
		alone := single(t.batch.Changes[m], m, op.target)
		tab, ok := t.sink.tables.get(alone.target, alone.shape)
		if !ok { // a shape that the target does not take
			t.refusals = append(t.refusals, sinks.Refusal{Index: m, Err: together})
			return nil
		}
		before := len(t.refusals)
		for _, g := range groups([]*operation{alone}, func(*operation) *table { return tab }, nil) {
			record, err := t.attempt(ctx, g)
			if err != nil {
				return err
			}
			if record != nil {
				t.refusals = append(t.refusals, sinks.Refusal{Index: m, Err: record})
			}
		}
		if len(t.refusals) > before {
			return nil
		}
	}
	last := op.members[len(op.members)-1]
	t.refusals = append(t.refusals, sinks.Refusal{Index: last, Err: together})
	return nil
}

// attempt runs one statement between savepoints. The record error is the
// server's verdict on its rows; err ends the transaction.
func (t *transaction) attempt(ctx context.Context, g *group) (record *sinks.RecordError, err error) {
	return t.tried(ctx, []*query{g.statement(t.scope)}, func(answers []answer) error {
		return t.account(ctx, g, answers[0], make([]sinks.Outcome, len(t.batch.Changes)))
	})
}

// tried runs statements behind a savepoint, in one round trip, and then look at their
// answers.
func (t *transaction) tried(ctx context.Context, statements []*query, look func([]answer) error) (record *sinks.RecordError, err error) {
	var queries []*query
	if t.saved {
		queries = append(queries, newQuery("RELEASE SAVEPOINT part"))
	}
	queries = append(queries, newQuery("SAVEPOINT part"))
	before := len(queries)
	answers, err := t.send(ctx, append(queries, statements...))
	t.saved = true
	if errors.As(err, &record) {
		_, err := t.send(ctx, []*query{newQuery("ROLLBACK TO SAVEPOINT part")})
		return record, err
	}
	if err != nil || look == nil {
		return nil, err
	}
	return nil, look(answers[before:])
}
