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
	for i, c := range changes {
		if c.Floor != nil {
			continue
		}
		op := single(c, i, s.template.target(c.Origin))
		tab, _, err := s.tables.find(ctx, conn, op.target)
		if err != nil {
			return fail(err)
		}
		if tab == nil {
			continue
		}
		g := &group{kind: op.kind, table: tab, ops: []*operation{op}, columns: c.Shape.Key}
		answers, err := t.send(ctx, []*query{g.look(t.scope, op.kind != appendRow)})
		if err != nil {
			return fail(err)
		}
		for _, row := range answers[0].rows { // number, there, generation, position
			v := sinks.Version{Exists: string(row[1]) == "t", Pos: string(row[3])}
			if v.Pos != "" {
				if v.Generation, err = strconv.ParseInt(string(row[2]), 10, 64); err != nil {
					return fail(err)
				}
			}
			versions[i] = v
		}
	}
	return versions, nil
}
