package config

import (
	"regexp"
	"strings"
)

// hidden stands for a secret wherever one is left out.
const hidden = "xxxxx"

var keywordPassword = regexp.MustCompile(`(?i)\b((?:ssl)?password|passwd|secret|token)(\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s&]+)`)

// Redact hides the passwords in s that stand in URLs (postgres://user:xxxxx@…,
// ?password=xxxxx) and in libpq keywords (password=xxxxx). Whatever may hold a
// connection string goes through it before it is printed or logged.
func Redact(s string) string {
	parts := strings.Split(s, "://")
	for i := 1; i < len(parts); i++ {
		parts[i] = redactUserinfo(parts[i])
	}
	return keywordPassword.ReplaceAllString(strings.Join(parts, "://"), "${1}${2}"+hidden)
}

// redactUserinfo hides the password of what follows "://". A password that was
// not escaped as it should be, with / or @ in it, is hidden too.
func redactUserinfo(s string) string {
	run := s
	if i := strings.IndexAny(run, " \t\n\"'"); i >= 0 {
		run = run[:i]
	}
	colon := strings.IndexByte(run, ':')
	if colon < 0 {
		return s
	}
	authority := run
	if i := strings.IndexAny(run, "/?#"); i >= 0 {
		authority = run[:i]
	}
	at := strings.LastIndexByte(authority, '@')
	if at < 0 {
		if colon >= len(authority) {
			return s
		}
		at = strings.LastIndexByte(run, '@')
	}
	if at < colon {
		return s
	}
	return s[:colon+1] + hidden + s[at:]
}
