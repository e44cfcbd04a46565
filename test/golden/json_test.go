package golden

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// render is a decoded value as the corpus writes it: one line of JSON, fields in
// their order, bytes as {"bytes": hex}, NaN and infinities by name.
func render(v any) string {
	var b strings.Builder
	renderTo(&b, v)
	return b.String()
}

func renderTo(b *strings.Builder, v any) {
	switch x := v.(type) {
	case nil:
		b.WriteString("null")
	case bool:
		b.WriteString(strconv.FormatBool(x))
	case int64:
		b.WriteString(strconv.FormatInt(x, 10))
	case float32:
		renderFloat(b, "float", float64(x))
	case float64:
		renderFloat(b, "double", x)
	case string:
		renderString(b, x)
	case []byte:
		fmt.Fprintf(b, `{"bytes":"%s"}`, hex.EncodeToString(x))
	case []any:
		b.WriteByte('[')
		for i, item := range x {
			if i > 0 {
				b.WriteByte(',')
			}
			renderTo(b, item)
		}
		b.WriteByte(']')
	case *object:
		b.WriteByte('{')
		for i, name := range x.names {
			if i > 0 {
				b.WriteByte(',')
			}
			renderString(b, name)
			b.WriteByte(':')
			renderTo(b, x.values[i])
		}
		b.WriteByte('}')
	default:
		fmt.Fprintf(b, "<%T>", v)
	}
}

// renderFloat widens as the corpus does, and keeps a decimal point, so that -0.0
// and 1.0 stay floats.
func renderFloat(b *strings.Builder, kind string, f float64) {
	switch {
	case math.IsNaN(f):
		fmt.Fprintf(b, `{"%s":"NaN"}`, kind)
	case math.IsInf(f, 1):
		fmt.Fprintf(b, `{"%s":"Infinity"}`, kind)
	case math.IsInf(f, -1):
		fmt.Fprintf(b, `{"%s":"-Infinity"}`, kind)
	default:
		s := strconv.FormatFloat(f, 'g', -1, 64)
		if !strings.ContainsAny(s, ".e") {
			s += ".0"
		}
		b.WriteString(s)
	}
}

func renderString(b *strings.Builder, s string) {
	var line strings.Builder
	e := json.NewEncoder(&line)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string always has a form
	b.WriteString(strings.TrimSuffix(line.String(), "\n"))
}

// normal is JSON text in render's form: no spaces, fields in the text's order,
// floats in Go's shortest form.
func normal(text []byte) (string, error) {
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	v, err := ordered(d)
	if err != nil {
		return "", err
	}
	if _, err := d.Token(); err != io.EOF {
		return "", fmt.Errorf("text after the value: %v", err)
	}
	return render(v), nil
}

// ordered reads one JSON value with the order of its fields.
func ordered(d *json.Decoder) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch x := token.(type) {
	case json.Number:
		if n, err := strconv.ParseInt(x.String(), 10, 64); err == nil {
			return n, nil
		}
		return strconv.ParseFloat(x.String(), 64)
	case json.Delim:
		if x == '[' {
			items := []any{}
			for d.More() {
				v, err := ordered(d)
				if err != nil {
					return nil, err
				}
				items = append(items, v)
			}
			_, err := d.Token()
			return items, err
		}
		o := &object{}
		for d.More() {
			name, err := d.Token()
			if err != nil {
				return nil, err
			}
			v, err := ordered(d)
			if err != nil {
				return nil, err
			}
			o.names, o.values = append(o.names, name.(string)), append(o.values, v)
		}
		_, err := d.Token()
		return o, err
	}
	return token, nil
}
