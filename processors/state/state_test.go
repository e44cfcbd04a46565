package state

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func key(s string) Key { return Key{Step: "s", Scope: Entity, Key: s} }

func text(entries []Entry) string {
	var parts []string
	for _, e := range entries {
		parts = append(parts, fmt.Sprintf("%s=%q", e.Key.Key, e.Value))
	}
	return strings.Join(parts, " ")
}

func TestOverlayIsNotInTheStoreUntilApplied(t *testing.T) {
	t.Parallel()
	m := NewMemory()
	m.Apply([]Entry{{key("a"), []byte("1")}, {key("b"), []byte("1")}})
	o := NewOverlay(m)
	value := []byte("2")
	o.Put(key("a"), value)
	value[0] = 'x' // the caller's again
	o.Put(key("empty"), nil)
	o.Delete(key("b"))
	if got, ok, _ := o.Get(t.Context(), key("a")); string(got) != "2" || !ok {
		t.Errorf("a in the overlay: %q", got)
	}
	if _, ok, _ := o.Get(t.Context(), key("b")); ok {
		t.Error("b was deleted and is found")
	}
	if got, ok, _ := o.Get(t.Context(), key("empty")); got == nil || !ok {
		t.Error("an empty value is none")
	}
	if got := text(m.List()); got != `a="1" b="1"` {
		t.Errorf("store before: %s", got)
	}
	m.Apply(o.Changes())
	if got := text(m.List()); got != `a="2" empty=""` {
		t.Errorf("store after: %s", got)
	}
}

// A record that fails takes its own writes with it, and no other's.
func TestRollbackTakesBackTheWritesSinceItsMark(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		o := NewOverlay(NewMemory())
		kept := map[string]string{}
		for range rapid.IntRange(1, 6).Draw(t, "records") {
			mark, fails := o.Mark(), rapid.Bool().Draw(t, "fails")
			for range rapid.IntRange(0, 4).Draw(t, "writes") {
				k, v := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "key"), rapid.SampledFrom([]string{"1", "2", ""}).Draw(t, "value")
				if v == "" {
					o.Delete(key(k))
				} else {
					o.Put(key(k), []byte(v))
				}
				if !fails {
					kept[k] = v
				}
			}
			if fails {
				o.Rollback(mark)
			}
		}
		for _, k := range []string{"a", "b", "c"} {
			got, ok, _ := o.Get(context.Background(), key(k))
			if want := kept[k]; string(got) != want || ok != (want != "") {
				t.Fatalf("%s: got %q, want %q", k, got, want)
			}
		}
	})
}
