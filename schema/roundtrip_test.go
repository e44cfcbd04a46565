package schema

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/linkedin/goavro/v2"

	"github.com/tailrace/tailrace/cdc"
)

// The round trip: PostgreSQL's text, by a plan to Avro, by two readers back.
//
// Each Fuzz function in the roundtrip files is one family of types. Its inputs are
// a text, which goes to every type and mode of the family, and a seed, from which
// a text that the server could have sent is made for each type. Three things hold
// for any text that a plan accepts, whatever it means:
//
//   - goavro, which shares no code with the plan, decodes exactly the bytes that
//     the plan wrote for the row, and writes them again as they were;
//   - our reader accepts the record, and what it reads encodes to the same bytes;
//   - as a key the value is written too, and the record and the key are JSON.
//
// For a text in the server's own form, the family's oracle says what the value is:
// it parses the text by other means than the plan (math/big, time, encoding/json,
// regular expressions), compares goavro's value with it, and the text that our
// reader gives, up to what the mode loses. Whatever is refused has to be something
// that the mode has no place for.

// course is a column of one type in one form of the settings.
type course struct {
	name     string
	settings Settings
	typ      *cdc.Type
	modifier int32
	back     bool // what the reader gives can be encoded again
	most     int  // longer texts are left to other courses, since they cost much; 0: none

	plan   *Plan
	key    *Plan // of the column as a key
	reader *Reader
	row    *goavro.Codec // of the row record alone
	keys   *goavro.Codec
	tail   []byte // of a record: what follows the row
	draw   func(*rand.Rand) string
	judge  func(t *testing.T, c *course, text string, o outcome)
}

// outcome is what became of a text.
type outcome struct {
	err    error  // the plan's refusal
	native any    // goavro's value, nil for null
	text   string // our reader's
	null   bool
}

// compat is the same settings under format.compat: debezium too.
func compat(settings ...Settings) []Settings {
	list := slices.Clone(settings)
	for _, s := range settings {
		s.Compat = true
		list = append(list, s)
	}
	return list
}

const courseTopic = "n.public.t"

// newCourse compiles a course; nil where the settings drop the column.
func newCourse(t testing.TB, s Settings, typ *cdc.Type, modifier int32) *course {
	t.Helper()
	c := &course{name: fmt.Sprintf("%s(%d) %s", typ.Name, modifier, modes(s)), settings: s, typ: typ, modifier: modifier, back: true}
	var err error
	if c.plan, err = compilePlan(s, c.table(false), courseTopic); err != nil {
		t.Fatal(err)
	}
	if len(c.plan.fields) == 0 {
		return nil
	}
	return c
}

// table has the course's column alone.
func (c *course) table(key bool) *cdc.Table {
	t := &cdc.Table{Schema: "public", Name: "t", Facts: true, Columns: []cdc.Column{{Name: "v", Type: c.typ, Modifier: c.modifier, NotNull: key}}}
	if key {
		t.Key = []int{0}
	}
	return t
}

// prepare compiles the rest, before the first text.
func (c *course) prepare(t testing.TB) {
	t.Helper()
	if c.reader != nil {
		return
	}
	if err := prove(c.plan.ValueSchema()); err != nil {
		t.Fatalf("%s: %v", c.name, err)
	}
	var err error
	if c.key, err = compilePlan(c.settings, c.table(true), courseTopic); err != nil {
		t.Fatal(err)
	}
	c.keys = oracleCodec(t, c.key.KeySchema())
	tree, err := parseTree(c.plan.ValueSchema())
	if err != nil {
		t.Fatal(err)
	}
	fields, _ := tree.root["fields"].([]any)
	before, _ := fields[0].(map[string]any)
	union, _ := before["type"].([]any)
	row, err := json.Marshal(onlyNames(union[1], map[string]bool{}))
	if err != nil {
		t.Fatal(err)
	}
	c.row = oracleCodec(t, string(row))
	empty, err := c.plan.AppendValue(nil, courseEnvelope(nil))
	if err != nil {
		t.Fatal(err)
	}
	c.tail = empty[cdc.KeyHeaderBytes+2:]
	if c.reader, err = NewReader(c.plan.ValueSchema()); err != nil {
		t.Fatal(err)
	}
}

// modes names the settings that are not the default.
func modes(s Settings) string {
	var words []string
	v := reflect.ValueOf(s)
	for i := range v.NumField() {
		if f := v.Field(i); !f.IsZero() && f.Kind() != reflect.Func {
			words = append(words, fmt.Sprintf("%s=%v", v.Type().Field(i).Name, f))
		}
	}
	return strings.Join(words, ",")
}

func courseEnvelope(row []cdc.Value) *cdc.Envelope {
	return &cdc.Envelope{Op: cdc.OpCreate, After: row, Tx: &cdc.Transaction{XID: 7, CommitTime: 1}, LSN: 9, Now: 1}
}

// run sends a text over the course and checks what holds for every text.
func (c *course) run(t *testing.T, text string) outcome {
	t.Helper()
	c.prepare(t)
	record, err := c.plan.AppendValue(nil, courseEnvelope([]cdc.Value{{Data: []byte(text), State: cdc.Text}}))
	if err != nil {
		checkRefusal(t, err, "v")
		return outcome{err: err}
	}
	body := record[cdc.KeyHeaderBytes:]
	if len(body) < 2 || body[0] != 0 || body[1] != 2 {
		t.Fatalf("%s: %q: the record begins with %x", c.name, text, body)
	}
	native, rest, err := c.row.NativeFromBinary(body[2:])
	if err != nil && c.settings.Hstore == "map" && strings.Contains(err.Error(), "duplicate key") {
		return outcome{err: err} // no hstore has a key twice
	}
	if err != nil {
		t.Fatalf("%s: %q: goavro: %v in %x", c.name, text, err, body)
	}
	if !bytes.Equal(rest, c.tail) {
		t.Fatalf("%s: %q: goavro leaves %x, want %x", c.name, text, rest, c.tail)
	}
	c.checkNative(t, text, native, body[2:len(body)-len(rest)])
	o := outcome{native: unwrapped(native.(map[string]any)["v"])}
	o.null = o.native == nil

	var e Event
	if err := c.reader.Read(body, &e); err != nil {
		t.Fatalf("%s: %q: our reader: %v in %x", c.name, text, err, body)
	}
	if len(e.After) != 1 || (e.After[0].State == cdc.Null) != o.null || (e.After[0].State == cdc.Text) == o.null {
		t.Fatalf("%s: %q: our reader gives %+v, goavro %v", c.name, text, e.After, o.native)
	}
	o.text = string(e.After[0].Data)
	if js, err := c.reader.AppendJSON(nil, body); err != nil || !json.Valid(js) {
		t.Fatalf("%s: %q: JSON %v %s", c.name, text, err, js)
	}
	if !o.null {
		c.checkKey(t, text)
	}
	if c.back && !o.null {
		again, err := c.plan.AppendValue(nil, courseEnvelope([]cdc.Value{{Data: []byte(o.text), State: cdc.Text}}))
		if err != nil || !bytes.Equal(again, record) {
			t.Fatalf("%s: %q came back as %q, which is not the same again: %v\n%x\n%x", c.name, text, o.text, err, body, again)
		}
	}
	return o
}

// checkKey writes a value that a row can hold as a key, whose JSON is a header.
func (c *course) checkKey(t *testing.T, text string) {
	t.Helper()
	row := []cdc.Value{{Data: []byte(text), State: cdc.Text}}
	key, err := c.key.AppendKey(nil, row)
	if err != nil {
		t.Fatalf("%s: %q: a row holds what a key does not: %v", c.name, text, err)
	}
	if _, rest, err := c.keys.NativeFromBinary(key[cdc.KeyHeaderBytes:]); err != nil || len(rest) > 0 {
		t.Fatalf("%s: %q: goavro leaves %x of the key %x: %v", c.name, text, rest, key, err)
	}
	// As Connect writes it, a key with a line break or NaN is no JSON.
	if js, err := c.key.AppendKeyJSON(nil, row); err != nil || !c.settings.Compat && !json.Valid(js) {
		t.Fatalf("%s: %q: the key's JSON %s, %v", c.name, text, js, err)
	}
}

// checkNative has goavro write its value again. Maps it writes in any order.
func (c *course) checkNative(t *testing.T, text string, native any, want []byte) {
	t.Helper()
	again, err := c.row.BinaryFromNative(nil, native)
	if err != nil {
		t.Fatalf("%s: %q: goavro: %v", c.name, text, err)
	}
	if bytes.Equal(again, want) {
		return
	}
	if len(again) == len(want) && strings.Contains(c.plan.ValueSchema(), `"type":"map"`) {
		return
	}
	t.Fatalf("%s: %q: goavro writes\n%x, we\n%x", c.name, text, again, want)
}

// unwrapped takes goavro's name of a union branch off.
func unwrapped(v any) any {
	if m, ok := v.(map[string]any); ok && len(m) == 1 {
		for _, inner := range m {
			return inner
		}
	}
	return v
}

// refused fails unless the text was refused because of the value itself.
func (o outcome) refused(t *testing.T, c *course, text string) {
	t.Helper()
	if o.err == nil {
		t.Fatalf("%s: %q was written as %v (%q), not refused", c.name, text, o.native, o.text)
	}
}

// isNull fails unless the text became null.
func (o outcome) isNull(t *testing.T, c *course, text string) {
	t.Helper()
	if o.err != nil || !o.null {
		t.Fatalf("%s: %q: got %v, %v, want null", c.name, text, o.native, o.err)
	}
}

// is fails unless goavro's value and our reader's text are the ones wanted.
func (o outcome) is(t *testing.T, c *course, text string, native any, back string) {
	t.Helper()
	if o.err != nil {
		t.Fatalf("%s: %q was refused: %v; want %v", c.name, text, o.err, native)
	}
	if !reflect.DeepEqual(o.native, native) {
		t.Fatalf("%s: %q is %#v to goavro, want %#v", c.name, text, o.native, native)
	}
	if !o.null && o.text != back {
		t.Fatalf("%s: %q came back as %q, want %q", c.name, text, o.text, back)
	}
}

// family is what one Fuzz function runs.
type family []*course

// add compiles a course for each of the settings and gives it its generator and
// its judge.
func (f *family) add(t testing.TB, settings []Settings, typ *cdc.Type, modifier int32, draw func(*rand.Rand) string, judge func(*testing.T, *course, string, outcome)) {
	t.Helper()
	for _, s := range settings {
		c := newCourse(t, s, typ, modifier)
		if c == nil {
			continue
		}
		c.draw, c.judge = draw, judge
		*f = append(*f, c)
	}
}

// run sends one text, and one made from the seed, over courses of the family: over
// all of them, or while fuzzing over a few that the seed chooses, so that inputs
// stay quick.
func (f family) run(t *testing.T, text string, seed uint64, fuzzing bool) {
	t.Helper()
	n := len(f)
	if fuzzing {
		n = min(n, 4)
	}
	for i := range n {
		at := i
		if fuzzing {
			at = int((seed + uint64(i)*7919) % uint64(len(f)))
		}
		c := f[at]
		if c.most == 0 || len(text) <= c.most {
			c.judge(t, c, text, c.run(t, text))
		}
		made := c.draw(rand.New(rand.NewPCG(seed, uint64(at))))
		o := c.run(t, made)
		c.judge(t, c, made, o)
	}
}

// fuzz is the body of a Fuzz function.
func (f family) fuzz(fz *testing.F, seeds ...string) {
	if len(f) == 0 {
		fz.Fatal("no course")
	}
	for i, s := range seeds {
		fz.Add(s, uint64(i))
	}
	fuzzing := flag.Lookup("test.fuzz").Value.String() != ""
	fz.Fuzz(func(t *testing.T, text string, seed uint64) { f.run(t, text, seed, fuzzing) })
}
