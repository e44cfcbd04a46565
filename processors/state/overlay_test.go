package state

import (
	"testing"

	"pgregory.net/rapid"
)

// TestWhatIsTakenIsEveryWriteOnce: a changelog that is written piece by piece leads to
// the same state as the overlay, each piece has a key once, and an overlay that is used
// again has nothing of the batch before.
func TestWhatIsTakenIsEveryWriteOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := NewMemory()
		o := NewOverlay(m)
		followed := NewReplica() // by what was taken
		keys := []Key{key("a"), key("b"), {Scope: Row, Table: "t", Key: "a"}, {Scope: Row, Table: "t", Key: "c"}, {Scope: Table, Table: "t"}}
		for range rapid.IntRange(1, 3).Draw(t, "batches") {
			o.Reset(m)
			if o.Dirty() || len(o.Changes()) > 0 {
				t.Fatal("an overlay that begins anew has writes")
			}
			for range rapid.IntRange(1, 3).Draw(t, "pieces") {
				for range rapid.IntRange(0, 3).Draw(t, "records") {
					mark := o.Mark()
					for range rapid.IntRange(0, 4).Draw(t, "writes") {
						k := rapid.SampledFrom(keys).Draw(t, "key")
						if v := rapid.SampledFrom([]string{"1", "22", "", "-"}).Draw(t, "value"); v == "-" {
							o.Delete(k)
						} else {
							o.Put(k, []byte(v))
						}
					}
					if rapid.IntRange(0, 3).Draw(t, "fails") == 0 {
						o.Rollback(mark)
					}
				}
				seen := map[string]bool{}
				o.Take(func(prefix, key string, value []byte) {
					if seen[prefix+key] {
						t.Fatalf("%q twice in one piece", prefix+key)
					}
					seen[prefix+key] = true
					if err := followed.Take([]byte(prefix+key), value); err != nil {
						t.Fatal(err)
					}
				})
			}
			o.Apply(m)
			if got, want := text(followed.List()), text(m.List()); got != want {
				t.Fatalf("the changelog leads to %s, the overlay to %s", got, want)
			}
		}
	})
}
