package state

import (
	"fmt"
	"hash/maphash"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestValuesAreAMap: over any history, values answer as a map does, and hold little
// more than what is in force.
func TestValuesAreAMap(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		v, want := newValues(), map[string]string{}
		var kept [][2]string // a value that was read, and what it was
		var slices [][]byte
		keys := rapid.IntRange(1, 3000).Draw(t, "keys")
		width := rapid.SampledFrom([]int{10, 200, 2000}).Draw(t, "width")
		n := rapid.IntRange(1, 20_000).Draw(t, "writes")
		rng := rapid.Uint64().Draw(t, "seed") | 1
		next := func(n int) int {
			rng ^= rng << 13
			rng ^= rng >> 7
			rng ^= rng << 17
			return int(rng % uint64(n))
		}
		for i := range n {
			k := fmt.Sprint("key ", next(keys))
			if next(4) == 0 {
				v.delete(k)
				delete(want, k)
				continue
			}
			value := strings.Repeat(fmt.Sprint(i), next(width)/5)
			v.put(k, []byte(value))
			want[k] = value
			if got, ok := v.get(k); !ok || string(got) != value {
				t.Fatalf("%s: got %q, want %q", k, got, value)
			} else if i%100 == 0 {
				slices, kept = append(slices, got), append(kept, [2]string{k, value})
			}
		}
		bytes := 0
		for k, value := range want {
			bytes += len(k) + len(value)
			if got, ok := v.get(k); !ok || string(got) != value {
				t.Fatalf("%s: got %q, want %q", k, got, value)
			}
		}
		seen := map[string]string{}
		v.each(func(key string, value []byte) bool { seen[key] = string(value); return true })
		if len(seen) != len(want) || v.len() != len(want) || v.bytes != bytes {
			t.Fatalf("%d keys, %d met, %d bytes; want %d keys, %d bytes", v.len(), len(seen), v.bytes, len(want), bytes)
		}
		held := 0
		for _, s := range v.slabs {
			held += cap(s.b)
		}
		if most := 2*(bytes+6*len(want)) + 2*slabBytes + firstSlab; held > most {
			t.Fatalf("%d bytes in slabs for %d in force", held, bytes)
		}
		for i, b := range slices {
			if string(b) != kept[i][1] {
				t.Fatalf("a value of %s that was read before has changed: %q, was %q", kept[i][0], b, kept[i][1])
			}
		}
	})
}

// TestValuesOfKeysWithOneHash are told apart.
func TestValuesOfKeysWithOneHash(t *testing.T) {
	t.Parallel()
	v := newValues()
	v.put("a", []byte("1"))
	// "b" is made to have the hash of "a", as one pair in 2^64 has.
	at := v.index[maphash.String(v.seed, "a")]
	delete(v.index, maphash.String(v.seed, "a"))
	v.index[maphash.String(v.seed, "b")] = at
	if _, ok := v.get("b"); ok {
		t.Error("b is found where a lies")
	}
	v.put("b", []byte("2"))
	if got, ok := v.get("b"); !ok || string(got) != "2" {
		t.Errorf("b is %q", got)
	}
	v.put("b", []byte("3"))
	if got, _ := v.get("b"); string(got) != "3" || v.len() != 2 {
		t.Errorf("b is %q, %d keys", got, v.len())
	}
	v.delete("b")
	if _, ok := v.get("b"); ok || v.len() != 1 {
		t.Error("b is there after its end")
	}
}

func BenchmarkMemory(b *testing.B) {
	m := NewMemory()
	const keys = 100_000
	entries := make([]Entry, keys)
	for i := range entries {
		entries[i] = Entry{Key{Scope: Row, Table: "shop/shop.public.items", Key: fmt.Sprintf("%08x", i)}, []byte("a value of some thirty bytes in it")}
	}
	m.Apply(entries)
	b.Run("get", func(b *testing.B) {
		b.ReportAllocs()
		for i := range b.N {
			if _, ok, _ := m.Get(b.Context(), entries[i*7919%keys].Key); !ok {
				b.Fatal("a key is missing")
			}
		}
	})
	b.Run("put", func(b *testing.B) {
		b.ReportAllocs()
		for i := range b.N {
			m.Apply(entries[i*7919%keys:][:1])
		}
	})
}
