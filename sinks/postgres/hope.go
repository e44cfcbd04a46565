package postgres

import (
	"errors"
	"sync"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/sinks"
)

// A change that makes a row at the source most often makes one in the target. Such rows
// go in by a plain INSERT, which costs the server two thirds of one with ON CONFLICT: no
// look before, no record of its own in the WAL for taking the row back, no answer per row.
//
// What can go wrong, and what is done about it:
//
//	the row is there: delivered again, somebody      the unique index of the key says so (23505): all is
//	else's, or from another partition just now       rolled back and written with ON CONFLICT, which decides
//	                                                 by position
//	another unique index is violated                 as before; the second try names the record
//	the row stands at or below a floor, a tombstone  it is in the statement's condition, and the number of
//	or what has expired                              rows tells that one was left out: as before
//	a trigger of the target leaves a row out         as before
//	another row of the batch is refused              the batch is written in parts (patient.go): there the
//	                                                 INSERT stands behind a savepoint, has what is likely to
//	                                                 be taken, and goes the same ways
//
// An INSERT that has gone through proves that the row was not there, so there was no
// position to compare with.
//
// Where the hope is in vain, as when a topic is read again, it is given up for more and
// more batches.

// hopes says into which targets plain inserts are tried. Safe for concurrent use.
type hopes struct {
	mu   sync.Mutex // guards the following
	lost map[string]*lostHope
}

type lostHope struct{ skip, next int } // batches

// The number of batches that are not tried after a vain one.
const (
	leastSkip = 8
	mostSkip  = 512
)

// allows is asked once for a batch and target.
func (h *hopes) allows(target string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.lost[target]
	if l == nil || l.skip == 0 {
		return true
	}
	l.skip--
	return false
}

func (h *hopes) failed(target string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lost == nil {
		h.lost = map[string]*lostHope{}
	}
	l := h.lost[target]
	if l == nil {
		l = &lostHope{next: leastSkip}
		h.lost[target] = l
	}
	l.skip, l.next = l.next, min(2*l.next, mostSkip)
}

func (h *hopes) kept(target string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.lost, target)
}

// errVain says that rows of a plain INSERT are not new.
var errVain = errors.New("rows that were to be new are not")

// hopeful returns what groups asks of each operation, once per target.
func (t *transaction) hopeful() func(*operation) bool {
	asked := map[string]bool{}
	return func(op *operation) bool {
		if op.kind != upsert || op.layer > 0 || !op.fresh {
			return false
		}
		allowed, known := asked[op.target]
		if !known {
			allowed = t.sink.hopes.allows(op.target)
			asked[op.target] = allowed
		}
		return allowed
	}
}

// vain tells, and notes, whether the plain inserts among work failed as such: answers are
// those of work, err is that of the statement behind the last.
func (t *transaction) vain(work []*group, answers []answer, err error) bool {
	for i, g := range work {
		failed := false
		if err == nil {
			failed = answers[i].affected != int64(len(g.ops))
		} else if i == len(answers) {
			failed = t.refusal != nil && t.refusal.Code == "23505"
		}
		if g.plain && failed {
			t.sink.hopes.failed(g.table.name)
			return true
		}
	}
	return false
}

// makes tells whether a change makes its row at the source.
func makes(c *sinks.Change) bool { return c.Op == cdc.OpCreate || c.Op == cdc.OpRead }
