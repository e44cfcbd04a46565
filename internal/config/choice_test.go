package config

import (
	"strings"
	"testing"
)

// masks is a choice among a number, a text and a section, by column.
type masks struct {
	Compat  string            `yaml:"compat" default:"none" enum:"none|debezium"`
	Unknown string            `yaml:"unknown" default:"text" enum:"text|drop"`
	Mask    map[string]choice `yaml:"mask" key:"column" oneof:"true" doc:"How."`
}

type choice struct {
	Stars *int    `yaml:"stars" min:"0" max:"9" unit:"characters" doc:"Number of them."`
	Word  *string `yaml:"word" doc:"The text."`
	Hash  *struct {
		Salt string `yaml:"salt" required:"true" secret:"true"`
	} `yaml:"hash" doc:"A hash."`
}

// Settle follows Debezium where the file does not say otherwise.
func (m *masks) Settle(given func(string) bool) {
	if m.Compat == "debezium" && !given("unknown") {
		m.Unknown = "drop"
	}
}

func TestAChoiceAmongScalarsAndSections(t *testing.T) {
	t.Parallel()
	var m masks
	f, err := Parse("f.yaml", []byte("mask:\n  a: {stars: 0}\n  b: {word: x}\n  c: {hash: {salt: s}}\n"), &m)
	if err != nil {
		t.Fatal(err)
	}
	if a := m.Mask["a"]; a.Stars == nil || *a.Stars != 0 || a.Word != nil || a.Hash != nil {
		t.Errorf("a: %+v", a)
	}
	if b := m.Mask["b"]; b.Stars != nil || b.Word == nil || *b.Word != "x" {
		t.Errorf("b: %+v", b)
	}
	const want = "compat: none\nunknown: text\nmask:\n  a:\n    stars: 0\n  b:\n    word: x\n  c:\n    hash:\n      salt: xxxxx\n"
	if got := f.Show(&m); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := f.ShowJSON(&m); !strings.Contains(got, `"a":{"stars":0}`) {
		t.Error(got)
	}
	_, err = Parse("f.yaml", []byte("mask:\n  a: {stars: 10}\n  b: {}\n  c: {stars: 1, word: x}\n  d: {stars: many}\n  e: {stars: }\n"), &masks{})
	for _, want := range []string{
		`f.yaml:2:14: mask.a.stars: want a value from 0 to 9, found "10"`,
		"mask.b: want exactly one of stars, word, hash, found none",
		"mask.c: want exactly one of stars, word, hash, found stars and word",
		`mask.d.stars: want a whole number, found "many"`,
		"mask.e: want exactly one of stars, word, hash, found none",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in\n%v", want, err)
		}
	}
	for _, k := range Keys(&masks{}) {
		if k.Path == "mask.<column>.stars" && (k.Type != "integer" || k.Default != "" || k.Range != "0 to 9" || k.Unit != "characters") {
			t.Errorf("%+v", k)
		}
	}
}

func TestDefaultsThatDependOnOtherKeys(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                   "text",
		"compat: debezium":                   "drop",
		"compat: debezium\nunknown: text":    "text",
		"compat: debezium\nunknown:":         "drop", // a key without a value keeps its default
		"unknown: text\ncompat: ${C:-none}":  "text",
		"compat: ${C:-debezium}\nunknown: ~": "drop",
	} {
		var m masks
		f, err := Parse("f.yaml", []byte(text), &m, environment())
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if m.Unknown != want {
			t.Errorf("%q: unknown is %s, want %s", text, m.Unknown, want)
		}
		if !strings.Contains(f.Show(&m), "unknown: "+want) {
			t.Errorf("%q: shown\n%s", text, f.Show(&m))
		}
	}
}
