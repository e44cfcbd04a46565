package postgres

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// CheckPattern tells what is wrong with a pattern of table names: schema.table
// with * for any characters, or /…/ with a regular expression (RE2) that has to
// match the whole of schema.table.
func CheckPattern(pattern string) error {
	_, err := newMatcher(pattern)
	return err
}

// matcher tells whether a name fits a pattern.
type matcher func(name string) bool

func newMatcher(pattern string) (matcher, error) {
	if len(pattern) >= 2 && strings.HasPrefix(pattern, "/") && strings.HasSuffix(pattern, "/") {
		expression := pattern[1 : len(pattern)-1]
		if _, err := regexp.Compile(expression); err != nil { // by itself: parentheses must not pair with ours
			return nil, fmt.Errorf("table pattern %q: want a regular expression (RE2) between the slashes: %w", pattern, err)
		}
		re, err := regexp.Compile(`\A(?:` + expression + `)\z`)
		if err != nil {
			return nil, fmt.Errorf("table pattern %q: %w", pattern, err)
		}
		return re.MatchString, nil
	}
	if !strings.Contains(pattern, ".") {
		return nil, fmt.Errorf("table pattern %q: want schema.table, as in public.* or *.orders, or a regular expression, as in /public\\.t[0-9]+/", pattern)
	}
	return func(name string) bool { return glob(pattern, name) }, nil
}

// selection is the patterns of a configuration.
type selection struct{ include, exclude []matcher }

func newSelection(include, exclude []string) (s selection, err error) {
	if len(include) == 0 {
		include = []string{"*.*"}
	}
	for _, p := range include {
		m, err := newMatcher(p)
		if err != nil {
			return s, err
		}
		s.include = append(s.include, m)
	}
	for _, p := range exclude {
		m, err := newMatcher(p)
		if err != nil {
			return s, err
		}
		s.exclude = append(s.exclude, m)
	}
	return s, nil
}

// selects tells whether one of the names, all of one table, is included and none
// is excluded.
func (s selection) selects(names []string) bool {
	fits := func(patterns []matcher) bool {
		return slices.ContainsFunc(patterns, func(m matcher) bool { return slices.ContainsFunc(names, m) })
	}
	return fits(s.include) && !fits(s.exclude)
}

// glob tells whether s is pattern with any characters for each star.
func glob(pattern, s string) bool {
	head, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == s
	}
	s, ok := strings.CutPrefix(s, head)
	if !ok {
		return false
	}
	for {
		var part string
		part, rest, star = strings.Cut(rest, "*")
		if !star {
			return strings.HasSuffix(s, part)
		}
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s = s[i+len(part):]
	}
}
