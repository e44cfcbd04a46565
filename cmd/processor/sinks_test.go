package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// into is the configuration with another sink.
func (s *stack) into(sink string) string {
	text := s.configuration("")
	i := strings.Index(text, "sink: ")
	j := strings.Index(text[i:], "\n") + i
	return text[:i] + "sink: " + sink + text[j:]
}

// lines counts the lines, and fails unless the offsets of each partition rise from
// next by one.
func lines(t *testing.T, text string, next map[int]int64) (n int) {
	t.Helper()
	for line := range strings.Lines(text) {
		var l struct {
			Partition int
			Offset    int64
			Row       map[string]any
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil || l.Row["total"] == nil {
			t.Fatalf("%v in %q", err, line)
		}
		if l.Offset != next[l.Partition] {
			t.Fatalf("partition %d has offset %d, want %d", l.Partition, l.Offset, next[l.Partition])
		}
		next[l.Partition]++
		n++
	}
	return n
}

// A processor that is killed again and again leaves each change once, in order.
func TestSinkFileHasEachChangeOnce(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	dir := filepath.Join(t.TempDir(), "out")
	file := s.write("file.yaml", s.into(fmt.Sprintf("{file: {dir: %q, max_bytes: 4KiB}}", dir)))
	read := func() string {
		names, err := filepath.Glob(filepath.Join(dir, "shop.public.orders-*.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(names)
		text := ""
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			text += string(b)
		}
		return text
	}
	n := 0
	for range 3 {
		cmd, _, _ := command(t.Context(), "run", "-c", file, "--log-level", "error")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for range 40 {
			n++
			s.publish(n, fmt.Sprint(n%10), fmt.Sprintf("%d.00", n))
		}
		until(t, "some lines more", func() bool { return strings.Count(read(), "\n") > n-40 })
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	cmd, _, _ := command(t.Context(), "run", "-c", file, "--log-level", "error")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, "all lines", func() bool { return strings.Count(read(), "\n") >= n })
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if got := lines(t, read(), map[int]int64{}); got != n {
		t.Errorf("%d lines, want %d", got, n)
	}
}

func TestSinkStdoutGoesOnWhereTheGroupIs(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	file := s.write("stdout.yaml", s.into("{stdout: {}}"))
	seen, next := 0, map[int]int64{}
	for round := range 2 {
		for i := range 5 {
			s.publish(round*5+i+1, fmt.Sprint(i), "1.00")
		}
		cmd, out, errs := command(t.Context(), "run", "-c", file)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		until(t, "five changes applied", func() bool {
			_, body := s.get("/metrics")
			return strings.Contains(body, `tailrace_processor_changes_total{outcome="applied"} 5`)
		})
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Fatalf("%v\n%s", err, errs)
		}
		seen += lines(t, out.String(), next)
	}
	if seen != 10 {
		t.Errorf("%d lines, want 10", seen)
	}
}
