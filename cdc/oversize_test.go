package cdc

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// long makes a row that the source does not hold of one that it does: its values
// come in pieces of at most so many bytes.
func long(ev Event, piece int) Event {
	old, row, whole := ev.Old, ev.New, ev.OldFull
	ev.Old, ev.New = nil, nil
	ev.Long = func(_ context.Context, to LongRow) error {
		for i, values := range [][]Value{old, row} {
			if values == nil {
				continue
			}
			if err := tell(to, i == 0, whole, values, piece); err != nil {
				return err
			}
		}
		return to.End()
	}
	return ev
}

func tell(to LongRow, old, whole bool, values []Value, piece int) error {
	if err := to.Row(old, whole); err != nil {
		return err
	}
	for i, v := range values {
		if err := to.Value(i, v.State); err != nil {
			return err
		}
		for p := range slices.Chunk(v.Data, piece) {
			// The memory is the reader's: it is overwritten.
			shared := slices.Clone(p)
			if err := to.Data(shared); err != nil {
				return err
			}
			for i := range shared {
				shared[i] = '!'
			}
		}
	}
	return nil
}

// whole puts letters together as a person would: parts of one position, from a
// part 1 to the one that names their number.
func whole(t checker, records []record) (letters []string, first []record) {
	t.Helper()
	open := map[string]string{}
	for _, r := range records {
		part, _ := strconv.Atoi(r.header("dlq.part"))
		switch {
		case part == 0:
			letters, first = append(letters, r.value), append(first, r)
			continue
		case part == 1:
			open[r.pos] = r.value
		default:
			open[r.pos] += r.value
		}
		if r.header("dlq.parts") == "" {
			continue
		}
		text := open[r.pos]
		delete(open, r.pos)
		sum := sha256.Sum256([]byte(text))
		if r.header("dlq.parts") != strconv.Itoa(part) || r.header("dlq.bytes") != strconv.Itoa(len(text)) || r.header("dlq.sha256") != hex.EncodeToString(sum[:]) {
			t.Errorf("the last part of %s says %q of %d bytes in %d parts", r.pos, r.extra, len(text), part)
		}
		letters, first = append(letters, text), append(first, r)
	}
	if len(open) > 0 {
		t.Errorf("letters without end: %v", slices.Collect(maps.Keys(open)))
	}
	return letters, first
}

// dead is a letter as it can be read.
type dead struct {
	Schema, Table, Op, Position, Column, Reason string
	Before, After, Key                          map[string]*string
	Withheld                                    []string
}

func readLetter(t checker, text string) (d dead) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatalf("%v: %.300s", err, text)
	}
	return d
}

// rowIs compares a row of a letter with texts; "NULL" is null, "-" not there.
func rowIs(t checker, got map[string]*string, want map[string]string) {
	t.Helper()
	for name, text := range want {
		v, ok := got[name]
		switch {
		case text == "-":
			if ok {
				t.Errorf("%s is there: %.50q", name, *v)
			}
		case text == "NULL":
			if !ok || v != nil {
				t.Errorf("%s is %v, want null", name, v)
			}
		case v == nil || *v != text:
			t.Errorf("%s is not what the row has (%d bytes)", name, len(text))
		}
	}
}

// TestOversizeRowsBecomeLettersWhateverTheirCuts: rows that are held and rows that
// are not give the same letter, whose text is the row's, and the stream goes on
// with exact ordinals.
func TestOversizeRowsBecomeLettersWhateverTheirCuts(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	alphabet := []string{"a", "ä", "€", "😀", `"`, `\`, "\n", "\t", "\x01", "<", "\u2028", " "}
	big := func(n int) string {
		var b strings.Builder
		for b.Len() < n {
			b.WriteString(alphabet[rng.IntN(len(alphabet))])
		}
		return b.String()
	}
	for range 60 {
		w := newWorld(tableOf(1, "t", "id", "a", "b"))
		w.config.MaxRow = 1024 + rng.IntN(4096)
		size := w.config.MaxRow * (1 + rng.IntN(20))
		row := []string{"7", big(rng.IntN(100)), big(size)}
		if rng.IntN(2) == 0 {
			row[1], row[2] = row[2], "NULL"
		}
		old := text("7", "x", "y")
		if rng.IntN(2) == 0 {
			old = text("6", big(size), "NULL")
		}
		change := []Event{insert(1, row...), update(1, nil, row...), full(update(1, old, row...)), full(remove(1, row...))}[rng.IntN(4)]
		w.server.transaction(insert(1, "1", "", ""), change, insert(1, "2", "", ""))
		w.server.transaction(insert(1, "1", "", ""), long(change, 1+rng.IntN(2000)), insert(1, "2", "", ""))
		w.run(t)
		letters, last := whole(t, w.log.in("dead_letter"))
		if len(letters) != 2 {
			t.Fatalf("%d letters, want 2", len(letters))
		}
		for i, l := range letters {
			d := readLetter(t, l)
			if d.Table != "t" || d.Op != change.Op.String() || d.Position != last[i].pos || !strings.HasSuffix(d.Position, "/00000002/00") || d.Reason == "" {
				t.Errorf("%.200s", l)
			}
			if last[i].header("dlq.class") != "too_large" || last[i].key == "" || len(last[i].value) > w.config.MaxRow {
				t.Errorf("last part %.200v", last[i])
			}
			want := map[string]string{"id": row[0], "a": row[1], "b": row[2]}
			if change.Op == OpDelete {
				rowIs(t, d.Before, want)
			} else {
				rowIs(t, d.After, want)
			}
			if change.Op == OpUpdate && change.OldFull {
				rowIs(t, d.Before, map[string]string{"id": string(old[0].Data), "a": string(old[1].Data)})
			}
		}
		if at := strings.Index(letters[0], `"before"`); letters[0][at:] != letters[1][at:] && !strings.Contains(letters[0], `\ufffd`) {
			t.Errorf("held %.300s\nlong %.300s", letters[0][at:], letters[1][at:])
		}
		for i, r := range w.log.in("public.t") {
			if want := []string{"/00000001/00", "/00000003/00"}[i%2]; !strings.HasSuffix(r.pos, want) {
				t.Errorf("position %s, want …%s", r.pos, want)
			}
		}
	}
}

// TestColumnsThatAreLeftOutDoNotMakeARowLong: a value that is not published is
// passed over, whatever its length.
func TestColumnsThatAreLeftOutDoNotMakeARowLong(t *testing.T) {
	t.Parallel()
	w := newWorld(tableOf(1, "t", "id", "big", "v"))
	w.config.MaxRow = 2000
	w.config.Rules = rules(Rules{Keep: func(name string) bool { return name != "big" }})
	huge := strings.Repeat("x", 100_000)
	w.server.transaction(long(insert(1, "1", huge, "a"), 777), long(update(1, text("1", "", ""), "2", huge, "b"), 777), long(full(remove(1, "2", huge, "b")), 777))
	var ops []string
	for _, r := range w.run(t) {
		ops = append(ops, strings.Fields(r.value + " ")[0]+" "+r.pos[len(r.pos)-11:]+" "+r.topic)
		if strings.Contains(r.value, "xxx") {
			t.Errorf("%.200s", r)
		}
	}
	slices.Sort(ops)
	equal(t, ops, "c 00000001/00 shop.public.t", "c 00000002/02 shop.public.t", "d 00000002/00 shop.public.t", "d 00000003/00 shop.public.t",
		"tombstone 00000002/01 shop.public.t", "tombstone 00000003/01 shop.public.t")
}

// TestMasksOfOversizeRows: nothing of a masked value is in a letter, not even
// where it is too long to be masked.
func TestMasksOfOversizeRows(t *testing.T) {
	t.Parallel()
	for _, held := range []bool{true, false} {
		w := newWorld(tableOf(1, "t", "id", "short", "big", "long"))
		w.config.MaxRow = 2000
		w.config.Rules = rules(Rules{Mask: func(name string) *Mask {
			if name == "short" || name == "long" {
				return Asterisks(3)
			}
			return nil
		}})
		row := insert(1, "1", "secret", strings.Repeat("b", 3000), strings.Repeat("secret", 1<<19))
		if !held {
			row = long(row, 1000)
		}
		w.server.transaction(row)
		w.run(t)
		letters, _ := whole(t, w.log.in("dead_letter"))
		if len(letters) != 1 || strings.Contains(letters[0], "secret") {
			t.Fatalf("%d letters: %.200v", len(letters), letters)
		}
		want := map[string]string{"id": "1", "short": "***", "big": strings.Repeat("b", 3000), "long": "***"}
		d := readLetter(t, letters[0])
		if !held {
			want["long"] = "-"
			equal(t, d.Withheld, "long")
		}
		rowIs(t, d.After, want)
	}
}

// TestAKeyBehindTheLongValue: its parts have no key, and say so; the letter has it.
func TestAKeyBehindTheLongValue(t *testing.T) {
	t.Parallel()
	table := tableOf(1, "t", "big", "id")
	table.Key = []int{1}
	w := newWorld(table)
	w.config.MaxRow = 2000
	w.server.transaction(long(insert(1, strings.Repeat("x", 10_000), "5"), 300))
	w.run(t)
	letters, last := whole(t, w.log.in("dead_letter"))
	if len(letters) != 1 || last[0].key != "" || last[0].header("dlq.key") != "unknown" {
		t.Fatalf("%v", last)
	}
	rowIs(t, readLetter(t, letters[0]).Key, map[string]string{"id": "5"})
}

func TestOnOversizeStop(t *testing.T) {
	t.Parallel()
	for name, ev := range map[string]Event{
		"held": insert(1, "1", strings.Repeat("x", 5000)), "long": long(insert(1, "1", strings.Repeat("x", 5000)), 1000),
		"message": message("pfx", strings.Repeat("x", 5000)),
	} {
		w := newWorld(tableOf(1, "t", "id", "v"))
		w.config.MaxRow, w.config.Oversize = 2000, ""
		w.server.transaction(insert(1, "0", "a"))
		w.run(t)
		w.server.transaction(ev)
		for range 2 {
			w.stops(t, "on_oversize: dead_letter")
		}
		if n := len(w.log.records); n != 1 {
			t.Errorf("%s: %d records, want the one before", name, n)
		}
		w.config.MaxRow = 10_000 // a person has raised it
		if ev.Kind == EventRow && len(w.run(t)) != 2 {
			t.Errorf("%s: %v, want both rows", name, w.log.records)
		}
	}
}

func TestOversizeMessagesAreLetters(t *testing.T) {
	t.Parallel()
	w := newWorld(tableOf(1, "t", "id"))
	w.config.MaxRow, w.config.Transactions = 2000, true
	content := strings.Repeat("\x00\xffbytes", 3000)
	unheld := message("pfx", "")
	unheld.Long = func(_ context.Context, to LongRow) error {
		if err := tell(to, false, true, text(content), 1001); err != nil {
			return err
		}
		return to.End()
	}
	alone := unheld
	alone.Tx = loneMessage
	w.server.transaction(insert(1, "1"), unheld, insert(1, "2"))
	w.server.transaction(insert(1, "3"), alone)
	w.server.transaction(message("pfx", content))
	w.run(t)
	letters, last := whole(t, w.log.in("dead_letter"))
	if len(letters) != 3 || len(w.log.in("public.t")) != 3 {
		t.Fatalf("%d letters, %d rows", len(letters), len(w.log.in("public.t")))
	}
	for i, l := range letters {
		var d struct {
			Table, Op, Prefix string
			Content           []byte // base64
		}
		if err := json.Unmarshal([]byte(l), &d); err != nil || string(d.Content) != content || d.Prefix != "pfx" || d.Op != "m" || d.Table != "message" {
			t.Errorf("%v: %.300s", err, l)
		}
		if !strings.Contains(l, base64.StdEncoding.EncodeToString([]byte(content))[:100]) || last[i].header("dlq.class") != "too_large" {
			t.Errorf("%.100v", last[i].extra)
		}
	}
	for _, end := range w.log.in(".transaction") {
		if strings.Contains(end.value, "END") && strings.Contains(end.value, "message") {
			t.Errorf("%s counts a message that was not published", end)
		}
	}
}

// TestKilledBetweenPartsTheLetterBeginsAnew: parts can repeat, and the whole letter
// comes once.
func TestKilledBetweenPartsTheLetterBeginsAnew(t *testing.T) {
	t.Parallel()
	seen := false
	for kill := 1; kill < 40; kill++ {
		w := newWorld(tableOf(1, "t", "id", "v"))
		w.config.MaxRow, w.config.Limits.Rows = 2000, 3
		w.config.Transactions = true
		w.server.transaction(insert(1, "0", "a"))
		w.server.transaction(long(insert(1, "1", strings.Repeat("x", 30_000)), 500), insert(1, "2", "b"))
		w.log.killAt, w.log.survives = kill, kill%2 == 0
		r, _ := w.relay()
		w.log.killAt = kill
		if err := r.Stream(t.Context()); err == nil || Stopped(err) {
			t.Fatal(err)
		}
		w.log.survives = false
		w.run(t)
		letters, _ := whole(t, w.log.in("dead_letter"))
		if len(letters) != 1 || len(w.log.in("public.t")) != 2 {
			t.Errorf("killed at commit %d: %d letters, %d rows", kill, len(letters), len(w.log.in("public.t")))
		}
		begins := 0
		for _, r := range w.log.in("dead_letter") {
			if r.header("dlq.part") == "1" {
				begins++
			}
		}
		seen = seen || begins == 2
		marks := map[string]int{}
		for _, r := range w.log.in(".transaction") {
			marks[strings.Fields(r.value)[0]]++
		}
		if fmt.Sprint(marks) != "map[BEGIN:2 END:2]" {
			t.Errorf("killed at commit %d: %v", kill, marks)
		}
	}
	if !seen {
		t.Error("no kill came between two parts")
	}
}

func TestOversizeRowsOfASnapshot(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.config.MaxRow = 2000
	huge := strings.Repeat("x", 20_000)
	got := w.snapshot(t, tables{{tableOf(1, "a", "id", "v"), [][]Value{text("1", "a"), text("2", huge), text("3", "c"), text("4", "long "+huge), text("5", "e")}}})
	if len(w.log.in("public.a")) != 3 || w.log.progress.Snapshot != nil {
		t.Errorf("%v, progress %+v", got, w.log.progress)
	}
	letters, last := whole(t, w.log.in("dead_letter"))
	if len(letters) != 2 {
		t.Fatalf("%d letters, want 2", len(letters))
	}
	for i, want := range []map[string]string{{"id": "2", "v": huge}, {"id": "4", "v": "long " + huge}} {
		d := readLetter(t, letters[i])
		rowIs(t, d.After, want)
		if d.Op != "r" || last[i].pos[len(last[i].pos)-1:] != want["id"] {
			t.Errorf("%s at %s", d.Op, last[i].pos)
		}
	}
	for i, r := range w.log.in("public.a") {
		if want := []string{"1", "3", "5"}[i]; r.pos[len(r.pos)-1:] != want {
			t.Errorf("row %d at %s", i, r.pos)
		}
	}
}
