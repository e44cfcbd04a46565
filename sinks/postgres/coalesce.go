package postgres

import (
	"cmp"
	"slices"
	"strings"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/sinks"
)

// operation is what a batch does to one row: its changes folded into one.
type operation struct {
	kind   kind
	target string // quoted, schema and table
	origin *sinks.Origin
	shape  *sinks.Shape
	row    []cdc.Value // in shape's order
	key    string
	pos    cdc.Position
	posTxt string
	// members are the changes that it stands for, by index in the batch and in
	// the order of their positions; outcomes of changes that the fold itself
	// decided are not among them.
	members []int
	// layer is 0 but for a patch on top of another operation of the batch on its row:
	// that one goes before, in a statement of its own.
	layer   int
	fresh   bool // its first change makes the row at the source
	dropped bool // a later whole image has taken its place
	written bool // in the transaction under way, by parts (patient.go)
}

type kind uint8

const (
	upsert kind = iota // the whole row
	patch              // some columns of a row that must be there
	remove
	appendRow // a row of a table without key
)

// folded is a batch as operations.
type folded struct {
	ops      []*operation
	floors   []*floorOperation // in the order of the batch
	outcomes []sinks.Outcome
	refusals []sinks.Refusal
}

// fold merges the changes of each row into one operation, so that a statement
// meets a row once (PostgreSQL answers 21000 otherwise) and the last position
// wins. Operations are sorted by target and key: two batches that meet in the
// same rows then wait for each other instead of deadlocking.
//
// A change takes an earlier one's place only where it has every column that the
// earlier one has. A patch is not filled up with values of the batch: an image before
// it may be an old one that was delivered again, and the row may have had later values
// since. It gets a layer of its own instead, in which the guard by position decides
// about it alone.
func fold(changes []*sinks.Change, target func(*sinks.Origin) string) folded {
	f := folded{outcomes: make([]sinks.Outcome, len(changes))}
	type rowID struct{ target, key string }
	rows := make(map[rowID][]*operation, len(changes)) // by layer
	names := map[*sinks.Origin]string{}
	slab, alone, chains := make([]operation, len(changes)), make([]int, len(changes)), make([]*operation, len(changes)) // one allocation each
	f.ops = make([]*operation, 0, len(changes))
	for i, c := range changes {
		if c.Floor != nil {
			f.floors = append(f.floors, &floorOperation{index: i, target: target(c.Origin), change: c})
			continue
		}
		if c.Key == "" && c.Op != cdc.OpRead && c.Op != cdc.OpCreate {
			f.refusals = append(f.refusals, sinks.Refusal{Index: i, Err: keyless(c)})
			continue
		}
		name, ok := names[c.Origin]
		if !ok {
			name = target(c.Origin)
			names[c.Origin] = name
		}
		next := &slab[i]
		alone[i], chains[i] = i, next
		*next = operation{kind: kindOf(c), target: name, origin: c.Origin, shape: c.Shape, row: c.Row, key: c.Key,
			pos: c.Position, posTxt: c.Pos, members: alone[i : i+1 : i+1], fresh: makes(c)}
		id := rowID{name, c.Key}
		if c.Key == "" {
			id.key = c.Pos // a row of its own
		}
		chain := rows[id]
		if len(chain) == 0 {
			rows[id] = chains[i : i+1 : i+1]
			f.ops = append(f.ops, next)
			continue
		}
		cur := chain[len(chain)-1]
		if d := cmp.Or(next.pos.Compare(cur.pos), strings.Compare(next.posTxt, cur.posTxt)); d <= 0 {
			f.outcomes[i] = sinks.Stale
			if d == 0 {
				f.outcomes[i] = sinks.Duplicate
			}
			continue
		}
		switch {
		case next.kind != patch: // nothing of what was before it is left
			for _, op := range chain[1:] {
				op.dropped = true
				chain[0].members = append(chain[0].members, op.members...)
			}
			chain[0].absorb(next)
			rows[id] = chain[:1]
		case cur.kind == patch && next.covers(cur):
			cur.absorb(next)
		default:
			next.layer = cur.layer + 1
			rows[id] = append(chain, next)
			f.ops = append(f.ops, next)
		}
	}
	f.ops = slices.DeleteFunc(f.ops, func(op *operation) bool { return op.dropped })
	slices.SortFunc(f.ops, func(x, y *operation) int {
		if d := cmp.Compare(x.layer, y.layer); d != 0 {
			return d
		}
		if d := strings.Compare(x.target, y.target); d != 0 {
			return d
		}
		return strings.Compare(x.key, y.key)
	})
	return f
}

// without is what fold would make of fewer changes, where that is no more than to leave
// operations out: each of them lost all of its changes, or none, and none is a layer. The
// operations are the same ones, with other members.
func (f *folded) without(changes, fewer []*sinks.Change) (less folded, ok bool) {
	index := make([]int, len(changes)) // in fewer; -1: left out
	n := 0
	less.outcomes = make([]sinks.Outcome, len(fewer))
	for i, c := range changes {
		index[i] = -1
		if n < len(fewer) && fewer[n] == c {
			less.outcomes[n] = f.outcomes[i]
			index[i] = n
			n++
		}
	}
	if n < len(fewer) || len(f.floors) > 0 {
		return less, false
	}
	for _, op := range f.ops {
		gone := 0
		for _, m := range op.members {
			if index[m] < 0 {
				gone++
			}
		}
		if op.layer > 0 || gone > 0 && gone < len(op.members) {
			return less, false
		}
	}
	for _, op := range f.ops {
		if index[op.members[0]] < 0 {
			continue
		}
		for i, m := range op.members {
			op.members[i] = index[m]
		}
		less.ops = append(less.ops, op)
	}
	return less, true
}

func kindOf(c *sinks.Change) kind {
	switch {
	case c.Key == "":
		return appendRow
	case c.Op == cdc.OpDelete:
		return remove
	case c.Full():
		return upsert
	}
	return patch
}

// absorb makes o what the later change next does.
func (o *operation) absorb(next *operation) {
	o.kind, o.shape, o.origin, o.row = next.kind, next.shape, next.origin, next.row
	o.pos, o.posTxt = next.pos, next.posTxt
	o.members = append(o.members, next.members...)
}

// covers tells whether o has every column that the earlier patch has.
func (o *operation) covers(earlier *operation) bool {
	for i, c := range earlier.shape.Columns {
		if !takesPart(earlier, i) {
			continue
		}
		if o.shape == earlier.shape {
			if !takesPart(o, i) {
				return false
			}
			continue
		}
		if !slices.ContainsFunc(o.shape.Columns, func(d sinks.Column) bool { return d.Name == c.Name }) {
			return false
		}
		for j, d := range o.shape.Columns {
			if d.Name == c.Name && !takesPart(o, j) {
				return false
			}
		}
	}
	return true
}

// single is the operation of one change alone.
func single(c *sinks.Change, index int, target string) *operation {
	return &operation{kind: kindOf(c), target: target, origin: c.Origin, shape: c.Shape, row: c.Row, key: c.Key,
		pos: c.Position, posTxt: c.Pos, members: []int{index}}
}

func missingBase(c *sinks.Change) *sinks.RecordError {
	return &sinks.RecordError{
		Class:  sinks.ClassMissingBase,
		Reason: "change of some columns of " + c.Origin.String() + " at " + c.Pos + ", and the row is not in the target table",
		Next:   "the row's next full image or delete resolves it; a snapshot of the table brings all rows",
	}
}

func keyless(c *sinks.Change) *sinks.RecordError {
	what := map[cdc.Op]string{cdc.OpUpdate: "an update", cdc.OpDelete: "a delete"}[c.Op]
	return &sinks.RecordError{
		Class:  sinks.ClassMapping,
		Reason: what + " of " + c.Origin.String() + " at " + c.Pos + " names no row: the table has no key",
		Next:   "give the source table a primary key, or the relay a key for it under tables.overrides",
	}
}
