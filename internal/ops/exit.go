package ops

import (
	"errors"

	"github.com/tailrace/tailrace/cdc"
)

// The exit codes of every command.
const (
	ExitDone    = 0 // done; of run: asked to stop, and stopped cleanly
	ExitFailed  = 1
	ExitUsage   = 2 // bad flags or configuration; nothing was touched
	ExitStopped = 3 // a person must decide
	ExitFound   = 4 // a check found something
)

// Exit is an error that chooses the exit code. Err may be nil: everything was
// said already.
type Exit struct {
	Code int
	Err  error
}

// Error is the text of the cause.
func (e *Exit) Error() string {
	if e.Err == nil {
		return "exit"
	}
	return e.Err.Error()
}

// Unwrap is the cause.
func (e *Exit) Unwrap() error { return e.Err }

// Usage makes err one that ends with ExitUsage; nil stays nil.
func Usage(err error) error {
	if err == nil {
		return nil
	}
	return &Exit{Code: ExitUsage, Err: err}
}

// Code is the exit code for what a command returned: an Exit's own, ExitStopped
// for what needs a person, else ExitFailed.
func Code(err error) int {
	var e *Exit
	switch {
	case err == nil:
		return ExitDone
	case errors.As(err, &e):
		return e.Code
	case cdc.Stopped(err):
		return ExitStopped
	}
	return ExitFailed
}

// Silent tells whether err needs no message of its own.
func Silent(err error) bool {
	var e *Exit
	return err == nil || errors.As(err, &e) && e.Err == nil
}
