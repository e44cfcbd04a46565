package schema

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// describe is a type in a few words, as in "array of decimal(10,2)".
func describe(node any) string {
	switch n := node.(type) {
	case string:
		return n
	case []any:
		var words []string
		for _, b := range n {
			words = append(words, describe(b))
		}
		return strings.Join(words, " or ")
	case map[string]any:
		return describeObject(n)
	}
	return fmt.Sprint(node)
}

func describeObject(n map[string]any) string {
	text := func(key string) string { s, _ := n[key].(string); return s }
	typ, connect := text("type"), text("connect.name")
	switch {
	case text("logicalType") == "decimal" || connect == decimalName:
		return fmt.Sprintf("decimal(%v,%v)", n["precision"], n["scale"])
	case typ == "array":
		return "array of " + describe(n["items"])
	case typ == "map":
		return "map of " + describe(n["values"])
	case connect != "" && (typ == "record" || typ == "enum" || typ == "fixed"):
		return connect
	case connect != "":
		return typ + " " + connect
	case text("connect.type") != "":
		return text("connect.type")
	case typ == "record" || typ == "enum" || typ == "fixed":
		return text("name")
	}
	return typ
}

// structural are the properties that decide over bytes and their meaning.
var structural = []string{"type", "name", "items", "values", "fields", "symbols", "size", "precision", "scale", "logicalType", "connect.name", "connect.type"}

// structure is a type less everything that has no part in the meaning of a value.
func structure(node any) any {
	return project(node, func(key string) bool { return slices.Contains(structural, key) })
}

// meaning is what connect.name and logical types say, less the Avro types, which
// may be promoted.
func meaning(node any) any {
	return project(node, func(key string) bool {
		switch key {
		case "items", "values", "fields", "name", "scale", "logicalType", "connect.name":
			return true
		}
		return false
	})
}

// project keeps the properties of a type, and of the types in it, that keep names.
func project(node any, keep func(key string) bool) any {
	switch n := node.(type) {
	case []any:
		out := make([]any, len(n))
		for i := range n {
			out[i] = project(n[i], keep)
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for key, v := range n {
			switch {
			case !keep(key):
			case key == "type" || key == "items" || key == "values" || key == "fields":
				out[key] = project(v, keep)
			default:
				out[key] = v
			}
		}
		if typ, ok := out["type"]; ok && len(out) == 1 {
			return typ // {"type": "int"} is "int"
		}
		return out
	case string:
		if !keep("type") {
			return map[string]any{} // a primitive, which means nothing more
		}
	}
	return node
}

// labels is what an enum, or the elements of an array of it, allow.
func labels(node any) string {
	n, ok := node.(map[string]any)
	if !ok {
		if union, ok := node.([]any); ok {
			for _, b := range union {
				if s := labels(b); s != "" {
					return s
				}
			}
		}
		return ""
	}
	if n["connect.name"] == "io.debezium.data.Enum" {
		params, _ := n["connect.parameters"].(map[string]any)
		allowed, _ := params["allowed"].(string)
		return allowed
	}
	return labels(n["items"])
}

// others is what a type says beyond structure, labels, defaults and its column's
// name, as JSON.
func others(node any) string {
	properties := otherProperties(node)
	if properties == nil {
		return "none"
	}
	text, err := json.Marshal(properties)
	if err != nil {
		return "?"
	}
	return string(text)
}

func otherProperties(node any) any {
	switch n := node.(type) {
	case []any:
		var list []any
		for _, b := range n {
			if o := otherProperties(b); o != nil {
				list = append(list, o)
			}
		}
		if list == nil {
			return nil
		}
		return list
	case map[string]any:
		out := map[string]any{}
		for key, v := range n {
			switch {
			case key == "connect.default" || key == "connect.version" || key == "default":
			case key == "items" || key == "values" || key == "fields":
				if o := otherProperties(v); o != nil {
					out[key] = o
				}
			case key == "connect.parameters":
				if o := otherParameters(v, n["connect.name"]); len(o) > 0 {
					out[key] = o
				}
			case !slices.Contains(structural, key):
				out[key] = v
			}
		}
		if len(out) == 0 {
			return nil
		}
		return out
	}
	return nil
}

// otherParameters leaves out what the structure, the labels or the column's name
// say already.
func otherParameters(node any, connect any) map[string]any {
	params, _ := node.(map[string]any)
	out := maps.Clone(params)
	delete(out, "__debezium.source.column.name")
	switch connect {
	case "io.debezium.data.Enum":
		delete(out, "allowed")
	case decimalName:
		delete(out, "scale")
		delete(out, "connect.decimal.precision")
	}
	return out
}
