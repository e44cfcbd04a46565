package postgres

import (
	"context"
	"fmt"
	"math"
	"reflect"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/cdc/pgoutput"
)

// versions decides which version of a table the rows of a stream are read with:
// the facts of their time, as far as anything tells them. One goroutine calls it.
//
// What can go wrong: the catalog is read when a row first needs it, and that can
// be hours after the row was written.
//
//  1. Columns have been renamed or dropped since, or the table: the catalog does
//     not have what the rows have. The version that was seen counts; one that was
//     never seen is read from RELATION alone.
//  2. Facts have changed and the columns have not (SET DEFAULT, SET NOT NULL, the
//     key under FULL). Catalog rows carry the transaction that wrote them: facts
//     of a later one than the rows' do not count yet.
//  3. Facts changed before the rows were written while no relay was there to see
//     it. No RELATION message tells of that: the first one has the columns of the
//     history. The same comparison of transactions takes the catalog's facts.
//  4. Transaction ids are given out in another order than transactions commit.
//     Facts that were held back on the ground of 2 therefore hold from the first
//     transaction on that is later than the change, or that commits after the end
//     of the WAL at the time of reading. The stream then announces the relation as
//     if the server had, because the server did so before or never will.
//  5. RELATION comes again for many reasons (ANALYZE, GRANT, a new index). What
//     rows have shown against the catalog's facts outlives them, until the column
//     itself is altered.
type versions struct {
	history *cdc.History          // of earlier sessions, and of this one; may be nil
	read    map[uint32]*cdc.Table // tables as the snapshot at the slot's start saw them
	pending map[uint32]*pgoutput.Relation
	given   map[uint32]*given
	held    map[uint32]*resolution
	past    bool // the history alone tells (replay.go)
}

// given is what a relation's rows were last said to be read with.
type given struct {
	table *cdc.Table
	tx    xid             // of those rows
	shown map[string]bool // columns that rows have shown to be nullable
}

func newVersions(h *cdc.History, read map[uint32]*cdc.Table) versions {
	return versions{
		history: h, read: read, pending: map[uint32]*pgoutput.Relation{},
		given: map[uint32]*given{}, held: map[uint32]*resolution{},
	}
}

// described takes a RELATION message in. What the catalog had before it does not
// hold by itself any more.
func (v *versions) described(rel *pgoutput.Relation) {
	v.pending[rel.OID] = rel
	if h := v.held[rel.OID]; h != nil {
		h.over = true
	}
}

// due tells, once, that facts that were held back hold from this transaction on.
func (v *versions) due(relation uint32, tx *cdc.Transaction) bool {
	if len(v.held) == 0 {
		return false
	}
	h := v.held[relation]
	if h == nil || h.over || h.announced || !h.settled(tx) {
		return false
	}
	h.announced = true
	return true
}

// resolve is the version for rows of a transaction, the first of them at a
// position.
func (v *versions) resolve(ctx context.Context, c *Catalog, oid uint32, at cdc.Position, tx *cdc.Transaction) (*cdc.Table, error) {
	rel := v.pending[oid]
	if rel == nil {
		return nil, fmt.Errorf("relation %d was never described by the server", oid)
	}
	last := v.given[oid]
	inForce, since := v.inForce(oid, at)
	if v.past {
		return v.asItWas(ctx, c, rel, inForce)
	}
	m := moment{prior: inForce, tx: xid(tx.XID)}
	if !describes(inForce, rel) && last != nil {
		m.prior = last.table
	}
	if h := v.held[oid]; h != nil && !h.over && h.settled(tx) {
		delete(v.held, oid)
		return v.give(oid, c.withTypes(h.next, rel, &m), m), nil
	}
	switch {
	case last != nil:
		m.shown, m.since = last.widened(inForce), last.tx
	case v.read[oid] == nil && inForce != nil && inForce.Facts:
		// Its nullable columns may be what rows have shown, but only up to there.
		if m.shown, m.since = nullable(inForce), since; since == 0 {
			m.since = m.tx
		}
	}
	return v.ask(ctx, c, rel, m, tx)
}

// refresh is the version with every fact read again.
func (v *versions) refresh(ctx context.Context, c *Catalog, oid uint32, tx *cdc.Transaction) (*cdc.Table, error) {
	rel := v.pending[oid]
	if rel == nil {
		return nil, fmt.Errorf("relation %d was never described by the server", oid)
	}
	if last := v.given[oid]; v.past && last != nil {
		return last.table, nil
	}
	m := moment{tx: xid(tx.XID), since: xid(tx.XID), types: true}
	if last := v.given[oid]; last != nil {
		m.prior = last.table
	}
	if newest, _ := v.inForce(oid, cdc.Position{Epoch: math.MaxUint32}); describes(newest, rel) {
		m.prior = newest
	}
	if m.prior != nil && m.prior.Facts {
		m.shown = nullable(m.prior)
	}
	c.ForgetTypes()
	return v.ask(ctx, c, rel, m, tx)
}

// ask is the version as the catalog has it for a moment.
func (v *versions) ask(ctx context.Context, c *Catalog, rel *pgoutput.Relation, m moment, tx *cdc.Transaction) (*cdc.Table, error) {
	r, err := c.resolve(ctx, rel, m)
	if err != nil {
		return nil, err
	}
	before := v.held[rel.OID]
	delete(v.held, rel.OID)
	if before != nil && r.next != nil && before.settled(tx) && describes(before.next, rel) && sameFacts(before.next, r.next) {
		r.table, r.next = r.next, nil // so the catalog was already, in time for these rows
	}
	if r.next != nil {
		v.held[rel.OID] = &r
	}
	return v.give(rel.OID, r.table, m), nil
}

// give notes what is given. An equal version is given as the same one.
func (v *versions) give(oid uint32, t *cdc.Table, m moment) *cdc.Table {
	if last := v.given[oid]; last != nil && reflect.DeepEqual(last.table, t) {
		t = last.table
	}
	g := &given{table: t, tx: m.tx, shown: map[string]bool{}}
	for i := range t.Columns {
		if c := &t.Columns[i]; m.shown[c.Name] && !c.NotNull && v.given[oid] != nil {
			g.shown[c.Name] = true
		}
	}
	v.given[oid] = g
	return t
}

// inForce is the version that the history has in force at a position, or that the
// snapshot has read where the slot begins, and the transaction since which it is
// known; 0: not known.
func (v *versions) inForce(oid uint32, at cdc.Position) (*cdc.Table, xid) {
	if v.history != nil {
		if h := v.history.At(oid, at); h != nil {
			return h.Table, xid(h.XID)
		}
	}
	return v.read[oid], 0
}

// widened are the columns that rows have shown to be nullable since g was given,
// or before in this session. The first version of a session is not among what
// counts here: its nullable columns may have been what the catalog said.
func (g *given) widened(inForce *cdc.Table) map[string]bool {
	shown := map[string]bool{}
	for name := range g.shown {
		shown[name] = true
	}
	if inForce == nil {
		return shown
	}
	for i := range g.table.Columns {
		c := &g.table.Columns[i]
		if now := find(inForce.Columns, func(o *cdc.Column) bool { return o.Name == c.Name }); now != nil && c.NotNull && !now.NotNull {
			shown[c.Name] = true
		}
	}
	return shown
}

func nullable(t *cdc.Table) map[string]bool {
	out := map[string]bool{}
	for i := range t.Columns {
		if !t.Columns[i].NotNull {
			out[t.Columns[i].Name] = true
		}
	}
	return out
}
