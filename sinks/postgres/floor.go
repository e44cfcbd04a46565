package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/tailrace/tailrace/sinks"
)

// A floor ends all rows of a table up to a position: a TRUNCATE, or the sweep
// after a new snapshot. Each partition of the topic brings a copy, and what can
// go wrong follows from that:
//
//   - a partition that lags brings changes from below the floor after another
//     one has set it: every statement compares with the floor, so they are stale;
//   - such a change is written by a transaction that does not see the floor yet
//     and commits after the deletion: the copy in its own partition, which comes
//     behind it, deletes again. So every copy deletes, not the first one alone;
//   - a sweep deletes rows that the snapshot has and that are still on their way
//     in another partition: it waits for its copies from all partitions. Two last
//     copies at once would each miss the other: a lock makes one see both.

// floorOperation is what a batch does to one table as a whole.
type floorOperation struct {
	index  int // of the change in the batch
	target string
	change *sinks.Change

	table *table   // nil: there is none, and nothing to delete
	key   []string // its key columns in the key's order, where rows' versions stand beside them
	count int      // of statements
}

// prepare looks at the target as it is. A floor makes no table and extends none.
func (f *floorOperation) prepare(ctx context.Context, t *transaction) error {
	var err error
	if f.table, f.key, err = t.sink.tables.find(ctx, t.conn, f.target); err != nil {
		return judge(err)
	}
	if f.table != nil && !f.table.inRow && f.key == nil {
		t.refusals = append(t.refusals, sinks.Refusal{Index: f.index, Err: &sinks.RecordError{
			Class:  sinks.ClassMapping,
			Reason: fmt.Sprintf("rows of %s up to %s cannot be told from later ones: target table %s has no version columns, and the order of its key's columns is not known", f.change.Origin, f.change.Floor.Pos, f.target),
			Next:   fmt.Sprintf(`ALTER TABLE %s ADD COLUMN %s bigint, ADD COLUMN %s text COLLATE "C"`, f.target, genColumn, posColumn),
		}})
	}
	return nil
}

// statements set the floor and delete what stands at or below it.
func (f *floorOperation) statements(s scope) []*query {
	var out []*query
	args := func(sql string) *query {
		return newQuery(sql).text(s.pipeline).text(f.target).bigint(s.generation).text(f.change.Floor.Pos)
	}
	raise := "INSERT INTO " + s.state + ".floors AS f (pipeline, target, generation, pos) SELECT $1::text, $2::text, $3::bigint, $4::text WHERE "
	condition := "true"
	if f.change.Floor.Sweep {
		out = append(out, newQuery("SELECT pg_advisory_xact_lock(hashtextextended('tailrace sweep ' || $1::text || ' ' || $2::text, 0))").text(s.pipeline).text(f.target))
		out = append(out, args("INSERT INTO "+s.state+".sweeps AS w (pipeline, target, generation, pos, topic, partition) VALUES ($1::text, $2::text, $3::bigint, $4::text, $5::text, $6::bigint)"+
			" ON CONFLICT (pipeline, target, topic, partition) DO UPDATE SET generation = EXCLUDED.generation, pos = EXCLUDED.pos WHERE (w.generation, w.pos) < (EXCLUDED.generation, EXCLUDED.pos)").
			text(f.change.Origin.Topic).bigint(int64(s.partition)))
		condition = "(SELECT count(*) FROM " + s.state + ".sweeps WHERE pipeline = $1::text AND target = $2::text AND topic = $5::text AND (generation, pos) >= ($3::bigint, $4::text COLLATE \"C\")) >= $6::bigint"
	}
	q := args(raise + condition + " ON CONFLICT (pipeline, target) DO UPDATE SET generation = EXCLUDED.generation, pos = EXCLUDED.pos WHERE (f.generation, f.pos) < (EXCLUDED.generation, EXCLUDED.pos) RETURNING 1")
	if f.change.Floor.Sweep {
		q.text(f.change.Origin.Topic).bigint(int64(f.change.Floor.Partitions))
	}
	out = append(out, q)
	// A sweep that still waits for other partitions has no floor yet.
	set := " AND EXISTS (SELECT FROM " + s.state + `.floors f WHERE f.pipeline = $1::text AND f.target = $2::text AND (f.generation, f.pos) >= ($3::bigint, $4::text COLLATE "C"))`
	if f.table != nil && f.table.inRow {
		out = append(out, args("DELETE FROM "+f.target+" AS t WHERE "+f.below("t."+genColumn, "t."+posColumn)+set))
	} else if f.table != nil {
		out = append(out, args("DELETE FROM "+f.target+" AS t WHERE "+f.beside(s)+set))
	}
	for _, beside := range []string{"versions AS t WHERE", "tombstones AS t WHERE t.pipeline = $1::text AND"} {
		out = append(out, args("DELETE FROM "+s.state+"."+beside+` t.target = $2::text AND (t.generation, t.pos) <= ($3::bigint, $4::text COLLATE "C")`+set))
	}
	f.count = len(out)
	return out
}

// below holds for rows at or below the floor. Rows that somebody else put there
// have no version: TRUNCATE ended them too, a sweep has nothing to say of them.
func (f *floorOperation) below(gen, pos string) string {
	cond := "(" + gen + ", " + pos + ` COLLATE "C") <= ($3::bigint, $4::text COLLATE "C")`
	if f.change.Floor.Sweep {
		return cond
	}
	return "(" + gen + " IS NULL OR " + pos + " IS NULL OR " + cond + ")"
}

// beside is below for a table whose versions stand in the side table, under the
// keys that sinks.RowKey makes. A key that is a digest is no JSON, and the server
// refuses the statement: nothing is deleted that may be newer.
func (f *floorOperation) beside(s scope) string {
	var match []string
	for i, name := range f.key {
		match = append(match, "(s.key::jsonb ->> "+strconv.Itoa(i)+")::"+f.table.columns[name].cast+" = t."+quote(name))
	}
	versions := "EXISTS (SELECT FROM " + s.state + ".versions s WHERE s.target = $2::text AND (s.generation, s.pos) "
	if f.change.Floor.Sweep {
		return versions + `<= ($3::bigint, $4::text COLLATE "C") AND ` + strings.Join(match, " AND ") + ")"
	}
	return "NOT " + versions + `> ($3::bigint, $4::text COLLATE "C") AND ` + strings.Join(match, " AND ") + ")"
}

// outcome reads the answers to statements.
func (f *floorOperation) outcome(answers []answer) sinks.Outcome {
	at := 0
	if f.change.Floor.Sweep {
		at = 1 // the sweep's own mark
	}
	if answers[at].affected > 0 || f.change.Floor.Sweep && answers[at+1].affected > 0 {
		return sinks.Applied
	}
	return sinks.Duplicate
}
