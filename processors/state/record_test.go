package state

import (
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tailrace/tailrace/cdc"
)

func place(t *rapid.T) Place {
	p := Place{Position: cdc.Position{Epoch: rapid.Uint32().Draw(t, "epoch"), LSN: cdc.LSN(rapid.Uint64().Draw(t, "lsn")), Ordinal: rapid.Uint32().Draw(t, "ordinal")}}
	if p.Ordinal == 0 {
		p.Part = rapid.Uint64().Draw(t, "part")
	} else {
		p.Part = rapid.Uint64Range(0, 255).Draw(t, "part")
	}
	p.Path = rapid.SampledFrom([]string{"", "0000", "0001", "0001/00ff"}).Draw(t, "path")
	return p
}

func second(t *rapid.T) time.Time {
	return time.Unix(rapid.Int64Range(1, 1<<33).Draw(t, "time"), 0).UTC()
}

func marker(t *rapid.T) Marker {
	return Marker{rapid.String().Draw(t, "class"), rapid.String().Draw(t, "id"), rapid.Int64().Draw(t, "count"), second(t), second(t)}
}

// What is written is read, and bytes that were cut are an error.
func TestRecordsComeBackFromTheirBytes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		row := RowRecord{Generation: rapid.Int64().Draw(t, "generation"), Seen: place(t), Applied: place(t), KeySchema: rapid.IntRange(0, 1<<30).Draw(t, "schema")}
		if rapid.Bool().Draw(t, "removed") {
			row.Removed = second(t)
		}
		if rapid.Bool().Draw(t, "image") {
			row.Image = append([]byte{}, rapid.SliceOf(rapid.Byte()).Draw(t, "image bytes")...)
		}
		check(t, row.Append(nil), row, ParseRow, row.Image == nil)
		table := TableRecord{rapid.Int64().Draw(t, "generation"), place(t), place(t), place(t), rapid.IntRange(0, 99).Draw(t, "value"), rapid.IntRange(0, 99).Draw(t, "key")}
		check(t, table.Append(nil), table, ParseTable, true)
		m := marker(t)
		check(t, m.Append(nil), m, ParseMarker, true)
		entity := EntityRecord{Generation: rapid.Int64().Draw(t, "generation"), Sequence: rapid.Uint64().Draw(t, "sequence"), Contributions: map[string]Contribution{}}
		for _, name := range rapid.SliceOfNDistinct(rapid.String(), 0, 3, rapid.ID[string]).Draw(t, "names") {
			entity.Contributions[name] = Contribution{place(t), append([]byte{}, rapid.SliceOf(rapid.Byte()).Draw(t, "value")...)}
		}
		if rapid.Bool().Draw(t, "valued") {
			entity.Value = append([]byte{}, rapid.SliceOf(rapid.Byte()).Draw(t, "value")...)
		}
		if rapid.Bool().Draw(t, "parked") {
			m := marker(t)
			entity.Parked = &m
		}
		check(t, entity.Append(nil), entity, ParseEntity, true)
	})
}

// check reads a record back, whole and cut.
func check[T any](t *rapid.T, b []byte, want T, parse func([]byte) (T, error), cut bool) {
	t.Helper()
	got, err := parse(b)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v, %v; want %+v", got, err, want)
	}
	if cut {
		if _, err := parse(b[:rapid.IntRange(0, len(b)-1).Draw(t, "cut")]); err == nil {
			t.Fatalf("cut bytes of %+v: no error", want)
		}
	}
	if _, err := parse(append([]byte{recordVersion + 1}, b[1:]...)); err == nil {
		t.Fatal("bytes of a later version: no error")
	}
}

// The order of places is that of their texts, which is what sinks compare.
func TestPlacesOrderAsTheirTexts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := place(t), place(t)
		if rapid.Bool().Draw(t, "same position") {
			b.Position = a.Position
		}
		got, err := ParsePlace(a.String())
		if err != nil || got != a {
			t.Fatalf("%s: got %+v, %v", a, got, err)
		}
		want := 0
		switch {
		case a.String() < b.String():
			want = -1
		case a.String() > b.String():
			want = 1
		}
		if d := a.Compare(b); d != want {
			t.Fatalf("%s and %s: got %d, want %d", a, b, d, want)
		}
	})
}

func TestKeysComeBackFromTheirBytes(t *testing.T) {
	t.Parallel()
	for _, k := range []Key{{}, {Step: "steps[0].latest", Scope: Entity, Key: "a\x00b"}, {Scope: Parked, Table: "shop.public.items", Key: "\x00\xff"}} {
		if got, err := ParseKey(k.Append(nil)); err != nil || got != k {
			t.Errorf("%+v: got %+v, %v", k, got, err)
		}
	}
	if _, err := ParseKey([]byte("reader")); err == nil {
		t.Error("a key of another writer: no error")
	}
}

// A store that is too old, or of another topic, is not brought up to date by what
// the changelog still has.
func TestReplicaFollowsItsOwnChangelogOnlyWhileItIsYoung(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	r := NewReplica()
	if r.Follows("a", time.Hour, now) {
		t.Error("an empty store follows")
	}
	r.Topic, r.Next, r.As = "a", 7, now.Add(-29*time.Minute)
	if !r.Follows("a", time.Hour, now) {
		t.Error("a store of 29 minutes under a retention of an hour does not follow")
	}
	if r.Follows("b", time.Hour, now) {
		t.Error("a store follows a topic made anew")
	}
	if r.Follows("a", time.Hour, now.Add(time.Minute)) {
		t.Error("a store older than half of the retention follows")
	}
}
