package processors

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/processors/state"
	"github.com/tailrace/tailrace/sinks"
)

// task is what the partitions with one number share: the state, and the steps that
// keep it. One session has all of it.
type task struct {
	number  int32
	replica *state.Replica
	line    *line
	purged  time.Time // when expired rows were last looked for

	// serial is held while a batch is under way in the protocol in the sink, whose
	// partitions have a goroutine each; it guards loaded.
	serial sync.Mutex
	loaded bool

	claimsMu sync.Mutex             // guards the following
	claims   map[string]sinks.Claim // by topic, of the partitions that are here

	// In the protocol in the log the state is read in the background. ready says that it
	// has been, and that the partitions are taken up; Runtime.mu guards the others.
	ready atomic.Bool
	ends  context.CancelFunc // of the reading; nil: it was not begun
	topic string             // id of the changelog
	known int64              // the changelog goes at least this far
	// newest is the generation of partitions that were given with one: those that begin
	// take it over.
	newest int64
}

// stored is what the group keeps beside an offset.
type stored struct {
	Version   int    `json:"v"` // 1
	Changelog string `json:"c"` // id of the changelog's
	End       int64  `json:"e"` // the changelog's partition goes at least this far
	// Of a pipeline that was set back.
	Generation int64    `json:"g,omitempty"`
	Stretch    *Stretch `json:"s,omitempty"`
}

// metadata is what is stored beside the owner's offset. It is how a changelog
// that was made anew is recognised, or one that has lost its end.
func (o *owner) metadata(stretch *Stretch, ends map[kafka.TopicPartition]int64, changelog string) string {
	end := o.task.replica.Next
	if e := ends[kafka.TopicPartition{Topic: changelog, Partition: o.task.number}]; e > 0 {
		end = e
	}
	b, err := json.Marshal(stored{Version: 1, Changelog: o.task.topic, End: end, Generation: o.generation, Stretch: stretch})
	if err != nil {
		panic(err) // texts and numbers always have a JSON form
	}
	return string(b)
}

// gate is the gate above an overlay.
func (o *owner) gate(overlay *state.Overlay) *rowGate {
	return &rowGate{
		texts: &o.decoder.arena, overlay: overlay, store: o.task.replica.Memory, space: o.space,
		generation: o.generation, late: o.config.Late, now: time.Now().Truncate(time.Second),
	}
}

// admit decodes messages, and takes what the gate lets pass through the steps.
func (o *owner) admit(ctx context.Context, messages []kafka.Message, overlay *state.Overlay) ([]item, error) {
	decoded, err := o.decoder.batch(ctx, messages)
	if err != nil {
		return nil, err
	}
	t := o.task
	gate := o.gate(overlay)
	gate.until, gate.missing = o.stretch.until(), o.stretch != nil && o.stretch.Missing
	if t.line != nil {
		t.line.ctx, t.line.arena, t.line.generation = ctx, &o.decoder.arena, o.generation
		t.line.over(overlay)
	}
	items, expanded := decoded, false // by a change of a table, which becomes one of each row
	var failed parked
	for i := range decoded {
		it := &decoded[i]
		if f := o.blamed[it.message.Offset]; f != nil && it.fault == nil {
			it.fault = f
		}
		rows, err := o.through(ctx, gate, it, failed)
		if err != nil {
			return nil, err
		}
		if it.fault != nil && it.keyed && o.config.OnPoison == PolicyParkKey && it.verdict == passes {
			if failed == nil {
				failed = parked{}
			}
			failed[it.row()] = sinks.Park{Class: it.fault.Class}
		}
		if len(rows) > 0 && !expanded {
			items, expanded = append(make([]item, 0, len(decoded)+len(rows)), decoded[:i]...), true
		}
		if expanded {
			items = append(append(items, *it), rows...)
		}
	}
	return items, nil
}

// generationOf is that in which an item is judged.
func (o *owner) generationOf(it *item) int64 {
	if it.extra != nil && it.extra.generation > 0 {
		return it.extra.generation
	}
	return o.generation
}

// through takes one item through gate and steps. rows are the changes of single rows
// that a change of their table has become.
func (o *owner) through(ctx context.Context, gate *rowGate, it *item, failed parked) (rows []item, err error) {
	if it.change == nil {
		return nil, nil // filtered, or faulty: without a position that could be judged
	}
	gate.generation = o.generationOf(it)
	p, v, err := gate.see(ctx, it)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", it.place(), err)
	}
	if it.verdict = v; v != passes {
		return nil, nil
	}
	still := it.fault != nil || diverted(o.parked, it) || diverted(failed, it)
	if p.floor {
		if still {
			return nil, nil
		}
		return o.expand(ctx, gate, it, p)
	}
	op := it.change.Op
	if !still {
		if err := o.steps(it); err != nil {
			return nil, err
		}
	}
	if still || it.fault != nil {
		gate.keep(p) // seen
	} else {
		gate.apply(p, op)
	}
	return nil, nil
}

// steps takes an item through the steps, if there are any.
func (o *owner) steps(it *item) error {
	if o.task.line != nil {
		if err := o.task.line.record(it); err != nil {
			return fmt.Errorf("step %s: %s: %w", o.task.line.steps[o.task.line.blame].name, it.place(), err)
		}
		return nil
	}
	it.change.Before, it.change.Same, it.change.SameKey = it.extra.before, !it.expanded, true
	return nil
}

// expand makes a change of a table a delete of each of its rows here that it ends.
func (o *owner) expand(ctx context.Context, gate *rowGate, it *item, p *passage) ([]item, error) {
	table := tableName(it.change.Origin)
	ended, err := gate.ended(ctx, table, p.table.record.Truncated)
	if err != nil {
		return nil, err
	}
	rows := make([]item, 0, len(ended))
	for _, e := range ended {
		row, err := o.decoder.removal(ctx, it, p.table.record.Value, e)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", it.place(), err)
		}
		passage := &passage{key: state.Key{Scope: state.Row, Table: table, Key: e.key}, at: p.at, table: p.table}
		old, _, err := gate.row(ctx, passage.key)
		if err != nil {
			return nil, err
		}
		passage.row = old
		passage.row.Generation, passage.row.Seen = gate.generation, p.at
		if err := o.steps(&row); err != nil {
			return nil, err
		}
		if row.fault == nil {
			gate.apply(passage, cdc.OpDelete)
		} else {
			gate.keep(passage)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// removal is the delete of one row that a change of its table ends. Its record has
// the row's key, and nothing else: it was never in the log.
func (d *decoder) removal(ctx context.Context, of *item, valueID int, e endedRow) (item, error) {
	m := *of.message
	m.Key = append(binary.BigEndian.AppendUint32([]byte{0}, uint32(e.schema)), e.key...)
	m.Value, m.Headers = nil, nil
	for _, h := range of.message.Headers {
		if h.Name != cdc.HeaderSweep {
			m.Headers = append(m.Headers, h)
		}
	}
	it := item{message: &m, keyed: true, expanded: true, pos: of.pos, table: of.table, op: cdc.OpDelete.String(), schema: shapeID{valueID, e.schema}, extra: &extra{source: of.extra.source}}
	r, err := d.reader(ctx, valueID)
	if err != nil {
		return it, err
	}
	columns := r.Columns()
	kr, err := d.reader(ctx, e.schema)
	if err != nil {
		return it, err
	}
	values, err := kr.ReadRow([]byte(e.key))
	if err != nil {
		return it, undecodable(fmt.Errorf("key %s: %w", hex.EncodeToString([]byte(e.key)), err))
	}
	indexes, err := keyIndexes(kr.Columns(), columns)
	if err != nil {
		return it, err
	}
	c := &sinks.Change{Op: cdc.OpDelete, Origin: of.change.Origin, Position: of.change.Position, Pos: of.pos}
	c.Shape = d.shapes.get(shapeID{valueID, e.schema}, func() *sinks.Shape { return shapeOf(columns, indexes) })
	c.Row = d.arena.row(nil, len(columns))
	for i, at := range indexes {
		c.Row[at] = d.arena.value(values[i])
	}
	c.Key = sinks.RowKey(values)
	it.change, it.entity = c, c.Key
	return it, nil
}

// sourceKey names what the state says of a topic of the source.
func (o *owner) sourceKey() state.Key { return state.Key{Scope: state.Source, Table: o.tp.Topic} }

// sameTopic is an error when the state is of another topic of this name: the brokers
// remove a group's offsets with a topic, so they do not tell.
func (o *owner) sameTopic() error {
	b, ok, err := o.task.replica.Get(context.Background(), o.sourceKey())
	if err != nil || !ok {
		o.first = true // the first round writes it
		return err
	}
	if was := string(b); was != "" && o.topicID != "" && was != o.topicID {
		return &cdc.StopError{What: fmt.Sprintf("topic %q was deleted and made anew: the state is of topic id %s, and it is %s now", o.tp.Topic, was, o.topicID), Pos: o.tp.String(),
			Next: "records between the two are lost: build the pipeline anew under another name, from a source that has all of them"}
	}
	return nil
}

// mark puts a plan's markers into the state.
func (o *owner) mark(p *plan, overlay *state.Overlay) {
	now := time.Now().Truncate(time.Second)
	key := func(k [32]byte) state.Key {
		return state.Key{Scope: state.Parked, Table: o.tp.Topic, Key: string(k[:])}
	}
	for _, park := range p.batch.Park {
		m := state.Marker{Since: now}
		if b, ok, err := overlay.Get(context.Background(), key(park.Key)); err == nil && ok {
			if old, err := state.ParseMarker(b); err == nil {
				m.Since = old.Since
			}
		}
		m.Class, m.FirstID, m.Count, m.LastSeen = string(park.Class), park.FirstID, park.Count, now
		overlay.Put(key(park.Key), m.Append(nil))
	}
	for _, k := range p.batch.Unpark {
		overlay.Delete(key(k))
	}
}

// markers are a topic's parked rows as the state has them.
func (t *task) markers(topic string) (parked, error) {
	out := parked{}
	var failed error
	t.replica.Each("", state.Parked, topic, func(key string, value []byte) bool {
		m, err := state.ParseMarker(value)
		if err != nil {
			failed = err
			return false
		}
		p := sinks.Park{Class: sinks.Class(m.Class), FirstID: m.FirstID, Count: m.Count}
		copy(p.Key[:], key)
		out[p.Key] = p
		return true
	})
	return out, failed
}
