package main

import (
	"fmt"
	"regexp"
	"strings"
)

// pattern is a name, a name with * for any text, or /…/: a regular expression
// that the whole of what is compared has to match. Safe for concurrent use.
type pattern struct {
	text  string
	exact bool
	re    *regexp.Regexp // nil when exact
}

// newPattern tells what is wrong with a regular expression.
func newPattern(text string) (pattern, error) {
	p := pattern{text: text}
	expression, ok := regularExpression(text)
	switch {
	case ok:
		if _, err := regexp.Compile(expression); err != nil {
			return p, fmt.Errorf("want a regular expression (RE2) between the slashes: %w", err)
		}
	case strings.Contains(text, "*"):
		parts := strings.Split(text, "*")
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		expression = "(?s)" + strings.Join(parts, ".*")
	default:
		p.exact = true
		return p, nil
	}
	var err error
	p.re, err = regexp.Compile(`\A(?:` + expression + `)\z`)
	return p, err
}

// regularExpression is what stands between slashes.
func regularExpression(text string) (string, bool) {
	if len(text) < 2 || text[0] != '/' || text[len(text)-1] != '/' {
		return "", false
	}
	return text[1 : len(text)-1], true
}

func (p pattern) fits(name string) bool {
	if p.exact {
		return p.text == name
	}
	return p.re.MatchString(name)
}

type patterns []pattern

// newPatterns reports what is wrong with each.
func newPatterns(texts []string, wrong func(i int, err error)) patterns {
	list := make(patterns, 0, len(texts))
	for i, text := range texts {
		p, err := newPattern(text)
		if err != nil {
			wrong(i, err)
			continue
		}
		list = append(list, p)
	}
	return list
}

func (list patterns) fit(name string) bool {
	for _, p := range list {
		if p.fits(name) {
			return true
		}
	}
	return false
}
