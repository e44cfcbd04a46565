package cdc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// server is a PostgreSQL as a relay sees it: WAL in the order in which decoding
// comes to it, and a slot. A unit is a transaction at its commit record or a
// message outside of transactions at its own record.
type server struct {
	at        LSN // where the next record starts
	xid       uint32
	units     []unit
	confirmed LSN // of the slot
	tables    map[uint32]*Table
	fresh     map[uint32]*Table // what Refresh finds; nil: tables
	resolved  []string          // what was asked for, with the positions
	open      func() bool       // a Kafka transaction is open
	published func() LSN        // what progress says
}

type unit struct {
	start, end LSN
	tx         *Transaction // nil: a message outside of transactions
	changes    []Event
	begin      LSN
	keepalive  bool // one follows
}

var errKilled, errRead = errors.New("killed"), errors.New("everything is read")

func newServer(tables ...*Table) *server {
	s := &server{at: 0x1000, xid: 700, confirmed: 0x1000, tables: map[uint32]*Table{}}
	for _, t := range tables {
		s.tables[t.OID] = t
	}
	return s
}

// record is the place of one more record of the WAL.
func (s *server) record() (start, end LSN) {
	start = s.at
	s.at += 0x38
	return start, s.at
}

// transaction writes changes and their commit record. A change with a tx of lone
// is a message outside of transactions that the transaction writes.
func (s *server) transaction(changes ...Event) {
	s.xid++
	tx := &Transaction{XID: s.xid, CommitTime: 1_795_301_200_000_000 + int64(s.xid)*1000}
	u := unit{tx: tx}
	for _, c := range changes {
		start, end := s.record()
		c.LSN = start
		if c.Kind == EventMessage {
			c.LSN = end
			if c.Tx == loneMessage {
				s.units = append(s.units, unit{start: start, end: end, changes: []Event{c}})
				continue
			}
		}
		if u.begin == 0 {
			u.begin = c.LSN
		}
		u.changes = append(u.changes, c)
	}
	if len(u.changes) == 0 {
		return // rolled back, as far as the slot is concerned
	}
	u.start, u.end = s.record()
	tx.CommitLSN = u.start
	s.units = append(s.units, u)
}

// loneMessage marks a message outside of transactions.
var loneMessage = &Transaction{}

func text(values ...string) []Value {
	row := make([]Value, len(values))
	for i, v := range values {
		row[i] = Value{Data: []byte(v), State: Text}
		switch v {
		case "NULL":
			row[i] = Value{}
		case "?": // not carried by the WAL
			row[i] = Value{State: Unchanged}
		}
	}
	return row
}

func insert(relation uint32, values ...string) Event {
	return Event{Kind: EventRow, Op: OpCreate, Relation: relation, New: text(values...)}
}

func update(relation uint32, old []Value, values ...string) Event {
	return Event{Kind: EventRow, Op: OpUpdate, Relation: relation, Old: old, New: text(values...)}
}

func remove(relation uint32, values ...string) Event {
	return Event{Kind: EventRow, Op: OpDelete, Relation: relation, Old: text(values...)}
}

func full(ev Event) Event {
	ev.OldFull = true
	return ev
}

func truncateOf(relations ...uint32) Event {
	return Event{Kind: EventTruncate, Relation: relations[0], Relations: relations}
}

func message(prefix, content string) Event {
	return Event{Kind: EventMessage, Prefix: prefix, Content: []byte(content)}
}

func lone(prefix, content string) Event {
	ev := message(prefix, content)
	ev.Tx = loneMessage
	return ev
}

// alter puts another version of a table in force for the changes that follow.
func alter(t *Table) Event {
	return Event{Kind: EventRelation, Relation: t.OID, Old: nil, New: nil, Prefix: "", Content: nil, Tx: &Transaction{Origin: fmt.Sprintf("%p", t)}}
}

// session is one replication connection.
type session struct {
	server    *server
	events    []Event
	shapes    []*Table // of the events of relations
	next      int
	killAt    int  // after so many events; -1: never
	lag       bool // feedback never arrives
	described map[uint32]*Table
	idle      int
}

// stream begins where the slot stands, as START_REPLICATION … 0/0 does: with what
// starts at or after the confirmed LSN.
func (s *server) stream(versions map[string]*Table) *session {
	c := &session{server: s, killAt: -1, described: map[uint32]*Table{}}
	for _, u := range s.units {
		if u.start < s.confirmed {
			continue
		}
		c.unit(u, versions)
	}
	return c
}

func (c *session) emit(ev Event, shape *Table) {
	ev.Read = 1_795_301_300_000_000_000
	c.events, c.shapes = append(c.events, ev), append(c.shapes, shape)
}

func (c *session) unit(u unit, versions map[string]*Table) {
	if u.tx == nil {
		ev := u.changes[0]
		ev.Tx = nil
		c.emit(ev, nil)
	} else {
		c.emit(Event{Kind: EventBegin, Tx: u.tx, LSN: u.begin}, nil)
		known := map[uint32]*Table{}
		for _, ev := range u.changes {
			if ev.Kind == EventRelation {
				known[ev.Relation] = versions[ev.Tx.Origin]
				continue
			}
			relations := ev.Relations
			if ev.Kind == EventRow {
				relations = []uint32{ev.Relation}
			}
			for _, rel := range relations {
				shape := known[rel]
				if shape == nil {
					shape = c.server.shapeAt(rel, u, versions)
				}
				if c.described[rel] != shape {
					c.described[rel] = shape
					c.emit(Event{Kind: EventRelation, Relation: rel, Tx: u.tx, LSN: ev.LSN}, shape)
				}
			}
			ev.Tx = u.tx
			c.emit(ev, nil)
		}
		c.emit(Event{Kind: EventCommit, Tx: u.tx, LSN: u.end}, nil)
	}
	if u.keepalive {
		c.emit(Event{Kind: EventKeepalive, LSN: u.end}, nil)
	}
}

// shapeAt is the version of a relation that is in force when a unit begins.
func (s *server) shapeAt(rel uint32, at unit, versions map[string]*Table) *Table {
	shape := s.tables[rel]
	for _, u := range s.units {
		if u.start >= at.start {
			break
		}
		for _, ev := range u.changes {
			if ev.Kind == EventRelation && ev.Relation == rel {
				shape = versions[ev.Tx.Origin]
			}
		}
	}
	return shape
}

func (c *session) Next(context.Context, time.Duration) (*Event, error) {
	if c.next == c.killAt {
		return nil, errKilled
	}
	if c.next == len(c.events) {
		if c.idle++; c.idle > 1 && !c.server.open() {
			return nil, errRead
		}
		return nil, nil
	}
	ev := c.events[c.next]
	ev.Old, ev.New = slices.Clone(ev.Old), slices.Clone(ev.New)
	if ev.Kind == EventRelation {
		c.described[ev.Relation] = c.shapes[c.next]
	}
	c.next++
	return &ev, nil
}

func (c *session) Resolve(_ context.Context, relation uint32, at Position) (*Table, error) {
	if c.server.open() {
		return nil, errors.New("the catalog was asked inside of a Kafka transaction")
	}
	c.server.resolved = append(c.server.resolved, fmt.Sprintf("%d at %s", relation, at))
	return c.described[relation], nil
}

func (c *session) Refresh(ctx context.Context, relation uint32) (*Table, error) {
	if f := c.server.fresh[relation]; f != nil {
		t := *f
		return &t, nil
	}
	return c.Resolve(ctx, relation, Position{})
}

func (c *session) Confirm(lsn LSN) {
	if lsn > c.server.published() {
		panic(fmt.Sprintf("%s is confirmed, but progress says %s", lsn, c.server.published()))
	}
	if !c.lag {
		c.server.confirmed = max(c.server.confirmed, lsn)
	}
}

func (c *session) Close() {}
