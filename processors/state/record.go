package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tailrace/tailrace/cdc"
)

// What the runtime itself remembers has three kinds of records, each under keys of
// its own scope and with Key.Step empty. Their bytes begin with a version; all
// numbers are varints.
//
//	row     generation, seen, applied, key schema, removed, image   Scope Row, Table, Key: the record key without the registry's header
//	table   floors, schemas                                         Scope Table, Table
//	marker  class, since, first id, count, last seen                Scope Parked, Table: the topic, Key: the digest of the record key
//
// An entity of an n:1 step has one as well, kept by the step: EntityRecord.

// recordVersion is the first byte of every record.
const recordVersion = 1

// Place is a position with the path of the step that made the change; it orders
// what was done to a row within one generation. The zero value stands before
// everything.
type Place struct {
	cdc.Position
	Path string // "" for what comes from a relay
}

// ParsePlace reads the text of the header tailrace.pos.
func ParsePlace(text string) (Place, error) {
	head, path := cdc.CutPath(text)
	p, err := cdc.ParsePosition(head)
	return Place{p, path}, err
}

// String is the header's text.
func (p Place) String() string {
	if p.Path == "" {
		return p.Position.String()
	}
	return p.Position.String() + "/" + p.Path
}

// Compare is negative, zero or positive as p stands before, at or after q.
func (p Place) Compare(q Place) int {
	if d := p.Position.Compare(q.Position); d != 0 {
		return d
	}
	return strings.Compare(p.Path, q.Path)
}

// RowRecord is what is known of a source row. The gate compares (Generation,
// Seen); a dead letter that is replayed is judged by Applied.
type RowRecord struct {
	Generation int64
	Seen       Place
	Applied    Place
	KeySchema  int       // registry id of the record key's schema
	Removed    time.Time // when the row was deleted, to the second; zero: it is there
	Image      []byte    // of the row as last applied, where a step needs it; nil: none
}

const (
	rowApplied = 1 << iota // Applied is not Seen
	rowRemoved
	rowImage
)

// Append appends the record's bytes to dst.
func (r *RowRecord) Append(dst []byte) []byte {
	flags := byte(0)
	if r.Applied != r.Seen {
		flags |= rowApplied
	}
	if !r.Removed.IsZero() {
		flags |= rowRemoved
	}
	if r.Image != nil {
		flags |= rowImage
	}
	dst = append(dst, recordVersion, flags)
	dst = binary.AppendVarint(dst, r.Generation)
	dst = appendPlace(dst, r.Seen)
	if flags&rowApplied != 0 {
		dst = appendPlace(dst, r.Applied)
	}
	dst = binary.AppendUvarint(dst, uint64(r.KeySchema))
	if flags&rowRemoved != 0 {
		dst = binary.AppendVarint(dst, r.Removed.Unix())
	}
	if flags&rowImage != 0 {
		dst = append(dst, r.Image...)
	}
	return dst
}

// ParseRow reads a record's bytes, which Image shares.
func ParseRow(b []byte) (RowRecord, error) {
	d := newDecoder(b)
	flags := d.byte()
	r := RowRecord{Generation: d.varint(), Seen: d.place()}
	r.Applied = r.Seen
	if flags&rowApplied != 0 {
		r.Applied = d.place()
	}
	r.KeySchema = int(d.uvarint())
	if flags&rowRemoved != 0 {
		r.Removed = time.Unix(d.varint(), 0).UTC()
	}
	if flags&rowImage != 0 {
		r.Image = d.rest()
	}
	return r, d.finish("row")
}

// TableRecord is what is known of one source table in one partition.
type TableRecord struct {
	Generation int64
	// Truncated and Expired are the floors: no row of the table stands at or below
	// Truncated any more; of rows at or below Expired that are not known, it is not
	// known any more whether they were deleted.
	Truncated, Expired Place
	// Seen is the position of the last change of a table without key, whose changes
	// come through one partition in order.
	Seen Place
	// Value and Key are the registry ids of the schemas that rows came with last; by
	// them a change of the whole table becomes one of each row.
	Value, Key int
}

// Append appends the record's bytes to dst.
func (r *TableRecord) Append(dst []byte) []byte {
	dst = append(dst, recordVersion)
	dst = binary.AppendVarint(dst, r.Generation)
	dst = appendPlace(dst, r.Truncated)
	dst = appendPlace(dst, r.Expired)
	dst = appendPlace(dst, r.Seen)
	dst = binary.AppendUvarint(dst, uint64(r.Value))
	return binary.AppendUvarint(dst, uint64(r.Key))
}

// ParseTable reads a record's bytes.
func ParseTable(b []byte) (TableRecord, error) {
	d := newDecoder(b)
	r := TableRecord{Generation: d.varint(), Truncated: d.place(), Expired: d.place(), Seen: d.place(), Value: int(d.uvarint()), Key: int(d.uvarint())}
	return r, d.finish("table")
}

// Marker says that the changes of an entity are diverted to the dead-letter topic.
// It is all that is kept of them here.
type Marker struct {
	Class    string // of the first dead letter
	FirstID  string // its dlq.id
	Count    int64  // records in the dead-letter topic, the first one included
	Since    time.Time
	LastSeen time.Time // both to the second
}

// Append appends the record's bytes to dst.
func (m *Marker) Append(dst []byte) []byte {
	dst = append(dst, recordVersion)
	dst = appendText(dst, m.Class)
	dst = appendText(dst, m.FirstID)
	dst = binary.AppendVarint(dst, m.Count)
	dst = binary.AppendVarint(dst, m.Since.Unix())
	return binary.AppendVarint(dst, m.LastSeen.Unix())
}

// ParseMarker reads a record's bytes.
func ParseMarker(b []byte) (Marker, error) {
	d := newDecoder(b)
	m := Marker{Class: d.text(), FirstID: d.text(), Count: d.varint()}
	m.Since, m.LastSeen = time.Unix(d.varint(), 0).UTC(), time.Unix(d.varint(), 0).UTC()
	return m, d.finish("marker")
}

// EntityRecord is what an n:1 step keeps of one entity.
type EntityRecord struct {
	// Generation and Sequence are the version of the step's output: the sequence
	// grows by one with each input that was admitted.
	Generation int64
	Sequence   uint64
	// Contributions are what each source row adds, by the row's name.
	Contributions map[string]Contribution
	// Value is what the step makes of them, where it keeps that.
	Value []byte
	// Parked is set while the entity's changes are diverted.
	Parked *Marker
}

// Contribution is one row's part of an entity.
type Contribution struct {
	At    Place
	Value []byte
}

func appendPlace(dst []byte, p Place) []byte {
	dst = binary.AppendUvarint(dst, uint64(p.Epoch))
	dst = binary.AppendUvarint(dst, uint64(p.LSN))
	dst = binary.AppendUvarint(dst, uint64(p.Ordinal))
	dst = binary.AppendUvarint(dst, p.Part)
	return appendText(dst, p.Path)
}

func appendText[T string | []byte](dst []byte, s T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// errTorn says that bytes end before their record.
var errTorn = errors.New("the bytes end within the record")

// decoder reads a record; its first error stays.
type decoder struct {
	b   []byte
	err error
}

func newDecoder(b []byte) *decoder {
	d := &decoder{b: b}
	if v := d.byte(); d.err == nil && v != recordVersion {
		d.err = fmt.Errorf("version %d; this program knows %d", v, recordVersion)
	}
	return d
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail()
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *decoder) fail() {
	if d.err == nil {
		d.err = errTorn
	}
	d.b = nil
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) bytes() []byte {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	b := d.b[:n:n]
	d.b = d.b[n:]
	return b
}

func (d *decoder) text() string { return string(d.bytes()) }

func (d *decoder) rest() []byte {
	b := d.b
	d.b = nil
	if b == nil {
		b = []byte{}
	}
	return b
}

func (d *decoder) place() Place {
	return Place{
		Position: cdc.Position{Epoch: uint32(d.uvarint()), LSN: cdc.LSN(d.uvarint()), Ordinal: uint32(d.uvarint()), Part: d.uvarint()},
		Path:     d.text(),
	}
}

func (d *decoder) finish(what string) error {
	if d.err == nil && len(d.b) > 0 {
		d.err = fmt.Errorf("%d bytes are left after it", len(d.b))
	}
	if d.err != nil {
		return fmt.Errorf("state record %s: %w", what, d.err)
	}
	return nil
}
