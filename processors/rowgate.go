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

	texts *arena       // makes keys of rows
	last  tablePassage // changes of a table come in a row
	under passage
	buf   []byte // of a record that is put
}

// tablePassage is what the gate knows of a table.
type tablePassage struct {
	origin     *sinks.Origin // nil: of none
	name       string
	generation int64 // in which it was read
	record     state.TableRecord
	dirty      bool // the record is
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

// forget makes the gate read what it knows of a table again: writes were taken back, or
// are somebody else's.
func (g *rowGate) forget() { g.last = tablePassage{} }

func (g *rowGate) tableKey(t *tablePassage) state.Key {
	return state.Key{Scope: state.Table, Table: t.name}
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

func (g *rowGate) rowKey(t *tablePassage, key []byte) state.Key {
	return state.Key{Scope: state.Row, Table: t.name, Key: g.texts.text(bareKey(key))}
}

// passage is what the gate knows of one record, until the next one comes.
type passage struct {
	key   state.Key
	at    state.Place     // of the change
	row   state.RowRecord // as it will be
	table *tablePassage
	// floor is set for a change of the table: row is not.
	floor, keyless bool
	// forced: the change is older than what its row has, and applied nevertheless.
	forced bool
}

// see judges a record. One that passes is then kept, as applied or only seen: the steps
// may refuse it. A change of a table is kept already.
func (g *rowGate) see(ctx context.Context, it *item) (*passage, verdict, error) {
	c := it.change
	t, err := g.table(ctx, c.Origin)
	if err != nil {
		return nil, passes, err
	}
	p := &g.under
	*p = passage{at: placeOf(it), table: t}
	at := p.at
	if c.Floor != nil {
		return p, g.seeFloor(p, c, at), nil
	}
	if t.record.Generation == g.generation && at.Compare(t.record.Truncated) <= 0 {
		return p, stale, nil
	}
	if it.message.Key == nil {
		p.keyless = true
		switch d := cmp.Or(cmp.Compare(g.generation, t.record.Generation), at.Compare(t.record.Seen)); {
		case d == 0:
			return p, duplicate, nil
		case d < 0:
			return p, stale, nil
		}
		t.record.Seen, t.dirty = at, true
		t.of(it.schema)
		return p, passes, nil
	}
	p.key = g.rowKey(t, it.message.Key)
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
	} else if t.record.Generation == g.generation && at.Compare(t.record.Expired) <= 0 {
		if g.late == LateDrop {
			return p, stale, nil
		}
		it.fault = &sinks.RecordError{Class: sinks.ClassUnknown, Code: sinks.CodeLate, Reason: "the row is not known, and at its position rows were deleted longer ago than state.retention",
			Next: "raise state.retention, or set state.late to drop"}
	}
	t.of(it.schema)
	if old.Generation != g.generation {
		p.row.Applied = state.Place{}
	}
	p.row.Generation, p.row.Seen, p.row.KeySchema = g.generation, at, it.schema.key
	return p, passes, nil
}

// placeOf is where an item stands; the decoder has checked its text.
func placeOf(it *item) state.Place {
	_, path := cdc.CutPath(it.pos)
	return state.Place{Position: it.change.Position, Path: path}
}

// of notes the schemas that a row of the table came with.
func (t *tablePassage) of(schema shapeID) {
	if schema.value != 0 && t.record.Value != schema.value {
		t.record.Value, t.record.Key, t.dirty = schema.value, schema.key, true
	}
}

// seeFloor judges a change of a whole table.
func (g *rowGate) seeFloor(p *passage, c *sinks.Change, at state.Place) verdict {
	p.floor = true
	floor := at
	if c.Floor.Sweep {
		floor = state.Place{Position: sweepPosition(c)}
	}
	r := &p.table.record
	switch d := cmp.Or(cmp.Compare(g.generation, r.Generation), floor.Compare(r.Truncated)); {
	case d == 0:
		return duplicate
	case d < 0:
		return stale
	}
	r.Generation, r.Truncated, p.table.dirty = g.generation, floor, true
	g.keep(p)
	return passes
}

// sweepPosition is where an epoch begins: every position of the epochs before is
// below it, and every one of its own above.
func sweepPosition(c *sinks.Change) cdc.Position { return cdc.Position{Epoch: c.Position.Epoch} }

// keep writes what the gate has seen.
func (g *rowGate) keep(p *passage) {
	t := p.table
	if t.record.Generation != g.generation {
		t.record.Generation, t.dirty = g.generation, true
	}
	if t.dirty {
		g.buf = t.record.Append(g.buf[:0])
		g.overlay.Put(g.tableKey(t), g.buf)
		t.dirty = false
	}
	if !p.floor && !p.keyless {
		g.buf = p.row.Append(g.buf[:0])
		g.overlay.Put(p.key, g.buf)
	}
}

// apply keeps a record that passed, as applied.
func (g *rowGate) apply(p *passage, op cdc.Op) {
	p.row.Applied, p.row.Removed = p.at, time.Time{}
	if op == cdc.OpDelete {
		p.row.Removed = g.now
	}
	g.keep(p)
}

// table is what is known of a table, in this generation.
func (g *rowGate) table(ctx context.Context, o *sinks.Origin) (*tablePassage, error) {
	if g.last.origin == o && g.last.generation == g.generation {
		return &g.last, nil
	}
	name := g.space + tableName(o)
	r, ok, err := g.stored(ctx, name)
	if err != nil {
		return nil, err
	}
	g.last = tablePassage{origin: o, name: name, generation: g.generation, record: r}
	if ok && r.Generation < g.generation { // as an older one has left it
		g.last.record, g.last.dirty = g.renew(r), true
	}
	return &g.last, nil
}

func (g *rowGate) stored(ctx context.Context, table string) (state.TableRecord, bool, error) {
	b, ok, err := g.overlay.Get(ctx, state.Key{Scope: state.Table, Table: table})
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
