package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestHowFarADebeziumCame(t *testing.T) {
	t.Parallel()
	d := newDecoder(nil)
	for value, want := range map[string]string{
		`{"source":{"txId":7,"lsn":900,"sequence":"[\"800\",\"900\"]","snapshot":"false"},"op":"c"}`:    "{7 0/384 0/320 false }",
		`{"source":{"txId":7,"lsn":900,"sequence":"[null,\"900\"]","snapshot":"last"},"op":"r"}`:        "{7 0/384 0/0 last }",
		`{"source":{"txId":null,"lsn":900,"sequence":"[\"900\",\"900\"]","snapshot":"false"},"op":"m"}`: "{0 0/384 0/384 false }",
		`{"status":"BEGIN","id":"7:900","event_count":null}`:                                            "{7 0/384 0/0  BEGIN}",
		`{"status":"END","id":"7:901","event_count":1}`:                                                 "{7 0/385 0/0  END}",
		`{"status":"BEGIN","id":"7:0"}`:                                                                 "{7 0/0 0/0  BEGIN}",
	} {
		a, err := d.adopted(t.Context(), []byte(value))
		if got := fmt.Sprint(a); err != nil || got != want {
			t.Errorf("%s: %s (%v), want %s", value, got, err, want)
		}
	}
	for _, value := range []string{`{}`, `[]`, `{"schema":{},"payload":{}}`, `{"status":"END","id":"x"}`, `{"status":"END","id":"7"}`, `{"source":{"sequence":"[1]"}}`, `{"source":{"sequence":"[\"x\",\"1\"]"}}`} {
		if a, err := d.adopted(t.Context(), []byte(value)); err == nil {
			t.Errorf("%s: taken as %v", value, a)
		}
	}
}

// TestSlotIsTakenOverWhereItsTopicsEnd: a relay under compat stands for the
// Debezium whose slot and topics another one takes over. The second knows nothing
// of the first but these.
func TestSlotIsTakenOverWhereItsTopicsEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "kafka: {partitioner: debezium}\nformat: {transaction_metadata: true}\n")
	w.sql(t, "CREATE TABLE orders (id int PRIMARY KEY, v int)", "INSERT INTO orders VALUES (1, 0)")
	stop := w.run(t)
	w.sql(t, "INSERT INTO orders SELECT g, g FROM generate_series(2, 9) g")
	before := w.records(t, "public.orders", 9)
	stop()
	w.forgetProgress(t)
	w.sql(t, "UPDATE orders SET v = 10 WHERE id = 3", "INSERT INTO orders VALUES (10, 10)")

	w.configure(t, "postgres: {", "postgres: {slot: {adopt: true}, ")
	w.start(t)
	w.sql(t, "DELETE FROM orders WHERE id = 1")
	after := w.records(t, "public.orders", len(before)+4)[len(before):]
	var got []string
	for _, s := range after {
		got = append(got, lineOf(s))
	}
	want := []string{`u {"id":3} null {"id":3,"v":10}`, `c {"id":10} null {"id":10,"v":10}`, `d {"id":1} {"id":1,"v":null} null`, `tombstone {"id":1} null null`}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// forgetProgress deletes the relay's own topics, as if another program had written
// the others.
func (w *world) forgetProgress(t *testing.T) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(w.kafka))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	deleted, err := kadm.NewClient(client).DeleteTopics(t.Context(), "tailrace."+w.name+".progress", "tailrace."+w.name+".schema")
	if err := errors.Join(err, deleted.Error()); err != nil {
		t.Fatal(err)
	}
}

// configure replaces a text of the configuration.
func (w *world) configure(t *testing.T, old, new string) {
	t.Helper()
	text, err := os.ReadFile(w.file)
	if err != nil || !strings.Contains(string(text), old) {
		t.Fatalf("no %q in %s (%v)", old, text, err)
	}
	w.file = write(t, "relay.yaml", strings.Replace(string(text), old, new, 1))
}
