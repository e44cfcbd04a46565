package rehearsal

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/sinks"
)

// transaction applies one batch to copies of the tables that it touches.
type transaction struct {
	sink   *Sink
	batch  *sinks.Batch
	tables map[string]*table
}

func (t *transaction) table(o *sinks.Origin) *table {
	name := t.sink.Target(o)
	if t.tables[name] == nil {
		t.tables[name] = t.sink.tables[name].clone()
	}
	return t.tables[name]
}

func (t *table) clone() *table {
	c := &table{rows: map[string]*row{}, gone: map[string]version{}, sweeps: map[partition]version{}}
	if t == nil {
		return c
	}
	c.floor, c.count = t.floor, t.count
	for k, r := range t.rows {
		d := *r
		d.values, d.from = map[string]cdc.Value{}, -1
		for n, v := range r.values {
			d.values[n] = v
		}
		c.rows[k] = &d
	}
	for k, v := range t.gone {
		c.gone[k] = v
	}
	for k, v := range t.sweeps {
		c.sweeps[k] = v
	}
	return c
}

// apply carries out the changes: floors first, since what stands at or below one is
// stale wherever it stands in the batch.
func (t *transaction) apply() ([]sinks.Outcome, []sinks.Refusal) {
	outcomes := make([]sinks.Outcome, len(t.batch.Changes))
	for i, c := range t.batch.Changes {
		if c.Floor != nil {
			outcomes[i] = t.floor(c)
		}
	}
	var refusals []sinks.Refusal
	orphans := map[*table]map[string]int{}
	for i, c := range t.batch.Changes {
		if c.Floor != nil {
			continue
		}
		var refused *sinks.RecordError
		outcomes[i], refused = t.row(i, c, orphans)
		if refused != nil {
			refusals = append(refusals, sinks.Refusal{Index: i, Err: refused})
		}
	}
	for _, rows := range orphans {
		for _, index := range rows {
			refusals = append(refusals, sinks.Refusal{Index: index, Err: missingBase(t.batch.Changes[index])})
		}
	}
	refusals = append(refusals, t.misfits()...)
	slices.SortFunc(refusals, func(a, b sinks.Refusal) int { return cmp.Compare(a.Index, b.Index) })
	return outcomes, refusals
}

// row carries out one change of a row. orphans are the changes of some columns of rows that
// are not there, by their index: they are refused unless a later change of the batch brings
// the row, or its end.
func (t *transaction) row(i int, c *sinks.Change, orphans map[*table]map[string]int) (sinks.Outcome, *sinks.RecordError) {
	table := t.table(c.Origin)
	v := version{t.batch.Generation, c.Pos}
	if c.Key == "" {
		return t.keyless(i, c, table, v)
	}
	had := table.rows[c.Key]
	last, known := table.gone[c.Key]
	if had != nil {
		last, known = had.version, true
	}
	if v.compare(table.floor) <= 0 {
		return sinks.Stale, nil
	}
	if known {
		switch d := v.compare(last); {
		case d == 0:
			return sinks.Duplicate, nil
		case d < 0:
			return sinks.Stale, nil
		}
	}
	switch {
	case c.Op == cdc.OpDelete:
		delete(table.rows, c.Key)
		delete(orphans[table], c.Key)
		table.gone[c.Key] = v
	case had == nil && !c.Full():
		if orphans[table] == nil {
			orphans[table] = map[string]int{}
		}
		if _, ok := orphans[table][c.Key]; !ok {
			orphans[table][c.Key] = i
		}
	default:
		delete(orphans[table], c.Key)
		table.put(i, c, v, had)
	}
	return sinks.Applied, nil
}

// keyless appends a row of a table without key.
func (t *transaction) keyless(i int, c *sinks.Change, table *table, v version) (sinks.Outcome, *sinks.RecordError) {
	if c.Op != cdc.OpRead && c.Op != cdc.OpCreate {
		return 0, &sinks.RecordError{Class: sinks.ClassMapping, Reason: fmt.Sprintf("%s of %s at %s names no row: the table has no key", c.Op, c.Origin, c.Pos)}
	}
	id := "at " + c.Pos
	if v.compare(table.floor) <= 0 {
		return sinks.Stale, nil
	}
	if table.rows[id] != nil {
		return sinks.Duplicate, nil
	}
	table.put(i, c, v, nil)
	r := table.rows[c.Key]
	delete(table.rows, c.Key)
	table.rows[id] = r
	return sinks.Applied, nil
}

// put writes the columns that a change knows.
func (t *table) put(i int, c *sinks.Change, v version, had *row) {
	if had == nil {
		t.count++
		had = &row{values: map[string]cdc.Value{}, number: t.count}
	}
	had.version, had.from, had.types, had.key = v, i, map[string]sinks.Column{}, nil
	if c.Full() { // what the row has beyond it is of another version of the table
		for _, column := range c.Shape.Columns {
			delete(had.values, column.Name)
		}
	}
	for j, column := range c.Shape.Columns {
		had.types[column.Name] = column
		if s := c.Row[j].State; s == cdc.Text || s == cdc.Null {
			had.values[column.Name] = cdc.Value{State: s, Data: slices.Clone(c.Row[j].Data)}
		}
	}
	for _, k := range c.Shape.Key {
		had.key = append(had.key, c.Shape.Columns[k].Name)
	}
	delete(t.gone, c.Key)
	t.rows[c.Key] = had
}

// floor sets the position up to which a table has no rows.
func (t *transaction) floor(c *sinks.Change) sinks.Outcome {
	table := t.table(c.Origin)
	v := version{t.batch.Generation, c.Floor.Pos}
	marked := false
	if c.Floor.Sweep {
		p := partition{c.Origin.Topic, t.batch.Claim.Number}
		if marked = v.compare(table.sweeps[p]) > 0; marked {
			table.sweeps[p] = v
		}
		came := 0
		for p, w := range table.sweeps {
			if p.topic == c.Origin.Topic && w.compare(v) >= 0 {
				came++
			}
		}
		if came < c.Floor.Partitions {
			return map[bool]sinks.Outcome{true: sinks.Applied, false: sinks.Duplicate}[marked]
		}
	}
	if v.compare(table.floor) <= 0 {
		return map[bool]sinks.Outcome{true: sinks.Applied, false: sinks.Duplicate}[marked]
	}
	table.floor = v
	for k, r := range table.rows {
		if r.compare(v) <= 0 {
			delete(table.rows, k)
		}
	}
	for k, g := range table.gone {
		if g.compare(v) <= 0 {
			delete(table.gone, k)
		}
	}
	return sinks.Applied
}

// misfits are the rows of which a value is beyond its column's type. Only what the
// batch leaves is looked at: what nobody will see harms nobody.
func (t *transaction) misfits() []sinks.Refusal {
	var out []sinks.Refusal
	for _, table := range t.tables {
		for _, r := range table.rows {
			if r.from < 0 {
				continue
			}
			for name, v := range r.values {
				bits := map[sinks.Type]int{sinks.Int16: 16, sinks.Int32: 32, sinks.Int64: 64}[r.types[name].Type]
				if bits == 0 || r.types[name].Array || v.State != cdc.Text {
					continue
				}
				if _, err := strconv.ParseInt(string(v.Data), 10, bits); err != nil {
					out = append(out, sinks.Refusal{Index: r.from, Err: &sinks.RecordError{Class: sinks.ClassConstraint, Reason: fmt.Sprintf("the value of column %q is beyond its type", name)}})
					break
				}
			}
		}
	}
	return out
}

func missingBase(c *sinks.Change) *sinks.RecordError {
	return &sinks.RecordError{Class: sinks.ClassMissingBase, Reason: "change of some columns of " + c.Origin.String() + " at " + c.Pos + ", and the row is not in the target"}
}
