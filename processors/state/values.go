package state

import (
	"encoding/binary"
	"hash/maphash"
)

// values are the keys of one space with their values, for millions of them: the bytes
// lie one after the other in slabs, and an index of numbers leads there, so that the
// garbage collector has nothing to follow and a key costs little more than its bytes.
//
// What is written stays as it is: readers keep slices of it after the lock is gone. So
// a new value is appended, the old one is waste, and a slab that is half waste has the
// rest moved to the end. Waste is at most as much as what is there, and a slab.
type values struct {
	seed  maphash.Seed
	index map[uint64]address
	other map[string][]byte // keys whose hash another key has taken
	slabs []slab
	tail  int   // the slab that is appended to
	free  []int // slabs that are empty
	full  []int // that have become so in this call
	bytes int   // of keys and values
}

// address is where an entry lies: its slab, and the offset in it.
type address struct{ slab, offset uint32 }

// slab holds entries: length of key, length of value, key, value.
type slab struct {
	b    []byte
	live int // bytes of entries that are in force
}

const (
	firstSlab = 1 << 10 // most pipelines have tables with few rows too
	slabBytes = 256 << 10
)

func newValues() *values {
	return &values{seed: maphash.MakeSeed(), index: map[uint64]address{}, slabs: make([]slab, 1)}
}

func (v *values) len() int { return len(v.index) + len(v.other) }

func (v *values) get(key string) ([]byte, bool) {
	if at, ok := v.index[maphash.String(v.seed, key)]; ok {
		if k, value, _ := v.entry(at); string(k) == key {
			return value, true
		}
	}
	if len(v.other) == 0 {
		return nil, false
	}
	value, ok := v.other[key]
	return value, ok
}

// put keeps a copy of a key and its value, which is not nil.
func (v *values) put(key string, value []byte) {
	hash := maphash.String(v.seed, key)
	old, taken := v.index[hash]
	if taken {
		k, was, size := v.entry(old)
		if string(k) == key {
			v.bytes += len(value) - len(was)
			v.index[hash] = v.append(key, value)
			v.waste(int(old.slab), size)
			v.settle()
			return
		}
	}
	if was, ok := v.other[key]; ok {
		v.bytes -= len(key) + len(was)
		delete(v.other, key)
	}
	v.bytes += len(key) + len(value)
	if taken {
		if v.other == nil {
			v.other = map[string][]byte{}
		}
		v.other[key] = append(make([]byte, 0, len(value)), value...)
		return
	}
	v.index[hash] = v.append(key, value)
	v.settle()
}

func (v *values) delete(key string) {
	hash := maphash.String(v.seed, key)
	if at, ok := v.index[hash]; ok {
		if k, value, size := v.entry(at); string(k) == key {
			v.bytes -= len(key) + len(value)
			delete(v.index, hash)
			v.waste(int(at.slab), size)
			v.settle()
			return
		}
	}
	if value, ok := v.other[key]; ok {
		v.bytes -= len(key) + len(value)
		delete(v.other, key)
	}
}

// each calls f with every entry until it returns false.
func (v *values) each(f func(key string, value []byte) bool) {
	for _, at := range v.index {
		if k, value, _ := v.entry(at); !f(string(k), value) {
			return
		}
	}
	for k, value := range v.other {
		if !f(k, value) {
			return
		}
	}
}

// entry reads what lies at an address; size is what it takes there.
func (v *values) entry(at address) (key, value []byte, size int) {
	b := v.slabs[at.slab].b[at.offset:]
	k, n := binary.Uvarint(b)
	l, m := binary.Uvarint(b[n:])
	size = n + m + int(k) + int(l)
	return b[n+m : n+m+int(k)], b[n+m+int(k) : size : size], size
}

// append adds an entry at the end.
func (v *values) append(key string, value []byte) address {
	var head [2 * binary.MaxVarintLen64]byte
	h := binary.AppendUvarint(binary.AppendUvarint(head[:0], uint64(len(key))), uint64(len(value)))
	size := len(h) + len(key) + len(value)
	if t := &v.slabs[v.tail]; cap(t.b)-len(t.b) < size {
		room := min(max(2*cap(t.b), firstSlab), slabBytes)
		v.turn(max(room, size))
	}
	t := &v.slabs[v.tail]
	at := address{uint32(v.tail), uint32(len(t.b))}
	t.b = append(append(append(t.b, h...), key...), value...)
	t.live += size
	return at
}

// turn begins a slab.
func (v *values) turn(room int) {
	full := v.tail
	if n := len(v.free); n > 0 {
		v.tail, v.free = v.free[n-1], v.free[:n-1]
	} else if cap(v.slabs[v.tail].b) > 0 { // else the very first one
		v.slabs = append(v.slabs, slab{})
		v.tail = len(v.slabs) - 1
	}
	v.slabs[v.tail].b = make([]byte, 0, room)
	if full != v.tail {
		v.full = append(v.full, full)
	}
}

// waste takes note that bytes of a slab are not in force any more. One that is half
// waste is emptied.
func (v *values) waste(n, size int) {
	s := &v.slabs[n]
	s.live -= size
	if n == v.tail || s.live > len(s.b)/2 || s.b == nil {
		return
	}
	for offset := 0; v.slabs[n].live > 0; {
		at := address{uint32(n), uint32(offset)}
		k, value, size := v.entry(at)
		offset += size
		hash := maphash.Bytes(v.seed, k)
		if now, ok := v.index[hash]; ok && now == at {
			v.slabs[n].live -= size
			v.index[hash] = v.append(string(k), value)
		}
	}
	v.slabs[n] = slab{}
	v.free = append(v.free, n)
}

// settle empties those of the slabs that have become full that are half waste
// already.
func (v *values) settle() {
	for n := len(v.full); n > 0; n = len(v.full) {
		last := v.full[n-1]
		v.full = v.full[:n-1]
		v.waste(last, 0)
	}
}
