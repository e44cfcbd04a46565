package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestPartsOfADeadLetterAreItsText: as docs/events.md puts them together.
func TestPartsOfADeadLetterAreItsText(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "max_row: 64KiB\n")
	w.begin(t, "CREATE TABLE orders (id int PRIMARY KEY, note text)")
	w.sql(t, "INSERT INTO orders SELECT 1, repeat('€ten chars', 30000)", "INSERT INTO orders VALUES (2, 'short')")
	w.stream(t)
	w.expect(t, w.name+".public.orders", `c {"id":2} null {"id":2,"note":"short"}`)
	parts := w.records(t, w.name+".dead_letter", 6)
	var text strings.Builder
	for i, p := range parts {
		var piece string
		if err := json.Unmarshal(p.After, &piece); err != nil || p.Error != "" || string(p.Key) != `{"id":1}` || *p.Pos != *parts[0].Pos || !strings.HasPrefix(p.Reason, "part ") {
			t.Fatalf("part %d: %v %s key %s: %s", i, err, p.Error, p.Key, p.Reason)
		}
		text.WriteString(piece)
	}
	var letter struct {
		Column string
		After  map[string]string
	}
	if err := json.Unmarshal([]byte(text.String()), &letter); err != nil || letter.Column != "note" || letter.After["note"] != strings.Repeat("€ten chars", 30000) {
		t.Errorf("%d parts, %v: %.200s", len(parts), err, text.String())
	}
	if r := w.relay(t, "tail", w.name+".dead_letter", "--until-end", "-n", "1"); !strings.Contains(r.out, "(part 1 of a dead letter of public.orders: the record is longer than max_row") {
		t.Errorf("%.300s%s", r.out, r.err)
	}
}

func TestOnOversizeStopStopsTheRelay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "max_row: 64KiB\non_oversize: stop\n")
	w.begin(t, "CREATE TABLE orders (id int PRIMARY KEY, note text)")
	w.sql(t, "INSERT INTO orders SELECT 1, repeat('ten chars ', 300000)")
	w.stopped(t, "public.orders", "max_row is 65536 bytes", "on_oversize: dead_letter")
}
