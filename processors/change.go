package processors

import (
	"slices"
	"time"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/processors/state"
	"github.com/tailrace/tailrace/sinks"
)

// Change is one change of a row, or of a table as a whole, as steps see it.
//
// Invariants, which each step keeps:
//
//  1. Op is r, c, u, d or t. Under r, c and u there is a row After, under d a row
//     Before, under t neither: a TRUNCATE, or the sweep behind a new snapshot.
//  2. Both rows have the same columns.
//  3. The key of a change is that of its target row. Under u it is the same before
//     and after: a step that gives rows another key, or another table by their
//     columns, splits such a change into d and c, as the relay does with an UPDATE
//     of the primary key.
//  4. Under d the values of the key's columns are known, whatever else is not.
type Change struct {
	Op     cdc.Op
	Source SourceInfo
	// Target is where the change goes; at first the table that it comes from. It
	// is shared: a step that changes it makes a new one, once per target.
	Target *sinks.Origin
	// Before and After are the old and the new row. A row that does not exist, or
	// that the record does not carry, has no values.
	Before, After Row
	// Position orders the changes of a source. What one record gives shares it;
	// from the second on, each gets its number appended on its way to the sink. A step
	// that makes one row of many gives its outputs versions instead (SetVersion).
	Position cdc.Position

	floor *sinks.Floor // under t
	own   bool         // Position is a version
	line  *line        // nil in tests of a step alone
}

// SourceInfo says where a change comes from. What the record does not say is zero.
type SourceInfo struct {
	Origin   *sinks.Origin // shared
	Snapshot string        // Debezium's markers; "" or false for a streamed change
	LSN      cdc.LSN       // of the row's WAL record
	TxID     int64
	Time     time.Time // of the commit, to the millisecond
}

// Sweep tells the mark behind a new snapshot, which ends what the snapshot did
// not bring, from a TRUNCATE. Both are changes t.
func (c *Change) Sweep() bool { return c.floor != nil && c.floor.Sweep }

// Row is the row that the change is about: the old one of a delete, else the new.
func (c *Change) Row() Row {
	if c.Op == cdc.OpDelete {
		return c.Before
	}
	return c.After
}

// Columns are those of both rows; nil where there is no row.
func (c *Change) Columns() *sinks.Shape { return c.Row().Columns }

// Remove makes the change a delete of its row.
func (c *Change) Remove() {
	if c.Op == cdc.OpDelete || c.Op == cdc.OpTruncate {
		return
	}
	row := c.NewRow(c.After.Columns)
	for i := range row.Values {
		row.Values[i] = cdc.Value{State: cdc.Absent}
		if i < len(c.Before.Values) {
			row.Values[i] = c.Before.Values[i]
		}
	}
	for _, i := range row.Columns.Key {
		row.Values[i] = c.After.Values[i] // the same before: invariant 3
	}
	c.Op, c.Before, c.After = cdc.OpDelete, row, Row{}
}

// Generation is that of the pipeline: a higher one overwrites what an older has made.
func (c *Change) Generation() int64 {
	if c.line == nil {
		return 1
	}
	return c.line.generation
}

// SetVersion gives the output of a step that makes one row of many a position of its
// own: the pipeline's generation, then the sequence, which grows with each output of
// the row. Those of its inputs have no order among each other.
func (c *Change) SetVersion(sequence uint64) {
	c.Position, c.own = cdc.Position{Epoch: uint32(c.Generation()), LSN: cdc.LSN(sequence), Ordinal: 1}, true
}

// Clone is another change of the same content, with rows of its own.
func (c *Change) Clone() *Change {
	d := *c
	for _, r := range []*Row{&d.Before, &d.After} {
		if r.Values != nil {
			values := c.NewRow(r.Columns)
			copy(values.Values, r.Values)
			*r = values
		}
	}
	return &d
}

// NewRow makes a row of nulls for one of the change's rows. It lives as long as
// the batch.
func (c *Change) NewRow(columns *sinks.Shape) Row {
	if c.line == nil {
		return Row{columns, make([]cdc.Value, len(columns.Columns))}
	}
	return Row{columns, c.line.arena.nulls(len(columns.Columns))}
}

// RowState names the state of the change's source row. A change of a table has
// none; a row of a table without key is known by its position alone.
func (c *Change) RowState() state.Key {
	k := state.Key{Scope: state.Row, Table: c.Source.Origin.Name + "/" + c.Source.Origin.Database + "." + c.Source.Origin.String()}
	if c.line != nil {
		k.Key = c.line.item.entity
	} else if row := c.Row(); row.Exists() {
		k.Key = sinks.RowKey(keyOf(row, nil))
	}
	if k.Key == "" {
		k.Key = c.Position.String()
	}
	return k
}

// keyOf appends the values of a row's key to dst.
func keyOf(r Row, dst []cdc.Value) []cdc.Value {
	for _, i := range r.Columns.Key {
		dst = append(dst, r.Values[i])
	}
	return dst
}

// Changed tells whether an update has given one of the columns at the given indexes
// another value. known is false when that cannot be told: a value is unavailable, or
// the record does not carry the old row. Columns of the key never change within an
// update.
func (c *Change) Changed(columns []int) (changed, known bool) {
	known = true
	for _, i := range columns {
		switch {
		case slices.Contains(c.After.Columns.Key, i):
		case c.Before.Values == nil || !there(c.Before.Values[i]) || !there(c.After.Values[i]):
			known = false
		case c.Before.Values[i].State != c.After.Values[i].State || string(c.Before.Values[i].Data) != string(c.After.Values[i].Data):
			changed = true
		}
	}
	return changed, known
}

// there tells a value, or null, from one that is not known.
func there(v cdc.Value) bool { return v.State == cdc.Text || v.State == cdc.Null }
