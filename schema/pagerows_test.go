package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tailrace/tailrace/cdc"
)

// row writes the rest of a row of the page, under settings, and holds that the
// samples say the truth. loses tells whether one of them loses something.
func (n typeNote) row(t *testing.T, s Settings) (row string, loses bool) {
	t.Helper()
	s.Name = "shop"
	table := &cdc.Table{Schema: "public", Name: "t", Facts: true, Identity: cdc.IdentityDefault, Columns: []cdc.Column{{Name: "c", Type: n.typ, Modifier: n.modifier, Replicated: true}}}
	p := mustPlan(t, s, table, "shop.public.t")
	if len(p.fields) == 0 {
		return fmt.Sprintf(" %s | no field |  |  |  |\n", n.name), false
	}
	r, err := NewReader(p.ValueSchema())
	if err != nil {
		t.Fatal(err)
	}
	var notes []string
	last := ""
	for _, sample := range n.samples {
		got, refused := through(t, p, r, sample.value)
		if refused != (sample.end == deadLetter) || !refused && (got == sample.value) != (sample.end == whole) {
			t.Errorf("%s: %q arrives as %q (refused: %v), and the notes say %d", n.name, sample.value, got, refused, sample.end)
		}
		why := sample.why
		if why == "" && sample.end == lossy {
			line, _ := lookup(n.typ)
			why = line.lossy
		}
		loses = loses || sample.end == lossy
		arrow := code(sample.value) + " → " + code(got)
		switch {
		case sample.end == whole:
		case refused:
			notes = append(notes, why+": to the dead letters")
		case why == last:
			notes[len(notes)-1] += ", " + arrow
		default:
			notes = append(notes, why+": "+arrow)
		}
		last = why
	}
	m := p.fields[0].mapping
	name, semantic := n.name, m.semantic
	if m.elem != nil {
		semantic = m.elem.semantic
	}
	if m.fallback && !m.raw {
		semantic = semanticPrefix + "<type>"
	}
	if semantic != "" {
		semantic = "`" + semantic + "`"
	}
	if loses {
		name = "**" + name + "**"
	}
	return fmt.Sprintf(" %s | %s | %s | %s | %s |\n", name, avroWords(t, m), semantic, sinkType(&r.Columns()[0]), strings.Join(notes, "; ")), loses
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
	if e.After[0].State == cdc.Null {
		return "NULL", false
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
	case formArray:
		return "array of " + avroWords(t, m.elem)
	case formVector:
		return "array of double"
	case formHalfvec:
		return "array of float"
	case formInt2Vector:
		return "array of int (`int16`)"
	case formOIDVector:
		return "array of long"
	case formHstoreMap:
		return "map of string"
	case formBits:
		if m.scale != unboundedBits {
			return fmt.Sprintf("bytes, `length` %d", m.scale)
		}
	}
	if r := formShapes[m.form].record; r != nil {
		w := schemaWriter{}
		w.record(r, nil)
		return recordWords(t, string(w.dst))
	}
	return m.typeOf()
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
		fields = append(fields, fmt.Sprintf("%s %s", f.Name, typeWord(typ)))
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
		case r.array != noArray:
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
		m := new(Settings).mapType(n.typ, n.modifier)
		form := "null: the field is nullable even when the column is NOT NULL"
		if s := new(Settings).sentinel(m); s != nil {
			c := newCursor(s)
			form = "`__debezium_unavailable_value`"
			switch {
			case m.form == formHstore:
				form = "`" + string(c.bytes()) + "`"
			case m.form == formArray:
				form = [...]string{"", "a list with the placeholder as its only element", "a list of the placeholder's bytes as numbers", "a list with the placeholder's name-based UUID"}[m.list]
			}
		} else if !m.varlena {
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

// typeWord is the type of a record's field, in a word.
func typeWord(typ any) string {
	object, ok := typ.(map[string]any)
	if !ok {
		return fmt.Sprint(typ)
	}
	if name, ok := object["connect.name"].(string); ok {
		return name[strings.LastIndexByte(name, '.')+1:]
	}
	return fmt.Sprint(object["type"])
}
