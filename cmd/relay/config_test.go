package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/tailrace/tailrace/internal/config"
)

const minimal = `name: shop
postgres:
  url: postgres://tailrace@127.0.0.1:5432/shop
kafka:
  brokers: [127.0.0.1:9092]
registry:
  url: http://127.0.0.1:8081
`

// documented is every optional key at its default, as the interface promises it.
const documented = `
postgres:
  url: postgres://tailrace@127.0.0.1:5432/shop
  password_file: ""
  slot:        {name: tailrace_shop, create: true, failover: auto, adopt: false}
  publication: {name: tailrace_shop, create: true, via_root: false}
tables:
  include: ["*.*"]
  exclude: []
  skip: []
  overrides: {}
name: shop
kafka:
  brokers: [127.0.0.1:9092]
  tls: {}
  topics: {create: true, partitions: 6, replication_factor: -1, config: {}}
  compression: lz4
  partitioner: key_body
  single_broker: false
registry: {url: http://127.0.0.1:8081, auto_register: true, subject: topic, username: "", password_file: "", on_incompatible: stop}
delivery: exactly_once
on_stop: wait
max_row: 8MiB
snapshot: {mode: initial, parallel: 2, chunk_rows: 50000}
format:
  compat: none
  names: avro
  decimal: precise
  time: adaptive
  binary: bytes
  nonfinite: dead_letter
  unknown: text
  placeholder: __debezium_unavailable_value
  context_headers: true
  money_digits: 2
  interval: numeric
  hstore: json
  tombstones: true
  transaction_metadata: false
  truncate: false
  source_types: []
  source_datatypes: []
  xmin: 0s
heartbeat: {interval: 10s, topic: false}
messages: {include: ["*"], exclude: []}
outbox: {}
wal: {warn: 5GiB, max: 0, at_max: warn}
replay: {window: 0s, max: 10GiB, bookmark_ttl: 168h}
dead_letter: {topic: shop.dead_letter}
ops: {listen: 127.0.0.1:9464, token_file: ""}
`

func TestMinimalFileIsTheDocumentedDefaults(t *testing.T) {
	t.Parallel()
	var a, b settings
	fileA, err := config.Parse("a.yaml", []byte(minimal), &a)
	if err != nil {
		t.Fatal(err)
	}
	fileB, err := config.Parse("b.yaml", []byte(documented), &b)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fileA.Show(&a), fileB.Show(&b); got != want {
		t.Errorf("defaults\n%s\ndocumented\n%s", got, want)
	}
}

func TestBadFileEndsWithTwoAndEveryProblem(t *testing.T) {
	t.Parallel()
	file := write(t, "relay.yaml", `name: "sh op"
postgres:
  url: postgres://u:hunter2@h:nan/shop
  sloot: {}
  slot: {name: Bad}
kafka:
  brokers: ["no port"]
  sasl: {username: u}
  topics: {partitions: 0, replication_factor: 0}
registry: {url: "ftp://x", on_incompatible: dead_letter}
tables:
  include: [orders, "/(/"]
  skip: [c, x, c]
  overrides:
    public.*:
      key: [a, "", a]
      mask: {a: {}, b: {asterisks: -1}, c: {hash: {}}, d: {hash_debezium: {algorithm: CRC, salt: s}}, "/(/": {truncate: 1, asterisks: 1}}
max_row: 2GB
wal: {warn: 5GiB, max: 1GiB}
messages: {include: ["/[/"]}
format: {source_types: ["/[/"], nonfinite: fail}
heartbeat: {topic: true, interval: 0s}
ops: {listen: "9464"}
`)
	r := command(t, nil, "relay", "config", "show", "-c", file)
	if r.code != 2 || r.out != "" || strings.Contains(r.err, "hunter2") {
		t.Errorf("exit %d, stdout %q, stderr %s", r.code, r.out, r.err)
	}
	for _, want := range []string{
		":1:7: name: want letters",
		":3:8: postgres.url: want a libpq URL",
		`:4:3: postgres.sloot: unknown key; did you mean "slot"?`,
		":5:16: postgres.slot.name: want at most 63 lower-case letters",
		":7:13: kafka.brokers[0]: want host:port",
		"kafka.sasl.mechanism: is missing",
		":9:24: kafka.topics.partitions: want a value from 1 to 10000, found \"0\"",
		"kafka.topics.replication_factor: want -1",
		"registry.url: want http://host:port",
		"registry.on_incompatible: want stop or force beside format.nonfinite: fail",
		":12:13: tables.include[0]: want schema.table, such as public.orders",
		"tables.include[1]: want a regular expression (RE2) between the slashes",
		`tables.skip[1]: want c, u or d, found "x"`,
		"tables.skip[2]: c is given twice",
		"tables.overrides.public.*.key[1]: want a column",
		`tables.overrides.public.*.key[2]: column "a" is given twice`,
		"tables.overrides.public.*.mask.a: want exactly one of asterisks, truncate, hash, hash_debezium, found none",
		"tables.overrides.public.*.mask.b.asterisks: want a value from 0 to 1000000",
		"tables.overrides.public.*.mask.c.hash.key_file: is required",
		"tables.overrides.public.*.mask.d.hash_debezium.algorithm: want MD5, SHA-1",
		"tables.overrides.public.*.mask./(/: want exactly one of asterisks, truncate, hash, hash_debezium, found asterisks and truncate",
		":18:10: max_row: want a size in B, KiB",
		":19:13: wal.warn: want at most wal.max",
		"messages.include[0]: want a regular expression",
		"format.source_types[0]: want a regular expression",
		"heartbeat.interval: want more than 0s beside heartbeat.topic",
		"ops.listen: want host:port",
	} {
		if !strings.Contains(r.err, want) {
			t.Errorf("no %q in\n%s", want, r.err)
		}
	}
}

func TestShowHidesSecretsAndIsReadBack(t *testing.T) {
	t.Parallel()
	file := write(t, "relay.yaml", strings.Replace(minimal, "tailrace@127.0.0.1", "tailrace:${PW}@127.0.0.1", 1)+"max_row: ${ROW:-4MiB}\n")
	r := command(t, []string{"PW=hunter2"}, "relay", "config", "show", "-c", file)
	if r.code != 0 || strings.Contains(r.out, "hunter2") || !strings.Contains(r.out, "url: postgres://tailrace:xxxxx@127.0.0.1:5432/shop\n") {
		t.Errorf("exit %d %s\n%s", r.code, r.err, r.out)
	}
	j := command(t, []string{"PW=hunter2"}, "relay", "config", "show", "-o", "json", "-c", file)
	var shown map[string]any
	if err := json.Unmarshal([]byte(j.out), &shown); err != nil || strings.Count(j.out, "\n") != 1 || strings.Contains(j.out, "hunter2") {
		t.Errorf("%v: %s", err, j.out)
	}
	again := command(t, nil, "relay", "config", "show", "-c", write(t, "again.yaml", strings.Replace(r.out, "${ROW:-xxxxx}", "4MiB", 1)))
	if again.code != 0 || !strings.Contains(again.out, "max_row: 4MiB") {
		t.Errorf("exit %d: %s", again.code, again.err)
	}
	unset := command(t, nil, "relay", "config", "show", "-c", file)
	if unset.code != 2 || !strings.Contains(unset.err, "the environment has no PW") {
		t.Errorf("exit %d: %s", unset.code, unset.err)
	}
}

// TestOverridesAreShownAndReadBack: patterns are odd keys, and a salt is a secret.
func TestOverridesAreShownAndReadBack(t *testing.T) {
	t.Parallel()
	const overrides = `tables:
  overrides:
    "*.*": {mask: {"/(?i).*mail/": {asterisks: 0}, 'a: b': {truncate: 3}}}
    '/public\.t[0-9]+/': {key: [id], mask: {h: {hash_debezium: {salt: hunter2, version: 1}}, k: {hash: {key_file: /run/key}}}, where: "a > 'x'"}
`
	show := func(text string) result {
		t.Helper()
		r := command(t, nil, "relay", "config", "show", "-c", write(t, "relay.yaml", text))
		if r.code != 0 {
			t.Fatalf("exit %d: %s\n%s", r.code, r.err, text)
		}
		return r
	}
	first := show(minimal + overrides)
	if strings.Contains(first.out, "hunter2") || !strings.Contains(first.out, "algorithm: SHA-256") || !strings.Contains(first.out, "asterisks: 0") || strings.Contains(first.out, "truncate: 0") {
		t.Error(first.out)
	}
	if again := show(first.out); again.out != first.out {
		t.Errorf("shown\n%s\nread back and shown\n%s", first.out, again.out)
	}
}

func TestEveryKeyIsDescribed(t *testing.T) {
	t.Parallel()
	for _, k := range config.Keys(&settings{}) {
		if k.Meaning == "" {
			t.Errorf("%s has no meaning", k.Path)
		}
	}
	r := command(t, nil, "relay", "config", "reference", "-o", "json")
	var first config.Key
	if err := json.Unmarshal([]byte(strings.SplitN(r.out, "\n", 2)[0]), &first); err != nil || first.Path != "name" || !first.Required {
		t.Errorf("%v: %s", err, r.out)
	}
}

func TestWrongUseEndsWithTwo(t *testing.T) {
	t.Parallel()
	file := write(t, "relay.yaml", minimal)
	for _, args := range [][]string{
		{}, {"nonsense"}, {"--nonsense"}, {"version", "x"}, {"config"}, {"config", "nonsense"}, {"version", "-o", "xml"}, {"check", "-c", "no-such-file"},
		{"tail", "--from", "middle", "-c", file}, {"tail", "-n", "-1", "-c", file}, {"tail", "-n", "x"}, {"run", "--log-level", "loud", "-c", file},
	} {
		if r := command(t, nil, "relay", args...); r.code != 2 || r.out != "" || r.err == "" {
			t.Errorf("relay %v: exit %d, stdout %q, stderr %q", args, r.code, r.out, r.err)
		}
	}
}

func TestHelpHasAnExample(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{}, {"run"}, {"check"}, {"status"}, {"tail"}, {"schema"}, {"schema", "show"}, {"schema", "check"}, {"schema", "diff"}, {"import"}, {"config"}, {"config", "show"}, {"config", "reference"}, {"version"}} {
		r := command(t, nil, "relay", append(args, "--help")...)
		if r.code != 0 || !strings.Contains(r.out, "Examples:\n  relay") {
			t.Errorf("relay %v --help: exit %d\n%s", args, r.code, r.out)
		}
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	var v struct{ Name, Version, Commit, Go string }
	if r := command(t, nil, "relay", "version", "-o", "json"); json.Unmarshal([]byte(r.out), &v) != nil || v.Name != "relay" || v.Version == "" || v.Go == "" {
		t.Errorf("got %s", r.out)
	}
}
