package cdc

import (
	"context"
	"fmt"
	"math"
	"strconv"
)

// TransactionTopic is where the begins and ends of source transactions go.
func TransactionTopic(name string) string { return name + ".transaction" }

// metadata counts the published events of the open source transaction, for the
// block transaction of their records and for BEGIN and END in TransactionTopic.
//
// BEGIN is written together with the first change of a transaction, and not when
// the server says BEGIN: from PostgreSQL 15 on it says so before the first change
// too, and leaves transactions out that changed nothing of the publication; 14
// sends those as BEGIN and COMMIT with nothing between (release notes of 15,
// pgoutput). Either way a transaction of DDL alone does not appear, and one whose
// changes are all filtered appears with 0 events. Our own messages, tailrace.…,
// are no changes in this sense.
//
// What can go wrong: a Kafka transaction ends between BEGIN and the first change,
// and BEGIN is repeated by the next run. So both are written in one go, and
// nothing that may commit (the catalog, the registry) is asked in between: what
// the topic needs is asked before the change. A transaction that was published in
// part goes on with the counts that its progress record holds. A progress record
// without counts was written while metadata was off: the rest of that transaction
// then has no block, and there is no END, because any number would be wrong.
//
// Memory: one entry for each table that one transaction has events of.
type metadata struct {
	plan       TransactionPlan
	partitions int32

	counting bool   // the open transaction's events are counted
	serial   uint64 // of the open transaction, by which counters know theirs
	begun    bool   // BEGIN is written
	first    LSN    // of the server's BEGIN
	pending  int64  // events of the change that is being written
	total    int64  // events before it
	tables   []TableCount
	index    map[string]int
	id       []byte // of the block
}

// counter finds the count of one data collection again without looking it up.
type counter struct {
	name   string // of the data collection
	serial uint64
	index  int
}

// Counts are those of a transaction that was published in part.
type Counts struct {
	Begun  bool         `json:"begun,omitempty"` // BEGIN is written
	Tables []TableCount `json:"tables,omitempty"`
}

// begin opens a source transaction. part is what an earlier run has published of
// it; nil: nothing.
func (m *metadata) begin(tx *Transaction, first LSN, part *Partial, debezium bool) {
	m.serial++
	m.counting, m.begun, m.first, m.pending, m.total = true, false, first, 0, 0
	m.tables = m.tables[:0]
	clear(m.index)
	m.id = m.id[:0]
	if !debezium {
		m.id = appendTransactionID(m.id, tx.XID, tx.CommitLSN)
	}
	if part == nil {
		return
	}
	if part.Counts == nil {
		m.counting = false
		return
	}
	m.begun = part.Counts.Begun
	for _, t := range part.Counts.Tables {
		m.add(t.Table, t.Events)
	}
}

// end closes the source transaction.
func (m *metadata) end() { m.counting, m.begun = false, false }

func appendTransactionID(dst []byte, xid uint32, lsn LSN) []byte {
	dst = append(strconv.AppendUint(dst, uint64(xid), 10), ':')
	return strconv.AppendUint(dst, uint64(lsn), 10)
}

// number gives one more event of the change that is being written its place.
func (m *metadata) number(e *Envelope, c *counter, debezium bool) {
	m.pending++
	e.TotalOrder, e.TableOrder = m.total+m.pending, m.pending
	if i, ok := m.find(c); ok {
		e.TableOrder += m.tables[i].Events
	}
	if debezium {
		m.id = appendTransactionID(m.id[:0], e.Tx.XID, e.LSN)
	}
	e.TransactionID = m.id
}

// settle counts the events of a change that is written whole.
func (m *metadata) settle(c *counter) {
	if m.pending == 0 {
		return
	}
	if i, ok := m.find(c); ok {
		m.tables[i].Events += m.pending
		m.total += m.pending
	} else {
		c.serial, c.index = m.serial, m.add(c.name, m.pending)
	}
	m.pending = 0
}

func (m *metadata) find(c *counter) (int, bool) {
	if c.serial == m.serial {
		return c.index, true
	}
	i, ok := m.index[c.name]
	if ok {
		c.serial, c.index = m.serial, i
	}
	return i, ok
}

func (m *metadata) add(table string, events int64) int {
	if m.index == nil {
		m.index = map[string]int{}
	}
	i := len(m.tables)
	m.tables, m.index[table] = append(m.tables, TableCount{table, events}), i
	m.total += events
	return i
}

// counts is what a progress record inside of the transaction holds.
func (m *metadata) counts() *Counts {
	if !m.counting {
		return nil
	}
	return &Counts{Begun: m.begun, Tables: append([]TableCount(nil), m.tables...)}
}

// prepare has the plan and the topic of transaction metadata ready. It may end
// the Kafka transaction, so it comes before the first record of a change.
func (r *Relay) prepare(ctx context.Context) error {
	m := &r.meta
	if !m.counting || m.plan != nil {
		return nil
	}
	if err := r.commit(ctx); err != nil {
		return err
	}
	topic := TransactionTopic(r.Config.Name)
	plan, err := r.Encoder.Transactions(ctx, topic)
	if err != nil {
		return sideRefused(topic, err)
	}
	if m.partitions, err = r.Log.Topic(ctx, topic); err != nil {
		return fmt.Errorf("topic of transaction metadata: %w", err)
	}
	r.open.noted = true
	m.plan = plan
	return nil
}

// opening appends BEGIN with the first change of a transaction; there is room.
func (r *Relay) opening() {
	if m := &r.meta; m.counting && !m.begun {
		m.begun = true
		r.mark(false, m.first, Position{Epoch: r.epoch, LSN: r.tracker.tx.CommitLSN})
	}
}

// touched is opening for a change that leaves no record of its own.
func (r *Relay) touched(ctx context.Context, read int64) error {
	if !r.meta.counting || r.meta.begun {
		return nil
	}
	if err := r.room(ctx, read); err != nil {
		return err
	}
	n := len(r.batch.Records)
	r.opening()
	r.open.records += len(r.batch.Records) - n
	return nil
}

// closing appends END when the source transaction ends at an LSN.
func (r *Relay) closing(ctx context.Context, end LSN, read int64) error {
	if !r.meta.counting || !r.meta.begun {
		return nil
	}
	if err := r.prepare(ctx); err != nil {
		return err
	}
	if err := r.room(ctx, read); err != nil {
		return err
	}
	n := len(r.batch.Records)
	r.mark(true, end, Position{Epoch: r.epoch, LSN: r.tracker.tx.CommitLSN, Ordinal: math.MaxUint32})
	r.open.records += len(r.batch.Records) - n
	return nil
}

// mark appends BEGIN or END. Debezium names them by the LSN at which each stands.
func (r *Relay) mark(end bool, lsn LSN, pos Position) {
	m, b, tx := &r.meta, r.batch, r.tracker.tx
	if r.Config.Debezium {
		m.id = appendTransactionID(m.id[:0], tx.XID, lsn)
	}
	rec := Record{Topic: TransactionTopic(r.Config.Name), Start: len(b.Buf), Bare: true}
	mark := TransactionMark{End: end, ID: m.id, CommitTime: tx.CommitTime}
	if end {
		mark.Tables = m.tables
	}
	b.Buf = m.plan.AppendKey(b.Buf, m.id)
	rec.Key = len(b.Buf) - rec.Start
	rec.Partition = r.partition(b.Buf[rec.Start:], m.partitions, 0)
	if r.adopted.passes(rec.Topic, rec.Partition, tx, lsn, r) {
		b.Buf = b.Buf[:rec.Start]
		return
	}
	rec.Value = b.appended(func(dst []byte) []byte { return m.plan.AppendValue(dst, &mark) })
	rec.Pos = b.appended(func(dst []byte) []byte { return pos.Append(dst) })
	b.Records = append(b.Records, rec)
}
