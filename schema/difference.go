package schema

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/twmb/avro"
)

// Change is what became of a field between two versions of a schema.
type Change string

// The changes. A column that is renamed is removed and added: nothing in a schema
// tells more.
const (
	ChangeAdded    Change = "added"
	ChangeRemoved  Change = "removed"
	ChangeType     Change = "type"
	ChangeNullable Change = "nullable"
	ChangeDefault  Change = "default"
	ChangeLabels   Change = "labels"     // of an enum
	ChangeOther    Change = "properties" // connect.parameters and the like
	ChangeOrder    Change = "order"      // of all fields; Column is empty
)

// Difference is one change between two versions of a schema, for people. A column
// whose type and nullability both change has one of each.
type Difference struct {
	Column string `json:"column,omitempty"` // its name in PostgreSQL
	Field  string `json:"field,omitempty"`  // of the envelope instead, such as transaction
	Change Change `json:"change"`
	Old    string `json:"old,omitempty"` // descriptions; empty where there is none
	New    string `json:"new,omitempty"`
	// Backward says why readers of the new schema cannot take records of the old
	// one, Forward why readers of the old schema cannot take records of the new
	// one. Empty: they can.
	Backward string `json:"backward,omitempty"`
	Forward  string `json:"forward,omitempty"`
	// Misread says what a reader that goes by the other version takes values for,
	// although the bytes fit. No registry notices.
	Misread string `json:"misread,omitempty"`
}

// Breaks tells whether the difference breaks the readers that a compatibility
// level protects: BACKWARD, FORWARD or FULL, with or without _TRANSITIVE. Any
// other level protects none.
func (d Difference) Breaks(level string) bool {
	level, _ = strings.CutSuffix(level, "_TRANSITIVE")
	full := level == "FULL"
	return d.Backward != "" && (full || level == "BACKWARD") || d.Forward != "" && (full || level == "FORWARD")
}

// String is one line: what changed, and whom it breaks.
func (d Difference) String() string {
	s := "the fields"
	switch {
	case d.Column != "":
		s = fmt.Sprintf("column %q", d.Column)
	case d.Field != "":
		s = "field " + d.Field
	}
	switch d.Change {
	case ChangeAdded:
		s += ": added, " + d.New
	case ChangeRemoved:
		s += ": removed, was " + d.Old
	default:
		s += fmt.Sprintf(": %s %s, was %s", d.Change, d.New, d.Old)
	}
	if d.Backward != "" {
		s += "; breaks BACKWARD and FULL: " + d.Backward
	}
	if d.Forward != "" {
		s += "; breaks FORWARD and FULL: " + d.Forward
	}
	if d.Misread != "" {
		s += "; " + d.Misread
	}
	return s
}

// Differences lists what changed from one schema of a topic's keys or values to
// another: columns in the new schema's order, then those that are gone, then what
// is not a column. It is empty when readers cannot tell the schemas apart. Both
// have to be records. It is safe for concurrent use.
//
// What breaks readers goes by the rules of Compatible.
func Differences(oldSchema, newSchema string) ([]Difference, error) {
	before, err := parseTree(oldSchema)
	if err != nil {
		return nil, fmt.Errorf("old schema: %w", err)
	}
	after, err := parseTree(newSchema)
	if err != nil {
		return nil, fmt.Errorf("new schema: %w", err)
	}
	if before.envelope != after.envelope {
		return nil, fmt.Errorf("one schema is an envelope's and the other is not")
	}
	list, err := compareFields(before.fields, after.fields)
	if err != nil {
		return nil, err
	}
	around, err := compareFields(before.around, after.around)
	if err != nil {
		return nil, err
	}
	for _, d := range around {
		d.Column, d.Field = "", d.Column
		list = append(list, d)
	}
	return list, nil
}

func compareFields(before, after []treeField) ([]Difference, error) {
	var list []Difference
	old := map[string]*treeField{}
	for i := range before {
		old[before[i].name] = &before[i]
	}
	kept := map[string]bool{}
	for i := range after {
		f := &after[i]
		if was, ok := old[f.name]; ok {
			kept[f.name] = true
			some, err := compareField(was, f)
			if err != nil {
				return nil, fmt.Errorf("field %s: %w", f.name, err)
			}
			list = append(list, some...)
			continue
		}
		d := Difference{Column: f.column, Change: ChangeAdded, New: f.describe()}
		if !f.hasDef {
			d.Backward = "old records have no value for it, and it has no default"
		}
		list = append(list, d)
	}
	var oldOrder, newOrder []string
	for i := range before {
		f := &before[i]
		if kept[f.name] {
			oldOrder = append(oldOrder, f.column)
			continue
		}
		d := Difference{Column: f.column, Change: ChangeRemoved, Old: f.describe()}
		if !f.hasDef {
			d.Forward = "new records have no value for it, and it had no default"
		}
		list = append(list, d)
	}
	for i := range after {
		if kept[after[i].name] {
			newOrder = append(newOrder, after[i].column)
		}
	}
	if !slices.Equal(oldOrder, newOrder) && len(oldOrder) == len(newOrder) {
		list = append(list, Difference{Change: ChangeOrder, Old: strings.Join(oldOrder, ", "), New: strings.Join(newOrder, ", ")})
	}
	return list, nil
}

func compareField(was, is *treeField) ([]Difference, error) {
	var list []Difference
	add := func(c Change, old, new string) *Difference {
		list = append(list, Difference{Column: is.column, Change: c, Old: old, New: new})
		return &list[len(list)-1]
	}
	if !reflect.DeepEqual(structure(was.typ), structure(is.typ)) {
		d := add(ChangeType, describe(was.typ), describe(is.typ))
		var err error
		if d.Backward, d.Forward, err = readable(was.typ, is.typ); err != nil {
			return nil, err
		}
		if a, b := meaning(was.typ), meaning(is.typ); !reflect.DeepEqual(a, b) && (d.Backward == "" || d.Forward == "") {
			d.Misread = "a reader that goes by the other version takes the same bytes for another value"
		}
	}
	if a, b := labels(was.typ), labels(is.typ); a != b {
		add(ChangeLabels, a, b)
	}
	if a, b := others(was.typ), others(is.typ); a != b {
		add(ChangeOther, a, b)
	}
	if was.nullable != is.nullable {
		d := add(ChangeNullable, nullability(was.nullable), nullability(is.nullable))
		if was.nullable {
			d.Backward = "old records may hold null, which has no place in it"
		} else {
			d.Forward = "new records may hold null, which old readers have no place for"
		}
	}
	if was.hasDef != is.hasDef || !reflect.DeepEqual(was.def, is.def) {
		add(ChangeDefault, was.defaultText(), is.defaultText())
	}
	return list, nil
}

// readable tells why values of one type cannot be read as the other, in both
// directions. Defaults do not matter: the field is in both records.
func readable(was, is any) (backward, forward string, err error) {
	var schemas [2]*avro.Schema
	for i, typ := range []any{was, is} {
		text, err := json.Marshal(map[string]any{"type": "record", "name": "r", "fields": []any{map[string]any{"name": "f", "type": onlyNames(typ, map[string]bool{})}}})
		if err != nil {
			return "", "", err
		}
		if schemas[i], err = parseForCompat(string(text)); err != nil {
			return "", "", err
		}
	}
	if err := avro.CheckCompatibility(schemas[0], schemas[1]); err != nil {
		backward = fmt.Sprintf("old records have %s where new readers want %s", describe(was), describe(is))
	}
	if err := avro.CheckCompatibility(schemas[1], schemas[0]); err != nil {
		forward = fmt.Sprintf("new records have %s where old readers want %s", describe(is), describe(was))
	}
	return backward, forward, nil
}

// onlyNames puts names back for all but the first of each definition, as Avro
// demands.
func onlyNames(node any, defined map[string]bool) any {
	switch n := node.(type) {
	case []any:
		out := make([]any, len(n))
		for i := range n {
			out[i] = onlyNames(n[i], defined)
		}
		return out
	case map[string]any:
		if name, ok := definedName(n, ""); ok {
			if defined[name] {
				return name
			}
			defined[name] = true
		}
		out := maps.Clone(n)
		for _, key := range []string{"type", "items", "values", "fields"} {
			if inner, ok := n[key]; ok {
				out[key] = onlyNames(inner, defined)
			}
		}
		return out
	}
	return node
}

func nullability(nullable bool) string {
	if nullable {
		return "null"
	}
	return "not null"
}

func (f *treeField) defaultText() string {
	if !f.hasDef {
		return "none"
	}
	text, err := json.Marshal(f.def)
	if err != nil {
		return "?"
	}
	return string(text)
}

func (f *treeField) describe() string {
	s := describe(f.typ) + " " + nullability(f.nullable)
	if f.hasDef {
		s += " default " + f.defaultText()
	}
	return s
}
