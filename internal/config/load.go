package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxFileBytes bounds what is read; a configuration of this size is a mistake.
const maxFileBytes = 4 << 20

// File is what is known of a configuration beyond its values: where its keys
// stand, and which values came from the environment. Safe for concurrent
// reading.
type File struct {
	at    map[string]place
	shown map[string]string // path -> the text that stands for an expanded value
	lines []string          // of the file
}

// Option changes how a file is read.
type Option func(*reader)

// WithEnvironment reads ${VAR} by lookup instead of os.LookupEnv.
func WithEnvironment(lookup func(string) (string, bool)) Option {
	return func(r *reader) { r.env = lookup }
}

// Validator is implemented by a configuration struct, at any depth, that has
// rules beyond its tags. Validate reports each broken one; path is relative to
// the struct ("slot.name", "brokers[0]"; "" is the struct itself), and its line
// and column are looked up. It also runs when other keys are wrong, which then
// have their defaults; a path that has a problem already gets no second one.
type Validator interface {
	Validate(report Report)
}

// Report takes one problem.
type Report func(path, format string, args ...any)

// Settler is implemented by a whole configuration that has defaults which depend
// on other keys. Settle runs once the file is read, before Validate, and sets
// what given denies: given tells whether the file has a key, by its path, with a
// value.
type Settler interface {
	Settle(given func(path string) bool)
}

// Load reads the file at path into the struct that into points to. What is
// wrong with its content is a [Problems].
func Load(path string, into any, options ...Option) (*File, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read configuration: no file %s; name one with -c FILE", path)
	}
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	if info.Size() > maxFileBytes {
		return nil, fmt.Errorf("read configuration: %s has %d bytes; at most %s are read", path, info.Size(), Size(maxFileBytes))
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return Parse(filepath.Clean(path), data, into, options...)
}

// Parse reads data into the struct that into points to; name stands for the file
// in messages.
func Parse(name string, data []byte, into any, options ...Option) (*File, error) {
	root := reflect.ValueOf(into)
	if root.Kind() != reflect.Pointer || root.Elem().Kind() != reflect.Struct {
		panic(fmt.Sprintf("config: Parse into %T, want a pointer to a struct", into))
	}
	r := &reader{
		file:    name,
		env:     os.LookupEnv,
		at:      map[string]place{"": {1, 1}},
		empty:   map[string]bool{},
		shown:   map[string]string{},
		anchors: map[string]ast.Node{},
		root:    root.Elem(),
	}
	for _, o := range options {
		o(r)
	}
	setDefaults(r.root)
	if body, ok := r.syntax(data); ok {
		r.structure(body, r.root, "")
		derive(r.root, r.root)
		if s, ok := into.(Settler); ok {
			s.Settle(r.given)
		}
		r.validate(r.root, "")
	}
	if len(r.problems) > 0 {
		return nil, r.problems.sorted()
	}
	return &File{at: r.at, shown: r.shown, lines: strings.Split(strings.TrimPrefix(string(data), "\uFEFF"), "\n")}, nil
}

// syntax parses the bytes. ok is false when there is nothing to go on with; an
// empty file is an empty mapping.
func (r *reader) syntax(data []byte) (body ast.Node, ok bool) {
	text := strings.TrimPrefix(string(data), "\uFEFF")
	// The parser is not ours and meets whatever users write: a panic of its own is
	// a file that cannot be read.
	defer func() {
		if p := recover(); p != nil {
			r.problem("", place{1, 1}, "is not valid YAML: %v", p)
			body, ok = nil, false
		}
	}()
	file, err := parser.ParseBytes([]byte(hideReferences(text)), 0, parser.AllowDuplicateMapKey())
	if err != nil {
		r.syntaxError(err)
		return nil, false
	}
	var docs []ast.Node
	for _, d := range file.Docs {
		if d.Body != nil {
			docs = append(docs, d.Body)
		}
	}
	switch len(docs) {
	case 0:
		return nil, true
	case 1:
		return docs[0], true
	}
	r.problem("", placeOf(docs[1]), "a second YAML document; one file holds one configuration, so take out the ---")
	return docs[0], true
}

func (r *reader) syntaxError(err error) {
	var y yaml.Error
	if !errors.As(err, &y) || y.GetToken() == nil {
		r.problem("", place{1, 1}, "is not valid YAML: %v", err)
		return
	}
	pos := y.GetToken().Position
	r.problem("", place{max(pos.Line, 1), max(pos.Column, 1)}, "is not valid YAML: %s", y.GetMessage())
}
