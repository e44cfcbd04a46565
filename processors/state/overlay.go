package state

import (
	"cmp"
	"context"
	"slices"
	"strings"
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
	spaces map[space]*written
	last   *written // that was asked for last: changes of a table come in a row
	undo   []undo
	room   []byte  // values are copied into it
	sorted []Entry // what Changes gave, until the next write
}

// written are the changes of one space; nil: deleted.
type written struct {
	space
	values map[string][]byte
}

// undo is what a key was before a write.
type undo struct {
	in  *written
	key string
	was []byte
	had bool // it was there
}

// NewOverlay begins a batch above base.
func NewOverlay(base Reader) *Overlay { return &Overlay{base: base, spaces: map[space]*written{}} }

// in are the changes of a key's space; nil: there are none.
func (o *Overlay) in(k Key) *written {
	id := k.space()
	if o.last == nil || o.last.space != id {
		w := o.spaces[id]
		if w == nil {
			return nil
		}
		o.last = w
	}
	return o.last
}

// Get reads what the batch has written, else what the store has.
func (o *Overlay) Get(ctx context.Context, k Key) (value []byte, ok bool, err error) {
	if w := o.in(k); w != nil {
		if value, ok := w.values[k.Key]; ok {
			return value, value != nil, nil
		}
	}
	return o.base.Get(ctx, k)
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
	w := o.in(k)
	if w == nil {
		w = &written{k.space(), map[string][]byte{}}
		o.spaces[w.space], o.last = w, w
	}
	was, had := w.values[k.Key]
	o.undo = append(o.undo, undo{w, k.Key, was, had})
	w.values[k.Key] = value
	o.sorted = nil
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
		for k := range w.values {
			keys = append(keys, k)
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

// Rollback takes back the writes since a mark: those of a record that failed.
func (o *Overlay) Rollback(mark int) {
	for i := len(o.undo) - 1; i >= mark; i-- {
		if u := &o.undo[i]; u.had {
			u.in.values[u.key] = u.was
		} else {
			delete(u.in.values, u.key)
		}
	}
	o.undo, o.sorted = o.undo[:mark], nil
}

// Dirty tells whether the batch has written anything.
func (o *Overlay) Dirty() bool {
	for _, w := range o.spaces {
		if len(w.values) > 0 {
			return true
		}
	}
	return false
}

// Changes are the writes of the batch in the order of their keys. The list belongs to
// the overlay.
func (o *Overlay) Changes() []Entry {
	if o.sorted != nil {
		return o.sorted
	}
	spaces, n := make([]*written, 0, len(o.spaces)), 0
	for _, w := range o.spaces {
		spaces, n = append(spaces, w), n+len(w.values)
	}
	slices.SortFunc(spaces, func(a, b *written) int { return a.compare(b.space) })
	list := make([]Entry, 0, n)
	for _, w := range spaces {
		first := len(list)
		for k, v := range w.values {
			list = append(list, Entry{Key{w.step, w.scope, w.table, k}, v})
		}
		slices.SortFunc(list[first:], func(a, b Entry) int { return strings.Compare(a.Key.Key, b.Key.Key) })
	}
	o.sorted = list
	return list
}

func (s space) compare(o space) int {
	return cmp.Or(cmp.Compare(s.step, o.step), cmp.Compare(s.scope, o.scope), cmp.Compare(s.table, o.table))
}
