package debezium

import (
	"maps"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]map[string]string{
		`{"name":"c","config":{"a":"b","n":5432,"t":true,"z":null,"e":""}}`:    {"a": "b", "n": "5432", "t": "true", "e": ""},
		"\uFEFF\n {\"a.b\": \"x\\u00e9\\n\", \"big\": 1e3}":                    {"a.b": "xé\n", "big": "1e3"},
		`{"name":"c","config":{"a":"b"},"tasks":[{"connector":"c","task":0}]}`: {"a": "b"},
		`{"config":"b"}`:                                            {"config": "b"},
		"# c\n! d\n\na=b\n c : d \ne f=g\nh":                        {"a": "b", "c": "d ", "e": "f=g", "h": ""},
		"a=b\\\n   c\\\n\td\ne=f\\\\\ng=h\\":                        {"a": "bcd", "e": `f\`, "g": "h"},
		"a\\=b\\:c\\ d=e\\tf\\u00e9\\n\\q":                          {"a=b:c d": "e\tfé\nq"},
		"a=\\ud83d\\ude00x\r\nb=c\rd=e":                             {"a": "😀x", "b": "c", "d": "e"},
		"table.include.list=public\\\\.t,\\\n  public\\\\.u":        {"table.include.list": `public\.t,public\.u`},
		"column.mask.hash.SHA-256.with.salt.a\\:b=public.t.c":       {"column.mask.hash.SHA-256.with.salt.a:b": "public.t.c"},
		"database.password=${file:/opt/s.properties:db.password}\n": {"database.password": "${file:/opt/s.properties:db.password}"},
		"a=1\na=2": {"a": "2"},
	} {
		got, err := Parse([]byte(text))
		if err != nil || !maps.Equal(got, want) {
			t.Errorf("%q: got %q, %v, want %q", text, got, err, want)
		}
	}
}

func TestParseSaysWhereAProblemIs(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                           "is empty",
		" \n\t":                      "is empty",
		`[{"name":"a"}]`:             "is a list",
		"{\"a\":\n  b}":              "2:3: is not valid JSON",
		`{"a":"b"} {"c":"d"}`:        "more text after the configuration",
		`{"config":{"a":{"b":"c"}}}`: "a: want a text, number or boolean",
		"a=b\n\nc=\\u12g4":           `3: c: want four hexadecimal digits after \u`,
		"a=\\u12":                    `1: a: want four`,
		`{"a":"b"`:                   "is not valid JSON",
	} {
		if got, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %q, %v, want %q", text, got, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"config":{"a":"b"}}`))
	f.Add([]byte("a=b\\\n c\\u00e9"))
	f.Fuzz(func(t *testing.T, data []byte) {
		config, err := Parse(data)
		if err != nil {
			return
		}
		for name, value := range minimal {
			config[name] = value
		}
		_, _ = Import(config) // no panic
	})
}
