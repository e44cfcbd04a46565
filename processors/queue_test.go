package processors

import (
	"runtime"
	"testing"
	"time"
	"weak"

	"github.com/tailrace/tailrace/kafka"
)

func messages(n, bytes int) []kafka.Message {
	out := make([]kafka.Message, n)
	for i := range out {
		out[i].Offset, out[i].Value = int64(i), make([]byte, bytes)
	}
	return out
}

func TestQueueBoundsBatchesAndGivesRoomBackWhenDone(t *testing.T) {
	t.Parallel()
	q := newQueue()
	all := messages(10, 1000)
	one := all[0].Size()
	if got := q.put(all); got != 10*one {
		t.Errorf("held: got %d, want %d", got, 10*one)
	}
	first, ok := q.take(t.Context(), nil, 4, 1<<20)
	if !ok || len(first) != 4 {
		t.Fatalf("by rows: got %d, %v; want 4", len(first), ok)
	}
	if ahead := q.peek(100, 2*one); len(ahead) != 2 || ahead[0].Offset != 4 || &ahead[0].Value[0] != &all[4].Value[0] {
		t.Errorf("looked at: got %d; want 2 from 4, the very messages", len(ahead))
	}
	if all[3].Value == nil || q.ready[:1][0].Offset != 4 {
		t.Error("what was taken was taken from its giver, too")
	}
	second, _ := q.take(t.Context(), nil, 100, 2*one)
	if len(second) != 2 || second[0].Offset != 4 {
		t.Errorf("by bytes: got %d from offset %d; want 2 from 4", len(second), second[0].Offset)
	}
	third, _ := q.take(t.Context(), nil, 100, 1) // larger than a batch: alone
	if len(third) != 1 {
		t.Errorf("a large one: got %d, want 1", len(third))
	}
	if got := q.size(); got != 10*one {
		t.Errorf("held until done: got %d, want %d", got, 10*one)
	}
	if got := q.done(first); got != 6*one {
		t.Errorf("held after done: got %d, want %d", got, 6*one)
	}
	idle := make(chan time.Time, 1)
	idle <- time.Time{}
	rest, _ := q.take(t.Context(), idle, 100, 1<<20)
	if len(rest) != 3 {
		t.Errorf("rest: got %d, want 3", len(rest))
	}
	if empty, ok := q.take(t.Context(), idle, 100, 1<<20); !ok || len(empty) != 0 {
		t.Errorf("idle: got %d, %v; want none, true", len(empty), ok)
	}
	q.close()
	if _, ok := q.take(t.Context(), nil, 1, 1); ok {
		t.Error("a closed queue gave something")
	}
	q.put(all)
	q.done(second)
	q.done(third)
	q.done(rest)
	if got := q.size(); got != 0 {
		t.Errorf("held at the end: got %d, want 0", got)
	}
}

// What was taken lives no longer than its batch, though others of its fetch still wait.
func TestQueueLetsGoOfWhatWasTaken(t *testing.T) {
	t.Parallel()
	q := newQueue()
	first := func() weak.Pointer[byte] {
		q.put(messages(10, 64<<10))
		taken, _ := q.take(t.Context(), nil, 4, 1<<20)
		q.peek(4, 1<<20)
		return weak.Make(&taken[0].Value[0])
	}()
	runtime.GC()
	if first.Value() != nil {
		t.Error("a message that was taken is still held")
	}
	if got, _ := q.take(t.Context(), nil, 100, 1<<20); len(got) != 6 {
		t.Errorf("behind it: got %d, want 6", len(got))
	}
}
