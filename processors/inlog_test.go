package processors_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/processors"
)

// Every kind of change goes through as it came: bytes, headers and partition.
func TestLogUntouchedChangesKeepTheirBytes(t *testing.T) {
	t.Parallel()
	w := newLogWorld(t, 1)
	records := []record{w.put(1, 1, "one", "x", 1), w.put(2, 2, "two", "y", 2), w.del(3, 1)}
	w.publish(records...)
	w.publish(tombstone(records[2]))
	p := w.startLog()
	w.reachLog(topic, 0, 4)
	w.wantSaid(outTopic, "u 1,one,x,1", "u 2,two,y,2", "d 1", "tombstone 1")
	outs := w.outputs(outTopic)
	for i, o := range outs[:3] {
		if string(o.key) != string(records[i].key) || string(o.value) != string(records[i].value) || o.pos != records[i].pos {
			t.Errorf("record %d: its bytes or its position have changed", i)
		}
	}
	if got, want := outs[3].pos, tombstone(records[2]).pos; got != want {
		t.Errorf("the tombstone's position: got %s, want %s", got, want)
	}
	p.wantCounters(map[string]int{"applied": 3, "filtered": 1})
}

// What a step changes leaves as a record of its own: its schema is registered for the
// output topic, its key is the row's still, and its position says that it is derived.
func TestLogChangedRowsGetASchemaOfTheirOwn(t *testing.T) {
	t.Parallel()
	w := newLogWorld(t, 1)
	w.publish(w.put(1, 1, "one", "x", 1), w.put(2, 2, "keep", "y", 2), w.putName(3, 1, "uno", 3), w.del(4, 1))
	shout := processors.StepFunc(func(ctx context.Context, c *processors.Change, s processors.State, emit processors.Emit) error {
		if name, err := c.Row().Text("name"); err == nil && name != "keep" {
			if err := c.Set("name", processors.Text(strings.ToUpper(name))); err != nil {
				return err
			}
		}
		return emit(c)
	})
	w.startLog(logSteps(shout))
	w.reachLog(topic, 0, 4)
	w.wantSaid(outTopic, "u 1,ONE,x,1", "u 2,keep,y,2", "u 1,UNO,__debezium_unavailable_value,3", "d 1", "tombstone 1")
	outs := w.outputs(outTopic)
	if got, want := outs[0].pos, at(1).String()+"/0000"; got != want {
		t.Errorf("position of what was changed: got %s, want %s", got, want)
	}
	if got, want := outs[1].pos, at(2).String(); got != want {
		t.Errorf("position of what was not: got %s, want %s", got, want)
	}
	if got := outs[2].headers[cdc.HeaderUnavailable]; got != "after.note" {
		t.Errorf("columns that are not there: got %q", got)
	}
	if string(outs[0].key) != string(outs[4].key) {
		t.Error("the key's bytes of a row differ: a compacted topic would keep both")
	}
}

func logSteps(all ...processors.Step) logOption {
	return func(s *logSetup) {
		for i, step := range all {
			s.config.Steps = append(s.config.Steps, processors.StepConfig{Name: fmt.Sprintf("steps[%d]", i), New: func() processors.Step { return step }})
		}
	}
}

// A row that a step gives another key, or several rows of one, find their partition by
// their own key.
func TestLogAStepMayGiveSeveralRowsOfAnotherKey(t *testing.T) {
	t.Parallel()
	w := newLogWorld(t, 1)
	w.publish(w.put(1, 1, "one", "x", 1))
	twice := processors.StepFunc(func(ctx context.Context, c *processors.Change, s processors.State, emit processors.Emit) error {
		second := c.Clone()
		if err := second.Set("id", processors.Int(100)); err != nil {
			return err
		}
		return errors.Join(emit(c), emit(second))
	})
	w.startLog(logSteps(twice))
	w.reachLog(topic, 0, 1)
	w.wantSaid(outTopic, "u 1,one,x,1", "u 100,one,x,1")
	outs := w.outputs(outTopic)
	if got, want := outs[1].pos, at(1).String()+"/0001"; got != want || w.keyText(outs[1].key) != "100" {
		t.Errorf("the second row: position %s, want %s; key %s", got, want, w.keyText(outs[1].key))
	}
}

// The gate: what a relay repeats, what comes late, what a zombie writes.
func TestLogGateCountsDuplicateAndStaleApart(t *testing.T) {
	t.Parallel()
	w := newLogWorld(t, 1)
	w.publish(w.put(5, 1, "five", "x", 5), w.put(5, 1, "five", "x", 5), w.put(4, 1, "four", "x", 4), w.put(3, 2, "other row", "x", 3), w.del(6, 1), w.put(5, 1, "five", "x", 5), w.put(7, 1, "seven", "x", 7))
	p := w.startLog()
	w.reachLog(topic, 0, 7)
	w.wantSaid(outTopic, "u 1,five,x,5", "u 2,other row,x,3", "d 1", "tombstone 1", "u 1,seven,x,7")
	p.wantCounters(map[string]int{"applied": 4, "duplicate": 1, "stale": 2})
	p.stop()
	w.publish(w.put(6, 1, "late", "x", 6), w.put(3, 2, "other row", "x", 3))
	p = w.startLog()
	w.reachLog(topic, 0, 9)
	p.wantCounters(map[string]int{"duplicate": 1, "stale": 1})
}

// A new generation applies again what an older one has seen.
func TestLogNewGenerationOverwrites(t *testing.T) {
	t.Parallel()
	w := newLogWorld(t, 1)
	w.publish(w.put(5, 1, "five", "x", 5))
	p := w.startLog()
	w.reachLog(topic, 0, 1)
	p.stop()
	w.publish(w.put(3, 1, "three again", "x", 3), w.put(5, 1, "five again", "x", 5))
	w.setBack(0, 1, 2, nil)
	p = w.startLog()
	w.reachLog(topic, 0, 3)
	w.wantSaid(outTopic, "u 1,five,x,5", "u 1,three again,x,3", "u 1,five again,x,5")
	p.wantCounters(map[string]int{"applied": 2})
}

// setBack does what processor replay does while nobody is a member.
func (w *world) setBack(partition int32, to, generation int64, stretch map[string]any) {
	w.t.Helper()
	g, err := kafka.NewGroup(kafka.Config{Brokers: []string{w.broker.Addr()}}, "p")
	if err != nil {
		w.t.Fatal(err)
	}
	defer g.Close()
	offsets, err := g.Offsets(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	tp := kafka.TopicPartition{Topic: topic, Partition: partition}
	note := map[string]any{}
	if err := json.Unmarshal([]byte(offsets[tp].Metadata), &note); err != nil {
		w.t.Fatal(err)
	}
	note["g"] = generation
	if stretch != nil {
		note["s"] = stretch
	}
	text, err := json.Marshal(note)
	if err != nil {
		w.t.Fatal(err)
	}
	until(w.t, "the group has no members", func() bool {
		return g.Set(w.t.Context(), map[kafka.TopicPartition]kafka.Stored{tp: {Offset: to, Metadata: string(text)}}) == nil
	})
}

// truncate and sweep are changes of the whole table.
func (w *world) truncate(n int) record {
	w.t.Helper()
	value, err := w.plan(table).AppendValue(nil, &cdc.Envelope{Op: cdc.OpTruncate, Tx: &cdc.Transaction{XID: 7, CommitLSN: cdc.LSN(n), CommitTime: 1}, LSN: cdc.LSN(n), Now: 1})
	if err != nil {
		w.t.Fatal(err)
	}
	return record{pos: at(n).String(), value: value}
}

func (w *world) sweep(epoch uint32, partitions int) record {
	w.t.Helper()
	mark, err := json.Marshal(cdc.Sweep{Version: 1, Name: "shop", Database: "shop", Schema: "public", Table: "items", Partitions: partitions})
	if err != nil {
		w.t.Fatal(err)
	}
	return record{pos: cdc.Position{Epoch: epoch, LSN: 50, Part: 99}.String(), headers: []kgo.RecordHeader{{Key: cdc.HeaderSweep, Value: mark}}}
}

// A TRUNCATE becomes a delete of each row of the partition, so that a compacted output
// loses them; what stood before it in the log of another is stale.
func TestLogTruncateDeletesTheRowsOfItsPartition(t *testing.T) {
	t.Parallel()
	w := newLogWorld(t, 2)
	elsewhere := w.put(1, 7, "elsewhere", "x", 1)
	elsewhere.partition = 1
	w.publish(elsewhere, w.put(1, 1, "one", "x", 1), w.put(2, 2, "two", "x", 2), w.del(3, 2), w.truncate(4), w.put(3, 9, "late", "x", 3), w.put(5, 1, "new", "x", 5), w.truncate(4))
	p := w.startLog()
	w.reachLog(topic, 0, 7)
	w.reachLog(topic, 1, 1)
	w.wantSaid(outTopic, "u 1,one,x,1", "u 2,two,x,2", "d 2", "tombstone 2", "d 1", "tombstone 1", "u 1,new,x,5", "u 7,elsewhere,x,1")
	p.wantCounters(map[string]int{"applied": 6, "stale": 1, "duplicate": 1})
}

// The mark behind the snapshot of another epoch ends the rows that it did not bring.
func TestLogSweepDeletesWhatTheSnapshotDidNotBring(t *testing.T) {
	t.Parallel()
	w := newLogWorld(t, 1)
	again := w.put(1, 2, "two again", "x", 2)
	again.pos = cdc.Position{Epoch: 2, LSN: 50, Part: 1}.String()
	zombie := w.put(9, 1, "zombie", "x", 9)
	w.publish(w.put(1, 1, "one", "x", 1), w.put(2, 2, "two", "x", 2), again, w.sweep(2, 1), zombie, w.sweep(2, 1))
	p := w.startLog()
	w.reachLog(topic, 0, 6)
	w.wantSaid(outTopic, "u 1,one,x,1", "u 2,two,x,2", "u 2,two again,x,2", "d 1", "tombstone 1")
	p.wantCounters(map[string]int{"applied": 4, "stale": 1, "duplicate": 1})
}

// A row that was deleted longer ago than positions are kept is not known any more:
// what comes below its table's floor is never applied unsaid.
func TestLogExpiredRowsLeaveAFloor(t *testing.T) {
	t.Parallel()
	w := newLogWorld(t, 1)
	w.publish(w.put(5, 1, "one", "x", 1), w.del(6, 1))
	p := w.startLog()
	w.reachLog(topic, 0, 2)
	p.stop()
	p = w.startLog(func(s *logSetup) { s.config.Retention = time.Nanosecond })
	until(t, "the row to be forgotten", func() bool { return p.gauge("tailrace_processor_state_keys") == 2 })
	w.publish(w.put(4, 1, "late", "x", 4), w.put(7, 1, "new", "x", 7))
	w.reachLog(topic, 0, 4)
	w.wantSaid(outTopic, "u 1,one,x,1", "d 1", "tombstone 1")
	if h := headers(w.dead(2)[0]); h["dlq.class"] != "unknown" || !strings.Contains(h["dlq.message"], "state.retention") {
		t.Errorf("dead letter: got %v", h)
	}
}

// A record that cannot be applied goes to the dead-letter topic in the transaction of
// its batch, and later changes of its row behind it; the others flow.
func TestLogPoisonIsParkedInTheSameTransaction(t *testing.T) {
	t.Parallel()
	w := newLogWorld(t, 1)
	bad := w.put(2, 1, "bad", "x", 2)
	refuse := processors.StepFunc(func(ctx context.Context, c *processors.Change, s processors.State, emit processors.Emit) error {
		if name, _ := c.Row().Text("name"); name == "bad" {
			return errors.New("refused")
		}
		return emit(c)
	})
	w.publish(w.put(1, 1, "one", "x", 1), bad, w.put(3, 2, "two", "x", 3), w.put(4, 1, "later", "x", 4))
	p := w.startLog(logSteps(refuse))
	w.reachLog(topic, 0, 4)
	w.wantSaid(outTopic, "u 1,one,x,1", "u 2,two,x,3")
	p.wantCounters(map[string]int{"applied": 2, "dead_lettered": 1, "parked": 1})
	p.stop()
	w.publish(w.put(5, 1, "later still", "x", 5), bad)
	p = w.startLog(logSteps(refuse))
	w.reachLog(topic, 0, 6)
	p.wantCounters(map[string]int{"parked": 1, "stale": 1}) // the marker is in the state
	dead := w.dead(3)
	if string(dead[0].Value) != string(bad.value) || headers(dead[1])["dlq.parked"] != "true" {
		t.Errorf("dead letters: %v, %v", headers(dead[0]), headers(dead[1]))
	}
}

// Under stop, the partition stands before the record, and the others go on.
func TestLogPoisonUnderStopStopsItsPartitionAlone(t *testing.T) {
	t.Parallel()
	w := newLogWorld(t, 2)
	bad, other := w.put(2, 2, "bad", "x", 2), w.put(3, 3, "three", "x", 3)
	bad.pos, other.partition = "", 1
	w.publish(w.put(1, 1, "one", "x", 1), bad, w.put(3, 4, "behind", "x", 3), other)
	p := w.startLog(func(s *logSetup) { s.config.OnPoison = processors.PolicyStop })
	p.wantStopped("a record cannot be applied")
	w.reachLog(topic, 0, 1)
	w.reachLog(topic, 1, 1)
	other = w.put(4, 3, "four", "x", 4)
	other.partition = 1
	w.publish(other)
	w.reachLog(topic, 1, 2)
	w.wantSaid(outTopic, "u 1,one,x,1", "u 3,three,x,3", "u 3,four,x,4")
	// Once it may be skipped, what stands behind it is not taken for known.
	p.stop()
	w.startLog(func(s *logSetup) { s.config.OnPoison = processors.PolicySkip })
	w.reachLog(topic, 0, 3)
	w.wantSaid(outTopic, "u 1,one,x,1", "u 4,behind,x,3", "u 3,three,x,3", "u 3,four,x,4")
}

// What becomes larger than the output topic takes is the record's own fault.
func TestLogTooLargeForTheOutputIsADeadLetter(t *testing.T) {
	t.Parallel()
	w := newLogWorld(t, 1)
	limit := "2000"
	if _, err := kadm.NewClient(w.client).CreateTopic(t.Context(), 1, 1, map[string]*string{"max.message.bytes": &limit}, outTopic); err != nil {
		t.Fatal(err)
	}
	noise := make([]byte, 0, 20000)
	for i := range 4000 {
		noise = fmt.Appendf(noise, "%x", i*i*2654435761)
	}
	w.publish(w.put(1, 1, "one", "x", 1), w.put(2, 2, "large", string(noise), 2), w.put(3, 3, "three", "x", 3))
	p := w.startLog()
	w.reachLog(topic, 0, 3)
	w.wantSaid(outTopic, "u 1,one,x,1", "u 3,three,x,3")
	if h := headers(w.dead(1)[0]); h["dlq.class"] != "too_large" {
		t.Errorf("dead letter: %v", h)
	}
	p.wantCounters(map[string]int{"applied": 2, "dead_lettered": 1})
}

// Steps keep state by row and by entity; it is there after a restart.
func TestLogStateOfStepsComesBackAfterARestart(t *testing.T) {
	t.Parallel()
	w := newLogWorld(t, 1)
	count := processors.StepFunc(func(ctx context.Context, c *processors.Change, s processors.State, emit processors.Emit) error {
		n, _, err := s.Get(ctx, processors.EntityState("all"))
		if err != nil {
			return err
		}
		n = append(slices.Clone(n), '+')
		if err := s.Put(ctx, processors.EntityState("all"), n); err != nil {
			return err
		}
		if err := c.Set("note", processors.Text(string(n))); err != nil {
			return err
		}
		return emit(c)
	})
	w.publish(w.put(1, 1, "one", "", 1), w.put(2, 2, "two", "", 2))
	p := w.startLog(logSteps(count))
	w.reachLog(topic, 0, 2)
	p.stop()
	w.publish(w.put(2, 2, "two", "", 2), w.put(3, 3, "three", "", 3)) // a duplicate counts nothing
	w.startLog(logSteps(count))
	w.reachLog(topic, 0, 4)
	w.wantSaid(outTopic, "u 1,one,+,1", "u 2,two,++,2", "u 3,three,+++,3")
}

// Several sessions share the partitions, and each row comes once.
func TestLogSessionsShareThePartitions(t *testing.T) {
	t.Parallel()
	w := newLogWorld(t, 4)
	w.startLog(func(s *logSetup) { s.inlog.Sessions = 2; s.consumer.InstanceID = "static" })
	var want []string
	for i := range 40 {
		r := w.put(i+1, i, "row", "x", i)
		r.partition = int32(i % 4)
		w.publish(r)
	}
	for p := range 4 {
		w.reachLog(topic, int32(p), 10)
		for i := p; i < 40; i += 4 {
			want = append(want, fmt.Sprintf("u %d,row,x,%d", i, i))
		}
	}
	w.wantSaid(outTopic, want...)
}

// limits.rate holds from topics to topics, too, over all members of the process.
func TestLogRateIsBounded(t *testing.T) {
	t.Parallel()
	w := newLogWorld(t, 2)
	var records []record
	for n := range 60 {
		records = append(records, in(int32(n%2), w.put(n+1, n, "x", "y", n)))
	}
	w.publish(records...)
	began := time.Now()
	p := w.startLog(func(s *logSetup) { s.config.Rate, s.config.Parallel, s.inlog.Sessions = 40, 1, 2 })
	p.wantCounters(map[string]int{"applied": 60})
	if took := time.Since(began); took < time.Second {
		t.Errorf("60 records at 40 a second took %s", took)
	}
}
