package steps

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/processors"
	"github.com/tailrace/tailrace/sinks"
)

// FlattenConfig is what users of Debezium's ExtractNewRecordState set.
type FlattenConfig struct {
	// Deletes is what becomes of a delete: tombstone passes it on, drop leaves the
	// row in the target, rewrite makes it an update that sets __deleted to true.
	Deletes   string
	AddFields []string // op, or a field of source: source.lsn, lsn …
	Prefix    string   // of the added columns
}

// The ways of deletes.
const (
	DeletesTombstone = "tombstone"
	DeletesDrop      = "drop"
	DeletesRewrite   = "rewrite"
)

// Flatten adds columns about the change to its row, and decides about deletes. (The
// rows of a pipeline are flat already: a sink of rows never sees an envelope.)
//
// A TRUNCATE, or a sweep, is a delete of many rows. It passes under tombstone and is
// dropped under drop; under rewrite it is an error, since the rows that it means
// cannot be marked one by one.
type Flatten struct {
	config FlattenConfig
	fields []addedField
	shapes *shapes
}

// addedField is a column about the change.
type addedField struct {
	column sinks.Column
	get    func(*processors.Change) cdc.Value
}

// deletedColumn is the column of rewritten deletes; its values are Debezium's.
const deletedColumn = "__deleted"

// NewFlatten makes a flatten. An error is a Faults.
func NewFlatten(c FlattenConfig) (*Flatten, error) {
	f := &Flatten{config: c, shapes: newShapes()}
	var faults Faults
	for i, name := range c.AddFields {
		field, err := addField(name, c.Prefix)
		if err != nil {
			faults = append(faults, faulty(fmt.Sprintf("add_fields[%d]", i), err)...)
		}
		f.fields = append(f.fields, field)
	}
	if c.Deletes == DeletesRewrite {
		f.fields = append(f.fields, addedField{sinks.Column{Name: deletedColumn}, func(c *processors.Change) cdc.Value {
			return processors.Text(map[bool]string{true: "true", false: "false"}[c.Op == cdc.OpDelete])
		}})
	}
	return f, faults.orNil()
}

// addField knows the fields that Debezium's events have, by their names there.
func addField(name, prefix string) (addedField, error) {
	f := addedField{column: sinks.Column{Name: prefix + strings.ReplaceAll(name, ".", "_")}}
	of := func(t sinks.Type, get func(*processors.Change) cdc.Value) (addedField, error) {
		f.column.Type, f.get = t, get
		return f, nil
	}
	switch strings.TrimPrefix(name, "source.") {
	case "op":
		if name == "op" {
			return of(sinks.Text, func(c *processors.Change) cdc.Value { return processors.Text(c.Op.String()) })
		}
	case "name":
		return of(sinks.Text, func(c *processors.Change) cdc.Value { return processors.Text(c.Source.Origin.Name) })
	case "db":
		return of(sinks.Text, func(c *processors.Change) cdc.Value { return processors.Text(c.Source.Origin.Database) })
	case "schema":
		return of(sinks.Text, func(c *processors.Change) cdc.Value { return processors.Text(c.Source.Origin.Schema) })
	case "table":
		return of(sinks.Text, func(c *processors.Change) cdc.Value { return processors.Text(c.Source.Origin.Table) })
	case "snapshot":
		return of(sinks.Text, func(c *processors.Change) cdc.Value { return processors.Text(c.Source.Snapshot) })
	case "lsn":
		return of(sinks.Int64, func(c *processors.Change) cdc.Value { return processors.Int(int64(c.Source.LSN)) })
	case "txId":
		return of(sinks.Int64, func(c *processors.Change) cdc.Value {
			if c.Source.TxID == 0 {
				return processors.Null // a row of a snapshot
			}
			return processors.Int(c.Source.TxID)
		})
	case "ts_ms":
		if name == "source.ts_ms" {
			return of(sinks.Int64, func(c *processors.Change) cdc.Value { return processors.Int(c.Source.Time.UnixMilli()) })
		}
		return f, fmt.Errorf("ts_ms is when the relay read the change, another time in a replay; source.ts_ms is that of the commit")
	case "pos":
		return of(sinks.Text, func(c *processors.Change) cdc.Value { return processors.Text(c.Position.String()) })
	}
	return f, fmt.Errorf("there is no field %q to add; there are op, pos, and of source: name, db, schema, table, snapshot, lsn, txId, ts_ms", name)
}

func (f *Flatten) work(in *sinks.Shape) (*sinks.Shape, error) {
	if in == nil || len(f.fields) == 0 {
		return in, nil
	}
	out := &sinks.Shape{Columns: slices.Clone(in.Columns), Key: in.Key}
	for _, field := range f.fields {
		if index(out, field.column.Name) >= 0 {
			return nil, &Fault{Offset: -1, Message: fmt.Sprintf("the table has a column %q already; prefix gives the added ones another name", field.column.Name)}
		}
		out.Columns = append(out.Columns, field.column)
	}
	return f.shapes.one(in, out), nil
}

// Check implements Definition.
func (f *Flatten) Check(in *sinks.Shape) (*sinks.Shape, Faults) {
	out, err := f.work(in)
	if err != nil {
		return nil, faulty("", err)
	}
	return out, nil
}

// New implements Definition.
func (f *Flatten) New() processors.Step { return &flatten{of: f, plans: newPlans(f.work)} }

type flatten struct {
	of    *Flatten
	plans *plans[*sinks.Shape]
}

// Process implements processors.Step.
func (f *flatten) Process(_ context.Context, c *processors.Change, _ processors.State, emit processors.Emit) error {
	deletes := f.of.config.Deletes
	switch {
	case deletes == DeletesDrop && (c.Op == cdc.OpDelete || c.Op == cdc.OpTruncate):
		return nil
	case deletes == DeletesRewrite && c.Op == cdc.OpTruncate:
		return &sinks.RecordError{Class: sinks.ClassMapping, Reason: "flatten: a TRUNCATE or a sweep of " + c.Source.Origin.String() + " cannot mark its rows as deleted", Next: "mark them in the target"}
	case c.Op == cdc.OpTruncate:
		return emit(c)
	}
	out, err := f.plans.of(c.Columns())
	if err != nil {
		return err
	}
	added := len(f.of.fields)
	for _, row := range []*processors.Row{&c.Before, &c.After} {
		if !row.Exists() || added == 0 {
			continue
		}
		wide := c.NewRow(out)
		copy(wide.Values, row.Values)
		for i, field := range f.of.fields {
			at := len(out.Columns) - added + i
			if row == &c.Before && c.Op != cdc.OpDelete {
				wide.Values[at] = cdc.Value{State: cdc.Absent}
			} else {
				wide.Values[at] = field.get(c)
			}
		}
		*row = wide
	}
	if c.Op == cdc.OpDelete && deletes == DeletesRewrite {
		// What the old row does not carry is as the target has it.
		for i := range c.Before.Values {
			if c.Before.Values[i].State == cdc.Absent {
				c.Before.Values[i].State = cdc.Unchanged
			}
		}
		c.Op, c.After, c.Before = cdc.OpUpdate, c.Before, processors.Row{}
	}
	return emit(c)
}
