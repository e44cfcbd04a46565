package postgres

import (
	"context"
	"fmt"
	"strconv"

	"github.com/tailrace/tailrace/sinks"
)

// account records what became of a group's operations. Those that the statement
// passed over are looked up: they are duplicate or stale, or a patch whose row
// is missing, which is added to t.refusals.
func (t *transaction) account(ctx context.Context, g *group, a answer, outcomes []sinks.Outcome) error {
	if len(a.rows) == len(g.ops) {
		return nil
	}
	done := make(map[string]bool, len(a.rows))
	for _, row := range a.rows {
		done[string(row[0])] = true
	}
	rest := &group{kind: g.kind, table: g.table, columns: g.columns}
	for _, op := range g.ops {
		if !done[op.posTxt] {
			rest.ops = append(rest.ops, op)
		}
	}
	if len(rest.ops) == 0 {
		return nil
	}
	answers, err := t.send(ctx, []*query{rest.lookup(t.scope)})
	if err != nil {
		return err
	}
	for _, row := range answers[0].rows {
		n, err := strconv.Atoi(string(row[0]))
		if err != nil || n < 1 || n > len(rest.ops) {
			return fmt.Errorf("look up %s: row number %q", g.table.name, row[0])
		}
		op := rest.ops[n-1]
		exists, generation, pos := string(row[1]) == "t", row[2], string(row[3])
		// The row is missing for a change of some of its columns, unless its end is known:
		// a deletion of an older generation that stands behind the change comes again.
		ended := row[2] != nil && (pos > op.posTxt || version(generation, pos) >= version(t.generationText(), op.posTxt))
		if g.kind == patch && !exists && !ended {
			first := op.members[0]
			t.refusals = append(t.refusals, sinks.Refusal{Index: first, Err: missingBase(t.batch.Changes[first])})
			continue
		}
		if g.kind == upsert && !exists && (row[2] == nil || version(generation, pos) < version(t.generationText(), op.posTxt)) {
			if first := op.members[0]; !t.sink.cfg.DropLate {
				t.refusals = append(t.refusals, sinks.Refusal{Index: first, Err: tooLate(t.batch.Changes[first])})
				continue
			}
		}
		if g.kind == appendRow && exists {
			outcomes[op.members[0]] = sinks.Duplicate
			continue
		}
		for _, m := range op.members {
			outcomes[m] = sinks.Stale
			if t.batch.Changes[m].Pos == pos && string(generation) == string(t.generationText()) {
				outcomes[m] = sinks.Duplicate
			}
		}
	}
	return nil
}

// tooLate says that nobody knows whether the row was deleted.
func tooLate(c *sinks.Change) *sinks.RecordError {
	return &sinks.RecordError{
		Class:  sinks.ClassUnknown,
		Code:   sinks.CodeLate,
		Reason: "the row of " + c.Origin.String() + " at " + c.Pos + " is not in the target table, and may have been deleted: positions of deleted rows that are as old are not kept any more",
		Next:   "raise state.retention, or set state.late to drop; processor dlq replay --force applies it",
	}
}

func (t *transaction) generationText() []byte { return strconv.AppendInt(nil, t.generation, 10) }

// version is a text whose order is that of (generation, position).
func version(generation []byte, pos string) string {
	return fmt.Sprintf("%020s/%s", generation, pos)
}

// lookup reads what stands in the way of each operation: number, whether the
// row is there, and the greatest version known of it, its tombstone's and its
// table's floor included.
func (g *group) lookup(s scope) *query { return g.look(s, false) }

// look is lookup; late takes the floor of what has expired as the version of a row that
// is not there.
func (g *group) look(s scope, late bool) *query {
	b := &builder{group: g, scope: s}
	key := &group{kind: remove, table: g.table, ops: g.ops, columns: g.ops[0].shape.Key}
	b.group = key
	if g.kind == appendRow {
		key.columns = nil
	}
	var row, version string
	switch {
	case g.kind == appendRow && g.table.inRow:
		row = "SELECT true AS there, t." + genColumn + " AS g, t." + posColumn + " AS p FROM " + g.table.name + " AS t WHERE t." + posColumn + " = i.pos"
	case g.kind == appendRow:
		row = "SELECT true AS there, s.generation AS g, s.pos AS p FROM " + s.state + ".versions s WHERE s.target = " + b.targetName() + "::text AND s.key = i.key"
	case g.table.inRow:
		row = "SELECT true AS there, t." + genColumn + " AS g, t." + posColumn + " AS p FROM " + g.table.name + " AS t WHERE " + b.match()
	default:
		row = "SELECT true AS there, s.generation AS g, s.pos AS p FROM " + g.table.name + " AS t LEFT JOIN " + s.state + ".versions s ON s.target = " + b.targetName() +
			"::text AND s.key = i.key WHERE " + b.match()
	}
	gone := ""
	if late {
		gone = " UNION ALL SELECT e.generation, e.pos FROM (" + b.expired() + ") e WHERE r.there IS NULL"
	}
	version = "SELECT x.g, x.p FROM (SELECT r.g, r.p UNION ALL SELECT d.generation, d.pos FROM " + s.state + ".tombstones d WHERE d.pipeline = " + b.pipe() +
		"::text AND d.target = " + b.targetName() + `::text AND d.key = i.key UNION ALL ` + b.floor() + gone + `) AS x(g, p) WHERE x.p IS NOT NULL ORDER BY x.g DESC, x.p COLLATE "C" DESC LIMIT 1`
	return b.query("SELECT i.n, coalesce(r.there, false), w.g, w.p FROM "+b.numbered()+" LEFT JOIN LATERAL ("+row+") r ON true LEFT JOIN LATERAL ("+version+") w ON true", false)
}
