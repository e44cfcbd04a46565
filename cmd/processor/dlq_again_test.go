package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tailrace/tailrace/processors"
)

// What can go wrong where a change that is a dead letter comes a second time: its ID is
// the same. Each of these was so before there was a test:
//
//   - the first of a row that went on by itself comes again behind another dead letter of
//     the row: its new result takes from those behind it what closed them;
//   - a change comes twice while its row is parked: the result of the second says
//     superseded of one that was applied;
//   - what came twice behind a parked row and is older than the row stays open, though
//     nothing is left to be done;
//   - the first of a parked row comes again behind itself: who reads from there misses those
//     between;
//   - one that is closed parks its row once more, as in a target made anew: every command
//     about it is taken for done.

// parkedAgain has row 1 parked twice: the second time with what came before delivered again.
func parkedAgain(t *testing.T) *stack {
	t.Helper()
	s := newStack(t)
	s.exec(`CREATE TABLE orders (id integer PRIMARY KEY, total numeric CHECK (total < 100), _tailrace_gen bigint, _tailrace_pos text COLLATE "C")`)
	s.process("")
	s.publish(1, "1", "500.00")
	until(t, "the parked row", func() bool { return s.count("SELECT count(*) FROM tailrace.parked") == 1 })
	s.publish(2, "1", "5.00")
	until(t, "the first dead letters", func() bool { return s.statuses()["open"] == 2 })
	s.exec("ALTER TABLE orders DROP CONSTRAINT orders_total_check")
	s.dlq(0, "replay", "--all")
	s.exec("ALTER TABLE orders ADD CONSTRAINT orders_total_check CHECK (total < 100)")
	s.publish(3, "1", "600.00")
	until(t, "the row parked once more", func() bool { return s.count("SELECT count(*) FROM tailrace.parked") == 1 })
	s.publish(1, "1", "500.00")
	s.publish(2, "1", "5.00")
	s.publish(3, "1", "600.00")
	s.publish(4, "1", "6.00")
	s.publish(4, "1", "6.00")
	until(t, "the second dead letters", func() bool { return s.statuses()["open"] == 4 })
	return s
}

func TestDlqOfChangesDeliveredTwice(t *testing.T) {
	t.Parallel()
	s := parkedAgain(t)
	s.exec("ALTER TABLE orders DROP CONSTRAINT orders_total_check")
	if got := s.dlq(0, "replay", "--all"); !strings.Contains(got, "4: 2 applied, 2 resolved") {
		t.Errorf("replay --all:\n%s", got)
	}
	if got := s.dlq(0, "list"); got != "no dead letters\n" {
		t.Errorf("list at the end:\n%s", got)
	}
	if got := s.totals(); got != "1:6.00" {
		t.Errorf("rows: %s", got)
	}
	if n := s.count("SELECT count(*) FROM tailrace.parked"); n != 0 {
		t.Errorf("%d rows are still parked", n)
	}
}

// A command about a row that stays parked is about none of its dead letters.
func TestDlqOfARowThatStaysParked(t *testing.T) {
	t.Parallel()
	s := parkedAgain(t)
	s.publish(5, "1", "700.00")
	until(t, "the last dead letter", func() bool { return s.statuses()["open"] == 5 })
	if got := s.dlq(1, "replay", "--all"); !strings.Contains(got, "5: 5 failed") {
		t.Errorf("replay --all:\n%s", got)
	}
}

func TestDlqOfATargetMadeAnew(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	table := `CREATE TABLE orders (id integer PRIMARY KEY, total numeric CHECK (total < 100), _tailrace_gen bigint, _tailrace_pos text COLLATE "C")`
	s.exec(table)
	kill := s.process("")
	s.publish(1, "1", "500.00")
	until(t, "the parked row", func() bool { return s.count("SELECT count(*) FROM tailrace.parked") == 1 })
	s.publish(2, "1", "600.00")
	until(t, "the dead letters", func() bool { return s.statuses()["open"] == 2 })
	s.exec("ALTER TABLE orders DROP CONSTRAINT orders_total_check")
	s.dlq(0, "replay", "--all")
	kill()
	s.exec("DROP TABLE orders; DROP SCHEMA tailrace CASCADE; " + table)
	s.process("")
	until(t, "the same dead letters", func() bool { return s.statuses()["open"] == 2 })
	s.exec("ALTER TABLE orders DROP CONSTRAINT orders_total_check")
	if got := s.dlq(0, "replay", "--all"); !strings.Contains(got, "2: 2 applied") {
		t.Errorf("replay --all:\n%s", got)
	}
	if got := s.totals(); got != "1:600.00" {
		t.Errorf("rows: %s", got)
	}
}

// Where a dead letter stands that is in its topic more than once.
func TestLedgerPlacesWhatCameTwice(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		letters []string // ID<first, and the offset of the delivery
		want    []int64  // of a, b
	}{
		{"once", []string{"a 1", "b<a 2"}, []int64{0, 1}},
		{"both written again by one who was killed", []string{"a 1", "b<a 2", "a 1", "b<a 2"}, []int64{0, 1}},
		{"the first written late by one who was frozen", []string{"a 1", "b<a 2", "c<a 3", "a 1"}, []int64{0, 1}},
		{"the first behind itself", []string{"a 1", "b<a 2", "a<a 3"}, []int64{0, 1}},
		{"the first behind another one later", []string{"a 1", "b<a 2", "c 3", "a<c 4"}, []int64{3, 1}},
		{"and then written late", []string{"a 1", "b<a 2", "c 3", "a<c 4", "a 1"}, []int64{3, 1}},
		{"the row parked by the same one again", []string{"a 1", "b<a 2", "a 3"}, []int64{2, 1}},
		{"and the same one behind", []string{"a 1", "b<a 2", "a 3", "b<a 4", "a<a 5"}, []int64{2, 3}},
	} {
		l := &ledger{byID: map[string]*entry{}}
		for i, text := range c.letters {
			var offset int64
			if _, err := fmt.Sscan(text[len(text)-1:], &offset); err != nil {
				t.Fatal(err)
			}
			id, behind, _ := strings.Cut(text[:len(text)-2], "<")
			l.add(processors.Letter{ID: id, Behind: behind, Offset: offset, At: int64(i)})
		}
		if got := []int64{l.byID["a"].At, l.byID["b"].At}; !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}
