package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tailrace/tailrace/internal/ops"
)

// recordPrinter writes records for people: a line each, or rows in columns.
type recordPrinter struct {
	out     *ops.Output
	table   bool
	prefix  string   // of the data topics: <name>.
	columns []string // of the header that was printed last
	widths  []int

	heartbeats string // their topic
}

var opColors = map[string]string{"c": ops.Green, "r": ops.Green, "d": ops.Red, "u": ops.Yellow, "t": ops.Red}

func (p *recordPrinter) print(s *shown) error {
	if p.out.JSON {
		return p.out.Object(s)
	}
	pos, op := "-", "-"
	if s.Pos != nil {
		pos = *s.Pos
	}
	if s.Op != nil {
		op = *s.Op
	}
	row := s.row()
	if p.table {
		return p.columnar(pos, op, s, row)
	}
	line := pos + "  " + p.out.Paint(opColors[op], op) + "  " + p.name(s)
	if op != "t" { // a truncate has no row
		line += "  " + brief(row)
	}
	if s.Reason != "" {
		line += "  " + p.out.Paint(ops.Red, "("+strings.TrimPrefix(s.Column+": ", ": ")+s.Reason+")")
	}
	if s.Error != "" {
		line += "  " + p.out.Paint(ops.Red, "("+s.Error+")")
	}
	return p.out.Text("%s\n", line)
}

// row is what a person wants to see of a record: the new row, else the old one,
// else the key. The content of a logical message is shown as text where it is one.
func (s *shown) row() json.RawMessage {
	switch {
	case s.Headers["dlq.part"] != "":
		return s.Key
	case s.Op != nil && *s.Op == "m":
		return readableContent(s.After)
	case !isNull(s.After):
		return s.After
	case !isNull(s.Before):
		return s.Before
	}
	return s.Key
}

func readableContent(message json.RawMessage) json.RawMessage {
	var m struct {
		Prefix  string `json:"prefix"`
		Content string `json:"content"`
	}
	if json.Unmarshal(message, &m) != nil {
		return message
	}
	digits, isBytes := strings.CutPrefix(m.Content, `\x`)
	content, err := hex.DecodeString(digits)
	if !isBytes || err != nil || !utf8.Valid(content) {
		return message
	}
	m.Content = string(content)
	text, err := json.Marshal(m)
	if err != nil {
		return message
	}
	return text
}

// name is the table as the record says it, else as its topic does.
func (p *recordPrinter) name(s *shown) string {
	if s.Topic == p.heartbeats {
		return "heartbeat"
	}
	var source struct{ Schema, Table string }
	if json.Unmarshal(s.Source, &source) == nil && source.Table != "" {
		return source.Schema + "." + source.Table
	}
	return strings.TrimPrefix(s.Topic, p.prefix)
}

func isNull(j json.RawMessage) bool { return len(j) == 0 || string(j) == "null" }

var bare = regexp.MustCompile(`^[A-Za-z0-9_.+:@/-]+$`)

// brief is JSON with less to read: {id:1 total:12.50}.
func brief(j json.RawMessage) string {
	names, values, ok := members(j)
	if !ok {
		return text(j)
	}
	parts := make([]string, len(names))
	for i, name := range names {
		parts[i] = name + ":" + text(values[i])
	}
	return "{" + strings.Join(parts, " ") + "}"
}

// text is one value: a plain word without quotes, everything else as JSON.
func text(j json.RawMessage) string {
	var s string
	if json.Unmarshal(j, &s) == nil && bare.MatchString(s) && !isNull(j) {
		return s
	}
	if isNull(j) {
		return "null"
	}
	return string(j)
}

// members are the keys and values of a JSON object in their order.
func members(j json.RawMessage) (names []string, values []json.RawMessage, ok bool) {
	dec := json.NewDecoder(bytes.NewReader(j))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, nil, false
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, nil, false
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, nil, false
		}
		key, _ := name.(string)
		names, values = append(names, key), append(values, value)
	}
	return names, values, true
}

// columnar prints a header where the columns are others than in the last line.
// Columns only ever become wider, since what comes is not known.
func (p *recordPrinter) columnar(pos, op string, s *shown, row json.RawMessage) error {
	names, values, ok := members(row)
	if !ok {
		names, values = []string{"value"}, []json.RawMessage{row}
	}
	columns := append([]string{"POSITION", "OP", "TABLE"}, names...)
	cells := []string{pos, op, p.name(s)}
	for _, v := range values {
		cells = append(cells, text(v))
	}
	if spread, ok := p.spread(columns, cells); ok {
		columns, cells = p.columns, spread
	}
	if !slices.Equal(columns, p.columns) {
		p.columns, p.widths = columns, make([]int, len(columns))
		p.fit(columns)
		p.fit(cells)
		if err := p.out.Text("%s\n", p.out.Paint(ops.Bold, p.line(columns))); err != nil {
			return err
		}
	}
	p.fit(cells)
	return p.out.Text("%s\n", strings.TrimRight(p.line(cells), " "))
}

// spread puts cells under the header that stands already, if it has all of their
// columns: a tombstone has only the key's.
func (p *recordPrinter) spread(columns, cells []string) ([]string, bool) {
	spread := make([]string, len(p.columns))
	for i, c := range columns {
		at := slices.Index(p.columns, c)
		if at < 0 {
			return nil, false
		}
		spread[at] = cells[i]
	}
	return spread, true
}

func (p *recordPrinter) fit(cells []string) {
	for i, c := range cells {
		p.widths[i] = max(p.widths[i], utf8.RuneCountInString(c))
	}
}

func (p *recordPrinter) line(cells []string) string {
	var b strings.Builder
	for i, c := range cells {
		b.WriteString(c)
		if i < len(cells)-1 {
			b.WriteString(strings.Repeat(" ", p.widths[i]-utf8.RuneCountInString(c)+2))
		}
	}
	return b.String()
}
