package steps

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/tailrace/tailrace/sinks"
)

var (
	errArray      = errors.New("an array's text cannot be read")
	errDimensions = errors.New("an array of several dimensions has no elements in expressions; text(…) takes it as a whole")
)

// parseArray reads PostgreSQL's text of an array of one dimension.
func parseArray(b []byte, elem kind) ([]value, error) {
	if len(b) > 0 && b[0] == '[' { // bounds other than from 1: [2:3]={a,b}
		i := bytes.IndexByte(b, '=')
		if i < 0 {
			return nil, errArray
		}
		b = b[i+1:]
	}
	if len(b) < 2 || b[0] != '{' || b[len(b)-1] != '}' {
		return nil, errArray
	}
	b = b[1 : len(b)-1]
	out := []value{}
	for len(b) > 0 {
		raw, rest, quoted, err := element(b)
		if err != nil {
			return nil, err
		}
		v := value{}
		if quoted || !bytes.EqualFold(raw, []byte("NULL")) {
			ok := false
			if v, ok = parse(raw, elem); !ok {
				return nil, errArray
			}
		}
		out = append(out, v)
		if len(rest) == 0 {
			break
		}
		if rest[0] != ',' || len(rest) == 1 {
			return nil, errArray
		}
		b = rest[1:]
	}
	return out, nil
}

// element takes the first element off.
func element(b []byte) (raw, rest []byte, quoted bool, err error) {
	switch b[0] {
	case '{':
		return nil, nil, false, errDimensions
	case '"':
		for i := 1; i < len(b); i++ {
			switch b[i] {
			case '\\':
				if i++; i < len(b) {
					raw = append(raw, b[i])
				}
			case '"':
				return raw, b[i+1:], true, nil
			default:
				raw = append(raw, b[i])
			}
		}
		return nil, nil, false, errArray
	}
	if i := bytes.IndexByte(b, ','); i >= 0 {
		return b[:i], b[i:], false, nil
	}
	return b, nil, false, nil
}

// appendArray appends a list as an array's text.
func appendArray(dst []byte, v value, c *sinks.Column) ([]byte, error) {
	elem := *c
	elem.Array = false
	dst = append(dst, '{')
	for i, e := range v.list() {
		if i > 0 {
			dst = append(dst, ',')
		}
		if e.null() {
			dst = append(dst, "NULL"...)
			continue
		}
		if e.kind == kindList || e.kind == kindObject {
			return dst, errDimensions
		}
		t, err := encode(nil, e, &elem)
		if err != nil {
			return dst, err
		}
		if plainElement(t) {
			dst = append(dst, t...)
			continue
		}
		dst = append(dst, '"')
		for _, b := range t {
			if b == '"' || b == '\\' {
				dst = append(dst, '\\')
			}
			dst = append(dst, b)
		}
		dst = append(dst, '"')
	}
	return append(dst, '}'), nil
}

// plainElement tells what PostgreSQL prints without quotes.
func plainElement(b []byte) bool {
	return len(b) > 0 && !bytes.ContainsAny(b, "{},\"\\ \t\n\r\v\f") && !bytes.EqualFold(b, []byte("NULL"))
}

var errJSON = errors.New("json: the text is not JSON")

// parseJSON reads a text of JSON.
func (s *scope) parseJSON(v value) value {
	if v.kind != kindText {
		return s.fail(errJSON)
	}
	d := json.NewDecoder(bytes.NewReader(v.b))
	d.UseNumber()
	var x any
	if err := d.Decode(&x); err != nil || d.More() {
		return s.fail(errJSON)
	}
	out, ok := fromJSON(x)
	if !ok {
		return s.fail(errJSON)
	}
	return out
}

func fromJSON(x any) (value, bool) {
	switch x := x.(type) {
	case nil:
		return value{}, true
	case bool:
		return boolean(x), true
	case string:
		return text(x), true
	case json.Number:
		if !strings.ContainsAny(x.String(), ".eE") {
			if n, err := strconv.ParseInt(x.String(), 10, 64); err == nil {
				return integer(n), true
			}
		}
		return parseDecimal([]byte(x.String()))
	case []any:
		out := make([]value, len(x))
		for i, e := range x {
			v, ok := fromJSON(e)
			if !ok {
				return value{}, false
			}
			out[i] = v
		}
		return list(out), true
	case map[string]any:
		out := make(map[string]value, len(x))
		for k, e := range x {
			v, ok := fromJSON(e)
			if !ok {
				return value{}, false
			}
			out[k] = v
		}
		return value{kind: kindObject, x: out}, true
	}
	return value{}, false
}

// appendJSON appends a value as JSON; the fields of an object in the order of their
// names. A number that JSON has no form for is a text.
func appendJSON(dst []byte, v value) []byte {
	switch v.kind {
	case kindNull:
		return append(dst, "null"...)
	case kindBool:
		return strconv.AppendBool(dst, v.n == 1)
	case kindInt:
		return strconv.AppendInt(dst, v.n, 10)
	case kindDecimal:
		if v.special == 0 {
			return appendDecimal(dst, v)
		}
	case kindFloat:
		if t := appendFloat(nil, v.f()); json.Valid(t) {
			return append(dst, t...)
		}
	case kindList:
		dst = append(dst, '[')
		for i, e := range v.list() {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendJSON(dst, e)
		}
		return append(dst, ']')
	case kindObject:
		dst = append(dst, '{')
		fields := v.x.(map[string]value)
		for i, k := range slices.Sorted(maps.Keys(fields)) {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(quote(dst, []byte(k)), ':')
			dst = appendJSON(dst, fields[k])
		}
		return append(dst, '}')
	}
	return quote(dst, appendText(nil, v))
}

func quote(dst, s []byte) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(string(s)) != nil {
		return append(dst, `""`...)
	}
	return append(dst, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
}
