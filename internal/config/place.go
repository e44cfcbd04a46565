package config

import "strings"

// Locate is the line and the column, from 1, of a character within the text of a
// value: what stands there when the value is a text of a language of its own, such
// as an expression. path is that of the key, as in a Problem; offset counts
// characters from 0. Of a value that is not written out in the file (an alias, a
// reference to the environment, a default) it is where the value begins, or the
// nearest key above it.
func (f *File) Locate(path string, offset int) (line, column int) {
	at, ok := f.at[path]
	for above := path; !ok; at, ok = f.at[above] {
		i := strings.LastIndexAny(above, ".[")
		above = above[:max(i, 0)]
		offset = 0
	}
	if _, referred := f.shown[path]; referred || offset <= 0 || at.line > len(f.lines) {
		offset = 0
	}
	w := walker{lines: f.lines, place: at}
	switch w.rune() {
	case '*', '&', '!':
		return at.line, at.column
	case '|', '>':
		w.block()
	case '"', '\'':
		w.quote = w.rune()
		w.column++
	}
	for range offset {
		w.next()
	}
	return w.line, w.column
}

// walker goes through the characters of a scalar as it is written.
type walker struct {
	lines  []string
	quote  rune // of a quoted scalar
	indent int  // of a block scalar, plus 1
	place
}

// rune is the character at the walker's place, 0 beyond the end of its line.
func (w *walker) rune() rune {
	if w.line < 1 || w.line > len(w.lines) {
		return 0
	}
	column := 1
	for _, r := range w.lines[w.line-1] {
		if column == w.column {
			return r
		}
		column++
	}
	return 0
}

// block goes to the first character of a block scalar.
func (w *walker) block() {
	for w.line++; w.line <= len(w.lines); w.line++ {
		text := w.lines[w.line-1]
		if rest := strings.TrimLeft(text, " "); rest != "" {
			w.indent = len(text) - len(rest) + 1
			w.column = w.indent
			return
		}
	}
}

// next passes one character of the value.
func (w *walker) next() {
	switch r := w.rune(); {
	case r == 0 && w.line < len(w.lines): // the end of a line is one character
		w.line++
		w.column = max(w.indent, 1)
		for w.indent == 0 && w.rune() == ' ' {
			w.column++
		}
	case w.quote == '"' && r == '\\':
		w.column++
		w.column += 1 + map[rune]int{'x': 2, 'u': 4, 'U': 8}[w.rune()]
	case w.quote == '\'' && r == '\'', r == '$' && w.follows('$'):
		w.column += 2
	default:
		w.column++
	}
}

func (w *walker) follows(r rune) bool {
	ahead := *w
	ahead.column++
	return ahead.rune() == r
}
