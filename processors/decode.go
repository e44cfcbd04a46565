package processors

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/schema"
	"github.com/tailrace/tailrace/sinks"
)

// item is one message on its way through a batch: a change to write, a fault
// that keeps it from being one, or neither when it is filtered.
type item struct {
	message  *kafka.Message
	change   *sinks.Change
	fault    *sinks.RecordError
	filtered bool

	keyed bool // the record has a key, so that its row can be parked
	// digest is sinks.ParkKey of the record key, once it was asked for.
	digest [32]byte
	hashed bool
	extra  *extra // for steps
	schema shapeID
	// verdict is the gate's by row, where there is one.
	verdict verdict
	// expanded: it is one row's share of a change of its table, which counts itself.
	expanded bool

	// What is known of the record, for its dead letter.
	pos, table, op, entity string
	txID                   int64
}

// row is the digest that names the row in the parked markers; most records never
// need it.
func (it *item) row() [32]byte {
	if !it.hashed {
		it.digest, it.hashed = sinks.ParkKey(it.message.Key), true
	}
	return it.digest
}

// shapes holds what schema ids were compiled to, for all partitions: changes of
// one version of a table share a *sinks.Shape. Safe for concurrent use.
type shapes struct {
	mu    sync.Mutex // guards the following
	known map[shapeID]*sinks.Shape
}

type shapeID struct{ value, key int }

func newShapes() *shapes { return &shapes{known: map[shapeID]*sinks.Shape{}} }

func (s *shapes) get(id shapeID, make func() *sinks.Shape) *sinks.Shape {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known[id] == nil {
		s.known[id] = make()
	}
	return s.known[id]
}

// decoder turns the messages of one partition into items. It is not safe for
// concurrent use.
type decoder struct {
	schemas Schemas
	shapes  *shapes
	readers map[int]*schema.Reader
	// unknown remembers since when a schema id is not known to the registry.
	unknown map[int]time.Time
	origins map[sinks.Origin]*sinks.Origin
	event   schema.Event
	arena   arena
	// entities is the internal topic, of an owner of one of its partitions.
	entities string
	topic    string // that the record under way comes from
	// last is the origin that was asked for last, table the text of the one that was read
	// last.
	last  *sinks.Origin
	table struct {
		of   schema.Source
		text string
	}
	shape struct { // that was asked for last
		of   shapeID
		made *sinks.Shape
	}
	// items and extras are those of the last batch; free says that it was let go.
	items  []item
	extras []extra
	free   bool

	keys map[[2]*schema.Reader][]int // where the columns of a key are in a row
	key  []byte                      // of the row under way
	// steps makes batch give each item what steps want to know beyond the change.
	steps bool
}

func newDecoder(schemas Schemas, shared *shapes, steps bool) *decoder {
	return &decoder{steps: steps, schemas: schemas, shapes: shared, readers: map[int]*schema.Reader{}, unknown: map[int]time.Time{}, origins: map[sinks.Origin]*sinks.Origin{}, keys: map[[2]*schema.Reader][]int{}}
}

// unknownFor is how long a schema id may be unknown to the registry before its
// records are faulty: another node of the registry may be behind.
const unknownFor = 30 * time.Second

// maxReaders bounds how many compiled schemas a partition holds.
const maxReaders = 512

// batch decodes messages. An error is transient: the registry does not answer.
func (d *decoder) batch(ctx context.Context, messages []kafka.Message) ([]item, error) {
	items, extras := d.room(len(messages))
	for i := range messages {
		if messages[i].Control {
			continue
		}
		items = append(items, item{message: &messages[i], keyed: messages[i].Key != nil})
		it := &items[len(items)-1]
		if d.steps {
			it.extra = &extras[i]
		}
		err := d.decode(ctx, it)
		if it.change != nil {
			it.change.Offset = it.message.Offset
		}
		if err != nil && !errors.As(err, &it.fault) {
			return nil, fmt.Errorf("%s offset %d: %w", it.message.TopicPartition, it.message.Offset, err)
		}
	}
	return items, nil
}

// room is where the items of a batch go: that of the batch before, if it was let go.
func (d *decoder) room(n int) ([]item, []extra) {
	if !d.free || cap(d.items) < n {
		d.items, d.extras = make([]item, 0, n), nil
	}
	if d.steps && (!d.free || cap(d.extras) < n) {
		d.extras = make([]extra, n)
	}
	if d.free {
		d.arena.recycle()
	} else {
		d.arena.reset()
	}
	d.free = false
	extras := d.extras[:min(n, cap(d.extras))]
	clear(extras)
	return d.items[:0], extras
}

// letGo says that nobody has anything of the last batch any more: neither items nor
// changes, nor their values. Its texts stay.
func (d *decoder) letGo() { d.free = true }

// decode fills it in. A *sinks.RecordError is the record's fault.
func (d *decoder) decode(ctx context.Context, it *item) error {
	m := it.message
	it.pos = d.arena.text(headerBytes(m, cdc.HeaderPosition))
	position, err := positionOf(it.pos)
	if err != nil {
		return err
	}
	d.topic = m.Topic
	mark, err := d.entity(it)
	if err != nil {
		return err
	}
	if mark != nil {
		if d.topic = mark.Topic; mark.Retract {
			return d.retraction(ctx, it, mark, position)
		}
	}
	if mark := header(m, cdc.HeaderSweep); mark != "" {
		return d.sweep(it, position, mark)
	}
	if m.Value == nil { // a Kafka tombstone: for compaction, no change of the row
		it.filtered = true
		return nil
	}
	id, body, err := schema.SplitHeader(m.Value)
	if err != nil {
		return undecodable(err)
	}
	it.schema.value = id
	r, err := d.reader(ctx, id)
	if err != nil {
		return err
	}
	if !r.Envelope() {
		if it.filtered = isMessage(r); it.filtered {
			return nil
		}
		return &sinks.RecordError{Class: sinks.ClassMapping, Reason: "schema " + strconv.Itoa(id) + " is not that of a row change", Next: "leave the topic out of source"}
	}
	if err := r.Read(body, &d.event); err != nil {
		return undecodable(err)
	}
	e := &d.event
	it.op, it.table, it.txID = e.Op.String(), d.tableText(&e.Source), e.Source.TxID
	switch e.Op {
	case cdc.OpMessage:
		it.filtered = true
		return nil
	case cdc.OpRead, cdc.OpCreate, cdc.OpUpdate, cdc.OpDelete:
	case cdc.OpTruncate:
		it.change = &sinks.Change{
			Op: e.Op, Origin: d.origin(d.topic, &e.Source), Position: position, Pos: it.pos, Floor: &sinks.Floor{Pos: it.pos},
			Shape: d.shapes.get(shapeID{id, 0}, func() *sinks.Shape { return shapeOf(r.Columns(), nil) }),
		}
		d.describe(it)
		return nil
	default:
		return &sinks.RecordError{Class: sinks.ClassMapping, Reason: "op " + strconv.Quote(it.op) + " is unknown"}
	}
	change, err := d.change(ctx, m, r, id, it)
	if err != nil {
		return err
	}
	change.Position, change.Pos = position, it.pos
	it.change, it.entity = change, change.Key
	d.describe(it)
	return nil
}

// describe adds what steps want to know of the event that was read last.
func (d *decoder) describe(it *item) {
	if !d.steps {
		return
	}
	e, c := &d.event, it.change
	it.extra.source = SourceInfo{Origin: c.Origin, Snapshot: e.Source.Snapshot, LSN: e.Source.LSN, TxID: e.Source.TxID, Time: time.UnixMilli(e.Source.TsMs).UTC()}
	if e.Before == nil || c.Floor != nil {
		return
	}
	it.extra.before = d.arena.row(e.Before, len(c.Shape.Columns))
	for _, at := range c.Shape.Key { // the record's key has them, whatever the old row lacks
		it.extra.before[at] = c.Row[at]
	}
}

// sweep reads the mark that ends a snapshot of another epoch.
func (d *decoder) sweep(it *item, position cdc.Position, mark string) error {
	s, err := cdc.ParseSweep(mark)
	if err != nil {
		return undecodable(err)
	}
	it.op, it.table = "sweep", s.Schema+"."+s.Table
	it.change = &sinks.Change{
		Op: cdc.OpTruncate, Origin: d.origin(it.message.Topic, &schema.Source{Name: s.Name, DB: s.Database, Schema: s.Schema, Table: s.Table}),
		Position: position, Pos: it.pos, Shape: &sinks.Shape{},
		Floor: &sinks.Floor{Pos: cdc.EpochStart(position.Epoch), Sweep: true, Partitions: s.Partitions},
	}
	if d.steps {
		it.extra.source = SourceInfo{Origin: it.change.Origin}
	}
	return nil
}

// change makes the row change of the event that was read last.
func (d *decoder) change(ctx context.Context, m *kafka.Message, r *schema.Reader, id int, it *item) (*sinks.Change, error) {
	e := &d.event
	columns := r.Columns()
	c := d.arena.change()
	c.Op, c.Origin = e.Op, d.origin(d.topic, &e.Source)
	row := e.After
	if e.Op == cdc.OpDelete {
		row = nil
	} else if row == nil {
		return nil, undecodable(errors.New("after is null in op " + e.Op.String()))
	}
	if h := headerBytes(m, cdc.HeaderUnavailable); len(h) > 0 {
		schema.MarkUnavailable(string(h), e.Before, e.After, columns)
	}
	c.Row = d.arena.row(row, len(columns))
	if m.Key == nil {
		c.Shape = d.shapes.get(shapeID{id, 0}, func() *sinks.Shape { return shapeOf(columns, nil) })
		return c, nil
	}
	keyID, body, err := schema.SplitHeader(m.Key)
	if err != nil {
		return nil, undecodable(fmt.Errorf("key: %w", err))
	}
	it.schema.key = keyID
	kr, err := d.reader(ctx, keyID)
	if err != nil {
		return nil, err
	}
	values, err := kr.ReadRow(body)
	if err != nil {
		return nil, undecodable(fmt.Errorf("key: %w", err))
	}
	indexes, err := d.keyIndexes(kr, r)
	if err != nil {
		return nil, err
	}
	// The key's own values identify the row, in upserts and deletes alike.
	for i, at := range indexes {
		c.Row[at] = d.arena.value(values[i])
	}
	d.key = sinks.AppendRowKey(d.key[:0], values)
	c.Key = d.arena.text(d.key)
	if of := (shapeID{id, keyID}); d.shape.of != of || d.shape.made == nil {
		d.shape.of, d.shape.made = of, d.shapes.get(of, func() *sinks.Shape { return shapeOf(columns, indexes) })
	}
	c.Shape = d.shape.made
	return c, nil
}

func undecodable(err error) error {
	return &sinks.RecordError{Class: sinks.ClassDecode, Reason: err.Error(), Next: "the bytes are not of the schema that they name; see who writes to the topic"}
}

// positionOf reads the position that orders everything. It is never guessed.
func positionOf(text string) (cdc.Position, error) {
	if text == "" {
		return cdc.Position{}, &sinks.RecordError{Class: sinks.ClassNoPosition, Reason: "no header " + cdc.HeaderPosition, Next: "only a relay writes to a data topic; see who else does"}
	}
	p, err := cdc.ParsePosition(text)
	if err != nil {
		return p, &sinks.RecordError{Class: sinks.ClassNoPosition, Reason: "header " + cdc.HeaderPosition + " is not a position", Next: "only a relay writes to a data topic; see who else does"}
	}
	return p, nil
}

func header(m *kafka.Message, name string) string { return string(headerBytes(m, name)) }

func headerBytes(m *kafka.Message, name string) []byte {
	for i := range m.Headers {
		if m.Headers[i].Name == name {
			return m.Headers[i].Value
		}
	}
	return nil
}

// isMessage tells the records of logical messages, whose envelope has no rows.
func isMessage(r *schema.Reader) bool {
	op, message := false, false
	for _, c := range r.Columns() {
		op = op || c.Name == "op"
		message = message || c.Name == "message"
	}
	return op && message
}

// originOf is where a row lives that an entity gives back.
func originOf(m *entityMark) *schema.Source {
	return &schema.Source{Name: m.Name, DB: m.Database, Schema: m.Schema, Table: m.Table}
}

// splitKey is a record key's schema id and what stands behind it.
func splitKey(key []byte) (id int, body string, err error) {
	id, b, err := schema.SplitHeader(key)
	if err != nil {
		return 0, "", undecodable(fmt.Errorf("key: %w", err))
	}
	return id, string(b), nil
}
