package cdc

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
)

// route is where and how the rows of one table version go.
type route struct {
	source     *Table // the version as the source gave it: what its rows have
	table      *Table // the version as it is published, after the rules
	shape      *shape // from one to the other; nil: rows stay as they are
	filter     RowFilter
	plan       Plan
	refused    *RefusedError // by the registry: there is no plan, rows are dead letters
	topic      string
	partitions int32
	keyless    int32 // the partition of rows without key: by the table's name, never random
	filtered   bool  // the table is not published
	tally      tally
	counter    counter
	seen       int     // rows of a snapshot, for markers
	keyRow     []Value // scratch of oldKey
	known      []Value // scratch of identified
}

// tally counts since the last report.
type tally struct {
	ops                           [5]int // events: r, c, u, d, t
	table, row, column, operation int    // filtered
}

var countedOps = [5]Op{OpRead, OpCreate, OpUpdate, OpDelete, OpTruncate}

func (t *tally) count(op Op) {
	for i, o := range countedOps {
		if o == op {
			t.ops[i]++
		}
	}
}

func (rt *route) report(o Observer) {
	t := &rt.tally
	if *t == (tally{}) {
		return
	}
	for i, n := range t.ops {
		if n > 0 {
			o.Changes(rt.source.String(), countedOps[i], n)
		}
	}
	for _, f := range [...]struct {
		reason string
		n      int
	}{{"table", t.table}, {"row", t.row}, {"column", t.column}, {"operation", t.operation}} {
		if f.n > 0 {
			o.Filtered(f.reason, f.n)
		}
	}
	*t = tally{}
}

// routeOf is the route of a relation's rows at this place of the stream.
func (r *Relay) routeOf(ctx context.Context, relation uint32, lsn LSN) (*route, error) {
	t := r.tables[relation]
	if rt := r.recent; rt != nil && rt.source == t {
		return rt, nil
	}
	if t == nil && !r.stale[relation] {
		return nil, &StopError{What: fmt.Sprintf("a change of relation %d came before its RELATION message", relation),
			Pos: lsn.String(), Next: "report this with the server's version; restarting the relay reads the transaction again"}
	}
	if r.stale[relation] {
		// No Kafka transaction is open while the catalog is asked.
		if err := r.commit(ctx); err != nil {
			return nil, err
		}
		now, err := r.Source.Resolve(ctx, relation, r.position())
		if err != nil {
			return nil, err
		}
		if now != t {
			r.retire(t)
		}
		t = now
		r.tables[relation] = t
		delete(r.stale, relation)
	}
	rt, err := r.route(ctx, t)
	if err != nil {
		return nil, err
	}
	r.recent = rt
	return rt, nil
}

// route finds or makes the route of a table version: its schemas are accepted by
// the registry, its topic exists and the version stands in the schema topic
// before the first row that needs it.
func (r *Relay) route(ctx context.Context, t *Table) (*route, error) {
	if rt := r.routes[t]; rt != nil {
		return rt, nil
	}
	if err := r.commit(ctx); err != nil {
		return nil, err
	}
	rt, err := r.makeRoute(ctx, t)
	if err != nil {
		return nil, err
	}
	if r.tables[t.OID] == t {
		r.tables[t.OID] = rt.source
	}
	r.routes[t], r.routes[rt.source] = rt, rt
	return rt, nil
}

func (r *Relay) makeRoute(ctx context.Context, t *Table) (*route, error) {
	rt := &route{source: t, table: t, counter: counter{name: t.String()}}
	included, err := r.Config.Include(ctx, t)
	if err != nil {
		return nil, err
	}
	if !included {
		rt.filtered = true
		return rt, nil
	}
	if r.Config.CountOnly {
		return rt, nil
	}
	if r.Config.Rules != nil {
		rules := r.Config.Rules(t)
		rt.filter = rules.Filter
		if rt.shape, rt.table, err = newShape(t, rules, r.Config.Debezium); err != nil {
			return nil, err
		}
	}
	if err := r.accept(ctx, rt); err != nil || rt.refused != nil {
		return rt, err
	}
	if rt.partitions, err = r.Log.Topic(ctx, rt.topic); err != nil {
		return nil, fmt.Errorf("topic of %s: %w", t, err)
	}
	rt.keyless = Partition([]byte(t.String()), rt.partitions)
	r.open.noted = true // the topic may be new
	if err := r.pinKey(ctx, rt); err != nil {
		return nil, err
	}
	return rt, r.remember(ctx, rt)
}

// remember has the version in the schema topic before its first row: a restart
// and a replay read rows by it. One that is in force already, with the same
// content, is not written again.
func (r *Relay) remember(ctx context.Context, rt *route) error {
	if r.replaying {
		return nil // the history is the relay's
	}
	at := r.position()
	v := Version{Version: 1, From: at.String(), XID: r.xid(), Topic: rt.topic, KeySchema: rt.plan.KeyID(), ValueSchema: rt.plan.ValueID(), Table: rt.source}
	if old := r.History.At(rt.source.OID, at); old != nil {
		same, err := old.equal(&v)
		if err != nil || same {
			return err
		}
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("describe %s: %w", rt.source, err)
	}
	if err := r.Log.Note(ctx, Note{Schema: true, Key: rt.source.String(), Value: text}); err != nil {
		return err
	}
	return r.History.Add(text)
}

// xid is the transaction that is being read, or the one before the oldest that ran
// when the snapshot was taken: the snapshot has all up to it.
func (r *Relay) xid() uint32 {
	if tx := r.tracker.tx; tx != nil {
		return tx.XID
	}
	if r.tracker.next.Since == 0 {
		return 0
	}
	return uint32(r.tracker.next.Since - 1) // without its epoch, as in a transaction
}

// equal tells whether two versions say the same, wherever they begin.
func (v *Version) equal(w *Version) (bool, error) {
	a, b := *v, *w
	a.From, b.From, a.XID, b.XID = "", "", 0, 0
	one, err := json.Marshal(a)
	if err != nil {
		return false, fmt.Errorf("describe %s: %w", v.Table, err)
	}
	two, err := json.Marshal(b)
	if err != nil {
		return false, fmt.Errorf("describe %s: %w", w.Table, err)
	}
	return bytes.Equal(one, two), nil
}

// position is that of the change that is being read.
func (r *Relay) position() Position {
	p := Position{Epoch: r.epoch, LSN: r.tracker.next.Confirmed}
	if tx := r.tracker.tx; tx != nil {
		p.LSN, p.Ordinal = tx.CommitLSN, r.tracker.ordinal+1
	}
	return p
}

// contradicted replaces a table version that a row does not fit. The row wins.
func (r *Relay) contradicted(ctx context.Context, rt *route, fact *FactError, ask bool) (*route, error) {
	old := rt.source
	var t *Table
	if ask {
		if err := r.commit(ctx); err != nil { // no Kafka transaction is open while the catalog is asked
			return nil, err
		}
		fresh, err := r.Source.Refresh(ctx, old.OID)
		if err != nil {
			return nil, fmt.Errorf("facts of %s: %w", old, err)
		}
		if len(fresh.Columns) == len(old.Columns) {
			t = fresh
		}
	}
	if t == nil {
		t = r.Encoder.Widen(old, &FactError{Column: rt.sourceColumn(fact.Column), Fact: fact.Fact, Text: fact.Text})
	}
	next, err := r.route(ctx, t)
	if err != nil {
		return nil, err
	}
	if next.refused != nil {
		// The version before goes on for rows that fit it.
		delete(r.routes, t)
		return nil, next.refused
	}
	r.retire(old)
	if r.tables[t.OID] == old {
		r.tables[t.OID] = next.source
	}
	r.recent = next
	return next, nil
}

// retire forgets the route of a table version that no row will come with again,
// under each table that leads to it, and tells what it had counted. t may be nil.
func (r *Relay) retire(t *Table) {
	rt := r.routes[t]
	if rt == nil {
		return
	}
	rt.report(r.Observer)
	maps.DeleteFunc(r.routes, func(_ *Table, other *route) bool { return other == rt })
	r.recent = nil
}
