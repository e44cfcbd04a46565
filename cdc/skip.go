package cdc

import "fmt"

// skip leaves out what an earlier run has published. After a restart the server
// sends everything from the slot's confirmed LSN on, which may lie before the
// durable progress.
//
// What can go wrong: the stream passes the place of the last published
// transaction without delivering exactly that one, or the transaction that was
// published in part looks different now. Both mean that this is another history
// (storage rolled back, another server), and nothing new may be published over it.
// (How messages outside of transactions are recognised stands in message.go.)
type skip struct {
	active  bool
	last    *LastCommit
	partial *Partial
	expect  bool // last has to come by
	whole   bool // the open transaction was published whole
	part    bool // the open transaction was published in part
	from    LSN  // of a replay: what commits before is left out
	early   bool // the open transaction does
}

func newSkip(p Progress, slotConfirmed LSN) skip {
	s := skip{last: p.Last, partial: p.Partial}
	s.active = p.Last != nil || p.Partial != nil
	s.expect = p.Last != nil && slotConfirmed <= p.Last.CommitLSN
	return s
}

// begin looks at a transaction's place.
func (s *skip) begin(tx *Transaction) error {
	s.whole, s.part, s.early = false, false, tx.CommitLSN < s.from
	if !s.active {
		return nil
	}
	if s.last != nil && tx.CommitLSN <= s.last.CommitLSN {
		s.whole = true
		if tx.CommitLSN == s.last.CommitLSN && (tx.XID != s.last.XID || tx.CommitTime != s.last.CommitTime) {
			return s.diverged(tx.CommitLSN)
		}
		return nil
	}
	if s.expect {
		return s.diverged(tx.CommitLSN)
	}
	if s.partial == nil {
		s.active = false
		return nil
	}
	switch {
	case tx.CommitLSN == s.partial.CommitLSN && tx.XID == s.partial.XID:
		s.part = true
	case tx.CommitLSN >= s.partial.CommitLSN:
		return s.diverged(tx.CommitLSN)
	}
	return nil
}

// published is what an earlier run has published of the transaction that has just
// begun; nil: nothing.
func (s *skip) published() *Partial {
	if !s.part {
		return nil
	}
	return s.partial
}

// change notes that a change of this ordinal went by; hash is the running hash
// with it.
func (s *skip) change(ordinal uint32, hash uint64) error {
	if !s.part || ordinal < s.partial.Ordinal {
		return nil
	}
	if ordinal == s.partial.Ordinal && hash != s.partial.Hash {
		return s.diverged(s.partial.CommitLSN)
	}
	s.part, s.partial, s.active = false, nil, false
	return nil
}

// commit tells whether the transaction that ends had been published whole.
func (s *skip) commit(tx *Transaction) (bool, error) {
	if s.part { // shorter than what was published of it
		return false, s.diverged(tx.CommitLSN)
	}
	if s.whole && tx.CommitLSN == s.last.CommitLSN {
		s.expect = false
	}
	return s.whole, nil
}

// passed notes that the server has sent everything before lsn, which lies between
// two transactions.
func (s *skip) passed(lsn LSN) error {
	if s.active && (s.expect && lsn > s.last.EndLSN || s.partial != nil && !s.part && lsn > s.partial.CommitLSN) {
		return s.diverged(lsn)
	}
	return nil
}

func (s *skip) diverged(at LSN) error {
	return &StopError{
		What: "the stream does not hold the transactions that were already published: this is another history of the database (storage rolled back, or another server)",
		Pos:  at.String(),
		Next: troubleNext[Diverged], Trouble: Diverged,
		Err: fmt.Errorf("last published: %s", s.describe()),
	}
}

func (s *skip) describe() string {
	if s.partial != nil {
		return fmt.Sprintf("%d changes of transaction %d, commit LSN %s", s.partial.Ordinal, s.partial.XID, s.partial.CommitLSN)
	}
	return fmt.Sprintf("transaction %d, commit LSN %s", s.last.XID, s.last.CommitLSN)
}
