package config

import (
	"fmt"
	"reflect"
	"strings"
)

// Key is one key as the reference describes it.
type Key struct {
	Path     string   `json:"path"`
	Type     string   `json:"type"`
	Default  string   `json:"default"`
	Unit     string   `json:"unit,omitempty"`
	Meaning  string   `json:"meaning"`
	Values   []string `json:"values,omitempty"`
	Range    string   `json:"range,omitempty"`
	Required bool     `json:"required"`
	Secret   bool     `json:"secret"`
}

// Keys lists every key of a configuration struct, in its order. Below a list
// stands [], below a map <key>.
func Keys(cfg any) []Key {
	t := reflect.TypeOf(cfg)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return keysOf(t, "", nil)
}

func keysOf(t reflect.Type, path string, above []reflect.Type) []Key {
	for _, a := range above {
		if a == t {
			return nil // a section within itself, described already
		}
	}
	above = append(above, t)
	var keys []Key
	for _, f := range fieldsOf(t) {
		p := join(path, f.name)
		keys = append(keys, f.key(p))
		keys = append(keys, below(f, p, above)...)
	}
	return keys
}

func below(f *field, path string, above []reflect.Type) []Key {
	switch f.kind {
	case kindStruct, kindOptional:
		return keysOf(f.structType(), path, above)
	case kindList:
		return below(f.elem, path+"[]", above)
	case kindMap:
		name := f.keyName
		if name == "" {
			name = "key"
		}
		return below(f.elem, join(path, "<"+name+">"), above)
	}
	return nil
}

func (f *field) key(path string) Key {
	k := Key{
		Path: path, Type: f.typeName(), Default: f.def, Unit: f.unit, Meaning: f.doc,
		Required: f.required, Secret: f.secret,
	}
	s := f
	if f.elem != nil {
		s = f.elem
	}
	k.Values = s.enum
	switch {
	case s.min != "" && s.max != "":
		k.Range = s.min + " to " + s.max
	case s.min != "":
		k.Range = s.min + " or more"
	case s.max != "":
		k.Range = s.max + " or less"
	}
	if k.Default == "" && !f.required {
		switch f.kind {
		case kindList:
			k.Default = "[]"
		case kindMap:
			k.Default = "{}"
		case kindScalar:
			k.Default = zeroDefault(f)
		}
	}
	if k.Unit == "" && f.kind == kindScalar {
		switch f.typ {
		case typeDuration:
			k.Unit = "ms, s, m, h"
		case typeSize:
			k.Unit = "B, KiB, MiB, GiB"
		}
	}
	return k
}

func zeroDefault(f *field) string {
	if f.hasDef || f.typ.Kind() == reflect.String || f.typ.Kind() == reflect.Struct {
		return `""`
	}
	return scalarText(reflect.Zero(f.typ))
}

func (k Key) isSection() bool { return k.Type == "section" }

// defaultText is the default in a reader's words.
func (k Key) defaultText() string {
	if k.Required {
		return "required"
	}
	return k.Default
}

// ReferenceText is every key with type, default, unit and meaning, for a
// terminal.
func ReferenceText(cfg any) string {
	var b strings.Builder
	for _, k := range Keys(cfg) {
		if k.isSection() {
			fmt.Fprintf(&b, "%s\n", k.Path)
		} else {
			fmt.Fprintf(&b, "%s: %s\n", k.Path, k.defaultText())
		}
		if details := k.details(); details != "" {
			fmt.Fprintf(&b, "    %s\n", details)
		}
		for _, line := range wrap(k.Meaning, 92) {
			fmt.Fprintf(&b, "    %s\n", line)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func (k Key) details() string {
	if k.isSection() {
		return ""
	}
	parts := []string{k.Type}
	if k.Range != "" {
		parts = append(parts, k.Range)
	}
	if k.Unit != "" {
		parts = append(parts, "unit: "+k.Unit)
	}
	if k.Secret {
		parts = append(parts, "secret")
	}
	return strings.Join(parts, "; ")
}

// ReferenceMarkdown is the same as a table for each top-level section.
func ReferenceMarkdown(cfg any) string {
	var b strings.Builder
	open := ""
	for i, k := range Keys(cfg) {
		top, _, nested := strings.Cut(k.Path, ".")
		switch {
		case !nested && k.isSection():
			fmt.Fprintf(&b, "\n### %s\n\n%s\n\n", k.Path, k.Meaning)
			tableHead(&b)
			open = top
			continue
		case !nested && (open != "" || i == 0):
			if i > 0 {
				b.WriteByte('\n')
			}
			tableHead(&b)
			open = ""
		}
		if k.isSection() && k.Meaning == "" {
			continue
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n",
			k.Path, cell(strings.TrimPrefix(k.Type, "section")), code(k.defaultText()), cell(strings.Join(nonEmpty(k.Unit, k.Range), "; ")), cell(k.Meaning))
	}
	return strings.TrimPrefix(b.String(), "\n")
}

func tableHead(b *strings.Builder) {
	b.WriteString("| key | type | default | unit, range | meaning |\n|---|---|---|---|---|\n")
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

func code(s string) string {
	if s == "" || s == "required" {
		return s
	}
	return "`" + cell(s) + "`"
}

func nonEmpty(list ...string) []string {
	var result []string
	for _, s := range list {
		if s != "" {
			result = append(result, s)
		}
	}
	return result
}

// wrap breaks s into lines of at most width runes.
func wrap(s string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(s) {
		if line != "" && len([]rune(line))+1+len([]rune(word)) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}
