package sinktest

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/tailrace/tailrace/sinks"
)

func poison(t *testing.T, b *bench) {
	changes := []*sinks.Change{}
	for i := range 40 {
		changes = append(changes, Put(i+1, i, one))
	}
	changes[17], changes[33] = Poison(18, 17), Poison(34, 33)
	_, err := b.sink.Write(b.ctx(), b.batch(changes...))
	b.wantRefused(err, sinks.ClassConstraint, 17, 33)
	b.wantRows(map[int]Row{})
	rest := slices.Concat(changes[:17], changes[18:33], changes[34:])
	b.write(rest...)
	if got := len(b.Rows(t)); got != 38 {
		t.Errorf("rows without the poison: got %d, want 38", got)
	}
}

func poisonAfterGood(t *testing.T, b *bench) {
	_, err := b.sink.Write(b.ctx(), b.batch(Put(1, 1, one), Put(2, 1, two), Poison(3, 1)))
	b.wantRefused(err, sinks.ClassConstraint, 2)
	b.write(Put(1, 1, one), Put(2, 1, two))
	b.wantRows(map[int]Row{1: two})
	b.write(Poison(3, 1), Put(4, 1, one)) // latest wins: what nobody will see harms nobody
	b.wantRows(map[int]Row{1: one})
}

func zombie(t *testing.T, b *bench) {
	b.write(Put(1, 1, one))
	later := b.Open(t)
	t.Cleanup(later.Close)
	claim := b.mustClaim(later)
	if _, err := b.sink.Write(b.ctx(), b.batch(Put(2, 1, two))); !errors.Is(err, sinks.ErrFenced) {
		t.Errorf("write after a take-over: got %v, want ErrFenced", err)
	}
	b.wantRows(map[int]Row{1: one})
	b.sink, b.claim = later, claim
	b.write(Put(2, 1, two))
	b.wantRows(map[int]Row{1: two})
}

func reclaim(t *testing.T, b *bench) {
	c, err := b.sink.Reclaim(b.ctx(), b.claim)
	if err != nil || c.Epoch <= b.claim.Epoch || c.Next != b.claim.Next {
		t.Errorf("reclaim: got %+v, %v", c, err)
	}
	if _, err := b.sink.Reclaim(b.ctx(), b.claim); !errors.Is(err, sinks.ErrFenced) {
		t.Errorf("reclaim of a claim that is not the newest: got %v, want ErrFenced", err)
	}
}

func generation(t *testing.T, b *bench) {
	b.write(Put(5, 1, two), Delete(6, 2))
	again := b.batch(Put(1, 1, one), Put(2, 2, one))
	again.Generation = 2
	r, err := b.sink.Write(b.ctx(), again)
	if err != nil {
		t.Fatal(err)
	}
	b.wantOutcomes(r.Outcomes, sinks.Applied, sinks.Applied)
	b.wantRows(map[int]Row{1: one, 2: one})
}

// move sets a partition back that has an owner.
func move(t *testing.T, b *bench) {
	mover, ok := b.sink.(sinks.Mover)
	if !ok {
		t.Skip("the sink's offsets are the group's")
	}
	start := b.next
	b.write(Put(5, 1, one), Put(6, 2, one))
	park := sinks.Park{Key: sinks.ParkKey([]byte("key")), Class: sinks.ClassConstraint, FirstID: "id", Count: 1, Last: At(3).String()}
	batch := b.batch()
	batch.Park, batch.Note = []sinks.Park{park}, "first"
	batch.Next++
	if _, err := b.sink.Write(b.ctx(), batch); err != nil {
		t.Fatal(err)
	}
	b.next = batch.Next
	standing, err := mover.Standing(b.ctx())
	if err != nil || len(standing) != 1 {
		t.Fatalf("standing: got %+v, %v", standing, err)
	}
	c := standing[0]
	if c.Partition != b.claim.Partition || c.Epoch != b.claim.Epoch || c.Next != b.next || max(c.Generation, 1) != 1 || c.Note != "first" || !slices.Equal(c.Parked, []sinks.Park{park}) {
		t.Errorf("standing: got %+v", c)
	}
	wrong := c
	wrong.Next--
	if err := mover.Move(b.ctx(), []sinks.Move{{Claim: c, Next: max(start, 0), Generation: 2}, {Claim: wrong, Next: 0, Generation: 2}}); !errors.Is(err, sinks.ErrFenced) {
		t.Errorf("a move from another offset: got %v, want ErrFenced", err)
	}
	back := sinks.Move{Claim: c, Next: max(start, 0), Generation: 2, Note: "back", Unpark: [][32]byte{park.Key}}
	if err := mover.Move(b.ctx(), []sinks.Move{back}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.sink.Write(b.ctx(), b.batch(Put(9, 1, two))); !errors.Is(err, sinks.ErrFenced) {
		t.Errorf("the owner from before: got %v, want ErrFenced", err)
	}
	b.claim = b.mustClaim(b.sink)
	if b.claim.Generation != 2 || b.claim.Note != "back" || b.claim.Next != back.Next || len(b.claim.Parked) != 0 {
		t.Errorf("the next claim: got %+v", b.claim)
	}
	b.next = b.claim.Next
	again := b.batch(Put(5, 1, two))
	again.Generation = 2
	if _, err := b.sink.Write(b.ctx(), again); err != nil {
		t.Fatal(err)
	}
	b.wantRows(map[int]Row{1: two, 2: one})
}

func outbox(t *testing.T, b *bench) {
	out, ok := b.sink.(sinks.Outbox)
	if !ok {
		t.Skip("the sink has no outbox")
	}
	letters := []sinks.DeadLetter{
		letter(7, []byte("key"), []byte{0, 1, 2, 0xff}, sinks.Header{Name: "a", Value: []byte("b")}, sinks.Header{Name: "bad\xff", Value: nil}),
		letter(8, nil, nil),
	}
	park := sinks.Park{Key: sinks.ParkKey([]byte("key")), Class: sinks.ClassConstraint, FirstID: letters[0].ID, Count: 1, Last: At(3).String()}
	batch := b.batch(Put(1, 1, one))
	batch.DeadLetters, batch.Park = letters, []sinks.Park{park}
	if _, err := b.sink.Write(b.ctx(), batch); err != nil {
		t.Fatal(err)
	}
	b.next = batch.Next
	got, err := out.Undelivered(b.ctx(), b.claim, 10)
	if err != nil || len(got) != 2 {
		t.Fatalf("undelivered: got %d, %v; want 2", len(got), err)
	}
	for i := range got {
		w, g := letters[i], got[i]
		if g.ID != w.ID || g.Offset != w.Offset || string(g.Key) != string(w.Key) || string(g.Value) != string(w.Value) ||
			(g.Key == nil) != (w.Key == nil) || !g.Timestamp.Equal(w.Timestamp) || len(g.Headers) != len(w.Headers) {
			t.Errorf("dead letter %d: got %+v, want %+v", i, g, w)
			continue
		}
		for j := range g.Headers {
			if g.Headers[j].Name != w.Headers[j].Name || string(g.Headers[j].Value) != string(w.Headers[j].Value) {
				t.Errorf("header %d of dead letter %d: got %v, want %v", j, i, g.Headers[j], w.Headers[j])
			}
		}
	}
	old := b.claim
	b.claim = b.mustClaim(b.sink)
	if !slices.Equal(b.claim.Parked, []sinks.Park{park}) || !b.claim.Backlog {
		t.Errorf("claim: got markers %v, backlog %v; want %v, true", b.claim.Parked, b.claim.Backlog, park)
	}
	if rest, err := out.Undelivered(b.ctx(), old, 10); err != nil || len(rest) != 0 {
		t.Errorf("undelivered for an owner that was replaced: got %d, %v; want none", len(rest), err)
	}
	if err := out.Delivered(b.ctx(), b.claim, got); err != nil {
		t.Fatal(err)
	}
	batch = b.batch()
	batch.Next++
	batch.Unpark = [][32]byte{park.Key}
	if _, err := b.sink.Write(b.ctx(), batch); err != nil {
		t.Fatal(err)
	}
	b.claim = b.mustClaim(b.sink)
	if len(b.claim.Parked) != 0 || b.claim.Backlog {
		t.Errorf("claim after all was resolved: got %+v", b.claim)
	}
}

func letter(offset int64, key, value []byte, headers ...sinks.Header) sinks.DeadLetter {
	r := sinks.Record{Topic: part.Topic, Partition: part.Number, Offset: offset, Timestamp: time.UnixMilli(1_700_000_000_123), Key: key, Value: value, Headers: headers}
	return sinks.NewDeadLetter(r, sinks.Reason{Pipeline: "p", Step: "sink", Err: &sinks.RecordError{Class: sinks.ClassConstraint, Reason: "refused"}})
}

// random applies a seeded history of a few rows with repeated runs, cut into
// random batches, and compares with what the history alone leaves.
func random(t *testing.T, b *bench) {
	seed := rand.Uint64()
	t.Logf("seed=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	var history []*sinks.Change
	want := map[int]Row{}
	for n := 1; n <= 300; n++ {
		id := rng.IntN(12)
		cur, exists := want[id]
		amount := strconv.Itoa(n)
		switch {
		case rng.IntN(50) == 0:
			history = append(history, Truncate(n))
			clear(want)
		case exists && rng.IntN(4) == 0:
			history = append(history, Delete(n, id))
			delete(want, id)
		case exists && rng.IntN(2) == 0:
			want[id] = Row{"name" + amount, cur.Note, amount}
			history = append(history, PutName(n, id, want[id].Name, amount))
		default:
			want[id] = Row{"name" + amount, "note" + amount, amount}
			history = append(history, Put(n, id, want[id]))
		}
	}
	for at := 0; at < len(history); {
		if at > 0 && rng.IntN(5) == 0 {
			at -= rng.IntN(min(at, 20)) // the relay delivers a run again
		}
		end := min(len(history), at+1+rng.IntN(25))
		b.write(history[at:end]...)
		at = end
	}
	b.wantRows(want)
}
