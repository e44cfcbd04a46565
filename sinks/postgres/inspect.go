package postgres

import (
	"context"
	"fmt"
	"strconv"

	"github.com/tailrace/tailrace/sinks"
)

var _ sinks.Inspector = (*Sink)(nil)

// Inspect reads the versions of the rows that changes are about. It makes and
// extends no table: a target that is not there has no rows.
func (s *Sink) Inspect(ctx context.Context, p sinks.Partition, changes []*sinks.Change) ([]sinks.Version, error) {
	fail := func(err error) ([]sinks.Version, error) {
		return nil, judge(fmt.Errorf("look up rows of %s/%d: %w", p.Topic, p.Number, err))
	}
	conn, err := s.pool.acquire(ctx)
	if err != nil {
		return fail(err)
	}
	defer s.pool.release(conn)
	t := &transaction{sink: s, conn: conn, scope: scope{state: s.state, pipeline: s.cfg.Pipeline, partition: p.Number}}
	versions := make([]sinks.Version, len(changes))
	tables := map[string]*table{}
	var ops []*operation
	for i, c := range changes {
		if c.Floor != nil {
			continue
		}
		op := single(c, i, s.template.target(c.Origin))
		tab, known := tables[op.target]
		if !known {
			if tab, _, err = s.tables.find(ctx, conn, op.target); err != nil {
				return fail(err)
			}
			tables[op.target] = tab
		}
		if tab != nil {
			ops = append(ops, op)
		}
	}
	work := groups(ops, func(op *operation) *table { return tables[op.target] }, nil)
	queries := make([]*query, len(work))
	for i, g := range work {
		queries[i] = (&group{kind: g.kind, table: g.table, ops: g.ops, columns: g.ops[0].shape.Key}).look(t.scope, g.kind != appendRow)
	}
	answers, err := t.send(ctx, queries)
	if err != nil {
		return fail(err)
	}
	for i, g := range work {
		for _, row := range answers[i].rows { // number, there, generation, position
			n, err := strconv.Atoi(string(row[0]))
			if err != nil || n < 1 || n > len(g.ops) {
				return fail(fmt.Errorf("row number %q", row[0]))
			}
			v := sinks.Version{Exists: string(row[1]) == "t", Pos: string(row[3])}
			if v.Pos != "" {
				if v.Generation, err = strconv.ParseInt(string(row[2]), 10, 64); err != nil {
					return fail(err)
				}
			}
			versions[g.ops[n-1].members[0]] = v
		}
	}
	return versions, nil
}
