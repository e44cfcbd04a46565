package docsgen

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

// Marks says, by a key's path, what this version does not do with it.
type Marks map[string]string

// Apply adds the marks to the rows of a reference in Markdown, as package config
// writes it. A mark without its row is a fault of the generator.
func (m Marks) Apply(t testing.TB, markdown string) string {
	t.Helper()
	lines := strings.Split(markdown, "\n")
	found := map[string]bool{}
	for i, line := range lines {
		rest, ok := strings.CutPrefix(line, "| `")
		if !ok {
			continue
		}
		line = escape(line)
		lines[i] = line
		key, _, _ := strings.Cut(rest, "`")
		if mark := m[key]; mark != "" {
			lines[i] = strings.TrimSuffix(line, " |") + " **" + mark + "** |"
			found[key] = true
		}
	}
	for key := range m {
		if !found[key] {
			t.Errorf("no row for key %s", key)
		}
	}
	return strings.Join(lines, "\n")
}

// escape keeps what stands outside of code from being taken for Markdown.
func escape(line string) string {
	parts := strings.Split(line, "`")
	for i := 0; i < len(parts); i += 2 {
		parts[i] = strings.NewReplacer("<", `\<`, "*", `\*`, "__", `\_\_`).Replace(parts[i])
	}
	return strings.Join(parts, "`")
}

// Refused finds the keys that available refuses, by trying: each key of the
// struct that cfg points to is given other values than its own, one after the
// other. cfg is left as it was.
func Refused(t testing.TB, cfg any, available func() error) Marks {
	t.Helper()
	if err := available(); err != nil {
		t.Fatalf("the defaults are refused: %v", err)
	}
	p := &prober{available: available, marks: Marks{}, sections: map[string]bool{}}
	p.section(reflect.ValueOf(cfg).Elem(), "", func() {})
	for key := range p.sections {
		for _, path := range p.paths {
			if strings.HasPrefix(path, key+".") {
				p.marks[path] = notInThisVersion
			}
		}
	}
	return p.marks
}

const (
	notInThisVersion = "Not in this version."
	mapKey           = "public.orders" // stands for any key of a map
	anLSN            = "16/B374D848"   // a text that has more than one meaning
)

// prober holds what Refused found so far.
type prober struct {
	available func() error
	marks     Marks
	sections  map[string]bool // that are refused as a whole
	paths     []string
}

// section tries the keys of a struct. commit makes what is set in v visible to
// available, where v is a copy.
func (p *prober) section(v reflect.Value, path string, commit func()) {
	for i := range v.NumField() {
		sf := v.Type().Field(i)
		name := sf.Tag.Get("yaml")
		if name == "" || name == "-" {
			continue
		}
		if path != "" {
			name = path + "." + name
		}
		p.field(v.Field(i), sf, name, commit)
	}
}

func (p *prober) field(f reflect.Value, sf reflect.StructField, path string, commit func()) {
	switch {
	case f.Kind() == reflect.Struct:
		p.section(f, path, commit)
		return
	case f.Kind() == reflect.Pointer && f.Type().Elem().Kind() != reflect.Struct: // an optional scalar
		p.paths = append(p.paths, path)
		f.Set(reflect.New(f.Type().Elem()))
		commit()
		if err := p.available(); err != nil {
			p.marks[path] = notInThisVersion
			p.note(err, path)
		}
		f.SetZero()
		commit()
		return
	case f.Kind() == reflect.Pointer:
		old := reflect.ValueOf(f.Interface())
		f.Set(reflect.New(f.Type().Elem()))
		p.section(f.Elem(), path, commit)
		f.Set(old)
		commit()
		return
	case f.Kind() == reflect.Map && f.Type().Elem().Kind() == reflect.Struct:
		old := reflect.ValueOf(f.Interface())
		elem := reflect.New(f.Type().Elem()).Elem()
		p.section(elem, path+".<"+sf.Tag.Get("key")+">", func() {
			m := reflect.MakeMap(f.Type())
			m.SetMapIndex(reflect.ValueOf(mapKey), elem)
			f.Set(m)
			commit()
		})
		f.Set(old)
		commit()
		return
	}
	p.paths = append(p.paths, path)
	all := probes(f, sf)
	var refused []string
	for _, probe := range all {
		old := reflect.ValueOf(f.Interface())
		f.Set(probe.value)
		commit()
		if err := p.available(); err != nil {
			refused = append(refused, probe.name)
			p.note(err, path)
		}
		f.Set(old)
		commit()
	}
	switch names := strings.Join(refused, ", "); {
	case len(refused) == 0:
	case strings.Trim(names, ", ") == "" || f.Kind() == reflect.String && len(refused) == len(all) && sf.Tag.Get("enum") == "":
		p.marks[path] = notInThisVersion
	default:
		p.marks[path] = "Not in this version: " + names + "."
	}
}

// note remembers a section that is refused whichever of its keys is set.
func (p *prober) note(err error, path string) {
	for line := range strings.Lines(err.Error()) {
		key, _, _ := strings.Cut(line, ": ")
		if strings.HasPrefix(path, key+".") {
			p.sections[key] = true
		}
	}
}

// probe is a value to try, and its name on the page; none where any value would
// do.
type probe struct {
	name  string
	value reflect.Value
}

func probes(f reflect.Value, sf reflect.StructField) []probe {
	like := func(v any) reflect.Value { return reflect.ValueOf(v).Convert(f.Type()) }
	switch f.Kind() {
	case reflect.Bool:
		return []probe{{fmt.Sprintf("`%t`", !f.Bool()), like(!f.Bool())}}
	case reflect.String:
		if enum := sf.Tag.Get("enum"); enum != "" {
			var list []probe
			for value := range strings.SplitSeq(enum, "|") {
				if value != f.String() {
					list = append(list, probe{"`" + value + "`", like(value)})
				}
			}
			return list
		}
		return []probe{{"a text", like("text")}, {"an LSN", like(anLSN)}, {"a time", like(time.Unix(0, 0).UTC().Format(time.RFC3339))}}
	case reflect.Float32, reflect.Float64:
		return []probe{{"", like(f.Float() / 2)}}
	case reflect.Slice:
		s := reflect.MakeSlice(f.Type(), 1, 1)
		if e := s.Index(0); e.Kind() == reflect.String {
			e.SetString("text")
		}
		return []probe{{"", s}}
	case reflect.Map:
		m := reflect.MakeMap(f.Type())
		m.SetMapIndex(reflect.ValueOf(mapKey), reflect.Zero(f.Type().Elem()))
		return []probe{{"", m}}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return []probe{{"", like(f.Int() + 1)}}
	}
	panic("docsgen: no value to try for a key of type " + f.Type().String())
}
