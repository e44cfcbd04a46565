package cdc

// LongRow takes in a row that is too long to be held, one value after the other.
// A source calls it: Row for the old row if there is one, then for the new one;
// within each, Value for every column in order, and Data for the pieces of a value;
// End when all is told. An error ends it. What is passed to Data is valid during
// the call.
//
// A logical message is told the same way: one row with one value, its content.
type LongRow interface {
	// Row begins the old row or the new one. whole says that an old row has all its
	// columns (REPLICA IDENTITY FULL).
	Row(old, whole bool) error
	// Value begins the value of a column, by its number from 0. Only Text has Data.
	Value(column int, state State) error
	Data(piece []byte) error
	End() error
}
