package main

import (
	"time"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/cdc/postgres"
)

// trailingState is the slot that stays behind, on /status.
type trailingState struct {
	Slot          string     `json:"slot"`
	LSN           cdc.LSN    `json:"lsn"`
	Since         *time.Time `json:"since,omitempty"` // of the last commit before it, if that is known
	RetainedBytes int64      `json:"retained_bytes"`
}

func (t *trailingState) retained() int64 {
	if t == nil {
		return 0
	}
	return t.RetainedBytes
}

func (t *trailingState) seconds(now time.Time) float64 {
	if t == nil || t.Since == nil {
		return 0
	}
	return max(0, now.Sub(*t.Since).Seconds())
}

// bookmarkState is all bookmarks, on /status.
type bookmarkState struct {
	Count         int   `json:"count"`
	RetainedBytes int64 `json:"retained_bytes"` // by the oldest
}

// pastOf is what a server says of the slots that hold the past.
func pastOf(h postgres.Holding, since time.Time) (t *trailingState, b bookmarkState, xminAge int64) {
	if h.Trailing != nil {
		t = &trailingState{Slot: h.Trailing.Name, LSN: h.Trailing.Confirmed, RetainedBytes: h.Trailing.Retained}
		if !since.IsZero() {
			t.Since = &since
		}
	}
	b.Count = len(h.Bookmarks)
	for _, held := range h.Bookmarks {
		b.RetainedBytes = max(b.RetainedBytes, held.Retained)
	}
	for _, held := range h.All() {
		xminAge = max(xminAge, held.XMinAge)
	}
	return t, b, xminAge
}

// holds notes what holds the past.
func (s *status) holds(h postgres.Holding, since time.Time) {
	t, b, xminAge := pastOf(h, since)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trailing, s.bookmarks, s.xminAge = t, b, xminAge
}
