package schema

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/tailrace/tailrace/cdc"
)

// SplitHeader takes the registry's header off a record key or value.
func SplitHeader(record []byte) (id int, body []byte, err error) {
	if len(record) < cdc.KeyHeaderBytes || record[0] != 0 {
		return 0, nil, &DecodeError{Offset: 0, Reason: "no registry header (a zero byte and a schema id)"}
	}
	return int(binary.BigEndian.Uint32(record[1:])), record[cdc.KeyHeaderBytes:], nil
}

// Event is one decoded envelope.
type Event struct {
	Op            cdc.Op
	Source        Source
	Before, After []cdc.Value // nil: null
}

// Source is what an envelope says of its origin. What is null there is zero.
type Source struct {
	Name, DB, Schema, Table string
	Snapshot                string
	LSN                     cdc.LSN
	TxID                    int64
	TsMs                    int64 // commit time, in milliseconds since 1970-01-01
}

// Reader turns Avro bodies of one writer schema into values. It is not safe for
// concurrent use.
//
// It reads envelopes (Read) and plain records such as keys (ReadRow), as this
// package or Debezium writes them. The values are PostgreSQL's text; they alias
// the body and the reader's own buffer, and are valid until its next call. Bytes
// that are not of the schema are a *DecodeError.
type Reader struct {
	root     *node
	envelope bool
	row      *node // the record of a row, or of a key
	columns  []Field

	arena         []byte // of this call's texts
	elem          []byte // of one array element
	leaf          []byte // of one text inside JSON
	before, after []cdc.Value
}

// NewReader compiles a reader for a writer's schema, which must be a record.
func NewReader(schemaText string) (*Reader, error) {
	root, err := parseSchema(schemaText)
	if err != nil {
		return nil, err
	}
	if root.typ != avroRecord {
		return nil, errors.New("the schema is not a record")
	}
	r := &Reader{root: root, row: root}
	if row := envelopeRow(root); row != nil {
		r.envelope, r.row = true, row
	}
	r.before = make([]cdc.Value, 0, len(r.row.fields))
	r.after = make([]cdc.Value, 0, len(r.row.fields))
	for _, f := range r.row.fields {
		r.columns = append(r.columns, fieldOf(f.name, f.node))
	}
	return r, nil
}

// envelopeRow is the row record of an envelope's schema, nil for other records.
func envelopeRow(root *node) *node {
	var row *node
	op := false
	for _, f := range root.fields {
		switch f.name {
		case "op":
			op = f.node.typ == avroString
		case "before", "after":
			if f.node.typ != avroUnion {
				return nil
			}
			for _, b := range f.node.branches {
				switch {
				case b.typ == avroNull:
				case b.typ == avroRecord && (row == nil || row == b):
					row = b
				default:
					return nil
				}
			}
		}
	}
	if !op {
		return nil
	}
	return row
}

// Envelope tells whether the schema is an envelope's.
func (r *Reader) Envelope() bool { return r.envelope }

// Columns describes the columns of a row, in order; of the record itself when
// the schema is no envelope.
func (r *Reader) Columns() []Field { return r.columns }

// Read decodes the body of an envelope, without the registry's header, into e.
func (r *Reader) Read(body []byte, e *Event) error {
	if !r.envelope {
		return fmt.Errorf("schema %s is not an envelope's", r.root.name)
	}
	r.arena = r.arena[:0]
	source := Source{Name: e.Source.Name, DB: e.Source.DB, Schema: e.Source.Schema, Table: e.Source.Table, Snapshot: e.Source.Snapshot}
	*e = Event{Source: Source{}}
	c := newCursor(body)
	for i := range r.root.fields {
		f := &r.root.fields[i]
		switch f.name {
		case "before":
			e.Before = r.readRow(&c, f.node, &r.before)
		case "after":
			e.After = r.readRow(&c, f.node, &r.after)
		case "source":
			e.Source = r.readSource(&c, f.node, source)
		case "op":
			if op := c.bytes(); len(op) == 1 {
				e.Op = cdc.Op(op[0])
			} else if c.err == nil {
				c.fail("op is not one letter")
			}
		default:
			c.skip(f.node, 0)
		}
	}
	return c.finish()
}

// ReadRow decodes the body of a record that is no envelope, such as a key.
func (r *Reader) ReadRow(body []byte) ([]cdc.Value, error) {
	if r.envelope {
		return nil, fmt.Errorf("schema %s is an envelope's", r.root.name)
	}
	r.arena = r.arena[:0]
	c := newCursor(body)
	row := r.readRecord(&c, r.root, &r.after)
	if err := c.finish(); err != nil {
		return nil, err
	}
	return row, nil
}

// finish is the error of the whole reading.
func (c *cursor) finish() error {
	if c.err == nil && len(c.data) > 0 {
		c.fail("bytes are left after the record")
	}
	return c.failure()
}

// readRow reads ["null", Value].
func (r *Reader) readRow(c *cursor, union *node, row *[]cdc.Value) []cdc.Value {
	n := c.branch(union)
	if n == nil || n.typ == avroNull {
		return nil
	}
	return r.readRecord(c, n, row)
}

func (r *Reader) readRecord(c *cursor, n *node, row *[]cdc.Value) []cdc.Value {
	values := (*row)[:0]
	for i := range n.fields {
		values = append(values, r.readValue(c, n.fields[i].node))
	}
	*row = values
	return values
}

// readValue reads one value; strings alias the body.
func (r *Reader) readValue(c *cursor, n *node) cdc.Value {
	if n = c.resolve(n); n == nil || n.typ == avroNull {
		return cdc.Value{}
	}
	if n.plain {
		return cdc.Value{State: cdc.Text, Data: c.bytes()}
	}
	start := len(r.arena)
	r.arena = r.appendText(r.arena, c, n, 0)
	return cdc.Value{State: cdc.Text, Data: r.arena[start:len(r.arena):len(r.arena)]}
}

// branch reads the index of a union and gives the branch, nil for a bad index.
func (c *cursor) branch(union *node) *node {
	i := c.long()
	if c.err != nil {
		return nil
	}
	if i < 0 || i >= int64(len(union.branches)) {
		c.fail("no such union branch")
		return nil
	}
	return union.branches[i]
}

// resolve goes through unions to the type of the value that follows.
func (c *cursor) resolve(n *node) *node {
	if n.typ == avroUnion {
		return c.branch(n)
	}
	return n
}

func (r *Reader) readSource(c *cursor, n *node, last Source) Source {
	var s Source
	if n = c.resolve(n); n == nil || n.typ != avroRecord {
		c.fail("source is not a record")
		return s
	}
	for i := range n.fields {
		f := &n.fields[i]
		switch f.name {
		case "name":
			s.Name = c.text(f.node, last.Name)
		case "db":
			s.DB = c.text(f.node, last.DB)
		case "schema":
			s.Schema = c.text(f.node, last.Schema)
		case "table":
			s.Table = c.text(f.node, last.Table)
		case "snapshot":
			s.Snapshot = c.text(f.node, last.Snapshot)
		case "lsn":
			s.LSN = cdc.LSN(c.number(f.node))
		case "txId":
			s.TxID = c.number(f.node)
		case "ts_ms":
			s.TsMs = c.number(f.node)
		default:
			c.skip(f.node, 0)
		}
	}
	return s
}

// text reads a string; when it equals last, no new one is made.
func (c *cursor) text(n *node, last string) string {
	n = c.resolve(n)
	switch {
	case n == nil || n.typ == avroNull:
		return ""
	case n.typ != avroString:
		c.skip(n, 0)
		return ""
	}
	b := c.bytes()
	if string(b) == last {
		return last
	}
	return string(b)
}

func (c *cursor) number(n *node) int64 {
	n = c.resolve(n)
	switch {
	case n == nil || n.typ == avroNull:
		return 0
	case n.typ != avroInt && n.typ != avroLong:
		c.skip(n, 0)
		return 0
	}
	return c.long()
}

const maxDepth = 64

// skip reads a value of any type and forgets it.
func (c *cursor) skip(n *node, depth int) {
	if n = c.resolve(n); n == nil || c.err != nil {
		return
	}
	if depth > maxDepth {
		c.fail("nested too deeply")
		return
	}
	switch n.typ {
	case avroBoolean:
		c.byte()
	case avroInt, avroLong, avroEnum:
		c.long()
	case avroFloat:
		c.take(4)
	case avroDouble:
		c.take(8)
	case avroBytes, avroString:
		c.bytes()
	case avroFixed:
		c.take(n.size)
	case avroRecord:
		for i := range n.fields {
			c.skip(n.fields[i].node, depth+1)
		}
	case avroArray, avroMap:
		for left := c.block(); left > 0 && c.err == nil; left = c.block() {
			for ; left > 0 && c.err == nil; left-- {
				if n.typ == avroMap {
					c.bytes()
				}
				c.skip(n.items, depth+1)
			}
		}
	}
}

// block reads the head of a block of array elements or map entries: how many
// follow, zero at the end.
func (c *cursor) block() int64 {
	n := c.long()
	if n < 0 {
		c.long() // the block's size in bytes
		n = -n
	}
	// An element takes a byte at least; what takes none is nothing to list.
	if n < 0 || n > int64(len(c.data)) {
		c.fail("a list claims more elements than there are bytes")
		return 0
	}
	return n
}
