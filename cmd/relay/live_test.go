package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/internal/ops"
)

func TestCheckOfAHealthyStack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.sql(t, "CREATE TABLE orders (id int PRIMARY KEY, total numeric(10,2))")
	found, code := w.findings(t)
	if code != 0 {
		t.Errorf("exit %d: %+v", code, found)
	}
	for _, want := range []struct{ check, text string }{
		{"postgres", "answers"},
		{"slot", "relay run makes it"},
		{"publication", "relay run makes it"},
		{"tables", "1 tables match"},
		{"kafka", "Kafka answers"},
		{"replicas", "accepted by kafka.single_broker"},
		{"topic", w.name + ".public.orders"},
		{"registry", "answers"},
		{"max_replication_slots", "in use"},
	} {
		if !has(found, want.check, cdc.LevelInfo, want.text) {
			t.Errorf("no %s: %s in %+v", want.check, want.text, found[want.check])
		}
	}
	// The server's max_slot_wal_keep_size is at its default: a warning.
	if !has(found, "max_slot_wal_keep_size", cdc.LevelWarning, "-1") {
		t.Errorf("%+v", found["max_slot_wal_keep_size"])
	}
	if _, code := w.findings(t, "--strict"); code != 4 {
		t.Errorf("--strict: exit %d", code)
	}
	if r := w.relay(t, "check"); r.code != 0 || !strings.Contains(r.out, "LEVEL") || strings.Contains(r.out, "\x1b") {
		t.Errorf("exit %d\n%s", r.code, r.out)
	}
}

func TestCheckOfTables(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.sql(t,
		"CREATE TABLE keyless (a int)",
		"CREATE TABLE nothing (id int PRIMARY KEY)", "ALTER TABLE nothing REPLICA IDENTITY NOTHING",
		"CREATE TABLE fine (id int PRIMARY KEY)")
	found, code := w.findings(t)
	if code != 4 || !has(found, "table_key", cdc.LevelWarning, `"public"."keyless"`) || !has(found, "replica_identity", cdc.LevelError, `"public"."nothing"`) {
		t.Errorf("exit %d: %+v", code, found)
	}
	if r := w.relay(t, "check", "--grants"); r.code != 0 || !strings.Contains(r.out, `GRANT SELECT ON "public"."fine", "public"."keyless", "public"."nothing" TO "tailrace"`) ||
		!strings.Contains(r.out, "CREATE PUBLICATION ") || !strings.Contains(r.out, "LOGIN REPLICATION") {
		t.Errorf("exit %d\n%s", r.code, r.out)
	}
}

// TestCheckOfOverrides: what does not fit a table is found before a relay runs.
func TestCheckOfOverrides(t *testing.T) {
	t.Parallel()
	w := newWorld(t, `tables:
  overrides:
    public.orders: {key: [nope]}
    public.people: {mask: {born: {asterisks: 3}}, where: "secret = 1"}
    public.pets: {columns: {exclude: [id]}}
`)
	w.sql(t, "CREATE TABLE orders (id int PRIMARY KEY)", "CREATE TABLE people (id int PRIMARY KEY, born date, secret int)", "CREATE TABLE pets (id int PRIMARY KEY)")
	found, code := w.findings(t)
	if code != 4 || !has(found, "overrides", cdc.LevelError, `names column "nope"`) || !has(found, "overrides", cdc.LevelError, "table public.pets") ||
		!has(found, "mask", cdc.LevelError, `column "born" is of type date`) || !has(found, "row_filter", cdc.LevelError, "replica identity") {
		t.Errorf("exit %d: %+v", code, found)
	}
	if r := w.relay(t, "schema", "show", "public.pets"); r.code != 1 || r.out != "" || !strings.Contains(r.err, "left out") {
		t.Errorf("exit %d: %s%s", r.code, r.out, r.err)
	}
	if r := w.relay(t, "schema", "check", "public.pets"); r.code != 4 || !strings.Contains(r.out, "table public.pets") {
		t.Errorf("exit %d: %s%s", r.code, r.out, r.err)
	}
}

func TestCheckOfARoleWithoutPrivileges(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	role := w.name + "_role"
	w.sql(t, "CREATE TABLE orders (id int PRIMARY KEY)")
	w.asDBA(t, "CREATE ROLE "+role+" LOGIN PASSWORD 'x'")
	t.Cleanup(func() {
		conn, err := pgx.Connect(context.Background(), w.dba)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close(context.Background()) }()
		if _, err := conn.Exec(context.Background(), "DROP ROLE "+role); err != nil {
			t.Error(err)
		}
	})
	text, err := os.ReadFile(w.file)
	if err != nil {
		t.Fatal(err)
	}
	conf, err := pgx.ParseConfig(w.database)
	if err != nil {
		t.Fatal(err)
	}
	url := fmt.Sprintf("postgres://%s:x@%s:%d/%s", role, conf.Host, conf.Port, conf.Database)
	w.file = write(t, "relay.yaml", strings.Replace(string(text), w.database, url, 1))
	found, code := w.findings(t)
	if code != 4 || !has(found, "replication", cdc.LevelError, "may not replicate") || !has(found, "publication", cdc.LevelError, "may not create one") ||
		!has(found, "publication", cdc.LevelError, "does not own") || !has(found, "select", cdc.LevelError, `"public"."orders"`) {
		t.Errorf("exit %d: %+v", code, found)
	}
}

func TestCheckOfSlotAndPublication(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "tables: {include: [public.*]}\n")
	slot := "tailrace_" + w.name
	w.sql(t, "CREATE TABLE orders (id int PRIMARY KEY)", "CREATE TABLE other (id int PRIMARY KEY)",
		"CREATE PUBLICATION "+slot+" FOR TABLE orders WITH (publish = 'insert')",
		"SELECT pg_create_logical_replication_slot('"+slot+"', 'test_decoding')")
	found, code := w.findings(t)
	if code != 4 || !has(found, "slot", cdc.LevelError, "not a logical slot of pgoutput") || !has(found, "publication", cdc.LevelWarning, "leaves out every delete and update") ||
		!has(found, "publication", cdc.LevelInfo, `adds to publication`) {
		t.Errorf("exit %d: %+v", code, found)
	}
	w.sql(t, "SELECT pg_drop_replication_slot('"+slot+"')", "SELECT pg_create_logical_replication_slot('"+slot+"', 'pgoutput', false, true)")
	if found, _ := w.findings(t); !has(found, "slot", cdc.LevelError, "two_phase") {
		t.Errorf("%+v", found["slot"])
	}
}

func TestCheckWhenNothingAnswers(t *testing.T) {
	t.Parallel()
	file := write(t, "relay.yaml", fmt.Sprintf("name: shop\npostgres: {url: postgres://u:hunter2@%s/x}\nkafka: {brokers: [%s]}\nregistry: {url: http://%s}\n",
		freeAddress(t), freeAddress(t), freeAddress(t)))
	w := &world{file: file}
	found, code := w.findings(t)
	if code != 4 || len(found["postgres"]) != 1 || len(found["kafka"]) != 1 || len(found["registry"]) != 1 || strings.Contains(fmt.Sprint(found), "hunter2") {
		t.Errorf("exit %d: %+v", code, found)
	}
	if r := w.relay(t, "status"); r.code != 1 || !strings.Contains(r.err, "no relay answers at ops.listen") || strings.Contains(r.err, "hunter2") {
		t.Errorf("status: exit %d %s", r.code, r.err)
	}
}

func TestCheckRefusesASingleBrokerUnlessTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.sql(t, "CREATE TABLE orders (id int PRIMARY KEY)")
	text, err := os.ReadFile(w.file)
	if err != nil {
		t.Fatal(err)
	}
	w.file = write(t, "relay.yaml", strings.Replace(string(text), "single_broker: true", "single_broker: false", 1))
	if found, code := w.findings(t); code != 4 || !has(found, "replicas", cdc.LevelError, "three replicas") {
		t.Errorf("exit %d: %+v", code, found)
	}
}

func TestTailAndStatusOfARunningRelay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.sql(t, "CREATE TABLE orders (id int PRIMARY KEY, total numeric(10,2), note text)", "INSERT INTO orders VALUES (1, 12.50, 'a b')")

	if r := w.relay(t, "status"); r.code != 0 || !strings.Contains(r.out, "no relay answers") || !strings.Contains(r.out, "absent") {
		t.Errorf("before: exit %d\n%s%s", r.code, r.out, r.err)
	}
	w.start(t)
	w.sql(t, "UPDATE orders SET total = 13 WHERE id = 1", "DELETE FROM orders", "INSERT INTO orders VALUES (2, NULL, 'x')")

	topic := w.name + ".public.orders"
	var records []shown
	eventually(t, "five records", func() bool {
		records = nil
		r := w.relay(t, "tail", "--until-end", "-o", "json")
		if r.code != 0 {
			t.Fatalf("exit %d: %s", r.code, r.err)
		}
		for line := range strings.Lines(r.out) {
			var s shown
			if err := json.Unmarshal([]byte(line), &s); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			records = append(records, s)
		}
		return len(records) >= 5
	})
	var got []string
	for _, s := range records {
		op := "null"
		if s.Op != nil {
			op = *s.Op
		}
		if s.Topic != topic || s.Pos == nil || s.Timestamp == 0 || s.Error != "" || s.Headers[cdc.HeaderPosition] != *s.Pos {
			t.Errorf("%+v", s)
		}
		if string(s.Key) == `{"id":1}` { // the other row may be in another partition
			got = append(got, fmt.Sprintf("%s %s %s", op, s.Before, s.After))
		}
	}
	want := []string{
		`r null {"id":1,"total":12.50,"note":"a b"}`,
		`u null {"id":1,"total":13.00,"note":"a b"}`,
		`d {"id":1,"total":null,"note":null} null`,
		`null null null`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}

	r := w.relay(t, "tail", "orders", "-n", "1", "--until-end")
	if r.code != 0 || strings.Count(r.out, "\n") != 1 || !strings.Contains(r.out, "  public.orders  {id:") {
		t.Errorf("exit %d: %s%s", r.code, r.out, r.err)
	}
	if r := w.relay(t, "tail", topic, "--from", "end", "--until-end"); r.code != 0 || r.out != "" {
		t.Errorf("from the end: exit %d: %s%s", r.code, r.out, r.err)
	}
	if r := w.relay(t, "tail", "--from", "999", "--until-end"); r.code != 0 || r.out != "" {
		t.Errorf("from behind the end: exit %d: %s%s", r.code, r.out, r.err)
	}
	if r := w.relay(t, "tail", "public.orders", "--table", "--until-end"); r.code != 0 || !strings.HasPrefix(r.out, "POSITION") || !strings.Contains(r.out, "id  total  note") {
		t.Errorf("exit %d: %s%s", r.code, r.out, r.err)
	}
	if r := w.relay(t, "tail", "nonsense", "--until-end"); r.code != 1 || !strings.Contains(r.err, "there are: "+topic) {
		t.Errorf("exit %d: %s", r.code, r.err)
	}

	var status report
	if r := w.relay(t, "status", "-o", "json"); json.Unmarshal([]byte(r.out), &status) != nil || status.State != ops.StateStreaming || status.Name != w.name || status.ServerLSN == 0 {
		t.Errorf("exit %d: %s%s", r.code, r.out, r.err)
	}
	if r := w.relay(t, "status"); r.code != 0 || !strings.Contains(r.out, "streaming") || !strings.Contains(r.out, "lag") {
		t.Errorf("exit %d: %s%s", r.code, r.out, r.err)
	}
	if found, code := w.findings(t); code != 0 || !has(found, "slot", cdc.LevelInfo, "a relay runs") || !has(found, "topic", cdc.LevelInfo, "topics are there") {
		t.Errorf("exit %d: %+v", code, found)
	}
}

func TestTailFollowsUntilStopped(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.sql(t, "CREATE TABLE orders (id int PRIMARY KEY)", "INSERT INTO orders VALUES (1)")
	w.start(t)
	cmd := exec.Command(filepath.Join(bin, "relay"), "tail", "-o", "json", "-c", w.file)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := json.NewDecoder(out)
	next := func() shown {
		var s shown
		if err := lines.Decode(&s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	if s := next(); string(s.After) != `{"id":1}` {
		t.Errorf("got %+v", s)
	}
	w.sql(t, "INSERT INTO orders VALUES (2)")
	if s := next(); string(s.After) != `{"id":2}` {
		t.Errorf("got %+v", s)
	}
	w.sql(t, "CREATE TABLE later (id int PRIMARY KEY)", "INSERT INTO later VALUES (3)")
	if s := next(); s.Topic != w.name+".public.later" {
		t.Errorf("got %+v", s)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("stopped by Ctrl-C: %v", err)
	}
}

// TestAPublicationOfOthersIsNotRefusedForWhatItDoes: a table without replica
// identity is not put into a publication, because its application could not delete
// rows any more. One that stands in a publication which the relay leaves alone is
// no reason to stay away.
func TestAPublicationOfOthersIsNotRefusedForWhatItDoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "postgres: {publication: {name: others, create: false}}\n")
	w.asDBA(t, "CREATE PUBLICATION others FOR ALL TABLES")
	w.begin(t, "CREATE TABLE blind (id int PRIMARY KEY)", "ALTER TABLE blind REPLICA IDENTITY NOTHING")
	w.sql(t, "INSERT INTO blind VALUES (1)")
	w.stream(t)
	w.expect(t, "public.blind", `c {"id":1} null {"id":1}`)
}
