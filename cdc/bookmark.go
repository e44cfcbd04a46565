package cdc

import "time"

// Bookmark is a position that is held by name: the key bookmark/<name> of the
// progress topic. What holds it is a slot of its own, a copy of the relay's, which
// nobody moves on.
//
// The record is written before the slot is made, without Place, and again after it.
// Killed between, whichever it was, the record names what there is to give up:
//
//	record, no slot       the bookmark holds nothing; it is listed so, and a release
//	                      or another bookmark of the name takes the record
//	record, slot          it holds; Place is the slot's own position, less exact
//	release: slot gone    as the first row
type Bookmark struct {
	Version int       `json:"version"` // 1
	Name    string    `json:"name"`
	Slot    string    `json:"slot"`
	Made    time.Time `json:"time"`
	Expires time.Time `json:"expires"`
	LSN     LSN       `json:"lsn"` // everything that committed before it was published; 0: the slot is being made
	// Place is LSN as the relay was there; nil where that is not known.
	Place *Sample `json:"place,omitempty"`
}

// BookmarkKey is a bookmark's in the progress topic.
func BookmarkKey(name string) string { return bookmarkPrefix + name }

const bookmarkPrefix = "bookmark/"
