package schema

import (
	"encoding/json"
	"fmt"

	"github.com/linkedin/goavro/v2"
)

// prove parses a generated schema with two independent implementations before a
// registry sees it: goavro, less what it refuses of Debezium's, and the one that
// compares schemas, which minds the defaults. The empty text, of a table without
// key, is fine.
func prove(text string) error {
	if text == "" {
		return nil
	}
	if _, err := codecOf(text); err != nil {
		return err
	}
	if _, err := parseForCompat(text); err != nil {
		return fmt.Errorf("the generated schema is no Avro schema: %w", err)
	}
	return nil
}

// codecOf is goavro's codec of a schema less its defaults and logical types:
// goavro refuses some of those that Debezium writes (a decimal's default, a scale
// above the precision, NaN), and they do not change a byte.
func codecOf(text string) (*goavro.Codec, error) {
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return nil, fmt.Errorf("the generated schema is no JSON: %w", err)
	}
	bare, err := json.Marshal(withoutDefaults(v))
	if err != nil {
		return nil, fmt.Errorf("the generated schema: %w", err)
	}
	codec, err := goavro.NewCodec(string(bare))
	if err != nil {
		return nil, fmt.Errorf("the generated schema is no Avro schema: %w", err)
	}
	return codec, nil
}

// withoutDefaults is a schema's JSON less what codecOf leaves out. A field may
// itself be named default: only the attributes of schemas and fields go.
func withoutDefaults(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, inner := range v {
			if k != "default" && k != "logicalType" {
				out[k] = withoutDefaults(inner)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, inner := range v {
			out[i] = withoutDefaults(inner)
		}
		return out
	}
	return v
}
