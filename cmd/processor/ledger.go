package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr"

	"github.com/tailrace/tailrace/internal/ops"
	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/processors"
)

// entry is one dead letter and what became of it.
type entry struct {
	processors.Letter
	// Status is open, due when a command waits for the partition's owner, or the last
	// verdict.
	Status string `json:"status"`
	Note   string `json:"note,omitempty"` // of the verdict
	closed bool
	group  bool // others stand behind it, or it behind another one
}

// The statuses that no verdict is.
const (
	statusOpen = "open"
	statusDue  = "due"
)

// ledger is the dead-letter topic with the results of the control topic.
type ledger struct {
	topic   string
	letters *kafka.DeadLetters
	control *kafka.Control
	entries []*entry // by partition and place in the dead-letter topic
	byID    map[string]*entry
	ends    map[int32]int64 // how far the control topic was read
}

// openLedger reads both topics whole, to where they end now.
func (s *settings) openLedger(ctx context.Context) (*ledger, error) {
	connection, err := s.kafkaConfig()
	if err != nil {
		return nil, err
	}
	l := &ledger{topic: s.Errors.DeadLetter.Topic, byID: map[string]*entry{}, ends: map[int32]int64{}}
	if l.letters, err = kafka.NewDeadLetters(connection, l.topic, -1); err != nil {
		return nil, err
	}
	if l.control, err = kafka.NewControl(connection, s.Name, -1); err != nil {
		l.letters.Close()
		return nil, err
	}
	if err := l.read(ctx); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (l *ledger) close() {
	l.letters.Close()
	l.control.Close()
}

func (l *ledger) read(ctx context.Context) error {
	err := l.letters.All(ctx, func(m kafka.Message) error {
		if letter, ok := processors.ReadLetter(&m); ok {
			l.add(letter)
		}
		return nil
	})
	if err != nil {
		return err
	}
	said, err := l.readControl(ctx)
	for _, e := range l.entries {
		said.about(e, l.byID[e.Behind])
		if first := l.byID[e.Behind]; e.Behind != "" {
			e.group = true
			if first != nil {
				first.group = true
			}
		}
	}
	slices.SortStableFunc(l.entries, func(a, b *entry) int {
		return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.At, b.At))
	})
	return err
}

// add takes the dead letters of the topic in their order. One can come twice. Where its
// change was delivered again, with another offset, the later place counts, unless it stands
// behind itself there: its row's dead letters begin with the first. Where it is the same
// delivery, written again by a processor that was killed or frozen meanwhile, the first
// place counts: what stands behind it may stand before the second.
func (l *ledger) add(letter processors.Letter) {
	e := l.byID[letter.ID]
	if e == nil {
		e = &entry{Letter: letter, Status: statusOpen}
		l.entries, l.byID[letter.ID] = append(l.entries, e), e
		return
	}
	if letter.Offset > e.Offset && letter.Behind != letter.ID {
		e.Letter = letter
	}
}

// said is what the control topic says last of each dead letter.
type said struct {
	commands map[string]placed[*processors.Command]
	results  map[string]placed[*processors.Result]
	rows     map[string]placed[*processors.Result] // about whole rows, by their first
}

// placed is a record of the control topic with its offset there.
type placed[T any] struct {
	is T
	at int64
}

func (l *ledger) readControl(ctx context.Context) (said, error) {
	s := said{map[string]placed[*processors.Command]{}, map[string]placed[*processors.Result]{}, map[string]placed[*processors.Result]{}}
	err := l.control.All(ctx, func(m kafka.Message) error {
		l.ends[m.Partition] = m.Offset + 1
		c, r, err := processors.ReadControl(&m)
		switch {
		case err != nil:
			return err
		case c != nil:
			s.commands[c.ID] = placed[*processors.Command]{c, m.Offset}
		case r != nil && r.Row:
			s.rows[r.ID] = placed[*processors.Result]{r, m.Offset}
		case r != nil:
			s.results[r.ID] = placed[*processors.Result]{r, m.Offset}
		}
		return nil
	})
	return s, err
}

// about sets what became of an entry; first is that of its row, nil when it is not known.
func (s said) about(e, first *entry) {
	last := s.results[e.ID]
	consider := func(r placed[*processors.Result]) {
		if r.is != nil && (last.is == nil || r.at > last.at) {
			last = r
		}
	}
	consider(s.rows[e.ID])
	switch row := s.rows[e.Behind]; {
	case e.Behind == "":
	case first != nil && first.At > e.At: // its row was parked once more, so what it stands in has ended
		if last.is == nil {
			e.Status, e.closed = string(processors.VerdictResolved), true
		}
	case row.is != nil && row.is.Outcome.Closed():
		consider(row)
	}
	if r := last.is; r != nil {
		e.Status, e.Note, e.closed = string(r.Outcome), r.Message, r.Outcome.Closed()
	}
	if c := s.commands[e.ID]; c.is != nil && !e.closed && (last.is == nil || c.at > last.at) {
		e.Status = statusDue
	}
}

// find is the dead letter whose id is, or begins with, id.
func (l *ledger) find(id string) (*entry, error) {
	if e := l.byID[id]; e != nil {
		return e, nil
	}
	var found *entry
	for _, e := range l.entries {
		if len(id) < 4 || !strings.HasPrefix(e.ID, id) {
			continue
		}
		if found != nil {
			return nil, ops.Usage(fmt.Errorf("dead letter %s: several begin with it, %s and %s", id, found.ID, e.ID))
		}
		found = e
	}
	if found == nil {
		return nil, fmt.Errorf("no dead letter %s in topic %s; processor dlq list shows them", id, l.topic)
	}
	return found, nil
}

// choose are the entries for which a condition holds; an empty one holds for all.
func (l *ledger) choose(where string, keep func(*entry) bool) ([]*entry, error) {
	holds, err := condition(where)
	if err != nil {
		return nil, err
	}
	var out []*entry
	for _, e := range l.entries {
		if !keep(e) {
			continue
		}
		ok, err := holds(e)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, e)
		}
	}
	return out, nil
}

// fields are what a condition can ask of a dead letter.
type fields struct {
	ID        string    `expr:"id"`
	Status    string    `expr:"status"`
	Class     string    `expr:"class"`
	Code      string    `expr:"code"`
	Message   string    `expr:"message"`
	Step      string    `expr:"step"`
	Table     string    `expr:"table"`
	Op        string    `expr:"op"`
	Entity    string    `expr:"entity"`
	Position  string    `expr:"position"`
	SchemaID  string    `expr:"schema_id"`
	Parked    bool      `expr:"parked"`
	Topic     string    `expr:"topic"`
	Partition int       `expr:"partition"`
	Offset    int       `expr:"offset"`
	Attempts  int       `expr:"attempts"`
	Time      time.Time `expr:"time"`
	Failed    time.Time `expr:"last_failed_at"`
}

func condition(where string) (func(*entry) (bool, error), error) {
	if where == "" {
		return func(*entry) (bool, error) { return true, nil }, nil
	}
	program, err := expr.Compile(where, expr.Env(fields{}), expr.AsBool())
	if err != nil {
		return nil, ops.Usage(fmt.Errorf("--where: %w", err))
	}
	return func(e *entry) (bool, error) {
		v, err := expr.Run(program, fields{
			e.ID, e.Status, e.Class, e.Code, e.Message, e.Step, e.Table, e.Op, e.Entity, e.Letter.Position, e.SchemaID, e.Parked,
			e.Topic, int(e.Partition), int(e.Offset), e.Attempts, e.Time, e.LastFailed,
		})
		if err != nil {
			return false, ops.Usage(fmt.Errorf("--where: %w", err))
		}
		ok, is := v.(bool)
		if !is {
			return false, ops.Usage(errors.New("--where: want true or false"))
		}
		return ok, nil
	}, nil
}
