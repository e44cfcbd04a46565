package cdc

import (
	"encoding/json"
	"fmt"
)

// Version is an entry of the schema topic: how rows of a relation are to be read
// from a position on, and where they go. Table is as the source gave it, before
// any transform, with what rows have shown against the catalog's facts since.
type Version struct {
	Version int    `json:"version"` // 1
	From    string `json:"from"`    // Position
	// XID is the transaction of the first row, or the one before the oldest that ran
	// when the snapshot was taken: what a later one changed is news to this version. 0:
	// not known.
	XID         uint32 `json:"xid,omitempty"`
	Topic       string `json:"topic"`
	KeySchema   int    `json:"key_schema,omitempty"`   // the registry's id
	ValueSchema int    `json:"value_schema,omitempty"` // the registry's id
	Table       *Table `json:"table"`
}

// History is the schema topic, read whole: every version of every relation in
// the order in which they came into force. The zero value is empty. It is not
// safe for concurrent use.
type History struct {
	versions map[uint32][]entry
}

type entry struct {
	from    Position
	version Version
}

// Add reads one record of the schema topic; one of the same position replaces what
// stands there.
func (h *History) Add(value []byte) error {
	var v Version
	if err := json.Unmarshal(value, &v); err != nil {
		return fmt.Errorf("schema history: %w", err)
	}
	from, err := ParsePosition(v.From)
	if err != nil {
		return fmt.Errorf("schema history of %s: %w", v.Table, err)
	}
	if h.versions == nil {
		h.versions = map[uint32][]entry{}
	}
	h.versions[v.Table.OID] = append(h.versions[v.Table.OID], entry{from, v})
	return nil
}

// At is the version of a relation that is in force at a position; nil when the
// history begins later, or does not know it.
func (h *History) At(relation uint32, at Position) *Version {
	var found *entry
	for i := range h.versions[relation] {
		e := &h.versions[relation][i]
		// One that was noted while a stretch was read again stands behind later ones.
		if e.from.Compare(at) <= 0 && (found == nil || e.from.Compare(found.from) >= 0) {
			found = e
		}
	}
	if found == nil {
		return nil
	}
	return &found.version
}
