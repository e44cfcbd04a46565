package steps

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/processors"
	"github.com/tailrace/tailrace/processors/state"
	"github.com/tailrace/tailrace/sinks"
)

// Latest makes one row of an entity: its key, and a document of its current rows in
// all tables of the pipeline.
//
//	key       the record key's value; of several columns, a JSON array of texts
//	document  {"schema.table": [{column: value, …}, …], …}, tables by name, rows by key
//
// The entity is what rows with one record key are, so all of its rows come through
// partitions with one number, which are one task. With an expression for the key, rows are
// handed to the entity's owner before (processors.EntityConfig), or there is one owner of
// all. The step keeps each row's part with the row's position; the gate by row stands
// before it, so that no part comes twice.
//
// What can go wrong:
//
//   - an update lacks a column that was stored apart and did not change: it is taken
//     from the row's part. Without one, the record is faulty (missing_base), and the
//     row's next full image mends it;
//   - rows of an entity come in any order, and their positions cannot order the
//     documents: each has a version of its own, the pipeline's generation and a number
//     that grows by one with each change;
//   - the last row goes: the document is deleted, and the number stays, so that a later
//     document is newer than the deletion.
type Latest struct {
	config LatestConfig
	key    *Expression            // of tables that have none of their own; nil: the record key
	keys   map[string]*Expression // by schema.table
	schema string
	table  string
}

// LatestConfig is what a Latest needs.
type LatestConfig struct {
	Table string            // the target: schema.table
	Key   string            // expression for the entity's key, of the row; "" is the record key
	Keys  map[string]string // expressions of single tables, by schema.table
}

// latestShape is the documents' columns.
var latestShape = &sinks.Shape{Key: []int{0}, Columns: []sinks.Column{{Name: "key", Type: sinks.Text}, {Name: "document", Type: sinks.JSON}}}

// NewLatest makes a Latest. An error is a Faults.
func NewLatest(c LatestConfig) (*Latest, error) {
	schema, table, ok := strings.Cut(c.Table, ".")
	if !ok || schema == "" || table == "" || strings.Contains(table, ".") {
		return nil, Faults{{Path: "table", Offset: -1, Message: fmt.Sprintf("want schema.table, found %q", c.Table)}}
	}
	l := &Latest{config: c, schema: schema, table: table, keys: map[string]*Expression{}}
	var faults Faults
	parse := func(path, text string) *Expression {
		e, err := Parse(text)
		if err != nil {
			faults = append(faults, faulty(path, err)...)
		}
		return e
	}
	if c.Key != "" {
		l.key = parse("key", c.Key)
	}
	for _, table := range slices.Sorted(maps.Keys(c.Keys)) {
		l.keys[table] = parse("keys."+table, c.Keys[table])
		if schema, name, ok := strings.Cut(table, "."); !ok || schema == "" || name == "" {
			faults = append(faults, Fault{Path: "keys." + table, Offset: -1, Message: "want schema.table"})
		}
	}
	return l, faults.orNil()
}

// Check implements Definition.
func (l *Latest) Check(in *sinks.Shape) (*sinks.Shape, Faults) {
	if len(in.Key) == 0 {
		return nil, Faults{{Offset: -1, Message: "the table has no key, so its rows are of no entity; leave it out by tables"}}
	}
	return latestShape, nil
}

// CheckTable is Check for rows of one table.
func (l *Latest) CheckTable(table string, in *sinks.Shape) (*sinks.Shape, Faults) {
	out, faults := l.Check(in)
	e, path := l.keyOf(table)
	if faults != nil || e == nil {
		return out, faults
	}
	if _, err := keyingOf(e, path)(in); err != nil {
		return nil, faulty(path, err)
	}
	return out, nil
}

// Stateful tells that the step keeps state.
func (l *Latest) Stateful() bool { return true }

// New implements Definition.
func (l *Latest) New() processors.Step {
	return &latest{of: l, find: l.finder(), targets: map[*sinks.Origin]*sinks.Origin{}}
}

type latest struct {
	of      *Latest
	find    func(*processors.Change) (string, error) // the key by expression; nil: the record key
	targets map[*sinks.Origin]*sinks.Origin
}

// Process implements processors.Step.
func (l *latest) Process(ctx context.Context, c *processors.Change, s processors.State, emit processors.Emit) error {
	if c.Op == cdc.OpTruncate {
		return nil // it has become a delete of each row
	}
	row := c.Row()
	if len(row.Columns.Key) == 0 {
		return fmt.Errorf("table %s has no key, so its rows are of no entity", c.Source.Origin)
	}
	switch {
	case c.Entity() != "":
		return l.gather(ctx, c, c.Entity(), s, emit)
	case l.find != nil:
		return l.move(ctx, c, s, emit)
	}
	return l.gather(ctx, c, entityKey(row), s, emit)
}

// gather makes the change a part of an entity, or takes the row's away.
func (l *latest) gather(ctx context.Context, c *processors.Change, key string, s processors.State, emit processors.Emit) error {
	entity, had, err := l.entity(ctx, key, s)
	if err != nil {
		return err
	}
	if err := contribute(&entity, c); err != nil {
		return err
	}
	if entity.Generation != c.Generation() {
		entity.Generation, entity.Sequence = c.Generation(), 0
	}
	entity.Sequence++
	if err := s.Put(ctx, processors.EntityState(key), entity.Append(nil)); err != nil {
		return err
	}
	return l.emit(c, key, &entity, had, emit)
}

func (l *latest) entity(ctx context.Context, key string, s processors.State) (e state.EntityRecord, had bool, err error) {
	b, ok, err := s.Get(ctx, processors.EntityState(key))
	if err != nil || !ok {
		return state.EntityRecord{Contributions: map[string]state.Contribution{}}, false, err
	}
	e, err = state.ParseEntity(b)
	return e, len(e.Contributions) > 0, err
}

// emit hands on the document, or its deletion.
func (l *latest) emit(c *processors.Change, key string, e *state.EntityRecord, had bool, emit processors.Emit) error {
	target := l.targets[c.Source.Origin]
	if target == nil {
		made := *c.Source.Origin
		made.Schema, made.Table, made.Topic = l.of.schema, l.of.table, c.Target.Topic
		target = &made
		if len(l.targets) >= maxPlans {
			clear(l.targets)
		}
		l.targets[c.Source.Origin] = target
	}
	c.Target = target
	c.SetVersion(e.Sequence)
	row := c.NewRow(latestShape)
	row.Values[0] = processors.Text(key)
	c.Before = processors.Row{}
	switch {
	case len(e.Contributions) == 0 && !had:
		return nil
	case len(e.Contributions) == 0:
		row.Values[1] = cdc.Value{State: cdc.Absent}
		c.Op, c.Before, c.After = cdc.OpDelete, row, processors.Row{}
	default:
		row.Values[1] = cdc.Value{State: cdc.Text, Data: document(e)}
		c.Op, c.After = cdc.OpUpdate, row
		if !had {
			c.Op = cdc.OpCreate
		}
	}
	return emit(c)
}

// entityKey is the text of a row's key.
func entityKey(r processors.Row) string {
	values := make([]cdc.Value, len(r.Columns.Key))
	for i, at := range r.Columns.Key {
		values[i] = r.Values[at]
	}
	if len(values) == 1 {
		return string(values[0].Data)
	}
	return sinks.RowKey(values)
}

// contribute makes the change's row part of the entity, or takes it away.
func contribute(e *state.EntityRecord, c *processors.Change) error {
	key := c.RowState()
	name := c.Source.Origin.String() + "\x00" + key.Table + "\x00" + key.Key
	if c.Op == cdc.OpDelete {
		delete(e.Contributions, name)
		return nil
	}
	value, err := rowJSON(c.After, e.Contributions[name].Value)
	if err != nil {
		return err
	}
	e.Contributions[name] = state.Contribution{At: state.Place{Position: c.Position}, Value: value}
	return nil
}

// rowJSON is a row as an object; what the row does not carry is taken from old.
func rowJSON(r processors.Row, old []byte) ([]byte, error) {
	var known map[string]json.RawMessage
	var b bytes.Buffer
	b.WriteByte('{')
	for i := range r.Columns.Columns {
		c := &r.Columns.Columns[i]
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(c.Name)
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		v := r.Values[i]
		if v.State == cdc.Unchanged || v.State == cdc.Absent {
			if known == nil && old != nil {
				if err := json.Unmarshal(old, &known); err != nil {
					return nil, fmt.Errorf("the row's part of the entity cannot be read: %w", err)
				}
			}
			was, ok := known[c.Name]
			if !ok {
				return nil, &processors.UnavailableError{Column: c.Name}
			}
			b.Write(was)
			continue
		}
		if err := valueJSON(&b, c, v); err != nil {
			return nil, fmt.Errorf("column %q: %w", c.Name, err)
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// valueJSON writes a value: numbers and booleans as such where JSON has them, JSON as
// it is, and everything else as PostgreSQL's text.
func valueJSON(b *bytes.Buffer, c *sinks.Column, v cdc.Value) error {
	if v.State == cdc.Null {
		b.WriteString("null")
		return nil
	}
	if !c.Array {
		switch c.Type {
		case sinks.Bool:
			b.WriteString(map[bool]string{true: "true", false: "false"}[string(v.Data) == "t"])
			return nil
		case sinks.Int16, sinks.Int32, sinks.Int64, sinks.Float32, sinks.Float64, sinks.Decimal, sinks.JSON:
			if json.Valid(v.Data) { // NaN and infinities are texts
				b.Write(v.Data)
				return nil
			}
		}
	}
	text, err := json.Marshal(string(v.Data))
	b.Write(text)
	return err
}

// document is the entity's rows by table.
func document(e *state.EntityRecord) []byte {
	var b bytes.Buffer
	b.WriteByte('{')
	last := ""
	for i, name := range slices.Sorted(maps.Keys(e.Contributions)) {
		table, _, _ := strings.Cut(name, "\x00")
		switch {
		case i > 0 && table == last:
			b.WriteByte(',')
		default:
			if i > 0 {
				b.WriteString("],")
			}
			text, _ := json.Marshal(table) // a text always has a JSON form
			b.Write(text)
			b.WriteString(":[")
			last = table
		}
		b.Write(e.Contributions[name].Value)
	}
	if len(e.Contributions) > 0 {
		b.WriteByte(']')
	}
	b.WriteByte('}')
	return b.Bytes()
}
