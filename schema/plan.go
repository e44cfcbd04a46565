package schema

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"

	"github.com/tailrace/tailrace/cdc"
)

// Registrar gives a schema its id under a subject, registering it when it is
// new. Both the call and its implementation may block; a schema that the
// registry refuses is an error.
type Registrar interface {
	Register(ctx context.Context, subject, schema string) (id int, err error)
}

// Encoder makes plans. It is safe for concurrent use when its Registrar is.
type Encoder struct {
	settings Settings
	registry Registrar
}

// NewEncoder makes an encoder; it registers nothing yet.
func NewEncoder(s Settings, r Registrar) *Encoder {
	return &Encoder{settings: s, registry: r}
}

// Plan compiles the plan of a table version for a topic, after it registered the
// schemas of the key (when the table has one) and of the value.
func (e *Encoder) Plan(ctx context.Context, t *cdc.Table, topic string) (*Plan, error) {
	p, err := compilePlan(e.settings, t, topic)
	if err != nil {
		return nil, err
	}
	if p.keyID, p.valueID, err = e.accept(ctx, "table "+t.String(), topic, p.keySchema, p.valueSchema); err != nil {
		return nil, err
	}
	return p, nil
}

// Plan writes the records of one table version for one topic. It implements
// cdc.Plan and is not safe for concurrent use.
//
// cdc.FactNotNull asks for Widen, cdc.FactEnumLabel for the labels to be read
// again, or for AddLabels.
type Plan struct {
	table     *cdc.Table
	fields    []field
	keys      []field
	fallbacks []int

	// What becomes of values that are not finite, by Settings.Nonfinite.
	nullNonfinite bool // a decimal is null
	nullElement   bool // an element of a list is null, and not the list
	nullInfinite  bool // an interval is null
	textNonfinite bool // an interval is text

	keyID, valueID         int
	keySchema, valueSchema string
	pinned                 bool // the key's schema is older than the table

	sourceHead  []byte // version, connector, name
	sourceDB    []byte
	sourceTable []byte // schema, table

	scratch []byte // of array elements
	json    []byte // of texts that are put together, such as hstores and sequences

	// Of key headers.
	keyNode *node
	keyJSON keyJSON
	keyAvro []byte
}

var _ cdc.Plan = (*Plan)(nil)

func compilePlan(s Settings, t *cdc.Table, topic string) (*Plan, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	fields, fallbacks, err := compileFields(s, t)
	if err != nil {
		return nil, err
	}
	keys := keyFields(t, fields)
	fields = slices.DeleteFunc(fields, func(f field) bool { return t.Columns[f.column].KeyOnly })
	p := &Plan{
		table:         t,
		fields:        fields,
		keys:          keys,
		fallbacks:     fallbacks,
		nullNonfinite: s.nullsNonfinite(),
		nullElement:   s.Nonfinite == "null" && !s.Compat,
		nullInfinite:  s.Nonfinite == "null",
		textNonfinite: s.textNonfinite(),
		keyJSON:       keyJSON{connect: s.Compat},
		scratch:       make([]byte, 0, 256),
		json:          make([]byte, 0, 256),
	}
	namespace := adjustNamespace(topic, s.Names)
	if len(p.keys) > 0 {
		p.keySchema = string(appendKeySchema(nil, namespace, p.keys))
		if p.keyNode, err = parseSchema(p.keySchema); err != nil {
			return nil, fmt.Errorf("table %s: key schema: %w", t, err)
		}
	}
	p.valueSchema = string(appendEnvelopeSchema(nil, namespace, fields))
	p.sourceHead = appendString(nil, s.Version)
	p.sourceHead = appendString(p.sourceHead, "postgresql")
	p.sourceHead = appendString(p.sourceHead, s.Name)
	p.sourceDB = appendString(nil, s.Database)
	p.sourceTable = appendString(appendString(nil, t.Schema), t.Name)
	return p, nil
}

// Table is the table version that the plan writes.
func (p *Plan) Table() *cdc.Table { return p.table }

// KeySchema and ValueSchema are the registered texts; the key's is empty for a
// table without key.
func (p *Plan) KeySchema() string   { return p.keySchema }
func (p *Plan) ValueSchema() string { return p.valueSchema }

// Forget lets the text of the value's schema go, which the plan does not need: with
// thousands of tables it is most of what a plan keeps.
func (p *Plan) Forget() { p.valueSchema = "" }

// KeyID and ValueID are the registry's ids.
func (p *Plan) KeyID() int   { return p.keyID }
func (p *Plan) ValueID() int { return p.valueID }

// Fallbacks lists the columns whose type is outside the table of types, by index
// into the table's Columns: they travel as text, or are dropped where the
// settings say so.
func (p *Plan) Fallbacks() []int { return p.fallbacks }

// AppendKey implements cdc.Plan. Columns that the row does not carry become
// Debezium's fillers; an unchanged TOASTed key column is a *cdc.ValueError.
func (p *Plan) AppendKey(dst []byte, row []cdc.Value) ([]byte, error) {
	if len(p.keys) == 0 {
		return dst, nil
	}
	if len(row) != len(p.table.Columns) {
		return dst, p.badRow(row)
	}
	dst = appendHeader(dst, p.keyID)
	for i := range p.keys {
		f := &p.keys[i]
		v := row[f.column]
		if v.State == cdc.Unchanged {
			return dst, &cdc.ValueError{Column: p.column(f), Reason: "the WAL does not carry this key column's value"}
		}
		if p.pinned && v.State == cdc.Null && f.null == nil {
			return dst, &cdc.ValueError{Column: p.column(f), Reason: "the topic's key schema, which stands for good, has no null for this column"}
		}
		var err error
		if dst, err = p.appendField(dst, f, v); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// AppendKeyJSON implements cdc.Plan.
func (p *Plan) AppendKeyJSON(dst []byte, row []cdc.Value) ([]byte, error) {
	if len(p.keys) == 0 {
		return append(dst, "{}"...), nil
	}
	if len(row) != len(p.table.Columns) {
		return dst, p.badRow(row)
	}
	p.keyAvro = p.keyAvro[:0]
	for i := range p.keys {
		f := &p.keys[i]
		var err error
		if p.keyAvro, err = p.appendField(p.keyAvro, f, row[f.column]); err != nil {
			return dst, err
		}
	}
	c := newCursor(p.keyAvro)
	dst = p.keyJSON.value(dst, &c, p.keyNode)
	return dst, c.failure()
}

// AppendValue implements cdc.Plan.
func (p *Plan) AppendValue(dst []byte, e *cdc.Envelope) ([]byte, error) {
	dst = appendHeader(dst, p.valueID)
	var err error
	if dst, err = p.appendRow(dst, e.Before); err != nil {
		return dst, err
	}
	if dst, err = p.appendRow(dst, e.After); err != nil {
		return dst, err
	}
	dst = p.appendSource(dst, e)
	dst = appendTransaction(dst, e)
	dst = append(dst, 2, byte(e.Op))
	dst = appendLong(append(dst, 2), floorDiv(e.Now, 1_000_000))
	dst = appendLong(append(dst, 2), floorDiv(e.Now, 1000))
	return appendLong(append(dst, 2), e.Now), nil
}

func appendHeader(dst []byte, id int) []byte {
	return binary.BigEndian.AppendUint32(append(dst, 0), uint32(id))
}

// appendRow appends a row as ["null", Value].
func (p *Plan) appendRow(dst []byte, row []cdc.Value) ([]byte, error) {
	if row == nil {
		return append(dst, 0), nil
	}
	if len(row) != len(p.table.Columns) {
		return dst, p.badRow(row)
	}
	dst = append(dst, 2)
	for i := range p.fields {
		f := &p.fields[i]
		var err error
		if dst, err = p.appendField(dst, f, row[f.column]); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

func (p *Plan) appendField(dst []byte, f *field, v cdc.Value) ([]byte, error) {
	switch v.State {
	case cdc.Text:
		start := len(dst)
		dst, reason := p.encodeText(append(dst, f.branch...), f.mapping, v.Data)
		if reason == "" {
			return dst, nil
		}
		return p.refuse(dst, start, f, v.Data, reason)
	case cdc.Absent:
		return append(dst, f.absent...), nil
	case cdc.Unchanged:
		if f.unchanged != nil {
			return append(dst, f.unchanged...), nil
		}
	}
	if f.null == nil {
		return dst, &cdc.FactError{Column: f.column, Fact: cdc.FactNotNull}
	}
	return append(dst, f.null...), nil
}

// refuse says what becomes of a value without form: an error, or null.
func (p *Plan) refuse(dst []byte, start int, f *field, text []byte, reason string) ([]byte, error) {
	switch reason {
	case newLabel:
		return dst, &cdc.FactError{Column: f.column, Fact: cdc.FactEnumLabel, Text: text}
	case nullInList, badNested:
		return dst, &cdc.FactError{Column: f.column, Fact: cdc.FactNotNull, Text: text}
	case notFinite, emptyBit:
		if p.nullNonfinite && f.null == nil {
			return dst, &cdc.FactError{Column: f.column, Fact: cdc.FactNotNull}
		}
		if p.nullNonfinite {
			return append(dst[:start], f.null...), nil
		}
	case infinite:
		if p.nullInfinite && f.null == nil {
			return dst, &cdc.FactError{Column: f.column, Fact: cdc.FactNotNull}
		}
		if p.nullInfinite {
			return append(dst[:start], f.null...), nil
		}
	}
	return dst, &cdc.ValueError{Column: p.column(f), Reason: reason}
}

func (p *Plan) column(f *field) string { return p.table.Columns[f.column].Name }

func (p *Plan) badRow(row []cdc.Value) error {
	return &cdc.ValueError{Column: "*", Reason: fmt.Sprintf("the row has %d columns, the table %d", len(row), len(p.table.Columns))}
}

// appendSource appends the source block.
func (p *Plan) appendSource(dst []byte, e *cdc.Envelope) []byte {
	var tx cdc.Transaction
	if e.Tx != nil {
		tx = *e.Tx
	}
	dst = append(dst, p.sourceHead...)
	dst = appendLong(dst, floorDiv(tx.CommitTime, 1000))
	dst = appendString(append(dst, 0), e.Snapshot.String())
	dst = append(dst, p.sourceDB...)
	dst = p.appendSequence(append(dst, 2), e)
	dst = appendLong(append(dst, 2), tx.CommitTime)
	dst = appendLong(append(dst, 2), tx.CommitTime*1000)
	dst = append(dst, p.sourceTable...)
	dst = appendOptional(dst, int64(tx.XID), tx.XID != 0)
	dst = appendOptional(dst, int64(e.LSN), e.LSN != 0)
	dst = appendOptional(dst, e.XMin, e.XMin != 0)
	if tx.Origin == "" {
		return append(dst, 0, 0)
	}
	dst = appendString(append(dst, 2), tx.Origin)
	return appendOptional(dst, int64(tx.OriginLSN), true)
}

func appendOptional(dst []byte, v int64, present bool) []byte {
	if !present {
		return append(dst, 0)
	}
	return appendLong(append(dst, 2), v)
}

// appendSequence appends the end of the last transaction before this one, or
// null, and the row's own LSN, as JSON text.
func (p *Plan) appendSequence(dst []byte, e *cdc.Envelope) []byte {
	s := p.json[:0]
	if e.LastCommit == 0 {
		s = append(s, `[null,"`...)
	} else {
		s = append(s, `["`...)
		s = strconv.AppendUint(s, uint64(e.LastCommit), 10)
		s = append(s, `","`...)
	}
	s = strconv.AppendUint(s, uint64(e.LSN), 10)
	s = append(s, `"]`...)
	p.json = s
	return appendBytes(dst, s)
}
