package postgres

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/tailrace/tailrace/sinks"
)

// screens are the check constraints by which target tables have refused rows: where one
// row breaks a constraint, others do, and the server tells which of thousands in one cheap
// statement. Safe for concurrent use.
type screens struct {
	mu     sync.Mutex                   // guards the following
	checks map[string]map[string]string // by target and name: the expression
}

func (s *screens) of(target string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, expr := range s.checks[target] {
		all = append(all, "NOT ("+expr+")")
	}
	return all
}

func (s *screens) knows(target, name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.checks[target][name]
	return ok
}

// set remembers an expression; forget all of a target, whose columns may have changed.
func (s *screens) set(target, name, expr string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.checks == nil {
		s.checks = map[string]map[string]string{}
	}
	if s.checks[target] == nil {
		s.checks[target] = map[string]string{}
	}
	s.checks[target][name] = expr
}

func (s *screens) forget(target string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.checks, target)
}

// learn asks for the constraint that has just refused a row. The transaction stands behind
// a savepoint that was rolled back to, or has written nothing yet.
func (t *transaction) learn(ctx context.Context, g *group) error {
	r := t.refusal
	if r.Code != "23514" || r.ConstraintName == "" || t.sink.screens.knows(g.table.name, r.ConstraintName) {
		return nil
	}
	answers, err := t.send(ctx, []*query{newQuery("SELECT pg_get_expr(conbin, conrelid) FROM pg_constraint WHERE conrelid = to_regclass($1::text) AND conname = $2::text AND contype = 'c'").
		text(g.table.name).text(r.ConstraintName)})
	if err == nil && len(answers[0].rows) == 1 {
		t.sink.screens.set(g.table.name, r.ConstraintName, string(answers[0].rows[0][0]))
	}
	return err
}

// screen parts the operations of a group into those that are likely to be taken and those
// that are likely to be refused. It is a guess: all of them are tried.
func (t *transaction) screen(ctx context.Context, g *group, ops []*operation) (likely, unlikely []*operation, err error) {
	if t.sink.doubts {
		return nil, ops, nil
	}
	var bad map[int]bool
	if lengths := g.lengths(); len(lengths) > 0 {
		for i, op := range ops {
			if lengths.exceeded(op) {
				bad = with(bad, i)
			}
		}
	}
	if bad == nil {
		if bad, err = t.check(ctx, g, ops); err != nil {
			return nil, nil, err
		}
	}
	if len(bad) == 0 {
		return ops, nil, nil
	}
	likely = make([]*operation, 0, len(ops))
	for i, op := range ops {
		if bad[i] {
			unlikely = append(unlikely, op)
		} else {
			likely = append(likely, op)
		}
	}
	return likely, unlikely, nil
}

func with(set map[int]bool, i int) map[int]bool {
	if set == nil {
		set = map[int]bool{}
	}
	set[i] = true
	return set
}

// check finds the operations that break a constraint that is known. A value that its column
// cannot take makes the statement fail, and then it tells nothing.
func (t *transaction) check(ctx context.Context, g *group, ops []*operation) (bad map[int]bool, err error) {
	checks := t.sink.screens.of(g.table.name)
	if len(checks) == 0 || g.kind == remove {
		return nil, nil
	}
	b := &builder{group: &group{kind: g.kind, table: g.table, columns: g.columns, ops: ops}, scope: t.scope}
	var types, names, values []string
	where := strings.Join(checks, " OR ")
	arrays := make([]textArray, 0, len(g.columns))
	for _, c := range g.columns {
		quoted, cast := b.column(c)
		if !strings.Contains(where, strings.Trim(quoted, `"`)) {
			continue
		}
		n := len(arrays)
		arrays = append(arrays, textArray{})
		types, names = append(types, "$"+strconv.Itoa(n+1)+"::text[]"), append(names, "c"+strconv.Itoa(n))
		values = append(values, "c"+strconv.Itoa(n)+"::"+cast+" AS "+quoted)
		for _, op := range ops {
			arrays[n].addValue(op.row[c])
		}
	}
	q := newQuery(fmt.Sprintf("SELECT tailrace_n FROM (SELECT n AS tailrace_n, %s FROM unnest(%s) WITH ORDINALITY AS u(%s, n)) AS r WHERE %s",
		strings.Join(values, ", "), strings.Join(types, ", "), strings.Join(names, ", "), where))
	for i := range arrays {
		q.texts(&arrays[i])
	}
	var queries []*query
	if t.saved {
		queries = append(queries, newQuery("RELEASE SAVEPOINT part"))
	}
	t.saved = true
	answers, err := t.send(ctx, append(queries, newQuery("SAVEPOINT part"), q))
	if err != nil && !t.conn.IsClosed() && ctx.Err() == nil {
		t.sink.screens.forget(g.table.name)
		_, err = t.send(ctx, []*query{newQuery("ROLLBACK TO SAVEPOINT part")})
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	for _, row := range answers[len(answers)-1].rows {
		if n, err := strconv.Atoi(string(row[0])); err == nil && n >= 1 && n <= len(ops) {
			bad = with(bad, n-1)
		}
	}
	return bad, nil
}

// foreseen tells whether all that was refused was unlikely to be taken.
func (t *transaction) foreseen(unlikely []*operation) bool {
	of := map[int]bool{}
	for _, op := range unlikely {
		for _, m := range op.members {
			of[m] = true
		}
	}
	return !slices.ContainsFunc(t.refusals, func(r sinks.Refusal) bool { return !of[r.Index] })
}
