package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// pair is one key of a mapping.
type pair struct {
	key   string
	value ast.Node
	path  string
	at    place // of the key
}

// pairs checks the keys of a mapping and notes where they and their values
// stand.
func (r *reader) pairs(list []*ast.MappingValueNode, path string) []pair {
	var result []pair
	lines := map[string]int{}
	for _, m := range list {
		at := placeOf(m)
		switch m.Key.(type) {
		case *ast.MergeKeyNode:
			r.problem(path, at, "merge keys (<<) are not understood; write the keys out")
			continue
		case *ast.MappingKeyNode, *ast.AliasNode, *ast.AnchorNode, *ast.TagNode, *ast.NullNode:
			r.problem(path, at, "want a plain text as key")
			continue
		}
		key := showReferences(m.Key.GetToken().Value)
		p := join(path, key)
		if line, ok := lines[key]; ok {
			r.problem(p, at, "is given twice; the first time in line %d", line)
			continue
		}
		lines[key] = at.line
		r.at[p] = at
		if _, scalar := scalarOf(m.Value); scalar {
			r.at[p] = placeOf(m.Value)
		}
		result = append(result, pair{key, m.Value, p, at})
	}
	return result
}

// unknown reports a key that the struct lacks, with the nearest one it has.
func (r *reader) unknown(p pair, fields []*field, path string) {
	names := make([]string, 0, len(fields))
	for _, f := range fields {
		names = append(names, f.name)
	}
	s := suggestion(p.key, names)
	if strings.Contains(s, "Valid here") {
		// Not near any key beside it; perhaps it is a key of another section.
		for _, k := range Keys(r.root.Interface()) {
			if k.Path != p.path && strings.HasSuffix("."+k.Path, "."+p.key) && !strings.ContainsAny(k.Path, "[<") {
				s = fmt.Sprintf("; did you mean %q?", k.Path)
				break
			}
		}
	}
	r.problem(p.path, p.at, "unknown key%s", s)
}

// resolve follows anchors and aliases. nil: there was a problem.
func (r *reader) resolve(n ast.Node, path string) ast.Node {
	for range 16 {
		switch x := n.(type) {
		case *ast.AnchorNode:
			r.anchors[x.Name.GetToken().Value] = x.Value
			n = x.Value
		case *ast.AliasNode:
			name := x.Value.GetToken().Value
			target, ok := r.anchors[name]
			if !ok {
				r.problem(path, placeOf(n), "no &%s stands before this *%s", name, name)
				return nil
			}
			n = target
		default:
			return n
		}
	}
	r.problem(path, placeOf(n), "an alias leads to itself")
	return nil
}

func mapping(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch m := n.(type) {
	case *ast.MappingNode:
		return m.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{m}, true
	}
	return nil, false
}

// elements lists a sequence. Within a flow mapping the YAML parser splits a
// plain scalar at any colon, as if [127.0.0.1:9092] were [127.0.0.1: 9092] (YAML
// 1.2, section 7.3.3, wants a space there); such a pair is put together again.
func elements(seq *ast.SequenceNode) []ast.Node {
	list := make([]ast.Node, len(seq.Values))
	for i, e := range seq.Values {
		list[i] = e
		pairs, ok := mapping(e)
		if m, isMapping := e.(*ast.MappingNode); !ok || len(pairs) != 1 || isMapping && m.IsFlowStyle {
			continue
		}
		key, plainKey := pairs[0].Key.(ast.Node).(ast.ScalarNode)
		value, scalar := scalarOf(pairs[0].Value)
		if !plainKey || !scalar || value.quoted {
			continue
		}
		k, colon, v := key.GetToken(), pairs[0].Start, pairs[0].Value.GetToken()
		if colon == nil || k.Indicator == token.QuotedScalarIndicator || v.Position.Line != colon.Position.Line || v.Position.Column != colon.Position.Column+1 {
			continue
		}
		text := k.Value + ":" + v.Value
		list[i] = ast.String(token.New(text, text, k.Position))
	}
	return list
}

func isNull(n ast.Node) bool {
	_, ok := n.(*ast.NullNode)
	return ok || n == nil
}

// scalarNode is a scalar's text, and what YAML takes it for.
type scalarNode struct {
	text   string
	is     string // "text", "number", "boolean"
	quoted bool
}

func scalarOf(n ast.Node) (scalarNode, bool) {
	switch x := n.(type) {
	case *ast.StringNode:
		tk := x.GetToken()
		quoted := tk.Type == token.SingleQuoteType || tk.Type == token.DoubleQuoteType
		return scalarNode{showReferences(x.Value), "text", quoted}, true
	case *ast.LiteralNode:
		return scalarNode{showReferences(x.Value.Value), "text", true}, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return scalarNode{n.GetToken().Value, "number", false}, true
	case *ast.BoolNode:
		return scalarNode{strings.ToLower(n.GetToken().Value), "boolean", false}, true
	case *ast.TagNode:
		s, ok := scalarOf(x.Value)
		if x.GetToken().Value == "!!str" {
			s.is, s.quoted = "text", true
		}
		return s, ok
	}
	return scalarNode{}, false
}

// scalar reads a scalar as the key's type.
func (r *reader) scalar(n ast.Node, f *field, v reflect.Value, path string) {
	s, ok := scalarOf(n)
	if !ok {
		r.problem(path, placeOf(n), "want %s, found %s", f.want(), r.found(n, f.secret))
		return
	}
	isText := f.typ.Kind() == reflect.String && !reflect.PointerTo(f.typ).Implements(typeText)
	if isText && s.is != "text" && len(f.enum) == 0 {
		r.problem(path, placeOf(n), "want text, found the %s %s; write it in quotes", s.is, s.text)
		return
	}
	referred := strings.Contains(s.text, "${")
	if s.quoted && !referred && !isText && !reflect.PointerTo(f.typ).Implements(typeText) && f.typ != typeDuration && f.typ != typeSize {
		r.problem(path, placeOf(n), "want %s, found the text %s; take the quotes off", f.want(), strconv.Quote(short(s.text)))
		return
	}
	r.set(s, f, v, path, placeOf(n))
}

// looseText reads any scalar as text.
func (r *reader) looseText(n ast.Node, f *field, v reflect.Value, path string) {
	s, ok := scalarOf(r.resolve(n, path))
	if !ok {
		r.problem(path, placeOf(n), "want %s, found %s", f.want(), r.found(n, f.secret))
		return
	}
	r.set(s, f, v, path, placeOf(n))
}

func (r *reader) set(s scalarNode, f *field, v reflect.Value, path string, at place) {
	text, ok := r.expand(s.text, at, path)
	if !ok {
		return
	}
	got := reflect.New(v.Type()).Elem()
	if err := setScalar(got, text, f); err != nil {
		found := fmt.Sprintf("found %s", strconv.Quote(short(Redact(text))))
		if shown, referred := r.shown[path]; referred {
			found = fmt.Sprintf("which is not what %s holds", shown)
		} else if f.secret {
			found = "found something else"
		}
		message, hint, _ := strings.Cut(err.Error(), "; ")
		if hint != "" {
			hint = "; " + hint
		}
		r.problem(path, at, "%s, %s%s", message, found, hint)
		return
	}
	v.Set(got)
}

// expand replaces references to the environment and notes them for Show.
func (r *reader) expand(s string, at place, path string) (string, bool) {
	text, shown, referred, err := expand(s, r.env)
	if err != nil {
		r.problem(path, at, "%v", err)
		return "", false
	}
	if referred {
		r.shown[path] = shown
	}
	return text, true
}

// free reads a value of no fixed type.
func (r *reader) free(n ast.Node, path string) any {
	if r.tooMuch(path) {
		return nil
	}
	n = r.resolve(n, path)
	if n == nil || isNull(n) {
		return nil
	}
	if list, ok := mapping(n); ok {
		m := map[string]any{}
		for _, pair := range r.pairs(list, path) {
			m[pair.key] = r.free(pair.value, pair.path)
		}
		return m
	}
	if seq, ok := n.(*ast.SequenceNode); ok {
		list := make([]any, len(seq.Values))
		for i, e := range elements(seq) {
			p := fmt.Sprintf("%s[%d]", path, i)
			r.at[p] = placeOf(e)
			list[i] = r.free(e, p)
		}
		return list
	}
	s, ok := scalarOf(n)
	if !ok {
		r.problem(path, placeOf(n), "want a value, found %s", r.found(n, false))
		return nil
	}
	text, _ := r.expand(s.text, placeOf(n), path)
	switch s.is {
	case "boolean":
		return text == "true"
	case "number":
		if i, err := strconv.ParseInt(text, 10, 64); err == nil {
			return i
		}
		if f, err := strconv.ParseFloat(text, 64); err == nil {
			return f
		}
	}
	return text
}

// found describes a node that is of the wrong form.
func (r *reader) found(n ast.Node, secret bool) string {
	if _, ok := mapping(n); ok {
		return "keys and values"
	}
	if _, ok := n.(*ast.SequenceNode); ok {
		return "a list"
	}
	s, ok := scalarOf(n)
	switch {
	case isNull(n):
		return "nothing"
	case !ok:
		return "something else"
	case secret:
		return "a " + s.is
	case s.is == "text":
		return "the text " + strconv.Quote(short(Redact(s.text)))
	}
	return "the " + s.is + " " + s.text
}

// want describes what a key takes.
func (f *field) want() string {
	switch f.kind {
	case kindList:
		return "a list, such as [a, b]"
	case kindMap, kindStruct, kindOptional:
		return "keys and values"
	}
	switch {
	case len(f.enum) > 0:
		return oneOf(f.enum)
	case f.typ == typeDuration:
		return "a duration, such as 30s"
	case f.typ == typeSize:
		return "a size, such as 8MiB"
	}
	switch k := f.typ.Kind(); {
	case k == reflect.Bool:
		return "true or false"
	case k >= reflect.Int && k <= reflect.Uint64:
		return "a whole number"
	case k == reflect.Float32 || k == reflect.Float64:
		return "a number"
	}
	return "text"
}

func short(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}
