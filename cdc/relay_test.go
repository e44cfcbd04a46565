package cdc

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestTheLastCommitIsShortWhenTheRelayIsInterrupted(t *testing.T) {
	t.Parallel()
	asked, stop := context.WithCancel(t.Context())
	session, end := context.WithCancelCause(asked)
	defer end(nil)
	interrupted, interrupt := context.WithCancelCause(asked)
	interrupt(errors.New("the server shuts down"))
	if got := drainTime(interrupted); got > time.Second {
		t.Errorf("interrupted: %s, want at most a second: the database waits", got)
	}
	stop()
	if got := drainTime(session); got < 5*time.Second {
		t.Errorf("asked to stop: %s, want time to finish", got)
	}
}

// TestACommitUnderWayIsFinished: a relay that is asked to stop inside of a commit
// stops cleanly.
func TestACommitUnderWayIsFinished(t *testing.T) {
	t.Parallel()
	w := newWorld(tableOf(1, "t", "id"))
	w.server.transaction(insert(1, "1"))
	r, _ := w.relay()
	ctx, stop := context.WithCancel(t.Context())
	w.log.onCommit = stop
	if err := r.Stream(ctx); !errors.Is(err, context.Canceled) || errors.Is(err, ErrUnconfirmed) {
		t.Errorf("%v, want a clean stop", err)
	}
	if len(w.log.records) != 1 || w.server.confirmed != w.server.units[0].end {
		t.Errorf("%v; confirmed %s, want the row, confirmed", w.log.records, w.server.confirmed)
	}
}
