package kafka

import (
	"errors"
	"testing"
	"time"

	"github.com/tailrace/tailrace/cdc"
)

// unfenced is a publisher at least once; ours may be nil.
func unfenced(t *testing.T, addr string, waiting func(time.Duration), ours func() error) *Publisher {
	t.Helper()
	p, err := NewPublisher(PublisherConfig{
		Config: Config{Brokers: []string{addr}, ClientID: "test"}, Name: "shop", Compression: "lz4", MaxRecord: 1 << 20,
		CreateTopics: true, Partitions: 3, Replication: -1, AtLeastOnce: true, Waiting: waiting, Ours: ours,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// remembered is the confirmed LSN that a start would find.
func remembered(t *testing.T, addr string) cdc.LSN {
	t.Helper()
	rem, err := newPublisher(t, addr, "shop").Read(t.Context())
	if err != nil || rem.Progress == nil {
		t.Fatalf("%+v, %v", rem, err)
	}
	return rem.Progress.Confirmed
}

// TestASuccessorWaitsOutWhatNothingFences: the predecessor was killed, so its last
// records may still be on their way. One that said farewell has none.
func TestASuccessorWaitsOutWhatNothingFences(t *testing.T) {
	t.Parallel()
	addr := newBroker(t)
	old := unfenced(t, addr, nil, nil)
	if err := old.Fence(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := old.Topic(t.Context(), "shop.t"); err != nil {
		t.Fatal(err)
	}
	publish(t, old, "shop.t", 3)
	if err := old.Commit(t.Context(), progressAt(1)); err != nil {
		t.Fatal(err)
	}
	old.client.Close() // as SIGKILL would: no farewell

	var told time.Duration
	next := unfenced(t, addr, func(d time.Duration) { told = d }, nil)
	began := time.Now()
	if err := next.Fence(t.Context()); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < DeliveryTimeout || told != DeliveryTimeout {
		t.Errorf("waited %s and said %s, want %s", took, told, DeliveryTimeout)
	}
	if err := next.Commit(t.Context(), progressAt(2)); err != nil {
		t.Fatal(err)
	}
	next.Close()

	told = 0
	last := unfenced(t, addr, func(d time.Duration) { told = d }, nil)
	if err := last.Fence(t.Context()); err != nil || told != 0 {
		t.Errorf("after a farewell: waited %s, %v", told, err)
	}
}

// TestARelayThatLostTheSlotWritesNothing: neither rows nor progress nor a farewell,
// which would take its successor's progress back.
func TestARelayThatLostTheSlotWritesNothing(t *testing.T) {
	t.Parallel()
	addr := newBroker(t)
	var lost error
	old := unfenced(t, addr, nil, func() error { return lost })
	if err := old.Fence(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := old.Topic(t.Context(), "shop.t"); err != nil {
		t.Fatal(err)
	}
	publish(t, old, "shop.t", 3)
	if err := old.Commit(t.Context(), progressAt(1)); err != nil {
		t.Fatal(err)
	}
	// A successor goes on meanwhile.
	next := newPublisher(t, addr, "shop")
	if err := next.Commit(t.Context(), progressAt(2)); err != nil {
		t.Fatal(err)
	}
	lost = errors.New("the slot may be another's")
	b, err := old.Batch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := old.Publish(t.Context(), b); !errors.Is(err, lost) {
		t.Errorf("publish: %v", err)
	}
	if err := old.Commit(t.Context(), progressAt(1)); err == nil {
		t.Error("progress was written")
	}
	old.Close()
	if at := remembered(t, addr); at != 2 {
		t.Errorf("the progress is %s, want 0/2", at)
	}
	if got := committed(t, addr, "shop.t", 3); len(got) != 3 {
		t.Errorf("%d records, want 3", len(got))
	}
}

// TestARecordIsGivenUpAfterTheDeliveryTimeout, also one of which nobody knows whether
// the broker has it: what a successor waits for must come to an end.
func TestARecordIsGivenUpAfterTheDeliveryTimeout(t *testing.T) {
	t.Parallel()
	broker := startBroker(t)
	addr := broker.Addr()
	p := unfenced(t, addr, nil, nil)
	if err := p.Fence(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Topic(t.Context(), "shop.t"); err != nil {
		t.Fatal(err)
	}
	publish(t, p, "shop.t", 3)
	if err := p.Commit(t.Context(), progressAt(1)); err != nil {
		t.Fatal(err)
	}
	broker.Close()
	publish(t, p, "shop.t", 3)
	began := time.Now()
	err := p.Commit(t.Context(), progressAt(2))
	if took := time.Since(began); err == nil || took > 2*DeliveryTimeout {
		t.Errorf("after %s: %v", took, err)
	}
}
