package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tailrace/tailrace/internal/config"
	"github.com/tailrace/tailrace/internal/debezium"
)

const connector = `{"name": "c", "config": {
  "connector.class": "io.debezium.connector.postgresql.PostgresConnector", "plugin.name": "pgoutput", "topic.prefix": "shop",
  "database.hostname": "db", "database.user": "dbz", "database.password": "hunter2", "database.dbname": "inventory"`

// environment is what an imported file can refer to.
func environment(name string) (string, bool) {
	value, ok := map[string]string{
		"DATABASE_PASSWORD": "pw", "KAFKA_BROKERS": "127.0.0.1:9092", "REGISTRY_URL": "http://127.0.0.1:8081", "KAFKA_PASSWORD_FILE": "f", "REGISTRY_PASSWORD_FILE": "f",
		"DATABASE_SSLPASSWORD": "pw",
	}[name]
	return value, ok
}

// importedSettings loads what a connector's configuration becomes, with the
// loader of every command.
func importedSettings(t *testing.T, name string, connector map[string]string) (s *settings, shown string) {
	t.Helper()
	full := map[string]string{
		"topic.prefix": "shop", "database.hostname": "db", "database.user": "dbz", "database.password": "hunter2", "database.dbname": "inventory", "plugin.name": "pgoutput",
	}
	maps.Copy(full, connector)
	r, err := debezium.Import(full)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return nil, ""
	}
	for _, m := range r.Missing {
		t.Errorf("%s: %s = %s: %s", name, m.Option, m.Value, m.Reason)
	}
	s = &settings{}
	f, err := config.Parse("relay.yaml", r.YAML, s, config.WithEnvironment(environment))
	if err != nil {
		t.Errorf("%s: %v\n%s", name, err, r.YAML)
		return nil, ""
	}
	return s, f.Show(s)
}

// TestTheGoldenCorpusIsImported: every option that occurs in it is known, and the
// file that comes out loads.
func TestTheGoldenCorpusIsImported(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../test/golden/testdata/*.json")
	if err != nil || len(files) < 140 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	seen := 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var c struct {
			Name       string
			Prefix     string            `json:"topic_prefix"`
			Properties map[string]string `json:"connector_properties"`
			Steps      []struct{ Props map[string]string }
		}
		if err := json.Unmarshal(data, &c); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		properties := map[string]string{"topic.prefix": c.Prefix}
		maps.Copy(properties, c.Properties)
		for _, step := range c.Steps {
			maps.Copy(properties, step.Props)
		}
		seen += len(properties) - 1
		s, _ := importedSettings(t, c.Name, properties)
		if s == nil {
			continue
		}
		if s.Name != c.Prefix || s.Format.Compat != "debezium" || s.Kafka.Partitioner != "debezium" || !s.Postgres.Slot.Adopt {
			t.Errorf("%s: %+v", c.Name, s)
		}
	}
	if seen < 60 {
		t.Errorf("only %d options in the corpus", seen)
	}
}

// TestDebeziumsDefaultsAreTheImportsDefaults: to name an option with its default
// changes nothing.
func TestDebeziumsDefaultsAreTheImportsDefaults(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../internal/debezium/testdata/options-3.7.tsv")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for line := range strings.Lines(string(data)) {
		name, value, _ := strings.Cut(strings.TrimRight(line, "\n"), "\t")
		if value != "" && name != "plugin.name" && name != "database.sslmode" && name != "database.port" { // these are written out
			all[name] = value
		}
	}
	_, want := importedSettings(t, "nothing", nil)
	_, got := importedSettings(t, "defaults", all)
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestImportedSettings(t *testing.T) {
	t.Parallel()
	s, _ := importedSettings(t, "filters", map[string]string{
		"table.include.list": `public\.(orders|items),public.t`, "column.mask.with.12.chars": "public.t.m", "column.mask.hash.v2.SHA-256.with.salt.a{b}: ${c}": "public.t.h",
		"column.include.list": "public.t.id,public.t.m,public.t.h", "message.key.columns": "public.t:b,a", "unavailable.value.placeholder": `a"b'c: $d$$ #`,
		"column.truncate.to.3.chars": `.*\.long`, "skipped.operations": "u", "message.prefix.include.list": "a.*",
	})
	if s == nil {
		return
	}
	book, err := s.ruleBook()
	if err != nil {
		t.Fatal(err)
	}
	m := book.merged("public.t")
	if got := strings.Join(m.key, " "); got != "b a" {
		t.Errorf("key %s", got)
	}
	for column, want := range map[string]bool{"id": true, "m": true, "h": true, "other": false} {
		if m.keeps(column) != want {
			t.Errorf("column %s: want %v", column, want)
		}
	}
	if other := book.merged("public.orders"); other.keeps("id") {
		t.Error("a column that no list names is published")
	}
	if mask := m.maskOf("m"); mask == nil || *mask.mask.Asterisks != 12 {
		t.Errorf("mask %+v", mask)
	}
	if mask := m.maskOf("h"); mask == nil || mask.mask.HashDebezium.Salt != "a{b}: ${c}" || mask.mask.HashDebezium.Version != 2 {
		t.Errorf("hash %+v", mask)
	}
	if mask := m.maskOf("long"); mask == nil || *mask.mask.Truncate != 3 {
		t.Errorf("truncate %+v", mask)
	}
	if s.Format.Placeholder != `a"b'c: $d$$ #` || !s.Format.Truncate || len(s.Tables.Skip) != 1 {
		t.Errorf("%+v %+v", s.Format, s.Tables.Skip)
	}
	include := newPatterns(s.Tables.Include, func(_ int, err error) { t.Error(err) })
	for table, want := range map[string]bool{"public.orders": true, "public.Items": true, "public.t": true, "public.tt": false, "publicxt.a": false} {
		if include.fit(table) != want {
			t.Errorf("table %s: want %v", table, want)
		}
	}
}

// TestAnyTextSurvivesTheImport: whatever a value holds, the loader reads the same
// back, and it brings no key of its own.
func TestAnyTextSurvivesTheImport(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	alphabet := []string{"a", "B", "1", " ", "  ", "'", "\"", "\\", "#", " #", ":", ": ", "-", "*", "&", "!", "|", ">", "%", "@", "`", "{", "}", "[", "]", ",", "?", "$", "$$", "~", "null", "true", "é", "😀",
		"\n", "\t", "\r", "\u0085", "\u2028", "\u00a0", "\uFEFF", "\x01", "\x7f", "/", "=", "<", ".", "\ufffd"}
	for range 200 {
		var b strings.Builder
		for range 1 + r.IntN(8) {
			b.WriteString(alphabet[r.IntN(len(alphabet))])
		}
		text := b.String()
		if strings.Contains(text, "${") || strings.HasPrefix(text, "hex:") || strings.Contains(text, `\,`) {
			continue // what the worker, or Debezium, would decode or cut
		}
		s, _ := importedSettings(t, fmt.Sprintf("seed %d, %q", seed, text), map[string]string{
			"unavailable.value.placeholder": text, "column.mask.hash.MD5.with.salt." + text: "public.t.c", "publication.name": "p" + text, "table.include.list": `public\.\Q` + strings.ReplaceAll(text, ",", `\,`) + `x\E`,
		})
		if s == nil {
			return
		}
		if s.Format.Placeholder != text {
			t.Fatalf("seed %d: placeholder %q became %q", seed, text, s.Format.Placeholder)
		}
		if salt := s.Tables.Overrides["public.t"].Mask["c"].HashDebezium.Salt; salt != text {
			t.Fatalf("seed %d: salt %q became %q", seed, text, salt)
		}
		include := newPatterns(s.Tables.Include, func(_ int, err error) { t.Error(err) })
		if !include.fit("public." + text + "x") {
			t.Fatalf("seed %d: table %q is not in %q", seed, text, s.Tables.Include)
		}
	}
}

func TestImportPrintsAFileThatLoads(t *testing.T) {
	t.Parallel()
	file := write(t, "connector.json", connector+`, "slot.name": "s"}}`)
	r := command(t, nil, "relay", "import", file)
	if r.code != 0 || r.err != "" || strings.Contains(r.out, "hunter2") || !strings.Contains(r.out, "url: postgres://dbz:${DATABASE_PASSWORD}@db/inventory\n") {
		t.Fatalf("exit %d, stderr %s\n%s", r.code, r.err, r.out)
	}
	env := []string{"DATABASE_PASSWORD=p", "KAFKA_BROKERS=127.0.0.1:9092", "REGISTRY_URL=http://127.0.0.1:8081"}
	if show := command(t, env, "relay", "config", "show", "-c", write(t, "relay.yaml", r.out)); show.code != 0 || !strings.Contains(show.out, "name: s\n") {
		t.Errorf("exit %d: %s\n%s", show.code, show.err, show.out)
	}
	properties := write(t, "c.properties", "topic.prefix=shop\ndatabase.hostname=db\ndatabase.user=dbz\ndatabase.dbname=x\nplugin.name=pgoutput\n")
	if r := command(t, nil, "relay", "import", properties); r.code != 0 || !strings.Contains(r.out, "url: postgres://dbz@db/x\n") {
		t.Errorf("exit %d: %s\n%s", r.code, r.err, r.out)
	}
}

func TestImportStopsAtWhatHasNoCounterpart(t *testing.T) {
	t.Parallel()
	file := write(t, "c.json", connector+`, "transforms": "u", "transforms.u.type": "io.debezium.transforms.ExtractNewRecordState", "topic.delimiter": "_"}}`)
	r := command(t, nil, "relay", "import", file)
	if r.code != 4 || r.out != "" {
		t.Errorf("exit %d, stdout %s", r.code, r.out)
	}
	for _, want := range []string{
		file + ": transforms.u.type = io.debezium.transforms.ExtractNewRecordState: transformations are Java classes",
		file + ": topic.delimiter = _: Topics are", "the 2 options above", "--force",
	} {
		if !strings.Contains(r.err, want) {
			t.Errorf("no %q in %s", want, r.err)
		}
	}
	forced := command(t, nil, "relay", "import", "--force", file)
	if forced.code != 0 || !strings.Contains(forced.out, "# - transforms.u.type = ") || !strings.Contains(forced.out, "name: shop\n") || !strings.Contains(forced.err, "topic.delimiter") {
		t.Errorf("exit %d: %s\n%s", forced.code, forced.err, forced.out)
	}
}

func TestImportOfSomethingElseEndsWithTwo(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"no file nosuch; want the configuration of a connector": {"import", "nosuch"},
		"accepts 1 arg":                           {"import"},
		"c.json: 1:2: is not valid JSON":          {"import", write(t, "c.json", "{a}")},
		"stdin: is empty":                         {"import", "-"},
		"want the configuration of a io.debezium": {"import", write(t, "m.json", `{"connector.class":"io.debezium.connector.mysql.MySqlConnector"}`)},
		"topic.prefix, database.hostname":         {"import", write(t, "n.properties", "a=b")},
		"is a directory":                          {"import", t.TempDir()},
		"has more than 4194304 bytes":             {"import", write(t, "big.json", strings.Repeat(" ", maxImport+1))},
	} {
		if r := command(t, nil, "relay", args...); r.code != 2 || r.out != "" || !strings.Contains(r.err, want) {
			t.Errorf("%v: exit %d, stdout %q, stderr %q, want %q", args, r.code, r.out, r.err, want)
		}
	}
}

func TestImportHelp(t *testing.T) {
	t.Parallel()
	r := command(t, nil, "relay", "import", "--help")
	for _, want := range []string{"Examples:\n  relay import connector.json > relay.yaml", "--force", "Exit code 4"} {
		if r.code != 0 || !strings.Contains(r.out, want) {
			t.Errorf("exit %d, no %q in\n%s", r.code, want, r.out)
		}
	}
}
