package config

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type testConfig struct {
	Name     string            `yaml:"name" required:"true" example:"shop" doc:"The name. More about it."`
	Postgres testPostgres      `yaml:"postgres" doc:"The database."`
	Brokers  []string          `yaml:"brokers" required:"true" doc:"The brokers."`
	Topics   map[string]string `yaml:"topics"`
	Tables   map[string]testT  `yaml:"tables" key:"table"`
	Sink     testSink          `yaml:"sink" oneof:"true" doc:"Where to."`
	Steps    []testStep        `yaml:"steps" oneof:"true"`
	Ratio    float64           `yaml:"ratio" default:"0.5" min:"0" max:"1"`
	Wait     time.Duration     `yaml:"wait" default:"1m30s" max:"1h" doc:"How long."`
	Max      Size              `yaml:"max" default:"8MiB" min:"1KiB"`
	Mode     string            `yaml:"mode" default:"wait" enum:"wait|exit"`
	Parts    int32             `yaml:"partitions" default:"6" min:"1"`
	Include  []string          `yaml:"include" default:"[\"*.*\"]"`
	Free     any               `yaml:"free"`
	Flag     bool              `yaml:"flag" default:"true"`
	Token    string            `yaml:"token" secret:"true"`
	Rows     uint16            `yaml:"rows"`
}

type testPostgres struct {
	URL  string `yaml:"url" required:"true" doc:"Where it is."`
	Slot struct {
		Name   string `yaml:"name" default:"tailrace_<name>" derive:"identifier"`
		Create bool   `yaml:"create" default:"true"`
	} `yaml:"slot"`
}

func (p *testPostgres) Validate(report Report) {
	if strings.Contains(p.Slot.Name, "!") {
		report("slot.name", "a slot cannot be called %q", p.Slot.Name)
	}
	if p.URL == "" {
		report("url", "is empty")
	}
}

type testT struct {
	Key  []string `yaml:"key"`
	Kind string   `yaml:"kind" default:"plain" enum:"plain|odd"`
}

type testSink struct {
	Postgres *testSinkPG `yaml:"postgres"`
	Kafka    *struct{}   `yaml:"kafka"`
}

type testSinkPG struct {
	Table string `yaml:"table" default:"{schema}.{table}"`
}

type testStep struct {
	Dedup  *struct{} `yaml:"dedup"`
	Filter *struct {
		Where string `yaml:"where" required:"true"`
	} `yaml:"filter"`
}

func environment(list ...string) Option {
	return WithEnvironment(func(name string) (string, bool) {
		for _, e := range list {
			if v, ok := strings.CutPrefix(e, name+"="); ok {
				return v, true
			}
		}
		return "", false
	})
}

const minimal = "name: shop\npostgres: {url: x}\nbrokers: [a]\nsink: {kafka: {}}\n"

func parseOK(t *testing.T, text string, options ...Option) (*File, *testConfig) {
	t.Helper()
	var c testConfig
	f, err := Parse("f.yaml", []byte(text), &c, options...)
	if err != nil {
		t.Fatalf("parse:\n%v", err)
	}
	return f, &c
}

func TestDefaultsAreFilledIn(t *testing.T) {
	t.Parallel()
	_, c := parseOK(t, strings.Replace(minimal, "shop", "My-Shop", 1))
	want := &testConfig{
		Name: "My-Shop", Brokers: []string{"a"}, Ratio: 0.5, Wait: 90 * time.Second, Max: 8 * MiB, Mode: "wait", Parts: 6,
		Include: []string{"*.*"}, Flag: true, Sink: testSink{Kafka: &struct{}{}},
	}
	want.Postgres.URL = "x"
	want.Postgres.Slot.Name = "tailrace_my_shop"
	want.Postgres.Slot.Create = true
	if d := cmp.Diff(want, c); d != "" {
		t.Error(d)
	}
}

func TestEveryProblemIsReportedAtOnceWithItsPlace(t *testing.T) {
	t.Parallel()
	const text = `nam: shop
postgres:
  slot: {nane: a, create: yes}
brokers: 9092
wait: 3 hours
max: 5MB
mode: exi
partitions: 0
ratio: 2
flag: "true"
slot: {}
token: [1]
name: 7
tables:
  public.a: {kye: [id], kind: even}
steps:
  - filter: {}
  - {dedup: , filter: {where: x}}
  - nothing
rows: 70000
mode: wait
sink: {kafka: {}, postgres: {}}
`
	_, err := Parse("relay.yaml", []byte(text), &testConfig{}, environment())
	want := `relay.yaml:1:1: nam: unknown key; did you mean "name"?
relay.yaml:2:1: postgres.url: is required: Where it is
relay.yaml:3:10: postgres.slot.nane: unknown key; did you mean "name"?
relay.yaml:3:27: postgres.slot.create: want true or false, found "yes"
relay.yaml:4:10: brokers: want a list, such as [a, b], found the number 9092
relay.yaml:5:7: wait: want a duration, such as 500ms, 30s or 2h, found "3 hours"
relay.yaml:6:6: max: want a size in B, KiB, MiB, GiB or TiB, such as 512KiB or 8MiB, found "5MB"
relay.yaml:7:7: mode: want wait or exit, found "exi"; did you mean "exit"?
relay.yaml:8:13: partitions: want 1 or more, found "0"
relay.yaml:9:8: ratio: want a value from 0 to 1, found "2"
relay.yaml:10:7: flag: want true or false, found the text "true"; take the quotes off
relay.yaml:11:1: slot: unknown key; did you mean "postgres.slot"?
relay.yaml:12:8: token: want text, found a list
relay.yaml:13:7: name: want text, found the number 7; write it in quotes
relay.yaml:15:14: tables.public.a.kye: unknown key; did you mean "key"?
relay.yaml:15:31: tables.public.a.kind: want plain or odd, found "even"
relay.yaml:17:5: steps[0].filter.where: is required
relay.yaml:18:5: steps[1]: want exactly one of dedup, filter, found dedup and filter
relay.yaml:19:5: steps[2]: want keys and values, found the text "nothing"
relay.yaml:20:7: rows: want a whole number, 0 or above that is less far from 0, found "70000"
relay.yaml:21:1: mode: is given twice; the first time in line 7
relay.yaml:22:1: sink: want exactly one of postgres, kafka, found postgres and kafka`
	if d := cmp.Diff(strings.Split(want, "\n"), strings.Split(fmt.Sprint(err), "\n")); d != "" {
		t.Error(d)
	}
	var problems Problems
	if !errors.As(err, &problems) {
		t.Errorf("got a %T", err)
	}
}

func TestRequiredKeysOfAnEmptyFile(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "# nothing\n", "---\n", "postgres:\n"} {
		_, err := Parse("f.yaml", []byte(text), &testConfig{})
		for _, want := range []string{"name: is required: The name; for example shop", "postgres.url: is required", "brokers: is required"} {
			if !strings.Contains(fmt.Sprint(err), want) {
				t.Errorf("%q: got %v, want %q in it", text, err, want)
			}
		}
	}
}

func TestValidatorsAreToldTheLineOfAPath(t *testing.T) {
	t.Parallel()
	_, err := Parse("f.yaml", []byte("name: shop\nbrokers: [a]\nsink: {kafka: {}}\npostgres:\n  slot:\n    name: \"a!\"\n"), &testConfig{})
	want := "f.yaml:4:1: postgres.url: is required: Where it is\nf.yaml:6:11: postgres.slot.name: a slot cannot be called \"a!\""
	if fmt.Sprint(err) != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
}

func TestFilesThatAreNoConfiguration(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a: [1\nb: 2\n":                "f.yaml:2:1: is not valid YAML: ',' or ']' must be specified",
		"a:\n\tb: 1\n":                 "f.yaml:2:1: is not valid YAML",
		"- a\n":                        "f.yaml:1:1: want keys and values, found a list",
		"text":                         "f.yaml:1:1: want keys and values, found the text \"text\"",
		minimal + "---\nname: other\n": "f.yaml:6:1: a second YAML document",
		minimal + "<<: {flag: true}\n": "f.yaml:5:1: merge keys",
		minimal + "free: *x\n":         "f.yaml:5:7: free: no &x stands before this *x",
		minimal + "free: &x [*x]\n":    "nested too deeply",
		minimal + "free: &x {a: *x}\n": "nested too deeply",
		minimal + "? [a]\n: 1\n":       "is not valid YAML",
		minimal + "token: ${A\n":       "${ without }",
		minimal + "token: ${1A}\n":     "want the name of a variable",
		minimal + "token: ${A}\n":      "f.yaml:5:8: token: the environment has no A; set it, or give a default as in ${A:-default}",
	} {
		if _, err := Parse("f.yaml", []byte(text), &testConfig{}, environment()); !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%q:\ngot  %v\nwant %s", text, err, want)
		}
	}
}

func TestReferencesToTheEnvironment(t *testing.T) {
	t.Parallel()
	f, c := parseOK(t, `
name: ${NAME}
postgres: {url: "postgres://u:${PW}@h/${DB:-shop}?x=$$1&y=a$"}
brokers: ${BROKERS}
include: [${A}, b, ${UNSET:-c.*}]
partitions: "${N}"
wait: ${W:-2m}
flag: ${F:-false}
max: ${M}
free: {a: ${INJECT}}
topics: {retention.ms: ${RET:-1000}, cleanup.policy: delete}
sink: {kafka: }
`, environment("NAME=n1", "PW=hunter2", "DB=", "BROKERS=b1:9092, b2:9092", "A=a", "N=12", "M=1GiB", "INJECT=[x]\ntoken: y", "UNSET2="))
	got := []any{c.Name, c.Postgres.URL, c.Brokers, c.Include, c.Parts, c.Wait, c.Flag, c.Max, c.Free, c.Topics["retention.ms"], c.Token}
	want := []any{
		"n1", "postgres://u:hunter2@h/shop?x=$1&y=a$", []string{"b1:9092", "b2:9092"}, []string{"a", "b", "c.*"}, int32(12), 2 * time.Minute, false, GiB,
		map[string]any{"a": "[x]\ntoken: y"}, "1000", "",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	shown := f.Show(c)
	for _, secret := range []string{"hunter2", "b1:9092", "n1", "1GiB"} {
		if strings.Contains(shown, secret) {
			t.Errorf("show reveals %q:\n%s", secret, shown)
		}
	}
	for _, want := range []string{"name: ${NAME}\n", "postgres://u:xxxxx@h/${DB:-xxxxx}?x=$$1&y=a$", "brokers: ${BROKERS}\n", "wait: ${W:-xxxxx}"} {
		if !strings.Contains(shown, want) {
			t.Errorf("show lacks %q:\n%s", want, shown)
		}
	}
}

func TestWrongValuesOfTheEnvironmentAreNotPrinted(t *testing.T) {
	t.Parallel()
	_, err := Parse("f.yaml", []byte(minimal+"partitions: ${N}\nmode: ${M}\ninclude: ${I}\n"), &testConfig{}, environment("N=secret1", "M=secret2", "I=secret3"))
	if s := fmt.Sprint(err); strings.Contains(s, "secret") || !strings.Contains(s, "f.yaml:5:13: partitions: want a whole number, which is not what ${N} holds") {
		t.Error(s)
	}
}

func TestShowIsReadBackTheSame(t *testing.T) {
	t.Parallel()
	f, c := parseOK(t, minimal+`include: ["*.*", a-b, "1", "true", "x: y", "q", "", "a$$b", "$${x}", "0x1F", "1_0", "~", "- a", "a\nb", "é <&>", 10.0.0.1:9092]
topics: {a: 1, b: "x # y", "c d": e, "5": ""}
tables: {public.a: {key: [id, "2"]}}
steps: [{filter: {where: "a > 1"}}, {dedup: }]
free: {x: [1, 2.5, true, {y: z}, [a, [b]]], w: ~, e: {}, l: []}
max: 1025KiB
wait: 1ms
`)
	shown := f.Show(c)
	_, again := parseOK(t, shown)
	if d := cmp.Diff(c, again); d != "" {
		t.Errorf("%s\n%s", d, shown)
	}
	var fromJSON testConfig
	if _, err := Parse("f.json", []byte(f.ShowJSON(c)), &fromJSON); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(c, &fromJSON); d != "" {
		t.Errorf("%s\n%s", d, f.ShowJSON(c))
	}
}

func TestColonsInFlowCollections(t *testing.T) {
	t.Parallel()
	_, c := parseOK(t, `{name: shop, postgres: {url: postgres://u@h:5432/db}, sink: {kafka: {}},
  brokers: [127.0.0.1:9092, "b:1", ${H}:9093, http://c:1/x, a:b:c, 12:30],
  free: [x: y, {z: w}]}`, environment("H=h"))
	want := []string{"127.0.0.1:9092", "b:1", "h:9093", "http://c:1/x", "a:b:c", "12:30"}
	if d := cmp.Diff(want, c.Brokers); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]any{map[string]any{"x": "y"}, map[string]any{"z": "w"}}, c.Free); d != "" {
		t.Error(d)
	}
}

func TestEnvironmentDefaultsKeepTheirDollars(t *testing.T) {
	t.Parallel()
	_, c := parseOK(t, minimal+"token: \"$$${A:-b}$$\"\n", environment())
	if c.Token != "$b$" {
		t.Errorf("got %q", c.Token)
	}
}

func TestCarriageReturnsAndByteOrderMark(t *testing.T) {
	t.Parallel()
	_, c := parseOK(t, "\uFEFF"+strings.ReplaceAll(minimal, "\n", "\r\n"))
	if c.Name != "shop" {
		t.Errorf("got %q", c.Name)
	}
}

func TestReference(t *testing.T) {
	t.Parallel()
	byPath := map[string]Key{}
	for _, k := range Keys(&testConfig{}) {
		byPath[k.Path] = k
	}
	want := map[string]Key{
		"name":               {Path: "name", Type: "text", Meaning: "The name. More about it.", Required: true},
		"wait":               {Path: "wait", Type: "duration", Default: "1m30s", Unit: "ms, s, m, h", Range: "1h or less", Meaning: "How long."},
		"postgres.slot.name": {Path: "postgres.slot.name", Type: "text", Default: "tailrace_<name>"},
		"tables.<table>.key": {Path: "tables.<table>.key", Type: "list of text", Default: "[]"},
		"steps[].filter":     {Path: "steps[].filter", Type: "section"},
		"mode":               {Path: "mode", Type: "wait | exit", Default: "wait", Values: []string{"wait", "exit"}},
	}
	for path, w := range want {
		if d := cmp.Diff(w, byPath[path]); d != "" {
			t.Errorf("%s: %s", path, d)
		}
	}
	text := ReferenceText(&testConfig{})
	if !strings.Contains(text, "wait: 1m30s\n    duration; 1h or less; unit: ms, s, m, h\n    How long.\n") {
		t.Error(text)
	}
	if md := ReferenceMarkdown(&testConfig{}); !strings.Contains(md, "| `mode` | wait \\| exit | `wait` |  |  |\n") || !strings.Contains(md, "### postgres\n\nThe database.\n") {
		t.Error(md)
	}
}
