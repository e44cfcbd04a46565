package cdc

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestTransactionMetadata(t *testing.T) {
	t.Parallel()
	scenario := func(debezium bool) *world {
		w := newWorld(tableOf(1, "t", "id"), tableOf(2, "u", "id"), tableOf(3, "hidden", "id"))
		w.config.Transactions, w.config.Debezium = true, debezium
		w.server.transaction(insert(2, "1"), insert(1, "1"), update(1, text("1"), "2"), insert(2, "2"), message("pfx", "m"))
		w.server.transaction(insert(3, "1"))
		w.server.transaction(insert(1, "NaN"), insert(1, "5"))
		return w
	}
	w := scenario(false)
	w.run(t)
	u := w.server.units
	at := func(i int) string { return fmt.Sprintf("00000001/%016x", uint64(u[i].start)) }
	id := func(i int) string { return fmt.Sprintf("%d:%d", u[i].tx.XID, u[i].start) }
	const begin, end = "/00000000/0000000000000000", "/ffffffff/00"
	line := func(i int, part, value string) string {
		return fmt.Sprintf("shop.transaction/%d %s%s key  %s = %s bare", Partition([]byte(id(i)), 3), at(i), part, id(i), value)
	}
	expect(t, w.log.in(".transaction"),
		line(0, begin, "BEGIN "+id(0)+" ts=1795301200701000"),
		line(0, end, "END "+id(0)+" ts=1795301200701000 [{public.u 2} {public.t 3} {message 1}]"),
		line(1, begin, "BEGIN "+id(1)+" ts=1795301200702000"),
		line(1, end, "END "+id(1)+" ts=1795301200702000 []"),
		line(2, begin, "BEGIN "+id(2)+" ts=1795301200703000"),
		line(2, end, "END "+id(2)+" ts=1795301200703000 [{public.t 1}]"))
	var orders []string
	for _, r := range append(w.log.in("public.t"), w.log.in("public.u")...) {
		if _, tx, ok := strings.Cut(r.value, " tx="); ok {
			orders = append(orders, r.value[:1]+" "+tx)
		}
	}
	if got, want := fmt.Sprint(orders), fmt.Sprintf("[c %[1]s#2/1 d %[1]s#3/2 c %[1]s#4/3 c %[2]s#1/1 c %[1]s#1/1 c %[1]s#5/2]", id(0), id(2)); got != want {
		t.Errorf("orders %s,\nwant %s: a key change is two events, a tombstone and a dead letter none", got, want)
	}

	w = scenario(true)
	w.server.units[2].begin = 0 // the server's BEGIN, when an origin follows
	w.run(t)
	u = w.server.units
	var ids []string
	for _, r := range w.log.in(".transaction") {
		ids = append(ids, strings.Fields(r.value)[1])
	}
	if got, want := fmt.Sprint(ids), fmt.Sprintf("[701:%d 701:%d 702:%d 702:%d 703:0 703:%d]", u[0].begin, u[0].end, u[1].begin, u[1].end, u[2].end); got != want {
		t.Errorf("Debezium's ids %s, want %s", got, want)
	}
	for _, r := range w.log.in("public.u") {
		var lsn uint64
		if _, err := fmt.Sscanf(r.value[strings.Index(r.value, "lsn="):], "lsn=%x", &lsn); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(r.value, fmt.Sprintf(" tx=701:%d#", lsn)) {
			t.Errorf("the id of an event has its own LSN: %s", r.value)
		}
	}
}

// TestTransactionWithoutAChangeDoesNotAppear: PostgreSQL 14 sends BEGIN and COMMIT
// of a transaction that only has DDL.
func TestTransactionWithoutAChangeDoesNotAppear(t *testing.T) {
	t.Parallel()
	w := newWorld(tableOf(1, "t", "id"))
	w.config.Transactions = true
	tx := &Transaction{XID: 700, CommitLSN: 0x1100}
	w.server.units = append(w.server.units, unit{start: 0x1100, end: 0x1130, tx: tx, begin: 0x1080})
	w.server.at = 0x1130
	w.run(t)
	expect(t, w.log.records)
	if w.log.progress != nil && w.log.progress.Confirmed > 0x1130 {
		t.Errorf("progress %+v", w.log.progress)
	}
}

func TestWithoutMetadataThereIsNone(t *testing.T) {
	t.Parallel()
	w := newWorld(tableOf(1, "t", "id"))
	w.server.transaction(insert(1, "1"))
	for _, r := range w.run(t) {
		if r.topic == "shop.transaction" || strings.Contains(r.value, "tx=") {
			t.Errorf("%s", r)
		}
	}
}

// TestMetadataThatBeginsInsideOfATransaction: counts of what is already published
// are not known, so the rest of that transaction says nothing rather than
// something wrong.
func TestMetadataThatBeginsInsideOfATransaction(t *testing.T) {
	t.Parallel()
	w := newWorld(tableOf(1, "t", "id"))
	w.config.Limits.Rows = 1
	w.server.transaction(insert(1, "1"), insert(1, "2"))
	r, _ := w.relay()
	w.log.killAt, w.log.survives = 1, true
	if err := r.Stream(t.Context()); !errors.Is(err, errKilled) || w.log.progress.Partial == nil || w.log.progress.Partial.Ordinal != 1 {
		t.Fatalf("%v, progress %+v", err, w.log.progress)
	}
	n := len(w.log.records)
	w.config.Transactions = true
	w.server.transaction(insert(1, "3"))
	for _, r := range w.run(t)[n:] {
		if strings.Contains(r.value, "701") && (r.topic == "shop.transaction" || strings.Contains(r.value, "tx=")) {
			t.Errorf("%s", r)
		}
	}
	if got := len(w.log.in(".transaction")); got != 2 {
		t.Errorf("%d begins and ends, want those of the next transaction", got)
	}
}
