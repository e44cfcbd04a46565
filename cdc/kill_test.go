package cdc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// workload is a world in which much happens at once: two tables and one that is
// not published, truncates, messages of both kinds, key changes, filters, Kafka
// transactions that end everywhere.
func workload(t *rapid.T) *world {
	w := newWorld(tableOf(1, "t", "id", "v"), tableOf(2, "u", "id"), tableOf(3, "hidden", "id"))
	w.config.Transactions = rapid.Bool().Draw(t, "transactions")
	w.config.Debezium = rapid.Bool().Draw(t, "debezium")
	w.config.Truncates = rapid.Bool().Draw(t, "truncates")
	w.config.Skip = rapid.SampledFrom([]string{"", "c", "d"}).Draw(t, "skip")
	w.config.Limits.Rows = rapid.IntRange(1, 7).Draw(t, "rows")
	w.config.Limits.BatchBytes = rapid.SampledFrom([]int{1, 1 << 20}).Draw(t, "batch")
	key := 0
	change := rapid.Custom(func(t *rapid.T) Event {
		key++
		id := fmt.Sprint(key)
		switch rapid.IntRange(0, 9).Draw(t, "kind") {
		case 0:
			return lone(rapid.SampledFrom([]string{"pfx", "no", "tailrace.x"}).Draw(t, "prefix"), id)
		case 1:
			return message(rapid.SampledFrom([]string{"pfx", "no", "tailrace.x"}).Draw(t, "prefix"), id)
		case 2:
			return truncateOf(rapid.SliceOfNDistinct(rapid.Uint32Range(1, 3), 1, 3, rapid.ID).Draw(t, "relations")...)
		case 3:
			return update(1, text("old"+id, "x"), id, "v")
		case 4:
			return remove(2, id)
		case 5:
			return insert(3, id)
		case 6:
			return insert(1, id, "NaN")
		case 7:
			return update(1, nil, id, "w")
		}
		return insert(rapid.Uint32Range(1, 2).Draw(t, "table"), []string{id, "v"}[:]...)
	})
	for i := range rapid.IntRange(1, 6).Draw(t, "units") {
		changes := rapid.SliceOfN(change, 0, 9).Draw(t, "changes")
		for j := range changes {
			if c := &changes[j]; c.Relation == 2 && c.Op == OpCreate {
				c.New = c.New[:1]
			}
		}
		if i == 0 {
			changes = append(changes[:0:0], insert(1, "0", "first"))
		}
		w.server.transaction(changes...)
		w.server.units[len(w.server.units)-1].keepalive = rapid.Bool().Draw(t, "keepalive")
	}
	return w
}

// rises checks that positions rise strictly in the order of publishing, except
// among the copies of a truncate.
func rises(t checker, got []record) {
	t.Helper()
	at := 0
	for i := range got {
		if i > 0 && got[i].pos <= got[at].pos && !(got[i].pos == got[i-1].pos && strings.HasPrefix(got[i].value, "t ")) {
			t.Errorf("position %s of %s\nfollows %s", got[i].pos, got[i], got[at])
		}
		at = i
	}
}

// TestKilledAnywhereNothingIsLostOrRepeated: whatever is killed when, what is
// durable in the end is what a run without kills has published: every record, in
// order, with the same position, the same place in its transaction, the same
// begins and ends with the same counts.
func TestKilledAnywhereNothingIsLostOrRepeated(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := workload(t)
		calm := w.fresh()
		want := calm.run(t)
		rises(t, want)
		if w.config.Transactions {
			counted(t, w.server, want)
		}
		for range rapid.IntRange(1, 8).Draw(t, "deaths") {
			r, s := w.relay()
			s.lag = rapid.Bool().Draw(t, "feedback is lost")
			if rapid.Bool().Draw(t, "killed in a commit") {
				w.log.killAt = w.log.commits + rapid.IntRange(1, 6).Draw(t, "commit")
				w.log.survives = rapid.Bool().Draw(t, "it was durable")
			} else {
				s.killAt = rapid.IntRange(0, len(s.events)).Draw(t, "event")
			}
			if err := r.Stream(context.Background()); !errors.Is(err, errKilled) && !errors.Is(err, errRead) {
				t.Fatal(err)
			}
		}
		got := w.run(t)
		if len(got) != len(want) {
			t.Errorf("%d records, want %d", len(got), len(want))
		}
		for i := range min(len(got), len(want)) {
			if got[i] != want[i] {
				t.Fatalf("record %d:\n got %s\nwant %s", i, got[i], want[i])
			}
		}
	})
}

// counted checks that every transaction with a change has one BEGIN and one END,
// that its events have the numbers from 1 on, in all and by table, and that END
// has their sums.
func counted(t checker, s *server, got []record) {
	t.Helper()
	type sum struct {
		begins, ends, events int
		tables               map[string]int
		end                  string
	}
	sums := map[string]*sum{}
	of := func(xid string) *sum {
		if sums[xid] == nil {
			sums[xid] = &sum{tables: map[string]int{}}
		}
		return sums[xid]
	}
	for i, r := range got {
		if r.topic == "shop.transaction" {
			fields := strings.Fields(r.value)
			xid, _, _ := strings.Cut(fields[1], ":")
			u := of(xid)
			switch {
			case fields[0] == "BEGIN":
				u.begins++
			default:
				u.ends, u.end = u.ends+1, strings.Join(fields[3:], " ")
			}
			continue
		}
		_, rest, ok := strings.Cut(r.value, " tx=")
		if !ok || i > 0 && strings.HasPrefix(r.value, "t ") && got[i-1].value == r.value {
			continue
		}
		var xid, lsn, total, table int
		if _, err := fmt.Sscanf(rest, "%d:%d#%d/%d", &xid, &lsn, &total, &table); err != nil {
			t.Fatalf("%s: %v", rest, err)
		}
		u := of(fmt.Sprint(xid))
		u.events++
		name := strings.TrimPrefix(r.topic, "shop.")
		u.tables[name]++
		if u.begins != 1 || u.ends != 0 || total != u.events || table != u.tables[name] {
			t.Errorf("%s: want it after BEGIN, as event %d, %d of its table", r, u.events, u.tables[name])
		}
	}
	want := map[string]bool{}
	for _, u := range s.units {
		for _, ev := range u.changes {
			if u.tx != nil && !strings.HasPrefix(ev.Prefix, OurMessages) {
				want[fmt.Sprint(u.tx.XID)] = true
			}
		}
	}
	for xid, u := range sums {
		if !want[xid] {
			t.Errorf("transaction %s has records, and no change", xid)
		}
		ended := 0
		for name, n := range u.tables {
			if !strings.Contains(u.end, fmt.Sprintf("{%s %d}", name, n)) {
				t.Errorf("transaction %s ends with %s, want %d of %s", xid, u.end, n, name)
			}
			ended++
		}
		if u.begins != 1 || u.ends != 1 || strings.Count(u.end, "{") != ended {
			t.Errorf("transaction %s: %d begins, %d ends, %s", xid, u.begins, u.ends, u.end)
		}
	}
	if len(sums) != len(want) {
		t.Errorf("%d transactions have records, want %d", len(sums), len(want))
	}
}
