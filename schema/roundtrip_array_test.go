package schema

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/tailrace/tailrace/cdc"
)

// FuzzRoundTripArray: the oracle takes the literal apart, sends each element over
// a column of the element's type, whose own family proves it, and compares goavro's
// list with goavro's values, and our reader's literal with our reader's texts.
// Lower bounds are lost; everything else is as in the scalar.
func FuzzRoundTripArray(f *testing.F) {
	arrayFamily(f).fuzz(f,
		"{}", "{1,2,3}", "{1,NULL,3}", "{NULL}", "{null}", `{"NULL"}`, `{""}`, `{a,"b c","d\"e","f\\g"}`, "[5:6]={1,2}", "[-2:0]={1,NULL,3}", "{{1,2},{3,4}}", `{{a,"b,c"},{NULL,"{}"}}`, "[0:1][2:3]={{1,2},{3,4}}", "{{}}", "{{{1}}}",
		"{ 1}", "{1 }", "{1,}", "{,1}", "{,}", "{1", "1}", "{1}}", "{{1}", `{"a}`, `{a"b}`, `{a\,b}`, `{"a"b}`, "", "{", "}", "[1:2]", "[1:2]=", `{(1,2),(0,0);(3,4),(1,1)}`, `{"{1,2}"}`, "{t,f}", "{2020-01-01,infinity}", `{"2020-01-01 00:00:00+00"}`, `{"\"k\"=>\"v\""}`, `{"\\x00ff"}`, "{sad,\"very happy\"}", "{NaN}", "{1.50}", strings.Repeat("{", 70)+strings.Repeat("}", 70),
	)
}

func arrayFamily(t testing.TB) family {
	t.Helper()
	var fam family
	for _, e := range elementTypes() {
		settings := e.settings
		if settings == nil {
			settings = compat(Settings{})
		}
		for _, s := range settings {
			addArray(t, &fam, s, e.typ, e.modifier, e.draw)
		}
	}
	return fam
}

// elementType is a type of elements, with a generator; without settings of its own
// it has the default ones.
type elementType struct {
	typ      *cdc.Type
	modifier int32
	draw     func(*rand.Rand) string
	settings []Settings
}

func elementTypes() []elementType {
	types := []elementType{
		{base("bool"), -1, func(r *rand.Rand) string { return "tf"[r.IntN(2):][:1] }, nil},
		{base("int2"), -1, drawSmall, nil},
		{base("int4"), -1, drawSmall, nil},
		{base("int8"), -1, drawSmall, nil},
		{base("oid"), -1, func(r *rand.Rand) string { return fmt.Sprint(r.Uint32()) }, nil},
		{base("float4"), -1, drawFloat(32), nil},
		{base("float8"), -1, drawFloat(64), nil},
		{base("numeric"), numericModifier(10, 2), drawFixed(10, 2), slices.Concat(decimals, nonfinite)},
		{base("numeric"), -1, drawFree, decimals},
		{base("text"), -1, drawString, nil},
		{base("varchar"), -1, drawString, nil},
		{base("bpchar"), 9, drawString, nil},
		{base("char"), -1, drawString, nil},
		{base("json"), -1, drawString, nil},
		{base("uuid"), -1, drawString, nil},
		{base("inet"), -1, drawString, nil},
		{base("tstzrange"), -1, drawString, nil},
		{extensionType("citext"), -1, drawString, nil},
		{extensionType("ltree"), -1, drawString, nil},
		{extensionType("hstore"), -1, func(r *rand.Rand) string {
			v := drawString(r)
			return hstoreText([]pair{{drawString(r) + "1", &v}, {drawString(r) + "2", nil}}[:r.IntN(3)])
		}, compat(Settings{}, Settings{Hstore: "map"})},
		{base("bytea"), -1, func(r *rand.Rand) string { return fmt.Sprintf(`\x%x`, drawString(r)) }, binaryModes},
		{base("bit"), 9, func(r *rand.Rand) string { return fmt.Sprintf("%09b", r.IntN(512)) }, nil},
		{base("date"), -1, func(r *rand.Rand) string { return moment{day: drawDay(r, 9999)}.text("date") }, timeModes},
		{base("time"), -1, func(r *rand.Rand) string { return moment{clock: drawClock(r, 6)}.text("time") }, timeModes},
		{base("time"), 3, func(r *rand.Rand) string { return moment{clock: drawClock(r, 3)}.text("time") }, timeModes},
		{base("timestamp"), -1, func(r *rand.Rand) string {
			return moment{day: drawDay(r, 2200), clock: drawClock(r, 6) % (24 * time.Hour)}.text("timestamp")
		}, timeModes},
		{base("timestamptz"), -1, func(r *rand.Rand) string {
			return moment{day: drawDay(r, 9999).AddDate(10000, 0, 0), clock: drawClock(r, 6) % (24 * time.Hour)}.text("timestamp") + "+00"
		}, timeModes},
		{base("timetz"), -1, func(r *rand.Rand) string {
			return moment{clock: drawClock(r, 6)}.text("time") + offsetText(drawOffset(r))
		}, timeModes},
		{enum("mood", "sad", "very happy", "a,b"), -1, func(r *rand.Rand) string { return []string{"sad", "very happy", "a,b"}[r.IntN(3)] }, nil},
		// Arrays of these are lists of texts.
		{base("money"), -1, drawMoney, nil},
		{base("interval"), -1, drawInterval, nil},
		{base("xml"), -1, drawString, nil},
		{base("name"), -1, drawString, nil},
		{base("varbit"), -1, func(r *rand.Rand) string { return fmt.Sprintf("%b", r.IntN(512)) }, nil},
		{&cdc.Type{Schema: "public", Name: "posint", Kind: cdc.KindDomain, Base: base("int4"), BaseModifier: -1}, -1, drawSmall, nil},
		{&cdc.Type{Schema: "public", Name: "pair", Kind: cdc.KindComposite}, -1, drawString, nil},
	}
	for _, name := range []string{"cidr", "macaddr", "macaddr8", "int4range", "int8range", "numrange", "tsrange", "daterange", "tsvector"} {
		types = append(types, elementType{base(name), -1, drawString, nil})
	}
	for _, g := range figures() {
		types = append(types, elementType{base(g.name), -1, g.draw, nil})
	}
	return append(types,
		elementType{extensionType("geometry"), -1, drawEWKB, nil}, elementType{extensionType("geography"), -1, drawEWKB, nil},
		elementType{extensionType("vector"), -1, drawVector, nil}, elementType{extensionType("halfvec"), -1, drawVector, nil}, elementType{extensionType("sparsevec"), -1, drawSparse, nil},
		elementType{extensionType("isbn"), -1, drawString, nil})
}

func drawSmall(r *rand.Rand) string { return fmt.Sprint(r.IntN(65536) - 32768) }

func drawPoint(r *rand.Rand) string { return "(" + drawFloat(64)(r) + "," + drawFloat(64)(r) + ")" }

// addArray adds a course of arrays, with the column of its elements beside it.
func addArray(t testing.TB, fam *family, s Settings, elem *cdc.Type, modifier int32, draw func(*rand.Rand) string) {
	t.Helper()
	c := newCourse(t, s, arrayOf(elem), modifier)
	if c == nil {
		return
	}
	delim := byte(',')
	switch elem.Name {
	case "box":
		delim = ';'
	case "geometry", "geography":
		delim = ':'
	}
	var scalar *course
	if m := c.plan.fields[0].mapping; m.elem != nil && !strings.HasPrefix(m.elem.semantic, semanticPrefix) {
		scalar = newCourse(t, s, elem, modifier)
	}
	// Without a change of form, what comes back is the literal again, but for the
	// delimiter where a type has its own.
	c.back = modes(s) == "" && elem.Name != "hstore" && delim == ',' && !strings.HasSuffix(elem.Name, "tz") && elem.Kind != cdc.KindEnum
	if scalar != nil {
		scalar.back = c.back
	}
	c.draw = func(r *rand.Rand) string {
		elements := make([]*string, r.IntN(6))
		for i := range elements {
			if r.IntN(5) > 0 {
				v := draw(r)
				elements[i] = &v
			}
		}
		text := arrayText1(elements, delim)
		if r.IntN(8) == 0 && len(elements) > 0 {
			first := r.IntN(10) - 5
			text = fmt.Sprintf("[%d:%d]=%s", first, first+len(elements)-1, text)
		}
		return text
	}
	c.judge = func(t *testing.T, c *course, text string, o outcome) {
		t.Helper()
		if elements, ok := elementsOf(text, delim); ok {
			judgeArray(t, c, scalar, delim, text, elements, o)
		}
	}
	*fam = append(*fam, c)
}

func judgeArray(t *testing.T, c, scalar *course, delim byte, text string, elements []*string, o outcome) {
	t.Helper()
	natives := make([]any, len(elements))
	texts := make([]*string, len(elements))
	for i, e := range elements {
		if e == nil {
			var fact *cdc.FactError
			if !c.plan.fields[0].mapping.elemNullable { // until the column is widened
				if !errors.As(o.err, &fact) || fact.Fact != cdc.FactNotNull {
					t.Fatalf("%s: %q: got %v, %v", c.name, text, o.native, o.err)
				}
				return
			}
			continue
		}
		natives[i], texts[i] = *e, e
		if scalar != nil {
			one := scalar.run(t, *e)
			switch {
			case one.err != nil:
				o.refused(t, c, text)
				return
			case one.null && c.settings.Compat: // one such element takes the list with it
				o.isNull(t, c, text)
				return
			case one.null:
				natives[i], texts[i] = nil, nil
				continue
			}
			natives[i], texts[i] = one.native, &one.text
		}
	}
	got, ok := o.native.([]any)
	if o.err != nil || !ok || len(got) != len(natives) {
		t.Fatalf("%s: %q: got %#v, %v, want %#v", c.name, text, o.native, o.err, natives)
	}
	for i := range got {
		if v := unwrapped(got[i]); !reflect.DeepEqual(v, natives[i]) && v == v {
			t.Fatalf("%s: %q: element %d is %#v, want %#v", c.name, text, i, v, natives[i])
		}
	}
	if want := arrayText1(texts, ','); o.text != want && delim == ',' {
		t.Fatalf("%s: %q came back as %q, want %q", c.name, text, o.text, want)
	}
}

// arrayText1 is array_out of one dimension.
func arrayText1(elements []*string, delim byte) string {
	var words []string
	for _, e := range elements {
		switch {
		case e == nil:
			words = append(words, "NULL")
		case *e == "" || strings.EqualFold(*e, "null") || strings.ContainsAny(*e, "{}\"\\ \t\n\r\v\f"+string(delim)):
			words = append(words, `"`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(*e)+`"`)
		default:
			words = append(words, *e)
		}
	}
	return "{" + strings.Join(words, string(delim)) + "}"
}

// elementsOf reads only arrays of one dimension that a server prints.
func elementsOf(text string, delim byte) ([]*string, bool) {
	literal := text
	if strings.HasPrefix(text, "[") {
		var first, last int
		if n, err := fmt.Sscanf(text, "[%d:%d]=", &first, &last); n != 2 || err != nil {
			return nil, false
		}
		prefix := fmt.Sprintf("[%d:%d]=", first, last)
		var ok bool
		if literal, ok = strings.CutPrefix(text, prefix); !ok {
			return nil, false
		}
	}
	inner, ok1 := strings.CutPrefix(literal, "{")
	inner, ok2 := strings.CutSuffix(inner, "}")
	if !ok1 || !ok2 || !utf8.ValidString(text) {
		return nil, false
	}
	elements := []*string{}
	for rest := inner; rest != ""; {
		var b strings.Builder
		quoted := rest[0] == '"'
		i := 0
		if quoted {
			for i = 1; i < len(rest) && rest[i] != '"'; i++ {
				if rest[i] == '\\' {
					if i++; i == len(rest) {
						return nil, false
					}
				}
				b.WriteByte(rest[i])
			}
			if i++; i > len(rest) {
				return nil, false
			}
		} else {
			for ; i < len(rest) && rest[i] != delim; i++ {
				b.WriteByte(rest[i])
			}
		}
		value := b.String()
		if !quoted && value == "NULL" {
			elements = append(elements, nil)
		} else {
			elements = append(elements, &value)
		}
		if i < len(rest) && (rest[i] != delim || i+1 == len(rest)) {
			return nil, false
		}
		rest = rest[min(i+1, len(rest)):]
	}
	return elements, arrayText1(elements, delim) == literal
}

// FuzzRoundTripNested: arrays of more than one dimension. Lists of texts keep an
// inner array as the server's literal, and then as one of their texts; lists of
// anything else ask to be widened, and what they were widened to gives the literal
// back. The oracle is equality.
func FuzzRoundTripNested(f *testing.F) {
	nestedFamily(f).fuzz(f, "{{1,2},{3,4}}", `{{a,"b,c"},{NULL,"{}"}}`, "{{{1}},{{2}}}", `{{"a\"b","\\"}}`, "{{}}", "{{1},{2}}", "[0:1][2:3]={{1,2},{3,4}}", "{{1,2},3}")
}

func nestedFamily(t testing.TB) family {
	t.Helper()
	var fam family
	for _, name := range []string{"text", "uuid", "jsonb", "timestamptz", "timetz", "money", "interval"} {
		fam.add(t, []Settings{{}}, arrayOf(base(name)), -1, drawNested, judgeUnwidened)
	}
	for _, name := range []string{"int4", "int8", "numeric", "date", "timestamp", "time", "bytea", "float8", "bool", "bit"} {
		typ := arrayOf(base(name))
		table := &cdc.Table{Schema: "public", Name: "t", Facts: true, Columns: []cdc.Column{{Name: "v", Type: typ, Modifier: -1}}}
		fam.add(t, []Settings{{}}, typ, -1, drawNested, judgeUnwidened)
		fam.add(t, []Settings{{}, {Compat: true}}, Widen(table, 0).Columns[0].Type, -1, drawNested, judgeWidened)
	}
	for _, c := range fam {
		c.back = false
	}
	return fam
}

// judgeUnwidened: a list either keeps the literal or asks to be widened.
func judgeUnwidened(t *testing.T, c *course, text string, o outcome) {
	t.Helper()
	if !nestedOf(text) {
		return
	}
	if o.err == nil && strings.Contains(c.plan.ValueSchema(), `"string"`) {
		return
	}
	var fact *cdc.FactError
	if !errors.As(o.err, &fact) || fact.Fact != cdc.FactNotNull {
		t.Fatalf("%s: %q: got %v, %v", c.name, text, o.native, o.err)
	}
}

// judgeWidened: a list of texts that were of another type is the literal again.
func judgeWidened(t *testing.T, c *course, text string, o outcome) {
	t.Helper()
	if nestedOf(text) && (o.err != nil || o.text != text) {
		t.Fatalf("%s: %q came back as %q, %v", c.name, text, o.text, o.err)
	}
}

func drawNested(r *rand.Rand) string {
	rows := make([]string, 1+r.IntN(3))
	width := 1 + r.IntN(3)
	for i := range rows {
		elements := make([]*string, width)
		for j := range elements {
			if r.IntN(4) > 0 {
				v := drawString(r)
				elements[j] = &v
			}
		}
		rows[i] = arrayText1(elements, ',')
	}
	return "{" + strings.Join(rows, ",") + "}"
}

// nestedOf tells whether a text is an array of two dimensions as a server prints
// it: rows of one width.
func nestedOf(text string) bool {
	inner, ok1 := strings.CutPrefix(text, "{{")
	inner, ok2 := strings.CutSuffix(inner, "}}")
	if !ok1 || !ok2 {
		return false
	}
	// Cut at every },{ that leaves elements on both sides.
	var widths []int
	rest := inner
	for {
		at := -1
		for from := 0; ; {
			i := strings.Index(rest[from:], "},{")
			if i < 0 {
				break
			}
			if e, ok := elementsOf("{"+rest[:from+i]+"}", ','); ok && len(e) > 0 {
				at = from + i
				break
			}
			from += i + 1
		}
		if at < 0 {
			break
		}
		e, _ := elementsOf("{"+rest[:at]+"}", ',')
		widths = append(widths, len(e))
		rest = rest[at+3:]
	}
	e, ok := elementsOf("{"+rest+"}", ',')
	widths = append(widths, len(e))
	return ok && len(e) > 0 && len(slices.Compact(widths)) == 1
}
