package processors_test

import (
	"context"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/processors"
)

// counted is a dead-letter topic that counts what is written at once.
type counted struct {
	processors.Letters
	writes atomic.Int32
}

func (c *counted) Write(ctx context.Context, sources []string, letters []kafka.Message) error {
	c.writes.Add(1)
	return c.Letters.Write(ctx, sources, letters)
}

// backlog publishes batches of five rows, of each of which the first is faulty.
func backlog(w *world, batches int) {
	var records []record
	for i := range 5 * batches {
		r := w.put(i+1, i, "n", "x", i)
		if i%5 == 0 {
			r.pos = ""
		}
		records = append(records, r)
	}
	w.publish(records...)
}

func (w *world) startCounted() (*process, *counted) {
	topic := &counted{}
	return w.start(func(s *setup) {
		letters, err := kafka.NewDeadLetters(s.consumer.Config, "p.dead_letter", 1)
		if err != nil {
			w.t.Fatal(err)
		}
		w.t.Cleanup(letters.Close)
		topic.Letters, s.config.Letters, s.config.BatchRows = letters, topic, 5
	}), topic
}

const outboxSize = "SELECT count(*)::text FROM tailrace.dead_letters"

func TestDeadLettersOfBatchesInARowGoTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	narrow(w)
	const batches = 60
	backlog(w, batches)
	unlock := w.lock()
	p, topic := w.startCounted()
	until(t, "messages to wait", func() bool { return p.gauge("tailrace_processor_in_flight_bytes") > 0 })
	unlock()
	w.reach(0, 5*batches)
	for i, r := range w.dead(batches) {
		if got := headers(r)["dlq.original.offset"]; got != strconv.Itoa(5*i) {
			t.Fatalf("dead letter %d is of offset %s", i, got)
		}
	}
	until(t, "an empty outbox", func() bool { return w.value(outboxSize) == "0" })
	if n := topic.writes.Load(); n >= batches {
		t.Errorf("the dead letters of %d batches were written in %d turns", batches, n)
	}
}

func TestDeadLettersDoNotWaitForBatchesThatFail(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.exec(`CREATE TABLE public.items (id integer PRIMARY KEY, name text, note text, amount bigint, _tailrace_gen bigint, _tailrace_pos text COLLATE "C")`)
	w.exec(`CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.id = 7 THEN RAISE EXCEPTION 'no' USING ERRCODE = '40001'; END IF; RETURN NEW; END $$`)
	w.exec(`CREATE TRIGGER no BEFORE INSERT ON public.items FOR EACH ROW EXECUTE FUNCTION no()`)
	backlog(w, 2)
	unlock := w.lock()
	p, _ := w.startCounted()
	until(t, "messages to wait", func() bool { return p.gauge("tailrace_processor_in_flight_bytes") > 0 })
	unlock()
	until(t, "the partition to retry", func() bool { return p.partitionState() == "retrying" })
	if got := headers(w.dead(1)[0])["dlq.original.offset"]; got != "0" {
		t.Errorf("the first dead letter is of offset %s", got)
	}
	w.exec("DROP TRIGGER no ON public.items")
	w.reach(0, 10)
}

func TestWhoGivesAPartitionBackDeliversItsDeadLetters(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	backlog(w, 200)
	p, _ := w.startCounted()
	until(t, "some batches", func() bool { return w.offset(0) >= 50 })
	p.stop()
	if got := w.value(outboxSize); got != "0" {
		t.Errorf("%s dead letters are left in the outbox", got)
	}
}
