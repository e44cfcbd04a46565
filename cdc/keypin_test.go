package cdc

import (
	"strings"
	"testing"
)

// keyed is a table whose key has these columns, by index.
func keyed(key []int, columns ...string) *Table {
	t := tableOf(1, "t", columns...)
	t.Key = key
	for i := range t.Columns {
		t.Columns[i].NotNull, t.Columns[i].Replicated = false, false
	}
	for _, k := range key {
		t.Columns[k].NotNull, t.Columns[k].Replicated = true, true
	}
	return t
}

func TestANewKeyShapeStops(t *testing.T) {
	t.Parallel()
	w := newWorld(keyed([]int{0}, "id", "line"))
	w.server.transaction(insert(1, "1", "1"))
	w.server.transaction(w.altered(keyed([]int{0, 1}, "id", "line")), insert(1, "2", "1"))
	for range 2 { // the second start reads it again, and stops again
		r, _ := w.relay()
		err := r.Stream(t.Context())
		for _, part := range []string{"public.t", "(id)", "(id,line)", "kafka.on_key_change: new_topic", "shop.public.t.v2"} {
			if !Stopped(err) || !strings.Contains(err.Error(), part) {
				t.Errorf("%v lacks %q", err, part)
			}
		}
	}
	if n := len(w.log.in("public.t")); n != 1 {
		t.Errorf("%d records, want the one before the change", n)
	}
}

func TestANewKeyShapeGoesOnInANewTopic(t *testing.T) {
	t.Parallel()
	w := newWorld(keyed([]int{0}, "id", "line"))
	w.config.KeyNewTopic = true
	w.server.transaction(insert(1, "1", "1"))
	w.server.transaction(w.altered(keyed([]int{0, 1}, "id", "line")), insert(1, "2", "1"))
	w.run(t)
	w.server.transaction(insert(1, "3", "1")) // a later run goes on there
	w.run(t)
	old, next := w.log.in("public.t"), w.log.in("public.t.v2")
	if len(old) != 1 || len(next) != 2 || !strings.Contains(next[1].key, "3;1;") {
		t.Errorf("%v in the topic and %v in its next version, want 1 and 2", old, next)
	}
}

// TestAKeySchemaUnderAnotherIDStopsWhereIDsCount: a registry that has lost what it
// held gives other ids. Only a partitioner that hashes them minds.
func TestAKeySchemaUnderAnotherIDStopsWhereIDsCount(t *testing.T) {
	t.Parallel()
	for _, whole := range []bool{false, true} {
		w := newWorld(keyed([]int{0}, "id"))
		w.config.WholeKey = whole
		w.server.transaction(insert(1, "1"))
		w.run(t)
		w.encoder.ids = 40
		w.server.transaction(insert(1, "2"))
		if whole {
			w.stops(t, "keys would change their partition")
			continue
		}
		w.run(t)
		if pin := w.log.Key("shop.public.t", w.server.tables[1]); pin == nil || pin.ID != 41 || len(w.log.in("public.t")) != 2 {
			t.Errorf("pinned %+v, %v", pin, w.log.in("public.t"))
		}
	}
}
