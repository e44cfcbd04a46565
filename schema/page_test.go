package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
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

// passage is a value on its way. Why is empty for one that arrives as it was;
// otherwise it must not.
type passage struct {
	value, why string
	form       bool // it arrives in another form, and nothing is lost
}

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

func lost(value, why string) passage { return passage{value: value, why: why} }

func changed(value, how string) passage { return passage{value: value, why: how, form: true} }

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
	note("numeric", append(kept("12.50", "-0.07"), lost("NaN", "NaN and infinities"))...).as("numeric(10,2)", numericModifier(10, 2)),
	note("numeric", append(kept("12.5", "1000"), lost("1.50", "trailing zeros of the fraction"), lost("NaN", "NaN and infinities"))...),
	note("money", lost("$1,234.50", "sign and grouping of the currency")),
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
	note("varbit", changed("1", "a boolean"), lost("", "empty ones")).as("varbit(1)", 1),
	note("varbit", append(kept("100100100"), lost("001", "the length: zeros fill the column's"))...).as("varbit(9)", 9),
	note("varbit", append(kept("10"), lost("0010", "the length: leading zeros"))...),
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
	note("timetz", append(kept("10:00:00+00"), lost("10:00:00+02", "the offset: it becomes UTC"))...),
	note("timestamp", kept("2026-03-01 10:00:00.123", "infinity")...).as("timestamp(0) to timestamp(3)", 3),
	note("timestamp", append(kept("2026-03-01 10:00:00.000001", "infinity"), lost("294247-01-11 00:00:00", "the last 29 years of PostgreSQL's range"))...),
	note("timestamptz", kept("2026-03-01 10:00:00.5+00", "0044-03-15 10:00:00+00 BC", "infinity")...),
	note("interval", append(kept("03:04:05.6"), lost("1 mon", "months count 30.4375 days"), lost("1 day", "days count 24 hours"), lost("infinity", "infinities"))...),
	note("point", kept("(1.5,-2)")...),
	{name: "an enum", typ: enum("mood", "sad", "ok"), modifier: -1, samples: kept("ok")},
	{name: "a composite, a multirange, any other type", typ: &cdc.Type{Schema: "public", Name: "pair", Kind: cdc.KindComposite}, modifier: -1, samples: kept("(1,x)")},
	note("int4[]", append(kept("{1,NULL,2}"), lost("[5:6]={1,2}", "lower bounds"))...),
	note("numeric[]", append(kept("{12.5}"), lost("{1.50}", "as in numeric"), lost("{NaN}", "as in numeric"))...),
	note("text[]", append(kept(`{a,NULL,"b c"}`), lost("{{a,b},{c,d}}", "inner arrays become texts"))...),
	{name: "an array of an enum", typ: arrayOf(enum("mood", "sad", "ok")), modifier: -1, samples: kept("{sad,ok}")},
	note("interval[]", kept(`{"1 mon",infinity}`)...),
}

func TestPageOfTheTypes(t *testing.T) {
	t.Parallel()
	missing := map[string]bool{}
	for _, table := range []map[string]rule{builtin, extensions} {
		for name := range table {
			missing[name] = true
		}
	}
	var b strings.Builder
	b.WriteString("| PostgreSQL | Avro | semantic name | in the sink | lost or changed |\n|---|---|---|---|---|\n")
	for _, n := range typeNotes {
		delete(missing, n.typ.Name)
		b.WriteString(n.row(t))
	}
	for name := range missing {
		t.Errorf("type %s has no row in docs/types.md: add it to typeNotes, with values that show what becomes of it, and run make generate", name)
	}
	docsgen.Section(t, "docs/types.md", "types", b.String())
	docsgen.Section(t, "docs/types.md", "arrays", arrayElements())
	docsgen.Section(t, "docs/types.md", "unchanged", unchangedForms(t))
}

// row writes the row of the page and holds that the samples say the truth.
func (n typeNote) row(t *testing.T) string {
	t.Helper()
	table := &cdc.Table{Schema: "public", Name: "t", Facts: true, Identity: cdc.IdentityDefault, Columns: []cdc.Column{{Name: "c", Type: n.typ, Modifier: n.modifier, Replicated: true}}}
	p := mustPlan(t, Settings{Name: "shop"}, table, "shop.public.t")
	r, err := NewReader(p.ValueSchema())
	if err != nil {
		t.Fatal(err)
	}
	var notes []string
	lossy := false
	for _, s := range n.samples {
		got, refused := through(t, p, r, s.value)
		if (refused || got != s.value) != (s.why != "") {
			t.Errorf("%s: %q arrives as %q (refused: %v), and typeNotes says %q", n.name, s.value, got, refused, s.why)
		}
		switch {
		case s.why == "":
		case refused:
			notes = append(notes, s.why+": to the dead letters")
		default:
			lossy = lossy || !s.form
			notes = append(notes, s.why+": "+code(s.value)+" → "+code(got))
		}
	}
	m := p.fields[0].mapping
	name, semantic := n.name, m.semantic
	if m.elem != nil {
		semantic = m.elem.semantic
	}
	if m.fallback {
		semantic = semanticPrefix + "<type>"
	}
	if semantic != "" {
		semantic = "`" + semantic + "`"
	}
	if lossy {
		name = "**" + name + "**"
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s |\n", name, avroWords(t, m), semantic, sinkType(&r.Columns()[0]), strings.Join(notes, "; "))
}

// through is a value's text after it was written and read again.
func through(t *testing.T, p *Plan, r *Reader, value string) (got string, refused bool) {
	t.Helper()
	record, err := p.AppendValue(nil, &cdc.Envelope{Op: cdc.OpCreate, After: []cdc.Value{{State: cdc.Text, Data: []byte(value)}}})
	var bad *cdc.ValueError
	if errors.As(err, &bad) {
		return "", true
	}
	if err != nil {
		t.Fatalf("%q: %v", value, err)
	}
	_, body, err := SplitHeader(record)
	if err != nil {
		t.Fatal(err)
	}
	var e Event
	if err := r.Read(body, &e); err != nil {
		t.Fatalf("%q: %v", value, err)
	}
	return string(e.After[0].Data), false
}

func code(s string) string {
	if strings.Contains(s, "`") || s == "" {
		return "“" + s + "”"
	}
	return "`" + strings.ReplaceAll(s, "|", `\|`) + "`"
}

// avroWords is a mapping's Avro type in a reader's words.
func avroWords(t *testing.T, m *mapping) string {
	t.Helper()
	switch m.form {
	case formInt16:
		return "int (`int16`)"
	case formDecimal:
		return fmt.Sprintf("bytes: decimal, scale %d, precision %d", m.scale, m.precision)
	case formMoney:
		return fmt.Sprintf("bytes: decimal, scale %d", m.scale)
	case formVariable:
		return recordWords(t, variableSchema)
	case formPoint:
		return recordWords(t, pointSchema)
	case formArray:
		return "array of " + avroWords(t, m.elem)
	case formBits:
		if m.scale != unboundedBits {
			return fmt.Sprintf("bytes, `length` %d", m.scale)
		}
	}
	return m.avroType()
}

func recordWords(t *testing.T, text string) string {
	t.Helper()
	var r struct {
		Fields []struct {
			Name string
			Type any
		}
	}
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatal(err)
	}
	var fields []string
	for _, f := range r.Fields {
		typ := f.Type
		if union, ok := typ.([]any); ok {
			typ = union[1]
		}
		fields = append(fields, fmt.Sprintf("%s %v", f.Name, typ))
	}
	return "record of " + strings.Join(fields, ", ")
}

// sinkType is the type of a column that the PostgreSQL sink makes. It has no
// points, so these are text, as any value without a type of its own.
func sinkType(f *Field) string {
	if f.Kind == KindPoint {
		return "text"
	}
	return f.PostgresType()
}

// arrayElements lists which arrays keep the form of their elements.
func arrayElements() string {
	var own, text []string
	for _, n := range typeNotes {
		r, ok := lookup(n.typ)
		switch {
		case !ok || slices.Contains(own, "`"+n.typ.Name+"`") || slices.Contains(text, "`"+n.typ.Name+"`"):
		case r.array:
			own = append(own, "`"+n.typ.Name+"`")
		default:
			text = append(text, "`"+n.typ.Name+"`")
		}
	}
	return "- As arrays of their elements' form: " + strings.Join(own, ", ") + ", and enums.\n" +
		"- As arrays of text, each element as PostgreSQL prints it: " + strings.Join(text, ", ") + ", domains, and every type without a row.\n"
}

// unchangedForms lists what stands for a value that the WAL does not carry.
func unchangedForms(t *testing.T) string {
	t.Helper()
	var order []string
	types := map[string][]string{}
	for _, n := range append(slices.Clone(typeNotes), arrayNotes()...) {
		m := mapType(n.typ, n.modifier)
		form := "null: the field is nullable even when the column is NOT NULL"
		if s := sentinel(m, Settings{}.placeholder()); s != nil {
			c := newCursor(s)
			form = "`__debezium_unavailable_value`"
			switch {
			case m.form == formHstore:
				form = "`" + string(c.bytes()) + "`"
			case m.form == formArray:
				form = [...]string{"", "a list with the placeholder as its only element", "a list of the placeholder's bytes as numbers", "a list with the placeholder's name-based UUID"}[m.list]
			}
		} else if !m.wide && m.form != formVariable {
			continue // a value of the type is never stored apart from its row
		}
		name := n.name
		if types[form] == nil {
			order = append(order, form)
		}
		if !slices.Contains(types[form], name) {
			types[form] = append(types[form], name)
		}
	}
	var b strings.Builder
	b.WriteString("| stands for the value | types |\n|---|---|\n")
	for _, form := range order {
		fmt.Fprintf(&b, "| %s | %s |\n", form, strings.Join(types[form], ", "))
	}
	return b.String()
}

// arrayNotes are the arrays of all types of the page.
func arrayNotes() []typeNote {
	var list []typeNote
	for _, n := range typeNotes {
		if n.typ.Kind == cdc.KindBase {
			list = append(list, typeNote{name: n.typ.Name + "[]", typ: arrayOf(n.typ), modifier: -1})
		}
	}
	return list
}
