package processors

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/processors/state"
	"github.com/tailrace/tailrace/sinks"
)

// RunInLog runs the sessions of the protocol in the log until ctx ends. Then it lets
// their transactions end, and leaves.
func (r *Runtime) RunInLog(ctx context.Context) error {
	group, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make([]error, r.config.InLog.Sessions)
	var all sync.WaitGroup
	if r.config.Control != nil {
		all.Go(func() { r.follow(group) })
		r.catchUp(group)
	}
	for n := range r.config.InLog.Sessions {
		all.Go(func() {
			if failed[n] = r.runSession(group, n); failed[n] != nil {
				cancel()
			}
		})
	}
	all.Wait()
	return errors.Join(failed...)
}

// runSession runs one member after the other under one transactional id, until ctx
// ends.
func (r *Runtime) runSession(ctx context.Context, n int) error {
	wait := backoff{config: r.config.Retry}
	kept := map[int32]*state.Replica{}
	for ctx.Err() == nil {
		m := &member{runtime: r, number: n, kept: kept, outputs: r.config.InLog.Outputs(), size: r.config.BatchRows}
		worked, err := m.run(ctx)
		if err == nil || ctx.Err() != nil {
			return nil
		}
		if !errors.Is(err, errRestart) {
			return err
		}
		if worked {
			wait = backoff{config: r.config.Retry}
		}
		r.log.Warn("the session begins anew", "session", n, "error", err)
		if err := sleep(ctx, wait.next()); err != nil {
			return nil //nolint:nilerr // asked to stop
		}
	}
	return nil
}

// member is a session from its claim to its end, with its partitions and their state.
// One goroutine works (run); the session's client calls it as the kafka.Owner. What it
// has is its own alone: another member of this process, to which the group gives a
// partition while this one has not heard of its loss yet, begins with what is committed.
type member struct {
	runtime *Runtime
	number  int
	session LogSession

	reading sync.WaitGroup // tasks' states, and the control topic

	pollMu sync.Mutex // guards the following
	poked  bool
	polled context.CancelFunc // ends the poll under way; nil: none is

	// Runtime.mu guards the following.
	kept map[int32]*state.Replica // of tasks, by number, that the member before had at its end
	gone bool                     // its client may still call

	// The following belong to run.
	outputs Outputs
	records []sinks.Record // of a message, used again
	keys    []byte         // of the changelog's records
	last    round          // the room of the one before
	size    int            // messages that a round takes at most
	// careful sends one record at a time: the brokers refuse batches, and one of them
	// has a record that is too large.
	careful bool
}

var _ kafka.Owner = (*member)(nil)

// errRestart says that the session has to end and the next one to begin: what became
// of a transaction is not known.
var errRestart = errors.New("the outcome of a transaction is not known")

// run works until ctx ends, or the session has to. When it returns, nothing of the
// session is under way.
func (m *member) run(ctx context.Context) (worked bool, err error) {
	r := m.runtime
	if m.session, err = r.config.InLog.Session(m.number, m); err != nil {
		return false, err
	}
	var beside sync.WaitGroup
	looking, cancel := context.WithCancel(ctx)
	defer func() {
		m.drop() // before the client gives its partitions back, which would forget their state
		cancel()
		m.session.Close()
		beside.Wait()
		m.reading.Wait()
	}()
	if err := m.session.Claim(ctx); err != nil {
		r.noteLog(err)
		return false, fmt.Errorf("%w: %w", errRestart, err)
	}
	if err := m.session.Join(); err != nil {
		return false, err
	}
	r.noteLog(nil)
	if m.number == 0 {
		beside.Go(func() { r.look(looking, m.session) })
	}
	err = m.work(ctx)
	if ctx.Err() == nil {
		return true, err
	}
	// Asked to stop: no transaction is open. A static member keeps its place.
	r.mu.Lock()
	r.draining = true
	r.mu.Unlock()
	bounded, cancelLeave := context.WithTimeout(context.WithoutCancel(ctx), r.config.DrainTimeout)
	defer cancelLeave()
	if leave := m.session.Leave(bounded); leave != nil {
		r.log.Warn("leaving the group failed; it notices after the session timeout", "error", leave)
	}
	return true, nil
}

// look asks the brokers, now and then, for what status wants to know.
func (r *Runtime) look(ctx context.Context, session LogSession) {
	for ctx.Err() == nil {
		bounded, cancel := context.WithTimeout(ctx, commitEvery)
		r.lookForTopics(bounded, session)
		r.refreshEnds(bounded, session)
		cancel()
		_ = sleep(ctx, commitEvery)
	}
}
