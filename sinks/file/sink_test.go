package file

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tailrace/tailrace/sinks"
	"github.com/tailrace/tailrace/sinks/sinktest"
)

func TestContract(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int64{"one file": 0, "a file for every few lines": 700} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sinktest.Run(t, func(t *testing.T) sinktest.Destination {
				dir := t.TempDir()
				return sinktest.Destination{
					Changes: true,
					Open:    func(t *testing.T) sinks.Sink { return open(t, dir, size) },
					Rows:    func(t *testing.T) map[int]sinktest.Row { return sinktest.Fold(t, committed(t, dir)) },
					Cut: func(_ *testing.T, s sinks.Sink) {
						sink := s.(*Sink)
						sink.atCommit = func() error {
							sink.atCommit = nil
							return errors.New("cut")
						}
					},
				}
			})
		})
	}
}

func open(t *testing.T, dir string, size int64) *Sink {
	t.Helper()
	s, err := New(Config{Dir: dir, Pipeline: "p", MaxBytes: size})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func files(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(found)
	return found
}

// committed is the text of all files, as a claim leaves them: a batch that was cut is
// in them until then.
func committed(t *testing.T, dir string) string {
	t.Helper()
	notes, err := filepath.Glob(filepath.Join(dir, ".tailrace", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	length := map[string]int64{}
	next := map[string]int64{}
	s := open(t, dir, 0)
	for _, path := range notes {
		var p sinks.Partition
		switch {
		case strings.HasSuffix(path, "-00003.json"):
			p = sinks.Partition{Topic: "shop.public.items", Number: 3}
		case strings.HasSuffix(path, "-00004.json"):
			p = sinks.Partition{Topic: "shop.public.items", Number: 4}
		default:
			t.Fatalf("note of %s", path)
		}
		if err := s.locked(p, func(n *note) error {
			length[n.File], next[n.File] = n.Length, n.Next
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	var text strings.Builder
	for _, path := range files(t, dir) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if n, ok := length[filepath.Base(path)]; ok {
			b = b[:n]
		}
		text.Write(b)
	}
	return text.String()
}

// The crash table at the top of sink.go: what stands behind the note is gone with the
// next claim, and comes again under the same names.
func TestNoHalfLineAfterACrash(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, 700)
	p := sinks.Partition{Topic: "shop.public.items", Number: 3}
	claim, err := s.Claim(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	batch := func(from, n int) *sinks.Batch {
		b := &sinks.Batch{Claim: claim, Expect: int64(from), Next: int64(from + n), Generation: 1}
		if from == 0 {
			b.Expect = sinks.NoOffset
		}
		for i := range n {
			c := sinktest.Put(from+i+1, from+i, sinktest.Row{Name: "name", Note: "note", Amount: "1"})
			c.Offset = int64(from + i)
			b.Changes = append(b.Changes, c)
		}
		return b
	}
	write := func(b *sinks.Batch) error { _, err := s.Write(t.Context(), b); return err }
	if err := write(batch(0, 5)); err != nil {
		t.Fatal(err)
	}
	before, text := files(t, dir), read(t, dir)
	s.atCommit = func() error { return errors.New("killed") }
	if err := write(batch(5, 6)); err == nil {
		t.Fatal("a write that was cut: no error")
	}
	after := files(t, dir)
	if len(after) <= len(before) {
		t.Fatalf("the batch began no file: %v", after)
	}
	// Half of a line, too: the disk had room for no more.
	last := before[len(before)-1]
	f, err := os.OpenFile(last, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"topic":"sh`); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	s = open(t, dir, 700)
	if claim, err = s.Claim(t.Context(), p); err != nil || claim.Next != 5 {
		t.Fatalf("claim: %+v, %v", claim, err)
	}
	if got := read(t, dir); got != text {
		t.Errorf("after the claim: got\n%s\nwant\n%s", got, text)
	}
	if err := write(batch(5, 3)); err != nil { // cut otherwise, and the files begin where they would have
		t.Fatal(err)
	}
	if err := write(batch(8, 3)); err != nil {
		t.Fatal(err)
	}
	if got := files(t, dir); !slices.Equal(got, after) {
		t.Errorf("files: got %v, want %v", got, after)
	}
	if got := len(sinktest.Fold(t, read(t, dir))); got != 11 {
		t.Errorf("rows: got %d, want 11", got)
	}
}

func read(t *testing.T, dir string) string {
	t.Helper()
	var text strings.Builder
	for _, path := range files(t, dir) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text.Write(b)
	}
	return text.String()
}
