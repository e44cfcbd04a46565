package cdc

import "time"

// Progress is what a relay remembers: the value of the key "progress" in the
// topic tailrace.<name>.progress. It becomes durable in the same Kafka
// transaction as the rows that it speaks of.
//
// Invariant: the slot's confirmed_flush_lsn is never ahead of Confirmed in a
// durable record. A slot that is ahead at start was moved or made anew.
type Progress struct {
	Version     int          `json:"version"` // 1
	SystemID    string       `json:"sysid"`
	Database    string       `json:"database"`
	Slot        string       `json:"slot"`
	Publication string       `json:"publication"`
	Epochs      []Epoch      `json:"epochs"`
	Confirmed   LSN          `json:"confirmed"`
	Last        *LastCommit  `json:"last,omitempty"`
	Partial     *Partial     `json:"partial,omitempty"`
	Snapshot    *SnapshotRun `json:"snapshot,omitempty"`
	// Since is the oldest transaction that ran when the tables were read, or counted
	// as read, for the first time; 0: they were not.
	Since uint64 `json:"since,omitempty"`
	// Message is the LSN of the last message outside of transactions, where it
	// counts as a commit in source.sequence.
	Message LSN `json:"message,omitempty"`
	// Clock is the greatest commit time of what is confirmed, microseconds since 1970.
	Clock   int64     `json:"clock,omitempty"`
	Adopted *Adoption `json:"adopted,omitempty"`
	// Unfenced: the relay that wrote it publishes at least once, without a fence, and
	// has not said farewell: its last records may still be on their way.
	Unfenced bool `json:"unfenced,omitempty"`
	// SnapshotEpoch is the epoch of the last snapshot that all tables had to be in:
	// what was read of a table in an older one does not count.
	SnapshotEpoch uint32  `json:"snapshot_epoch,omitempty"`
	Gaps          []Lapse `json:"gaps,omitempty"`
}

// Epoch is a stretch of one history: positions of two epochs are ordered by the
// epoch alone.
type Epoch struct {
	Epoch    uint32 `json:"epoch"`
	SystemID string `json:"sysid"`
	Timeline int32  `json:"timeline"`
	From     LSN    `json:"from"`
}

// Lapse is a stretch of the source's history that was not published, and how a
// person had it settled.
type Lapse struct {
	From   LSN       `json:"from"` // the last confirmed LSN before
	To     LSN       `json:"to"`   // where it was gone on from
	Epoch  uint32    `json:"epoch"`
	At     time.Time `json:"at"`
	Why    string    `json:"why"`
	Remedy string    `json:"remedy"` // resnapshot, accept_gap or new_history
}

// LastCommit names the last source transaction that was published whole.
type LastCommit struct {
	CommitLSN  LSN    `json:"commit_lsn"`
	EndLSN     LSN    `json:"end_lsn"`
	XID        uint32 `json:"xid"`
	CommitTime int64  `json:"commit_time"` // microseconds since 1970
}

// Partial says how far a source transaction was published that a Kafka
// transaction ended inside of.
type Partial struct {
	CommitLSN LSN    `json:"commit_lsn"`
	XID       uint32 `json:"xid"`
	Ordinal   uint32 `json:"ordinal"` // the last published one
	Hash      uint64 `json:"hash"`    // over every change up to it
	// Counts are those of transaction metadata up to that change; nil when they
	// were not kept, so that the rest of the transaction goes without.
	Counts *Counts `json:"counts,omitempty"`
}

// SnapshotRun is the state of the initial snapshot until every row is durable.
type SnapshotRun struct {
	At   LSN    `json:"at"`   // the slot's consistent point: the position of its rows
	Rows uint64 `json:"rows"` // running number of the last row that is durable
	// Sweep: it takes the place of changes that were lost, and ends with a mark
	// (sweep.go).
	Sweep bool `json:"sweep,omitempty"`
}

// Current is the epoch that new changes belong to.
func (p *Progress) Current() Epoch { return p.Epochs[len(p.Epochs)-1] }

// Tracker decides when WAL is released. The relay's loop tells it what it has
// read, in order; Next is the progress that the log has to make durable, and
// Durable is told when it has. Only then does the confirmed LSN move. It is not
// safe for concurrent use.
//
//  1. An LSN is confirmed only when every transaction whose commit record starts
//     before it is durable: published, dead-lettered or filtered.
//  2. What is confirmed is the end of a COMMIT, never its start (the server
//     would send that transaction again) and never the LSN of a row.
//  3. A keepalive is a unit without rows in the same queue: its position counts
//     only when everything read before it is durable. Otherwise a commit at 600
//     that is read but not yet durable, a keepalive at 650 and a crash would lose
//     the commit.
type Tracker struct {
	durable Progress
	next    Progress
	tx      *Transaction // the source transaction that is open
	ordinal uint32
	hash    uint64
	counts  func() *Counts // of the open source transaction; nil: there are none
	dirty   bool
}

// NewTracker goes on from a durable record.
func NewTracker(p Progress) *Tracker { return &Tracker{durable: p, next: p} }

// Begin opens a source transaction.
func (t *Tracker) Begin(tx *Transaction) {
	t.tx, t.ordinal, t.hash = tx, 0, hashSeed
}

// Change counts one change of the open transaction, in the server's order,
// filtered ones included.
func (t *Tracker) Change(kind byte, relation uint32, lsn LSN) uint32 {
	t.ordinal++
	t.hash = hashChange(t.hash, kind, relation, lsn)
	return t.ordinal
}

// Commit closes the open transaction; end is the LSN after its commit record.
func (t *Tracker) Commit(end LSN) {
	t.next.Last = &LastCommit{CommitLSN: t.tx.CommitLSN, EndLSN: end, XID: t.tx.XID, CommitTime: t.tx.CommitTime}
	t.next.Partial = nil
	t.next.Clock = max(t.next.Clock, t.tx.CommitTime)
	t.advance(end)
	t.tx = nil
}

// Keepalive notes that everything before at has been sent by the server.
func (t *Tracker) Keepalive(at LSN) {
	if t.tx == nil {
		t.advance(at)
	}
}

// Message notes a message outside of transactions that ends at an LSN: it is a
// unit of its own between two transactions.
func (t *Tracker) Message(end LSN, asCommit bool) {
	if asCommit {
		t.next.Message = end
	}
	t.advance(end)
}

func (t *Tracker) advance(to LSN) {
	if to > t.next.Confirmed {
		t.next.Confirmed = to
		t.dirty = true
	}
}

// Next is the record to make durable now. Inside of a source transaction it
// holds how far that one was published.
func (t *Tracker) Next() Progress {
	p := t.next
	if q := p.Partial; q != nil && t.tx != nil && q.CommitLSN == t.tx.CommitLSN && t.ordinal < q.Ordinal {
		return p // still skipping what that run had published
	}
	if t.tx != nil && t.ordinal > 0 {
		p.Partial = &Partial{CommitLSN: t.tx.CommitLSN, XID: t.tx.XID, Ordinal: t.ordinal, Hash: t.hash}
		if t.counts != nil {
			p.Partial.Counts = t.counts()
		}
	}
	return p
}

// Durable takes note that p, from Next, is durable, and returns the LSN that may
// be confirmed.
func (t *Tracker) Durable(p Progress) LSN {
	t.durable, t.dirty = p, p.Confirmed < t.next.Confirmed
	return p.Confirmed
}

// SnapshotRow notes the running number of a snapshot row that was published.
func (t *Tracker) SnapshotRow(number uint64) {
	run := *t.next.Snapshot // a copy: records that were handed out keep theirs
	run.Rows = number
	t.next.Snapshot = &run
}

// EndSnapshot notes that every row of the snapshot was published.
func (t *Tracker) EndSnapshot() { t.next.Snapshot = nil }

// Ahead tells how many bytes of WAL could be confirmed that no durable record
// speaks of yet: rows aside, what keepalives and filtered transactions moved.
func (t *Tracker) Ahead() LSN {
	if !t.dirty {
		return 0
	}
	return t.next.Confirmed - t.durable.Confirmed
}

// InTransaction tells whether a source transaction is open.
func (t *Tracker) InTransaction() bool { return t.tx != nil }

// hashSeed is the FNV-1a offset basis.
const hashSeed = 14695981039346656037

// hashChange folds one change into the running hash by which a restart
// recognises the transaction that it had published in part.
func hashChange(h uint64, kind byte, relation uint32, lsn LSN) uint64 {
	const prime = 1099511628211
	h = (h ^ uint64(kind)) * prime
	h = (h ^ uint64(relation)) * prime
	return (h ^ uint64(lsn)) * prime
}
