package cdc

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
)

// route is where and how the rows of one table version go.
type route struct {
	table      *Table
	plan       Plan
	topic      string
	partitions int32
	keyless    int32 // the partition of rows without key: by the table's name, never random
	filtered   bool
	skipped    int
	counts     [4]int // since the last report: r, c, u, d
	seen       int    // rows of a snapshot, for markers
}

var countedOps = [4]Op{OpRead, OpCreate, OpUpdate, OpDelete}

func (rt *route) count(op Op) {
	for i, o := range countedOps {
		if o == op {
			rt.counts[i]++
		}
	}
}

func (rt *route) report(o Observer) {
	for i, n := range rt.counts {
		if n > 0 {
			o.Changes(rt.table.String(), countedOps[i], n)
			rt.counts[i] = 0
		}
	}
	if rt.skipped > 0 {
		o.Filtered("table", rt.skipped)
		rt.skipped = 0
	}
}

// route finds or makes the route of a table version: its schemas are accepted by
// the registry, its topic exists and the version stands in the schema topic
// before the first row that needs it.
func (r *Relay) route(ctx context.Context, t *Table) (*route, error) {
	if rt := r.routes[t]; rt != nil {
		return rt, nil
	}
	rt := &route{table: t, topic: r.Config.Topic(t)}
	if err := r.commit(ctx); err != nil {
		return nil, err
	}
	included, err := r.Config.Include(ctx, t)
	if err != nil {
		return nil, err
	}
	if !included {
		rt.filtered = true
		r.routes[t] = rt
		return rt, nil
	}
	if rt.plan, rt.table, err = r.Encoder.Plan(ctx, t, rt.topic); err != nil {
		return nil, fmt.Errorf("schemas of %s: %w", t, err)
	}
	if r.tables[t.OID] == t {
		r.tables[t.OID] = rt.table
	}
	if rt.partitions, err = r.Log.Topic(ctx, rt.topic); err != nil {
		return nil, fmt.Errorf("topic of %s: %w", t, err)
	}
	rt.keyless = Partition([]byte(t.String()), rt.partitions)
	version, err := json.Marshal(Version{Version: 1, From: r.position().String(), Topic: rt.topic, Table: rt.table})
	if err != nil {
		return nil, fmt.Errorf("describe %s: %w", t, err)
	}
	if err := r.Log.Note(ctx, Note{Schema: true, Key: t.String(), Value: version}); err != nil {
		return nil, err
	}
	r.open.noted = true
	r.routes[t], r.routes[rt.table] = rt, rt
	return rt, nil
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
	old := rt.table
	var t *Table
	if ask {
		fresh, err := r.Source.Refresh(ctx, old.OID)
		if err != nil {
			return nil, fmt.Errorf("facts of %s: %w", old, err)
		}
		if len(fresh.Columns) == len(old.Columns) {
			t = fresh
		}
	}
	if t == nil {
		t = r.Encoder.Widen(old, fact)
	}
	rt, err := r.route(ctx, t)
	if err != nil {
		return nil, err
	}
	r.retire(old)
	if r.tables[t.OID] == old {
		r.tables[t.OID] = rt.table
	}
	r.recent = rt
	return rt, nil
}

// retire forgets the route of a table version that no row will come with again,
// under each table that leads to it, and tells what it had counted.
func (r *Relay) retire(t *Table) {
	rt := r.routes[t]
	if rt == nil {
		return
	}
	rt.report(r.Observer)
	maps.DeleteFunc(r.routes, func(_ *Table, other *route) bool { return other == rt })
	r.recent = nil
}
