package state

import (
	"context"
	"slices"
	"sync"
)

// Memory is a store in memory. It forgets everything with the process: until it
// has a changelog, it is for tests and rehearsals. Safe for concurrent use; a
// value belongs to the store.
type Memory struct {
	mu     sync.RWMutex // guards the following
	values map[Key][]byte
}

// NewMemory makes an empty store.
func NewMemory() *Memory { return &Memory{values: map[Key][]byte{}} }

// Get returns the value of a key, which may not be changed.
func (m *Memory) Get(_ context.Context, k Key) (value []byte, ok bool, err error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	value, ok = m.values[k]
	return value, ok, nil
}

// Apply makes the writes of a batch part of the store.
func (m *Memory) Apply(entries []Entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range entries {
		if e.Value == nil {
			delete(m.values, e.Key)
		} else {
			m.values[e.Key] = e.Value
		}
	}
}

// List is everything in the store in the order of its keys.
func (m *Memory) List() []Entry {
	m.mu.RLock()
	defer m.mu.RUnlock()
	list := make([]Entry, 0, len(m.values))
	for k, v := range m.values {
		list = append(list, Entry{k, v})
	}
	slices.SortFunc(list, func(a, b Entry) int { return a.Key.Compare(b.Key) })
	return list
}
