package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
)

// entry is one value of the effective configuration, ready to be printed.
type entry struct {
	name  string
	text  string // of a scalar, as it stands for itself in the file
	raw   bool   // text is printed as it is: a number, a duration, a boolean
	form  kind
	below []entry
}

// Show prints the effective configuration as YAML: the file's values with the
// defaults filled in. What came from the environment is printed as its
// reference, secrets and passwords in URLs as xxxxx. f may be nil.
func (f *File) Show(cfg any) string {
	var b strings.Builder
	writeYAML(&b, f.tree(cfg), 0)
	return b.String()
}

// ShowJSON is Show as one JSON object in one line.
func (f *File) ShowJSON(cfg any) string {
	var b bytes.Buffer
	writeJSON(&b, entry{form: kindStruct, below: f.tree(cfg)})
	return b.String()
}

func (f *File) tree(cfg any) []entry {
	if f == nil {
		f = &File{}
	}
	v := reflect.Indirect(reflect.ValueOf(cfg))
	return f.section(v, "")
}

func (f *File) section(v reflect.Value, path string) []entry {
	var list []entry
	for _, fd := range fieldsOf(v.Type()) {
		if e, ok := f.entry(v.FieldByIndex(fd.index), fd, join(path, fd.name)); ok {
			e.name = fd.name
			list = append(list, e)
		}
	}
	return list
}

// entry is the value at path; ok is false for what has nothing to show.
func (f *File) entry(v reflect.Value, fd *field, path string) (e entry, ok bool) {
	if shown, referred := f.shown[path]; referred {
		return entry{text: Redact(shown), form: kindScalar}, true
	}
	switch fd.kind {
	case kindStruct:
		return entry{form: kindStruct, below: f.section(v, path)}, true
	case kindOptional:
		if v.IsNil() {
			return entry{}, false
		}
		return entry{form: kindStruct, below: f.section(v.Elem(), path)}, true
	case kindMaybe:
		if v.IsNil() {
			return entry{}, false
		}
		return f.entry(v.Elem(), fd.elem, path)
	case kindList:
		e.form = kindList
		for i := range v.Len() {
			below, _ := f.entry(v.Index(i), fd.elem, fmt.Sprintf("%s[%d]", path, i))
			e.below = append(e.below, below)
		}
		return e, true
	case kindMap:
		e.form = kindStruct
		for _, k := range sortedKeys(v) {
			below, _ := f.entry(v.MapIndex(k), fd.elem, join(path, k.String()))
			below.name = k.String()
			e.below = append(e.below, below)
		}
		return e, true
	case kindAny:
		return f.free(v, path), true
	}
	text := scalarText(v)
	if derived, ok := f.derived(fd, path); ok {
		return entry{text: Redact(derived)}, true
	}
	switch {
	case fd.secret && text != "":
		return entry{text: hidden}, true
	case v.Kind() == reflect.String || fd.typ != typeDuration && fd.typ != typeSize && reflect.PointerTo(fd.typ).Implements(typeText):
		return entry{text: escapeDollars(Redact(text))}, true
	}
	return entry{text: text, raw: true}, true
}

// derived is the text of a default such as tailrace_<name> where name came from
// the environment.
func (f *File) derived(fd *field, path string) (string, bool) {
	if _, given := f.at[path]; given || !strings.Contains(fd.def, "<") {
		return "", false
	}
	from := false
	text := placeholder.ReplaceAllStringFunc(fd.def, func(m string) string {
		shown, referred := f.shown[m[1:len(m)-1]]
		from = from || referred
		return shown
	})
	return text, from
}

func (f *File) free(v reflect.Value, path string) entry {
	if shown, referred := f.shown[path]; referred {
		return entry{text: Redact(shown), form: kindScalar}
	}
	if v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.Invalid:
		return entry{text: "null", raw: true}
	case reflect.Slice:
		e := entry{form: kindList}
		for i := range v.Len() {
			e.below = append(e.below, f.free(v.Index(i), fmt.Sprintf("%s[%d]", path, i)))
		}
		return e
	case reflect.Map:
		e := entry{form: kindStruct}
		for _, k := range sortedKeys(v) {
			below := f.free(v.MapIndex(k), join(path, k.String()))
			below.name = k.String()
			e.below = append(e.below, below)
		}
		return e
	case reflect.String:
		return entry{text: escapeDollars(Redact(v.String()))}
	}
	return entry{text: scalarText(v), raw: true}
}

func writeYAML(b *strings.Builder, list []entry, indent int) {
	for _, e := range list {
		b.WriteString(strings.Repeat("  ", indent) + quoteYAML(e.name, false) + ":")
		writeValue(b, e, indent)
	}
}

func writeValue(b *strings.Builder, e entry, indent int) {
	switch {
	case e.form == kindScalar:
		b.WriteString(" " + e.yaml(false) + "\n")
	case len(e.below) == 0 && e.form == kindList:
		b.WriteString(" []\n")
	case len(e.below) == 0:
		b.WriteString(" {}\n")
	case e.form == kindStruct:
		b.WriteByte('\n')
		writeYAML(b, e.below, indent+1)
	case e.flat():
		texts := make([]string, len(e.below))
		for i, x := range e.below {
			texts[i] = x.yaml(true)
		}
		b.WriteString(" [" + strings.Join(texts, ", ") + "]\n")
	default:
		b.WriteByte('\n')
		for _, x := range e.below {
			writeItem(b, x, indent+1)
		}
	}
}

// writeItem writes an element of a list, the first key of a section beside the
// dash.
func writeItem(b *strings.Builder, e entry, indent int) {
	var item strings.Builder
	if e.form == kindStruct && len(e.below) > 0 {
		writeYAML(&item, e.below, indent+1)
		b.WriteString(strings.Repeat("  ", indent) + "- " + strings.TrimLeft(item.String(), " "))
		return
	}
	writeValue(&item, e, indent)
	b.WriteString(strings.Repeat("  ", indent) + "-" + item.String())
}

func (e entry) flat() bool {
	for _, x := range e.below {
		if x.form != kindScalar {
			return false
		}
	}
	return true
}

func (e entry) yaml(inFlow bool) string {
	if e.raw {
		return e.text
	}
	return quoteYAML(e.text, inFlow)
}

var plain = regexp.MustCompile(`^[A-Za-z0-9_/.][A-Za-z0-9_/.:@+=-]*$|^\$\{[A-Za-z0-9_]+(:-xxxxx)?\}$`)

// quoteYAML writes a text so that it is read back as that text.
func quoteYAML(s string, inFlow bool) string {
	_, notNumber := strconv.ParseFloat(strings.ReplaceAll(s, "_", ""), 64)
	_, notInt := strconv.ParseInt(s, 0, 64)
	word := strings.ToLower(s)
	switch {
	case !plain.MatchString(s), notNumber == nil, notInt == nil, strings.HasSuffix(s, ":"), strings.Trim(s, ".0123456789") == "":
	case word == "true", word == "false", word == "null", word == "yes", word == "no", word == "on", word == "off":
	case inFlow && strings.ContainsAny(s, ":{"):
	default:
		return s
	}
	return jsonText(s)
}

func jsonText(s string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		return strconv.Quote(s)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func writeJSON(b *bytes.Buffer, e entry) {
	open, end := "{", "}"
	if e.form == kindList {
		open, end = "[", "]"
	}
	switch {
	case e.form != kindScalar:
		b.WriteString(open)
		for i, x := range e.below {
			if i > 0 {
				b.WriteByte(',')
			}
			if e.form == kindStruct {
				b.WriteString(jsonText(x.name) + ":")
			}
			writeJSON(b, x)
		}
		b.WriteString(end)
	case e.raw && json.Valid([]byte(e.text)):
		b.WriteString(e.text)
	default:
		b.WriteString(jsonText(e.text))
	}
}
