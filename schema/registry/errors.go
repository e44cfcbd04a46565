package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
)

// The answers that callers branch on, for errors.Is.
var (
	// ErrNotFound: there is no such subject, version or id (404).
	ErrNotFound = errors.New("not found in the registry")
	// ErrAuth: the registry wants other credentials, or refuses these (401, 403).
	ErrAuth = errors.New("refused by the registry")
	// ErrInvalid: the registry cannot read the schema (422).
	ErrInvalid = errors.New("not a schema to the registry")
)

// Error is an answer of the registry that another try would get again.
type Error struct {
	Operation string // register, lookup, schema, compatible, level, latest, versions, version, ping
	Subject   string // or "id 7"
	URL       string // without password
	Status    int    // of HTTP
	Code      int    // the registry's own error_code; 0 if the body had none
	Message   string
}

// Error names the operation, the answer and, where there is one, the next step.
func (e *Error) Error() string {
	s := fmt.Sprintf("registry %s: %s %s: answered %d", e.URL, e.Operation, e.Subject, e.Status)
	if e.Code != 0 && e.Code != e.Status {
		s += fmt.Sprintf(" (%d)", e.Code)
	}
	if e.Message != "" {
		s += ": " + e.Message
	}
	if e.Is(ErrAuth) {
		s += "; set registry.username and registry.password_file to a user that may do this"
	}
	return s
}

// Is matches the sentinels by the HTTP status.
func (e *Error) Is(target error) bool {
	switch target {
	case ErrNotFound:
		return e.Status == http.StatusNotFound
	case ErrAuth:
		return e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden
	case ErrInvalid:
		return e.Status == http.StatusUnprocessableEntity
	}
	return false
}

// IncompatibleError says that the subject's compatibility level refuses a
// schema (409).
type IncompatibleError struct {
	Subject  string
	Messages []string // the registry's, at least one
}

// Error is the registry's reasons and what can be done.
func (e *IncompatibleError) Error() string {
	return fmt.Sprintf("subject %q: the registry refuses the schema as incompatible: %s; change the table so that old and new readers both fit, or the subject's compatibility level, then try again",
		e.Subject, strings.Join(e.Messages, "; "))
}

// Reasons are the registry's own words.
func (e *IncompatibleError) Reasons() []string { return e.Messages }

// UnregisteredError says that a subject does not have a schema, for callers that
// register nothing. It is an ErrNotFound.
type UnregisteredError struct {
	Subject string
	Err     error // the registry's answer
}

// Error names the subject and what can be done.
func (e *UnregisteredError) Error() string {
	return fmt.Sprintf("subject %q does not have this schema; register it (relay schema show prints it), or set registry.auto_register: true", e.Subject)
}

// Unwrap is the registry's answer.
func (e *UnregisteredError) Unwrap() error { return e.Err }

// UnreachableError says that no URL gave an answer that settles the matter, at
// the end of all tries. Waiting may help.
type UnreachableError struct {
	URLs  []string // without passwords
	Tries int
	Err   error // of the last try
}

// Error names all URLs and the last try's error.
func (e *UnreachableError) Error() string {
	return fmt.Sprintf("registry %s: no answer in %d tries: %v; check registry.url and that the registry runs", strings.Join(e.URLs, ", "), e.Tries, e.Err)
}

// Unwrap is the error of the last try.
func (e *UnreachableError) Unwrap() error { return e.Err }

// Transient tells whether err may go away by waiting: the registry did not
// answer, or answered that it cannot at the moment.
func Transient(err error) bool {
	var u *UnreachableError
	return errors.As(err, &u)
}

// answerError makes an error of an answer that is not 2xx.
func answerError(operation, subject string, t *trip) error {
	var body struct {
		Code    int    `json:"error_code"`
		Message string `json:"message"`
	}
	if json.Unmarshal(t.body, &body) != nil {
		body.Message = shorten(string(t.body))
	}
	if t.status == http.StatusConflict {
		return &IncompatibleError{Subject: subject, Messages: reasons(body.Message)}
	}
	return &Error{Operation: operation, Subject: subject, URL: t.url, Status: t.status, Code: body.Code, Message: body.Message}
}

var (
	description = regexp.MustCompile(`description: ?'((?:[^'\\]|\\.|'[^,}])*)'(?:, ?additionalInfo: ?'((?:[^'\\]|\\.|'[^,}])*)')?`)
	diffTypes   = regexp.MustCompile(`list of diff types: \[(.+)\]`)
)

// reasons takes what counts out of a registry's message: the descriptions of
// Confluent's, which goes on with the whole text of both schemas, and the list of
// Apicurio's, which begins with a Java class.
func reasons(message string) []string {
	var list []string
	for _, m := range description.FindAllStringSubmatch(message, -1) {
		if m[2] != "" && !strings.Contains(m[1], m[2]) {
			m[1] += " (" + m[2] + ")"
		}
		list = append(list, m[1])
	}
	if m := diffTypes.FindStringSubmatch(message); list == nil && m != nil {
		list = []string{shorten(m[1])}
	}
	if list == nil {
		list = []string{shorten(message)}
	}
	return list
}

func shorten(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if s == "" {
		return "no reason given"
	}
	if r := []rune(s); len(r) > 500 {
		return string(r[:500]) + "…"
	}
	return s
}
