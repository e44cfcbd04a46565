package main

import "testing"

func TestPatterns(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"public.t", "public.t", true},
		{"public.t", "public_t", false},
		{"public.*", "public.t", true},
		{"public.*", "publicxt", false},
		{"*", "", true},
		{"a*b*c", "a.b\nc", true},
		{"a*b*c", "abcd", false},
		{"/public.t/", "public_t", true}, // the dot is any character there
		{`/public\.t/`, "public_t", false},
		{"/a|b/", "b", true},
		{"/a|b/", "bc", false}, // the whole of it has to match
		{"/(?i)A/", "a", true},
		{"/", "/", true}, // no expression: a name
	} {
		p, err := newPattern(c.pattern)
		if err != nil {
			t.Fatalf("%s: %v", c.pattern, err)
		}
		if got := p.fits(c.name); got != c.want {
			t.Errorf("%s fits %q: %v", c.pattern, c.name, got)
		}
	}
	for _, bad := range []string{"/(/", "/a)(?:b/", `/\/`} {
		if _, err := newPattern(bad); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}
