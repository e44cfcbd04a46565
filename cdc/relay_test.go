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
