package schema

import (
	"maps"
	"strings"
	"testing"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/internal/docsgen"
)

//go:generate go test . -run ^TestPage -count=1 -args -update

// typeNote is a row of docs/types.md that the tables of types.go do not tell: a
// column of the type, and values that show what becomes of it.
type typeNote struct {
	name     string // in PostgreSQL's words
	typ      *cdc.Type
	modifier int32
	samples  []passage
}

// passage is a value on its way: one that arrives as it was, in another form, or
// with a loss, which the type's line in types.go names unless why does.
type passage struct {
	value, why string
	end        end
}

type end uint8

const (
	whole end = iota
	inAnotherForm
	lossy
	deadLetter
)

func note(name string, samples ...passage) typeNote {
	return typeNote{name: name, typ: base(name), modifier: -1, samples: samples}
}

func (n typeNote) as(name string, modifier int32) typeNote {
	n.name, n.modifier = name, modifier
	return n
}

func kept(values ...string) []passage {
	list := make([]passage, len(values))
	for i, v := range values {
		list[i].value = v
	}
	return list
}

func lost(value string, why ...string) passage {
	return passage{value: value, why: strings.Join(why, ""), end: lossy}
}

func changed(value, how string) passage { return passage{value: value, why: how, end: inAnotherForm} }

func refused(value, why string) passage { return passage{value: value, why: why, end: deadLetter} }

func extension(name string, samples ...passage) typeNote {
	n := note(name, samples...)
	n.typ.Schema = "public"
	return n
}

// typeNotes are the rows, in the order of the page.
var typeNotes = []typeNote{
	note("bool", kept("t", "f")...),
	note("int2", kept("-32768")...),
	note("int4", kept("-2147483648")...),
	note("int8", kept("-9223372036854775808")...),
	note("oid", kept("4294967295")...),
	note("float4", kept("1.1", "1e+10", "NaN", "-Infinity")...),
	note("float8", kept("0.1", "1e+100", "NaN", "-Infinity")...),
	note("numeric", append(kept("12.50", "-0.07"), refused("NaN", "NaN and infinities"))...).as("numeric(10,2)", numericModifier(10, 2)),
	note("numeric", append(kept("12.5", "1000"), lost("1.50"), refused("NaN", "NaN and infinities"))...),
	note("money", lost("$1,234.50")),
	note("bpchar", kept("ab   ")...).as("char(5)", 9),
	note("varchar", kept("ab ")...),
	note("text", kept("")...),
	note("char", kept("c")...).as(`"char"`, -1),
	note("name", kept("pg_class")...),
	extension("citext", kept("Ab")...),
	extension("isbn", kept("0-393-04002-X")...),
	extension("ltree", kept("top.science")...),
	note("bytea", kept(`\x00ff`)...),
	note("bit", changed("1", "a boolean")).as("bit(1)", 1),
	note("bit", kept("00101")...).as("bit(5)", 5),
	note("varbit", changed("1", "a boolean"), refused("", "empty ones")).as("varbit(1)", 1),
	note("varbit", append(kept("100100100"), lost("001"))...).as("varbit(9)", 9),
	note("varbit", append(kept("10"), lost("0010"))...),
	note("json", kept(`{"b": 1, "a": 1.50}`)...),
	note("jsonb", kept(`{"a": 1.50, "b": 1}`)...),
	extension("hstore", changed(`"k"=>"v", "n"=>NULL`, "a JSON object")),
	note("xml", kept("<a/>")...),
	note("uuid", kept("0b5d9f5e-6b0e-4b0e-8f0e-0b5d9f5e6b0e")...),
	note("tsvector", kept("'a':1")...),
	note("inet", kept("10.0.0.1/8")...),
	note("cidr", kept("10.0.0.0/8")...),
	note("macaddr", kept("08:00:2b:01:02:03")...),
	note("macaddr8", kept("08:00:2b:01:02:03:04:05")...),
	note("int4range", kept("[1,5)")...),
	note("int8range", kept("empty")...),
	note("numrange", kept("[1.50,)")...),
	note("tsrange", kept(`["2026-03-01 10:00:00",infinity)`)...),
	note("tstzrange", kept(`["2026-03-01 10:00:00+00",)`)...),
	note("daterange", kept("[2026-03-01,2026-03-02)")...),
	note("date", kept("2026-03-01", "0044-03-15 BC", "infinity")...),
	note("time", kept("10:00:00.5")...).as("time(0) to time(3)", 3),
	note("time", kept("10:00:00.000001", "24:00:00")...),
	note("timetz", append(kept("10:00:00+00"), lost("10:00:00+02"))...),
	note("timestamp", kept("2026-03-01 10:00:00.123", "infinity")...).as("timestamp(0) to timestamp(3)", 3),
	note("timestamp", append(kept("2026-03-01 10:00:00.000001", "infinity"), refused("294247-01-11 00:00:00", "the last 29 years of PostgreSQL's range"))...),
	note("timestamptz", kept("2026-03-01 10:00:00.5+00", "0044-03-15 10:00:00+00 BC", "infinity")...),
	note("interval", append(kept("03:04:05.6"), lost("1 mon"), lost("1 day"), refused("infinity", "infinities"))...),
	note("point", kept("(1.5,-2)")...),
	note("box", kept("(3,4),(1,2)")...),
	note("lseg", kept("[(1,2),(3,4)]")...),
	note("path", kept("((0,0),(0,1))", "[(0,0),(0,1)]")...),
	note("polygon", append(kept("((0,0),(2,0),(1,1))"), lost("((0,0),(2,0),(1,1),(0,0))"))...),
	note("circle", kept("<(0.5,-1),2.5>")...),
	note("line", kept("{-1,0,0.5}")...),
	extension("geometry", kept("0101000020730C00001C7C613255DE6540787AA52C435C42C0")...),
	extension("geography", kept("0101000020E61000001C7C613255DE6540787AA52C435C42C0")...),
	extension("vector", kept("[1,2.5,-0.1]")...),
	extension("halfvec", kept("[1,2.5]")...),
	extension("sparsevec", kept("{1:1.5,3:-2}/5")...),
	note("int2vector", changed("1 2", "a list")),
	note("oidvector", changed("1 2", "a list")),
	{name: "an enum", typ: enum("mood", "sad", "ok"), modifier: -1, samples: kept("ok")},
	{name: "a composite, a multirange, any other type", typ: &cdc.Type{Schema: "public", Name: "pair", Kind: cdc.KindComposite}, modifier: -1, samples: kept("(1,x)")},
	note("int4[]", append(kept("{1,NULL,2}"), lost("[5:6]={1,2}", "lower bounds"))...),
	note("numeric[]", append(kept("{12.5}"), lost("{1.50}", "as in numeric"), refused("{NaN}", "as in numeric"))...),
	note("text[]", append(kept(`{a,NULL,"b c"}`), lost("{{a,b},{c,d}}", "inner arrays become texts"))...),
	{name: "an array of an enum", typ: arrayOf(enum("mood", "sad", "ok")), modifier: -1, samples: kept("{sad,ok}")},
	note("interval[]", kept(`{"1 mon",infinity}`)...),
}

func TestPageOfTheTypes(t *testing.T) {
	t.Parallel()
	rules := map[string]rule{}
	for _, table := range []map[string]rule{builtin, extensions} {
		maps.Copy(rules, table)
	}
	losses := map[string]bool{}
	var b strings.Builder
	b.WriteString("| PostgreSQL | Avro | semantic name | in the sink | lost or changed |\n|---|---|---|---|---|\n")
	for _, n := range typeNotes {
		row, loses := n.row(t, Settings{MoneyDigits: 2})
		losses[n.typ.Name] = losses[n.typ.Name] || loses
		b.WriteString("|" + row)
	}
	for name, r := range rules {
		loses, ok := losses[name]
		if !ok {
			t.Errorf("type %s has no row in docs/types.md: add it to typeNotes, with values that show what becomes of it, and run make generate", name)
		}
		if loses != (r.lossy != "") {
			t.Errorf("type %s: types.go says that it loses %q, and its values in typeNotes: %v", name, r.lossy, loses)
		}
	}
	docsgen.Section(t, "docs/types.md", "types", b.String())
	docsgen.Section(t, "docs/types.md", "modes", modeRows(t))
	docsgen.Section(t, "docs/types.md", "arrays", arrayElements())
	docsgen.Section(t, "docs/types.md", "unchanged", unchangedForms(t))
}
