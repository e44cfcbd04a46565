package golden

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// exception allows differences from Debezium that have one reason. There are four
// kinds, by letter:
//
//	a  its task died: these records it never wrote
//	b  it lost, invented or garbled a value, or wrote a record or a key that the
//	   relay writes otherwise on purpose
//	c  the identity of a Java object, or the order of a Java hash table
//	d  a clock of its own
//
// What the relay writes instead is part of the exception, so that it is held to
// that. A difference that does not occur fails the case, too.
type exception struct {
	name   string // of the case
	topic  string // without its prefix
	letter rune
	reason string
	places []place
}

// place is where a difference is: a value by its path, a record that only one
// side has, or a piece of a schema's text.
type place struct {
	record int    // index in the topic, of the side that path speaks of
	path   string // as differences say it
	ours   string // the value, or the piece of our schema
	theirs string // the piece of Debezium's schema
}

// at is a value, or a header, that the relay writes otherwise.
func at(record int, path, ours string) place { return place{record: record, path: path, ours: ours} }

// unwritten is a record that only Debezium wrote, by its index there.
func unwritten(record int) place { return place{record: record, path: onlyTheirs} }

// written is a record that only the relay writes, by its index there: its
// operation, key and row.
func written(record int, content string) place {
	return place{record: record, path: onlyOurs, ours: content}
}

// piece is a piece of the schemas of keys or values, from a record on: where
// Debezium's text has the one, ours has the other, at the first place where it
// stands.
func piece(record int, side, theirs, ours string) place {
	return place{record: record, path: side + " schema", theirs: theirs, ours: ours}
}

// exceptions are those of one case. Not safe for concurrent use.
type exceptions struct {
	prefix string
	rows   []*exception
	used   map[*place]bool
}

func exceptionsOf(c *capture) *exceptions {
	e := &exceptions{prefix: c.Prefix + ".", used: map[*place]bool{}}
	for i := range allowed {
		if allowed[i].name == c.Name {
			e.rows = append(e.rows, &allowed[i])
		}
	}
	return e
}

// allow tells whether an exception covers a difference.
func (e *exceptions) allow(d *difference) bool {
	ours := d.theirs
	var pieces []*place
	for _, row := range e.rows {
		for i := range row.places {
			p := &row.places[i]
			switch {
			case row.topic != strings.TrimPrefix(d.topic, e.prefix) || p.path != d.path:
			case p.theirs != "" && p.record == d.record && strings.Contains(ours, p.theirs):
				ours = strings.Replace(ours, p.theirs, p.ours, 1)
				pieces = append(pieces, p)
			case p.theirs == "" && p.record == d.record && p.ours == d.ours:
				e.used[p] = true
				return true
			}
		}
	}
	if pieces == nil || ours != d.ours {
		return false
	}
	for _, p := range pieces {
		e.used[p] = true
	}
	return true
}

// unused are the differences that did not occur.
func (e *exceptions) unused() []string {
	var lines []string
	for _, row := range e.rows {
		for i, p := range row.places {
			if !e.used[&row.places[i]] {
				lines = append(lines, fmt.Sprintf("%s record %d: %s: %s (%c: %s)", row.topic, p.record, p.path, p.ours, row.letter, row.reason))
			}
		}
	}
	return lines
}

// TestExceptionsAreNamed holds that each row of the table is of the closed list,
// of a case of the corpus, and has a reason; and that (a) stands for cases whose
// task died alone.
func TestExceptionsAreNamed(t *testing.T) {
	t.Parallel()
	cases := map[string]*capture{}
	for _, c := range corpus(t) {
		cases[c.Name] = c
	}
	for _, row := range allowed {
		c := cases[row.name]
		if c == nil || row.topic == "" || row.reason == "" || len(row.places) == 0 || !slices.Contains([]rune("abcd"), row.letter) {
			t.Errorf("incomplete: %+v", row)
			continue
		}
		if row.letter == 'a' && c.Failure == nil {
			t.Errorf("%s: no task died there", row.name)
		}
		for _, p := range row.places {
			if p.path == "" || p.path == onlyTheirs && p.ours != "" || row.letter == 'a' && p.path != onlyOurs {
				t.Errorf("%s: incomplete: %+v", row.name, p)
			}
		}
	}
}
