package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
)

func hmacHex(key, text string) string {
	h := hmac.New(sha256.New, []byte(key))
	_, _ = h.Write([]byte(text))
	return hex.EncodeToString(h.Sum(nil))
}

// TestTransforms is about tables.overrides: keys, columns, masks, topics.
func TestTransforms(t *testing.T) {
	t.Parallel()
	key := write(t, "key", "0123456789abcdef")
	w := newWorld(t, `tables:
  overrides:
    public.*: {columns: {exclude: [internal_*]}, mask: {/.*mail/: {asterisks: 4}}}
    public.people:
      key: [country, nick]
      mask:
        pass: {asterisks: 8}
        name: {truncate: 2}
        phone: {hash: {key_file: `+key+`}}
        iban: {hash_debezium: {algorithm: MD5, salt: salty}}
    public.moved: {topic: elsewhere, columns: {include: [id]}}
`)
	w.begin(t,
		"CREATE TABLE people (id int PRIMARY KEY, nick text NOT NULL, country text NOT NULL, name text, pass text, mail text, phone varchar(10), iban varchar(10), internal_note text)",
		"ALTER TABLE people REPLICA IDENTITY FULL", "INSERT INTO people VALUES (1, 'ab', 'de', 'Zoë X', NULL, 'a@b', '+49', 'secret', 'x')",
		"CREATE TABLE moved (id int PRIMARY KEY, v text)", "INSERT INTO moved VALUES (1, 'x')",
	)
	w.sql(t, "UPDATE people SET nick = 'cd', name = NULL, phone = NULL", "UPDATE people SET internal_note = 'y'", "UPDATE people SET name = chr(0x1F600) || 'bc'", "DELETE FROM people",
		"INSERT INTO moved VALUES (2, 'y')")
	w.stream(t)
	const (
		was = `{"id":1,"nick":"ab","country":"de","name":"Zo","pass":"********","mail":"****","phone":"PHONE","iban":"428eb95fd3"}`
		is  = `{"id":1,"nick":"cd","country":"de","name":null,"pass":"********","mail":"****","phone":null,"iban":"428eb95fd3"}`
		cut = `{"id":1,"nick":"cd","country":"de","name":"😀b","pass":"********","mail":"****","phone":null,"iban":"428eb95fd3"}`
	)
	phone := hmacHex("0123456789abcdef", "+49")[:10]
	var got []string
	for _, s := range w.records(t, "public.people", 8) {
		got = append(got, strings.ReplaceAll(lineOf(s), phone, "PHONE"))
	}
	want := []string{
		`r {"country":"de","nick":"ab"} null ` + was,
		`d {"country":"de","nick":"ab"} ` + was + ` null`, `tombstone {"country":"de","nick":"ab"} null null`, `c {"country":"de","nick":"cd"} null ` + is,
		`u {"country":"de","nick":"cd"} ` + is + ` ` + is, // of a column that is left out
		`u {"country":"de","nick":"cd"} ` + is + ` ` + cut,
		`d {"country":"de","nick":"cd"} ` + cut + ` null`, `tombstone {"country":"de","nick":"cd"} null null`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	w.expect(t, "elsewhere", `r {"id":1} null {"id":1}`, `c {"id":2} null {"id":2}`)
	text := w.latest(t, w.name+".public.people-value")
	for _, want := range []string{
		`{"name":"pass","type":["null",{"type":"string","connect.parameters":{"masked":"true"}}],"default":null}`,
		`{"name":"name","type":["null",{"type":"string","connect.parameters":{"truncateLength":"2"}}],"default":null}`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
	// What is masked is masked wherever it is seen.
	for _, secret := range []string{"a@b", "+49", "internal_note"} {
		if r := w.relay(t, "tail", "public.people", "--until-end", "-o", "json"); strings.Contains(r.out, secret) {
			t.Errorf("%s is in\n%s", secret, r.out)
		}
	}
}

// TestRowFiltersAndRoots is about what the publication does: where, and partitions
// under their root's name.
func TestRowFiltersAndRoots(t *testing.T) {
	t.Parallel()
	w := newWorld(t, `postgres: {publication: {via_root: true}}
tables: {overrides: {public.orders: {where: "kind = 'a' AND total > 1"}, "public.by_year": {where: "id < 10"}}}
`)
	w.begin(t,
		"CREATE TABLE orders (id int PRIMARY KEY, kind text, total int)", "ALTER TABLE orders REPLICA IDENTITY FULL",
		"INSERT INTO orders VALUES (1, 'a', 2), (2, 'b', 2)",
		"CREATE TABLE by_year (id int, y int, PRIMARY KEY (id, y)) PARTITION BY LIST (y)",
		"CREATE TABLE y1 PARTITION OF by_year FOR VALUES IN (1)", "CREATE TABLE y2 PARTITION OF by_year FOR VALUES IN (2)",
		"INSERT INTO by_year VALUES (1, 1), (11, 1)",
	)
	w.sql(t,
		"INSERT INTO orders VALUES (3, 'a', 1), (4, 'a', 9)", "UPDATE orders SET kind = 'a' WHERE id = 2", "UPDATE orders SET kind = 'c' WHERE id = 4",
		"UPDATE by_year SET y = 2 WHERE id = 1", "INSERT INTO by_year VALUES (12, 2)")
	w.stream(t)
	w.expect(t, "public.orders",
		`r {"id":1} null {"id":1,"kind":"a","total":2}`,
		`c {"id":4} null {"id":4,"kind":"a","total":9}`,
		`c {"id":2} null {"id":2,"kind":"a","total":2}`, // it comes to pass
		`d {"id":4} {"id":4,"kind":"a","total":9} null`, `tombstone {"id":4} null null`)
	w.expect(t, "public.by_year",
		`r {"id":1,"y":1} null {"id":1,"y":1}`,
		`d {"id":1,"y":1} {"id":1,"y":1} null`, `tombstone {"id":1,"y":1} null null`, `c {"id":1,"y":2} null {"id":1,"y":2}`)
	if r := w.relay(t, "schema", "show", "public.by_year", "--key", "-o", "json"); r.code != 0 || !strings.Contains(r.out, `"name":"y"`) {
		t.Errorf("schema show of the root: exit %d %s%s", r.code, r.out, r.err)
	}
}
