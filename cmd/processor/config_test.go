package main

import (
	"strings"
	"testing"

	"github.com/tailrace/tailrace/internal/config"
)

const minimal = `name: warehouse
kafka: {brokers: [127.0.0.1:9092]}
registry: {url: http://127.0.0.1:8081}
source:
  topics: [shop.public.orders, shop.public.customers]
sink:
  postgres:
    url: postgres://loader@127.0.0.1:5432/warehouse
`

// documented is every optional key at its default, as the interface promises it.
const documented = `name: warehouse
kafka: {brokers: [127.0.0.1:9092]}
registry: {url: http://127.0.0.1:8081}
source: {topics: [shop.public.orders, shop.public.customers], start: earliest}
sink:
  postgres:
    url: postgres://loader@127.0.0.1:5432/warehouse
    table: "{schema}.{table}"
    schema: add
steps: []
state: {store: memory, dir: "", retention: 168h}
errors:
  on_poison: park_key
  retry: {initial: 200ms, max: 30s, give_up_after: 0s, jitter: full}
  circuit: {failures: 0.5, window: 30s, open: 10s}
  dead_letter: {topic: warehouse.dead_letter}
limits: {in_flight: 64MiB, rate: 0, parallel: 4}
group: {instance_id: "", session_timeout: 45s}
ops: {listen: 127.0.0.1:9465}
`

func TestDefaultsAreTheDocumentedOnes(t *testing.T) {
	t.Parallel()
	var short, long settings
	a, err := config.Parse("short", []byte(minimal), &short)
	if err != nil {
		t.Fatal(err)
	}
	b, err := config.Parse("long", []byte(documented), &long)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := a.Show(&short), b.Show(&long); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	if err := short.available(); err != nil {
		t.Errorf("the minimal configuration: %v", err)
	}
	if c := short.postgresConfig(); c.Pipeline != "warehouse" || c.Connections != 4 || c.Validate() != nil {
		t.Errorf("sink: got %+v", c)
	}
}

func TestEveryProblemIsReportedAtOnce(t *testing.T) {
	t.Parallel()
	var s settings
	_, err := config.Parse("p.yaml", []byte(`name: ware house
kafka: {brokers: [nowhere], sasl: {mechanism: PLAIN}}
registry: {url: "ftp://x"}
source: {topics: [a], topics_pattern: "(", start: yesterday}
sink:
  postgres: {url: "postgres://h:notaport/", table: "{shop}.x.y", shema: add}
errors: {on_poison: ignore, retry: {initial: 1m, max: 1s}}
`), &s)
	if err == nil {
		t.Fatal("got no error")
	}
	for _, want := range []string{"1:7", "name", "brokers[0]", "kafka.sasl", "registry.url", "topics_pattern", "source.start", "sink.postgres.url", "sink.postgres.table", "shema", "errors.on_poison", "errors.retry.initial"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in:\n%v", want, err)
		}
	}
}

func TestWhatIsNotThereYetIsRefused(t *testing.T) {
	t.Parallel()
	for _, extra := range []string{"state: {store: pebble}\n"} {
		var s settings
		if _, err := config.Parse("p.yaml", []byte(minimal+extra), &s); err != nil {
			t.Fatal(err)
		}
		if err := s.available(); err == nil || !strings.Contains(err.Error(), "is not in this version") {
			t.Errorf("%s: got %v", extra, err)
		}
	}
}

func TestStepsAreStrict(t *testing.T) {
	t.Parallel()
	var s settings
	_, err := config.Parse("p.yaml", []byte(minimal+`steps:
  - {filter: "true", map: {set: {a: "1"}}}
  - tables: [public.orders]
  - fliter: row.a > 1
  - filter: "true"
    tables: [orders, "public.[ab]"]
  - mask: {columns: {a: {}, b: {asterisks: 1, truncate: 2}, c: {hmac: {}}}}
  - flatten: {deletes: keep}
  - map: {}
  - route: {topic: '"x"'}
`), &s)
	for _, want := range []string{
		"steps[0]: want exactly one of filter, project, map, mask, route, flatten, latest, found filter and map",
		"steps[1]: want exactly one of filter, project, map, mask, route, flatten, latest, found none",
		`p.yaml:12:5: steps[2].fliter: unknown key; did you mean "filter"?`,
		"steps[3].tables[0]: want schema.table, as in public.orders or public.*",
		"steps[3].tables[1]: only * has a meaning in a pattern",
		"steps[4].mask.columns.a: want exactly one of hmac, asterisks, truncate, found none",
		"steps[4].mask.columns.b: want exactly one of hmac, asterisks, truncate, found asterisks and truncate",
		"steps[4].mask.columns.c.hmac.key_file: is required",
		`steps[5].flatten.deletes: want tombstone, drop or rewrite, found "keep"`,
		"steps[6].map.set: is required",
		"p.yaml:18:20: steps[7].route.topic: has no effect",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in\n%v", want, err)
		}
	}
}

// The character of an expression that is wrong has a place in the file.
func TestFaultsOfExpressionsHaveTheirPlace(t *testing.T) {
	t.Parallel()
	text := minimal + `steps:
  - filter: row.amount >
  - filter: "row.amount ! 10"
  - map:
      set:
        total: |
          row.a +
            row.b ) 2
        other: 'it''s'
  - project: {cast: {a: numbr}}
  - mask: {columns: {a: {hmac: {key_file: none.key}}}}
`
	var s settings
	file, err := config.Parse("p.yaml", []byte(text), &s)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.steps("p.yaml", file).build()
	for _, want := range []string{
		"p.yaml:10:24: steps[0].filter: unexpected token EOF",
		"p.yaml:11:25: steps[1].filter: unexpected token",
		"p.yaml:16:19: steps[2].map.set.total: unexpected token",
		"p.yaml:17:22: steps[2].map.set.other: literal not terminated",
		"p.yaml:18:25: steps[3].project.cast.a: unknown type numbr",
		"p.yaml:19:43: steps[4].mask.columns.a.hmac.key_file: columns.a.hmac.key_file: open none.key: no such file",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in\n%v", want, err)
		}
	}
	if problems, ok := err.(config.Problems); !ok || len(problems) != 6 {
		t.Errorf("want six problems:\n%v", err)
	}
}
