package cdc

// Batch is a run of records over one arena, on its way to the log. The loop
// appends to it, the log takes it over whole and gives the arena back when every
// record is acknowledged: acknowledgements are counted per batch, not per row.
// It is not safe for concurrent use.
type Batch struct {
	Buf     []byte
	Records []Record
	Owner   any // what the log knows the batch by
}

// Record is one Kafka record whose bytes lie in its batch's arena, one after the
// other from Start: key, value, position, unavailable list, key JSON. Offsets,
// not slices: the arena may move while it grows.
type Record struct {
	Topic       string
	Partition   int32
	Start       int
	Key         int // length in bytes; 0: null
	Value       int
	Pos         int
	Unavailable int
	KeyJSON     int
	Tombstone   bool    // null value
	Half        KeyHalf // which header KeyJSON goes into
	Bare        bool    // without the context headers: messages, transactions, heartbeats
	Extra       []Header
}

// Header is a record header whose value is text.
type Header struct{ Name, Value string }

// KeyHalf tells which half of a key change a record is.
type KeyHalf uint8

// The halves of a key change.
const (
	WholeRow KeyHalf = iota
	OldHalf          // the delete: its header names the new key
	NewHalf          // the create: its header names the old key
)

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() { b.Buf, b.Records = b.Buf[:0], b.Records[:0] }
