package registry

import (
	"container/list"
	"context"
	"errors"
	"sync"
)

// cache holds the schemas that were used last. A schema never changes under its
// id, so entries never age. Safe for concurrent use.
type cache struct {
	size int

	mu     sync.Mutex // guards the following
	byID   map[int]*list.Element
	recent *list.List // of *cached, the last used first
	asking map[int]*flight
}

type cached struct {
	id   int
	text string
}

// flight is one question under way; its fields are read after done is closed.
type flight struct {
	done chan struct{}
	text string
	err  error
}

func newCache(size int) *cache {
	return &cache{size: size, byID: map[int]*list.Element{}, recent: list.New(), asking: map[int]*flight{}}
}

func (c *cache) add(id int, text string) {
	if e, ok := c.byID[id]; ok {
		c.recent.MoveToFront(e)
		return
	}
	c.byID[id] = c.recent.PushFront(&cached{id, text})
	if c.recent.Len() > c.size {
		oldest := c.recent.Back()
		c.recent.Remove(oldest)
		delete(c.byID, oldest.Value.(*cached).id)
	}
}

// get is the text under id, from ask if it is not held. Of several callers at
// once one asks; if that one's context ends, another takes over.
func (c *cache) get(ctx context.Context, id int, ask func() (string, error)) (string, error) {
	for {
		c.mu.Lock()
		if e, ok := c.byID[id]; ok {
			c.recent.MoveToFront(e)
			c.mu.Unlock()
			return e.Value.(*cached).text, nil
		}
		f, underway := c.asking[id]
		if !underway {
			f = &flight{done: make(chan struct{})}
			c.asking[id] = f
			c.mu.Unlock()
			c.fly(id, f, ask)
			return f.text, f.err
		}
		c.mu.Unlock()
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-f.done:
		}
		if !errors.Is(f.err, context.Canceled) && !errors.Is(f.err, context.DeadlineExceeded) {
			return f.text, f.err
		}
		// That was the context of the one who asked, not ours.
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
	}
}

func (c *cache) fly(id int, f *flight, ask func() (string, error)) {
	f.text, f.err = ask()
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.err == nil {
		c.add(id, f.text)
	}
	delete(c.asking, id)
	close(f.done)
}
