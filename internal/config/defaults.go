package config

import (
	"cmp"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// setDefaults gives every key of a struct its default.
func setDefaults(v reflect.Value) {
	for _, f := range fieldsOf(v.Type()) {
		fv := v.FieldByIndex(f.index)
		switch {
		case f.kind == kindStruct:
			setDefaults(fv)
		case !f.hasDef:
			fv.SetZero()
		case f.kind == kindScalar:
			if err := setScalar(fv, f.def, f); err != nil {
				panic(fmt.Sprintf("config: default of %s: %v", f.name, err))
			}
		default:
			fv.Set(yamlDefault(f))
		}
	}
}

// yamlDefault reads the default of a list or map, which is written as YAML.
func yamlDefault(f *field) reflect.Value {
	file, err := parser.ParseBytes([]byte(f.def), 0)
	if err != nil || len(file.Docs) != 1 {
		panic(fmt.Sprintf("config: default of %s: %v", f.name, err))
	}
	v := reflect.New(f.typ).Elem()
	r := &reader{at: map[string]place{}, empty: map[string]bool{}, shown: map[string]string{}, anchors: map[string]ast.Node{}, env: noEnvironment}
	r.value(file.Docs[0].Body, f, v, f.name)
	if len(r.problems) > 0 {
		panic(fmt.Sprintf("config: default of %s: %v", f.name, r.problems))
	}
	return v
}

func noEnvironment(string) (string, bool) { return "", false }

var placeholder = regexp.MustCompile(`<([a-z_]+)>`)

// derive fills in defaults such as tailrace_<name>.
func derive(v, root reflect.Value) {
	for _, f := range fieldsOf(v.Type()) {
		fv := v.FieldByIndex(f.index)
		switch {
		case f.kind == kindStruct:
			derive(fv, root)
		case f.kind == kindOptional && !fv.IsNil():
			derive(fv.Elem(), root)
		case f.kind == kindScalar && fv.Kind() == reflect.String && f.hasDef && fv.String() == f.def && strings.Contains(f.def, "<"):
			text := placeholder.ReplaceAllStringFunc(f.def, func(m string) string {
				return rootText(root, m[1:len(m)-1])
			})
			if f.derive == "identifier" {
				text = identifier(text)
			}
			fv.SetString(text)
		}
	}
}

func rootText(root reflect.Value, name string) string {
	for _, f := range fieldsOf(root.Type()) {
		if f.name == name && root.FieldByIndex(f.index).Kind() == reflect.String {
			return root.FieldByIndex(f.index).String()
		}
	}
	panic(fmt.Sprintf("config: a default refers to <%s>, which is no top-level text key", name))
}

// identifier makes s a name that PostgreSQL takes without quotes, and as a slot:
// lower-case letters, digits and underscores, at most 63.
func identifier(s string) string {
	s = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_' {
			return r
		}
		return '_'
	}, strings.ToLower(s))
	return s[:min(len(s), 63)]
}

func sortedKeys(m reflect.Value) []reflect.Value {
	return slices.SortedFunc(slices.Values(m.MapKeys()), func(a, b reflect.Value) int {
		return cmp.Compare(a.String(), b.String())
	})
}
