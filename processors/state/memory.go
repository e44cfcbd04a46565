package state

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Memory is a store in memory: the state of one task, or of a whole rehearsal. It
// is a cache of what is durable elsewhere, in a changelog topic or in the sink, and
// follows it: Apply comes after the commit. It copies what it keeps. Safe for
// concurrent use; a value belongs to the store.
type Memory struct {
	mu     sync.RWMutex // guards the following
	spaces map[space]*values
	last   *values // that was written to last: writes of a space come in a row
	lastID space
}

// space is what many keys share, so that each of them costs its own text alone.
type space struct {
	step  string
	scope Scope
	table string
}

func (k Key) space() space { return space{k.Step, k.Scope, k.Table} }

// NewMemory makes an empty store.
func NewMemory() *Memory { return &Memory{spaces: map[space]*values{}} }

// Get returns the value of a key, which may not be changed.
func (m *Memory) Get(_ context.Context, k Key) (value []byte, ok bool, err error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if v := m.spaces[k.space()]; v != nil {
		value, ok = v.get(k.Key)
	}
	return value, ok, nil
}

// Apply makes the writes of a batch part of the store.
func (m *Memory) Apply(entries []Entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range entries {
		m.apply(entries[i].Key.space(), entries[i].Key.Key, entries[i].Value)
	}
}

// apply is one write. m.mu is held.
func (m *Memory) apply(id space, key string, value []byte) {
	v := m.last
	if v == nil || m.lastID != id {
		v = m.spaces[id]
	}
	if value == nil {
		if v != nil {
			v.delete(key)
		}
		return
	}
	if v == nil {
		v = newValues()
		m.spaces[id] = v
	}
	m.last, m.lastID = v, id
	v.put(key, value)
}

// below reads what the store has of a space that an overlay writes.
func (m *Memory) below(w *written, key string) (value []byte, ok bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if w.below == nil {
		if w.below = m.spaces[w.space]; w.below == nil {
			return nil, false
		}
	}
	return w.below.get(key)
}

// Become takes everything over that another store has, which is not used any more.
func (m *Memory) Become(other *Memory) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.spaces, m.last = other.spaces, nil
}

// Size is how many keys there are, and how many bytes they and their values have.
func (m *Memory) Size() (keys, bytes int) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, v := range m.spaces {
		keys, bytes = keys+v.len(), bytes+v.bytes
	}
	return keys, bytes
}

// Each calls f with the entries of a step, a scope and a table, in no order; f
// may not call the store, and ends it by returning false.
func (m *Memory) Each(step string, scope Scope, table string, f func(key string, value []byte) bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if v := m.spaces[space{step, scope, table}]; v != nil {
		v.each(f)
	}
}

// Tables are the tables that have entries of a step and a scope, in order.
func (m *Memory) Tables(step string, scope Scope) []string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var tables []string
	for id, v := range m.spaces {
		if id.step == step && id.scope == scope && v.len() > 0 {
			tables = append(tables, id.table)
		}
	}
	slices.Sort(tables)
	return tables
}

// List is everything in the store in the order of its keys.
func (m *Memory) List() []Entry {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var list []Entry
	for id, v := range m.spaces {
		v.each(func(key string, value []byte) bool {
			list = append(list, Entry{Key{id.step, id.scope, id.table, key}, value})
			return true
		})
	}
	slices.SortFunc(list, func(a, b Entry) int { return a.Key.Compare(b.Key) })
	return list
}

// Replica is the store of one task with the point of the changelog up to which it
// follows. It is not safe for concurrent use, but for its store.
type Replica struct {
	*Memory
	Topic string    // id of the changelog; a topic made anew has another
	Next  int64     // the changelog is applied up to here
	As    time.Time // when that was so
}

// NewReplica makes the store of a task that has read nothing.
func NewReplica() *Replica { return &Replica{Memory: NewMemory()} }

// Follows tells whether reading the changelog on from Next brings the store up to
// date. Compaction removes a deletion after the topic's delete.retention.ms: a store
// that is older than half of that may never hear of it, and is restored in full.
func (r *Replica) Follows(topic string, deleteRetention time.Duration, now time.Time) bool {
	return r.Topic == topic && r.Next > 0 && now.Sub(r.As) < deleteRetention/2
}

// Take applies a record of the changelog.
func (r *Replica) Take(key, value []byte) error {
	k, err := ParseKey(key)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.apply(k.space(), k.Key, value)
	return nil
}
