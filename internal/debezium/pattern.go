package debezium

import (
	"regexp"
	"strings"
	"unicode"
)

// splitList cuts a list as Debezium does: at commas without a backslash, white
// space around the parts left out, empty parts too.
func splitList(text string) []string {
	var parts []string
	var part strings.Builder
	add := func() {
		if s := strings.TrimSpace(part.String()); s != "" {
			parts = append(parts, s)
		}
		part.Reset()
	}
	escaped := false
	for _, c := range text {
		switch {
		case escaped:
			if c != ',' {
				part.WriteByte('\\')
			}
			part.WriteRune(c)
			escaped = false
		case c == '\\':
			escaped = true
		case c == ',':
			add()
		default:
			part.WriteRune(c)
		}
	}
	if escaped {
		part.WriteByte('\\')
	}
	add()
	return parts
}

// cut is a pattern in two, at the place of a dot.
type cut struct{ left, right *expr }

// cuts are all ways in which e can match a text with a dot in it: e matches
// a.b exactly if the left of one of them matches a and its right b. ok is false
// where that cannot be written down.
func (e *expr) cuts() (list []cut, ok bool) {
	ok = true
	switch e.kind {
	case character:
		if e.char == '.' {
			list = append(list, cut{&expr{kind: sequence}, &expr{kind: sequence}})
		}
	case anything:
		list = append(list, cut{&expr{kind: sequence}, &expr{kind: sequence}})
	case class:
		if e.dot {
			list = append(list, cut{&expr{kind: sequence}, &expr{kind: sequence}})
		}
	case sequence:
		for i, s := range e.subs {
			inner, fine := s.cuts()
			ok = ok && fine
			for _, c := range inner {
				list = append(list, cut{join(e.subs[:i], c.left), join([]*expr{c.right}, e.subs[i+1:]...)})
			}
		}
	case alternatives, group:
		for _, s := range e.subs {
			inner, fine := s.cuts()
			list, ok = append(list, inner...), ok && fine
		}
	case repetition:
		inner, fine := e.subs[0].cuts()
		var around []*expr
		switch e.many[0] {
		case '*', '+':
			around = []*expr{{kind: repetition, subs: e.subs, many: "*"}}
		case '{':
			fine = fine && len(inner) == 0
		}
		ok = fine
		for _, c := range inner {
			list = append(list, cut{join(around, c.left), join([]*expr{c.right}, around...)})
		}
	}
	return list, ok
}

// join is a sequence, without sequences in it.
func join(first []*expr, rest ...*expr) *expr {
	seq := &expr{kind: sequence}
	for _, list := range [][]*expr{first, rest} {
		for _, e := range list {
			if e.kind == sequence {
				seq.subs = append(seq.subs, e.subs...)
			} else {
				seq.subs = append(seq.subs, e)
			}
		}
	}
	return seq
}

// dots tells whether a text that e matches can have a dot, and whether it must.
func (e *expr) dots() (can, must bool) {
	switch e.kind {
	case character:
		return e.char == '.', e.char == '.'
	case anything:
		return true, false
	case class:
		return e.dot, false
	case sequence, group:
		for _, s := range e.subs {
			c, m := s.dots()
			can, must = can || c, must || m
		}
	case alternatives:
		must = true
		for _, s := range e.subs {
			c, m := s.dots()
			can, must = can || c, must && m
		}
	case repetition:
		can, must = e.subs[0].dots()
		must = must && e.many[0] == '+'
	}
	return can, must
}

// cutColumn cuts a pattern of schema.table.column into patterns of schema.table
// and of the column. A column whose own name has a dot is not looked for.
func (e *expr) cutColumn() (list []cut, ok bool) {
	all, ok := e.cuts()
	for _, c := range all {
		_, dotted := c.right.dots()
		if can, _ := c.left.dots(); can && !dotted && len(c.right.subs) > 0 {
			list = append(list, c)
		}
	}
	return list, ok
}

// cutTable cuts a pattern of schema.table likewise.
func (e *expr) cutTable() (list []cut, ok bool) {
	all, ok := e.cuts()
	for _, c := range all {
		_, left := c.left.dots()
		if _, right := c.right.dots(); !left && !right && len(c.left.subs) > 0 && len(c.right.subs) > 0 {
			list = append(list, c)
		}
	}
	return list, ok
}

// flat is e as a list of characters, dots and .* alone; ok is false if there is
// more to it. A dot is '.', an unescaped one '?', and .* is '*'.
func (e *expr) flat() (text string, ok bool) {
	switch e.kind {
	case character:
		if e.char >= unicode.MaxASCII || unicode.IsUpper(e.char) || strings.ContainsRune("*?/$", e.char) {
			return "", false
		}
		return string(e.char), true
	case anything:
		return "?", true
	case sequence, group:
		var b strings.Builder
		for _, s := range e.subs {
			part, ok := s.flat()
			if !ok {
				return "", false
			}
			b.WriteString(part)
		}
		return b.String(), true
	case repetition:
		if e.subs[0].kind == anything && (e.many == "*" || e.many == "*?") {
			return "*", true
		}
	}
	return "", false
}

// glob is e as a glob that matches the same names of so many dots at least; ok is
// false where only a regular expression does.
func (e *expr) glob(dots int) (text string, ok bool) {
	text, ok = e.flat()
	if !ok || text == "" {
		return "", false
	}
	stars, any, fixed := strings.Count(text, "*"), strings.Count(text, "?"), strings.Count(text, ".")
	switch {
	case any > 0 && stars == 0 && any+fixed == dots:
		// Nothing else can be the dots that a name has.
		return strings.ReplaceAll(text, "?", "."), true
	case any > 0:
		return "", false
	case dots != 1 || fixed > 0:
		return text, true
	case stars == 1: // a pattern of tables is to show where the schema ends
		return strings.Replace(text, "*", "*.*", 1), true
	}
	return "", false
}

// ours is e as it stands in relay.yaml, for names of so many dots at least.
func (e *expr) ours(dots int) string {
	if text, ok := e.glob(dots); ok {
		return text
	}
	text := e.String()
	if strings.ContainsFunc(text, unicode.IsLetter) {
		text = "(?i)" + text
	}
	return "/" + text + "/"
}

// literal is the one name that e matches, with the right number of dots.
func (e *expr) literal(dots int) (name string, ok bool) {
	text, ok := e.glob(dots)
	return text, ok && !strings.Contains(text, "*")
}

// matches tells whether e matches the whole name, as Debezium tells it.
func (e *expr) matches(name string) bool {
	re, err := regexp.Compile(`(?is)^(?:` + e.String() + `)$`)
	return err == nil && re.MatchString(name)
}
