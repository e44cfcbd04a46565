package cdc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// tails reads the ends of what a connector has published, as the log does.
func tails(t checker, records []record) []Tail {
	t.Helper()
	type place struct {
		topic     string
		partition int32
	}
	found := map[place]Tail{}
	for _, r := range records {
		a, ok := adopted(t, r)
		if !ok {
			continue
		}
		for _, p := range []place{{r.topic, r.partition}, {r.topic, Keyless}} {
			tail, known := found[p]
			if known && tail.Last.XID == a.XID && tail.Last.LSN == a.LSN && tail.Last.Status == a.Status {
				tail.Events++
			} else {
				tail = Tail{Topic: p.topic, Partition: p.partition, Events: 1, Before: tail.Last}
			}
			tail.Last = a
			found[p] = tail
		}
	}
	return slices.Collect(maps.Values(found))
}

// adopted is what a record says, in the encoder's text.
func adopted(t checker, r record) (a Adopted, ok bool) {
	t.Helper()
	if r.value == "tombstone" || r.topic == "shop.dead_letter" {
		return a, false
	}
	if r.topic == "shop.transaction" {
		var ts int64
		if _, err := fmt.Sscanf(r.value, "%s %d:%d ts=%d", &a.Status, &a.XID, &a.LSN, &ts); err != nil {
			t.Fatalf("%s: %v", r.value, err)
		}
		return a, true
	}
	_, rest, _ := strings.Cut(r.value, "xid=")
	if _, err := fmt.Sscanf(rest, "%d lsn=%x last=%x", &a.XID, (*uint64)(&a.LSN), (*uint64)(&a.After)); err != nil {
		t.Fatalf("%s: %v", r.value, err)
	}
	return a, true
}

// taken starts a relay over the connector's slot and topics.
func (w *world) taken(t checker) *database {
	t.Helper()
	return &database{world: w, slot: &Slot{Name: "debezium", Confirmed: w.server.confirmed}, published: map[string]uint32{"public.t": 1, "public.u": 2}}
}

// TestAdoptionGoesOnWhereDebeziumStopped: whatever Debezium had published when it
// was stopped or killed, every partition goes on with the record that Debezium
// would have written next, also when this relay is killed while it passes over
// what is there.
func TestAdoptionGoesOnWhereDebeziumStopped(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := workload(t)
		w.config.Debezium, w.config.WholeKey, w.config.Skip = true, true, ""
		w.config.Messages = func(p string) bool { return p == "pfx" }
		w.config.DeadLetter = "" // Debezium has none
		w.dropNaN()
		w.shareLSNs(t)
		calm := w.fresh()
		want := calm.run(t)
		at := rapid.IntRange(1, len(want)).Draw(t, "stopped after")
		for at < len(want) && want[at].value == "tombstone" {
			at++ // see adopt.go for the tombstone that is missing
		}
		had := slices.Clone(want[:at])
		if rapid.Bool().Draw(t, "killed") { // later records of some partitions are lost
			lost := rapid.SampledFrom(had).Draw(t, "lost")
			from := slices.Index(had, lost)
			isLost := func(r record) bool {
				return r.topic == lost.topic && r.partition == lost.partition && slices.Index(want, r) >= from
			}
			// See adopt.go for records without key.
			if lost.value != "tombstone" && lost.topic != "shop.transaction" && !slices.ContainsFunc(had, func(r record) bool { return isLost(r) && r.key == "" }) {
				had = slices.DeleteFunc(had, isLost)
			}
		}
		if len(had) == 0 {
			return
		}
		// The slot is confirmed as far as everything has arrived, or less.
		missing := 0
		for missing < len(had) && had[missing] == want[missing] {
			missing++
		}
		for _, u := range w.server.units {
			if missing == len(want) || !w.before(t, u, want[missing]) || rapid.IntRange(0, 3).Draw(t, "confirmed") == 0 {
				break
			}
			w.server.confirmed = u.end
		}
		w.log.records = had
		db := w.taken(t)
		for range rapid.IntRange(0, 4).Draw(t, "deaths") {
			r, s, err := db.start()
			if err != nil {
				t.Fatal(err)
			}
			s.lag = rapid.Bool().Draw(t, "feedback is lost")
			s.killAt = rapid.IntRange(0, len(s.events)).Draw(t, "event")
			w.log.killAt = w.log.commits + rapid.IntRange(1, 9).Draw(t, "commit")
			w.log.survives = rapid.Bool().Draw(t, "it was durable")
			if err := r.Stream(context.Background()); !errors.Is(err, errKilled) && !errors.Is(err, errRead) {
				t.Fatal(err)
			}
		}
		r, _, err := db.start()
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Stream(context.Background()); !errors.Is(err, errRead) {
			t.Fatal(err)
		}
		for _, topic := range []string{"public.t", "public.u", ".message", ".transaction"} {
			for p := range w.log.partitions {
				of := func(all []record) (out []string) {
					for _, r := range all {
						if strings.HasSuffix(r.topic, topic) && r.partition == p {
							// The commit before the slot's LSN is not known of a connector that died.
							out = append(out, lastCommit.ReplaceAllString(r.String(), ""))
						}
					}
					return out
				}
				if got, want := of(w.log.records), of(want); !slices.Equal(got, want) {
					t.Fatalf("%s/%d, slot at %s:\ngot  %s\nwant %s", topic, p, w.server.confirmed, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
				}
			}
		}
	})
}

var lastCommit = regexp.MustCompile(` (last=[0-9a-f]+|ts=[0-9]+)`)

// before tells whether a unit comes before a record in the stream.
func (w *world) before(t checker, u unit, r record) bool {
	pos, err := ParsePosition(r.pos)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return u.end <= pos.LSN
}

// dropNaN leaves out what Debezium has no dead letters for.
func (w *world) dropNaN() {
	for _, u := range w.server.units {
		for i := range u.changes {
			for j, v := range u.changes[i].New {
				if string(v.Data) == "NaN" {
					u.changes[i].New[j] = Value{Data: []byte("1"), State: Text}
				}
			}
		}
	}
}

// shareLSNs gives neighbouring inserts one LSN, as COPY does.
func (w *world) shareLSNs(t *rapid.T) {
	if !rapid.Bool().Draw(t, "copy") {
		return
	}
	for _, u := range w.server.units {
		for i := 1; i < len(u.changes); i++ {
			if a, b := &u.changes[i-1], &u.changes[i]; a.Op == OpCreate && b.Op == OpCreate && a.Relation == b.Relation {
				b.LSN = a.LSN
			}
		}
	}
}

// TestAdoptionCountsWhatACOPYWrote: rows of one LSN are counted, and what is left
// of the count outlives a death between them.
func TestAdoptionCountsWhatACOPYWrote(t *testing.T) {
	t.Parallel()
	w := newWorld(tableOf(1, "t", "id"))
	w.config.Debezium, w.config.WholeKey, w.config.Limits.Rows = true, true, 1
	// Keys by partition; all rows share one LSN.
	var keys [3][]string
	for i := 0; len(keys[0]) < 4 || len(keys[1]) < 2; i++ {
		p := Partition(fmt.Appendf(nil, "key  %d;", i), 3)
		keys[p] = append(keys[p], fmt.Sprint(i))
	}
	a, b := keys[0], keys[1]
	var changes []Event
	for _, key := range []string{a[0], b[0], a[1], b[1], a[2], a[3]} {
		changes = append(changes, insert(1, key))
	}
	w.server.transaction(insert(1, "first"))
	w.server.transaction(changes...)
	for i := range w.server.units[1].changes {
		w.server.units[1].changes[i].LSN = w.server.units[1].begin
	}
	want := w.fresh().run(t)
	// Partition 0 has two of its four rows, partition 1 none.
	w.log.records = slices.DeleteFunc(slices.Clone(want), func(r record) bool {
		return slices.Contains([]string{b[0], b[1], a[2], a[3]}, strings.Trim(strings.TrimPrefix(r.key, "key  "), ";"))
	})
	w.log.records = slices.DeleteFunc(w.log.records, func(r record) bool { return r.partition == 1 })
	db := w.taken(t)
	db.published = map[string]uint32{"public.t": 1}
	for event := range 12 {
		r, s, err := db.start()
		if err != nil {
			t.Fatal(err)
		}
		s.lag, s.killAt = true, min(event, len(s.events))
		if err := r.Stream(t.Context()); !errors.Is(err, errKilled) && !errors.Is(err, errRead) {
			t.Fatal(err)
		}
	}
	got := map[string]int{}
	for _, r := range w.log.records {
		got[r.key]++
	}
	for _, r := range want {
		if got[r.key] != 1 {
			t.Errorf("row %s was published %d times", r.key, got[r.key])
		}
	}
}

// TestAdoptionFindsRecordsWithoutKeyAnywhere: Debezium leaves their partition to
// chance.
func TestAdoptionFindsRecordsWithoutKeyAnywhere(t *testing.T) {
	t.Parallel()
	table := tableOf(1, "t", "v")
	table.Key = nil
	w := newWorld(table)
	w.config.Debezium, w.config.WholeKey = true, true
	w.server.transaction(insert(1, "a"), insert(1, "b"), insert(1, "c"), insert(1, "d"))
	had := w.fresh().run(t)[:3]
	for i := range had {
		had[i].partition = (had[i].partition + int32(min(i, 1))) % 3
	}
	w.log.records = slices.Clone(had)
	r, _, err := w.taken(t).start()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Stream(t.Context()); !errors.Is(err, errRead) {
		t.Fatal(err)
	}
	if got := w.log.records[3:]; len(got) != 1 || !strings.Contains(got[0].value, "v=d") {
		t.Errorf("published %v, want d alone", got)
	}
}

func TestAdoptionIsRefused(t *testing.T) {
	t.Parallel()
	streamed := Tail{Topic: "shop.public.t", Last: Adopted{XID: 700, LSN: 0x1000}, Events: 1}
	row := func(marker string) Tail {
		return Tail{Topic: "shop.public.t", Last: Adopted{XID: 700, LSN: 0x1000, Snapshot: marker}, Events: 5}
	}
	for _, c := range []struct {
		name  string
		tails []Tail
		set   func(*world, *database)
		want  string
	}{
		{"no slot", nil, func(_ *world, d *database) { d.slot = nil }, `slot "debezium", which is to be adopted, does not exist`},
		{"another partitioner", []Tail{streamed}, func(w *world, _ *database) { w.config.WholeKey = false }, "kafka.partitioner"},
		{"no record", nil, nil, "no topic of this name has a record"},
		{"the snapshot was cut off", []Tail{row("true"), row("first")}, nil, "has not finished its initial snapshot"},
		{"another server", []Tail{streamed}, func(_ *world, d *database) { d.position = 0xfff }, "the server has not written yet"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			w.config.WholeKey = true
			d := w.taken(t)
			d.tails = func() ([]Tail, error) { return c.tails, nil }
			d.intent = &Intent{Slot: "debezium", SystemID: "7"}
			if c.set != nil {
				c.set(w, d)
			}
			if _, _, err := d.start(); !Stopped(err) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want a StopError with %q", err, c.want)
			}
			if d.dropped || w.log.progress != nil {
				t.Error("Debezium's slot is dropped, or progress written")
			}
		})
	}
	w := newWorld()
	w.config.WholeKey = true
	d := w.taken(t)
	d.tails = func() ([]Tail, error) { return []Tail{row("true"), row("last")}, nil }
	if _, _, err := d.start(); err != nil {
		t.Errorf("a finished snapshot without changes after it: %v", err)
	}
}

// TestAdoptionStartsWithItsRecord: what is found is durable before anything else,
// the connector's tables count as read, and those that the publication gets now
// do not. A later start needs the topics no more.
func TestAdoptionStartsWithItsRecord(t *testing.T) {
	t.Parallel()
	w := newWorld(tableOf(1, "t", "id"))
	w.config.Debezium, w.config.WholeKey = true, true
	w.server.transaction(insert(1, "1"))
	w.server.transaction(insert(1, "2"))
	w.log.records = w.fresh().run(t)[:1]
	d := w.taken(t)
	d.inUse = 1
	if _, _, err := d.start(); err != nil {
		t.Fatal(err)
	}
	p := w.log.progress
	if p == nil || p.Confirmed != 0x1000 || p.Slot != "debezium" || p.Adopted == nil || p.Adopted.Until != w.server.at || len(p.Adopted.Points) != 2 || p.Snapshot != nil {
		t.Errorf("progress %+v", p)
	}
	if fmt.Sprint(d.read) != "[added]" {
		t.Errorf("tables that were read: %v, want the one that the publication got", d.read)
	}
	if d.history == nil {
		t.Error("the database got no history")
	}
	if len(d.states) == 0 || !strings.Contains(d.states[0], "standby") || !strings.Contains(d.states[0], "Debezium connector that has it must be stopped") {
		t.Errorf("states %q", d.states)
	}
	d.tails = func() ([]Tail, error) { return nil, errors.New("the topics are read again") }
	r, _, err := d.start()
	if err != nil {
		t.Fatal(err)
	}
	w.server.transaction(insert(1, "3")) // later than the adoption
	r.Source = w.server.stream(nil)
	if err := r.Stream(t.Context()); !errors.Is(err, errRead) {
		t.Fatal(err)
	}
	if got := len(w.log.records); got != 3 || w.log.progress.Adopted != nil {
		t.Errorf("%d records, want 3; progress %+v: the adoption is over", got, w.log.progress)
	}
}

// TestAdoptionSurvivesASecondTry: half of a key change was published, and the other
// half needs a wider schema, so it is written twice.
func TestAdoptionSurvivesASecondTry(t *testing.T) {
	t.Parallel()
	table := tableOf(1, "t", "id", "v")
	table.Columns[1].NotNull = true
	w := newWorld(table)
	w.config.Debezium, w.config.WholeKey, w.log.partitions = true, true, 1
	w.server.transaction(update(1, text("1", "x"), "2", "NULL"), insert(1, "3", "v"))
	want := w.fresh()
	want.log.partitions = 1
	w.log.records = slices.Clone(want.run(t)[:2])
	r, _, err := w.taken(t).start()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Stream(t.Context()); !errors.Is(err, errRead) {
		t.Fatal(err)
	}
	if !slices.Equal(w.log.records, want.log.records) {
		t.Errorf("got  %v\nwant %v", w.log.records, want.log.records)
	}
}
