package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tailrace/tailrace/cdc"
)

// debezium is a connector's producer. Its values are "xid lsn after snapshot
// status", as the tests' decoder reads them.
type debezium struct {
	t      *testing.T
	client *kgo.Client
}

func newDebezium(t *testing.T, addr string) *debezium {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return &debezium{t, client}
}

func (d *debezium) write(topic string, partition int32, key string, values ...string) {
	d.t.Helper()
	var records []*kgo.Record
	for _, v := range values {
		r := &kgo.Record{Topic: topic, Partition: partition}
		if key != "" {
			r.Key = []byte(key)
		}
		if v != "tombstone" {
			r.Value = []byte(v)
		}
		records = append(records, r)
	}
	if err := d.client.ProduceSync(context.Background(), records...).FirstErr(); err != nil {
		d.t.Fatal(err)
	}
}

func decode(value []byte) (a cdc.Adopted, err error) {
	if string(value) == "damaged" {
		return a, errors.New("not Avro")
	}
	_, err = fmt.Sscanf(string(value), "%d %d %d %s %s", &a.XID, (*uint64)(&a.LSN), (*uint64)(&a.After), &a.Snapshot, &a.Status)
	if a.Status == "-" {
		a.Status = ""
	}
	return a, err
}

func adopter(t *testing.T, addr string) *Publisher {
	t.Helper()
	p := newPublisher(t, addr, "shop")
	p.config.Adopt = AdoptConfig{Decode: decode, Also: []string{"elsewhere"}}
	return p
}

// ends gives the tails in readable form, in order.
func ends(t *testing.T, p *Publisher) []string {
	t.Helper()
	tails, err := p.Tails(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(tails, func(a, b cdc.Tail) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	var out []string
	for _, t := range tails {
		text := fmt.Sprintf("%s/%d %d:%d after %d %s%s ×%d", t.Topic, t.Partition, t.Last.XID, uint64(t.Last.LSN), uint64(t.Last.After), t.Last.Snapshot, t.Last.Status, t.Events)
		if t.Partition != cdc.Keyless {
			text += fmt.Sprintf(", before %d", uint64(t.Before.LSN))
		}
		out = append(out, text)
	}
	return out
}

func TestTailsOfDebeziumsTopics(t *testing.T) {
	t.Parallel()
	addr := newBroker(t)
	p := adopter(t, addr)
	for _, topic := range []string{"shop.public.t", "shop.public.k", "shop.public.empty", "shop.message", "shop.transaction", "elsewhere", "shop.dead_letter", "other.public.t"} {
		if _, err := p.create(t.Context(), topic, 3, nil); err != nil {
			t.Fatal(err)
		}
	}
	d := newDebezium(t, addr)
	d.write("shop.public.t", 0, "k", "5 50 40 first -", "5 50 40 last -") // a snapshot
	d.write("shop.public.t", 1, "k", "5 50 40 true -", "6 60 55 false -", "6 61 55 false -", "tombstone", "6 61 55 false -", "0 0 61 incremental -", "tombstone")
	d.write("shop.public.k", 0, "", "7 70 65 false -", "7 71 65 false -")
	d.write("shop.public.k", 2, "", "7 71 65 false -")
	d.write("shop.message", 0, "p", "0 80 80 false -")
	d.write("shop.transaction", 0, "x", "6 62 0 false END", "7 70 0 false BEGIN")
	d.write("elsewhere", 0, "k", "8 90 85 false -")
	d.write("shop.dead_letter", 0, "k", "damaged")
	d.write("other.public.t", 0, "k", "damaged")
	got := ends(t, p)
	want := []string{
		"elsewhere/-1 8:90 after 85 false ×1", "elsewhere/0 8:90 after 85 false ×1, before 0",
		"shop.message/-1 0:80 after 80 false ×1", "shop.message/0 0:80 after 80 false ×1, before 0",
		"shop.public.k/-1 7:71 after 65 false ×2", "shop.public.k/0 7:71 after 65 false ×1, before 70", "shop.public.k/2 7:71 after 65 false ×1, before 0",
		"shop.public.t/-1 6:61 after 55 false ×2", "shop.public.t/0 5:50 after 40 last ×2, before 0", "shop.public.t/1 6:61 after 55 false ×2, before 60",
		"shop.transaction/-1 7:70 after 0 falseBEGIN ×1", "shop.transaction/0 7:70 after 0 falseBEGIN ×1, before 62",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if err := p.Commit(t.Context(), progressAt(1)); err != nil {
		t.Fatal(err)
	}
	next := newPublisher(t, addr, "shop")
	if _, err := next.Read(t.Context()); err != nil || next.pinned["shop.public.t"].Partitions != 3 {
		t.Errorf("pinned %v, %v: want the partition counts as they are", next.pinned, err)
	}
}

// TestALongRunIsReadWhole: what ends a partition may be longer than what is read
// of it at first.
func TestALongRunIsReadWhole(t *testing.T) {
	t.Parallel()
	addr := newBroker(t)
	p := adopter(t, addr)
	for _, topic := range []string{"shop.public.copied", "shop.public.deleted", "shop.public.snapshot"} {
		if _, err := p.create(t.Context(), topic, 1, nil); err != nil {
			t.Fatal(err)
		}
	}
	const n = 10*firstWindow + 7
	d := newDebezium(t, addr)
	d.write("shop.public.copied", 0, "k", "5 50 40 false -")
	d.write("shop.public.copied", 0, "k", slices.Repeat([]string{"6 60 55 false -"}, n)...)
	d.write("shop.public.deleted", 0, "k", "6 60 55 false -")
	d.write("shop.public.deleted", 0, "k", slices.Repeat([]string{"tombstone"}, n)...)
	d.write("shop.public.snapshot", 0, "k", slices.Repeat([]string{"6 60 55 true -"}, n)...)
	want := []string{
		fmt.Sprintf("shop.public.copied/0 6:60 after 55 false ×%d, before 50", n),
		"shop.public.deleted/0 6:60 after 55 false ×1, before 0",
		fmt.Sprintf("shop.public.snapshot/0 6:60 after 55 true ×%d, before 0", firstWindow),
	}
	var got []string
	for i, e := range ends(t, p) {
		if i%2 == 1 {
			got = append(got, e)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q,\nwant %q", got, want)
	}
}

func TestTailsOfNothing(t *testing.T) {
	t.Parallel()
	if got := ends(t, adopter(t, newBroker(t))); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

func TestARecordThatIsNotDebeziumsStops(t *testing.T) {
	t.Parallel()
	addr := newBroker(t)
	p := adopter(t, addr)
	if _, err := p.create(t.Context(), "shop.public.t", 1, nil); err != nil {
		t.Fatal(err)
	}
	newDebezium(t, addr).write("shop.public.t", 0, "k", "damaged")
	if _, err := p.Tails(t.Context()); !cdc.Stopped(err) {
		t.Errorf("%v, want a StopError", err)
	}
}

// TestAnEndWithoutARecord: compaction can have removed what stood at the last
// offset.
func TestAnEndWithoutARecord(t *testing.T) {
	t.Parallel()
	addr := newBroker(t)
	p := adopter(t, addr)
	if _, err := p.create(t.Context(), "shop.public.t", 1, nil); err != nil {
		t.Fatal(err)
	}
	newDebezium(t, addr).write("shop.public.t", 0, "k", "5 50 40 false -")
	w := &window{end: 3}
	if err := p.readWindows(t.Context(), map[TopicPartition]*window{{"shop.public.t", 0}: w}, 10); err != nil || w.events != 1 {
		t.Errorf("%v, %+v", err, w)
	}
}
