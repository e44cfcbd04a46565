package sinks

import (
	"errors"
	"fmt"
)

// Class says what is wrong with a record that cannot be applied. It is the
// value of dlq.class and of a metric's label.
type Class string

// The classes.
const (
	ClassDecode      Class = "decode"       // the bytes do not fit their schema
	ClassMapping     Class = "mapping"      // the destination has no place for it
	ClassConstraint  Class = "constraint"   // the destination's rules refuse the value
	ClassMissingBase Class = "missing_base" // a change of some columns, and no row to change
	ClassNoPosition  Class = "no_position"  // no tailrace.pos, or not a position
	ClassTooLarge    Class = "too_large"
	ClassUnknown     Class = "unknown"
)

// Classes lists all of them.
func Classes() []Class {
	return []Class{ClassDecode, ClassMapping, ClassConstraint, ClassMissingBase, ClassNoPosition, ClassTooLarge, ClassUnknown}
}

// CodeLate is the code of a change of a row that is not known, as old as rows whose
// positions are not kept any more.
const CodeLate = "late"

// RecordError says that one record cannot be applied, however often it is
// tried. Its text never holds a value of the row.
type RecordError struct {
	Class  Class
	Code   string // of the destination: SQLSTATE, HTTP status; may be empty
	Reason string
	Next   string // what a person does about it; may be empty
	Stack  string // of the program, where it was its fault; may be empty
}

// Error is the reason, then what to do.
func (e *RecordError) Error() string {
	s := string(e.Class) + ": " + e.Reason
	if e.Code != "" {
		s += " (" + e.Code + ")"
	}
	if e.Next != "" {
		s += "; " + e.Next
	}
	return s
}

// Refusal is one change of a batch with the reason against it.
type Refusal struct {
	Index int // in Batch.Changes
	Err   *RecordError
}

// RefusedError names the changes that keep a batch from being written. Nothing
// of the batch is durable; the rest passes without them.
type RefusedError struct {
	Refusals []Refusal // in the order of Index
}

// Error counts them and gives the first reason.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("%d records refused, the first: %v", len(e.Refusals), e.Refusals[0].Err)
}

// SystemicError says that the destination cannot take any record now: it is
// full, locked away or not as it must be. No record is to blame, so none goes
// to the dead-letter topic; the batch is tried again until it passes.
type SystemicError struct {
	Err  error
	Next string // what a person does about it
}

// Error is the cause, then what to do.
func (e *SystemicError) Error() string {
	if e.Next == "" {
		return e.Err.Error()
	}
	return e.Err.Error() + "; " + e.Next
}

// Unwrap is the cause.
func (e *SystemicError) Unwrap() error { return e.Err }

// CommitUnknownError says that the connection was lost while the destination
// committed: the batch is durable or not, and Reclaim tells which. Result holds
// for the case that it is.
type CommitUnknownError struct {
	Result Result
	Err    error
}

// Error is the cause.
func (e *CommitUnknownError) Error() string {
	return "outcome of the commit is unknown: " + e.Err.Error()
}

// Unwrap is the cause.
func (e *CommitUnknownError) Unwrap() error { return e.Err }

// ErrFenced says that another owner has claimed the partition, or that its
// stored offset was moved: whoever gets it must let go of the partition.
var ErrFenced = errors.New("fenced: another owner has claimed the partition, or its stored offset was moved")

// Systemic tells whether a person may have to act before a retry can help.
func Systemic(err error) bool {
	var s *SystemicError
	return errors.As(err, &s)
}
