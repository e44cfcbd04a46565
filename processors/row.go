package processors

import (
	"fmt"
	"strconv"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/sinks"
)

// Row is one row: its columns, which are shared, and a value for each, which are
// its own. A row without Values is none.
type Row struct {
	Columns *sinks.Shape
	Values  []cdc.Value
}

// Exists tells whether there is a row.
func (r Row) Exists() bool { return r.Values != nil }

// Index is the place of a column, -1 for none. Of a row that does not exist it is
// -1 as well.
func (r Row) Index(column string) int {
	if r.Values == nil {
		return -1
	}
	for i := range r.Columns.Columns {
		if r.Columns.Columns[i].Name == column {
			return i
		}
	}
	return -1
}

// Value is the value of a column in PostgreSQL's text form. It is an error when
// there is no row (ErrNoRow), no such column, the value is null (ErrNull), or it
// is not known (*UnavailableError).
func (r Row) Value(column string) ([]byte, error) {
	if r.Values == nil {
		return nil, ErrNoRow
	}
	i := r.Index(column)
	if i < 0 {
		return nil, fmt.Errorf("there is no column %q", column)
	}
	switch v := r.Values[i]; v.State {
	case cdc.Null:
		return nil, fmt.Errorf("column %q: %w", column, ErrNull)
	case cdc.Text:
		return v.Data, nil
	default:
		return nil, &UnavailableError{Column: column, Old: v.State == cdc.Absent}
	}
}

// Text is the value of a column as a text; its errors are those of Value.
func (r Row) Text(column string) (string, error) {
	v, err := r.Value(column)
	return string(v), err
}

// Int is the value of an integer column; its errors are those of Value, or that
// the value is none.
func (r Row) Int(column string) (int64, error) {
	v, err := r.Value(column)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(string(v), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("column %q holds no integer", column)
	}
	return n, nil
}

// Bool is the value of a boolean column; its errors are those of Value, or that
// the value is none.
func (r Row) Bool(column string) (bool, error) {
	v, err := r.Value(column)
	switch {
	case err != nil:
		return false, err
	case string(v) == "t":
		return true, nil
	case string(v) == "f":
		return false, nil
	}
	return false, fmt.Errorf("column %q holds no boolean", column)
}

// Null is the value null.
var Null = cdc.Value{}

// Text makes a value of a text in PostgreSQL's form of the column's type.
func Text(s string) cdc.Value { return cdc.Value{State: cdc.Text, Data: []byte(s)} }

// Int makes a value of an integer.
func Int(n int64) cdc.Value { return cdc.Value{State: cdc.Text, Data: strconv.AppendInt(nil, n, 10)} }

// Set gives a column of the change's current row a value. It is an error when
// there is no row or no such column.
func (c *Change) Set(column string, v cdc.Value) error {
	row := c.Row()
	if row.Values == nil {
		return ErrNoRow
	}
	i := row.Index(column)
	if i < 0 {
		return fmt.Errorf("there is no column %q", column)
	}
	row.Values[i] = v
	return nil
}
