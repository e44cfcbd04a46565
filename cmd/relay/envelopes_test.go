package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tailrace/tailrace/cdc"
)

// begin makes tables and what else a test needs, and starts the relay.
func (w *world) begin(t *testing.T, statements ...string) {
	t.Helper()
	w.sql(t, append(statements, "CREATE TABLE public.zz_mark (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY)")...)
	w.start(t)
}

// TestEnvelopes goes through the kinds of changes under the default settings.
func TestEnvelopes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.begin(t,
		"CREATE TABLE keys (id int PRIMARY KEY, v text)",
		"CREATE TABLE nokey_full (a int, b text)", "ALTER TABLE nokey_full REPLICA IDENTITY FULL",
		"CREATE TABLE nokey (a int)",
		"CREATE TABLE uniq (a int, b text NOT NULL, CONSTRAINT u UNIQUE (b))", "ALTER TABLE uniq REPLICA IDENTITY FULL",
		"CREATE TABLE toast (id int PRIMARY KEY, big text, n int)", "ALTER TABLE toast ALTER big SET STORAGE EXTERNAL",
		"CREATE TABLE toast_full (id int PRIMARY KEY, big text, n int)", "ALTER TABLE toast_full ALTER big SET STORAGE EXTERNAL", "ALTER TABLE toast_full REPLICA IDENTITY FULL",
		"CREATE TABLE emptied (id int PRIMARY KEY)",
		"CREATE TABLE doomed (id int PRIMARY KEY, v text NOT NULL)",
		"CREATE TABLE root (id int PRIMARY KEY) PARTITION BY RANGE (id)", "CREATE TABLE child PARTITION OF root FOR VALUES FROM (0) TO (9)",
	)
	w.sql(t,
		"INSERT INTO keys VALUES (1, 'a')", "UPDATE keys SET id = 2", "DELETE FROM keys",
		"INSERT INTO nokey_full VALUES (1, 'x')", "DELETE FROM nokey_full",
		"INSERT INTO nokey VALUES (1)",
		"INSERT INTO uniq VALUES (1, 'x')",
		"INSERT INTO toast VALUES (1, repeat('x', 3000), 1)", "UPDATE toast SET n = 2",
		"INSERT INTO toast_full VALUES (1, repeat('x', 3000), 1)", "UPDATE toast_full SET n = 2",
		"INSERT INTO emptied VALUES (1)", "TRUNCATE emptied", "INSERT INTO emptied VALUES (2)",
		"INSERT INTO root VALUES (1)",
		"BEGIN; INSERT INTO doomed VALUES (1, 'v'); COMMIT; DROP TABLE doomed",
		"SELECT pg_logical_emit_message(true, 'orders', 'inside'), pg_logical_emit_message(true, 'tailrace.mine', 'never')",
		"SELECT pg_logical_emit_message(false, 'orders', '\\x00ff'::bytea)",
	)
	w.stream(t)
	w.expect(t, "public.keys",
		`c {"id":1} null {"id":1,"v":"a"}`,
		`d {"id":1} {"id":1,"v":null} null`, `tombstone {"id":1} null null`, `c {"id":2} null {"id":2,"v":"a"}`,
		`d {"id":2} {"id":2,"v":null} null`, `tombstone {"id":2} null null`)
	moved := w.records(t, "public.keys", 6)[1:4]
	for i, want := range []string{`new {"id":2} old `, `new {"id":2} old `, `new  old {"id":1}`} {
		if got := fmt.Sprintf("new %s old %s", moved[i].Headers["__debezium.newkey"], moved[i].Headers["__debezium.oldkey"]); got != want {
			t.Errorf("half %d: %s, want %s", i, got, want)
		}
	}
	w.expect(t, "public.nokey_full", `c null null {"a":1,"b":"x"}`, `d null {"a":1,"b":"x"} null`)
	if err := w.try(t, "DELETE FROM nokey"); err == nil || !strings.Contains(err.Error(), "does not have a replica identity") {
		t.Errorf("the server deletes a row that nothing tells of: %v", err)
	}
	w.expect(t, "public.nokey", `c null null {"a":1}`)
	w.expect(t, "public.uniq", `c {"b":"x"} null {"a":1,"b":"x"}`)
	big := strings.Repeat("x", 3000)
	w.expect(t, "public.toast",
		`c {"id":1} null {"id":1,"big":"`+big+`","n":1}`, `u {"id":1} null {"id":1,"big":"__debezium_unavailable_value","n":2}`)
	w.expect(t, "public.toast_full",
		`c {"id":1} null {"id":1,"big":"`+big+`","n":1}`, `u {"id":1} {"id":1,"big":"`+big+`","n":1} {"id":1,"big":"`+big+`","n":2}`)
	if u := w.records(t, "public.toast", 2)[1].Headers[cdc.HeaderUnavailable]; u != "after.big" {
		t.Errorf("unavailable: %s", u)
	}
	w.expect(t, "public.emptied", `c {"id":1} null {"id":1}`, `c {"id":2} null {"id":2}`)
	w.expect(t, "public.child", `c {"id":1} null {"id":1}`)
	w.expect(t, "public.doomed", `c {"id":1} null {"id":1,"v":"v"}`)
	w.expect(t, "message",
		`m {"prefix":"orders"} null {"prefix":"orders","content":"\\x696e73696465"}`, `m {"prefix":"orders"} null {"prefix":"orders","content":"\\x00ff"}`)
	if m := w.records(t, "message", 2); strings.Contains(string(m[0].Source), `"txId":null`) || !strings.Contains(string(m[1].Source), `"txId":null`) {
		t.Errorf("%s\n%s", m[0].Source, m[1].Source)
	}
	if r := w.relay(t, "tail", "message", "--until-end"); !strings.Contains(r.out, "m  message  {prefix:orders content:inside}") {
		t.Errorf("%s%s", r.out, r.err)
	}
	// A table that appears later is read whole and followed.
	w.sql(t, "CREATE TABLE later (id int PRIMARY KEY)", "INSERT INTO later VALUES (1)")
	if got := lineOf(w.records(t, "public.later", 1)[0]); got != `r {"id":1} null {"id":1}` && got != `c {"id":1} null {"id":1}` {
		t.Errorf("got %s", got)
	}
}

// TestSideTopics is about what belongs to no table: transaction metadata,
// truncates, heartbeats, and the choice of messages and operations.
func TestSideTopics(t *testing.T) {
	t.Parallel()
	w := newWorld(t, `tables: {skip: [u]}
format: {transaction_metadata: true, truncate: true, tombstones: false, binary: base64, placeholder: gone}
messages: {include: ["or*"], exclude: [/orde.s/]}
heartbeat: {interval: 200ms, topic: true}
`)
	w.begin(t, "CREATE TABLE a (id int PRIMARY KEY, v int)", "CREATE TABLE b (id int PRIMARY KEY)")
	w.sql(t,
		"BEGIN; INSERT INTO a VALUES (1, 1); INSERT INTO b VALUES (1); UPDATE a SET v = 2; INSERT INTO a VALUES (2, 2); SELECT pg_logical_emit_message(true, 'orbit', 'x'); COMMIT",
		"TRUNCATE a", "DELETE FROM b",
		"SELECT pg_logical_emit_message(true, 'orders', 'excluded'), pg_logical_emit_message(true, 'other', 'not included')")
	w.stream(t)
	w.expect(t, "public.b", `c {"id":1} null {"id":1}`, `d {"id":1} {"id":1} null`)
	a := w.records(t, "public.a", 4)
	var got []string
	for _, s := range a {
		got = append(got, lineOf(s))
	}
	// Each of the two partitions has the truncate, at one position.
	want := []string{`c {"id":1} null {"id":1,"v":1}`, `c {"id":2} null {"id":2,"v":2}`, `t null null null`, `t null null null`}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	if a[2].Partition == a[3].Partition || *a[2].Pos != *a[3].Pos {
		t.Errorf("truncates: %+v\n%+v", a[2], a[3])
	}
	id := transactionID(t, a[0])
	for i, want := range []string{`{"id":"ID","total_order":1,"data_collection_order":1}`, `{"id":"ID","total_order":3,"data_collection_order":2}`} {
		if got := strings.ReplaceAll(string(a[i].Transaction), id, "ID"); got != want {
			t.Errorf("transaction %s, want %s", got, want)
		}
	}
	w.expect(t, "message", `m {"prefix":"orbit"} null {"prefix":"orbit","content":"eA=="}`)
	marks := w.records(t, "transaction", 2)
	begin, end := -1, -1
	for i, s := range marks {
		if string(s.Key) == `{"id":"`+id+`"}` {
			if strings.Contains(string(s.After), `"status":"BEGIN"`) {
				begin = i
			} else {
				end = i
			}
		}
	}
	if begin < 0 || end < begin {
		t.Fatalf("no BEGIN or END of %s in %+v", id, marks)
	}
	if got := string(marks[end].After); !strings.Contains(got, `"event_count":4,"data_collections":[{"data_collection":"public.a","event_count":2},{"data_collection":"public.b","event_count":1},{"data_collection":"message","event_count":1}]`) {
		t.Errorf("END: %s", got)
	}
	beats := w.records(t, "heartbeat", 2)
	if string(beats[0].Key) != `{"serverName":"`+w.name+`"}` || !strings.Contains(string(beats[0].After), `"ts_ms":`) {
		t.Errorf("%+v", beats[0])
	}
	for topic, want := range map[string]string{"heartbeat": "-  heartbeat  {ts_ms:", "transaction": "  -  transaction  {status:BEGIN id:", "public.a": "t  public.a\n"} {
		if r := w.relay(t, "tail", topic, "--until-end"); !strings.Contains(r.out, want) {
			t.Errorf("no %q in\n%s%s", want, r.out, r.err)
		}
	}
	if r := w.relay(t, "tail", "transaction", "--until-end", "--table"); r.code != 0 || !strings.Contains(r.out, "event_count") {
		t.Errorf("%s%s", r.out, r.err)
	}
	for reason, n := range map[string]string{"operation": "1", "message": "2"} {
		if got := w.metric(t, `tailrace_relay_filtered_total{reason="`+reason+`"}`); got != n {
			t.Errorf("filtered by %s: %s, want %s", reason, got, n)
		}
	}
}

func transactionID(t *testing.T, s shown) string {
	t.Helper()
	_, rest, ok := strings.Cut(string(s.Transaction), `"id":"`)
	id, _, _ := strings.Cut(rest, `"`)
	if !ok {
		t.Fatalf("no transaction in %+v", s)
	}
	return id
}
