package debezium

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Parse reads a connector's configuration: the JSON posted to Kafka Connect,
// {"name": …, "config": {…}} or the inner object alone, or Java properties.
// Numbers and booleans become texts, as Connect does; null is no value.
func Parse(data []byte) (map[string]string, error) {
	data = bytes.TrimPrefix(data, []byte("\uFEFF"))
	trimmed := bytes.TrimSpace(data)
	switch {
	case len(trimmed) == 0:
		return nil, errors.New("is empty; want a connector's configuration, as JSON or as properties")
	case trimmed[0] == '{':
		return parseJSON(data)
	case trimmed[0] == '[':
		return nil, errors.New("is a list; want the configuration of one connector")
	}
	return parseProperties(string(data))
}

func parseJSON(data []byte) (map[string]string, error) {
	var top map[string]json.RawMessage
	d := json.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(&top); err != nil {
		return nil, jsonError(data, err, d.InputOffset())
	}
	rest := d.InputOffset()
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: more text after the configuration; one file holds one connector", place(data, rest))
	}
	if inner, ok := top["config"]; ok && len(bytes.TrimSpace(inner)) > 0 && bytes.TrimSpace(inner)[0] == '{' {
		top = nil
		if err := json.Unmarshal(inner, &top); err != nil {
			return nil, fmt.Errorf("config: %w", err)
		}
	}
	config := map[string]string{}
	for name, raw := range top {
		value, ok, err := jsonText(raw)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if ok {
			config[name] = value
		}
	}
	return config, nil
}

// jsonText is the text of a value; ok is false for null.
func jsonText(raw json.RawMessage) (value string, ok bool, err error) {
	raw = bytes.TrimSpace(raw)
	switch raw[0] {
	case '{', '[':
		return "", false, errors.New("want a text, number or boolean; Connect takes nothing nested")
	case 'n':
		return "", false, nil
	case '"':
		err = json.Unmarshal(raw, &value)
		return value, err == nil, err
	}
	return string(raw), true, nil
}

func jsonError(data []byte, err error, offset int64) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		offset = syntax.Offset - 1 // the one that was read last is at fault
	case errors.As(err, &kind):
		offset = kind.Offset
	}
	return fmt.Errorf("%s: is not valid JSON: %w", place(data, offset), err)
}

// place is line:column of an offset.
func place(data []byte, offset int64) string {
	head := data[:min(max(offset, 0), int64(len(data)))]
	line := bytes.Count(head, []byte("\n")) + 1
	return fmt.Sprintf("%d:%d", line, len(head)-bytes.LastIndexByte(head, '\n'))
}

// parseProperties reads Java properties: comments with # or !, lines that go on
// after a backslash, = or : or white space between key and value, and escapes.
func parseProperties(text string) (map[string]string, error) {
	config := map[string]string{}
	lines := strings.Split(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text), "\n")
	for i := 0; i < len(lines); i++ {
		first := i + 1
		line := strings.TrimLeft(lines[i], " \t\f")
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		for goesOn(line) {
			line = line[:len(line)-1]
			if i+1 == len(lines) {
				break
			}
			i++
			line += strings.TrimLeft(lines[i], " \t\f")
		}
		key, value := cutProperty(line)
		name, err := unescape(key)
		if err != nil {
			return nil, fmt.Errorf("%d: %w", first, err)
		}
		if config[name], err = unescape(value); err != nil {
			return nil, fmt.Errorf("%d: %s: %w", first, name, err)
		}
	}
	return config, nil
}

// goesOn tells whether an odd number of backslashes ends the line.
func goesOn(line string) bool {
	return (len(line)-len(strings.TrimRight(line, `\`)))%2 == 1
}

// cutProperty cuts at the first separator that is not escaped.
func cutProperty(line string) (key, value string) {
	end := 0
	for end < len(line) && !strings.ContainsRune("=: \t\f", rune(line[end])) {
		if line[end] == '\\' {
			end++
		}
		end++
	}
	end = min(end, len(line))
	value = strings.TrimLeft(line[end:], " \t\f")
	if value != "" && (value[0] == '=' || value[0] == ':') {
		value = strings.TrimLeft(value[1:], " \t\f")
	}
	return line[:end], value
}

func unescape(s string) (string, error) {
	if !strings.Contains(s, `\`) {
		return s, nil
	}
	var units []byte
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			units = append(units, s[i])
			continue
		}
		i++
		switch s[i] {
		case 't':
			units = append(units, '\t')
		case 'n':
			units = append(units, '\n')
		case 'r':
			units = append(units, '\r')
		case 'f':
			units = append(units, '\f')
		case 'u':
			// JSON has the same escape, surrogate pairs included.
			run := i - 1
			for i+4 < len(s) && s[i] == 'u' {
				i += 4
				if !strings.HasPrefix(s[i+1:], `\u`) {
					break
				}
				i += 2
			}
			var text string
			if err := json.Unmarshal([]byte(`"`+s[run:min(i+1, len(s))]+`"`), &text); err != nil {
				return "", fmt.Errorf(`want four hexadecimal digits after \u`)
			}
			units = append(units, text...)
		default:
			units = append(units, s[i])
		}
	}
	return string(units), nil
}
