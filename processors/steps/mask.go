package steps

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/processors"
	"github.com/tailrace/tailrace/sinks"
)

// MaskConfig is how one column is hidden: one of the three.
type MaskConfig struct {
	HMAC      []byte // HMAC-SHA-256 under this key, in hexadecimal: equal values stay equal
	Asterisks *int   // so many, whatever the value is, nulls too
	Truncate  *int   // after so many characters; of bytea, bytes
	// Optional says that a version of the table may lack the column. Otherwise such
	// records are errors: a column that was renamed at the source must not pass
	// unmasked under its new name.
	Optional bool
}

// Mask hides the values of columns, in both rows. A value that the record does not
// carry stays unknown. Hashes are those of the relay's mask under the same key.
//
// It hides nothing in dead letters, which hold records as they came: what must not
// be in the log at all is masked at the relay.
type Mask struct {
	columns map[string]MaskConfig
	shapes  *shapes
}

// NewMask makes a mask of columns. An error is a Faults.
func NewMask(columns map[string]MaskConfig) (*Mask, error) {
	if len(columns) == 0 {
		return nil, Faults{{Offset: -1, Message: "want at least one column"}}
	}
	return &Mask{columns: columns, shapes: newShapes()}, nil
}

// masking is a Mask for one shape.
type masking struct {
	out   *sinks.Shape
	parts []masked
}

type masked struct {
	at     int
	append func(dst []byte, v cdc.Value) ([]byte, cdc.State)
}

// column is what masks see of a column: hashes and cuts fit any text.
var maskColumn = &cdc.Column{Type: &cdc.Type{Schema: "pg_catalog", Name: "text"}, Modifier: -1}

var maskBytes = &cdc.Column{Type: &cdc.Type{Schema: "pg_catalog", Name: "bytea"}, Modifier: -1}

// work is called once for each partition: a cdc.Mask is not safe for concurrent
// use.
func (m *Mask) work(in *sinks.Shape) (*masking, error) {
	if in == nil {
		return nil, nil
	}
	out := &sinks.Shape{Columns: slices.Clone(in.Columns), Key: in.Key}
	q := &masking{}
	for _, name := range slices.Sorted(maps.Keys(m.columns)) {
		how := m.columns[name]
		at := index(in, name)
		if at < 0 {
			if how.Optional {
				continue
			}
			return nil, &Fault{Path: "columns." + name, Offset: -1, Message: fmt.Sprintf("there is no column %q to mask%s; optional: true lets rows without it pass", name, near(name, columnNames(in)))}
		}
		c := &out.Columns[at]
		if slices.Contains(in.Key, at) && how.HMAC == nil {
			return nil, &Fault{Path: "columns." + name, Offset: -1, Message: "a column of the key can be masked by hmac alone: rows would fall together"}
		}
		mask := (*cdc.Mask)(nil)
		switch {
		case how.HMAC != nil:
			mask = cdc.Hash(how.HMAC, maskColumn)
			*c = sinks.Column{Name: c.Name}
		case how.Asterisks != nil:
			mask = cdc.Asterisks(*how.Asterisks)
			*c = sinks.Column{Name: c.Name}
		case c.Array || c.Type != sinks.Text && c.Type != sinks.Bytes:
			return nil, &Fault{Path: "columns." + name, Offset: -1, Message: fmt.Sprintf("column %q is of type %s, of which no part can be cut; asterisks or hmac hides it", name, typeName(c))}
		case c.Type == sinks.Bytes:
			mask = cdc.Truncate(*how.Truncate, maskBytes, false)
		default:
			mask = cdc.Truncate(*how.Truncate, maskColumn, false)
		}
		q.parts = append(q.parts, masked{at, func(dst []byte, v cdc.Value) ([]byte, cdc.State) { return mask.Append(dst, v, maskColumn) }})
	}
	q.out = m.shapes.one(in, out)
	return q, nil
}

// Check implements Definition.
func (m *Mask) Check(in *sinks.Shape) (*sinks.Shape, Faults) {
	q, err := m.work(in)
	if err != nil {
		return nil, faulty("", err)
	}
	return q.out, nil
}

// New implements Definition.
func (m *Mask) New() processors.Step { return &maskStep{plans: newPlans(m.work)} }

type maskStep struct{ plans *plans[*masking] }

// Process implements processors.Step.
func (m *maskStep) Process(_ context.Context, c *processors.Change, _ processors.State, emit processors.Emit) error {
	q, err := m.plans.of(c.Columns())
	if err != nil {
		return err
	}
	if q == nil {
		return emit(c)
	}
	for _, row := range []*processors.Row{&c.Before, &c.After} {
		if !row.Exists() {
			continue
		}
		row.Columns = q.out
		for _, p := range q.parts {
			v := row.Values[p.at]
			if v.State == cdc.Unchanged || v.State == cdc.Absent {
				continue
			}
			text, state := p.append(nil, v)
			row.Values[p.at] = cdc.Value{State: state, Data: text}
		}
	}
	return emit(c)
}
