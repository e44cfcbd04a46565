package sinktest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// line is a change as package jsonlines writes it.
type line struct {
	Partition   int32
	Gen         int64
	Pos, Op     string
	Key         string
	Row         map[string]any
	Floor       string
	Sweep       bool
	Partitions  int
	Unavailable []string
}

// Fold is what a reader of lines has in the end who applies them by gen and pos,
// whatever order they have and however often they come. It fails on half a line.
func Fold(t *testing.T, text string) map[int]Row {
	t.Helper()
	if text != "" && !strings.HasSuffix(text, "\n") {
		t.Fatalf("half a line: %q", text[strings.LastIndexByte(text, '\n')+1:])
	}
	var lines []line
	for l := range strings.Lines(text) {
		var c line
		if err := json.Unmarshal([]byte(l), &c); err != nil {
			t.Fatalf("%v in %q", err, l)
		}
		lines = append(lines, c)
	}
	slices.SortStableFunc(lines, func(a, b line) int { return cmp.Or(cmp.Compare(a.Gen, b.Gen), cmp.Compare(a.Pos, b.Pos)) })
	type state struct {
		Row
		pos string
	}
	rows := map[string]state{}
	sweeps := map[string]map[int32]bool{}
	seen := map[string]bool{}
	for _, c := range lines {
		id := fmt.Sprint(c.Gen, " ", c.Pos, " ", c.Key, " ", c.Partition)
		if seen[id] { // of two lines about one change, the first counts
			continue
		}
		seen[id] = true
		switch {
		case c.Op == "t" && c.Sweep:
			if sweeps[c.Floor] == nil {
				sweeps[c.Floor] = map[int32]bool{}
			}
			if sweeps[c.Floor][c.Partition] = true; len(sweeps[c.Floor]) < c.Partitions {
				continue
			}
			for key, r := range rows {
				if r.pos <= c.Floor {
					delete(rows, key)
				}
			}
		case c.Op == "t":
			clear(rows)
		case c.Op == "d":
			delete(rows, c.Key)
		default:
			r := rows[c.Key]
			for name, to := range map[string]*string{"name": &r.Name, "note": &r.Note, "amount": &r.Amount} {
				if v, ok := c.Row[name]; ok {
					*to = fmt.Sprint(v)
				}
			}
			r.pos = c.Pos
			rows[c.Key] = r
		}
	}
	out := map[int]Row{}
	for key, r := range rows {
		var id int
		if _, err := fmt.Sscanf(key, `["%d"]`, &id); err != nil {
			t.Fatalf("key %q: %v", key, err)
		}
		out[id] = r.Row
	}
	return out
}
