package cdc

// Rules is what the configuration makes of the rows of one table, before any
// record, dead letter or log line sees them.
type Rules struct {
	Key    []string                  // columns of the record key, in order; nil: the table's own
	Keep   func(column string) bool  // nil: every column
	Mask   func(column string) *Mask // nil, or a nil result: the value as it is
	Filter RowFilter                 // nil: every row
}

// Mask replaces the values of a column of characters.
type Mask struct {
	// Append appends the replacement of v to dst and tells whether it is a value;
	// otherwise it is NULL. v is Text or Null, never an unavailable value.
	Append func(dst []byte, v Value, t *Column) (text []byte, state State)
	Params []Param // connect.parameters of the column, as Debezium writes them
}

// RowFilter tells whether a row is published. t is the table as the source gave
// it; values can be Unchanged or Absent.
type RowFilter func(t *Table, row []Value) (bool, error)
