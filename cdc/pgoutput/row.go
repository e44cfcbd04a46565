package pgoutput

import (
	"encoding/binary"
	"fmt"

	"github.com/tailrace/tailrace/cdc"
)

// Row is an INSERT, UPDATE or DELETE of one row. The values' data share the
// message's memory; the slices are used again for the next row.
type Row struct {
	XID      uint32 // of a streamed transaction; else 0
	Relation uint32
	Old      []cdc.Value // nil: not sent
	New      []cdc.Value // nil for DELETE
	// OldKind is 'O' when Old is the whole row (REPLICA IDENTITY FULL), 'K' when
	// only the columns of the replica identity have their values and the others
	// come as Null, and 0 without Old.
	OldKind byte
}

func (d *Decoder) insert(msg []byte) *Error {
	pos, err := d.rowHead(msg)
	if err != nil {
		return err
	}
	if msg[pos] != 'N' {
		return tupleKind(msg, pos, "'N'")
	}
	if pos, err = tuple(msg, pos+1, &d.new); err != nil {
		return err
	}
	d.Row.OldKind, d.Row.Old, d.Row.New = 0, nil, d.new
	return rowEnd(msg, pos)
}

func (d *Decoder) update(msg []byte) *Error {
	pos, err := d.rowHead(msg)
	if err != nil {
		return err
	}
	d.Row.OldKind, d.Row.Old = 0, nil
	if kind := msg[pos]; kind == 'K' || kind == 'O' {
		if pos, err = tuple(msg, pos+1, &d.old); err != nil {
			return err
		}
		d.Row.OldKind, d.Row.Old = kind, d.old
		if pos == len(msg) {
			return cut(msg, pos, "new tuple", 1)
		}
		if msg[pos] != 'N' {
			return tupleKind(msg, pos, "'N'")
		}
	} else if kind != 'N' {
		return tupleKind(msg, pos, "'K', 'O' or 'N'")
	}
	if pos, err = tuple(msg, pos+1, &d.new); err != nil {
		return err
	}
	d.Row.New = d.new
	return rowEnd(msg, pos)
}

func (d *Decoder) delete(msg []byte) *Error {
	pos, err := d.rowHead(msg)
	if err != nil {
		return err
	}
	kind := msg[pos]
	if kind != 'K' && kind != 'O' {
		return tupleKind(msg, pos, "'K' or 'O'")
	}
	if pos, err = tuple(msg, pos+1, &d.old); err != nil {
		return err
	}
	d.Row.OldKind, d.Row.Old, d.Row.New = kind, d.old, nil
	return rowEnd(msg, pos)
}

// rowHead reads up to the letter of the first tuple; msg[pos] is there.
func (d *Decoder) rowHead(msg []byte) (pos int, err *Error) {
	pos = 1
	d.Row.XID = 0
	if d.inStream {
		if len(msg) < 5 {
			return 0, cut(msg, pos, "transaction id", 4)
		}
		d.Row.XID = binary.BigEndian.Uint32(msg[1:])
		pos = 5
	}
	if len(msg)-pos < 5 {
		return 0, cut(msg, pos, "relation and tuple kind", 5)
	}
	d.Row.Relation = binary.BigEndian.Uint32(msg[pos:])
	return pos + 4, nil
}

// tuple reads one TupleData at pos into *dst and yields the position behind it.
// *dst is never nil afterwards, so that a row without columns is no missing row.
func tuple(msg []byte, pos int, dst *[]cdc.Value) (int, *Error) {
	if len(msg)-pos < 2 {
		return 0, cut(msg, pos, "number of columns", 2)
	}
	n := int(binary.BigEndian.Uint16(msg[pos:]))
	if left := len(msg) - pos - 2; n > left { // each takes a byte at least
		return 0, &Error{Kind(msg[0]), pos, fmt.Sprintf("%d columns in %d bytes", n, left)}
	}
	pos += 2
	row := *dst
	if n > cap(row) || row == nil {
		row = make([]cdc.Value, max(n, 8))
	}
	row = row[:n]
	*dst = row
	for i := range row {
		if pos >= len(msg) {
			return 0, column(msg, pos, i, "is not there")
		}
		switch msg[pos] {
		case 't':
			if len(msg)-pos < 5 {
				return 0, column(msg, pos, i, "ends inside its length")
			}
			size := int(int32(binary.BigEndian.Uint32(msg[pos+1:])))
			start := pos + 5
			if uint(size) > uint(len(msg)-start) { // negative ones are huge
				return 0, column(msg, pos+1, i, fmt.Sprintf("has length %d, %d bytes are left", size, len(msg)-start))
			}
			pos = start + size
			row[i].Data, row[i].State = msg[start:pos:pos], cdc.Text
		case 'n':
			row[i] = cdc.Value{State: cdc.Null}
			pos++
		case 'u':
			row[i] = cdc.Value{State: cdc.Unchanged}
			pos++
		case 'b':
			return 0, column(msg, pos, i, "is in binary form, which was not asked for")
		default:
			return 0, column(msg, pos, i, fmt.Sprintf("has the unknown form %q", msg[pos]))
		}
	}
	return pos, nil
}

func rowEnd(msg []byte, pos int) *Error {
	if pos != len(msg) {
		return &Error{Kind(msg[0]), pos, fmt.Sprintf("%d bytes behind the last field", len(msg)-pos)}
	}
	return nil
}

func cut(msg []byte, pos int, field string, n int) *Error {
	return &Error{Kind(msg[0]), pos, fmt.Sprintf("%s takes %d bytes, %d are left", field, n, len(msg)-pos)}
}

func tupleKind(msg []byte, pos int, want string) *Error {
	return &Error{Kind(msg[0]), pos, fmt.Sprintf("tuple kind %q, want %s", msg[pos], want)}
}

func column(msg []byte, pos, i int, what string) *Error {
	return &Error{Kind(msg[0]), pos, fmt.Sprintf("column %d %s", i+1, what)}
}
