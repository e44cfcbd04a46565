package cdc

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// quiet is a server without traffic, as long as the test lasts.
type quiet struct {
	session
	until time.Time
	every time.Duration // a keepalive
	last  time.Time
	asked int
}

func (q *quiet) Next(_ context.Context, wait time.Duration) (*Event, error) {
	q.asked++
	<-time.After(wait)
	if time.Now().After(q.until) {
		return nil, errRead
	}
	if q.every > 0 && time.Since(q.last) >= q.every {
		q.last = time.Now()
		return &Event{Kind: EventKeepalive, LSN: 0x1000, Read: time.Now().UnixNano()}, nil
	}
	return nil, nil
}

// beats runs a relay for a minute without traffic.
func beats(t *testing.T, interval, keepalive time.Duration) (w *world, asked int) {
	synctest.Test(t, func(t *testing.T) {
		w = newWorld()
		w.config.Heartbeat = interval
		r, s := w.relay()
		q := &quiet{session: *s, until: time.Now().Add(time.Minute), every: keepalive}
		r.Source = q
		if err := r.Stream(t.Context()); !errors.Is(err, errRead) {
			t.Fatal(err)
		}
		asked = q.asked
	})
	return w, asked
}

func TestHeartbeatRecordsWhileIdle(t *testing.T) {
	t.Parallel()
	w, asked := beats(t, 10*time.Second, time.Second)
	if n := len(w.log.records); n != 5 && n != 6 {
		t.Fatalf("%d heartbeats in a minute, want one every 10 s", n)
	}
	want := "__debezium-heartbeat.shop/0 00000001/0000000000001000/00000000/0000000000000000 key  server = beat bare"
	for _, r := range w.log.records {
		if r.String() != want {
			t.Errorf("got  %s\nwant %s", r, want)
		}
	}
	if w.log.commits > 7 || asked > 200 {
		t.Errorf("%d commits, %d waits", w.log.commits, asked)
	}
}

// TestASmallHeartbeatIsNoLoopOfCommits: they keep the pace of Kafka transactions.
func TestASmallHeartbeatIsNoLoopOfCommits(t *testing.T) {
	t.Parallel()
	w, asked := beats(t, time.Nanosecond, 0)
	if most := int(time.Minute/DefaultLimits().Age) + 2; len(w.log.records) < 500 || w.log.commits > most || asked > 3*most {
		t.Errorf("%d heartbeats in %d commits and %d waits of a minute, want at most %d", len(w.log.records), w.log.commits, asked, most)
	}
}

func TestNoHeartbeatsByDefault(t *testing.T) {
	t.Parallel()
	w, _ := beats(t, 0, time.Second)
	if len(w.log.records) != 0 || w.log.commits != 0 {
		t.Errorf("%d records, %d commits", len(w.log.records), w.log.commits)
	}
}

// TestHeartbeatRidesWithRows: one that is due while rows come is in their Kafka
// transaction, and stands at what is confirmed with it.
func TestHeartbeatRidesWithRows(t *testing.T) {
	t.Parallel()
	w := newWorld(tableOf(1, "t", "id"))
	w.config.Heartbeat = time.Second
	w.server.transaction(insert(1, "1"))
	w.server.transaction(insert(1, "2"))
	r, _ := w.relay()
	r.heartbeat.last -= int64(time.Hour)
	if err := r.Stream(t.Context()); !errors.Is(err, errRead) {
		t.Fatal(err)
	}
	if n := len(w.log.in("heartbeat.shop")); n != 1 {
		t.Errorf("%d heartbeats, want 1", n)
	}
	if n := len(w.log.in("public.t")); n != 2 {
		t.Errorf("%d rows, want 2", n)
	}
}
