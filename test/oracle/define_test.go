package oracle

import (
	"fmt"
	"slices"
	"strings"
)

// define changes the definitions of some tables. It stands at the beginning of a
// phase, before any row of it.
func (g *seedState) define() []unit {
	var units []unit
	for range 1 + g.r.IntN(4) {
		units = append(units, g.definition(pick(g, g.tables))...)
	}
	return units
}

func (g *seedState) definition(t *table) []unit {
	switch n := g.r.IntN(100); {
	case n < 25:
		return g.addColumn(t)
	case n < 37:
		return g.dropColumn(t)
	case n < 45:
		return g.renameColumn(t)
	case n < 60:
		return g.alterType(t)
	case n < 70:
		return g.alterDefault(t)
	case n < 80:
		return g.alterNull(t)
	case n < 87:
		return g.identify(t)
	case n < 94:
		return g.addLabel()
	}
	units := g.create()
	g.tables[len(g.tables)-1].late = true
	return units
}

// rewrites notes that a table's storage is written anew.
func (g *seedState) rewrites(t *table) {
	if name := t.full(g); t.late && !slices.Contains(g.s.rewritten, name) {
		g.s.rewritten = append(g.s.rewritten, name)
	}
}

// others are the columns of a table that may be redefined.
func (t *table) others() []*column {
	var list []*column
	for _, c := range t.columns {
		if c.filled() && !slices.Contains(t.key, c) {
			list = append(list, c)
		}
	}
	return list
}

func (g *seedState) addColumn(t *table) []unit {
	c := g.column(t)
	if c.notNull && c.def == "" && len(t.rows) > 0 {
		c.notNull = false
	}
	t.columns = append(t.columns, c)
	return append([]unit{statement("ALTER TABLE %s ADD %s", t.full(g), c.define(g))}, g.store(t, c)...)
}

func (g *seedState) dropColumn(t *table) []unit {
	list := t.others()
	if len(list) < 2 {
		return nil
	}
	c := pick(g, list)
	t.columns = slices.DeleteFunc(t.columns, func(x *column) bool { return x == c })
	return []unit{statement("ALTER TABLE %s DROP %s", t.full(g), c.id())}
}

func (g *seedState) renameColumn(t *table) []unit {
	list := t.others()
	if len(list) == 0 {
		return nil
	}
	c := pick(g, list)
	old := c.id()
	_, rest, _ := strings.Cut(c.name, "_")
	c.name = fmt.Sprintf("r%d_%s", g.next(), rest)
	return []unit{statement("ALTER TABLE %s RENAME %s TO %s", t.full(g), old, c.id())}
}

// conversions are types that hold all values of another.
var conversions = map[string][]string{
	"int2": {"int4", "int8", "numeric"}, "int4": {"int8", "numeric", "text"}, "varchar9": {"varchar", "text"}, "num5": {"num38_10", "numeric"}, "float4": {"float8"},
	"char5": {"text"}, "date": {"text"}, "ts3": {"ts"}, "bool": {"text"}, "uuid": {"text"}, "json": {"text"}, "time3": {"time"},
}

func (g *seedState) alterType(t *table) []unit {
	for _, c := range t.others() {
		to := conversions[c.kind.name]
		if len(to) == 0 {
			continue
		}
		name := pick(g, to)
		k := g.kinds[slices.IndexFunc(g.kinds, func(k *kind) bool { return k.name == name })]
		if c.notNull && (k.optional || k.outOfLine && !k.placeholder) {
			continue
		}
		g.rewrites(t)
		var units []unit
		if c.def != "" {
			units = append(units, statement("ALTER TABLE %s ALTER %s DROP DEFAULT", t.full(g), c.id()))
		}
		before, _, _ := strings.Cut(c.name, "_")
		units = append(units, statement("ALTER TABLE %s ALTER %s TYPE %s USING %s::text::%s", t.full(g), c.id(), g.in(k.sql), c.id(), g.in(k.sql)))
		old := c.id()
		c.kind, c.def, c.name = k, "", fmt.Sprintf("%s_%s", before, k.name)
		return append(units, statement("ALTER TABLE %s RENAME %s TO %s", t.full(g), old, c.id()))
	}
	return nil
}

func (g *seedState) alterDefault(t *table) []unit {
	for _, c := range t.others() {
		if len(c.kind.defaults) == 0 || g.chance(50) {
			continue
		}
		if c.def != "" && !c.notNull && g.chance(40) {
			c.def = ""
			return []unit{statement("ALTER TABLE %s ALTER %s DROP DEFAULT", t.full(g), c.id())}
		}
		c.def = g.in(pick(g, c.kind.defaults))
		return []unit{statement("ALTER TABLE %s ALTER %s SET DEFAULT %s", t.full(g), c.id(), c.def)}
	}
	return nil
}

func (g *seedState) alterNull(t *table) []unit {
	for _, c := range t.others() {
		switch {
		case c.notNull:
			c.notNull = false
			units := []unit{statement("ALTER TABLE %s ALTER %s DROP NOT NULL", t.full(g), c.id())}
			if c.inline() {
				units = append(units, statement("ALTER TABLE %s ALTER %s SET STORAGE EXTENDED", t.full(g), c.id()))
			}
			return units
		case len(t.rows) == 0 && !c.kind.optional && g.chance(50):
			c.notNull = true
			return append(g.store(t, c), statement("ALTER TABLE %s ALTER %s SET NOT NULL", t.full(g), c.id()))
		}
	}
	return nil
}

func (g *seedState) addLabel() []unit {
	label := fmt.Sprintf("new %d", g.next())
	where := ""
	if g.chance(50) {
		where = " BEFORE 'ok'"
	}
	g.mood.values = append(g.mood.values, label)
	return []unit{statement("ALTER TYPE %s.mood ADD VALUE %s%s", g.s.schema, quote(label), where)}
}
