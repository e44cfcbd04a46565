package config

import (
	"fmt"
	"strings"
)

// A ${ in a plain scalar within [ ] or { } would end that scalar, since { and }
// are YAML's own there. So the braces of references are hidden from the YAML
// parser behind two private-use runes, which keeps lines and columns as they
// are, and put back in every scalar.
const (
	hiddenOpen  = '\uE000'
	hiddenClose = '\uE001'
)

func hideReferences(s string) string {
	if !strings.Contains(s, "${") {
		return s
	}
	var b strings.Builder
	for {
		start := strings.Index(s, "${")
		if start < 0 {
			return b.String() + s
		}
		end := strings.IndexAny(s[start:], "}\n")
		if end < 0 || s[start+end] == '\n' {
			b.WriteString(s[:start+2])
			s = s[start+2:]
			continue
		}
		b.WriteString(s[:start])
		b.WriteByte('$')
		b.WriteRune(hiddenOpen)
		b.WriteString(s[start+2 : start+end])
		b.WriteRune(hiddenClose)
		s = s[start+end+1:]
	}
}

func showReferences(s string) string {
	if !strings.ContainsRune(s, hiddenOpen) {
		return s
	}
	return strings.NewReplacer(string(hiddenOpen), "{", string(hiddenClose), "}").Replace(s)
}

// expand replaces the references to the environment in s. shown is s with the
// defaults of its references taken out: what may be printed back. referred
// tells whether there was a reference at all.
func expand(s string, env func(string) (string, bool)) (value, shown string, referred bool, err error) {
	if !strings.Contains(s, "$") {
		return s, s, false, nil
	}
	var v, sh strings.Builder
	for {
		i := strings.IndexByte(s, '$')
		if i < 0 || i == len(s)-1 {
			v.WriteString(s)
			sh.WriteString(s)
			return v.String(), sh.String(), referred, nil
		}
		v.WriteString(s[:i])
		sh.WriteString(s[:i])
		switch s[i+1] {
		case '$':
			v.WriteByte('$')
			sh.WriteString("$$")
			s = s[i+2:]
		case '{':
			end := strings.IndexByte(s[i:], '}')
			if end < 0 {
				return "", "", true, fmt.Errorf("${ without }; write $$ for a dollar")
			}
			name, def, hasDefault := strings.Cut(s[i+2:i+end], ":-")
			if !isVariable(name) {
				return "", "", true, fmt.Errorf("want the name of a variable between ${ and }, as in ${PASSWORD} or ${PORT:-9092}; write $$ for a dollar")
			}
			got, ok := env(name)
			switch {
			case hasDefault && got == "":
				got = def
			case !ok:
				return "", "", true, fmt.Errorf("the environment has no %s; set it, or give a default as in ${%s:-default}", name, name)
			}
			v.WriteString(got)
			sh.WriteString("${" + name)
			if hasDefault {
				sh.WriteString(":-" + hidden)
			}
			sh.WriteByte('}')
			referred = true
			s = s[i+end+1:]
		default:
			v.WriteByte('$')
			sh.WriteByte('$')
			s = s[i+1:]
		}
	}
}

func isVariable(s string) bool {
	for i, r := range s {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}

// escapeDollars makes a value what has to stand in a file for it.
func escapeDollars(s string) string {
	return strings.NewReplacer("$$", "$$$$", "${", "$${").Replace(s)
}
