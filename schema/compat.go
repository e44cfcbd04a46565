package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/twmb/avro"
)

// Compatible tells whether newSchema may follow oldSchemas (oldest first) at a
// registry's compatibility level: NONE, BACKWARD, FORWARD, FULL, or one of the
// last three with _TRANSITIVE, which looks at every old schema instead of the
// last. It is safe for concurrent use.
//
// messages says what is incompatible, one line for each direction and schema.
// The error is about the arguments: an unknown level or an invalid schema.
//
// A field that the writer lacks and that has no default is incompatible even
// when it is nullable, as in Apache Avro. The precision of a decimal may change,
// its scale may not: a reader that goes by its own schema would misread every
// value.
func Compatible(level, newSchema string, oldSchemas []string) (ok bool, messages []string, err error) {
	mode, transitive := strings.CutSuffix(level, "_TRANSITIVE")
	var backward, forward bool
	switch mode {
	case "NONE":
		if transitive {
			return false, nil, fmt.Errorf("unknown compatibility level %q", level)
		}
	case "BACKWARD":
		backward = true
	case "FORWARD":
		forward = true
	case "FULL":
		backward, forward = true, true
	default:
		return false, nil, fmt.Errorf("unknown compatibility level %q", level)
	}
	next, err := parseForCompat(newSchema)
	if err != nil {
		return false, nil, fmt.Errorf("new schema: %w", err)
	}
	if mode == "NONE" {
		return true, nil, nil
	}
	first := 0
	if !transitive {
		first = max(0, len(oldSchemas)-1)
	}
	for i := len(oldSchemas) - 1; i >= first; i-- {
		old, err := parseForCompat(oldSchemas[i])
		if err != nil {
			return false, nil, fmt.Errorf("old schema %d: %w", i+1, err)
		}
		if backward {
			if err := avro.CheckCompatibility(old, next); err != nil {
				messages = append(messages, fmt.Sprintf("the new schema cannot read data of old schema %d: %s", i+1, compatReason(err)))
			}
		}
		if forward {
			if err := avro.CheckCompatibility(next, old); err != nil {
				messages = append(messages, fmt.Sprintf("old schema %d cannot read data of the new schema: %s", i+1, compatReason(err)))
			}
		}
	}
	return len(messages) == 0, messages, nil
}

func compatReason(err error) string {
	var c *avro.CompatibilityError
	if !errors.As(err, &c) {
		return err.Error()
	}
	if c.WriterType == "" {
		return fmt.Sprintf("%s: %s", c.Path, c.Detail)
	}
	return fmt.Sprintf("%s: %s (reader %s, writer %s)", c.Path, c.Detail, c.ReaderType, c.WriterType)
}

// parseForCompat parses a schema in a form in which CheckCompatibility applies
// the rules that Compatible promises.
func parseForCompat(text string) (*avro.Schema, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var tree any
	if err := d.Decode(&tree); err != nil {
		return nil, fmt.Errorf("not JSON: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("not JSON: text after the schema")
	}
	normal, err := json.Marshal(normalForCompat(tree))
	if err != nil {
		return nil, err
	}
	return avro.Parse(string(normal))
}

// compatPrecision stands for the precision of every decimal. It is larger than
// any scale that PostgreSQL has, and than Connect's 2046 for a scale of -2.
const compatPrecision = 4096

func normalForCompat(node any) any {
	switch n := node.(type) {
	case []any:
		for i := range n {
			n[i] = normalForCompat(n[i])
		}
	case map[string]any:
		for k, v := range n {
			switch k {
			case "type", "items", "values", "fields":
				n[k] = normalForCompat(v)
			}
		}
		if _, isField := n["name"]; isField {
			normalField(n)
		}
		if n["logicalType"] == "decimal" && n["type"] == "bytes" {
			n["precision"] = compatPrecision
		}
	}
	return node
}

// normalField makes a missing default count: the library takes a union that
// begins with null for one with a default. It also replaces the texts that
// Debezium writes for defaults that JSON has no number for.
func normalField(field map[string]any) {
	def, has := field["default"]
	if union, ok := field["type"].([]any); ok && !has && len(union) > 1 && union[0] == "null" {
		field["type"] = append(append([]any(nil), union[1:]...), "null")
		return
	}
	if text, ok := def.(string); ok && isFloating(field["type"]) {
		switch text {
		case "NaN", "Infinity", "-Infinity":
			field["default"] = 0
		}
	}
}

func isFloating(node any) bool {
	switch n := node.(type) {
	case string:
		return n == "float" || n == "double"
	case []any:
		return len(n) > 0 && isFloating(n[0])
	case map[string]any:
		return isFloating(n["type"])
	}
	return false
}
