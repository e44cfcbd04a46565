package test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// TestBrokerKilledUnderLoadNothingIsLostOrRepeated kills the broker, and now and
// then the relay, while changes are committed. Every one is counted, so that a
// change which a later one hides is missed too. A broker that ends in the middle
// of EndTxn leaves the relay without an answer.
func TestBrokerKilledUnderLoadNothingIsLostOrRepeated(t *testing.T) {
	t.Parallel()
	rng := seed(t)
	s := newStack(t)
	s.ownBroker()
	s.sql(`CREATE TABLE orders (id int PRIMARY KEY, note text)`)
	file, ops := s.relayConfig("")
	p := start(t, ops, "relay", "run", "-c", file)
	p.awaitState("streaming")

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	w := &writer{conn: s.connect(), rng: rand.New(rand.NewPCG(rng.Uint64(), 1))}
	defer w.conn.Close(context.Background())
	written := make(chan error, 1)
	go func() { written <- w.run(ctx) }()
	for round := range 4 {
		pause(t, 300+rng.IntN(1500))
		addr := s.broker.Addr()
		s.broker.Close()
		if rng.IntN(3) == 0 {
			p.kill()
			p = start(t, ops, "relay", "run", "-c", file)
		}
		pause(t, rng.IntN(1000))
		s.restartBroker(addr)
		if rng.IntN(2) == 0 { // else the next kill may meet the relay on its way back
			p.awaitState("streaming")
		}
		t.Logf("round %d: %d records are due", round, w.records.Load())
	}
	p.awaitState("streaming")
	stop()
	if err := <-written; err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	// The relay publishes in the order of commits, so the last row says that all
	// others are there, and what came twice too.
	s.sql(`INSERT INTO orders VALUES (0, 'last')`)
	want := int(w.records.Load()) + 1
	got := s.read(s.name + ".public.orders").until(func(got []record) (bool, string) {
		for _, r := range got {
			if id, _ := unwrap(r.key["id"]).(int32); id == 0 && len(got) >= want {
				return true, ""
			}
		}
		return false, fmt.Sprintf("%d of %d records", len(got), want)
	})
	if len(got) != want {
		t.Errorf("%d records, want %d", len(got), want)
	}
	streamRises(t, got)
}

// pause lets time pass that a seed chose.
func pause(t *testing.T, milliseconds int) {
	t.Helper()
	select {
	case <-time.After(time.Duration(milliseconds) * time.Millisecond):
	case <-t.Context().Done():
		t.Fatal("out of time")
	}
}
