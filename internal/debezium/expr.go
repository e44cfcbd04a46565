package debezium

import (
	"slices"
	"strings"
)

// expr is a node of a Java regular expression; its text is the source.
type expr struct {
	kind kind
	text string  // a character's, class's or anchor's source
	char rune    // of a character
	dot  bool    // a class can be a dot
	subs []*expr // of a sequence, of alternatives, or the one of a group or repetition
	open string  // how a group begins
	many string  // the quantifier of a repetition
}

type kind uint8

const (
	character kind = iota
	anything       // an unescaped dot
	class
	anchor
	sequence
	alternatives
	group
	repetition
)

// withoutEnds leaves out anchors at both ends, which say nothing where the whole
// name is compared.
func (e *expr) withoutEnds() *expr {
	switch e.kind {
	case alternatives:
		for i := range e.subs {
			e.subs[i] = e.subs[i].withoutEnds()
		}
	case sequence:
		for len(e.subs) > 0 && e.subs[0].kind == anchor && (e.subs[0].text == `^` || e.subs[0].text == `\A`) {
			e.subs = e.subs[1:]
		}
		for n := len(e.subs); n > 0 && e.subs[n-1].kind == anchor && (e.subs[n-1].text == `$` || e.subs[n-1].text == `\z`); n-- {
			e.subs = e.subs[:n-1]
		}
	}
	return e
}

// anchored tells whether an anchor is left; cut in two, it would stand at an end
// where it had not stood.
func (e *expr) anchored() bool {
	return e.kind == anchor || slices.ContainsFunc(e.subs, (*expr).anchored)
}

// String is the expression for RE2.
func (e *expr) String() string {
	var b strings.Builder
	e.write(&b)
	return b.String()
}

func (e *expr) write(b *strings.Builder) {
	switch e.kind {
	case sequence:
		for _, s := range e.subs {
			if s.kind == alternatives {
				s = &expr{kind: group, open: "(?:", subs: []*expr{s}}
			}
			s.write(b)
		}
	case alternatives:
		for i, s := range e.subs {
			if i > 0 {
				b.WriteByte('|')
			}
			s.write(b)
		}
	case group:
		b.WriteString(e.open)
		e.subs[0].write(b)
		b.WriteByte(')')
	case repetition:
		inner := e.subs[0]
		if inner.kind == sequence && len(inner.subs) != 1 {
			inner = &expr{kind: group, open: "(?:", subs: []*expr{inner}}
		}
		inner.write(b)
		b.WriteString(e.many)
	default:
		b.WriteString(e.text)
	}
}
