package main

import (
	"encoding/binary"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// raw are the first n records of a topic as they are.
func (w *world) raw(t *testing.T, topic string, n int) []*kgo.Record {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(w.kafka), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var got []*kgo.Record
	for len(got) < n {
		fetches := client.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		got = append(got, fetches.Records()...)
	}
	return got
}

// TestADefaultAloneKeepsTheKeysSchema: with a partitioner that hashes all bytes of
// the key, another id would send the row to another partition.
func TestADefaultAloneKeepsTheKeysSchema(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "kafka: {partitioner: debezium}\n")
	w.begin(t, "CREATE TABLE orders (id int PRIMARY KEY, note text)", "INSERT INTO orders VALUES (1, 'a')")
	w.sql(t, "ALTER TABLE orders ALTER id SET DEFAULT 5", "INSERT INTO orders VALUES (2, 'b')", "UPDATE orders SET note = 'c' WHERE id = 1",
		"ALTER TABLE orders ADD extra int DEFAULT 7", "UPDATE orders SET note = 'd' WHERE id = 1")
	w.stream(t)
	ids, partitions := map[uint32]bool{}, map[int32]bool{}
	for _, r := range w.raw(t, w.name+".public.orders", 4) {
		ids[binary.BigEndian.Uint32(r.Key[1:])] = true
		if r.Key[5] == 2 { // 1 as Avro has it
			partitions[r.Partition] = true
		}
	}
	if len(ids) != 1 || len(partitions) != 1 {
		t.Errorf("keys under the ids %v, row 1 in the partitions %v, want one of each", ids, partitions)
	}
}

func TestANewKeyShapeStopsTheRelay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.begin(t, "CREATE TABLE orders (id int PRIMARY KEY, line int NOT NULL)", "INSERT INTO orders VALUES (1, 1)")
	w.sql(t, "ALTER TABLE orders DROP CONSTRAINT orders_pkey, ADD PRIMARY KEY (id, line)", "INSERT INTO orders VALUES (1, 2)")
	w.stopped(t, "public.orders", "id int, line int", "kafka.on_key_change: new_topic")
}

func TestANewKeyShapeGoesOnInANewTopicVersion(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "kafka: {on_key_change: new_topic}\n")
	w.begin(t, "CREATE TABLE orders (id int PRIMARY KEY, line int NOT NULL)", "INSERT INTO orders VALUES (1, 1)")
	w.sql(t, "ALTER TABLE orders DROP CONSTRAINT orders_pkey, ADD PRIMARY KEY (id, line)", "INSERT INTO orders VALUES (1, 2)",
		"ALTER TABLE orders ALTER line SET DEFAULT 1", "DELETE FROM orders")
	w.stream(t)
	w.expect(t, w.name+".public.orders", `r {"id":1} null {"id":1,"line":1}`)
	w.expect(t, w.name+".public.orders.v2", `c {"id":1,"line":2} null {"id":1,"line":2}`,
		`d {"id":1,"line":1} {"id":1,"line":1} null`, `tombstone {"id":1,"line":1} null null`, `d {"id":1,"line":2} {"id":1,"line":2} null`, `tombstone {"id":1,"line":2} null null`)
}
