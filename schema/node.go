package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

type avroType uint8

const (
	avroNull avroType = iota
	avroBoolean
	avroInt
	avroLong
	avroFloat
	avroDouble
	avroBytes
	avroString
	avroEnum
	avroFixed
	avroArray
	avroMap
	avroRecord
	avroUnion
)

var primitives = map[string]avroType{
	"null": avroNull, "boolean": avroBoolean, "int": avroInt, "long": avroLong, "float": avroFloat,
	"double": avroDouble, "bytes": avroBytes, "string": avroString,
}

// node is one type of a parsed schema.
type node struct {
	typ     avroType
	kind    Kind
	plain   bool  // a string that is PostgreSQL's text as it is
	unit    int64 // of times: nanoseconds in one
	name    string
	connect string // connect.name
	params  map[string]string

	precision, scale int
	size             int // of a fixed
	symbols          []string
	fields           []nodeField
	items            *node // of an array or map
	branches         []*node
}

type nodeField struct {
	name string
	node *node
}

// schemaParser parses schema text as Avro 1.11 specifies it, as far as reading
// needs it: defaults and aliases are left alone.
type schemaParser struct {
	named map[string]*node
	depth int
}

func parseSchema(text string) (*node, error) {
	p := schemaParser{named: make(map[string]*node)}
	n, err := p.parse(json.RawMessage(text), "")
	if err != nil {
		return nil, fmt.Errorf("parse Avro schema: %w", err)
	}
	return n, nil
}

func (p *schemaParser) parse(raw json.RawMessage, namespace string) (*node, error) {
	if p.depth++; p.depth > 100 {
		return nil, errors.New("nested too deeply")
	}
	defer func() { p.depth-- }()
	switch {
	case len(raw) > 0 && raw[0] == '"':
		var name string
		if err := json.Unmarshal(raw, &name); err != nil {
			return nil, err
		}
		return p.reference(name, namespace)
	case len(raw) > 0 && raw[0] == '[':
		return p.union(raw, namespace)
	}
	return p.object(raw, namespace)
}

func (p *schemaParser) reference(name, namespace string) (*node, error) {
	if t, ok := primitives[name]; ok {
		n := &node{typ: t, name: name}
		n.classify("", "")
		return n, nil
	}
	if n, ok := p.named[fullName(name, namespace)]; ok {
		return n, nil
	}
	if n, ok := p.named[name]; ok {
		return n, nil
	}
	return nil, fmt.Errorf("unknown type %q", name)
}

func fullName(name, namespace string) string {
	if namespace == "" || strings.Contains(name, ".") {
		return name
	}
	return namespace + "." + name
}

func (p *schemaParser) union(raw json.RawMessage, namespace string) (*node, error) {
	var branches []json.RawMessage
	if err := json.Unmarshal(raw, &branches); err != nil {
		return nil, err
	}
	n := &node{typ: avroUnion}
	for _, b := range branches {
		branch, err := p.parse(b, namespace)
		if err != nil {
			return nil, err
		}
		n.branches = append(n.branches, branch)
	}
	return n, nil
}

// schemaObject is the JSON object of a type.
type schemaObject struct {
	Type       json.RawMessage   `json:"type"`
	Name       string            `json:"name"`
	Namespace  *string           `json:"namespace"`
	Fields     []schemaField     `json:"fields"`
	Items      json.RawMessage   `json:"items"`
	Values     json.RawMessage   `json:"values"`
	Symbols    []string          `json:"symbols"`
	Size       int               `json:"size"`
	Scale      int               `json:"scale"`
	Precision  int               `json:"precision"`
	Logical    string            `json:"logicalType"`
	Connect    string            `json:"connect.name"`
	ConnectInt string            `json:"connect.type"`
	Params     map[string]string `json:"connect.parameters"`
}

type schemaField struct {
	Name string          `json:"name"`
	Type json.RawMessage `json:"type"`
}

func (p *schemaParser) object(raw json.RawMessage, namespace string) (*node, error) {
	var o schemaObject
	if err := json.Unmarshal(raw, &o); err != nil {
		return nil, err
	}
	var kind string
	if json.Unmarshal(o.Type, &kind) != nil {
		if len(o.Type) == 0 {
			return nil, errors.New("a type without type")
		}
		return p.parse(o.Type, namespace)
	}
	n := &node{connect: o.Connect, params: o.Params, precision: o.Precision, scale: o.Scale, size: o.Size, symbols: o.Symbols}
	if o.Namespace != nil {
		namespace = *o.Namespace
	}
	n.name = fullName(o.Name, namespace)
	if i := strings.LastIndexByte(n.name, '.'); i >= 0 && o.Name != "" {
		namespace = n.name[:i]
	}
	var err error
	switch kind {
	case "record", "error":
		n.typ = avroRecord
		p.named[n.name] = n
		for _, f := range o.Fields {
			child, err := p.parse(f.Type, namespace)
			if err != nil {
				return nil, fmt.Errorf("field %q: %w", f.Name, err)
			}
			n.fields = append(n.fields, nodeField{name: f.Name, node: child})
		}
	case "enum":
		n.typ = avroEnum
		p.named[n.name] = n
	case "fixed":
		n.typ = avroFixed
		p.named[n.name] = n
		if o.Size < 0 {
			return nil, errors.New("a fixed of negative size")
		}
	case "array":
		n.typ = avroArray
		n.items, err = p.parse(o.Items, namespace)
	case "map":
		n.typ = avroMap
		n.items, err = p.parse(o.Values, namespace)
	default:
		t, ok := primitives[kind]
		if !ok {
			return p.reference(kind, namespace)
		}
		n.typ, n.name = t, kind
	}
	if err != nil {
		return nil, err
	}
	n.classify(o.ConnectInt, o.Logical)
	return n, nil
}
