package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tailrace/tailrace/sinks"
)

// transaction is one try to write one batch.
type transaction struct {
	scope
	sink  *Sink
	conn  *pgx.Conn
	batch *sinks.Batch

	folded   folded
	tables   map[string]*table
	refusals []sinks.Refusal
	undo     bool            // the savepoint is to be rolled back to, with what is sent next
	saved    bool            // there is a savepoint
	refusal  *pgconn.PgError // the server's last error
}

// run writes the batch at full speed, and carefully when the server refused
// something: then it only finds out which records are to blame.
func (t *transaction) run(ctx context.Context) (sinks.Result, error) {
	t.folded = fold(t.batch.Changes, t.sink.template.target)
	t.refusals = t.folded.refusals
	if err := t.prepare(ctx); err != nil {
		return sinks.Result{}, err
	}
	if len(t.refusals) > 0 {
		return sinks.Result{}, t.refused()
	}
	apart := t.batch.Without != nil && len(t.folded.floors) == 0
	if wary := t.sink.wary.Load(); apart && wary > 0 {
		t.sink.wary.CompareAndSwap(wary, wary-1)
		return t.patient(ctx)
	}
	result, err := t.swift(ctx, t.hopeful())
	if errors.Is(err, errVain) { // before anything was noted
		result, err = t.swift(ctx, nil)
	}
	var record *sinks.RecordError
	var refused *sinks.RefusedError
	if apart && (errors.As(err, &record) || errors.As(err, &refused)) {
		t.folded, t.refusals = fold(t.batch.Changes, t.sink.template.target), nil
		return t.patient(ctx)
	}
	if errors.As(err, &record) {
		if err := t.prepareMembers(ctx); err != nil {
			return sinks.Result{}, err
		}
		return sinks.Result{}, t.careful(ctx)
	}
	return result, err
}

// prepareMembers looks at the target for the shapes of changes that were merged into
// later ones: careful tries them one by one, in a transaction that makes no table.
func (t *transaction) prepareMembers(ctx context.Context) error {
	for _, op := range t.folded.ops {
		for _, m := range op.members[:len(op.members)-1] {
			c := t.batch.Changes[m]
			var record *sinks.RecordError
			if _, err := t.sink.tables.ready(ctx, t.conn, op.target, c.Origin, c.Shape); err != nil && !errors.As(err, &record) {
				return judge(err)
			}
		}
	}
	return nil
}

// prepare finds the target tables, and refuses changes whose columns have no
// place there.
func (t *transaction) prepare(ctx context.Context) error {
	t.tables = map[string]*table{}
	type pair struct {
		target string
		shape  *sinks.Shape
	}
	bad := map[pair]*sinks.RecordError{}
	seen := map[pair]bool{}
	for _, op := range t.folded.ops {
		p := pair{op.target, op.shape}
		if seen[p] {
			continue
		}
		seen[p] = true
		tab, err := t.sink.tables.ready(ctx, t.conn, op.target, op.origin, op.shape)
		var record *sinks.RecordError
		if errors.As(err, &record) {
			bad[p] = record
			t.sink.tables.forget() // what a person mends is to be seen
			continue
		}
		if err != nil {
			return judge(err)
		}
		t.tables[op.target] = tab
	}
	for _, f := range t.folded.floors {
		if err := f.prepare(ctx, t); err != nil {
			return err
		}
	}
	if len(bad) == 0 {
		return nil
	}
	for _, op := range t.folded.ops {
		for _, m := range op.members {
			if record := bad[pair{op.target, t.batch.Changes[m].Shape}]; record != nil {
				t.refusals = append(t.refusals, sinks.Refusal{Index: m, Err: record})
			}
		}
	}
	return nil
}

func (t *transaction) refused() error {
	sort.Slice(t.refusals, func(a, b int) bool { return t.refusals[a].Index < t.refusals[b].Index })
	t.refusals = slices.CompactFunc(t.refusals, func(a, b sinks.Refusal) bool { return a.Index == b.Index })
	return &sinks.RefusedError{Refusals: t.refusals}
}

// fence moves the offset row on; no row means that it is not ours to move.
func (t *transaction) fence() *query {
	c := t.batch.Claim
	return newQuery("UPDATE " + t.state + ".offsets SET next_offset = $6::bigint, generation = $7::bigint, note = $8::text WHERE pipeline = $1::text AND topic = $2::text AND partition = $3::bigint AND epoch = $4::bigint AND next_offset = $5::bigint").
		text(t.pipeline).text(c.Topic).bigint(int64(c.Number)).bigint(c.Epoch).bigint(t.batch.Expect).bigint(t.batch.Next).bigint(t.batch.Generation).text(t.batch.Note)
}

// others finds the partitions beside this one whose claim is as known, and keeps it so
// until the transaction ends.
func (t *transaction) others() *query {
	var topics textArray
	var epochs []int64
	for _, c := range t.batch.Beside {
		topics.addString(c.Topic)
		epochs = append(epochs, c.Epoch)
	}
	return newQuery("SELECT topic FROM " + t.state + ".offsets WHERE pipeline = $1::text AND partition = $2::bigint AND (topic, epoch) IN (SELECT * FROM unnest($3::text[], $4::bigint[])) FOR SHARE").
		text(t.pipeline).bigint(int64(t.batch.Claim.Number)).texts(&topics).bigints(epochs)
}

// groups splits operations by the tables that prepare has found.
func (t *transaction) groups(ops []*operation, plain func(*operation) bool) []*group {
	return groups(ops, func(op *operation) *table { return t.tables[op.target] }, plain)
}

// swift sends the whole transaction but its COMMIT in one round trip. plain says which
// rows are taken for new; errVain: some of them are not.
func (t *transaction) swift(ctx context.Context, plain func(*operation) bool) (result sinks.Result, err error) {
	defer func() {
		if err != nil {
			t.rollback()
		}
	}()
	work := t.groups(t.folded.ops, plain)
	queries := []*query{newQuery("BEGIN"), t.fence()}
	for _, f := range t.folded.floors { // before the rows: those at or below a floor are stale
		queries = append(queries, f.statements(t.scope)...)
	}
	rows := len(queries)
	for _, g := range work {
		queries = append(queries, g.statement(t.scope))
	}
	queries = append(queries, t.beside()...)
	if len(t.batch.Beside) > 0 {
		queries = append(queries, t.others())
	}
	answers, err := t.send(ctx, queries)
	if err != nil {
		if len(answers) >= rows && t.vain(work, answers[rows:], err) {
			err = errVain
		}
		return result, err
	}
	if answers[1].affected != 1 || len(t.batch.Beside) > 0 && len(answers[len(answers)-1].rows) != len(t.batch.Beside) {
		return result, sinks.ErrFenced
	}
	if t.vain(work, answers[rows:], nil) {
		return result, errVain
	}
	result.Outcomes = t.folded.outcomes
	at := 2
	for _, f := range t.folded.floors {
		result.Outcomes[f.index] = f.outcome(answers[at:])
		at += f.count
	}
	for i, g := range work {
		if g.plain {
			t.sink.hopes.kept(g.table.name)
			continue
		}
		if err := t.account(ctx, g, answers[rows+i], result.Outcomes); err != nil {
			return result, err
		}
	}
	if len(t.refusals) > 0 {
		return sinks.Result{}, t.refused()
	}
	return result, t.commit(ctx, result)
}

// beside are the statements of what the batch has beside its rows.
func (t *transaction) beside() (queries []*query) {
	if len(t.batch.DeadLetters) > 0 {
		queries = append(queries, t.letters())
	}
	if len(t.batch.Park) > 0 {
		queries = append(queries, t.park())
	}
	if len(t.batch.Unpark) > 0 {
		queries = append(queries, t.unpark())
	}
	return append(queries, t.remember()...)
}

// commit ends the transaction. Without an answer its outcome is not known.
func (t *transaction) commit(ctx context.Context, result sinks.Result) error {
	if t.sink.atCommit != nil {
		t.sink.atCommit(t.conn)
	}
	tag, err := t.conn.PgConn().Exec(ctx, "COMMIT").ReadAll()
	if err == nil && (len(tag) != 1 || tag[0].CommandTag.String() != "COMMIT") {
		return errors.New("the server rolled the transaction back at COMMIT")
	}
	var pg *pgconn.PgError
	if err == nil || errors.As(err, &pg) && pg.SeverityUnlocalized != "FATAL" {
		return judge(err)
	}
	return &sinks.CommitUnknownError{Result: result, Err: err}
}

// rollback ends what is left of the transaction, also when ctx has ended. A
// connection that is not idle afterwards is closed by the pool.
func (t *transaction) rollback() {
	if t.conn.IsClosed() || t.conn.PgConn().TxStatus() == 'I' {
		return
	}
	_, _ = t.conn.PgConn().Exec(context.Background(), "ROLLBACK").ReadAll()
}

// answer is what one statement answered.
type answer struct {
	affected int64
	rows     [][][]byte // in text form
}

// send runs queries in one round trip and reads all answers. The first error
// ends it; the server has then skipped the rest, and the answers are those before it.
func (t *transaction) send(ctx context.Context, queries []*query) ([]answer, error) {
	if !t.undo {
		return t.pipe(ctx, queries)
	}
	t.undo = false
	answers, err := t.pipe(ctx, append([]*query{newQuery("ROLLBACK TO SAVEPOINT part")}, queries...))
	return answers[min(1, len(answers)):], err
}

func (t *transaction) pipe(ctx context.Context, queries []*query) ([]answer, error) {
	pipeline := t.conn.PgConn().StartPipeline(ctx)
	for _, q := range queries {
		pipeline.SendQueryParams(q.sql, q.values, q.oids, q.formats, nil)
	}
	if err := pipeline.Sync(); err != nil {
		return nil, errors.Join(judge(err), pipeline.Close())
	}
	answers := make([]answer, 0, len(queries))
	for {
		got, err := pipeline.GetResults()
		if err != nil {
			_ = pipeline.Close()
			errors.As(err, &t.refusal)
			return answers, judge(err)
		}
		switch r := got.(type) {
		case *pgconn.ResultReader:
			res := r.Read()
			if res.Err != nil {
				_ = pipeline.Close()
				errors.As(res.Err, &t.refusal)
				return answers, judge(res.Err)
			}
			answers = append(answers, answer{affected: res.CommandTag.RowsAffected(), rows: res.Rows})
		case *pgconn.PipelineSync:
			if err := pipeline.Close(); err != nil {
				return nil, judge(err)
			}
			if len(answers) != len(queries) {
				return nil, fmt.Errorf("got %d answers to %d statements", len(answers), len(queries))
			}
			return answers, nil
		}
	}
}
