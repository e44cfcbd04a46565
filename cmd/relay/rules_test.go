package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/internal/config"
)

func parse(t *testing.T, text string) *settings {
	t.Helper()
	s := &settings{}
	if _, err := config.Parse("relay.yaml", []byte(minimal+text), s); err != nil {
		t.Fatal(err)
	}
	return s
}

func table(name string, columns ...string) *cdc.Table {
	t := &cdc.Table{Schema: "public", Name: name, Key: []int{0}}
	for _, c := range columns {
		name, typ, _ := strings.Cut(c, " ")
		t.Columns = append(t.Columns, cdc.Column{Name: name, Modifier: -1, Type: &cdc.Type{Name: typ, Kind: cdc.KindBase}})
	}
	return t
}

func masked(r cdc.Rules, t *cdc.Table, column, value string) string {
	if r.Mask == nil || r.Mask(column) == nil {
		return value
	}
	text, _ := r.Mask(column).Append(nil, cdc.Value{State: cdc.Text, Data: []byte(value)}, &t.Columns[0])
	return string(text)
}

func TestOverridesOfATableAreMerged(t *testing.T) {
	t.Parallel()
	s := parse(t, `tables:
  overrides:
    public.users: {key: [mail], mask: {mail: {truncate: 2}}, topic: people}
    "*.*": {columns: {exclude: [secret*]}, mask: {"*": {asterisks: 3}}, topic: everything, where: "id > 0"}
    /public\.u.*/: {key: [id], mask: {"/m.il/": {asterisks: 5}}, where: "id > 1"}
`)
	book, err := s.ruleBook()
	if err != nil {
		t.Fatal(err)
	}
	users := table("users", "id int4", "mail text", "name varchar", "secret_note text", "scores int4")
	r := book.rules(users)
	if !slices.Equal(r.Key, []string{"mail"}) {
		t.Errorf("key %v", r.Key)
	}
	for column, want := range map[string]string{"mail": "ab", "name": "***", "id": "abc", "scores": "abc"} {
		if got := masked(r, users, column, "abc"); got != want {
			t.Errorf("%s: %s, want %s", column, got, want)
		}
	}
	for column, want := range map[string]bool{"id": true, "mail": true, "secret_note": false} {
		if got := r.Keep(column); got != want {
			t.Errorf("%s is kept: %v", column, got)
		}
	}
	if m := book.merged("public.users"); m.topic != "people" || m.where != "id > 1" {
		t.Errorf("topic %s where %s", m.topic, m.where)
	}
	if got := s.topic(book, users); got != "people" {
		t.Errorf("topic %s", got)
	}
	other := book.rules(table("orders", "id int4"))
	if other.Key != nil || masked(other, users, "id", "abc") != "abc" {
		t.Errorf("%+v", other)
	}
}

func TestAMaskByNameWinsOverOneByPattern(t *testing.T) {
	t.Parallel()
	book, err := parse(t, `tables:
  overrides:
    "*.*": {mask: {mail: {truncate: 1}, name: {truncate: 1}, nick: {truncate: 1}}}
    public.users: {mask: {"*": {asterisks: 3}, name: {asterisks: 4}}}
`).ruleBook()
	if err != nil {
		t.Fatal(err)
	}
	users := table("users", "id int4", "mail text", "name text", "other text")
	r := book.rules(users)
	for column, want := range map[string]string{"mail": "a", "name": "****", "other": "***"} {
		if got := masked(r, users, column, "abc"); got != want {
			t.Errorf("%s: %s, want %s", column, got, want)
		}
	}
}

func TestTablesWithoutOverridesHaveNoRules(t *testing.T) {
	t.Parallel()
	book, err := parse(t, "tables: {overrides: {public.users: {key: [mail]}}}\n").ruleBook()
	if err != nil {
		t.Fatal(err)
	}
	if r := book.rules(table("orders", "id int4")); r.Key != nil || r.Keep != nil || r.Mask != nil || r.Filter != nil {
		t.Errorf("%+v", r)
	}
}

// TestWhatCannotBeMaskedIsNotPublished: a value must not pass because its mask
// does not fit its type.
func TestWhatCannotBeMaskedIsNotPublished(t *testing.T) {
	t.Parallel()
	const masks = "tables: {overrides: {public.users: {mask: {n: {asterisks: 3}, gone: {asterisks: 1}, born: {truncate: 4}, photo: {truncate: 4}}}}}\n"
	book, err := parse(t, masks).ruleBook()
	if err != nil {
		t.Fatal(err)
	}
	users := table("users", "id int4", "n int4", "born date", "photo bytea", "name text")
	r := book.rules(users)
	for column, want := range map[string]bool{"n": false, "born": false, "photo": true, "name": true} {
		if got := r.Keep(column); got != want {
			t.Errorf("%s is kept: %v", column, got)
		}
	}
	var found []string
	for _, f := range book.findings(users) {
		found = append(found, fmt.Sprint(f.Level, " ", f.What))
		if f.Remedy == "" {
			t.Errorf("no remedy: %+v", f)
		}
	}
	slices.Sort(found)
	want := []string{
		`error table public.users: column "born" is of type date, whose values the mask cannot replace; the column would not be published`,
		`error table public.users: column "n" is of type int4, whose values the mask cannot replace; the column would not be published`,
		`warning table public.users: a mask names column "gone", which it does not have`,
	}
	if !slices.Equal(found, want) {
		t.Errorf("got\n%s", strings.Join(found, "\n"))
	}
}

func TestFindingsOfKeys(t *testing.T) {
	t.Parallel()
	book, err := parse(t, "tables: {overrides: {public.users: {key: [mail, nick], mask: {mail: {truncate: 1}}}, public.pets: {mask: {name: {hash_debezium: {salt: s}}}}}}\n").ruleBook()
	if err != nil {
		t.Fatal(err)
	}
	found := fmt.Sprint(book.findings(table("users", "id int4", "mail text")))
	if !strings.Contains(found, `names column "nick", which it does not have`) || !strings.Contains(found, `column "mail" of the key is masked`) {
		t.Error(found)
	}
	if found := book.findings(table("pets", "name text")); len(found) != 0 {
		t.Errorf("a hash in the key keeps rows apart: %v", found)
	}
}

// TestPatternsOfMasksUnderCompat: Debezium writes the parameter masked for every
// column that a mask fits, and replaces values of characters only.
func TestPatternsOfMasksUnderCompat(t *testing.T) {
	t.Parallel()
	book, err := parse(t, "format: {compat: debezium}\ntables: {overrides: {public.users: {mask: {\"*\": {asterisks: 3}}}}}\n").ruleBook()
	if err != nil {
		t.Fatal(err)
	}
	users := table("users", "id int4", "name text")
	r := book.rules(users)
	if masked(r, users, "id", "7") != "7" || masked(r, users, "name", "7") != "***" || fmt.Sprint(r.Mask("id").Params) != "[{masked true}]" || r.Keep != nil {
		t.Errorf("%+v", r)
	}
}

func TestKeysOfHashesComeFromFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := file("good", "0123456789abcdef\n")
	mask := func(path string) *settings {
		return parse(t, "tables: {overrides: {public.users: {mask: {name: {hash: {key_file: "+path+"}}}}}}\n")
	}
	book, err := mask(good).ruleBook()
	if err != nil {
		t.Fatal(err)
	}
	users := table("users", "name text")
	const want = "bcaa92843247bc258080d2824bddeba4afb1bd61b4688ca65f60a214e1d9759e" // of openssl dgst -sha256 -hmac
	if got := masked(book.rules(users), users, "name", "abc"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for path, want := range map[string]string{file("short", "secret"): "want at least 16", filepath.Join(dir, "none"): "no such file"} {
		if _, err := mask(path).ruleBook(); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "tables.overrides.public.users") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestSettledDefaults(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][3]string{
		"":                             {"dead_letter", "text", "key_body"},
		"format: {compat: debezium}\n": {"null", "drop", "key_body"},
		"format: {compat: debezium, nonfinite: fail, unknown: bytes}\n": {"fail", "bytes", "key_body"},
	} {
		s := parse(t, text)
		if got := [3]string{s.Format.Nonfinite, s.Format.Unknown, s.Kafka.Partitioner}; got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
	_, err := config.Parse("relay.yaml", []byte(minimal+"format: {compat: debezium, nonfinite: dead_letter, unknown: text}\n"), &settings{})
	if err == nil || !strings.Contains(err.Error(), "format.nonfinite: want null or fail") || !strings.Contains(err.Error(), "format.unknown: want drop or bytes") {
		t.Errorf("%v", err)
	}
	_, err = config.Parse("relay.yaml", []byte(strings.Replace(minimal, "kafka:", "  slot: {adopt: true}\nkafka:\n  partitioner: key_body", 1)), &settings{})
	if err == nil || !strings.Contains(err.Error(), "kafka.partitioner: want debezium") {
		t.Errorf("%v", err)
	}
	adopt := &settings{}
	if _, err := config.Parse("relay.yaml", []byte(strings.Replace(minimal, "kafka:", "  slot: {adopt: true}\nkafka:", 1)), adopt); err != nil || adopt.Kafka.Partitioner != "debezium" {
		t.Errorf("%v: %s", err, adopt.Kafka.Partitioner)
	}
}

func TestSourceTypes(t *testing.T) {
	t.Parallel()
	s := parse(t, "format: {source_types: [public.users.name], source_datatypes: [\"*.*.serial\", '/public\\..*\\.date/']}\n")
	choose := s.Format.sourceTypes()
	users := table("users", "id int4", "n int4", "name text", "nick text", "born date")
	users.Columns[0].Default = "nextval('users_id_seq'::regclass)"
	var got []string
	for i := range users.Columns {
		if choose(users, &users.Columns[i]) {
			got = append(got, users.Columns[i].Name)
		}
	}
	if !slices.Equal(got, []string{"id", "name", "born"}) {
		t.Errorf("got %v", got)
	}
	if parse(t, "").Format.sourceTypes() != nil {
		t.Error("columns are chosen although nothing is configured")
	}
}
