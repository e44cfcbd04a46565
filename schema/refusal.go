package schema

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/tailrace/tailrace/cdc"
)

// Refusal is the error of a Registrar that was told that a schema is not
// compatible.
type Refusal interface {
	error
	Reasons() []string // the registry's own words
}

// Historian is a Registrar that can tell what a subject holds: its compatibility
// level, and its schemas, oldest first, as far as that level concerns them.
type Historian interface {
	Versions(ctx context.Context, subject string) (level string, schemas []string, err error)
}

// refused makes a *cdc.RefusedError of a Refusal, with the column where that can
// be told. Other errors stay as they are.
func (e *Encoder) refused(ctx context.Context, subject, text string, err error) error {
	var r Refusal
	if !errors.As(err, &r) {
		return err
	}
	out := &cdc.RefusedError{Subject: subject, Err: ownWords{r}}
	level, old := "", []string(nil)
	if h, ok := e.registry.(Historian); ok {
		// Without an answer the registry's words have to do.
		if l, o, err := h.Versions(ctx, subject); err == nil {
			level, old = l, o
		}
	}
	out.Column = Blame(level, text, old, r.Reasons())
	return out
}

// ownWords is a refusal as nothing but the registry's reasons: cdc.RefusedError has
// the rest.
type ownWords struct{ Refusal }

func (w ownWords) Error() string { return strings.Join(w.Reasons(), "; ") }

func (w ownWords) Unwrap() error { return w.Refusal }

// pointer is a place in a schema, as Apache Avro's checker and those that follow
// it name it: /fields/1/type.
var pointer = regexp.MustCompile(`/fields/[0-9]+(?:/(?:fields|type|items|values|[0-9]+))*`)

// Blame names the column because of which a registry refuses newSchema as
// successor of oldSchemas (oldest first), "" where that cannot be told. It is safe
// for concurrent use.
//
// The registry's reasons are asked first. They name a column of a key, but hardly
// ever one of a row: Apache Avro's checker, which Confluent's and Apicurio's
// registries use, says of two rows that do not fit no more than that the union of
// before or after lacks the record. The offline comparison knows the column then.
func Blame(level, newSchema string, oldSchemas, reasons []string) string {
	is, err := parseTree(newSchema)
	if err != nil {
		return ""
	}
	var was *schemaTree
	if len(oldSchemas) > 0 {
		if was, err = parseTree(oldSchemas[len(oldSchemas)-1]); err != nil {
			was = nil
		}
	}
	for _, reason := range reasons {
		for _, at := range pointer.FindAllStringIndex(reason, -1) {
			if column := blamedBy(reason, reason[at[0]:at[1]], level, is, was); column != "" {
				return column
			}
		}
	}
	_, transitive := strings.CutSuffix(level, "_TRANSITIVE")
	for i, old := range slices.Backward(oldSchemas) {
		if i < len(oldSchemas)-1 && !transitive {
			break
		}
		list, err := Differences(old, newSchema)
		if err != nil {
			continue
		}
		for _, d := range list {
			if d.Column != "" && d.Breaks(level) {
				return d.Column
			}
		}
	}
	return ""
}

// blamedBy is the column at a place. It is a place in the reader's schema, which
// is the new or the old one: the names there agree, or the reason or the level
// tells which one is meant.
func blamedBy(reason, place, level string, is, was *schemaTree) string {
	now := is.columnAt(place)
	if was == nil {
		return now.column
	}
	before := was.columnAt(place)
	if now.name == before.name {
		return now.column
	}
	if named := mentions(reason, now.name); named != mentions(reason, before.name) {
		if named {
			return now.column
		}
		return before.column
	}
	_, after, _ := strings.Cut(reason, place)
	atNew, atOld := strings.Index(after, "new schema"), strings.Index(after, "old schema")
	switch level, _ = strings.CutSuffix(level, "_TRANSITIVE"); {
	case level == "BACKWARD", level == "FULL" && atNew >= 0 && (atOld < 0 || atNew < atOld):
		return now.column
	case level == "FORWARD", level == "FULL" && atOld >= 0:
		return before.column
	}
	return ""
}

// mentions tells whether a reason has a field's name as a word of its own.
func mentions(reason, name string) bool {
	if name == "" {
		return false
	}
	for word := range strings.FieldsFuncSeq(reason, func(r rune) bool { return strings.ContainsRune(" ',:[]{}()\"/", r) }) {
		if word == name {
			return true
		}
	}
	return false
}

// columnAt is the column that a place lies in; without name for a place outside
// the row.
func (t *schemaTree) columnAt(place string) treeField {
	steps := strings.Split(strings.TrimPrefix(place, "/"), "/")
	fields := t.fields
	if t.envelope {
		// Of the envelope's own fields only before and after lead into the row.
		list, _ := t.root["fields"].([]any)
		i := index(steps, len(list))
		if i < 0 {
			return treeField{}
		}
		f, _ := list[i].(map[string]any)
		if f["name"] != "before" && f["name"] != "after" {
			return treeField{}
		}
		next := slices.Index(steps[1:], "fields")
		if next < 0 {
			return treeField{}
		}
		steps = steps[next+1:]
	}
	if i := index(steps, len(fields)); i >= 0 {
		return fields[i]
	}
	return treeField{}
}

// index is the number after "fields", -1 where that is none below n.
func index(steps []string, n int) int {
	if len(steps) < 2 || steps[0] != "fields" {
		return -1
	}
	i, err := strconv.Atoi(steps[1])
	if err != nil || i >= n {
		return -1
	}
	return i
}
