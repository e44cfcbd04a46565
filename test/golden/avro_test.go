package golden

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

// This file is a reader and writer of Avro's binary form of the tests' own. It
// shares no code with the product, ignores logical types and everything else
// that Connect adds to a schema, and keeps what the bytes say: the order of map
// entries, 64-bit integers, which branch of a union stands there.

// avroType is a node of a parsed schema. Records are shared where a schema
// refers to them by name.
type avroType struct {
	kind     string // a primitive's name, record, array, map or union
	fields   []avroField
	items    *avroType   // of an array or map
	branches []*avroType // of a union
}

type avroField struct {
	name string
	typ  *avroType
}

// object is a decoded record or map, in the order of the bytes.
//
// A decoded value is nil, bool, int64 (for int and long), float32, float64,
// string, []byte, []any or *object; a union is the value in it.
type object struct {
	names  []string
	values []any
	isMap  bool
}

func (o *object) get(name string) (any, bool) {
	for i, n := range o.names {
		if n == name {
			return o.values[i], true
		}
	}
	return nil, false
}

// parseAvro reads a schema's text.
func parseAvro(text string) (*avroType, error) {
	p := avroParser{named: map[string]*avroType{}}
	t, err := p.parse(json.RawMessage(text), "")
	if err != nil {
		return nil, fmt.Errorf("schema %.80s…: %w", text, err)
	}
	return t, nil
}

type avroParser struct{ named map[string]*avroType }

func (p *avroParser) parse(raw json.RawMessage, namespace string) (*avroType, error) {
	switch strings.TrimSpace(string(raw))[0] {
	case '"':
		var name string
		if err := json.Unmarshal(raw, &name); err != nil {
			return nil, err
		}
		return p.reference(name, namespace)
	case '[':
		var parts []json.RawMessage
		if err := json.Unmarshal(raw, &parts); err != nil {
			return nil, err
		}
		t := &avroType{kind: "union"}
		for _, part := range parts {
			b, err := p.parse(part, namespace)
			if err != nil {
				return nil, err
			}
			t.branches = append(t.branches, b)
		}
		return t, nil
	}
	return p.complex(raw, namespace)
}

func (p *avroParser) reference(name, namespace string) (*avroType, error) {
	switch name {
	case "null", "boolean", "int", "long", "float", "double", "bytes", "string":
		return &avroType{kind: name}, nil
	}
	if t := p.named[qualified(name, namespace)]; t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("type %q is not defined in namespace %q", name, namespace)
}

func qualified(name, namespace string) string {
	if strings.Contains(name, ".") || namespace == "" {
		return name
	}
	return namespace + "." + name
}

func (p *avroParser) complex(raw json.RawMessage, namespace string) (*avroType, error) {
	var s struct {
		Type      json.RawMessage
		Name      string
		Namespace *string
		Items     json.RawMessage
		Values    json.RawMessage
		Fields    []struct {
			Name string
			Type json.RawMessage
		}
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, err
	}
	var kind string
	if err := json.Unmarshal(s.Type, &kind); err != nil {
		return p.parse(s.Type, namespace) // {"type": {…}}
	}
	t := &avroType{kind: kind}
	var err error
	switch kind {
	case "array":
		t.items, err = p.parse(s.Items, namespace)
	case "map":
		t.items, err = p.parse(s.Values, namespace)
	case "record":
		if s.Namespace != nil {
			namespace = *s.Namespace
		}
		full := qualified(s.Name, namespace)
		if i := strings.LastIndexByte(full, '.'); i >= 0 {
			namespace = full[:i]
		}
		if p.named[full] != nil {
			return nil, fmt.Errorf("record %s is defined twice", full)
		}
		p.named[full] = t // before its fields: they may refer to it
		for _, f := range s.Fields {
			typ, err := p.parse(f.Type, namespace)
			if err != nil {
				return nil, fmt.Errorf("field %s: %w", f.Name, err)
			}
			t.fields = append(t.fields, avroField{f.Name, typ})
		}
	default:
		return p.reference(kind, namespace)
	}
	return t, err
}

// decode reads one value that takes all of data.
func (t *avroType) decode(data []byte) (any, error) {
	d := avroDecoder{data}
	v, err := d.value(t)
	if err == nil && len(d.data) > 0 {
		err = fmt.Errorf("%d bytes are left", len(d.data))
	}
	return v, err
}

type avroDecoder struct{ data []byte }

var errShort = errors.New("the bytes end inside of a value")

func (d *avroDecoder) take(n int64) ([]byte, error) {
	if n < 0 || n > int64(len(d.data)) {
		return nil, errShort
	}
	b := d.data[:n]
	d.data = d.data[n:]
	return b, nil
}

func (d *avroDecoder) long() (int64, error) {
	u, n := binary.Uvarint(d.data)
	if n <= 0 {
		return 0, errShort
	}
	d.data = d.data[n:]
	return int64(u>>1) ^ -int64(u&1), nil
}

func (d *avroDecoder) bytes() ([]byte, error) {
	n, err := d.long()
	if err != nil {
		return nil, err
	}
	return d.take(n)
}

func (d *avroDecoder) value(t *avroType) (any, error) {
	switch t.kind {
	case "null":
		return nil, nil
	case "boolean":
		b, err := d.take(1)
		if err == nil && b[0] > 1 {
			err = fmt.Errorf("boolean %d", b[0])
		}
		if err != nil {
			return nil, err
		}
		return b[0] == 1, nil
	case "int":
		n, err := d.long()
		if err == nil && int64(int32(n)) != n {
			err = fmt.Errorf("int %d", n)
		}
		return n, err
	case "long":
		return d.long()
	case "float":
		b, err := d.take(4)
		if err != nil {
			return nil, err
		}
		return math.Float32frombits(binary.LittleEndian.Uint32(b)), nil
	case "double":
		b, err := d.take(8)
		if err != nil {
			return nil, err
		}
		return math.Float64frombits(binary.LittleEndian.Uint64(b)), nil
	case "bytes":
		b, err := d.bytes()
		return append([]byte{}, b...), err
	case "string":
		b, err := d.bytes()
		if err == nil && !utf8.Valid(b) {
			err = fmt.Errorf("string %q is not UTF-8", b)
		}
		return string(b), err
	case "union":
		i, err := d.long()
		if err == nil && (i < 0 || i >= int64(len(t.branches))) {
			err = fmt.Errorf("branch %d of %d", i, len(t.branches))
		}
		if err != nil {
			return nil, err
		}
		return d.value(t.branches[i])
	case "record":
		return d.record(t)
	case "array":
		items := []any{}
		err := d.blocks(func() error {
			v, err := d.value(t.items)
			items = append(items, v)
			return err
		})
		return items, err
	case "map":
		o := &object{isMap: true}
		err := d.blocks(func() error {
			name, err := d.bytes()
			if err != nil {
				return err
			}
			v, err := d.value(t.items)
			o.names, o.values = append(o.names, string(name)), append(o.values, v)
			return err
		})
		return o, err
	}
	return nil, fmt.Errorf("type %q", t.kind)
}

func (d *avroDecoder) record(t *avroType) (any, error) {
	o := &object{}
	for _, f := range t.fields {
		v, err := d.value(f.typ)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		o.names, o.values = append(o.names, f.name), append(o.values, v)
	}
	return o, nil
}

// blocks reads the items of an array or map.
func (d *avroDecoder) blocks(item func() error) error {
	for {
		n, err := d.long()
		if n < 0 && err == nil {
			n = -n
			_, err = d.long() // the block's length in bytes
		}
		if err != nil || n == 0 {
			return err
		}
		for range n {
			if err := item(); err != nil {
				return err
			}
		}
	}
}

// encode appends a value as Java's writer does: an array or map is one block with
// its number of items, without its length in bytes.
func (t *avroType) encode(dst []byte, v any) ([]byte, error) {
	mismatch := func() ([]byte, error) { return nil, fmt.Errorf("a %s cannot hold %T", t.kind, v) }
	switch t.kind {
	case "null":
		if v != nil {
			return mismatch()
		}
		return dst, nil
	case "union":
		return t.encodeUnion(dst, v)
	case "record":
		o, ok := v.(*object)
		if !ok || len(o.values) != len(t.fields) {
			return mismatch()
		}
		var err error
		for i, f := range t.fields {
			if dst, err = f.typ.encode(dst, o.values[i]); err != nil {
				return nil, fmt.Errorf("%s: %w", f.name, err)
			}
		}
		return dst, nil
	case "array":
		items, ok := v.([]any)
		if !ok {
			return mismatch()
		}
		return t.encodeBlock(dst, len(items), func(dst []byte, i int) ([]byte, error) { return t.items.encode(dst, items[i]) })
	case "map":
		o, ok := v.(*object)
		if !ok {
			return mismatch()
		}
		return t.encodeBlock(dst, len(o.names), func(dst []byte, i int) ([]byte, error) {
			return t.items.encode(appendBytes(dst, o.names[i]), o.values[i])
		})
	}
	switch x := v.(type) {
	case bool:
		if t.kind == "boolean" {
			if x {
				return append(dst, 1), nil
			}
			return append(dst, 0), nil
		}
	case int64:
		if t.kind == "long" || t.kind == "int" {
			return appendLong(dst, x), nil
		}
	case float32:
		if t.kind == "float" {
			return binary.LittleEndian.AppendUint32(dst, math.Float32bits(x)), nil
		}
	case float64:
		if t.kind == "double" {
			return binary.LittleEndian.AppendUint64(dst, math.Float64bits(x)), nil
		}
	case []byte:
		if t.kind == "bytes" {
			return appendBytes(dst, x), nil
		}
	case string:
		if t.kind == "string" {
			return appendBytes(dst, x), nil
		}
	}
	return mismatch()
}

// encodeUnion takes the first branch that holds the value; Connect's unions are
// null and one other type.
func (t *avroType) encodeUnion(dst []byte, v any) ([]byte, error) {
	var errs []error
	for i, b := range t.branches {
		out, err := b.encode(appendLong(dst, int64(i)), v)
		if err == nil {
			return out, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func (t *avroType) encodeBlock(dst []byte, n int, item func([]byte, int) ([]byte, error)) ([]byte, error) {
	if n > 0 {
		dst = appendLong(dst, int64(n))
	}
	var err error
	for i := range n {
		if dst, err = item(dst, i); err != nil {
			return nil, fmt.Errorf("[%d]: %w", i, err)
		}
	}
	return append(dst, 0), nil
}

func appendLong(dst []byte, n int64) []byte {
	return binary.AppendUvarint(dst, uint64(n)<<1^uint64(n>>63))
}

func appendBytes[T []byte | string](dst []byte, b T) []byte {
	return append(appendLong(dst, int64(len(b))), b...)
}
