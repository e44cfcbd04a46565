package debezium

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

// A pattern of Debezium's is a Java regular expression that has to match the
// whole of schema, schema.table or schema.table.column, whatever the case. Ours
// stands in relay.yaml as a glob, where both mean the same, and as /…/ in RE2
// otherwise. Three things can go wrong, and each would choose other tables or
// show a column that was masked:
//
//   - RE2 reads the same text otherwise: [a-z&&[^b]], \h, (?U). parseRegex knows
//     Java's grammar and refuses what is not the same in both.
//   - a dot without a backslash is any character: public.t.* is every table of
//     public that begins with t, and every column of them. Nothing is guessed:
//     glob wants equality for every name that has the right number of dots.
//   - a pattern of columns has to be cut into one of tables and one of columns.
//     cuts takes every place where the separating dot can be matched, so that
//     the union of its results is the pattern, whatever stands around the dot.

// maxRegex bounds one expression, and with it the depth of its groups.
const maxRegex = 4 << 10

type regexParser struct {
	src []rune
	pos int
}

// parseRegex reads a Java regular expression. An error is one that Debezium
// refuses too, or that RE2 has no equal for.
func parseRegex(text string) (*expr, error) {
	if len(text) > maxRegex {
		return nil, fmt.Errorf("it has %d bytes, want at most %d", len(text), maxRegex)
	}
	p := &regexParser{src: []rune(text)}
	e, err := p.alternatives()
	if err != nil {
		return nil, err
	}
	if p.pos < len(p.src) {
		return nil, errors.New("a ) without (")
	}
	if e = e.withoutEnds(); e.anchored() {
		return nil, errors.New(`an anchor (^ $ \b \A \z) within it; a pattern is compared with the whole name, so that it needs none`)
	}
	if _, err := regexp.Compile(e.String()); err != nil {
		return nil, fmt.Errorf("RE2 has no equal for it: %w", err)
	}
	return e, nil
}

func (p *regexParser) peek() rune {
	if p.pos < len(p.src) {
		return p.src[p.pos]
	}
	return 0
}

func (p *regexParser) alternatives() (*expr, error) {
	var list []*expr
	for {
		seq, err := p.sequence()
		if err != nil {
			return nil, err
		}
		list = append(list, seq)
		if p.pos >= len(p.src) || p.peek() != '|' {
			break
		}
		p.pos++
	}
	if len(list) == 1 {
		return list[0], nil
	}
	return &expr{kind: alternatives, subs: list}, nil
}

func (p *regexParser) sequence() (*expr, error) {
	seq := &expr{kind: sequence}
	for p.pos < len(p.src) && p.peek() != '|' && p.peek() != ')' {
		atom, err := p.atom()
		if err != nil {
			return nil, err
		}
		if many, err := p.quantifier(); err != nil {
			return nil, err
		} else if many != "" {
			if n := len(atom.subs); atom.kind == sequence && n == 0 {
				return nil, fmt.Errorf("a %s with nothing before it to repeat", many)
			} else if atom.kind == sequence { // of \Qab\E* only the b is repeated
				seq, atom = join(seq.subs, atom.subs[:n-1]...), atom.subs[n-1]
			}
			atom = &expr{kind: repetition, subs: []*expr{atom}, many: many}
		}
		seq = join(seq.subs, atom)
	}
	return seq, nil
}

func (p *regexParser) quantifier() (string, error) {
	start := p.pos
	switch p.peek() {
	case '*', '+', '?':
		p.pos++
	case '{':
		for p.pos < len(p.src) && p.peek() != '}' {
			p.pos++
		}
		p.pos++
		if p.pos > len(p.src) {
			return "", errors.New("a { without }")
		}
	default:
		return "", nil
	}
	switch p.peek() {
	case '?':
		p.pos++
	case '+':
		return "", errors.New("RE2 has no possessive quantifiers, such as .*+")
	}
	return string(p.src[start:p.pos]), nil
}

func (p *regexParser) atom() (*expr, error) {
	start := p.pos
	c := p.src[p.pos]
	p.pos++
	switch c {
	case '.':
		return &expr{kind: anything, text: "."}, nil
	case '^', '$':
		return &expr{kind: anchor, text: string(c)}, nil
	case '*', '+', '?', '{':
		return nil, fmt.Errorf("a %c with nothing before it to repeat", c)
	case '(':
		return p.group()
	case '[':
		if err := p.class(); err != nil {
			return nil, err
		}
		return classOf(string(p.src[start:p.pos]))
	case '\\':
		return p.escape()
	}
	return &expr{kind: character, text: string(c), char: c}, nil
}

func (p *regexParser) group() (*expr, error) {
	open := "("
	if p.peek() == '?' {
		rest := string(p.src[p.pos:])
		switch {
		case strings.HasPrefix(rest, "?:"):
			open = "(?:"
		case strings.HasPrefix(rest, "?i)"):
			p.pos += 3
			return &expr{kind: sequence}, nil // case is ignored anyway
		case strings.HasPrefix(rest, "?i:"):
			open, p.pos = "(?:", p.pos+1
		case strings.HasPrefix(rest, "?<") && !strings.HasPrefix(rest, "?<=") && !strings.HasPrefix(rest, "?<!"):
			name, _, ok := strings.Cut(rest[2:], ">")
			if !ok {
				return nil, errors.New("a (?< without >")
			}
			open, p.pos = "(?:", p.pos+len([]rune(name))+1
		case strings.HasPrefix(rest, "?=") || strings.HasPrefix(rest, "?!") || strings.HasPrefix(rest, "?<"):
			return nil, errors.New("RE2 cannot look ahead or behind, as (?= (?! (?<= and (?<! do")
		default:
			return nil, fmt.Errorf("a group that begins with (%.3s has no equal in RE2", rest)
		}
		p.pos += 2
	}
	inner, err := p.alternatives()
	if err != nil {
		return nil, err
	}
	if p.peek() != ')' {
		return nil, errors.New("a ( without )")
	}
	p.pos++
	return &expr{kind: group, open: open, subs: []*expr{inner}}, nil
}

// class goes to the end of […]. Java takes sets within sets and their
// intersections, where RE2 takes the same characters as members.
func (p *regexParser) class() error {
	if p.peek() == '^' {
		p.pos++
	}
	for first := true; p.pos < len(p.src); first = false {
		switch c := p.peek(); {
		case c == '\\':
			p.pos += 2
			continue
		case c == '[':
			return errors.New("RE2 has no sets within sets, such as [a[bc]]")
		case c == '&' && strings.HasPrefix(string(p.src[p.pos:]), "&&"):
			return errors.New("RE2 has no intersections, such as [a-z&&[^b]]")
		case c == ']' && !first:
			p.pos++
			return nil
		case c == ']':
			return errors.New("an empty set []")
		}
		p.pos++
	}
	return errors.New("a [ without ]")
}

func classOf(text string) (*expr, error) {
	re, err := regexp.Compile(`^` + text + `$`)
	if err != nil {
		return nil, fmt.Errorf("RE2 has no equal for %s: %w", text, err)
	}
	return &expr{kind: class, text: text, dot: re.MatchString(".")}, nil
}

func (p *regexParser) escape() (*expr, error) {
	if p.pos >= len(p.src) {
		return nil, errors.New(`a \ at its end`)
	}
	c := p.src[p.pos]
	p.pos++
	switch {
	case c == 'Q':
		return p.quoted(), nil
	case strings.ContainsRune("dDwWsS", c):
		return classOf(`\` + string(c))
	case strings.ContainsRune("bBA", c):
		return &expr{kind: anchor, text: `\` + string(c)}, nil
	case c == 'z' || c == 'Z': // the end, before a last line break too, which no name has
		return &expr{kind: anchor, text: `\z`}, nil
	case c == 't':
		return &expr{kind: character, text: `\t`, char: '\t'}, nil
	case unicode.IsLetter(c) || unicode.IsDigit(c):
		return nil, fmt.Errorf(`RE2 has no \%c, or means something else by it`, c)
	}
	return &expr{kind: character, text: regexp.QuoteMeta(string(c)), char: c}, nil
}

// quoted is what stands between \Q and \E.
func (p *regexParser) quoted() *expr {
	text, _, ended := strings.Cut(string(p.src[p.pos:]), `\E`)
	p.pos += len([]rune(text))
	if ended {
		p.pos += 2
	}
	seq := &expr{kind: sequence}
	for _, c := range text {
		seq.subs = append(seq.subs, &expr{kind: character, text: regexp.QuoteMeta(string(c)), char: c})
	}
	return seq
}
