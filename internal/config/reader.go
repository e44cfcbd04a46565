package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// maxNodes bounds what aliases of aliases can make of a small file.
const maxNodes = 100_000

// maxDepth bounds an alias that stands within what it names.
const maxDepth = 32

// place is a position in the file, from 1.
type place struct{ line, column int }

// reader turns a syntax tree into values. It is used once.
type reader struct {
	file     string
	env      func(string) (string, bool)
	problems Problems
	at       map[string]place
	empty    map[string]bool // keys without a value
	shown    map[string]string
	anchors  map[string]ast.Node
	root     reflect.Value
	nodes    int
}

func (r *reader) problem(path string, at place, format string, args ...any) {
	r.problems = append(r.problems, Problem{
		File: r.file, Line: at.line, Column: at.column, Path: path, Message: showReferences(fmt.Sprintf(format, args...)),
	})
}

func placeOf(n ast.Node) place {
	if m, ok := n.(*ast.MappingNode); ok && len(m.Values) > 0 && !m.IsFlowStyle {
		n = m.Values[0].Key
	}
	if m, ok := n.(*ast.MappingValueNode); ok {
		n = m.Key
	}
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return place{1, 1}
	}
	pos := n.GetToken().Position
	return place{max(pos.Line, 1), max(pos.Column, 1)}
}

// value reads n into v. The path's place is known already.
func (r *reader) value(n ast.Node, f *field, v reflect.Value, path string) {
	if r.tooMuch(path) {
		return
	}
	n = r.resolve(n, path)
	switch {
	case n == nil:
		return
	case f.kind == kindOptional:
		v.Set(reflect.New(f.structType()))
		setDefaults(v.Elem())
		r.structure(n, v.Elem(), path)
		r.exactlyOne(f, v.Elem(), path)
	case f.kind == kindStruct:
		r.structure(n, v, path)
		r.exactlyOne(f, v, path)
	case isNull(n):
		// A key without a value keeps its default.
		r.empty[path] = true
	case f.kind == kindMaybe:
		v.Set(reflect.New(f.elem.typ))
		r.scalar(n, f.elem, v.Elem(), path)
	case f.kind == kindList:
		r.list(n, f, v, path)
	case f.kind == kindMap:
		r.dict(n, f, v, path)
	case f.kind == kindAny:
		if x := r.free(n, path); x != nil {
			v.Set(reflect.ValueOf(x))
		}
	default:
		r.scalar(n, f, v, path)
	}
}

// tooMuch stops at files that aliases make endless.
func (r *reader) tooMuch(path string) bool {
	if r.nodes++; r.nodes > maxNodes {
		if r.nodes == maxNodes+1 {
			r.problem("", r.nearestPlace(path), "too many values; are there aliases of aliases?")
		}
		return true
	}
	if strings.Count(path, ".")+strings.Count(path, "[") <= maxDepth {
		return false
	}
	r.problem("", r.nearestPlace(path), "nested too deeply; does an alias stand within its own anchor?")
	r.nodes = maxNodes + 1
	return true
}

// structure reads a mapping into a struct; nil and null are a mapping without
// keys, so that required ones are missed.
func (r *reader) structure(n ast.Node, v reflect.Value, path string) {
	fields := fieldsOf(v.Type())
	given := map[string]bool{}
	n = r.resolve(n, path)
	if n != nil && !isNull(n) {
		pairs, ok := mapping(n)
		if !ok {
			r.problem(path, placeOf(n), "want keys and values, found %s", r.found(n, false))
			return
		}
		for _, pair := range r.pairs(pairs, path) {
			i := slices.IndexFunc(fields, func(f *field) bool { return f.name == pair.key })
			if i < 0 {
				r.unknown(pair, fields, path)
				continue
			}
			f := fields[i]
			given[f.name] = !isNull(pair.value)
			r.value(pair.value, f, v.FieldByIndex(f.index), pair.path)
		}
	}
	for _, f := range fields {
		p := join(path, f.name)
		switch {
		case given[f.name]:
		case f.required:
			r.missing(f, p, path)
		case f.kind == kindStruct && !r.problems.covers(p):
			if _, ok := r.at[p]; !ok {
				r.structure(nil, v.FieldByIndex(f.index), p)
			}
		}
	}
}

func (r *reader) missing(f *field, p, parent string) {
	at, ok := r.at[p]
	if !ok {
		at = r.nearestPlace(parent)
	}
	message := "is required"
	if f.doc != "" {
		message += ": " + firstSentence(f.doc)
	}
	if f.example != "" {
		message += "; for example " + f.example
	}
	r.problem(p, at, "%s", message)
}

// exactlyOne checks a section that is a choice: a struct of pointers of which
// one is given.
func (r *reader) exactlyOne(f *field, v reflect.Value, path string) {
	if !f.oneof || r.problems.covers(path) {
		return
	}
	var all, chosen []string
	for _, c := range fieldsOf(v.Type()) {
		if c.kind != kindOptional && c.kind != kindMaybe {
			continue
		}
		all = append(all, c.name)
		if !v.FieldByIndex(c.index).IsNil() {
			chosen = append(chosen, c.name)
		}
	}
	if len(chosen) == 1 || len(chosen) == 0 && !f.required {
		return
	}
	found := "none"
	if len(chosen) > 0 {
		found = strings.Join(chosen, " and ")
	}
	r.problem(path, r.nearestPlace(path), "want exactly one of %s, found %s", strings.Join(all, ", "), found)
}

func (r *reader) list(n ast.Node, f *field, v reflect.Value, path string) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		r.listOfText(n, f, v, path)
		return
	}
	list := reflect.MakeSlice(f.typ, len(seq.Values), len(seq.Values))
	for i, e := range elements(seq) {
		p := fmt.Sprintf("%s[%d]", path, i)
		r.at[p] = placeOf(e)
		if isNull(e) {
			r.problem(p, placeOf(e), "want %s, found nothing", f.elem.want())
			continue
		}
		elem := list.Index(i)
		if f.elem.kind == kindStruct {
			setDefaults(elem)
		}
		r.value(e, f.elem, elem, p)
	}
	v.Set(list)
}

// listOfText reads a list out of one reference: brokers: ${BROKERS} with commas
// in between.
func (r *reader) listOfText(n ast.Node, f *field, v reflect.Value, path string) {
	s, ok := scalarOf(n)
	if !ok || f.elem.kind != kindScalar || !strings.Contains(s.text, "${") {
		r.problem(path, placeOf(n), "want %s, found %s", f.want(), r.found(n, f.elem.secret))
		return
	}
	text, ok := r.expand(s.text, placeOf(n), path)
	if !ok {
		return
	}
	var parts []string
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			parts = append(parts, part)
		}
	}
	list := reflect.MakeSlice(f.typ, len(parts), len(parts))
	for i, part := range parts {
		if err := setScalar(list.Index(i), part, f.elem); err != nil {
			r.problem(path, placeOf(n), "entry %d of what %s holds: %v", i+1, r.shown[path], err)
		}
	}
	v.Set(list)
}

func (r *reader) dict(n ast.Node, f *field, v reflect.Value, path string) {
	pairs, ok := mapping(n)
	if !ok {
		r.problem(path, placeOf(n), "want %s, found %s", f.want(), r.found(n, f.elem.secret))
		return
	}
	dict := reflect.MakeMap(f.typ)
	for _, pair := range r.pairs(pairs, path) {
		elem := reflect.New(f.elem.typ).Elem()
		switch {
		case f.elem.kind == kindStruct:
			setDefaults(elem)
		case f.elem.kind == kindScalar && isNull(pair.value) && setNull(elem):
			dict.SetMapIndex(reflect.ValueOf(pair.key).Convert(f.typ.Key()), elem)
			continue
		case f.elem.kind == kindScalar && isNull(pair.value):
			r.problem(pair.path, placeOf(pair.value), "want %s, found nothing", f.elem.want())
			continue
		case f.elem.kind == kindScalar && f.elem.typ.Kind() == reflect.String:
			// Numbers and booleans are taken as they are written: max.message.bytes: 1048576.
			r.looseText(pair.value, f.elem, elem, pair.path)
			dict.SetMapIndex(reflect.ValueOf(pair.key).Convert(f.typ.Key()), elem)
			continue
		}
		r.value(pair.value, f.elem, elem, pair.path)
		dict.SetMapIndex(reflect.ValueOf(pair.key).Convert(f.typ.Key()), elem)
	}
	v.Set(dict)
}

// validate runs the Validate of every struct, the outer one last.
func (r *reader) validate(v reflect.Value, path string) {
	for _, f := range fieldsOf(v.Type()) {
		r.validateValue(v.FieldByIndex(f.index), f, join(path, f.name))
	}
	if !v.CanAddr() {
		return
	}
	if c, ok := v.Addr().Interface().(Validator); ok {
		c.Validate(func(below, format string, args ...any) {
			p := join(path, below)
			if strings.HasPrefix(below, "[") {
				p = path + below
			}
			if !r.problems.covers(p) {
				r.problem(p, r.nearestPlace(p), format, args...)
			}
		})
	}
}

func (r *reader) validateValue(v reflect.Value, f *field, path string) {
	switch f.kind {
	case kindStruct:
		r.validate(v, path)
	case kindOptional:
		if !v.IsNil() {
			r.validate(v.Elem(), path)
		}
	case kindList:
		for i := range v.Len() {
			r.validateValue(v.Index(i), f.elem, fmt.Sprintf("%s[%d]", path, i))
		}
	case kindMap:
		for _, k := range sortedKeys(v) {
			// A map's element has no address: its rules run on a copy.
			elem := reflect.New(f.elem.typ).Elem()
			elem.Set(v.MapIndex(k))
			r.validateValue(elem, f.elem, join(path, k.String()))
		}
	}
}

// given tells whether the file has a key with a value.
func (r *reader) given(path string) bool {
	_, has := r.at[path]
	return has && !r.empty[path]
}

// nearestPlace is where path stands, or the nearest key above it.
func (r *reader) nearestPlace(path string) place {
	for {
		if at, ok := r.at[path]; ok {
			return at
		}
		i := strings.LastIndexAny(path, ".[")
		if i < 0 {
			return r.at[""]
		}
		path = path[:i]
	}
}

func join(path, name string) string {
	switch {
	case path == "":
		return name
	case name == "":
		return path
	}
	return path + "." + name
}

func firstSentence(s string) string {
	if i := strings.Index(s, ". "); i >= 0 {
		return s[:i]
	}
	return strings.TrimSuffix(s, ".")
}
