package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// records are those of a topic, in the order of their positions, once there are n.
// That no further one comes, a test makes sure with a later change that it waits
// for.
func (w *world) records(t *testing.T, topic string, n int) []shown {
	t.Helper()
	var list []shown
	eventually(t, fmt.Sprintf("%d records of %s; there are %d", n, topic, len(list)), func() bool {
		r := w.relay(t, "tail", topic, "--until-end", "-o", "json")
		if r.code != 0 {
			if n > 0 && strings.Contains(r.err, "no topic") {
				return false
			}
			t.Fatalf("exit %d: %s", r.code, r.err)
		}
		list = nil
		for line := range strings.Lines(r.out) {
			var s shown
			if err := json.Unmarshal([]byte(line), &s); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			if s.Error != "" {
				t.Fatalf("cannot be decoded: %s", line)
			}
			list = append(list, s)
		}
		return len(list) >= n
	})
	slices.SortStableFunc(list, func(a, b shown) int { return cmp.Compare(position(a), position(b)) })
	return list
}

func position(s shown) string {
	if s.Pos == nil {
		return ""
	}
	return *s.Pos
}

// expect compares a topic's records with lines of op, key, before and after.
func (w *world) expect(t *testing.T, topic string, want ...string) {
	t.Helper()
	var got []string
	for _, s := range w.records(t, topic, len(want)) {
		got = append(got, lineOf(s))
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s: got\n%s\nwant\n%s", topic, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func lineOf(s shown) string {
	op := "tombstone"
	if s.Op != nil {
		op = *s.Op
	}
	return fmt.Sprintf("%s %s %s %s", op, s.Key, s.Before, s.After)
}

// stream waits until everything that was committed by now is published.
func (w *world) stream(t *testing.T) {
	t.Helper()
	w.sql(t, "CREATE TABLE IF NOT EXISTS public.zz_mark (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY)", "INSERT INTO public.zz_mark DEFAULT VALUES")
	w.marks++
	w.records(t, "public.zz_mark", w.marks)
}
