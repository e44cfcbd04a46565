package ops

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"
)

// Output is where a command's data goes, and in which form. Logs and progress
// go elsewhere.
type Output struct {
	W     io.Writer
	JSON  bool // one object per line
	Color bool
}

// NewOutput writes to f as --output says: text or json. Colour is for terminals
// without NO_COLOR.
func NewOutput(f *os.File, format string) (*Output, error) {
	switch format {
	case "text", "":
		return &Output{W: f, Color: UseColor(f)}, nil
	case "json":
		return &Output{W: f, JSON: true}, nil
	}
	return nil, Usage(fmt.Errorf("--output %q: want text or json", format))
}

// Object writes v as one line of JSON.
func (o *Output) Object(v any) error {
	enc := json.NewEncoder(o.W)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}

// Text writes a formatted text.
func (o *Output) Text(format string, args ...any) error {
	if _, err := fmt.Fprintf(o.W, format, args...); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}

// IsTerminal tells whether f is one.
func IsTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && f.Name() != os.DevNull
}

// UseColor tells whether f takes colour: a terminal that is not dumb, and no
// NO_COLOR (no-color.org).
func UseColor(f *os.File) bool {
	return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && IsTerminal(f)
}

// The colours of a terminal.
const (
	Red    = "31"
	Green  = "32"
	Yellow = "33"
	Bold   = "1"
)

// Paint is s in a colour, where colour is used.
func (o *Output) Paint(color, s string) string {
	if !o.Color || s == "" {
		return s
	}
	return "\x1b[" + color + "m" + s + "\x1b[0m"
}

// Table collects rows and writes them in aligned columns.
type Table struct {
	rows   [][]string
	widths []int // of the columns, so far
}

// NewTable begins with a row of headers; none, for a table without.
func NewTable(headers ...string) *Table {
	t := &Table{}
	if len(headers) > 0 {
		t.Row(headers...)
	}
	return t
}

// Row adds a row.
func (t *Table) Row(cells ...string) { t.rows = append(t.rows, cells) }

// Write writes all rows to o, and forgets them: rows that come later have columns at
// least as wide. The last cell of a row is not padded.
func (t *Table) Write(o *Output) error {
	for _, row := range t.rows {
		for i, cell := range row {
			if i == len(t.widths) {
				t.widths = append(t.widths, 0)
			}
			t.widths[i] = max(t.widths[i], width(cell))
		}
	}
	var b strings.Builder
	for _, row := range t.rows {
		for i, cell := range row {
			b.WriteString(cell)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", t.widths[i]-width(cell)+2))
			}
		}
		b.WriteByte('\n')
	}
	t.rows = t.rows[:0]
	return o.Text("%s", b.String())
}

// width counts runes, without the escapes of Paint.
func width(s string) int {
	n := utf8.RuneCountInString(s)
	for {
		start := strings.Index(s, "\x1b[")
		if start < 0 {
			return n
		}
		end := strings.IndexByte(s[start:], 'm')
		if end < 0 {
			return n
		}
		n -= end + 1
		s = s[start+end+1:]
	}
}
