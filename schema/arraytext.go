package schema

// arrayText walks the elements of an array in PostgreSQL's text form
// (PostgreSQL documentation, section 8.15.6). Lower bounds are skipped.
type arrayText struct {
	rest  []byte // from the next element on, or from the closing brace
	delim byte
	begun bool
}

// element is one element of an array. text is the input itself, or the scratch
// buffer where the input had escapes.
type element struct {
	text    []byte
	escaped bool // text is in the scratch buffer
	null    bool
	nested  bool // an inner array, as the server wrote it
	end     bool // there was no further element
}

const badArray = "not an array in PostgreSQL's text form"

func openArray(text []byte, delim byte) (arrayText, string) {
	if len(text) > 0 && text[0] == '[' {
		i := 0
		for i < len(text) && text[i] != '=' {
			i++
		}
		if i == len(text) {
			return arrayText{}, badArray
		}
		text = text[i+1:]
	}
	if len(text) < 2 || text[0] != '{' || text[len(text)-1] != '}' {
		return arrayText{}, badArray
	}
	return arrayText{rest: text[1:], delim: delim}, ""
}

// next is the next element. Escapes are undone in scratch.
func (a *arrayText) next(scratch []byte) (element, string) {
	if len(a.rest) == 0 {
		return element{}, badArray
	}
	if a.rest[0] == '}' && (!a.begun || len(a.rest) == 1) {
		if len(a.rest) != 1 {
			return element{}, badArray
		}
		return element{end: true}, ""
	}
	if a.begun {
		if a.rest[0] != a.delim {
			return element{}, badArray
		}
		a.rest = a.rest[1:]
	}
	a.begun = true
	if len(a.rest) == 0 {
		return element{}, badArray
	}
	switch a.rest[0] {
	case '{':
		return a.nested()
	case '"':
		return a.quoted(scratch)
	}
	return a.plain()
}

func (a *arrayText) plain() (element, string) {
	for i, c := range a.rest {
		switch c {
		case a.delim, '}':
			text := a.rest[:i]
			a.rest = a.rest[i:]
			if i == 0 {
				return element{}, badArray
			}
			return element{text: text, null: isNullWord(text)}, ""
		case '{', '"', '\\':
			return element{}, badArray
		}
	}
	return element{}, badArray
}

func (a *arrayText) quoted(scratch []byte) (element, string) {
	escaped := false
	for i := 1; i < len(a.rest); i++ {
		switch a.rest[i] {
		case '\\':
			escaped = true
			i++
		case '"':
			text := a.rest[1:i]
			a.rest = a.rest[i+1:]
			if escaped {
				text = unescape(scratch[:0], text)
			}
			return element{text: text, escaped: escaped}, ""
		}
	}
	return element{}, badArray
}

func unescape(dst, text []byte) []byte {
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' {
			i++
		}
		dst = append(dst, text[i])
	}
	return dst
}

func (a *arrayText) nested() (element, string) {
	depth, inQuotes := 0, false
	for i := 0; i < len(a.rest); i++ {
		switch c := a.rest[i]; {
		case c == '\\':
			i++
		case c == '"':
			inQuotes = !inQuotes
		case inQuotes:
		case c == '{':
			depth++
		case c == '}':
			if depth--; depth == 0 {
				text := a.rest[:i+1]
				a.rest = a.rest[i+1:]
				return element{text: text, nested: true}, ""
			}
		}
	}
	return element{}, badArray
}

func isNullWord(b []byte) bool {
	return len(b) == 4 && b[0]|0x20 == 'n' && b[1]|0x20 == 'u' && b[2]|0x20 == 'l' && b[3]|0x20 == 'l'
}

// appendElement appends one element to an array literal, quoted where
// PostgreSQL's own output quotes it.
func appendElement(dst, text []byte) []byte {
	quote := len(text) == 0 || isNullWord(text)
	for _, c := range text {
		switch c {
		case '{', '}', ',', '"', '\\', ' ', '\t', '\n', '\r', '\v', '\f':
			quote = true
		}
	}
	if !quote {
		return append(dst, text...)
	}
	dst = append(dst, '"')
	for _, c := range text {
		if c == '"' || c == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, c)
	}
	return append(dst, '"')
}
