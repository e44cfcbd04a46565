package postgres

import (
	"bytes"
	"slices"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/sinks"
)

// groups splits operations into what one statement can carry out. find gives
// the target of an operation; plain, if set, says which rows are taken for new.
func groups(ops []*operation, find func(*operation) *table, plain func(*operation) bool) []*group {
	type id struct {
		target string
		layer  int
		kind   kind
		shape  *sinks.Shape
		mask   string
		plain  bool
	}
	var out []*group
	index := map[id]*group{}
	var mask, lastMask []byte
	var last id // without its mask
	var g *group
	for _, op := range ops {
		mask = mask[:0]
		for i := range op.shape.Columns {
			if takesPart(op, i) {
				mask = append(mask, '1')
			} else {
				mask = append(mask, '0')
			}
		}
		which := id{op.target, op.layer, op.kind, op.shape, "", plain != nil && plain(op)}
		if g != nil && which == last && bytes.Equal(mask, lastMask) { // as the one before
			g.ops = append(g.ops, op)
			continue
		}
		last, lastMask = which, append(lastMask[:0], mask...)
		which.mask = string(mask)
		if g = index[which]; g == nil {
			g = &group{kind: op.kind, table: find(op), plain: which.plain}
			for i, m := range mask {
				if m == '1' {
					g.columns = append(g.columns, i)
				}
			}
			index[which] = g
			out = append(out, g)
		}
		g.ops = append(g.ops, op)
	}
	return out
}

// takesPart tells whether a statement for op has column i.
func takesPart(op *operation, i int) bool {
	if op.kind == remove {
		return slices.Contains(op.shape.Key, i)
	}
	return op.row[i].State == cdc.Text || op.row[i].State == cdc.Null
}
