package kafka

import (
	"errors"
	"strings"
	"testing"

	"github.com/tailrace/tailrace/cdc"
)

func TestTheKeysSchemaIsRemembered(t *testing.T) {
	t.Parallel()
	addr := newBroker(t)
	p := newPublisher(t, addr, "shop")
	table, renamed, other := &cdc.Table{OID: 7, Schema: "public", Name: "t"}, &cdc.Table{OID: 7, Schema: "public", Name: "u"}, &cdc.Table{OID: 8, Schema: "public", Name: "v"}
	pin := cdc.KeyPin{Version: 1, Topic: "shop.t", Table: "public.t", OID: 7, ID: 3, Schema: `{"type":"record"}`}
	if got := p.Key("shop.t", table); got != nil {
		t.Fatalf("before anything is pinned: %+v", got)
	}
	if err := p.PinKey(t.Context(), "shop.t", pin); err != nil {
		t.Fatal(err)
	}
	if err := p.Commit(t.Context(), progressAt(1)); err != nil {
		t.Fatal(err)
	}
	next := newPublisher(t, addr, "shop")
	if _, err := next.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, same := range []*cdc.Table{table, renamed} {
		if got := next.Key("shop.t", same); got == nil || *got != pin {
			t.Errorf("%s: remembered %+v, want %+v", same, got, pin)
		}
	}
	if got := next.Key("shop.t", other); got != nil {
		t.Errorf("another table of the topic: %+v", got)
	}
	if got := next.Key("shop.t.v2", table); got != nil {
		t.Errorf("another topic: %+v", got)
	}
}

func TestAChangedPartitionCountStops(t *testing.T) {
	t.Parallel()
	addr := newBroker(t)
	p := newPublisher(t, addr, "shop")
	if _, err := p.Topic(t.Context(), "shop.t"); err != nil {
		t.Fatal(err)
	}
	if err := p.Commit(t.Context(), progressAt(1)); err != nil {
		t.Fatal(err)
	}
	grown, err := newPublisher(t, addr, "other").admin.CreatePartitions(t.Context(), 2, "shop.t")
	if err := errors.Join(err, grown.Error()); err != nil {
		t.Fatal(err)
	}
	next := newPublisher(t, addr, "shop")
	if _, err := next.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := next.Topic(t.Context(), "shop.t"); !cdc.Stopped(err) || !strings.Contains(err.Error(), "has 5 partitions, it had 3") {
		t.Errorf("a topic with more partitions: %v, want a StopError", err)
	}
}
