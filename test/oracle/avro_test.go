package oracle

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// avroType is a parsed schema.
type avroType struct {
	kind     string // of Avro: record, array, map, enum, fixed, union or a primitive
	name     string // full, of a record
	fields   []avroField
	items    *avroType
	branches []*avroType
}

type avroField struct {
	name string
	typ  *avroType
}

// parseAvro reads a schema's text. It is a decoder of its own, so that neither
// side's code judges itself.
func parseAvro(text string) (*avroType, error) {
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return nil, fmt.Errorf("parse the schema: %w", err)
	}
	return parseType(v, "", map[string]*avroType{})
}

func parseType(v any, namespace string, known map[string]*avroType) (*avroType, error) {
	switch x := v.(type) {
	case string:
		for _, name := range []string{x, namespace + "." + x} {
			if t := known[name]; t != nil {
				return t, nil
			}
		}
		switch x {
		case "null", "boolean", "int", "long", "float", "double", "bytes", "string":
			return &avroType{kind: x}, nil
		}
		return nil, fmt.Errorf("unknown type %q", x)
	case []any:
		t := &avroType{kind: "union"}
		for _, b := range x {
			branch, err := parseType(b, namespace, known)
			if err != nil {
				return nil, err
			}
			t.branches = append(t.branches, branch)
		}
		return t, nil
	case map[string]any:
		return parseComplex(x, namespace, known)
	}
	return nil, fmt.Errorf("no schema: %v", v)
}

func parseComplex(x map[string]any, namespace string, known map[string]*avroType) (*avroType, error) {
	kind, ok := x["type"].(string)
	if !ok {
		return parseType(x["type"], namespace, known)
	}
	t := &avroType{kind: kind}
	var err error
	switch kind {
	case "record":
		t.name, _ = x["name"].(string)
		if ns, ok := x["namespace"].(string); ok {
			namespace = ns
		}
		if !strings.Contains(t.name, ".") {
			t.name = namespace + "." + t.name
		}
		known[t.name] = t
		fields, _ := x["fields"].([]any)
		for _, f := range fields {
			f, ok := f.(map[string]any)
			if !ok {
				return nil, errors.New("a field that is no object")
			}
			name, _ := f["name"].(string)
			typ, err := parseType(f["type"], namespace, known)
			if err != nil {
				return nil, fmt.Errorf("field %s: %w", name, err)
			}
			t.fields = append(t.fields, avroField{name, typ})
		}
		return t, nil
	case "array":
		t.items, err = parseType(x["items"], namespace, known)
		return t, err
	case "map":
		t.items, err = parseType(x["values"], namespace, known)
		return t, err
	}
	return parseType(kind, namespace, known)
}

// leaf is one value of a record that has no parts, or an empty one that could.
type leaf struct{ path, text string }

var errShort = errors.New("the bytes end in the middle of a value")

// decodeAvro gives the leaves of a datum, in order, and wants all bytes used.
func decodeAvro(t *avroType, data []byte) ([]leaf, error) {
	d := &decoder{data: data}
	d.value(t, "")
	if d.err == nil && len(d.data) > 0 {
		d.err = fmt.Errorf("%d bytes too many", len(d.data))
	}
	return d.leaves, d.err
}

type decoder struct {
	data   []byte
	leaves []leaf
	err    error
}

func (d *decoder) emit(path, format string, args ...any) {
	d.leaves = append(d.leaves, leaf{path, fmt.Sprintf(format, args...)})
}

func (d *decoder) take(n int64) []byte {
	if d.err != nil || n < 0 || n > int64(len(d.data)) {
		d.fail(errShort)
		return nil
	}
	b := d.data[:n]
	d.data = d.data[n:]
	return b
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
}

func (d *decoder) long() int64 {
	v, n := binary.Varint(d.data)
	if n <= 0 {
		d.fail(errShort)
		return 0
	}
	d.take(int64(n))
	return v
}

func (d *decoder) value(t *avroType, path string) {
	if d.err != nil {
		return
	}
	switch t.kind {
	case "null":
		d.emit(path, "null")
	case "boolean":
		if b := d.take(1); b != nil {
			d.emit(path, "%t", b[0] != 0)
		}
	case "int", "long":
		d.emit(path, "%d", d.long())
	case "float":
		if b := d.take(4); b != nil {
			d.emit(path, "float %s", strconv.FormatFloat(float64(math.Float32frombits(binary.LittleEndian.Uint32(b))), 'g', -1, 32))
		}
	case "double":
		if b := d.take(8); b != nil {
			d.emit(path, "double %s", strconv.FormatFloat(math.Float64frombits(binary.LittleEndian.Uint64(b)), 'g', -1, 64))
		}
	case "bytes":
		d.emit(path, "0x%x", d.take(d.long()))
	case "string":
		d.emit(path, "%q", d.take(d.long()))
	case "record":
		for _, f := range t.fields {
			d.value(f.typ, join(path, f.name))
		}
	case "union":
		n := d.long()
		if n < 0 || n >= int64(len(t.branches)) {
			d.fail(fmt.Errorf("%s: branch %d of %d", path, n, len(t.branches)))
			return
		}
		d.value(t.branches[n], path)
	case "array", "map":
		d.blocks(t, path)
	default:
		d.fail(fmt.Errorf("%s: a type %q", path, t.kind))
	}
}

func (d *decoder) blocks(t *avroType, path string) {
	count := 0
	for d.err == nil {
		n := d.long()
		if n == 0 {
			break
		}
		if n < 0 {
			n = -n
			d.long() // its size in bytes
		}
		for i := int64(0); i < n && d.err == nil; i++ {
			at := fmt.Sprintf("%s[%d]", path, count)
			if t.kind == "map" {
				d.emit(at+".key", "%q", d.take(d.long()))
			}
			d.value(t.items, at)
			count++
		}
	}
	d.emit(path, "%d items", count)
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
