package postgres

import (
	"encoding/binary"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/tailrace/tailrace/cdc"
)

// textArray builds a text[] parameter in PostgreSQL's binary form. Its zero
// value is empty.
type textArray struct {
	made  []byte // room for the head, and the elements
	count uint32
	nulls uint32
	oid   uint32 // of the element; text when 0
}

// arrayHead is how long what stands before the elements is.
const arrayHead = 20

// grow makes room for elements of so many bytes, their lengths included.
func (a *textArray) grow(bytes int) { a.made = make([]byte, arrayHead, arrayHead+bytes) }

func (a *textArray) begin(length uint32) {
	if a.made == nil {
		a.made = make([]byte, arrayHead, 256)
	}
	a.made = binary.BigEndian.AppendUint32(a.made, length)
	a.count++
}

func (a *textArray) add(b []byte) {
	a.begin(uint32(len(b)))
	a.made = append(a.made, b...)
}

func (a *textArray) addString(s string) {
	a.begin(uint32(len(s)))
	a.made = append(a.made, s...)
}

func (a *textArray) addNull() {
	a.begin(^uint32(0))
	a.nulls = 1
}

func (a *textArray) addValue(v cdc.Value) {
	if v.State == cdc.Text {
		a.add(v.Data)
	} else {
		a.addNull()
	}
}

// encode is the parameter: dimensions, null flag, element type, length, lower
// bound, elements (src/backend/utils/adt/arrayfuncs.c, array_recv). It is what was
// built: nothing can be added behind it.
func (a *textArray) encode() []byte {
	oid := a.oid
	if oid == 0 {
		oid = pgtype.TextOID
	}
	if a.count == 0 {
		b := make([]byte, 0, 12)
		b = binary.BigEndian.AppendUint32(b, 0)
		b = binary.BigEndian.AppendUint32(b, 0)
		return binary.BigEndian.AppendUint32(b, oid)
	}
	for i, n := range [arrayHead / 4]uint32{1, a.nulls, oid, a.count, 1} {
		binary.BigEndian.PutUint32(a.made[4*i:], n)
	}
	return a.made
}

// query is one statement with its parameters, ready for the extended protocol.
type query struct {
	sql     string
	values  [][]byte
	oids    []uint32
	formats []int16
}

func newQuery(sql string) *query { return &query{sql: sql} }

func (q *query) bind(value []byte, oid uint32, format int16) *query {
	q.values = append(q.values, value)
	q.oids = append(q.oids, oid)
	q.formats = append(q.formats, format)
	return q
}

func (q *query) text(s string) *query { return q.bind([]byte(s), pgtype.TextOID, 0) }

func (q *query) value(v cdc.Value) *query {
	if v.State != cdc.Text {
		return q.bind(nil, pgtype.TextOID, 0)
	}
	if v.Data == nil {
		return q.text("") // nil is NULL
	}
	return q.bind(v.Data, pgtype.TextOID, 0)
}

func (q *query) bigint(n int64) *query {
	return q.bind(binary.BigEndian.AppendUint64(nil, uint64(n)), pgtype.Int8OID, 1)
}

func (q *query) texts(a *textArray) *query { return q.bind(a.encode(), pgtype.TextArrayOID, 1) }

func (q *query) byteas(a *textArray) *query {
	a.oid = pgtype.ByteaOID
	return q.bind(a.encode(), pgtype.ByteaArrayOID, 1)
}

func (q *query) bigints(ns []int64) *query {
	a := textArray{oid: pgtype.Int8OID}
	var b [8]byte
	for _, n := range ns {
		binary.BigEndian.PutUint64(b[:], uint64(n))
		a.add(b[:])
	}
	return q.bind(a.encode(), pgtype.Int8ArrayOID, 1)
}
