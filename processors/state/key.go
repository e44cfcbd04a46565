package state

import (
	"cmp"
	"fmt"
	"strings"
)

// Scope says what a piece of state is about.
type Scope uint8

// The scopes.
const (
	// Row is the state of one source row: Key.Table names the table at its source,
	// Key.Key is the row's key. The owner of the row's partition has it.
	Row Scope = iota
	// Entity is the state of what several rows make up; Key.Key is the entity's.
	Entity
	// Table is the state of a source table as a whole, in one partition.
	Table
	// Parked holds the markers of rows whose changes are diverted: Key.Table names
	// the topic, Key.Key is the digest of the record key.
	Parked
	// Source holds the ids of the topics that the pipeline reads, as text: Key.Table
	// names the topic.
	Source
)

var scopes = [...]string{"row", "entity", "table", "parked", "source"}

// String is the scope's name.
func (s Scope) String() string {
	if int(s) < len(scopes) {
		return scopes[s]
	}
	return fmt.Sprintf("scope %d", uint8(s))
}

// Key names one piece of state.
type Key struct {
	Step  string // set by the runtime: a step sees its own state only; "" for the runtime's own
	Scope Scope
	Table string // of a row
	Key   string
}

// Compare orders keys by step, scope, table and key.
func (k Key) Compare(o Key) int {
	return cmp.Or(k.space().compare(o.space()), cmp.Compare(k.Key, o.Key))
}

// separator ends the names in a key's text; none of them holds it.
const separator = "\x00"

// Append appends the key as it stands in a changelog: scope, step and table, each
// ended by a zero byte, then the key.
func (k Key) Append(dst []byte) []byte {
	for _, part := range [...]string{k.Scope.String(), k.Step, k.Table} {
		dst = append(append(dst, part...), separator...)
	}
	return append(dst, k.Key...)
}

// ParseKey reads what Append wrote.
func ParseKey(b []byte) (Key, error) {
	parts := strings.SplitN(string(b), separator, 4)
	if len(parts) == 4 {
		for i, name := range scopes {
			if name == parts[0] {
				return Key{Scope: Scope(i), Step: parts[1], Table: parts[2], Key: parts[3]}, nil
			}
		}
	}
	return Key{}, fmt.Errorf("state key %q: want scope, step, table and key", b)
}

// Entry is the value of a key; a nil Value is none.
type Entry struct {
	Key   Key
	Value []byte
}
