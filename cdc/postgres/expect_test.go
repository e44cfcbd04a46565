package postgres_test

import (
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/cdc/postgres"
)

// logged keeps what is logged.
type logged struct {
	mu  sync.Mutex
	buf strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *logged) into(c *postgres.Config) { c.Logger = slog.New(slog.NewTextHandler(l, nil)) }

// wantStop wants an error that asks for a person and says all of this.
func wantStop(t *testing.T, err error, says ...string) {
	t.Helper()
	if !cdc.Stopped(err) {
		t.Fatalf("got %v, want a StopError", err)
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("got %q, want it to say %q", err, s)
		}
	}
}

// wantFinding wants a check to find something of "level name" that says all of
// this, in what or remedy.
func wantFinding(t *testing.T, c postgres.Config, levelName string, says ...string) {
	t.Helper()
	list := found(t, c)
	for _, f := range list {
		all := string(f.Level) + " " + f.Name
		ok := all == levelName
		for _, s := range says {
			ok = ok && strings.Contains(f.What+" "+f.Remedy, s)
		}
		if ok {
			return
		}
	}
	t.Errorf("got %+v, want %s that says %q", list, levelName, says)
}

// wantNone wants no finding of that name that is worse than info.
func wantNone(t *testing.T, c postgres.Config, name string) {
	t.Helper()
	for _, f := range found(t, c) {
		if f.Name == name && f.Level != cdc.LevelInfo {
			t.Errorf("got %+v, want none", f)
		}
	}
}

func found(t *testing.T, c postgres.Config) []cdc.Finding {
	t.Helper()
	list, _ := postgres.Check(t.Context(), c, postgres.CheckOptions{CreateSlot: true, Snapshot: true, Heartbeat: true})
	return list
}
