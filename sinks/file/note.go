package file

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/tailrace/tailrace/sinks"
)

// note is all that is known of one partition. It is JSON, and replaced as a whole.
type note struct {
	Version int      `json:"version"` // 1
	TopicID string   `json:"topic_id"`
	Epoch   int64    `json:"epoch"`
	Next    int64    `json:"next_offset"` // sinks.NoOffset: nothing is applied
	File    string   `json:"file"`        // the last one; "": there is none
	Length  int64    `json:"length"`      // of it
	Parked  []marker `json:"parked,omitempty"`
	Letters []stored `json:"dead_letters,omitempty"`
	Ref     int64    `json:"ref"` // of the last dead letter
	// Generation is the pipeline's; 0 is 1. Note is the pipeline's own.
	Generation int64  `json:"generation,omitempty"`
	Note       string `json:"note,omitempty"`
}

type marker struct {
	Key     string      `json:"key"` // hexadecimal
	Class   sinks.Class `json:"class"`
	FirstID string      `json:"first_id"`
	Count   int64       `json:"count"`
	Last    string      `json:"last,omitempty"` // position
}

// stored is a dead letter; its bytes are in base64.
type stored struct {
	Ref     int64          `json:"ref"`
	ID      string         `json:"id"`
	Offset  int64          `json:"offset"`
	Time    int64          `json:"time"` // Unix milliseconds
	Key     []byte         `json:"key"`
	Value   []byte         `json:"value"`
	Headers []storedHeader `json:"headers"`
}

type storedHeader struct {
	Name  []byte `json:"name"`
	Value []byte `json:"value"`
}

func (s *Sink) path(p sinks.Partition, ext string) string {
	return filepath.Join(s.config.Dir, ".tailrace", fmt.Sprintf("%s-%s-%05d.%s", s.config.Pipeline, p.Topic, p.Number, ext))
}

// locked runs f with the note of a partition, which no other process reads or writes
// meanwhile.
func (s *Sink) locked(p sinks.Partition, f func(*note) error) error {
	if err := os.MkdirAll(filepath.Join(s.config.Dir, ".tailrace"), 0o755); err != nil {
		return systemic(err)
	}
	lock, err := os.OpenFile(s.path(p, "lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return systemic(err)
	}
	defer lock.Close() // and with it the lock
	if err := flock(lock); err != nil {
		return systemic(err)
	}
	n := &note{Version: 1, Next: sinks.NoOffset}
	b, err := os.ReadFile(s.path(p, "json"))
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return systemic(err)
	default:
		if err := json.Unmarshal(b, n); err != nil {
			return systemic(fmt.Errorf("%s: %w", s.path(p, "json"), err))
		}
	}
	return f(n)
}

// keep replaces the note, durably.
func (s *Sink) keep(p sinks.Partition, n *note) error {
	b, err := json.Marshal(n)
	if err != nil {
		return err
	}
	path := s.path(p, "json")
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return systemic(err)
	}
	_, err = f.Write(append(b, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(path+".new", path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return systemic(err)
	}
	return nil
}

func (n *note) parks() []sinks.Park {
	var out []sinks.Park
	for _, m := range n.Parked {
		p := sinks.Park{Class: m.Class, FirstID: m.FirstID, Count: m.Count, Last: m.Last}
		if _, err := hex.Decode(p.Key[:], []byte(m.Key)); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// park takes over the markers and the dead letters of a batch.
func (n *note) park(b *sinks.Batch) {
	drop := func(key [32]byte) {
		text := hex.EncodeToString(key[:])
		n.Parked = slices.DeleteFunc(n.Parked, func(m marker) bool { return m.Key == text })
	}
	for _, key := range b.Unpark {
		drop(key)
	}
	for _, p := range b.Park {
		drop(p.Key)
		n.Parked = append(n.Parked, marker{hex.EncodeToString(p.Key[:]), p.Class, p.FirstID, p.Count, p.Last})
	}
	for _, d := range b.DeadLetters {
		n.Ref++
		l := stored{Ref: n.Ref, ID: d.ID, Offset: d.Offset, Time: d.Timestamp.UnixMilli(), Key: d.Key, Value: d.Value}
		for _, h := range d.Headers {
			l.Headers = append(l.Headers, storedHeader{[]byte(h.Name), h.Value})
		}
		n.Letters = append(n.Letters, l)
	}
}

func (n *note) letters(p sinks.Partition, limit int) []sinks.DeadLetter {
	var out []sinks.DeadLetter
	for _, l := range n.Letters[:min(limit, len(n.Letters))] {
		d := sinks.DeadLetter{ID: l.ID, Ref: l.Ref, Record: sinks.Record{
			Topic: p.Topic, Partition: p.Number, Offset: l.Offset, Timestamp: time.UnixMilli(l.Time), Key: l.Key, Value: l.Value}}
		for _, h := range l.Headers {
			d.Headers = append(d.Headers, sinks.Header{Name: string(h.Name), Value: h.Value})
		}
		out = append(out, d)
	}
	return out
}

func (n *note) delivered(letters []sinks.DeadLetter) {
	gone := map[int64]bool{}
	for _, d := range letters {
		gone[d.Ref] = true
	}
	n.Letters = slices.DeleteFunc(n.Letters, func(l stored) bool { return gone[l.Ref] })
}
