package kafka

import (
	"encoding/json"
	"testing"

	"github.com/tailrace/tailrace/cdc"
)

// noteVersion puts a version into the schema topic, with the next commit.
func noteVersion(t *testing.T, p *Publisher, from cdc.Position, columns ...string) {
	t.Helper()
	table := &cdc.Table{OID: 7, Schema: "public", Name: "t"}
	for _, name := range columns {
		table.Columns = append(table.Columns, cdc.Column{Name: name, Type: &cdc.Type{Name: "text"}})
	}
	text, err := json.Marshal(cdc.Version{Version: 1, From: from.String(), Topic: "shop.public.t", Table: table})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Note(t.Context(), cdc.Note{Schema: true, Key: table.String(), Value: text}); err != nil {
		t.Fatal(err)
	}
}

func TestHistoryIsReadBack(t *testing.T) {
	t.Parallel()
	addr := newBroker(t)
	p := newPublisher(t, addr, "shop")
	rem, err := p.Read(t.Context())
	if err != nil || rem.History == nil || rem.History.At(7, cdc.Position{Epoch: 9}) != nil {
		t.Fatalf("an empty history: %+v, %v", rem.History, err)
	}
	noteVersion(t, p, cdc.Position{Epoch: 1, LSN: 10, Ordinal: 1}, "id")
	if err := p.Commit(t.Context(), progressAt(20)); err != nil {
		t.Fatal(err)
	}
	noteVersion(t, p, cdc.Position{Epoch: 1, LSN: 30, Ordinal: 2}, "id", "v")
	if err := p.Commit(t.Context(), progressAt(40)); err != nil {
		t.Fatal(err)
	}
	noteVersion(t, p, cdc.Position{Epoch: 1, LSN: 50}, "id", "v", "w") // never committed

	for range 2 {
		if rem, err = newPublisher(t, addr, "shop").Read(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(committed(t, addr, SchemaTopic("shop"), 2)); n != 2 {
		t.Errorf("the schema topic has %d records, want one for each version: reading adds none", n)
	}
	for _, c := range []struct {
		at      cdc.Position
		columns int
	}{{cdc.Position{Epoch: 1, LSN: 9}, 0}, {cdc.Position{Epoch: 1, LSN: 30, Ordinal: 1}, 1}, {cdc.Position{Epoch: 1, LSN: 30, Ordinal: 2}, 2}, {cdc.Position{Epoch: 2}, 2}} {
		got := 0
		if v := rem.History.At(7, c.at); v != nil {
			got = len(v.Table.Columns)
		}
		if got != c.columns {
			t.Errorf("at %s the table has %d columns, want %d", c.at, got, c.columns)
		}
	}
	if rem.Progress == nil || rem.Progress.Confirmed != 40 {
		t.Errorf("progress %+v", rem.Progress)
	}
}

func TestAForeignSchemaTopicStops(t *testing.T) {
	t.Parallel()
	addr := newBroker(t)
	p := newPublisher(t, addr, "shop")
	if err := p.Note(t.Context(), cdc.Note{Schema: true, Key: "public.t", Value: []byte("not ours")}); err != nil {
		t.Fatal(err)
	}
	if err := p.Commit(t.Context(), progressAt(1)); err != nil {
		t.Fatal(err)
	}
	if _, err := newPublisher(t, addr, "shop").Read(t.Context()); !cdc.Stopped(err) {
		t.Errorf("%v, want a StopError", err)
	}
}
