package processors

import (
	"context"
	"errors"
	"fmt"

	"github.com/tailrace/tailrace/processors/state"
)

// Step is one stage of a pipeline between source and sink. It gets each change
// and emits none, one or several.
//
// Steps run on the micro-batch after decoding and before the sink, in the order
// of the pipeline; what one emits the next gets at once. The gate by position
// stands behind them, in the sink, and compares the positions of a target row
// only: a pipeline without state gives the same rows as if it stood before.
//
//  1. A step has one partition: Process is never called twice at once, and with
//     the changes of a row in the order of their arrival. A replayed record comes
//     again; without state, the same change must give the same result.
//  2. The change is the step's until it is emitted, and then the next one's. Its
//     rows may be modified; its columns, its source and the bytes of its values
//     are shared. To emit a second change, take a Clone before the first is
//     emitted. Nothing of it may be kept when Process has returned.
//  3. Emit nothing, and the record is filtered: it is counted, and the target row
//     stays as it is. A change whose row must not be in the target any more is
//     emitted after Remove.
//  4. What Emit returns, Process returns.
//  5. An error is about this record: everything that the record gave so far,
//     state included, is taken back, and the record goes to the dead-letter topic
//     with dlq.step naming the step. A panic is such an error. TryAgain marks one
//     that is not about the record: the batch is tried again.
//
// An error's text goes into headers and logs: it must not hold values of rows.
type Step interface {
	Process(ctx context.Context, c *Change, s State, emit Emit) error
}

// Emit hands a change to the next step, and in the end to the sink.
type Emit func(c *Change) error

// StepFunc is a Step that is one function.
type StepFunc func(ctx context.Context, c *Change, s State, emit Emit) error

// Process calls f.
func (f StepFunc) Process(ctx context.Context, c *Change, s State, emit Emit) error {
	return f(ctx, c, s, emit)
}

// State is what a step remembers, by source row (Change.RowState) or by entity
// (EntityState). Writes become durable with the batch, or not at all. It is the
// step's own: two steps may use the same keys.
type State interface {
	// Get returns a value, which may not be changed and is valid until Process
	// returns.
	Get(ctx context.Context, k state.Key) (value []byte, ok bool, err error)
	// Put keeps a copy of value.
	Put(ctx context.Context, k state.Key, value []byte) error
	// Delete removes a key; it may be absent.
	Delete(ctx context.Context, k state.Key) error
}

// EntityState names the state of an entity of the caller's choice.
func EntityState(key string) state.Key { return state.Key{Scope: state.Entity, Key: key} }

// StepConfig is one step of a pipeline.
type StepConfig struct {
	// Name is unique in the pipeline. It stands in dead letters and their ids, and
	// before the keys of the step's state.
	Name string
	// New makes the step of one partition.
	New func() Step
	// Stateful says that it uses its State.
	Stateful bool
}

// retryError marks an error that is not about the record.
type retryError struct{ err error }

func (e *retryError) Error() string { return e.err.Error() }
func (e *retryError) Unwrap() error { return e.err }

// TryAgain says of a step's error that it is not about the record and may pass by
// itself: what the step needs is away.
func TryAgain(err error) error { return &retryError{err} }

// UnavailableError says that a record does not carry the value of a column: an
// unchanged TOASTed value, or a column of the old row that the replica identity
// does not cover. The value exists, and nobody here knows it; it is not null.
type UnavailableError struct {
	Column string
	Old    bool // of the row before the change
}

// Error says what the source can do about it.
func (e *UnavailableError) Error() string {
	if e.Old {
		return fmt.Sprintf("the record does not carry the old value of column %q; ALTER TABLE … REPLICA IDENTITY FULL at the source makes it", e.Column)
	}
	return fmt.Sprintf("the record does not carry column %q, which is stored apart and was not changed; ALTER TABLE … REPLICA IDENTITY FULL at the source makes it", e.Column)
}

// ErrNull says that a value is null.
var ErrNull = errors.New("the value is null")

// ErrNoRow says that there is no such row: none after a delete, none before an
// insert, or one before that the record does not carry.
var ErrNoRow = errors.New("the change has no such row")

// noState is the State of a pipeline that has none.
type noState struct{}

var errNoState = errors.New("the pipeline keeps no state for its steps")

func (noState) Get(context.Context, state.Key) ([]byte, bool, error) { return nil, false, errNoState }
func (noState) Put(context.Context, state.Key, []byte) error         { return errNoState }
func (noState) Delete(context.Context, state.Key) error              { return errNoState }

// stepState is the State of one step, above the batch's overlay.
type stepState struct {
	step    string
	overlay *state.Overlay
}

func (s *stepState) own(k state.Key) state.Key {
	k.Step = s.step
	return k
}

func (s *stepState) Get(ctx context.Context, k state.Key) ([]byte, bool, error) {
	value, ok, err := s.overlay.Get(ctx, s.own(k))
	if err != nil {
		err = TryAgain(err)
	}
	return value, ok, err
}

func (s *stepState) Put(_ context.Context, k state.Key, value []byte) error {
	s.overlay.Put(s.own(k), value)
	return nil
}

func (s *stepState) Delete(_ context.Context, k state.Key) error {
	s.overlay.Delete(s.own(k))
	return nil
}
