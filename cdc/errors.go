package cdc

import (
	"errors"
	"fmt"
)

// StopError is the end of the way without a person: the stream must not go on
// and another try would end the same. Its text names what, where and what next.
type StopError struct {
	What string // what is wrong
	Pos  string // position, table or other place; may be empty
	Next string // what a person does about it
	Err  error  // the cause; may be nil
	// Trouble is what a person can settle with a flag of relay run.
	Trouble Trouble
}

// Error is one sentence each for what, where and what next.
func (e *StopError) Error() string {
	s := e.What
	if e.Pos != "" {
		s += " at " + e.Pos
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	if e.Next != "" {
		s += "; " + e.Next
	}
	return s
}

// Unwrap is the cause.
func (e *StopError) Unwrap() error { return e.Err }

// Stopped tells whether err asks for a person, so that trying again is no use.
func Stopped(err error) bool {
	var s *StopError
	return errors.As(err, &s)
}

// RefusedError says that the registry does not take a schema. registry.on_incompatible
// decides what follows.
type RefusedError struct {
	Subject string
	Column  string // that the refusal is about; "" if it does not tell
	Err     error  // the registry's own words
}

// Error names the subject, the column and the registry's reason.
func (e *RefusedError) Error() string {
	s := "the registry refuses the schema of subject " + e.Subject
	if e.Column != "" {
		s += fmt.Sprintf(" (column %q)", e.Column)
	}
	return s + ": " + e.Err.Error()
}

// Unwrap is the registry's answer.
func (e *RefusedError) Unwrap() error { return e.Err }

// KeyChangedError says that a table's key has another shape, which is the names
// and types of its columns, than the records of its topic have.
// kafka.on_key_change decides what follows.
type KeyChangedError struct{ Was, Is string }

// Error names both shapes.
func (e *KeyChangedError) Error() string {
	return fmt.Sprintf("the key was (%s) and is (%s)", e.Was, e.Is)
}

// FactError says that a row contradicts what the catalog said of its table. The
// row wins: the facts are read again or widened.
type FactError struct {
	Column int // index into Table.Columns
	Fact   Fact
	Text   []byte // the value that was refused; aliases the row; nil: NULL
}

// Fact is the kind of catalog fact that a row can contradict.
type Fact uint8

const (
	// FactNotNull: the row has NULL in a column that the facts call NOT NULL.
	FactNotNull Fact = iota
	// FactEnumLabel: the row has an enum label that the facts do not list.
	FactEnumLabel
)

// Error describes it for logs.
func (e *FactError) Error() string {
	return fmt.Sprintf("column %d contradicts the catalog's %s", e.Column, [...]string{"NOT NULL", "enum labels"}[e.Fact])
}

// ValueError says that one value has no form in the record's schema, such as
// NaN in a decimal. Row values never appear in its text.
type ValueError struct {
	Column string
	Reason string
}

// Error names the column and the reason.
func (e *ValueError) Error() string { return fmt.Sprintf("column %q: %s", e.Column, e.Reason) }
