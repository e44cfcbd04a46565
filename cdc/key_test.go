package cdc

import (
	"strings"
	"testing"
)

// indexed is a table with the primary key id whose replica identity is an index
// over code.
func indexed() *Table {
	t := tableOf(1, "t", "id", "code", "v")
	t.Identity = IdentityIndex
	t.Columns[0].Replicated, t.Columns[1].Replicated = false, true
	return t
}

// TestKeysThatTheOldRowDoesNotCarry: a key is what the WAL says, never an
// invention, with and without Debezium's forms.
func TestKeysThatTheOldRowDoesNotCarry(t *testing.T) {
	t.Parallel()
	configured := tableOf(1, "t", "id", "code", "v")
	full1 := tableOf(1, "t", "id", "code", "v")
	full1.Identity = IdentityFull
	for i := range full1.Columns {
		full1.Columns[i].Replicated = true
	}
	both := indexed()
	both.Key = []int{1, 0}
	for _, c := range []struct {
		name    string
		table   *Table
		key     []string
		change  Event
		want    string
		letters int
	}{
		{"the index's column changes", indexed(), nil, update(1, text("x", "a", "x"), "1", "b", "v"), "u1", 0},
		{"the primary key changes unseen", indexed(), nil, update(1, nil, "2", "a", "v"), "u2", 0},
		{"delete", indexed(), nil, remove(1, "x", "a", "x"), "", 1},
		{"a part of the key is the index's", both, nil, update(1, text("x", "a", "x"), "1", "b", "v"),
			"da;1 unavailable=before.id,before.v newkey=code:bid:1 tombstonea;1 newkey=code:bid:1 cb;1 oldkey=code:aid:1", 0},
		{"delete, a part of the key is the index's", both, nil, remove(1, "x", "a", "x"), "", 1},
		{"configured key, update", configured, []string{"code", "id"}, update(1, nil, "1", "b", "v"), "ub;1", 0},
		{"configured key, the primary key changes", configured, []string{"code", "id"}, update(1, text("1", "x", "x"), "2", "b", "v"),
			"db;1 unavailable=before.code,before.v newkey=code:bid:2 tombstoneb;1 newkey=code:bid:2 cb;2 oldkey=code:bid:1", 0},
		{"configured key, delete", configured, []string{"code"}, remove(1, "1", "x", "x"), "", 1},
		{"configured key under FULL", full1, []string{"code"}, full(update(1, text("1", "a", "v"), "1", "b", "v")), "da newkey=code:b tombstonea newkey=code:b cb oldkey=code:a", 0},
		{"configured key under FULL, delete", full1, []string{"code"}, full(remove(1, "1", "a", "v")), "da tombstonea", 0},
	} {
		for _, debezium := range []bool{false, true} {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(c.table)
				w.config.Debezium = debezium
				if c.key != nil {
					w.config.Rules = rules(Rules{Key: c.key})
				}
				w.server.transaction(c.change)
				if got := w.published(t, "t"); got != c.want {
					t.Errorf("published %q,\nwant      %q", got, c.want)
				}
				letters := w.log.in("dead_letter")
				if len(letters) != c.letters {
					t.Fatalf("%d dead letters, want %d", len(letters), c.letters)
				}
				for _, l := range letters {
					if l.key != "" || !strings.Contains(l.value, `"key":null`) || !strings.Contains(l.value, `"op":"d"`) || !strings.Contains(l.value, "does not carry this column of the record key") {
						t.Errorf("dead letter %s", l)
					}
				}
			})
		}
	}
}

func TestDeadLetterOfAKeyChangeHasBothRows(t *testing.T) {
	t.Parallel()
	w := newWorld(tableOf(1, "t", "id", "v"))
	w.server.transaction(update(1, text("1", "x"), "2", "NaN"))
	got := w.run(t)
	if len(got) != 1 {
		t.Fatalf("%v, want a dead letter", got)
	}
	for _, part := range []string{`"op":"u"`, `"before":{"id":"1"}`, `"after":{"id":"2","v":"NaN"}`, `"key":{"id":"2"}`} {
		if !strings.Contains(got[0].value, part) {
			t.Errorf("%s lacks %s", got[0].value, part)
		}
	}
}

// TestPartitions: by the key's body, or by all its bytes, which begin with the
// schema's id.
func TestPartitions(t *testing.T) {
	t.Parallel()
	keyless := tableOf(2, "n", "v")
	keyless.Key = nil
	for _, whole := range []bool{false, true} {
		w := newWorld(tableOf(1, "t", "id"), keyless)
		w.config.WholeKey, w.log.partitions = whole, 64
		w.server.transaction(insert(1, "1"), insert(2, "1"), message("pfx", "m"))
		w.run(t)
		for topic, key := range map[string]string{"public.t": "1;", ".message": "pfx"} {
			if whole {
				key = "key  " + key
			}
			if got, want := w.log.in(topic)[0].partition, Partition([]byte(key), 64); got != want {
				t.Errorf("whole key %v: %s in partition %d, want %d", whole, topic, got, want)
			}
		}
		if got, want := w.log.in("public.n")[0].partition, Partition([]byte("public.n"), 64); got != want {
			t.Errorf("whole key %v: without key in partition %d, want %d", whole, got, want)
		}
	}
}
