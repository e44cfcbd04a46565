package debezium

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

func columnOptions() []option {
	const overrides = "tables.overrides"
	const order = " Where several options name a column, Debezium applies the first of: truncate, mask, column.propagate, datatype.propagate, hash, hash.v2."
	return []option{
		{name: "column.include.list", fate: differs, key: overrides, says: true, text: "columns.include of the tables; a table without a listed column has none, as with Debezium. Key columns stay in the key.",
			read: func(d *draft, s setting) { d.columns(s, "include") }},
		{name: "column.exclude.list", fate: differs, key: overrides, says: true, text: "columns.exclude of the tables. Key columns stay in the key.",
			read: func(d *draft, s setting) { d.columns(s, "exclude") }},
		{name: "column.truncate.to.<n>.chars", fate: mapped, key: overrides, text: "mask: {COLUMN: {truncate: N}}." + order, read: func(d *draft, s setting) {
			if n, ok := d.number(setting{name: s.name, value: s.parts[0]}); ok {
				d.mask(s, 0, "{truncate: "+strconv.FormatInt(n, 10)+"}")
			}
		}},
		{name: "column.mask.with.<n>.chars", fate: mapped, key: overrides, text: "mask: {COLUMN: {asterisks: N}}." + order, read: func(d *draft, s setting) {
			if n, ok := d.number(setting{name: s.name, value: s.parts[0]}); ok {
				d.mask(s, 1, "{asterisks: "+strconv.FormatInt(n, 10)+"}")
			}
		}},
		{name: "column.mask.hash.<algorithm>.with.salt.<salt>", fate: differs, key: overrides, says: true,
			text: "mask: {COLUMN: {hash_debezium: {algorithm: A, salt: S, version: 1}}}. A salt of a few bytes keeps nobody from trying values; for new consumers, hash takes a key of its own." + order,
			read: func(d *draft, s setting) { d.hash(s, 4, "1") }},
		{name: "column.mask.hash.v2.<algorithm>.with.salt.<salt>", fate: differs, key: overrides, says: true, text: "Likewise, with version: 2.",
			read: func(d *draft, s setting) { d.hash(s, 5, "2") }},
		{name: "column.propagate.source.type", fate: mapped, key: "format.source_types", text: "Patterns of schema.table.column.", read: func(d *draft, s setting) {
			for _, e := range d.patterns(s) {
				d.key("format.source_types").add(quote(e.ours(2)))
			}
		}},
		{name: "datatype.propagate.source.type", fate: mapped, key: "format.source_datatypes", text: "Patterns of schema.table.type.", read: func(d *draft, s setting) {
			for _, e := range d.patterns(s) {
				d.key("format.source_datatypes").add(quote(e.ours(2)))
			}
		}},
	}
}

// columns writes tables.overrides.<pattern>.columns.
func (d *draft) columns(s setting, list string) {
	overrides := d.key("tables.overrides")
	if list == "include" {
		if d.config["column.exclude.list"] != "" {
			d.missing(setting{name: "column.exclude.list", value: d.config["column.exclude.list"]}, "stands beside column.include.list, and Debezium takes only one of the two")
		}
		// Every table has an entry that lists no column; those of the patterns are
		// added to it.
		overrides.at("*.*", "columns", list).add(quote(noName))
		d.note(s.name, "tables.overrides", "a table without a listed column has no columns, as with Debezium")
	} else if d.config["column.include.list"] != "" {
		return
	}
	d.ignoresCase(s)
	for _, e := range d.patterns(s) {
		for _, c := range d.cutColumn(s, e) {
			overrides.at(c.left.ours(1), "columns", list).add(quote(c.right.ours(0)))
		}
	}
}

func (d *draft) cutColumn(s setting, e *expr) []cut {
	cuts, ok := e.cutColumn()
	if !ok {
		d.missing(setting{name: s.name, value: e.String()}, `a repetition {n,m} that can match a dot cannot be divided into table and column; write \. where the column begins`)
	}
	return cuts
}

// maskRule is one pattern of one option that changes values.
type maskRule struct {
	setting setting
	rank    int // of Debezium's order: the first that names a column is applied alone
	pattern *expr
	how     string // as YAML
}

func (d *draft) mask(s setting, rank int, how string) {
	d.ignoresCase(s)
	for _, e := range d.patterns(s) {
		d.masks = append(d.masks, maskRule{s, rank, e, how})
	}
}

// digests are the algorithms by the names that Java takes, without dashes.
var digests = map[string]string{
	"MD5": "MD5", "SHA": "SHA-1", "SHA1": "SHA-1", "SHA224": "SHA-224", "SHA256": "SHA-256", "SHA384": "SHA-384", "SHA512": "SHA-512",
}

func (d *draft) hash(s setting, rank int, version string) {
	algorithm := digests[strings.ToUpper(strings.ReplaceAll(s.parts[0], "-", ""))]
	if algorithm == "" {
		d.missing(s, "the hash "+s.parts[0]+" is not known here; MD5, SHA-1, SHA-224, SHA-256, SHA-384 and SHA-512 are")
		return
	}
	d.mask(s, rank, "{hash_debezium: {algorithm: "+algorithm+", salt: "+flow(quote(s.parts[1]))+", version: "+version+"}}")
	d.note(s.name, "tables.overrides", "the salt stands in this file as it stood in the connector's configuration; write ${SALT} and set SALT in the environment to keep it out")
}

// finishMasks writes tables.overrides.<pattern>.mask. A rule for a single column
// wins over those for patterns here, so that a rule of less rank is left out
// where one of more rank names its column too.
func (d *draft) finishMasks() {
	slices.SortStableFunc(d.masks, func(a, b maskRule) int {
		return cmp.Or(a.rank-b.rank, strings.Compare(a.setting.name, b.setting.name))
	})
	propagated := d.quiet("column.propagate.source.type")
	overrides := d.key("tables.overrides")
	wide, narrow := 0, false
	for i, r := range d.masks {
		name, literal := r.pattern.literal(2)
		first := slices.IndexFunc(d.masks[:i], func(o maskRule) bool { return literal && o.pattern.matches(name) })
		if first >= 0 {
			d.note(r.setting.name, "tables.overrides", name+" is named by "+hideName(d.masks[first].setting.name)+" too, which Debezium applies alone")
			continue
		}
		for _, p := range propagated {
			if !literal || !p.matches(name) {
				continue
			}
			if r.rank < 2 {
				d.note(r.setting.name, "format.source_types", name+" has no source type with Debezium, which applies one rule to a column; here both are applied")
			} else {
				d.note(r.setting.name, "tables.overrides", "Debezium publishes "+name+" without the hash, since column.propagate.source.type names it too and it applies one rule to a column; here it is hashed")
			}
		}
		if !literal {
			wide++
		}
		narrow = narrow || literal
		for _, c := range d.cutColumn(r.setting, r.pattern) {
			if k := overrides.at(c.left.ours(1), "mask", c.right.ours(0)); k.value == "" {
				k.value = r.how
			}
		}
	}
	if narrow {
		d.note("column.mask, column.truncate", "tables.overrides", "a column of other than characters has no mask: Debezium publishes its values as they are, here the column is left out, and relay check says so")
	}
	if wide > 1 {
		d.note("column.mask, column.truncate", "tables.overrides", "more than one pattern changes values; if two of them name one column, Debezium applies the first of truncate, mask, hash and hash.v2, and you have to choose here")
	}
}

// quiet reads patterns whose problems were named before.
func (d *draft) quiet(name string) []*expr {
	var list []*expr
	for _, text := range splitList(d.config[name]) {
		if e, err := parseRegex(text); err == nil {
			list = append(list, e)
		}
	}
	return list
}
