package rehearsal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/processors"
	"github.com/tailrace/tailrace/schema"
	"github.com/tailrace/tailrace/sinks"
)

// Value is a value as a person writes it: PostgreSQL's text, or null.
type Value struct {
	Text string
	Null bool
}

// Change is one change of the source as a person writes it.
type Change struct {
	Table string
	// Op is r, c, u, d, t, or sweep for the mark behind a new snapshot.
	Op string
	// Row is the new row: what it leaves out is null, and what Unavailable lists is
	// not in the record. Before is the old one: what it leaves out is not in the
	// record.
	Row, Before map[string]Value
	Unavailable []string
	// Position is a position, or the number of a transaction; "" is one further than
	// the change before.
	Position  string
	Partition int
}

// World is a source, of which changes become records.
type World struct {
	Name       string // of the relay
	Database   string
	Partitions int // of each topic

	tables  map[string]*cdc.Table
	schemas []string // by id-1
	plans   map[string]*schema.Plan
	encoder *schema.Encoder
	number  int
	offsets map[partition]int64
}

// NewWorld makes a source of tables.
func NewWorld(name string, tables []*cdc.Table) *World {
	w := &World{Name: name, Database: name, Partitions: 1, tables: map[string]*cdc.Table{}, plans: map[string]*schema.Plan{}, offsets: map[partition]int64{}}
	for _, t := range tables {
		w.tables[t.String()] = t
	}
	w.encoder = schema.NewEncoder(schema.Settings{Name: w.Name, Database: w.Database, Version: "rehearsal", MoneyDigits: 2}, w)
	return w
}

// Register is the registry of the world's encoder.
func (w *World) Register(_ context.Context, _, text string) (int, error) {
	if i := slices.Index(w.schemas, text); i >= 0 {
		return i + 1, nil
	}
	w.schemas = append(w.schemas, text)
	return len(w.schemas), nil
}

// SchemaByID implements processors.Schemas.
func (w *World) SchemaByID(_ context.Context, id int) (string, error) {
	if id < 1 || id > len(w.schemas) {
		return "", processors.ErrUnknownSchema
	}
	return w.schemas[id-1], nil
}

// Topic is the topic of a table.
func (w *World) Topic(table string) string { return w.Name + "." + table }

func (w *World) plan(ctx context.Context, table string) (*schema.Plan, error) {
	if p := w.plans[table]; p != nil {
		return p, nil
	}
	t := w.tables[table]
	if t == nil {
		return nil, fmt.Errorf("there is no table %q among tables: %v", table, slices.Sorted(maps.Keys(w.tables)))
	}
	p, err := w.encoder.Plan(ctx, t, w.Topic(table))
	if err != nil {
		return nil, err
	}
	w.plans[table] = p
	return p, nil
}

// Record makes the record of a change.
func (w *World) Record(ctx context.Context, c Change) (sinks.Record, error) {
	m := sinks.Record{Topic: w.Topic(c.Table), Partition: int32(c.Partition), Timestamp: time.UnixMilli(0).UTC()}
	plan, err := w.plan(ctx, c.Table)
	if err != nil {
		return m, err
	}
	t := w.tables[c.Table]
	pos, err := w.position(c)
	if err != nil {
		return m, err
	}
	if c.Partition < 0 || c.Partition >= max(w.Partitions, 1) {
		return m, fmt.Errorf("want a partition from 0 to %d, found %d", max(w.Partitions, 1)-1, c.Partition)
	}
	p := partition{m.Topic, m.Partition}
	m.Offset = w.offsets[p]
	w.offsets[p]++
	m.Headers = []sinks.Header{{Name: cdc.HeaderPosition, Value: pos.Append(nil)}}
	if c.Op == "sweep" {
		mark, err := json.Marshal(cdc.Sweep{Version: 1, Name: w.Name, Database: w.Database, Schema: t.Schema, Table: t.Name, Partitions: max(w.Partitions, 1)})
		m.Headers = append(m.Headers, sinks.Header{Name: cdc.HeaderSweep, Value: mark})
		return m, err
	}
	e := &cdc.Envelope{Op: cdc.Op(c.Op[0]), Tx: &cdc.Transaction{XID: 700 + uint32(w.number), CommitLSN: pos.LSN, CommitTime: int64(w.number) * 1_000_000}, LSN: pos.LSN, Now: int64(w.number) * 1_000_000_000}
	if e.Op == cdc.OpRead {
		e.Snapshot, e.Tx.XID = cdc.SnapshotTrue, 0
	}
	if err := w.rows(t, c, e); err != nil {
		return m, err
	}
	if row := keyed(e); row != nil && len(t.Key) > 0 {
		if m.Key, err = plan.AppendKey(nil, row); err != nil {
			return m, err
		}
	}
	if m.Value, err = plan.AppendValue(nil, e); err != nil {
		return m, err
	}
	if h := cdc.AppendUnavailable(nil, t, e.Before, e.After); len(h) > 0 {
		m.Headers = append(m.Headers, sinks.Header{Name: cdc.HeaderUnavailable, Value: h})
	}
	return m, nil
}

// keyed is the row that the record's key comes from.
func keyed(e *cdc.Envelope) []cdc.Value {
	if e.Op == cdc.OpDelete {
		return e.Before
	}
	return e.After
}

// position is where a change stands.
func (w *World) position(c Change) (cdc.Position, error) {
	w.number++
	if c.Position != "" {
		if p, err := cdc.ParsePosition(c.Position); err == nil {
			return p, nil
		}
		n, err := strconv.ParseUint(c.Position, 10, 31)
		if err != nil {
			return cdc.Position{}, fmt.Errorf("position: want a number, or a position as in 00000001/0000000000000005/00000001/00, found %q", c.Position)
		}
		w.number = int(n)
	}
	p := cdc.Position{Epoch: 1, LSN: cdc.LSN(w.number), Ordinal: 1}
	switch c.Op {
	case "r":
		p.Ordinal, p.Part = 0, uint64(w.number)
	case "sweep":
		p.Epoch, p.Ordinal = 2, 0
	}
	return p, nil
}

// rows makes the rows of an event.
func (w *World) rows(t *cdc.Table, c Change, e *cdc.Envelope) error {
	full := func(given map[string]Value) bool { return given != nil }
	switch e.Op {
	case cdc.OpRead, cdc.OpCreate:
		if !full(c.Row) || c.Before != nil || len(c.Unavailable) > 0 {
			return errors.New("op " + c.Op + " has a row, nothing before it, and nothing unavailable")
		}
	case cdc.OpUpdate:
		if !full(c.Row) {
			return errors.New("op u has a row")
		}
	case cdc.OpDelete:
		if c.Row != nil || !full(c.Before) {
			return errors.New("op d has before: the old row, as far as the record carries it")
		}
	case cdc.OpTruncate:
		if c.Row != nil || c.Before != nil {
			return errors.New("op t has no row")
		}
	default:
		return fmt.Errorf("want op r, c, u, d, t or sweep, found %q", c.Op)
	}
	var err error
	if c.Row != nil {
		if e.After, err = w.row(t, c.Row, cdc.Null); err != nil {
			return err
		}
		for _, name := range c.Unavailable {
			at := column(t, name)
			if at < 0 {
				return noColumn(t, name)
			}
			e.After[at] = cdc.Value{State: cdc.Unchanged}
		}
	}
	if c.Before != nil {
		if e.Before, err = w.row(t, c.Before, cdc.Absent); err != nil {
			return err
		}
	}
	for _, k := range t.Key {
		if row := keyed(e); row != nil && row[k].State != cdc.Text {
			return fmt.Errorf("column %s is of the key and must have a value", t.Columns[k].Name)
		}
	}
	return nil
}

func (w *World) row(t *cdc.Table, given map[string]Value, otherwise cdc.State) ([]cdc.Value, error) {
	row := make([]cdc.Value, len(t.Columns))
	for i := range row {
		row[i].State = otherwise
	}
	for name, v := range given {
		at := column(t, name)
		switch {
		case at < 0:
			return nil, noColumn(t, name)
		case v.Null:
			row[at] = cdc.Value{}
		default:
			row[at] = cdc.Value{State: cdc.Text, Data: []byte(textOf(t.Columns[at].Type, v.Text))}
		}
	}
	return row, nil
}

// textOf is PostgreSQL's text of what YAML and people call true and false.
func textOf(t *cdc.Type, s string) string {
	if t.Name == "bool" && (s == "true" || s == "false") {
		return s[:1]
	}
	return s
}

func column(t *cdc.Table, name string) int {
	return slices.IndexFunc(t.Columns, func(c cdc.Column) bool { return c.Name == name })
}

func noColumn(t *cdc.Table, name string) error {
	return fmt.Errorf("table %s has no column %q", t, name)
}
