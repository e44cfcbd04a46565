package debezium

import (
	"slices"
	"strings"
)

// filters are the options that choose tables. Debezium takes a table if its
// schema is in the schema lists and its name in the table lists; in each pair the
// list of inclusions hides the one of exclusions.
type filters struct {
	schemas, notSchemas, tables, notTables setting
}

func tableOptions() []option {
	const include, exclude = "tables.include", "tables.exclude"
	const lists = " Debezium ignores case in names, and a pattern without /…/ does not: a name with capitals needs its own."
	return []option{
		{name: "schema.include.list", fate: differs, key: include, text: "Patterns schema.*; with a list of tables too, what both have." + lists, says: true,
			read: func(d *draft, s setting) { d.filters.schemas = s }},
		{name: "schema.exclude.list", fate: differs, key: exclude, text: "Patterns schema.*." + lists, says: true,
			read: func(d *draft, s setting) { d.filters.notSchemas = s }},
		{name: "table.include.list", fate: differs, key: include, text: "Patterns, or /…/ where no simple pattern matches the same names." + lists, says: true,
			read: func(d *draft, s setting) { d.filters.tables = s }},
		{name: "table.exclude.list", fate: differs, key: exclude, text: "Patterns, or /…/." + lists, says: true,
			read: func(d *draft, s setting) { d.filters.notTables = s }},
		{name: "table.ignore.builtin", fate: absent, key: include, fine: []string{"true"}, text: "Tables of the system are never published."},
		{name: "message.key.columns", fate: differs, says: true, key: "tables.overrides", text: "Key of the tables, in tables.overrides. A column is named, not matched.", read: readKeys},
		{name: "skipped.operations", fate: mapped, key: "tables.skip", text: "c, u and d are tables.skip; format.truncate is true where t is not named. The default, t, is gone as soon as another is named.", read: readSkipped},
		{name: "skip.messages.without.change", fate: absent, key: "tables", fine: []string{"false"}, text: "Every update is published, one without a change in the published columns too."},
	}
}

func readSkipped(d *draft, s setting) {
	skip, truncate := d.key("tables.skip"), true
	for _, op := range strings.Split(s.value, ",") {
		switch op = strings.ToLower(strings.TrimSpace(op)); op {
		case "c", "u", "d":
			skip.add(op)
		case "t":
			truncate = false
		case "none", "":
		default:
			d.unreadable(setting{name: s.name, value: op}, "c, u, d, t or none")
		}
	}
	if truncate {
		d.plain("format.truncate", "true")
		d.note(s.name, "format.truncate", "TRUNCATE is published as one record, in one partition, as Debezium does")
	}
}

// ignoresCase says once of all such options what becomes of capitals.
func (d *draft) ignoresCase(s setting) {
	if name := hideName(s.name); !slices.Contains(d.caseless, name) {
		d.caseless = append(d.caseless, name)
	}
}

func (d *draft) finishCase() {
	if len(d.caseless) > 0 {
		d.notes = append(d.notes, placed{key: "tables", Note: Note{strings.Join(d.caseless, ", "),
			"Debezium ignores case in these names. Here it counts, unless in /(?i)…/: a table or column whose name has capitals needs an entry of its own."}})
	}
}

// finishTables writes tables.include and tables.exclude.
func (d *draft) finishTables() {
	f := &d.filters
	include, exclude := d.key("tables.include"), d.key("tables.exclude")
	for _, pair := range [][2]setting{{f.schemas, f.notSchemas}, {f.tables, f.notTables}} {
		if pair[0].value != "" && pair[1].value != "" {
			d.missing(pair[1], "stands beside "+pair[0].name+", and Debezium takes only one of the two")
		}
	}
	schemas, tables := d.patterns(f.schemas), d.patterns(f.tables)
	switch {
	case len(tables) > 0 && len(schemas) > 0:
		d.intersect(schemas, tables)
	case len(tables) > 0:
		for _, e := range tables {
			include.add(quote(e.ours(1)))
		}
	default:
		for _, e := range schemas {
			include.add(quote(inSchema(e)))
		}
	}
	if len(include.list) == 0 && f.schemas.value+f.tables.value != "" {
		include.add(quote(noName)) // nothing, rather than everything, of a list that cannot be read
	}
	var kept []*expr // of exclusions
	if f.schemas.value == "" {
		for _, e := range d.patterns(f.notSchemas) {
			exclude.add(quote(inSchema(e)))
			kept = append(kept, join([]*expr{enclose(e)}, &expr{kind: character, text: `\.`, char: '.'}, everything()))
		}
	}
	if f.tables.value == "" {
		for _, e := range d.patterns(f.notTables) {
			exclude.add(quote(e.ours(1)))
			kept = append(kept, e)
		}
	}
	d.signalTable(schemas, tables, kept)
	for _, s := range []setting{f.schemas, f.tables, f.notSchemas, f.notTables} {
		if s.value != "" {
			d.ignoresCase(s)
		}
	}
	if !strings.EqualFold(strings.TrimSpace(d.config["table.ignore.builtin"]), "false") {
		exclude.add(quote("*.spatial_ref_sys"))
		exclude.say("Debezium counts spatial_ref_sys, which PostGIS makes, among the system's tables.")
	}
}

// noName is a pattern that matches no name.
const noName = "/.^/"

// inSchema is the pattern of all tables of the schemas that e matches.
func inSchema(e *expr) string {
	return join([]*expr{enclose(e)}, &expr{kind: character, text: `\.`, char: '.'}, everything()).ours(1)
}

func everything() *expr {
	return &expr{kind: repetition, subs: []*expr{{kind: anything, text: "."}}, many: "*"}
}

// enclose makes alternatives one part of a sequence.
func enclose(e *expr) *expr {
	if e.kind == alternatives {
		return &expr{kind: group, open: "(?:", subs: []*expr{e}}
	}
	return e
}

// intersect includes the tables that are in both lists. One of each pair has to
// be the name of a schema, or every schema; else it is named.
func (d *draft) intersect(schemas, tables []*expr) {
	include := d.key("tables.include")
	for _, t := range tables {
		cuts, ok := t.cutTable()
		for _, c := range cuts {
			for _, s := range schemas {
				schema, fits, known := both(s, c.left)
				ok = ok && known
				if fits && known {
					include.add(quote(join([]*expr{enclose(schema)}, &expr{kind: character, text: `\.`, char: '.'}, enclose(c.right)).ours(1)))
				}
			}
		}
		if !ok {
			d.missing(setting{name: d.filters.tables.name, value: t.String()}, "schema.include.list chooses schemas too, and what both lists have cannot be written as one pattern; name the schema in this one")
		}
	}
	if len(include.list) == 0 {
		d.missing(d.filters.schemas, "has no table in common with table.include.list, so that nothing is published")
	}
}

// both is what two patterns of schemas have in common, where that can be told.
func both(a, b *expr) (e *expr, fits, known bool) {
	if name, ok := a.literal(0); ok {
		return a, b.matches(name), true
	}
	if name, ok := b.literal(0); ok {
		return b, a.matches(name), true
	}
	if text, ok := a.glob(0); ok && text == "*" {
		return b, true, true
	}
	if text, ok := b.glob(0); ok && text == "*" {
		return a, true, true
	}
	return a, true, a.String() == b.String()
}
