package processors

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/processors/state"
	"github.com/tailrace/tailrace/sinks"
)

// The gate by row stands before the first step where the truth about positions is
// the pipeline's own state. It compares positions of one source row, and nothing
// else: rows of one entity come in any order.
//
// What comes at it, and what it does:
//
//	a position above what the row has seen     it passes, and is seen and applied
//	the same position                          duplicate: a relay repeats whole runs
//	a lower one                                stale: a late record, a zombie writer
//	at or below the table's TRUNCATE           stale, whether the row is known or not
//	an unknown row at or below what expired    nobody knows any more whether it was deleted: config Late decides
//	a dead letter                              is seen and not applied
//	anything of a new generation               passes what an older one has left: rows, TRUNCATE, expiry
//
// A TRUNCATE, and the sweep behind a new snapshot, become a delete of each row of
// this partition that they end (expand): outputs stay right in a compacted topic, and
// steps see their rows go. Each partition brings its own copy of both.
type rowGate struct {
	overlay    *state.Overlay
	store      *state.Memory
	space      string // before the names of tables: of a second stage
	generation int64
	until      *state.Place // rows keep what they have from there on; nil: a generation has no end
	missing    bool         // rows keep all that they have
	late       LatePolicy
	now        time.Time

	origin *sinks.Origin // that was named last: changes of a table come in a row
	name   string        // of its table
	buf    []byte        // of a record that is put
}

// LatePolicy is what becomes of a change of a row that is not known any more: the row
// may have been deleted, longer ago than positions of deleted rows are kept.
type LatePolicy string

// The policies.
const (
	LateDeadLetter LatePolicy = "dead_letter"
	LateDrop       LatePolicy = "drop" // counted as stale
)

// verdict is what the gate says of a record.
type verdict uint8

const (
	passes verdict = iota
	duplicate
	stale
)

func (g *rowGate) tableName(o *sinks.Origin) string {
	if g.origin != o {
		g.origin, g.name = o, g.space+tableName(o)
	}
	return g.name
}

func (g *rowGate) tableKey(o *sinks.Origin) state.Key {
	return state.Key{Scope: state.Table, Table: g.tableName(o)}
}

func tableName(o *sinks.Origin) string { return o.Name + "/" + o.Database + "." + o.String() }

// bareKey is a record key without the registry's header: a new schema id of the key
// does not make another row of it.
func bareKey(key []byte) []byte {
	if len(key) >= cdc.KeyHeaderBytes && key[0] == 0 {
		return key[cdc.KeyHeaderBytes:]
	}
	return key
}

func (g *rowGate) rowKey(o *sinks.Origin, key []byte) state.Key {
	return state.Key{Scope: state.Row, Table: g.tableName(o), Key: string(bareKey(key))}
}

// passage is what the gate knows of one record.
type passage struct {
	key   state.Key
	at    state.Place     // of the change
	row   state.RowRecord // as it will be
	table state.TableRecord
	// floor is set for a change of the table: row is not.
	floor, keyless bool
	dirty          bool // the table's record is
	// forced: the change is older than what its row has, and applied nevertheless.
	forced bool
}

// see judges a record and makes it seen. What is applied is said by apply: the steps
// may still refuse the record.
func (g *rowGate) see(ctx context.Context, it *item) (*passage, verdict, error) {
	at, err := state.ParsePlace(it.pos)
	if err != nil {
		return nil, passes, err // the decoder has checked it
	}
	c := it.change
	p := &passage{at: at}
	if p.table, p.dirty, err = g.table(ctx, c.Origin); err != nil {
		return nil, passes, err
	}
	if c.Floor != nil {
		return p, g.seeFloor(p, c, at), nil
	}
	if p.table.Value != it.schema.value && it.schema.value != 0 {
		p.table.Value, p.table.Key, p.dirty = it.schema.value, it.schema.key, true
	}
	if p.table.Generation == g.generation && at.Compare(p.table.Truncated) <= 0 {
		return p, stale, nil
	}
	if it.message.Key == nil {
		p.keyless = true
		switch d := cmp.Or(cmp.Compare(g.generation, p.table.Generation), at.Compare(p.table.Seen)); {
		case d == 0:
			return p, duplicate, nil
		case d < 0:
			return p, stale, nil
		}
		p.table.Seen, p.dirty = at, true
		g.put(p, c)
		return p, passes, nil
	}
	p.key = g.rowKey(c.Origin, it.message.Key)
	old, known, err := g.row(ctx, p.key)
	if err != nil {
		return nil, passes, err
	}
	p.row = old
	if known {
		if old.Generation < g.generation && (g.keeps(old.Seen) || g.missing && at.Compare(old.Seen) <= 0) {
			return p, stale, nil
		}
		switch d := cmp.Or(cmp.Compare(g.generation, old.Generation), at.Compare(old.Seen)); {
		case d == 0:
			return p, duplicate, nil
		case d < 0:
			return p, stale, nil
		}
	} else if p.table.Generation == g.generation && at.Compare(p.table.Expired) <= 0 {
		if g.late == LateDrop {
			return p, stale, nil
		}
		it.fault = &sinks.RecordError{Class: sinks.ClassUnknown, Code: sinks.CodeLate, Reason: "the row is not known, and at its position rows were deleted longer ago than state.retention",
			Next: "raise state.retention, or set state.late to drop"}
	}
	if old.Generation != g.generation {
		p.row.Applied = state.Place{}
	}
	p.row.Generation, p.row.Seen, p.row.KeySchema = g.generation, at, it.schema.key
	g.put(p, c)
	return p, passes, nil
}

// seeFloor judges a change of a whole table.
func (g *rowGate) seeFloor(p *passage, c *sinks.Change, at state.Place) verdict {
	p.floor = true
	floor := at
	if c.Floor.Sweep {
		floor = state.Place{Position: sweepPosition(c)}
	}
	switch d := cmp.Or(cmp.Compare(g.generation, p.table.Generation), floor.Compare(p.table.Truncated)); {
	case d == 0:
		return duplicate
	case d < 0:
		return stale
	}
	p.table.Generation, p.table.Truncated, p.dirty = g.generation, floor, true
	g.put(p, c)
	return passes
}

// sweepPosition is where an epoch begins: every position of the epochs before is
// below it, and every one of its own above.
func sweepPosition(c *sinks.Change) cdc.Position { return cdc.Position{Epoch: c.Position.Epoch} }

// put writes what the gate has seen.
func (g *rowGate) put(p *passage, c *sinks.Change) {
	if p.table.Generation != g.generation {
		p.table.Generation, p.dirty = g.generation, true
	}
	if p.dirty {
		g.buf = p.table.Append(g.buf[:0])
		g.overlay.Put(g.tableKey(c.Origin), g.buf)
		p.dirty = false
	}
	if !p.floor && !p.keyless {
		g.buf = p.row.Append(g.buf[:0])
		g.overlay.Put(p.key, g.buf)
	}
}

// apply notes that a record which passed is applied.
func (g *rowGate) apply(p *passage, c *sinks.Change, op cdc.Op) {
	if p.floor || p.keyless {
		return
	}
	p.row.Applied, p.row.Removed = p.at, time.Time{}
	if op == cdc.OpDelete {
		p.row.Removed = g.now
	}
	g.put(p, c)
}

// table is what is known of a table, in this generation; renewed tells that it is stored
// as an older one has left it.
func (g *rowGate) table(ctx context.Context, o *sinks.Origin) (r state.TableRecord, renewed bool, err error) {
	r, ok, err := g.stored(ctx, o)
	if ok && r.Generation < g.generation {
		return g.renew(r), true, nil
	}
	return r, false, err
}

func (g *rowGate) stored(ctx context.Context, o *sinks.Origin) (state.TableRecord, bool, error) {
	b, ok, err := g.overlay.Get(ctx, g.tableKey(o))
	if err != nil || !ok {
		return state.TableRecord{Generation: g.generation}, false, err
	}
	r, err := state.ParseTable(b)
	return r, err == nil, err
}

// renew is a table's record in this generation. What the older one said of positions
// comes again, but for what stands behind the end of the stretch.
func (g *rowGate) renew(old state.TableRecord) state.TableRecord {
	r := state.TableRecord{Generation: g.generation, Value: old.Value, Key: old.Key}
	if g.stays(old.Truncated) {
		r.Truncated = old.Truncated
	}
	if g.stays(old.Expired) {
		r.Expired = old.Expired
	}
	return r
}

// keeps tells whether what an older generation has done at a position stays.
func (g *rowGate) keeps(at state.Place) bool { return g.until != nil && at.Compare(*g.until) >= 0 }

// stays is keeps for what a change of a table would end.
func (g *rowGate) stays(at state.Place) bool { return g.missing || g.keeps(at) }

func (g *rowGate) row(ctx context.Context, k state.Key) (state.RowRecord, bool, error) {
	b, ok, err := g.overlay.Get(ctx, k)
	if err != nil || !ok {
		return state.RowRecord{}, false, err
	}
	r, err := state.ParseRow(b)
	return r, err == nil, err
}

// ended lists the rows of a table, by their bare keys, that stand at or below its
// floor and are not deleted.
func (g *rowGate) ended(ctx context.Context, table string, floor state.Place) ([]endedRow, error) {
	var out []endedRow
	err := g.overlay.Each("", state.Row, table, func(key string, value []byte) error {
		r, err := state.ParseRow(value)
		if err != nil {
			return err
		}
		if r.Removed.IsZero() && r.Applied != (state.Place{}) && (r.Generation < g.generation && !g.stays(r.Seen) || r.Applied.Compare(floor) <= 0) {
			out = append(out, endedRow{key, r.KeySchema})
		}
		return nil
	})
	return out, errors.Join(err, ctx.Err())
}

type endedRow struct {
	key    string
	schema int
}
