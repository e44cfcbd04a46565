package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// schemaTree is a schema's JSON for comparison with another version of it: what a
// reader's nodes leave out, such as defaults, is still there.
type schemaTree struct {
	root     map[string]any
	named    map[string]any // definitions by full name, namespaces written out
	fields   []treeField    // of the row record, else of the record itself
	around   []treeField    // of an envelope: all but before and after
	envelope bool
	left     int // how many more types may be written out
}

// maxTypes bounds what names may stand for: definitions that use each other twice
// would grow with every level.
const maxTypes = 1 << 17

// treeField is a field of a record. Types are written out: a name stands for a
// definition only where that would contain itself.
type treeField struct {
	name     string
	column   string // the column's name in PostgreSQL; the field's where it is the same
	typ      any    // less the union with null
	nullable bool
	def      any
	hasDef   bool
}

func parseTree(text string) (*schemaTree, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var root any
	if err := d.Decode(&root); err != nil {
		return nil, fmt.Errorf("not JSON: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("not JSON: text after the schema")
	}
	t := &schemaTree{named: map[string]any{}, left: maxTypes}
	t.collect(root, "")
	whole, ok := t.whole(root, "", nil).(map[string]any)
	if t.left < 0 {
		return nil, errors.New("its definitions are too large")
	}
	if !ok || whole["type"] != "record" {
		return nil, errors.New("not the schema of a record")
	}
	t.root = whole
	for _, f := range t.fieldsOf(whole) {
		record, isRecord := f.typ.(map[string]any)
		switch {
		case (f.name == "before" || f.name == "after") && f.nullable && isRecord && record["type"] == "record":
			t.envelope, t.fields = true, t.fieldsOf(record)
		default:
			t.around = append(t.around, f)
		}
	}
	if !t.envelope {
		t.fields, t.around = t.around, nil
	}
	for _, list := range [][]treeField{t.fields, t.around} {
		names := map[string]bool{}
		for _, f := range list {
			if names[f.name] {
				return nil, fmt.Errorf("two fields named %q", f.name)
			}
			names[f.name] = true
		}
	}
	return t, nil
}

// collect finds the definitions of named types.
func (t *schemaTree) collect(node any, namespace string) {
	switch n := node.(type) {
	case []any:
		for _, inner := range n {
			t.collect(inner, namespace)
		}
	case map[string]any:
		if name, ok := definedName(n, namespace); ok {
			definition := maps.Clone(n)
			definition["name"], definition["namespace"] = name, ""
			t.named[name] = definition
			namespace = namespaceOf(name)
		}
		t.collect(n["type"], namespace)
		t.collect(n["items"], namespace)
		t.collect(n["values"], namespace)
		if fields, ok := n["fields"].([]any); ok {
			for _, f := range fields {
				if f, ok := f.(map[string]any); ok {
					t.collect(f["type"], namespace)
				}
			}
		}
	}
}

// definedName is the full name of the type that an object defines, if it does.
func definedName(n map[string]any, namespace string) (string, bool) {
	switch n["type"] {
	case "record", "enum", "fixed":
	default:
		return "", false
	}
	name, ok := n["name"].(string)
	if own, has := n["namespace"].(string); has {
		namespace = own
	}
	return fullName(name, namespace), ok
}

func namespaceOf(name string) string {
	return name[:max(0, strings.LastIndexByte(name, '.'))]
}

// whole is a type with every name in it replaced by what it stands for. within
// are the definitions that it is part of.
func (t *schemaTree) whole(node any, namespace string, within []string) any {
	if t.left--; t.left < 0 {
		return nil
	}
	switch n := node.(type) {
	case string:
		name := fullName(n, namespace)
		if _, ok := t.named[name]; !ok {
			name = n
		}
		if definition, ok := t.named[name]; ok && !slices.Contains(within, name) {
			return t.whole(definition, "", within)
		}
		return name
	case []any:
		out := make([]any, len(n))
		for i, inner := range n {
			out[i] = t.whole(inner, namespace, within)
		}
		return out
	case map[string]any:
		return t.wholeObject(n, namespace, within)
	}
	return node
}

func (t *schemaTree) wholeObject(n map[string]any, namespace string, within []string) any {
	out := maps.Clone(n)
	switch typ := n["type"].(type) {
	case string:
		if name, ok := definedName(n, namespace); ok {
			out["name"] = name
			delete(out, "namespace")
			namespace, within = namespaceOf(name), append(slices.Clone(within), name)
		} else if inner, ok := t.whole(typ, namespace, within).(map[string]any); ok {
			return inner // {"type": "name of a definition"}
		}
	default:
		return t.whole(typ, namespace, within)
	}
	for _, key := range []string{"items", "values"} {
		if inner, ok := n[key]; ok {
			out[key] = t.whole(inner, namespace, within)
		}
	}
	if fields, ok := n["fields"].([]any); ok {
		list := make([]any, len(fields))
		for i, f := range fields {
			list[i] = f
			if f, ok := f.(map[string]any); ok {
				field := maps.Clone(f)
				field["type"] = t.whole(f["type"], namespace, within)
				list[i] = field
			}
		}
		out["fields"] = list
	}
	return out
}

// fieldsOf are the fields of a record that whole made.
func (t *schemaTree) fieldsOf(record map[string]any) []treeField {
	list, _ := record["fields"].([]any)
	var fields []treeField
	for _, entry := range list {
		f, _ := entry.(map[string]any)
		name, _ := f["name"].(string)
		field := treeField{name: name, column: name, typ: f["type"]}
		field.def, field.hasDef = f["default"]
		if union, ok := field.typ.([]any); ok && len(union) == 2 {
			switch "null" {
			case union[0]:
				field.typ, field.nullable = union[1], true
			case union[1]:
				field.typ, field.nullable = union[0], true
			}
		}
		if typ, ok := field.typ.(map[string]any); ok && typ["type"] != "record" {
			if params, ok := typ["connect.parameters"].(map[string]any); ok {
				if original, ok := params["__debezium.source.column.name"].(string); ok {
					field.column = original
				}
			}
		}
		fields = append(fields, field)
	}
	return fields
}
