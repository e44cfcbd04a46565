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
	for _, extra := range []string{"steps: [{filter: true}]\n", "state: {store: pebble}\n", "limits: {rate: 5}\n"} {
		var s settings
		if _, err := config.Parse("p.yaml", []byte(minimal+extra), &s); err != nil {
			t.Fatal(err)
		}
		if err := s.available(); err == nil || !strings.Contains(err.Error(), "is not in this version") {
			t.Errorf("%s: got %v", extra, err)
		}
	}
	var s settings
	if _, err := config.Parse("p.yaml", []byte(strings.Replace(minimal, "source:\n", "source:\n  start: 16/B374D848\n", 1)), &s); err != nil {
		t.Fatal(err)
	}
	if err := s.available(); err == nil {
		t.Error("source.start at an LSN: want a refusal")
	}
}
