package registry

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strings"
)

// state is what the registry knows: the fold of its records, in order. It is not
// safe for concurrent use.
type state struct {
	subjects map[string][]version // ascending; deleted ones included
	schemas  map[int]text         // by id; only those that a version refers to
	ids      map[string]int       // by canonical text
	lastID   int                  // ids are never given twice
	levels   map[string]string    // by subject; "" is the global one
	modes    map[string]string
}

type version struct {
	Version int
	ID      int
	Deleted bool
}

type text struct {
	text, canon string
	refs        int // versions with this id
}

// record is one change of the state, and one line of the journal.
type record struct {
	Kind    string `json:"kind"`
	Subject string `json:"subject,omitempty"` // "" is global
	Version int    `json:"version,omitempty"`
	ID      int    `json:"id,omitempty"`
	Schema  string `json:"schema,omitempty"`
	Deleted bool   `json:"deleted,omitempty"`
	Value   string `json:"value,omitempty"` // of a config or mode; "" removes it
}

const (
	kindSchema = "schema"
	kindGone   = "gone" // a permanent deletion
	kindConfig = "config"
	kindMode   = "mode"
)

const (
	defaultLevel = "BACKWARD"
	readWrite    = "READWRITE"
	readOnly     = "READONLY"
)

func newState() *state {
	return &state{
		subjects: map[string][]version{},
		schemas:  map[int]text{},
		ids:      map[string]int{},
		levels:   map[string]string{},
		modes:    map[string]string{},
	}
}

func (s *state) apply(r record) {
	switch r.Kind {
	case kindSchema:
		s.put(r)
	case kindGone:
		s.remove(r)
	case kindConfig:
		set(s.levels, r.Subject, r.Value)
	case kindMode:
		set(s.modes, r.Subject, r.Value)
	}
}

func set(m map[string]string, key, value string) {
	if value == "" {
		delete(m, key)
		return
	}
	m[key] = value
}

func (s *state) put(r record) {
	versions := s.subjects[r.Subject]
	if i := slices.IndexFunc(versions, func(v version) bool { return v.Version == r.Version }); i >= 0 {
		versions = slices.Clone(versions) // handed out without a copy
		versions[i].Deleted = r.Deleted
		s.subjects[r.Subject] = versions
		return
	}
	t, ok := s.schemas[r.ID]
	if !ok {
		canon, err := canonical(r.Schema)
		if err != nil {
			canon = r.Schema
		}
		t = text{text: r.Schema, canon: canon}
		s.ids[canon] = r.ID
	}
	t.refs++
	s.schemas[r.ID] = t
	s.lastID = max(s.lastID, r.ID)
	s.subjects[r.Subject] = append(slices.Clip(versions), version{Version: r.Version, ID: r.ID, Deleted: r.Deleted})
}

func (s *state) remove(r record) {
	versions := s.subjects[r.Subject]
	i := slices.IndexFunc(versions, func(v version) bool { return v.Version == r.Version })
	if i < 0 {
		return
	}
	id := versions[i].ID
	versions = slices.Delete(slices.Clone(versions), i, i+1)
	s.subjects[r.Subject] = versions
	if len(versions) == 0 {
		delete(s.subjects, r.Subject)
	}
	t := s.schemas[id]
	t.refs--
	s.schemas[id] = t
	if t.refs == 0 {
		delete(s.schemas, id)
		delete(s.ids, t.canon)
	}
}

// live are the versions that are not deleted.
func (s *state) live(subject string) []version {
	var live []version
	for _, v := range s.subjects[subject] {
		if !v.Deleted {
			live = append(live, v)
		}
	}
	return live
}

func (s *state) texts(versions []version) []string {
	texts := make([]string, 0, len(versions))
	for _, v := range versions {
		texts = append(texts, s.schemas[v.ID].text)
	}
	return texts
}

func (s *state) level(subject string) string { return inScope(s.levels, subject, defaultLevel) }
func (s *state) mode(subject string) string  { return inScope(s.modes, subject, readWrite) }

func inScope(m map[string]string, subject, otherwise string) string {
	if v, ok := m[subject]; ok {
		return v
	}
	if v, ok := m[""]; ok {
		return v
	}
	return otherwise
}

// canonical is the text by which schemas are equal: JSON with sorted properties
// and no spaces, numbers as written, {"type": T} as T.
func canonical(text string) (string, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var tree any
	if err := d.Decode(&tree); err != nil {
		return "", failure(42201, "Invalid schema: not JSON: %v", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return "", failure(42201, "Invalid schema: not JSON: text after the schema")
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(simple(tree)); err != nil {
		return "", failure(42201, "Invalid schema: %v", err)
	}
	return strings.TrimSpace(b.String()), nil
}

// simple replaces {"type": T} by T where a type stands.
func simple(node any) any {
	switch n := node.(type) {
	case []any:
		for i := range n {
			n[i] = simple(n[i])
		}
	case map[string]any:
		for _, k := range []string{"type", "items", "values", "fields"} {
			if v, ok := n[k]; ok {
				n[k] = simple(v)
			}
		}
		if t, ok := n["type"]; ok && len(n) == 1 {
			return t
		}
	}
	return node
}
