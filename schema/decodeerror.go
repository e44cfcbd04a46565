package schema

import "fmt"

// DecodeError says that bytes are not a record of their schema.
type DecodeError struct {
	Offset int // of the first byte that does not fit, in the Avro body
	Reason string
}

// Error names the reason and the place.
func (e *DecodeError) Error() string {
	return fmt.Sprintf("Avro body at byte %d: %s", e.Offset, e.Reason)
}
