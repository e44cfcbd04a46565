package registry

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// ServeHTTP implements the API.
func (r *Registry) ServeHTTP(w http.ResponseWriter, q *http.Request) { r.mux.ServeHTTP(w, q) }

func (r *Registry) routes() *http.ServeMux {
	m := http.NewServeMux()
	for pattern, c := range map[string]call{
		"GET /{$}":                                            func(*http.Request) (any, error) { return struct{}{}, nil },
		"GET /schemas/types":                                  func(*http.Request) (any, error) { return []string{"AVRO"}, nil },
		"GET /schemas/ids/{id}":                               r.getSchema,
		"GET /schemas/ids/{id}/schema":                        r.getSchemaText,
		"GET /schemas/ids/{id}/versions":                      r.getSchemaVersions,
		"GET /schemas/ids/{id}/subjects":                      r.getSchemaSubjects,
		"GET /subjects":                                       r.getSubjects,
		"POST /subjects/{subject}":                            r.postLookup,
		"DELETE /subjects/{subject}":                          r.deleteSubjectCall,
		"GET /subjects/{subject}/versions":                    r.getVersions,
		"POST /subjects/{subject}/versions":                   r.postRegister,
		"GET /subjects/{subject}/versions/{v}":                r.getVersion,
		"DELETE /subjects/{subject}/versions/{v}":             r.deleteVersionCall,
		"GET /subjects/{subject}/versions/{v}/schema":         r.getVersionText,
		"GET /subjects/{subject}/versions/{v}/referencedby":   r.getReferencedBy,
		"POST /compatibility/subjects/{subject}/versions/{v}": r.postCompatible,
		"POST /compatibility/subjects/{subject}/versions":     r.postCompatible,
	} {
		m.Handle(pattern, c)
	}
	r.settingRoutes(m)
	m.Handle("/", call(func(q *http.Request) (any, error) {
		return nil, failure(404, "HTTP 404 Not Found: %s %s", q.Method, q.URL.Path)
	}))
	return m
}

func (r *Registry) postRegister(q *http.Request) (any, error) {
	req, err := body[schemaRequest](q)
	if err != nil {
		return nil, err
	}
	id, err := r.register(q.PathValue("subject"), req)
	return map[string]int{"id": id}, err
}

func (r *Registry) postLookup(q *http.Request) (any, error) {
	req, err := body[schemaRequest](q)
	if err != nil {
		return nil, err
	}
	return r.lookup(q.PathValue("subject"), req, flag(q, "deleted"))
}

func (r *Registry) postCompatible(q *http.Request) (any, error) {
	req, err := body[schemaRequest](q)
	if err != nil {
		return nil, err
	}
	ok, messages, err := r.compatible(q.PathValue("subject"), q.PathValue("v"), req)
	reply := struct {
		Compatible bool     `json:"is_compatible"`
		Messages   []string `json:"messages,omitempty"`
	}{Compatible: ok}
	if flag(q, "verbose") {
		reply.Messages = messages
	}
	return reply, err
}

func (r *Registry) getSubjects(q *http.Request) (any, error) {
	prefix := q.URL.Query().Get("subjectPrefix")
	deleted, only := flag(q, "deleted"), flag(q, "deletedOnly")
	return r.subjects(func(name string, all, live []version) bool {
		if !strings.HasPrefix(name, prefix) {
			return false
		}
		if only {
			return len(live) < len(all)
		}
		return len(live) > 0 || deleted
	}), nil
}

func (r *Registry) getVersions(q *http.Request) (any, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	versions, err := r.versions(q.PathValue("subject"), flag(q, "deleted"))
	numbers := make([]int, 0, len(versions))
	for _, v := range versions {
		numbers = append(numbers, v.Version)
	}
	return numbers, err
}

func (r *Registry) getVersion(q *http.Request) (any, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v, err := r.version(q.PathValue("subject"), q.PathValue("v"), flag(q, "deleted"))
	return r.reply(q.PathValue("subject"), v), err
}

func (r *Registry) getVersionText(q *http.Request) (any, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v, err := r.version(q.PathValue("subject"), q.PathValue("v"), flag(q, "deleted"))
	return raw(r.st.schemas[v.ID].text), err
}

func (r *Registry) getReferencedBy(q *http.Request) (any, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, err := r.version(q.PathValue("subject"), q.PathValue("v"), false)
	return []int{}, err
}

func (r *Registry) deleteSubjectCall(q *http.Request) (any, error) {
	return r.deleteSubject(q.PathValue("subject"), flag(q, "permanent"))
}

func (r *Registry) deleteVersionCall(q *http.Request) (any, error) {
	return r.deleteVersion(q.PathValue("subject"), q.PathValue("v"), flag(q, "permanent"))
}

// byID is the schema that a request names. Call it with r.mu held.
func (r *Registry) byID(q *http.Request) (int, text, error) {
	id, err := strconv.Atoi(q.PathValue("id"))
	if err != nil {
		return 0, text{}, failure(404, "HTTP 404 Not Found: schema id %q is no number", q.PathValue("id"))
	}
	t, ok := r.st.schemas[id]
	if !ok {
		return 0, text{}, failure(40403, "Schema %d not found", id)
	}
	return id, t, nil
}

func (r *Registry) getSchema(q *http.Request) (any, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, t, err := r.byID(q)
	reply := map[string]any{"schema": t.text}
	if flag(q, "fetchMaxId") {
		reply["maxId"] = r.st.lastID
	}
	return reply, err
}

func (r *Registry) getSchemaText(q *http.Request) (any, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, t, err := r.byID(q)
	return raw(t.text), err
}

func (r *Registry) getSchemaVersions(q *http.Request) (any, error) {
	type use struct {
		Subject string `json:"subject"`
		Version int    `json:"version"`
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	uses := []use{}
	id, _, err := r.byID(q)
	for _, subject := range slices.Sorted(maps.Keys(r.st.subjects)) {
		for _, v := range r.st.subjects[subject] {
			if v.ID == id && (!v.Deleted || flag(q, "deleted")) {
				uses = append(uses, use{subject, v.Version})
			}
		}
	}
	return uses, err
}

func (r *Registry) getSchemaSubjects(q *http.Request) (any, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	names := []string{}
	id, _, err := r.byID(q)
	for _, subject := range slices.Sorted(maps.Keys(r.st.subjects)) {
		if slices.ContainsFunc(r.st.subjects[subject], func(v version) bool {
			return v.ID == id && (!v.Deleted || flag(q, "deleted"))
		}) {
			names = append(names, subject)
		}
	}
	return names, err
}

// compact takes the spaces out of a schema; what is not JSON stays as it is and
// is refused later.
func compact(text string) string {
	var b bytes.Buffer
	if json.Compact(&b, []byte(text)) != nil {
		return text
	}
	return b.String()
}
