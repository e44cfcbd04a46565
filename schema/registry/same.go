package registry

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
)

// sameJSON tells whether two schemas are equal up to white space and the order
// of properties. Lists, and so the fields of a record, are compared in order.
func sameJSON(a, b string) bool {
	x, errX := decodeJSON(a)
	y, errY := decodeJSON(b)
	return errX == nil && errY == nil && equal(x, y)
}

func decodeJSON(s string) (any, error) {
	dec := json.NewDecoder(bytes.NewReader([]byte(s)))
	dec.UseNumber() // numbers are compared as they are written
	var v any
	err := dec.Decode(&v)
	return v, err
}

func equal(a, b any) bool {
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		return ok && maps.EqualFunc(x, y, equal)
	case []any:
		y, ok := b.([]any)
		return ok && slices.EqualFunc(x, y, equal)
	}
	if _, ok := b.(map[string]any); ok {
		return false
	}
	if _, ok := b.([]any); ok {
		return false
	}
	return a == b
}
