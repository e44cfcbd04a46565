package postgres_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tailrace/tailrace/cdc/postgres"
	"github.com/tailrace/tailrace/internal/embedded/pgtest"
)

// pid is the session that has the slot.
func (l *live) pid() uint32 {
	l.Helper()
	var pid uint32
	if err := l.conn.QueryRow(l.Context(), "SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1", l.config.Slot).Scan(&pid); err != nil {
		l.Fatal(err)
	}
	return pid
}

func (l *live) awaitOurs(want func(error) bool) {
	l.Helper()
	ctx, cancel := context.WithTimeout(l.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for err := l.db.Ours(); !want(err); err = l.db.Ours() {
		select {
		case <-ctx.Done():
			l.Fatalf("ours: %v", err)
		case <-tick.C:
		}
	}
}

// TestAnEndedSessionIsNoticedWithoutReading: reading is paused while Kafka is slow,
// and another relay may have the slot meanwhile.
func TestAnEndedSessionIsNoticedWithoutReading(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("the socket can be asked on Linux only; elsewhere silence tells")
	}
	l := newLive(t, "CREATE TABLE t (id int PRIMARY KEY)")
	l.exec("INSERT INTO t SELECT generate_series(1, 100)") // bytes that nobody reads stand before the end
	if err := l.db.Ours(); err != nil {
		t.Fatalf("a session that lives: %v", err)
	}
	l.exec("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '" + l.config.Slot + "'")
	l.awaitOurs(func(err error) bool {
		return err != nil && strings.Contains(err.Error(), "ended the replication connection")
	})
	l.close()
	if err := l.db.Ours(); err == nil {
		t.Error("the lost slot is ours again when the session is closed")
	}
}

// TestSilenceForHalfOfTheTimeoutIsTold, also while nobody reads; the server's word
// over another connection counts as much as anything read.
func TestSilenceForHalfOfTheTimeoutIsTold(t *testing.T) {
	t.Parallel()
	var told atomic.Pointer[error]
	l := prepareLive(t, pgtest.NewDatabase(t), "CREATE TABLE t (id int PRIMARY KEY)",
		func(c *postgres.Config) { c.OnSilence = func(err error) { told.CompareAndSwap(nil, &err) } })
	l.exec("ALTER DATABASE " + l.conn.Config().Database + " SET wal_sender_timeout = '6s'")
	l.create()
	began := time.Now()
	pid := l.pid()
	for time.Since(began) < 4*time.Second { // nothing is read, and the server vouches
		l.db.Vouch(pid, time.Now())
		if err := l.db.Ours(); err != nil {
			t.Fatalf("after %s: %v", time.Since(began), err)
		}
		if _, err := l.conn.Exec(t.Context(), "SELECT pg_sleep(0.2)"); err != nil {
			t.Fatal(err)
		}
	}
	if err := told.Load(); err != nil {
		t.Fatalf("told: %v", *err)
	}
	quiet := time.Now()
	l.awaitOurs(func(err error) bool {
		l.db.Vouch(pid+1, time.Now()) // another session's
		return err != nil
	})
	if took := time.Since(quiet); took < 2*time.Second || took > 5*time.Second {
		t.Errorf("noticed after %s, want half of 6 s", took)
	}
	l.awaitOurs(func(error) bool { return told.Load() != nil })
	if err := *told.Load(); errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "not been heard of") {
		t.Errorf("told: %v", err)
	}
}
