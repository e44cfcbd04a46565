// Package file writes changes as lines of JSON into files of a folder, with the
// offsets that they came from beside them.
//
//	<dir>/<topic>-<partition>-<first offset>.jsonl        the changes, one file after the other; .g2.jsonl of the second generation
//	<dir>/.tailrace/<pipeline>-<topic>-<partition>.json   how far they are, and who may write
//	<dir>/.tailrace/<pipeline>-<topic>-<partition>.lock   held while they are written
//
// What a crash leaves at each point:
//
//	killed after                      files                       then
//	some lines, or half of one        longer than the note says   cut to what it says, by the next claim or write
//	lines and fsync, before the note  the same                    the same; the batch comes again
//	the note, before Kafka's commit   –                           the note decides
//	a new file, before the note       one that it does not name   removed by the next claim; it will have the same name
//	zombie's write after a take-over  –                           the note has a later epoch: ErrFenced
//
// The note is replaced by rename once the lines are on the disk, so it never speaks of
// what is not there.
package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/tailrace/tailrace/sinks"
	"github.com/tailrace/tailrace/sinks/jsonlines"
)

// Config says where changes go.
type Config struct {
	Dir      string
	Pipeline string
	// MaxBytes is the size from which a file is closed and another one begun.
	MaxBytes int64
}

// DefaultMaxBytes is MaxBytes where nothing else is asked for.
const DefaultMaxBytes = 64 << 20

// Sink keeps changes: each that is not a repetition of the log's offset is a line.
// Nothing is stale for it; readers order the changes of a row by gen and pos. It keeps
// the promises 1, 2 and 4 of sinks.Sink, and those of sinks.Outbox; its methods may be
// called from several goroutines, and several processes may share the folder.
type Sink struct {
	config Config

	// atCommit, when set by a test, runs when the lines are written and the note is
	// about to be; its error ends the write.
	atCommit func() error
}

var (
	_ sinks.Sink   = (*Sink)(nil)
	_ sinks.Outbox = (*Sink)(nil)
)

// New makes a Sink. The folder is made when the first partition is claimed.
func New(c Config) (*Sink, error) {
	if c.Dir == "" {
		return nil, errors.New("sink.file.dir is empty")
	}
	if c.MaxBytes <= 0 {
		c.MaxBytes = DefaultMaxBytes
	}
	return &Sink{config: c}, nil
}

// Close has nothing to do: no file stays open between batches.
func (s *Sink) Close() {}

// Claim raises the epoch in the partition's note, cuts what no note speaks of, and
// says how far it is.
func (s *Sink) Claim(_ context.Context, p sinks.Partition) (sinks.Claim, error) {
	return s.claim(p, func(n *note) error { return nil })
}

// Reclaim is Claim for an owner whose claim is the newest.
func (s *Sink) Reclaim(_ context.Context, c sinks.Claim) (sinks.Claim, error) {
	return s.claim(c.Partition, func(n *note) error {
		if n.Epoch != c.Epoch {
			return sinks.ErrFenced
		}
		return nil
	})
}

func (s *Sink) claim(p sinks.Partition, check func(*note) error) (sinks.Claim, error) {
	var c sinks.Claim
	err := s.locked(p, func(n *note) error {
		if err := check(n); err != nil {
			return err
		}
		if err := s.trim(p, n); err != nil {
			return err
		}
		n.Epoch++
		if n.TopicID == "" {
			n.TopicID = p.ID
		}
		if err := s.keep(p, n); err != nil {
			return err
		}
		c = sinks.Claim{Partition: p, Epoch: n.Epoch, Next: n.Next, Parked: n.parks(), Backlog: len(n.Letters) > 0, Local: true, Generation: n.Generation, Note: n.Note}
		c.ID = n.TopicID
		return nil
	})
	return c, err
}

// Write appends the lines of a batch and then replaces the note.
func (s *Sink) Write(_ context.Context, b *sinks.Batch) (sinks.Result, error) {
	result := sinks.Result{Outcomes: make([]sinks.Outcome, len(b.Changes))}
	err := s.locked(b.Claim.Partition, func(n *note) error {
		if n.Epoch != b.Claim.Epoch || n.Next != b.Expect {
			return sinks.ErrFenced
		}
		if err := s.append(n, b); err != nil {
			return err
		}
		if s.atCommit != nil {
			if err := s.atCommit(); err != nil {
				return err
			}
		}
		n.Next, n.Generation, n.Note = b.Next, b.Generation, b.Note
		n.park(b)
		return s.keep(b.Claim.Partition, n)
	})
	if err != nil {
		return sinks.Result{}, err
	}
	return result, nil
}

// Undelivered reads dead letters of the note.
func (s *Sink) Undelivered(_ context.Context, c sinks.Claim, limit int) ([]sinks.DeadLetter, error) {
	var out []sinks.DeadLetter
	err := s.locked(c.Partition, func(n *note) error {
		if n.Epoch == c.Epoch {
			out = n.letters(c.Partition, limit)
		}
		return nil
	})
	return out, err
}

// Delivered removes dead letters from the note.
func (s *Sink) Delivered(_ context.Context, c sinks.Claim, letters []sinks.DeadLetter) error {
	return s.locked(c.Partition, func(n *note) error {
		n.delivered(letters)
		return s.keep(c.Partition, n)
	})
}

// append writes the lines, file by file, and lets n name the last one. A file is
// closed before the line that would be the first beyond its size, so that where files
// begin does not depend on how the log was cut into batches.
func (s *Sink) append(n *note, b *sinks.Batch) error {
	var line []byte
	var out bytes.Buffer
	name, from := n.File, n.Length
	flush := func() error {
		if out.Len() == 0 {
			return nil
		}
		if err := s.extend(name, from, out.Bytes()); err != nil {
			return err
		}
		n.File, n.Length = name, from+int64(out.Len())
		out.Reset()
		return nil
	}
	for _, c := range b.Changes {
		if name == "" || from+int64(out.Len()) >= s.config.MaxBytes || !strings.HasSuffix(name, ending(b.Generation)) {
			if err := flush(); err != nil {
				return err
			}
			name, from = fmt.Sprintf("%s-%05d-%020d", b.Claim.Topic, b.Claim.Number, c.Offset)+ending(b.Generation), 0
		}
		line = jsonlines.Append(line[:0], b.Claim.Partition, b.Generation, c)
		out.Write(line)
	}
	return flush()
}

// extend writes data at the end of a file that has from bytes of ours, and waits for
// the disk.
func (s *Sink) extend(name string, from int64, data []byte) error {
	path := filepath.Join(s.config.Dir, name)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return systemic(err)
	}
	err = func() error {
		info, err := f.Stat()
		if err != nil {
			return err
		}
		if info.Size() < from {
			return fmt.Errorf("%s has %d bytes, and %d were written: somebody else has changed it", path, info.Size(), from)
		}
		if err := f.Truncate(from); err != nil { // what a crash has left
			return err
		}
		if _, err := f.WriteAt(data, from); err != nil {
			return err
		}
		return f.Sync()
	}()
	if err = errors.Join(err, f.Close()); err == nil && from == 0 {
		err = syncDir(s.config.Dir)
	}
	if err != nil {
		return systemic(err)
	}
	return nil
}

// trim takes away what a crash has left behind the note.
func (s *Sink) trim(p sinks.Partition, n *note) error {
	files, err := filepath.Glob(filepath.Join(globbed(s.config.Dir), globbed(fmt.Sprintf("%s-%05d-", p.Topic, p.Number))+strings.Repeat("[0-9]", 20)+ending(n.Generation)))
	if err != nil {
		return err
	}
	for _, path := range files {
		switch name := filepath.Base(path); {
		case name == n.File:
			if info, err := os.Stat(path); err == nil && info.Size() > n.Length {
				if err := os.Truncate(path, n.Length); err != nil {
					return systemic(err)
				}
			}
		case n.Next >= 0 && name > fmt.Sprintf("%s-%05d-%020d", p.Topic, p.Number, n.Next): // begun, and not committed
			if err := os.Remove(path); err != nil {
				return systemic(err)
			}
		}
	}
	return nil
}

// ending is that of the names of a generation's files: they begin with offsets that
// those of another have as well.
func ending(generation int64) string {
	if generation <= 1 {
		return ".jsonl"
	}
	return fmt.Sprintf(".g%d.jsonl", generation)
}

// globbed is a name in which no character means anything to Glob.
func globbed(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(s)
}

func systemic(err error) error {
	return &sinks.SystemicError{Err: fmt.Errorf("sink.file: %w", err), Next: "is there room on the disk, and may the processor write there?"}
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
