package cdc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestMessagesArePublishedWithTheirPlace(t *testing.T) {
	t.Parallel()
	w := newWorld(tableOf(1, "t", "id"))
	w.config.Transactions = true
	w.server.transaction(insert(1, "1"), message("pfx", "in"), message("no", "x"), lone("pfx", "out"), message("pfx", "last"))
	w.server.transaction(lone("pfx", "rolled back"))
	w.run(t)
	c := w.server.units[1].start
	expect(t, w.log.in(".message"),
		fmt.Sprintf("shop.message/2 00000001/%016x/00000001/00 key  pfx = m pfx:out xid=0 lsn=%x last=0 ts=1795301300000000 bare", uint64(w.server.units[0].end-1), uint64(w.server.units[0].end)),
		fmt.Sprintf("shop.message/2 00000001/%016x/00000002/00 key  pfx = m pfx:in xid=701 lsn=%x last=0 ts=1795301200701000 tx=701:%d#2/1 bare", uint64(c), 0x1070, c),
		fmt.Sprintf("shop.message/2 00000001/%016x/00000004/00 key  pfx = m pfx:last xid=701 lsn=%x last=0 ts=1795301200701000 tx=701:%d#3/2 bare", uint64(c), 0x1118, c),
		fmt.Sprintf("shop.message/2 00000001/%016x/00000001/00 key  pfx = m pfx:rolled back xid=0 lsn=%x last=%x ts=1795301300000000 bare", uint64(w.server.units[2].end-1), uint64(w.server.units[2].end), uint64(w.server.units[1].end)))
	if w.sums.changes["message m"] != 4 || w.sums.filtered["message"] != 1 {
		t.Errorf("counted %v, %v: want 4 messages published and 1 filtered", w.sums.changes, w.sums.filtered)
	}
	if got, want := w.server.confirmed, w.server.units[2].end; got != want {
		t.Errorf("confirmed %s, want the end of the last message %s", got, want)
	}
}

func TestDebeziumsSequenceCountsALoneMessageAsCommit(t *testing.T) {
	t.Parallel()
	w := newWorld(tableOf(1, "t", "id"))
	w.config.Debezium = true
	w.server.transaction(insert(1, "1"))
	w.server.transaction(insert(1, "2"), lone("pfx", "m"), insert(1, "3"))
	end := w.server.units[1].end
	w.run(t)
	got := w.log.in("public.t")
	for i, last := range []LSN{0, end, end} {
		if want := fmt.Sprintf(" last=%x ", uint64(last)); !strings.Contains(got[i].value, want) {
			t.Errorf("row %d: %s, want%s", i+1, got[i].value, want)
		}
	}
	// The message is stamped with the time of the transaction before it.
	if m := w.log.in(".message")[0].value; !strings.Contains(m, fmt.Sprintf("last=%x ts=1795301200701000", uint64(end))) {
		t.Errorf("message %s", m)
	}
	w.server.transaction(insert(1, "4")) // after a restart
	before := len(w.log.records)
	if got := w.run(t)[before:]; len(got) != 1 || !strings.Contains(got[0].value, fmt.Sprintf("last=%x", uint64(w.server.units[2].end))) {
		t.Errorf("after the restart: %v", got)
	}
}

func TestMessageAfterRestartKeepsDebeziumsSequence(t *testing.T) {
	t.Parallel()
	w := newWorld(tableOf(1, "t", "id"))
	w.config.Debezium = true
	w.server.transaction(insert(1, "1"))
	w.server.transaction(lone("pfx", "m"))
	w.run(t)
	w.server.transaction(insert(1, "2"))
	if got := w.run(t)[2]; !strings.Contains(got.value, fmt.Sprintf("last=%x", uint64(w.server.units[1].end))) {
		t.Errorf("the row after the restart: %s, want the message's LSN %x", got, uint64(w.server.units[1].end))
	}
}

func TestOurMessagesAreNeverPublished(t *testing.T) {
	t.Parallel()
	w := newWorld(tableOf(1, "t", "id"))
	w.config.Messages = func(string) bool { return true }
	w.config.Transactions = true
	sent := time.Unix(1795301200, 5)
	w.server.transaction(message("tailrace.wm", "x"))
	w.server.transaction(lone("tailrace.heartbeat", fmt.Sprint(sent.UnixNano())))
	w.server.transaction(message("tailrace.heartbeat", fmt.Sprint(sent.UnixNano())), insert(1, "1"))
	w.server.transaction(lone("tailrace.heartbeat", "forged"))
	w.run(t)
	expect(t, w.log.in(".message"))
	if got := w.log.in(".transaction"); len(got) != 2 {
		t.Errorf("%d records of transactions, want begin and end of the one with a row: %v", len(got), got)
	}
	if len(w.sums.beats) != 2 || !w.sums.beats[0].Equal(sent) {
		t.Errorf("probes %v, want two sent at %v", w.sums.beats, sent)
	}
	if w.sums.filtered["message"] != 1 {
		t.Errorf("filtered %v, want the watermark", w.sums.filtered)
	}
}

func TestAProbeIsToldOnlyWhenItIsDurable(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.server.transaction(lone("tailrace.heartbeat", "1"))
	w.log.killAt = 1
	r, _ := w.relay()
	w.log.killAt = 1
	if err := r.Stream(t.Context()); err == nil || len(w.sums.beats) != 0 {
		t.Errorf("%v: told %v", err, w.sums.beats)
	}
	w.run(t)
	if len(w.sums.beats) != 1 {
		t.Errorf("after the restart: told %v", w.sums.beats)
	}
}

// TestAMessageBesideACommitHasAPositionOfItsOwn: the end of the message's record
// is the commit LSN of the transaction that wrote it.
func TestAMessageBesideACommitHasAPositionOfItsOwn(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.server.transaction(message("pfx", "a"), lone("pfx", "b"))
	got := w.run(t)
	if w.server.units[0].end != w.server.units[1].start {
		t.Fatal("the scenario is another")
	}
	if len(got) != 2 || !strings.Contains(got[0].value, "pfx:b") || got[0].pos >= got[1].pos {
		t.Errorf("%v: want b, then a, at a later position", got)
	}
}

// TestAMessageThatIsTooLargeLeavesNothing: not even the BEGIN that came with it,
// if the relay is asked to stop in the same moment.
func TestAMessageThatIsTooLargeLeavesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld()
	ctx, stop := context.WithCancel(t.Context())
	w.config.Transactions, w.config.MaxRow, w.config.Oversize = true, 100, ""
	w.config.Messages = func(prefix string) bool {
		if prefix == "big" {
			stop()
		}
		return true
	}
	w.server.transaction(lone("pfx", "m")) // for the plans and the topics
	w.server.transaction(message("big", strings.Repeat("x", 200)))
	w.server.transaction(message("pfx", "n"))
	r, _ := w.relay()
	if err := r.Stream(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	expect(t, w.log.in(".transaction"))
	w.config.Messages = func(string) bool { return true }
	w.stops(t, "max_row is 100 bytes")
}

func TestXMinIsThatOfTheMoment(t *testing.T) {
	t.Parallel()
	w := newWorld(tableOf(1, "t", "id"))
	var now int64 = 40
	w.config.XMin = func() int64 { now++; return now }
	w.server.transaction(insert(1, "1"), message("pfx", "m"), lone("pfx", "n"))
	for i, r := range w.run(t) {
		if want := fmt.Sprintf(" xmin=%d", 41+i); !strings.HasSuffix(r.value, want) {
			t.Errorf("%s, want%s", r, want)
		}
	}
}
