package cdc

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// picky is a registry that takes no version of a table with a column, under the
// subjects of some topics.
func picky(column string, topics ...string) func(*Table, string) *RefusedError {
	return func(t *Table, topic string) *RefusedError {
		has := slices.ContainsFunc(t.Columns, func(c Column) bool { return c.Name == column })
		if !has || len(topics) > 0 && !slices.Contains(topics, topic) {
			return nil
		}
		return &RefusedError{Subject: topic + "-value", Column: column, Err: errors.New("READER_FIELD_MISSING_DEFAULT_VALUE")}
	}
}

func TestOnIncompatibleStop(t *testing.T) {
	t.Parallel()
	w := newWorld(tableOf(1, "t", "id", "bad"))
	w.encoder.refuse = picky("bad")
	w.server.transaction(insert(1, "1", "v"))
	r, _ := w.relay()
	err := r.Stream(t.Context())
	for _, part := range []string{"public.t", "shop.public.t-value", `column "bad"`, "READER_FIELD_MISSING_DEFAULT_VALUE", "compatible"} {
		if !Stopped(err) || !strings.Contains(err.Error(), part) {
			t.Errorf("%v lacks %q", err, part)
		}
	}
}

func TestOnIncompatibleDeadLetter(t *testing.T) {
	t.Parallel()
	good, bad, mended := tableOf(1, "t", "id", "a"), tableOf(1, "t", "id", "bad"), tableOf(1, "t", "id", "a", "b")
	w := newWorld(good, tableOf(2, "u", "id"))
	w.encoder.refuse = picky("bad")
	w.config.OnIncompatible, w.config.Truncates = IncompatibleDeadLetter, true
	w.server.transaction(insert(1, "1", "v"))
	w.server.transaction(w.altered(bad), insert(1, "2", "w"), update(1, text("2", "w"), "3", "x"), truncateOf(1), insert(2, "1"))
	w.server.transaction(w.altered(mended), insert(1, "4", "y", "z"))
	w.run(t)
	if got := w.log.in("public.t"); len(got) != 2 || len(w.log.in("public.u")) != 1 {
		t.Errorf("published %v, want the rows before and after, and the other table's", got)
	}
	letters := w.log.in("dead_letter")
	if len(letters) != 3 || w.sums.letters["schema"] != 3 {
		t.Fatalf("dead letters %v, %v", letters, w.sums.letters)
	}
	for i, op := range []string{"c", "u", "t"} {
		for _, part := range []string{`"op":"` + op + `"`, `"column":"bad"`, "READER_FIELD_MISSING_DEFAULT_VALUE", "shop.public.t-value"} {
			if !strings.Contains(letters[i].value, part) {
				t.Errorf("%s lacks %s", letters[i].value, part)
			}
		}
	}
	if !strings.Contains(letters[1].value, `"before":{"id":"2"}`) || !strings.Contains(letters[1].value, `"after":{"id":"3","bad":"x"}`) {
		t.Errorf("%s: want both rows", letters[1].value)
	}
	if n := len(w.encoder.plans); n != 4 {
		t.Errorf("the registry was asked %d times, want once for each of 4 versions: %v", n, w.encoder.plans)
	}
}

// TestOneRowsSchemaRefusedIsOneDeadLetter: a version that a single row asks for is
// refused; the version before goes on.
func TestOneRowsSchemaRefusedIsOneDeadLetter(t *testing.T) {
	t.Parallel()
	for _, policy := range []Incompatible{IncompatibleStop, IncompatibleDeadLetter} {
		table := tableOf(1, "t", "id", "mood")
		table.Columns[1].Type = &Type{Name: "mood", Kind: KindEnum, Labels: []string{"ok"}}
		w := newWorld(table)
		w.config.OnIncompatible = policy
		w.encoder.refuse = func(t *Table, topic string) *RefusedError {
			if len(t.Columns[1].Type.Labels) == 1 {
				return nil
			}
			return &RefusedError{Subject: topic + "-value", Err: errors.New("no new labels")}
		}
		w.server.transaction(insert(1, "1", "ok"), insert(1, "2", "new"), insert(1, "3", "ok"))
		w.run(t)
		if got := w.log.in("public.t"); len(got) != 2 {
			t.Errorf("policy %d: published %v, want rows 1 and 3", policy, got)
		}
		if got := w.log.in("dead_letter"); len(got) != 1 || !strings.Contains(got[0].value, "no new labels") || !strings.Contains(got[0].value, `"column":"mood"`) {
			t.Errorf("policy %d: dead letters %v", policy, got)
		}
	}
}

func TestOnIncompatibleForce(t *testing.T) {
	t.Parallel()
	good, bad, later := tableOf(1, "t", "id", "a"), tableOf(1, "t", "id", "bad"), tableOf(1, "t", "id", "a", "c")
	w := newWorld(good)
	w.encoder.refuse = picky("bad", "shop.public.t", "shop.public.t.v2")
	w.config.OnIncompatible = IncompatibleForce
	w.server.transaction(insert(1, "1", "v"))
	w.server.transaction(w.altered(bad), insert(1, "2", "w"))
	topicsOf := func() (out []string) {
		for _, r := range w.log.records {
			out = append(out, r.topic)
		}
		return out
	}
	w.run(t)
	if got := fmt.Sprint(topicsOf()); got != "[shop.public.t shop.public.t.v3]" {
		t.Errorf("topics %s", got)
	}
	w.encoder.plans = nil
	w.server.transaction(insert(1, "3", "x")) // after a restart
	w.server.transaction(w.altered(later), insert(1, "4", "y", "z"))
	w.run(t)
	if got := fmt.Sprint(topicsOf()); got != "[shop.public.t shop.public.t.v3 shop.public.t.v3 shop.public.t.v3]" {
		t.Errorf("after a restart: topics %s", got)
	}
	if got := fmt.Sprint(w.encoder.plans); got != "[shop.public.t.v3 shop.public.t.v3]" {
		t.Errorf("the registry was asked for %s: the version in force is known from the history", got)
	}
}

func TestForceGivesUp(t *testing.T) {
	t.Parallel()
	w := newWorld(tableOf(1, "t", "id"))
	w.encoder.refuse = picky("id")
	w.config.OnIncompatible = IncompatibleForce
	w.server.transaction(insert(1, "1"))
	w.stops(t, "shop.public.t.v100-value")
}

func TestTopicVersions(t *testing.T) {
	t.Parallel()
	for topic, want := range map[string]int{"a": 1, "a.v2": 2, "a.v17": 17, "a.v1": 1, "a.v": 1, "a.vx": 1, "b.v2": 1, "a.v-2": 1} {
		if got := topicVersion("a", topic); got != want {
			t.Errorf("%s is version %d of a, want %d", topic, got, want)
		}
	}
}
