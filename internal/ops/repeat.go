package ops

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// repeatEvery is the least time between two lines about the same thing.
const repeatEvery = 30 * time.Second

// maxRepeatKeys bounds what a Repeats remembers.
const maxRepeatKeys = 512

// Repeats logs what happens again and again: the first time at once, then at
// most twice a minute with the number of repeats in between. Safe for
// concurrent use.
type Repeats struct {
	log *slog.Logger

	mu   sync.Mutex // guards the following
	seen map[string]*repeat
}

type repeat struct {
	shown time.Time
	count int // since shown
}

// NewRepeats logs to log.
func NewRepeats(log *slog.Logger) *Repeats {
	return &Repeats{log: log, seen: map[string]*repeat{}}
}

// Log writes message, or counts it. Lines of one key are repeats of each other,
// whatever their attributes.
func (r *Repeats) Log(ctx context.Context, level slog.Level, key, message string, attrs ...slog.Attr) {
	show, repeats := r.count(key, time.Now())
	if !show {
		return
	}
	if repeats > 0 {
		attrs = append(attrs[:len(attrs):len(attrs)], slog.Int("repeats", repeats))
	}
	r.log.LogAttrs(ctx, level, message, attrs...)
}

func (r *Repeats) count(key string, now time.Time) (show bool, repeats int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, ok := r.seen[key]
	if !ok {
		r.makeRoom()
		r.seen[key] = &repeat{shown: now}
		return true, 0
	}
	if now.Sub(s.shown) < repeatEvery {
		s.count++
		return false, 0
	}
	repeats = s.count
	*s = repeat{shown: now}
	return true, repeats
}

// makeRoom forgets the key that was shown the longest ago.
func (r *Repeats) makeRoom() {
	if len(r.seen) < maxRepeatKeys {
		return
	}
	var oldest string
	var at time.Time
	for key, s := range r.seen {
		if oldest == "" || s.shown.Before(at) {
			oldest, at = key, s.shown
		}
	}
	delete(r.seen, oldest)
}

// Over ends the repeats of key: message is written if it had ever been shown,
// with the number of lines that were held back, and the next Log of key is
// shown at once.
func (r *Repeats) Over(ctx context.Context, level slog.Level, key, message string, attrs ...slog.Attr) {
	r.mu.Lock()
	s, ok := r.seen[key]
	delete(r.seen, key)
	r.mu.Unlock()
	if !ok {
		return
	}
	if s.count > 0 {
		attrs = append(attrs[:len(attrs):len(attrs)], slog.Int("repeats", s.count))
	}
	r.log.LogAttrs(ctx, level, message, attrs...)
}
