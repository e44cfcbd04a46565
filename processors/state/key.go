package state

import "cmp"

// Scope says what a piece of state is about.
type Scope uint8

// The scopes.
const (
	// Row is the state of one source row: Key.Table names the table at its source,
	// Key.Key is the row's key. The owner of the row's partition has it.
	Row Scope = iota
	// Entity is the state of what several rows make up; Key.Key is the entity's.
	Entity
)

// Key names one piece of a step's state.
type Key struct {
	Step  string // set by the runtime: a step sees its own state only
	Scope Scope
	Table string // of a row
	Key   string
}

// Compare orders keys by step, scope, table and key.
func (k Key) Compare(o Key) int {
	return cmp.Or(cmp.Compare(k.Step, o.Step), cmp.Compare(k.Scope, o.Scope), cmp.Compare(k.Table, o.Table), cmp.Compare(k.Key, o.Key))
}

// Entry is the value of a key; a nil Value is none.
type Entry struct {
	Key   Key
	Value []byte
}
