package state

import (
	"cmp"
	"context"
	"slices"
)

// Reader is a store as an Overlay sees it.
type Reader interface {
	// Get returns the value of a key; it may not be changed. An error is about the
	// store, never about the key.
	Get(ctx context.Context, k Key) (value []byte, ok bool, err error)
}

// Overlay holds the writes of one batch above a store. It is not safe for
// concurrent use.
type Overlay struct {
	base   Reader
	memory *Memory // base, when it is one
	spaces map[space]*written
	order  []*written // of their first writes
	last   *written   // that was asked for last: changes of a table come in a row
	undo   []undo
	taken  int    // so many of undo were there when Take was last called
	room   []byte // values are copied into it
	all    []Entry
}

// written are the changes of one space, in the order in which their keys were first
// written.
type written struct {
	space
	below *values // the space in the store, once it was found there
	at    map[string]int32
	list  []write
}

// write is the newest value of a key; nil: deleted.
type write struct {
	key   string
	value []byte
	taken bool // by the Take under way
}

// undo is what a key was before a write.
type undo struct {
	in  *written
	at  int32 // in its list
	had bool  // it was there
	was []byte
}

// NewOverlay begins a batch above base.
func NewOverlay(base Reader) *Overlay {
	o := &Overlay{spaces: map[space]*written{}}
	o.Reset(base)
	return o
}

// Reset begins another batch, above base. What Changes and Take gave is not valid any
// more.
func (o *Overlay) Reset(base Reader) {
	o.base = base
	o.memory, _ = base.(*Memory)
	if len(o.order) > mostSpaces {
		clear(o.spaces)
		o.order = nil
	}
	for _, w := range o.order {
		clear(w.at)
		clear(w.list)
		w.below, w.list = nil, w.list[:0]
	}
	clear(o.undo)
	o.last, o.undo, o.taken, o.room, o.all = nil, o.undo[:0], 0, o.room[:0], nil
}

// mostSpaces is how many spaces a Reset keeps the room of.
const mostSpaces = 64

// in are the changes of a key's space; nil: there are none.
func (o *Overlay) in(k *Key) *written {
	if w := o.last; w != nil && w.table == k.Table && w.scope == k.Scope && w.step == k.Step {
		return w
	}
	w := o.spaces[k.space()]
	if w != nil {
		o.last = w
	}
	return w
}

// Get reads what the batch has written, else what the store has.
func (o *Overlay) Get(ctx context.Context, k Key) (value []byte, ok bool, err error) {
	w := o.in(&k)
	if w == nil {
		return o.base.Get(ctx, k)
	}
	if i, ok := w.at[k.Key]; ok {
		value := w.list[i].value
		return value, value != nil, nil
	}
	if o.memory == nil {
		return o.base.Get(ctx, k)
	}
	value, ok = o.memory.below(w, k.Key)
	return value, ok, nil
}

// Put keeps a copy of value, which may be empty.
func (o *Overlay) Put(k Key, value []byte) {
	const least, most = 1 << 10, 64 << 10
	if cap(o.room)-len(o.room) < len(value)+1 {
		o.room = make([]byte, 0, max(min(max(2*cap(o.room), least), most), len(value)+1))
	}
	at := len(o.room)
	o.room = append(o.room, value...)
	o.write(k, o.room[at:len(o.room):len(o.room)])
}

// Delete removes a key.
func (o *Overlay) Delete(k Key) { o.write(k, nil) }

func (o *Overlay) write(k Key, value []byte) {
	w := o.in(&k)
	if w == nil {
		w = &written{space: k.space(), at: map[string]int32{}}
		o.spaces[w.space], o.last = w, w
		o.order = append(o.order, w)
	}
	o.all = nil
	if i, ok := w.at[k.Key]; ok {
		o.undo = append(o.undo, undo{w, i, true, w.list[i].value})
		w.list[i].value = value
		return
	}
	i := int32(len(w.list))
	w.at[k.Key] = i
	w.list = append(w.list, write{key: k.Key, value: value})
	o.undo = append(o.undo, undo{in: w, at: i})
}

// Each calls f with the entries of a step, a scope and a table as the batch has left
// them so far, in the order of their keys; f may write into the overlay.
func (o *Overlay) Each(step string, scope Scope, table string, f func(key string, value []byte) error) error {
	var keys []string
	if base, ok := o.base.(*Memory); ok {
		base.Each(step, scope, table, func(key string, _ []byte) bool {
			keys = append(keys, key)
			return true
		})
	}
	if w := o.spaces[space{step, scope, table}]; w != nil {
		for i := range w.list {
			keys = append(keys, w.list[i].key)
		}
	}
	slices.Sort(keys)
	for _, key := range slices.Compact(keys) {
		value, ok, err := o.Get(context.Background(), Key{step, scope, table, key})
		if err == nil && ok {
			err = f(key, value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Mark is a point to which Rollback can go back.
func (o *Overlay) Mark() int { return len(o.undo) }

// Rollback takes back the writes since a mark: those of a record that failed. What was
// taken stays.
func (o *Overlay) Rollback(mark int) {
	for i := len(o.undo) - 1; i >= mark; i-- {
		u := &o.undo[i]
		if u.had {
			u.in.list[u.at].value = u.was
			continue
		}
		delete(u.in.at, u.in.list[u.at].key) // the last of its list: later ones are gone
		u.in.list = u.in.list[:u.at]
	}
	o.undo, o.all = o.undo[:mark], nil
}

// Dirty tells whether the batch has written anything.
func (o *Overlay) Dirty() bool {
	return slices.ContainsFunc(o.order, func(w *written) bool { return len(w.list) > 0 })
}

// Take gives what was written since it was called last, each key once with its newest
// value, nil for none. prefix is what stands before the key in a changelog.
func (o *Overlay) Take(f func(prefix, key string, value []byte)) {
	var w *written
	var prefix string
	for i := o.taken; i < len(o.undo); i++ {
		u := &o.undo[i]
		entry := &u.in.list[u.at]
		if entry.taken {
			continue
		}
		if entry.taken = true; u.in != w {
			w, prefix = u.in, string(u.in.key("").Append(nil))
		}
		f(prefix, entry.key, entry.value)
	}
	for i := o.taken; i < len(o.undo); i++ {
		o.undo[i].in.list[o.undo[i].at].taken = false
	}
	o.taken = len(o.undo)
}

// Changes are the writes of the batch, space by space, in the order in which they were
// first written. The list belongs to the overlay.
func (o *Overlay) Changes() []Entry {
	if o.all != nil {
		return o.all
	}
	n := 0
	for _, w := range o.order {
		n += len(w.list)
	}
	o.all = make([]Entry, 0, n)
	for _, w := range o.order {
		for i := range w.list {
			o.all = append(o.all, Entry{w.key(w.list[i].key), w.list[i].value})
		}
	}
	return o.all
}

// Apply makes the writes of the batch part of a store.
func (o *Overlay) Apply(m *Memory) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, w := range o.order {
		for i := range w.list {
			m.apply(w.space, w.list[i].key, w.list[i].value)
		}
	}
}

func (s space) key(key string) Key { return Key{s.step, s.scope, s.table, key} }

func (s space) compare(o space) int {
	return cmp.Or(cmp.Compare(s.step, o.step), cmp.Compare(s.scope, o.scope), cmp.Compare(s.table, o.table))
}
