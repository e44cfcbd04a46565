package state

import (
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
	base    Reader
	changed map[Key][]byte // nil: deleted
	undo    []undo
}

// undo is what a key was before a write.
type undo struct {
	key Key
	was []byte
	had bool // it was in changed
}

// NewOverlay begins a batch above base.
func NewOverlay(base Reader) *Overlay { return &Overlay{base: base, changed: map[Key][]byte{}} }

// Get reads what the batch has written, else what the store has.
func (o *Overlay) Get(ctx context.Context, k Key) (value []byte, ok bool, err error) {
	if value, ok := o.changed[k]; ok {
		return value, value != nil, nil
	}
	return o.base.Get(ctx, k)
}

// Put keeps a copy of value, which may be empty.
func (o *Overlay) Put(k Key, value []byte) { o.write(k, append(make([]byte, 0, len(value)), value...)) }

// Delete removes a key.
func (o *Overlay) Delete(k Key) { o.write(k, nil) }

func (o *Overlay) write(k Key, value []byte) {
	was, had := o.changed[k]
	o.undo = append(o.undo, undo{k, was, had})
	o.changed[k] = value
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
	for k := range o.changed {
		if k.Step == step && k.Scope == scope && k.Table == table {
			keys = append(keys, k.Key)
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
		if u := o.undo[i]; u.had {
			o.changed[u.key] = u.was
		} else {
			delete(o.changed, u.key)
		}
	}
	o.undo = o.undo[:mark]
}

// Dirty tells whether the batch has written anything.
func (o *Overlay) Dirty() bool { return len(o.changed) > 0 }

// Changes are the writes of the batch in the order of their keys.
func (o *Overlay) Changes() []Entry {
	list := make([]Entry, 0, len(o.changed))
	for k, v := range o.changed {
		list = append(list, Entry{k, v})
	}
	slices.SortFunc(list, func(a, b Entry) int { return a.Key.Compare(b.Key) })
	return list
}
