package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// contentType is what Confluent's registry answers with.
const contentType = "application/vnd.schemaregistry.v1+json"

// maxBody bounds a request's body.
const maxBody = 16 << 20

// apiError is a refusal with Confluent's code, whose first three digits are the
// HTTP status.
type apiError struct {
	Code    int    `json:"error_code"`
	Message string `json:"message"`
}

// Error is the message.
func (e *apiError) Error() string { return e.Message }

func (e *apiError) status() int {
	if e.Code >= 1000 {
		return e.Code / 100
	}
	return e.Code
}

func failure(code int, format string, args ...any) *apiError {
	return &apiError{Code: code, Message: fmt.Sprintf(format, args...)}
}

// schemaRequest is the body of a registration, a lookup and a check.
type schemaRequest struct {
	Schema     string            `json:"schema"`
	SchemaType string            `json:"schemaType"`
	References []json.RawMessage `json:"references"`
	Metadata   json.RawMessage   `json:"metadata"`
	RuleSet    json.RawMessage   `json:"ruleSet"`
	ID         int               `json:"id"`
}

// check is the schema's text without needless spaces, or why it is refused.
func (q schemaRequest) check() (string, error) {
	switch {
	case q.SchemaType != "" && q.SchemaType != "AVRO":
		return "", failure(42201, "Invalid schema type %s: this registry holds AVRO only", q.SchemaType)
	case len(q.References) > 0:
		return "", failure(42201, "Invalid schema: this registry has no schema references; put the referenced types into the schema")
	case present(q.Metadata):
		return "", failure(42201, "Invalid schema: this registry has no schema metadata")
	case present(q.RuleSet):
		return "", failure(42201, "Invalid schema: this registry has no rule sets")
	case strings.TrimSpace(q.Schema) == "":
		return "", failure(42201, "Invalid schema: empty")
	}
	return compact(q.Schema), nil
}

func present(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }

// versionReply is what is known of one version. Confluent leaves out schemaType
// for AVRO.
type versionReply struct {
	Subject string `json:"subject"`
	Version int    `json:"version"`
	ID      int    `json:"id"`
	Schema  string `json:"schema"`
}

// call handles one request: a reply to be written as JSON, or an error.
type call func(q *http.Request) (any, error)

// raw is a reply that is JSON already.
type raw string

func (c call) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	q.Body = http.MaxBytesReader(w, q.Body, maxBody)
	v, err := c(q)
	if err != nil {
		refuse(w, err)
		return
	}
	w.Header().Set("Content-Type", contentType)
	if text, ok := v.(raw); ok {
		_, _ = io.WriteString(w, string(text))
		return
	}
	writeJSON(w, v)
}

func refuse(w http.ResponseWriter, err error) {
	var f *apiError
	if !errors.As(err, &f) {
		f = failure(50001, "Error in the backend data store: %v", err)
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(f.status())
	writeJSON(w, f)
}

func writeJSON(w io.Writer, v any) {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // a client that has gone
}

// body reads a request's JSON body.
func body[T any](q *http.Request) (T, error) {
	var v T
	if err := json.NewDecoder(q.Body).Decode(&v); err != nil {
		return v, failure(400, "Malformed request body: %v", err)
	}
	return v, nil
}

// flag is a query parameter that is true or not.
func flag(q *http.Request, name string) bool {
	return strings.EqualFold(q.URL.Query().Get(name), "true")
}
