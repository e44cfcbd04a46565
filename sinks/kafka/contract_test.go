package kafka

import (
	"testing"
	"time"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/schema"
	"github.com/tailrace/tailrace/sinks"
	"github.com/tailrace/tailrace/sinks/sinktest"
)

func TestContract(t *testing.T) {
	t.Parallel()
	sinktest.RunRecords(t, func(t *testing.T) sinktest.Log {
		w := &world{partitions: 3}
		return sinktest.Log{
			Partitions: 3,
			Open:       func(t *testing.T) sinktest.Writer { return w.sink(t, "out.{table}") },
			Encode:     w.encode,
			Decode:     w.decode,
		}
	})
}

// encode makes the record of a change as a relay does.
func (w *world) encode(t *testing.T, c *sinks.Change) sinks.Record {
	t.Helper()
	table := tableOf(c.Origin, c.Shape)
	p, err := schema.NewEncoder(schema.Settings{Name: c.Origin.Name, Database: c.Origin.Database, Version: "relay", MoneyDigits: 2}, w).Plan(t.Context(), table, c.Origin.Topic)
	if err != nil {
		t.Fatal(err)
	}
	e := &cdc.Envelope{Op: c.Op, After: c.Row, Tx: &cdc.Transaction{CommitLSN: c.Position.LSN}, LSN: c.Position.LSN, Now: time.Now().UnixNano()}
	if c.Op == cdc.OpDelete {
		e.Before, e.After = c.Row, nil
	}
	for i, v := range c.Row { // of rows that only their key is asked of
		if v.State == cdc.Text && len(v.Data) == 0 && c.Shape.Columns[i].Type != sinks.Text {
			c.Row[i] = cdc.Value{}
		}
	}
	var r sinks.Record
	if r.Key, err = p.AppendKey(nil, c.Row); err != nil {
		t.Fatal(err)
	}
	if r.Value, err = p.AppendValue(nil, e); err != nil {
		t.Fatal(err)
	}
	return r
}

func (w *world) decode(t *testing.T, r sinks.Record) (op, key string, columns map[string]string) {
	t.Helper()
	reader := func(record []byte) (*schema.Reader, []byte) {
		id, body, err := schema.SplitHeader(record)
		if err != nil {
			t.Fatal(err)
		}
		made, err := schema.NewReader(w.schemas[id-1])
		if err != nil {
			t.Fatal(err)
		}
		return made, body
	}
	of, body := reader(r.Key)
	values, err := of.ReadRow(body)
	if err != nil {
		t.Fatal(err)
	}
	key = sinks.RowKey(values)
	if r.Value == nil {
		return "", key, nil
	}
	of, body = reader(r.Value)
	var e schema.Event
	if err := of.Read(body, &e); err != nil {
		t.Fatal(err)
	}
	schema.MarkUnavailable(text(r.Headers, cdc.HeaderUnavailable), e.Before, e.After, of.Columns())
	if e.Op == cdc.OpDelete {
		return e.Op.String(), key, nil
	}
	columns = map[string]string{}
	for i, v := range e.After {
		if v.State == cdc.Text {
			columns[of.Columns()[i].Name] = string(v.Data)
		}
	}
	return e.Op.String(), key, columns
}
