package config

import (
	"strings"
	"testing"
)

// rowValue is a text that tells null from nothing.
type rowValue struct {
	text string
	null bool
}

func (c *rowValue) UnmarshalText(b []byte) error { c.text = string(b); return nil }
func (c *rowValue) UnmarshalNull()               { c.null = true }

type rows struct {
	Rules []map[string]string `yaml:"rules" doc:"Rules."`
	Row   map[string]rowValue `yaml:"row" doc:"A row."`
}

// TestLocate finds the character X of each value in the file.
func TestLocate(t *testing.T) {
	t.Parallel()
	text := `rules:
  - plain: one two X
    double: "a\tb\x41 \u0041 'X'"
    single: 'it''s X'
    block: |
      first
        X second
    folded: >
      first
      X
    lines: one
      two X
    quoted: "one
      two X"
    flow: é → X
    dollar: a$$b X
    alias: &a X
    again: *a
    env: ${HERE} X
    last: X
row: {}
`
	var r rows
	f, err := Parse("f.yaml", []byte(text), &r, environment("HERE=somewhere"))
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range r.Rules[0] {
		path := "rules[0]." + key
		offset := len([]rune(value[:strings.Index(value, "X")]))
		line, column := f.Locate(path, offset)
		here := []rune(strings.Split(text, "\n")[line-1])
		switch key {
		case "alias", "again", "env":
			if start, _ := f.Locate(path, 0); line != start {
				t.Errorf("%s: line %d", key, line)
			}
		default:
			if column > len(here) || here[column-1] != 'X' {
				t.Errorf("%s: found %d:%d in %q", key, line, column, string(here))
			}
		}
	}
	if line, column := f.Locate("rules[0].none", 7); line != 2 || column != 5 {
		t.Errorf("a key that is not there: %d:%d", line, column)
	}
}

func TestNullIsNotNothing(t *testing.T) {
	t.Parallel()
	var r rows
	if _, err := Parse("f.yaml", []byte("row: {a: null, b: 12.50, c: \"x\", d: ~, e: true}\n"), &r); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]rowValue{"a": {null: true}, "b": {text: "12.50"}, "c": {text: "x"}, "d": {null: true}, "e": {text: "true"}} {
		if r.Row[key] != want {
			t.Errorf("%s: got %+v, want %+v", key, r.Row[key], want)
		}
	}
}
