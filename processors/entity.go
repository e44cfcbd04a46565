package processors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/processors/state"
	"github.com/tailrace/tailrace/sinks"
)

// A pipeline whose entities have another key than its records has two stages. The first
// belongs to the owner of a row's partition: the gate by row, and the steps before the
// one that gathers, which tell of which entity the row is. It hands the row's record to
// the internal topic, in the partition of the entity; the second stage belongs to the
// owner of that one: the same steps again, then the one that gathers and those behind it.
// Both are the same tasks: partition 3 of the sources and of the internal topic have one
// owner and one state.
//
// What can go wrong, and what is done about it:
//
//   - a row goes from one entity to another: the record of the change need not say which
//     it was (the replica identity has the key alone), so the first stage remembers it.
//     The row is taken back from the old entity first, then given to the new one. Both
//     may be in one partition and have one position, which would look like a repetition:
//     the second has a path behind its position;
//   - a row comes back to an entity: the owner of its partition has written both, one
//     behind the other, so they come in order;
//   - a delete lacks what the entity follows from: what is remembered says it;
//   - a TRUNCATE has become a delete of each row that the partition knows, before;
//   - a record is handed on twice: it is not; the transaction that hands it on has the
//     state and the offset of the first stage. So the second stage needs a gate for what
//     its own dead letters have applied alone. The two gates have keys of their own,
//     since partitions of both are one task;
//   - the steps give something else the second time: those before the one that gathers
//     must follow from the record alone; a step with state is refused there;
//   - the sources are set back in a new generation: each record carries it, so that the
//     gate of the second stage lets through again what the older one has seen;
//   - source.start says latest: of the internal topic everything is read.

// EntityConfig splits a pipeline at the step that gathers rows by another key.
type EntityConfig struct {
	Topic string // the internal one
	At    int    // which of the steps gathers
	// Key makes what says of which entity a row is; "" for none. Concerns tells whether
	// the step is about the change at all.
	Key      func() func(c *Change) (string, error)
	Concerns func(c *Change) bool
	// Partitions makes the topic where it is missing, with so many partitions, and says
	// how many it has.
	Partitions func(ctx context.Context, like int32) (int32, error)
}

// entitySpace is what stands before a table's name in the gate of the second stage.
const entitySpace = "entity:"

// entityStep names the state in which the first stage keeps the entities of rows.
const entityStep = "entity"

// SecondStage tells whether a table's name in the state is that of the gate of the second
// stage, which knows rows once more.
func SecondStage(table string) bool { return strings.HasPrefix(table, entitySpace) }

// EntityOf names the state that says of which entity a row of a table is; key is the text
// that sinks.RowKey makes.
func EntityOf(table, key string) state.Key {
	return state.Key{Step: entityStep, Scope: state.Row, Table: table, Key: key}
}

// handed is a record on its way to the owner of an entity.
type handed struct {
	entity  string
	retract bool
	pos     string
}

// Entity is the key of the entity that the row belongs to, where the pipeline has found
// that in a stage of its own; else "".
func (c *Change) Entity() string {
	if c.line == nil || c.line.item == nil || c.line.item.extra == nil {
		return ""
	}
	return c.line.item.extra.entity
}

// hand is the end of the first stage.
func (l *line) hand(c *Change) error {
	it := l.item
	if it.message.Key == nil {
		return fmt.Errorf("table %s has no key, so its rows are of no entity", c.Source.Origin)
	}
	if l.given > 0 {
		return errors.New("a step before the one that gathers gives several changes for one record")
	}
	k := c.RowState()
	k.Step = entityStep
	known, had, err := l.overlay.Get(l.ctx, k)
	if err != nil {
		return TryAgain(err)
	}
	was, now := string(known), ""
	if c.Op != cdc.OpDelete {
		if now, err = l.entity(c); err != nil {
			return err
		}
	}
	switch {
	case now == "" && had:
		l.overlay.Delete(k)
	case now != "" && now != was:
		l.overlay.Put(k, []byte(now))
	}
	pos := it.pos
	if had && was != now {
		it.extra.handed = append(it.extra.handed, handed{was, true, pos})
		pos += "/0001"
	}
	if now != "" {
		it.extra.handed = append(it.extra.handed, handed{now, false, pos})
	}
	l.given += len(it.extra.handed)
	return nil
}

// entityHeader is what a record of the internal topic says of itself.
const entityHeader = "tailrace.entity"

// entityMark is the header's JSON. Of a row that is taken back only its key is known: the
// record has no value.
type entityMark struct {
	Version int    `json:"v"` // 1
	Key     string `json:"key"`
	Topic   string `json:"topic"` // of the source
	Retract bool   `json:"retract,omitempty"`
	// Generation is that of the row's partition: what an older one has handed on is
	// overwritten.
	Generation int64 `json:"g"`
	// Of a retraction.
	Name     string `json:"name,omitempty"`
	Database string `json:"db,omitempty"`
	Schema   string `json:"schema,omitempty"`
	Table    string `json:"table,omitempty"`
	Value    int    `json:"value,omitempty"` // schema id of the row
	LSN      uint64 `json:"lsn,omitempty"`
	TxID     int64  `json:"txid,omitempty"`
	Time     int64  `json:"ts_ms,omitempty"`
}

// entityRecord is the record that hands an item on.
func (h *handed) record(it *item, topic string, partitions int32, generation int64) kafka.Message {
	o := it.change.Origin
	if s := it.extra.source.Origin; s != nil {
		o = s
	}
	mark := entityMark{Version: 1, Key: h.entity, Topic: it.message.Topic, Retract: h.retract, Generation: generation}
	m := kafka.Message{TopicPartition: kafka.TopicPartition{Topic: topic, Partition: cdc.Partition([]byte(h.entity), partitions)}, Time: it.message.Time, Key: it.message.Key}
	if h.retract {
		mark.Name, mark.Database, mark.Schema, mark.Table, mark.Value = o.Name, o.Database, o.Schema, o.Table, it.schema.value
		mark.LSN, mark.TxID, mark.Time = uint64(it.extra.source.LSN), it.extra.source.TxID, it.extra.source.Time.UnixMilli()
	} else {
		m.Value = it.message.Value
	}
	for _, x := range it.message.Headers {
		if x.Name != cdc.HeaderPosition && (x.Name != cdc.HeaderUnavailable || !h.retract) {
			m.Headers = append(m.Headers, x)
		}
	}
	m.Headers = append(m.Headers, kafka.MessageHeader{Name: cdc.HeaderPosition, Value: []byte(h.pos)}, kafka.MessageHeader{Name: entityHeader, Value: mustJSON(mark)})
	return m
}

// entity reads what the first stage has handed on; nil for any other record.
func (d *decoder) entity(it *item) (*entityMark, error) {
	if d.entities == "" || it.message.Topic != d.entities {
		return nil, nil
	}
	mark := &entityMark{}
	if err := json.Unmarshal([]byte(header(it.message, entityHeader)), mark); err != nil || mark.Version != 1 || mark.Key == "" {
		return nil, &sinks.RecordError{Class: sinks.ClassDecode, Reason: "no header " + entityHeader + " that can be read", Next: "only the pipeline itself writes to its internal topic; see who else does"}
	}
	it.extra.entity, it.extra.generation = mark.Key, mark.Generation
	it.digest, it.hashed = sinks.ParkKey([]byte(mark.Key)), true // the entity is parked, not the row
	return mark, nil
}

// retraction makes the delete of a row that goes to another entity, or is gone.
func (d *decoder) retraction(ctx context.Context, it *item, mark *entityMark, position cdc.Position) error {
	origin := d.origin(mark.Topic, originOf(mark))
	it.op, it.table = cdc.OpDelete.String(), origin.String()
	id, body, err := splitKey(it.message.Key)
	if err != nil {
		return err
	}
	of := *it
	of.change = &sinks.Change{Origin: origin, Position: position, Pos: it.pos}
	row, err := d.removal(ctx, &of, mark.Value, endedRow{key: body, schema: id})
	if err != nil {
		return err
	}
	it.change, it.entity, it.schema = row.change, row.entity, row.schema
	it.extra.retract = true
	it.extra.source = SourceInfo{Origin: origin, LSN: cdc.LSN(mark.LSN), TxID: mark.TxID, Time: time.UnixMilli(mark.Time).UTC()}
	return nil
}
