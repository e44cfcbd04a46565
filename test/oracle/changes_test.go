package oracle

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// transaction is one transaction of one or more changes, or what stands for one.
func (g *seedState) transaction() []unit {
	switch n := g.r.IntN(100); {
	case n < 6:
		return []unit{g.copyRows(pick(g, g.tables))}
	case n < 9:
		return []unit{g.message()}
	case n < 12:
		return []unit{g.truncate(pick(g, g.tables))}
	case n < 45:
		return []unit{{statements: []string{g.change(pick(g, g.tables))}}}
	}
	before := g.remember()
	list := []string{"BEGIN"}
	for range 1 + g.r.IntN(6) {
		list = append(list, g.parts()...)
	}
	if g.chance(10) {
		g.restore(before)
		return []unit{{statements: append(list, "ROLLBACK")}}
	}
	return []unit{{statements: append(list, "COMMIT")}}
}

// parts are statements inside of a transaction, some of them under a savepoint
// that may be rolled back.
func (g *seedState) parts() []string {
	if !g.chance(20) {
		return []string{g.change(pick(g, g.tables))}
	}
	before := g.remember()
	name := fmt.Sprintf("p%d", g.next())
	list := []string{"SAVEPOINT " + name}
	for range 1 + g.r.IntN(3) {
		list = append(list, g.change(pick(g, g.tables)))
	}
	if g.chance(60) {
		g.restore(before)
		return append(list, "ROLLBACK TO "+name)
	}
	return append(list, "RELEASE "+name)
}

// remember and restore keep what is known of rows over a rollback.
func (g *seedState) remember() []map[int]bool {
	list := make([]map[int]bool, len(g.tables))
	for i, t := range g.tables {
		list[i] = maps.Clone(t.rows)
	}
	return list
}

func (g *seedState) restore(rows []map[int]bool) {
	for i, t := range g.tables {
		t.rows = rows[i]
	}
}

// change is a statement that changes rows of a table.
func (g *seedState) change(t *table) string {
	if len(t.rows) == 0 || !t.changes() {
		return g.insert(t)
	}
	switch n := g.r.IntN(100); {
	case n < 35:
		return g.insert(t)
	case n < 70:
		return g.update(t)
	case n < 80:
		return g.rekey(t)
	}
	return g.remove(t)
}

// insert adds one row or several.
func (g *seedState) insert(t *table) string {
	var columns []*column
	for _, c := range t.columns {
		must := c.notNull && c.def == "" || slices.Contains(t.key, c)
		if c.filled() && (must || g.chance(75)) {
			columns = append(columns, c)
		}
	}
	n := 1
	if g.chance(15) {
		n = 2 + g.r.IntN(5)
	}
	tuples := make([]string, n)
	for i := range tuples {
		rid := g.next()
		t.rows[rid] = true
		values := []string{fmt.Sprint(rid)}
		for _, c := range columns {
			values = append(values, g.value(t, c))
		}
		tuples[i] = "(" + strings.Join(values, ", ") + ")"
	}
	list := "rid"
	if len(columns) > 0 {
		list += ", " + names(columns)
	}
	return fmt.Sprintf("INSERT INTO %s (%s) VALUES %s", t.full(g), list, strings.Join(tuples, ", "))
}

// value is a value for a column, as a literal.
func (g *seedState) value(t *table, c *column) string {
	k := c.kind
	switch {
	case slices.Contains(t.key, c):
		return quote(k.unique(g.next()))
	case !c.notNull && g.chance(15):
		return "NULL"
	case c.def != "" && g.chance(10):
		return "DEFAULT"
	case k.big != nil && (!c.notNull || k.placeholder) && g.chance(25):
		return quote(k.big(g.r))
	case len(k.special) > 0 && !c.notNull && g.chance(30):
		return quote(pick(g, k.special))
	}
	return quote(k.plain(g.r))
}

// update sets some columns of some rows, and often leaves out those whose values
// are out of line.
func (g *seedState) update(t *table) string {
	var sets []string
	for _, c := range t.columns {
		if c.filled() && !slices.Contains(t.key, c) && g.chance(30) {
			sets = append(sets, c.id()+" = "+g.value(t, c))
		}
	}
	if len(sets) == 0 {
		sets = []string{"rid = rid"}
	}
	return fmt.Sprintf("UPDATE %s SET %s WHERE %s", t.full(g), strings.Join(sets, ", "), g.some(t, 5))
}

// some is a condition that one row fulfils, or now and then up to n.
func (g *seedState) some(t *table, n int) string {
	rids := t.rids()
	if g.chance(80) {
		return fmt.Sprintf("rid = %d", pick(g, rids))
	}
	from := g.r.IntN(len(rids))
	to := min(len(rids), from+1+g.r.IntN(n))
	return fmt.Sprintf("rid BETWEEN %d AND %d", rids[from], rids[to-1])
}

// rekey changes the key of one row, if the table has a key that can be set.
func (g *seedState) rekey(t *table) string {
	var sets []string
	for _, c := range t.key {
		if c.filled() && (len(sets) == 0 || g.chance(50)) {
			sets = append(sets, c.id()+" = "+quote(c.kind.unique(g.next())))
		}
	}
	if len(sets) == 0 {
		if len(t.key) == 0 {
			return g.update(t)
		}
		sets = []string{fmt.Sprintf("id = %d", 1000000+g.next())}
	}
	return fmt.Sprintf("UPDATE %s SET %s WHERE rid = %d", t.full(g), strings.Join(sets, ", "), pick(g, t.rids()))
}

func (g *seedState) remove(t *table) string {
	where := g.some(t, 3)
	var from, to int
	if _, err := fmt.Sscanf(where, "rid BETWEEN %d AND %d", &from, &to); err != nil {
		fmt.Sscanf(where, "rid = %d", &from)
		to = from
	}
	for rid := range t.rows {
		if from <= rid && rid <= to {
			delete(t.rows, rid)
		}
	}
	return fmt.Sprintf("DELETE FROM %s WHERE %s", t.full(g), where)
}

// copyRows adds rows by COPY, which writes many of them under one LSN.
func (g *seedState) copyRows(t *table) unit {
	var columns []*column
	for _, c := range t.columns {
		if c.filled() && (slices.Contains(t.key, c) || c.notNull && c.def == "" || g.chance(30)) {
			columns = append(columns, c)
		}
	}
	var b strings.Builder
	for range 2 + g.r.IntN(20) {
		rid := g.next()
		t.rows[rid] = true
		fmt.Fprint(&b, rid)
		for _, c := range columns {
			text := c.kind.plain(g.r)
			if slices.Contains(t.key, c) {
				text = c.kind.unique(g.next())
			}
			b.WriteString(`,"` + strings.ReplaceAll(text, `"`, `""`) + `"`)
		}
		b.WriteByte('\n')
	}
	list := "rid"
	if len(columns) > 0 {
		list += ", " + names(columns)
	}
	return unit{statements: []string{fmt.Sprintf("COPY %s (%s) FROM STDIN (FORMAT csv)", t.full(g), list)}, copyFrom: b.String()}
}

func (g *seedState) message() unit {
	return statement("SELECT pg_logical_emit_message(%t, %s, %s)", g.chance(60), quote(g.s.schema), quote(words(g.r)))
}

func (g *seedState) truncate(t *table) unit {
	t.rows = map[int]bool{}
	g.rewrites(t)
	return statement("TRUNCATE %s", t.full(g))
}
