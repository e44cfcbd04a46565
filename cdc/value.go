package cdc

// Value is one column of a row in PostgreSQL's text form. Its zero value is
// NULL. Data aliases the read buffer that it came from and is valid only until
// the source is asked for the next event; whoever keeps it copies it.
type Value struct {
	Data  []byte
	State State
}

// State says whether a value is there, and if not, why.
type State uint8

const (
	// Null is SQL NULL.
	Null State = iota
	// Text is a value, in Data.
	Text
	// Unchanged is a TOASTed value that an UPDATE did not touch and that the WAL
	// therefore does not carry (PostgreSQL documentation, section 54.9, TupleData
	// 'u'). It never reaches a sink as a value.
	Unchanged
	// Absent is a column of an old row that the replica identity does not cover.
	Absent
)

// FillUnchanged replaces unchanged TOAST values of an UPDATE's new row by the
// old row's values where the old row is complete (REPLICA IDENTITY FULL), so
// that only what the WAL really lacks stays Unchanged.
func FillUnchanged(row, old []Value) {
	if len(old) != len(row) {
		return
	}
	for i := range row {
		if row[i].State == Unchanged && (old[i].State == Text || old[i].State == Null) {
			row[i] = old[i]
		}
	}
}

// AppendUnavailable appends the text of the header tailrace.unavailable: the
// columns whose value the WAL did not carry, as before.<column> and
// after.<column> with commas between them; nothing when every value is there.
func AppendUnavailable(dst []byte, t *Table, before, after []Value) []byte {
	dst, some := appendMissing(dst, t, "before.", before, false)
	dst, _ = appendMissing(dst, t, "after.", after, some)
	return dst
}

func appendMissing(dst []byte, t *Table, prefix string, row []Value, some bool) ([]byte, bool) {
	for i := range row {
		if s := row[i].State; s != Unchanged && s != Absent || t.Columns[i].KeyOnly {
			continue
		}
		if some {
			dst = append(dst, ',')
		}
		dst = append(append(dst, prefix...), t.Columns[i].Name...)
		some = true
	}
	return dst, some
}
