package postgres

import (
	"slices"
	"strconv"
	"strings"
)

// group is a set of operations that one statement carries out: the same target
// table, kind and columns. Its operations are sorted by key.
type group struct {
	kind    kind
	table   *table
	columns []int // indexes into the shape's columns that the statement takes part in, key columns included
	ops     []*operation
	plain   bool // its rows are taken for new (hope.go)
	alone   bool // it has one operation, and the statement is the same for each (probe.go)
}

// scope is what all statements of a batch have in common.
type scope struct {
	state      string // quoted state schema
	pipeline   string
	partition  int32 // of the batch's topic
	generation int64
	expires    string // timestamptz text: until when tombstones of this batch are kept
}

// statement builds the statement of a group and its parameters. It answers with
// the positions of the operations that took effect.
//
// Every guard is part of the statement that writes: row-value comparison of
// (generation, position) with the row's own and with its tombstone's.
func (g *group) statement(s scope) *query {
	b := &builder{group: g, scope: s}
	switch {
	case g.plain && g.table.inRow:
		return b.insertInRow()
	case g.plain:
		return b.insertBeside()
	case g.kind == upsert && g.table.inRow, g.kind == appendRow && g.table.inRow:
		return b.upsertInRow()
	case g.kind == upsert, g.kind == appendRow:
		return b.upsertBeside()
	case g.kind == patch && g.table.inRow:
		return b.patchInRow()
	case g.kind == patch:
		return b.patchBeside()
	case g.table.inRow:
		return b.removeInRow()
	}
	return b.removeBeside()
}

// builder writes one statement. The input of each is a row set i with a column
// c<n> per column of the group as text, then key and pos.
type builder struct {
	*group
	scope
}

// parameters after the columns: keys, positions, generation, pipeline, target, the
// partition's number, expiry.
func (b *builder) param(n int) string { return "$" + strconv.Itoa(len(b.columns)+n) }

func (b *builder) keys() string       { return b.param(1) }
func (b *builder) positions() string  { return b.param(2) }
func (b *builder) gen() string        { return b.param(3) }
func (b *builder) pipe() string       { return b.param(4) }
func (b *builder) targetName() string { return b.param(5) }
func (b *builder) number() string     { return b.param(6) }
func (b *builder) expiry() string     { return b.param(7) }

func (b *builder) query(sql string, expiry bool) *query {
	q := newQuery(sql)
	if b.alone {
		op := b.ops[0]
		for _, c := range b.columns {
			q.value(op.row[c])
		}
		return b.common(q.text(rowKey(op)).text(op.posTxt), expiry)
	}
	arrays := make([]textArray, len(b.columns)+2)
	sizes := make([]int, len(arrays))
	for _, op := range b.ops {
		for n, c := range b.columns {
			sizes[n] += 4 + len(op.row[c].Data)
		}
		sizes[len(b.columns)] += 4 + len(rowKey(op))
		sizes[len(b.columns)+1] += 4 + len(op.posTxt)
	}
	for n := range arrays {
		arrays[n].grow(sizes[n])
	}
	for _, op := range b.ops {
		for n, c := range b.columns {
			arrays[n].addValue(op.row[c])
		}
		arrays[len(b.columns)].addString(rowKey(op))
		arrays[len(b.columns)+1].addString(op.posTxt)
	}
	for i := range arrays {
		q.texts(&arrays[i])
	}
	return b.common(q, expiry)
}

// common adds the parameters that all rows have in common.
func (b *builder) common(q *query, expiry bool) *query {
	q.bigint(b.generation).text(b.pipeline).text(b.table.name).bigint(int64(b.partition))
	if expiry {
		q.text(b.expires)
	}
	return q
}

// rowKey is the key in the state tables; an appended row is its own.
func rowKey(op *operation) string {
	if op.kind == appendRow {
		return op.posTxt
	}
	return op.key
}

// rows is the input, as i.
func (b *builder) rows() string {
	if !b.alone {
		return b.unnested("", "")
	}
	var values strings.Builder
	for n := range b.columns {
		values.WriteString("$" + strconv.Itoa(n+1) + "::text AS c" + strconv.Itoa(n) + ", ")
	}
	return "(SELECT " + values.String() + b.keys() + "::text AS key, " + b.positions() + "::text AS pos) AS i"
}

// numbered is rows with the number of each in n, from 1.
func (b *builder) numbered() string { return b.unnested(" WITH ORDINALITY", ", n") }

func (b *builder) unnested(with, more string) string {
	var types, names strings.Builder
	for n := range b.columns {
		types.WriteString("$" + strconv.Itoa(n+1) + "::text[], ")
		names.WriteString("c" + strconv.Itoa(n) + ", ")
	}
	return "unnest(" + types.String() + b.keys() + "::text[], " + b.positions() + "::text[])" + with + " AS i(" + names.String() + "key, pos" + more + ")"
}

// above is the row set i without what stands at or below the table's floor, for
// statements that read it more than once.
func (b *builder) above() string {
	return "i AS MATERIALIZED (SELECT i.*, " + b.targetName() + "::text AS target FROM " + b.rows() + " WHERE " + b.overFloor() + ")"
}

// overFloor holds for input rows above the table's floor, or where it has none.
func (b *builder) overFloor() string { return b.over(b.floor()) }

// over holds for input rows above the version that a query finds, if it finds one. The
// query is of no row of the input, so that the server runs it once per statement.
func (b *builder) over(query string) string {
	return "((" + b.gen() + `::bigint, i.pos COLLATE "C") > (` + query + ")) IS NOT FALSE"
}

// floor is the table's floor: one row or none.
func (b *builder) floor() string {
	return "SELECT generation, pos FROM " + b.state + ".floors WHERE pipeline = " + b.pipe() + "::text AND target = " + b.targetName() + "::text"
}

func (b *builder) column(c int) (quoted, cast string) {
	name := b.ops[0].shape.Columns[c].Name
	return quote(name), b.table.columns[name].cast
}

func (b *builder) isKey(c int) bool { return slices.Contains(b.ops[0].shape.Key, c) }

// lists are the group's columns as names, as casts of the input, and as
// assignments from src for those outside the key.
func (b *builder) lists(src func(quoted, value string) string) (names, values, sets []string) {
	for n, c := range b.columns {
		quoted, cast := b.column(c)
		value := "i.c" + strconv.Itoa(n) + "::" + cast
		names, values = append(names, quoted), append(values, value)
		if !b.isKey(c) {
			sets = append(sets, quoted+" = "+src(quoted, value))
		}
	}
	return names, values, sets
}

func excluded(quoted, _ string) string { return "EXCLUDED." + quoted }
func given(_, value string) string     { return value }

// match joins target t and input i on the key.
func (b *builder) match() string {
	var conds []string
	for n, c := range b.columns {
		if b.isKey(c) {
			quoted, cast := b.column(c)
			conds = append(conds, "t."+quoted+" = i.c"+strconv.Itoa(n)+"::"+cast)
		}
	}
	return strings.Join(conds, " AND ")
}

func (b *builder) conflict() string {
	var names []string
	for _, c := range b.ops[0].shape.Key {
		names = append(names, quote(b.ops[0].shape.Columns[c].Name))
	}
	return strings.Join(names, ", ")
}

// buried holds for input rows whose tombstone is as new or newer. Where the table has
// no tombstones at all, none is looked for.
func (b *builder) buried() string {
	tombstones := "SELECT FROM " + b.state + ".tombstones d WHERE d.pipeline = " + b.pipe() + "::text AND d.target = " + b.targetName() + "::text"
	return "((SELECT EXISTS (" + tombstones + ")) AND EXISTS (" + tombstones + " AND d.key = i.key AND (d.generation, d.pos) >= (" + b.gen() + `::bigint, i.pos COLLATE "C")` + probed + "))"
}

// probed ends a subquery that is to be run for each row, by index. Without it the server
// may make a join of it, and that by its estimate of tables that have grown since they
// were analyzed, or never were: of thousands of tombstones it expects one, and compares
// every row with each.
const probed = " OFFSET 0"

// known holds for input rows that are above what has expired, or that are there.
func (b *builder) known() string {
	return "(" + b.overExpired() + " OR " + b.there("true") + ")"
}

// there holds for input rows whose row is in the target and meets cond.
func (b *builder) there(cond string) string {
	return "EXISTS (SELECT FROM " + b.table.name + " AS t WHERE " + b.match() + " AND " + cond + probed + ")"
}

// overExpired holds for input rows above the floor of the tombstones that were removed.
func (b *builder) overExpired() string {
	return b.over(b.expired() + ` ORDER BY generation DESC, pos COLLATE "C" DESC LIMIT 1`)
}

// expired is the floor of the tombstones that were removed: no row, or a few.
func (b *builder) expired() string {
	return "SELECT generation, pos FROM " + b.state + ".expired WHERE pipeline = " + b.pipe() + "::text AND target = " + b.targetName() + "::text AND partition IN (-1, " + b.number() + "::bigint)"
}

// older holds for rows of alias whose version is below the input's. A row that
// was put there by somebody else has none, and counts as older.
func (b *builder) older(alias string) string {
	return "(" + alias + "." + posColumn + " IS NULL OR " + alias + "." + genColumn + " IS NULL OR (" + alias + "." + genColumn + ", " + alias + "." + posColumn +
		` COLLATE "C") < (` + b.gen() + `::bigint, i.pos COLLATE "C"))`
}

func (b *builder) upsertInRow() *query {
	names, values, sets := b.lists(excluded)
	sets = append(sets, genColumn+" = EXCLUDED."+genColumn, posColumn+" = EXCLUDED."+posColumn)
	sql := "INSERT INTO " + b.table.name + " AS t (" + strings.Join(names, ", ") + ", " + genColumn + ", " + posColumn + ") OVERRIDING SYSTEM VALUE SELECT " +
		strings.Join(values, ", ") + ", " + b.gen() + "::bigint, i.pos FROM " + b.rows() + " WHERE " + b.overFloor()
	if b.kind == appendRow {
		sql += " ON CONFLICT (" + posColumn + ") DO NOTHING"
	} else {
		sql += " AND NOT " + b.buried() + " AND " + b.known() + " ON CONFLICT (" + b.conflict() + ") DO UPDATE SET " + strings.Join(sets, ", ") + " WHERE t." + posColumn + " IS NULL OR t." + genColumn +
			" IS NULL OR (t." + genColumn + ", t." + posColumn + ` COLLATE "C") < (EXCLUDED.` + genColumn + ", EXCLUDED." + posColumn + ` COLLATE "C")`
	}
	return b.query(sql+" RETURNING t."+posColumn, false)
}

// insertInRow is upsertInRow for rows that are new: it answers with their number alone.
func (b *builder) insertInRow() *query {
	names, values, _ := b.lists(excluded)
	return b.query("INSERT INTO "+b.table.name+" ("+strings.Join(names, ", ")+", "+genColumn+", "+posColumn+") OVERRIDING SYSTEM VALUE SELECT "+strings.Join(values, ", ")+", "+
		b.gen()+"::bigint, i.pos FROM "+b.rows()+" WHERE "+b.unknown(), false)
}

// insertBeside is upsertBeside for rows that are new.
func (b *builder) insertBeside() *query {
	names, values, _ := b.lists(excluded)
	return b.query("WITH i AS MATERIALIZED (SELECT * FROM "+b.rows()+" WHERE "+b.unknown()+"), v AS (INSERT INTO "+b.state+".versions (target, key, generation, pos) SELECT "+b.targetName()+"::text, i.key, "+
		b.gen()+"::bigint, i.pos FROM i) INSERT INTO "+b.table.name+" ("+strings.Join(names, ", ")+") OVERRIDING SYSTEM VALUE SELECT "+strings.Join(values, ", ")+" FROM i", false)
}

// unknown holds for input rows of which nothing is known that is as new.
func (b *builder) unknown() string {
	return b.overFloor() + " AND NOT " + b.buried() + " AND " + b.overExpired()
}

// versioned writes the side table's row of each input row that meets cond, and
// answers with key and pos of those that were older.
func (b *builder) versioned(cond string) string {
	conflict := "UPDATE SET generation = EXCLUDED.generation, pos = EXCLUDED.pos WHERE (s.generation, s.pos) < (EXCLUDED.generation, EXCLUDED.pos)"
	if b.kind == appendRow { // it is there, whichever generation appended it
		conflict = "NOTHING"
	}
	return "v AS (INSERT INTO " + b.state + ".versions AS s (target, key, generation, pos) SELECT " + b.targetName() + "::text, i.key, " + b.gen() + "::bigint, i.pos FROM i WHERE " + cond +
		" ON CONFLICT (target, key) DO " + conflict + " RETURNING key, pos)"
}

func (b *builder) upsertBeside() *query {
	names, values, sets := b.lists(excluded)
	taken := "NOT " + b.buried()
	if b.kind != appendRow {
		taken += " AND " + b.known()
	}
	sql := "WITH " + b.above() + ", " + b.versioned(taken) + ", w AS (INSERT INTO " + b.table.name + " AS t (" + strings.Join(names, ", ") + ") OVERRIDING SYSTEM VALUE SELECT " +
		strings.Join(values, ", ") + " FROM i WHERE i.key IN (SELECT key FROM v)"
	switch {
	case b.kind == appendRow:
	case len(sets) == 0:
		sql += " ON CONFLICT (" + b.conflict() + ") DO NOTHING"
	default:
		sql += " ON CONFLICT (" + b.conflict() + ") DO UPDATE SET " + strings.Join(sets, ", ")
	}
	return b.query(sql+") SELECT pos FROM v", false)
}

func (b *builder) patchInRow() *query {
	_, _, sets := b.lists(given)
	sets = append(sets, genColumn+" = "+b.gen()+"::bigint", posColumn+" = i.pos")
	return b.query("WITH "+b.above()+" UPDATE "+b.table.name+" AS t SET "+strings.Join(sets, ", ")+" FROM i WHERE "+b.match()+
		" AND "+b.older("t")+" RETURNING t."+posColumn, false)
}

func (b *builder) patchBeside() *query {
	_, _, sets := b.lists(given)
	sql := "WITH " + b.above() + ", " + b.versioned(b.there("true")+" AND NOT "+b.buried())
	if len(sets) > 0 {
		sql += ", w AS (UPDATE " + b.table.name + " AS t SET " + strings.Join(sets, ", ") + " FROM i WHERE " + b.match() + " AND i.key IN (SELECT key FROM v))"
	}
	return b.query(sql+" SELECT pos FROM v", false)
}

// bury writes the tombstone of each input row that meets cond.
func (b *builder) bury(cond string) string {
	return "INSERT INTO " + b.state + ".tombstones AS d (pipeline, target, key, generation, pos, expires, partition) SELECT " + b.pipe() + "::text, " + b.targetName() + "::text, i.key, " + b.gen() +
		"::bigint, i.pos, " + b.expiry() + "::timestamptz, " + b.number() + "::bigint FROM i WHERE " + cond +
		" ON CONFLICT (pipeline, target, key) DO UPDATE SET generation = EXCLUDED.generation, pos = EXCLUDED.pos, expires = EXCLUDED.expires, partition = EXCLUDED.partition" +
		" WHERE (d.generation, d.pos) < (EXCLUDED.generation, EXCLUDED.pos) RETURNING d.pos"
}

func (b *builder) removeInRow() *query {
	return b.query("WITH "+b.above()+", w AS (DELETE FROM "+b.table.name+" AS t USING i WHERE "+b.match()+" AND "+b.older("t")+") "+
		b.bury("NOT "+b.there("NOT "+b.older("t"))), true)
}

func (b *builder) removeBeside() *query {
	newer := "EXISTS (SELECT FROM " + b.state + ".versions s WHERE s.target = " + b.targetName() + "::text AND s.key = i.key AND (s.generation, s.pos) >= (" + b.gen() + `::bigint, i.pos COLLATE "C")` + probed + ")"
	return b.query("WITH "+b.above()+", w AS (DELETE FROM "+b.table.name+" AS t USING i WHERE "+b.match()+" AND NOT "+newer+
		"), v AS (DELETE FROM "+b.state+".versions s USING i WHERE s.target = i.target AND s.key = i.key AND (s.generation, s.pos) < ("+b.gen()+`::bigint, i.pos COLLATE "C")) `+
		b.bury("NOT "+newer), true)
}
