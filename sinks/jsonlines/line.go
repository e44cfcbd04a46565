// Package jsonlines writes changes as lines of JSON, for the sinks that keep changes
// and not rows.
//
// A line has all that a reader needs to tell a repetition from news and old from
// new: gen and pos order the changes of a row, whatever order the lines have.
package jsonlines

import (
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/sinks"
)

// Append appends one line to dst: topic, partition, offset, gen, pos, op, source,
// schema, table, key (the key's values as a JSON array of texts), row, and unavailable
// with the columns whose values the record does not carry. Under op t, floor is the
// position up to which the table's rows of this partition are gone; a sweep holds
// once it came from as many partitions as it names.
func Append(dst []byte, p sinks.Partition, generation int64, c *sinks.Change) []byte {
	dst = append(dst, `{"topic":`...)
	dst = appendText(dst, []byte(p.Topic))
	dst = append(dst, `,"partition":`...)
	dst = strconv.AppendInt(dst, int64(p.Number), 10)
	dst = append(dst, `,"offset":`...)
	dst = strconv.AppendInt(dst, c.Offset, 10)
	dst = append(dst, `,"gen":`...)
	dst = strconv.AppendInt(dst, generation, 10)
	for _, field := range [...]struct{ name, value string }{
		{"pos", c.Pos}, {"op", c.Op.String()}, {"source", c.Origin.Name}, {"database", c.Origin.Database}, {"schema", c.Origin.Schema}, {"table", c.Origin.Table},
	} {
		dst = append(dst, `,"`...)
		dst = append(dst, field.name...)
		dst = append(dst, `":`...)
		dst = appendText(dst, []byte(field.value))
	}
	if c.Floor != nil {
		dst = append(dst, `,"floor":`...)
		dst = appendText(dst, []byte(c.Floor.Pos))
		if c.Floor.Sweep {
			dst = append(dst, `,"sweep":true,"partitions":`...)
			dst = strconv.AppendInt(dst, int64(c.Floor.Partitions), 10)
		}
		return append(dst, "}\n"...)
	}
	if c.Key != "" {
		dst = append(dst, `,"key":`...)
		dst = appendText(dst, []byte(c.Key))
	}
	dst = appendRow(dst, c)
	return append(dst, "}\n"...)
}

func appendRow(dst []byte, c *sinks.Change) []byte {
	dst = append(dst, `,"row":{`...)
	first, absent := true, false
	for i, v := range c.Row {
		if v.State != cdc.Text && v.State != cdc.Null {
			absent = true
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = appendText(dst, []byte(c.Shape.Columns[i].Name))
		dst = append(dst, ':')
		if v.State == cdc.Null {
			dst = append(dst, "null"...)
		} else {
			dst = appendValue(dst, c.Shape.Columns[i], v.Data)
		}
	}
	dst = append(dst, '}')
	if !absent || c.Op == cdc.OpDelete { // of a delete, the key is all there is
		return dst
	}
	dst = append(dst, `,"unavailable":[`...)
	first = true
	for i, v := range c.Row {
		if v.State == cdc.Text || v.State == cdc.Null {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = appendText(dst, []byte(c.Shape.Columns[i].Name))
	}
	return append(dst, ']')
}

// appendValue writes numbers and truth values as such, JSON as it is, and everything
// else in PostgreSQL's text form: decimals too, which readers would round.
func appendValue(dst []byte, c sinks.Column, text []byte) []byte {
	if c.Array {
		return appendText(dst, text)
	}
	switch c.Type {
	case sinks.Bool:
		if len(text) == 1 && text[0] == 't' || string(text) == "true" {
			return append(dst, "true"...)
		}
		return append(dst, "false"...)
	case sinks.Int16, sinks.Int32, sinks.Int64, sinks.Float32, sinks.Float64, sinks.JSON:
		if json.Valid(text) { // NaN is not
			return appendCompact(dst, text)
		}
	}
	return appendText(dst, text)
}

// appendCompact appends JSON in one line.
func appendCompact(dst, text []byte) []byte {
	quoted, escaped := false, false
	for _, b := range text {
		switch {
		case quoted:
			quoted = escaped || b != '"'
			escaped = !escaped && b == '\\'
		case b == '"':
			quoted = true
		case b == ' ' || b == '\n' || b == '\r' || b == '\t':
			continue
		}
		dst = append(dst, b)
	}
	return dst
}

const hexDigits = "0123456789abcdef"

// appendText writes a JSON string; bytes that are not UTF-8 become U+FFFD.
func appendText(dst, s []byte) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		switch b := s[i]; {
		case b == '"' || b == '\\':
			dst = append(dst, '\\', b)
			i++
		case b == '\n':
			dst = append(dst, '\\', 'n')
			i++
		case b < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[b>>4], hexDigits[b&15])
			i++
		case b < utf8.RuneSelf:
			dst = append(dst, b)
			i++
		default:
			r, n := utf8.DecodeRune(s[i:])
			dst = utf8.AppendRune(dst, r)
			i += n
		}
	}
	return append(dst, '"')
}
