package postgres

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tailrace/tailrace/sinks"
)

// The rows that are likely to be refused (screen.go) are tried one by one, and all of them
// in one round trip: each has a Sync of its own, up to which the server skips what stands
// behind an error, and is rolled back to the savepoint before the next one. So what the
// server says of a row is its own word, about the statement that would write it; and the
// statement is prepared, since the server spends ten times as long on planning it as on
// refusing a row.
//
// What can go wrong, and what is done about it:
//
//	a row is taken after all                         it is rolled back as the others are, and written with
//	                                                 those that were taken, in parts as any other
//	a row is refused for want of one that was        where some were taken, the others are tried again once
//	rolled back (a foreign key within the table)     those are written
//	a row is refused for what is no fault of it:     it ends the transaction, as everywhere; the connection,
//	the connection, a deadlock, a lock that lasts    and with it what was prepared, ends too
//	the statement cannot be parsed for what all of   all rows of it are refused
//	its rows have in common
//	the table has changed since it was prepared      the server plans it anew, or says that it cannot: as
//	                                                 another error
//	the tables that the guards look into have        a plan is used for some seconds (probePlan)
//	grown since it was planned
//	a pooler that knows no prepared statements       where the connection is configured for one
//	                                                 (default_query_exec_mode), nothing is prepared

const (
	// probesAtOnce bounds what is on its way at once.
	probesAtOnce = 64
	// probePlan is for how long a prepared statement is used.
	probePlan = 10 * time.Second
	// mostProbes bounds what is prepared on a connection.
	mostProbes = 32
)

// probes are the statements that are prepared on one connection.
type probes struct {
	named map[string]probe // by statement; nil: nothing is prepared
	last  int              // number of the last name
}

type probe struct {
	name  string
	until time.Time
}

// probesKey is under what a connection has its probes.
const probesKey = "tailrace probes"

func probesOf(conn *pgx.Conn) *probes {
	data := conn.PgConn().CustomData()
	p, ok := data[probesKey].(*probes)
	if !ok {
		p = &probes{}
		switch conn.Config().DefaultQueryExecMode {
		case pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeDescribeExec:
		default:
			p.named = map[string]probe{}
		}
		data[probesKey] = p
	}
	return p
}

// prepared is the name under which a statement is prepared, which is sent where it is not
// yet; "": it is to be sent as it is.
func (p *probes) prepared(pipeline *pgconn.Pipeline, q *query) string {
	if p.named == nil {
		return ""
	}
	old, ok := p.named[q.sql]
	if ok && time.Now().Before(old.until) {
		return old.name
	}
	if ok {
		pipeline.SendDeallocate(old.name)
	} else if len(p.named) >= mostProbes {
		for _, other := range p.named {
			pipeline.SendDeallocate(other.name)
		}
		clear(p.named)
	}
	p.last++
	next := probe{"tailrace_probe_" + strconv.Itoa(p.last), time.Now().Add(probePlan)}
	p.named[q.sql] = next
	pipeline.SendPrepare(next.name, q.sql, q.oids)
	return next.name
}

// tryUnlikely tries the operations of a group that are likely to be refused, and writes
// those that are not.
func (t *transaction) tryUnlikely(ctx context.Context, g *group, ops []*operation, outcomes []sinks.Outcome) error {
	for len(ops) > 0 {
		var good, bad []*operation
		var faults []*pgconn.PgError
		for at := 0; at < len(ops); at += probesAtOnce {
			some := ops[at:min(at+probesAtOnce, len(ops))]
			said, err := t.probe(ctx, g, some)
			if err != nil {
				return err
			}
			for i, op := range some {
				if said[i] == nil {
					good = append(good, op)
				} else {
					bad, faults = append(bad, op), append(faults, said[i])
				}
			}
		}
		if len(good) > 0 {
			if err := t.divide(ctx, g, good, len(good), outcomes); err != nil {
				return err
			}
			ops = bad
			continue
		}
		for i, op := range bad {
			t.refusal = faults[i]
			if err := t.learn(ctx, g); err != nil {
				return err
			}
			if err := t.blame(ctx, op, recordError(faults[i])); err != nil {
				return err
			}
		}
		return nil
	}
	return nil
}

// probe tries operations one by one, each as if it was alone behind what is written. The
// errors are parallel to ops, nil where the server takes the row. Nothing of it stays: the
// savepoint before is rolled back to with what is sent next.
func (t *transaction) probe(ctx context.Context, g *group, ops []*operation) ([]*pgconn.PgError, error) {
	queries := make([]*query, len(ops))
	for i := range ops {
		queries[i] = (&group{kind: g.kind, table: g.table, columns: g.columns, ops: ops[i : i+1], alone: true}).statement(t.scope)
	}
	pipeline := t.conn.PgConn().StartPipeline(ctx)
	plain := func(sql string) { pipeline.SendQueryParams(sql, nil, nil, nil, nil) }
	if t.undo {
		plain("ROLLBACK TO SAVEPOINT part")
	}
	if t.saved {
		plain("RELEASE SAVEPOINT part")
	}
	plain("SAVEPOINT part")
	t.saved, t.undo = true, true
	known := probesOf(t.conn)
	name := known.prepared(pipeline, queries[0]) // they differ in their values alone
	pipeline.SendPipelineSync()
	for _, q := range queries {
		plain("ROLLBACK TO SAVEPOINT part")
		if name == "" {
			pipeline.SendQueryParams(q.sql, q.values, q.oids, q.formats, nil)
		} else {
			pipeline.SendQueryPrepared(name, q.values, q.formats, nil)
		}
		pipeline.SendPipelineSync()
	}
	said := make([]*pgconn.PgError, len(ops))
	err := pipeline.Flush()
	if err == nil {
		if _, err = answersOf(pipeline); err != nil {
			delete(known.named, queries[0].sql)
		}
		var all *pgconn.PgError
		if errors.As(err, &all) && recordError(all) != nil {
			err = nil
		}
		for i := 0; i < len(ops) && err == nil; i++ {
			var n int
			if n, err = answersOf(pipeline); all != nil {
				said[i], err = all, nil
			} else if n == 1 && errors.As(err, &said[i]) && recordError(said[i]) != nil {
				err = nil
			}
		}
	}
	_ = pipeline.Close() // its errors are those that were read; it ends a connection that is out of step
	if err != nil && outdated(err) {
		discard(t.conn)
	}
	return said, judge(err)
}

// answersOf reads the answers up to the next Sync, and returns how many statements
// succeeded before the first error.
func answersOf(pipeline *pgconn.Pipeline) (n int, err error) {
	for {
		got, failed := pipeline.GetResults()
		if r, ok := got.(*pgconn.ResultReader); ok {
			failed = r.Read().Err
		}
		var pg *pgconn.PgError
		switch _, end := got.(*pgconn.PipelineSync); {
		case end:
			return n, err
		case failed != nil && (!errors.As(failed, &pg) || pg.SeverityUnlocalized == "FATAL"):
			return n, failed
		case failed != nil:
			err = failed // the server skips to the Sync
		case got == nil:
			return n, errors.New("the server has answered too little")
		default:
			n++
		}
	}
}
