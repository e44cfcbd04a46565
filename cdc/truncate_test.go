package cdc

import (
	"fmt"
	"testing"
)

func TestTruncateGoesToEveryPartition(t *testing.T) {
	t.Parallel()
	w := newWorld(tableOf(1, "t", "id"), tableOf(2, "u", "id"), tableOf(3, "hidden", "id"))
	w.config.Truncates = true
	w.server.transaction(insert(1, "1"), truncateOf(1, 3, 2), insert(1, "2"))
	w.run(t)
	at := fmt.Sprintf("00000001/%016x", uint64(w.server.units[0].start))
	value := "t - - xid=701 lsn=1038 last=0 ts=1795301200701000"
	var want []string
	for _, table := range []struct{ name, ordinal string }{{"t", "00000002"}, {"u", "00000004"}} {
		own := Partition([]byte("public."+table.name), 3)
		for i := range int32(3) {
			p := []int32{own, (own + 1) % 3, (own + 2) % 3}
			if p[1] > p[2] {
				p[1], p[2] = p[2], p[1]
			}
			want = append(want, fmt.Sprintf("shop.public.%s/%d %s/%s/00  = %s", table.name, p[i], at, table.ordinal, value))
		}
	}
	got := w.log.in("public.t")
	expect(t, append(got[1:4:4], w.log.in("public.u")...), want...)
	if last := got[4]; last.pos != at+"/00000005/00" {
		t.Errorf("the row after it: %s, want ordinal 5: each relation takes one", last)
	}
	if w.sums.changes["public.t t"] != 1 || w.sums.filtered["table"] != 1 {
		t.Errorf("counted %v, filtered %v", w.sums.changes, w.sums.filtered)
	}
}

func TestDebeziumsTruncateIsOneRecord(t *testing.T) {
	t.Parallel()
	w := newWorld(tableOf(1, "t", "id"), tableOf(2, "u", "id"))
	w.config.Truncates, w.config.Debezium, w.config.Transactions = true, true, true
	w.server.transaction(truncateOf(1, 2))
	w.run(t)
	at := fmt.Sprintf("00000001/%016x", uint64(w.server.units[0].start))
	for i, name := range []string{"t", "u"} {
		expect(t, w.log.in("public."+name), fmt.Sprintf("shop.public.%s/%d %s/%08x/00  = t - - xid=701 lsn=1000 last=0 ts=1795301200701000 tx=701:4096#%d/1",
			name, Partition([]byte("public."+name), 3), at, i+1, i+1))
	}
}

func TestTruncateIsFilteredByDefault(t *testing.T) {
	t.Parallel()
	w := newWorld(tableOf(1, "t", "id"), tableOf(2, "u", "id"))
	w.server.transaction(truncateOf(1, 2), insert(1, "2"))
	got := w.run(t)
	if len(got) != 1 || w.sums.filtered["truncate"] != 2 || len(w.encoder.plans) != 1 {
		t.Errorf("%v, filtered %v, plans %v: want the row alone, at ordinal 3, and no plan for what is not published", got, w.sums.filtered, w.encoder.plans)
	}
	if want := fmt.Sprintf("00000001/%016x/00000003/00", uint64(w.server.units[0].start)); got[0].pos != want {
		t.Errorf("position %s, want %s", got[0].pos, want)
	}
}
