package processors_test

import (
	"context"
	"testing"

	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/processors"
)

// A member that was frozen between the group's assignment and its claim claims last, when
// the partition is another one's already. The rightful owner, whom the group confirms,
// claims it back, without a person and without a rebalance.
func TestAnOwnerThatAZombieRobbedClaimsBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.publish(w.put(1, 1, "first", "x", 1))
	p := w.start()
	w.reach(0, 1)
	for n := 2; n < 5; n++ {
		w.exec("UPDATE tailrace.offsets SET epoch = epoch + 1")
		w.publish(w.put(n, 1, "next", "x", n))
		w.reach(0, int64(n))
	}
	w.wantRows(map[int]row{1: {"next", "x", "4"}})
	p.wantCounters(map[string]int{"applied": 4})
	until(t, "the partition to run", func() bool { return p.partitionState() == "running" })
}

// A sink that is restored from a backup below a running owner brings its older offset
// row: the owner goes on from there by itself.
func TestASinkRestoredBelowARunningOwner(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.publish(w.put(1, 1, "first", "x", 1), w.put(2, 2, "second", "y", 2), w.put(3, 3, "third", "z", 3))
	w.start()
	w.reach(0, 3)
	w.exec("DELETE FROM public.items WHERE id > 1")
	w.exec("UPDATE tailrace.offsets SET epoch = epoch - 1, next_offset = 1")
	w.publish(w.put(4, 1, "again", "x", 4))
	w.reach(0, 4)
	w.wantRows(map[int]row{1: {"again", "x", "4"}, 2: {"second", "y", "2"}, 3: {"third", "z", "3"}})
}

// What a member of the group that is none any more asks is not answered: it claims
// nothing, however long it asks.
func TestAZombieThatTheGroupDoesNotKnowClaimsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.publish(w.put(1, 1, "first", "x", 1))
	asked := make(chan struct{}, 100)
	p := w.start(func(s *setup) {
		s.wrap = func(in processors.Source) processors.Source { return askedSource{behindSource{in}, asked} }
	})
	w.reach(0, 1)
	w.exec("UPDATE tailrace.offsets SET epoch = 77")
	w.publish(w.put(2, 1, "second", "x", 2))
	until(t, "the owner to ask", func() bool { return p.partitionState() == "retrying" })
	for range cap(asked) {
		select {
		case <-asked:
			continue
		default:
		}
		break
	}
	for range 3 {
		<-asked
	}
	if got := w.value("SELECT epoch::text FROM tailrace.offsets"); got != "77" {
		t.Errorf("the epoch: got %s, want 77", got)
	}
	w.wantRows(map[int]row{1: {"first", "x", "1"}})
}

// Two topics share their state. A zombie that takes the claim of one of them alone, and
// writes the state, is noticed by the owner of the other with its next batch: what that one
// has in memory is not what it writes.
func TestAZombieDoesNotWriteTheStateBesideItsOwner(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.createTopic("shop.public.others", 1)
	w.publish(w.put(1, 1, "one", "", 1))
	w.start(stateful(counting), func(s *setup) { s.consumer.Topics, s.consumer.Tasks = []string{topic, "shop.public.others"}, true })
	w.reach(0, 1)
	until(t, "both topics", func() bool { return w.value("SELECT count(*)::text FROM tailrace.offsets") == "2" })
	w.exec("UPDATE tailrace.offsets SET epoch = epoch + 1 WHERE topic = 'shop.public.others'")
	w.exec("UPDATE tailrace.state SET value = 'zombie' WHERE value = '+'")
	w.publish(w.put(2, 2, "two", "", 2))
	w.reach(0, 2)
	w.wantRows(map[int]row{1: {"one", "+", "1"}, 2: {"two", "zombie+", "2"}})
	other := *table
	other.Name = "others"
	w.publishTo("shop.public.others", w.change(&other, 3, 'c', text("3"), text("three"), text(""), text("3")))
	until(t, "the other topic to go on", func() bool {
		return w.value("SELECT next_offset::text FROM tailrace.offsets WHERE topic = 'shop.public.others'") == "1"
	})
	if got := w.value("SELECT note FROM public.others"); got != "zombie++" {
		t.Errorf("behind both: got %q, want the state of both", got)
	}
}

// askedSource says when it is asked to take an offset.
type askedSource struct {
	processors.Source
	asked chan struct{}
}

func (s askedSource) Commit(ctx context.Context, offsets map[kafka.TopicPartition]int64) error {
	select {
	case s.asked <- struct{}{}:
	default:
	}
	return s.Source.Commit(ctx, offsets)
}
