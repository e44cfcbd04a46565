package postgres_test

import (
	"context"
	"net"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

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

// silence is a proxy before the server that can stop letting anything through, with
// every connection open.
func silence(t *testing.T, url string) (through string, hush func()) {
	t.Helper()
	conf, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	target := net.JoinHostPort(conf.Host, strconv.Itoa(int(conf.Port)))
	var quiet atomic.Bool
	pipe := func(dst, src net.Conn) {
		defer func() {
			if !quiet.Load() { // an end does not come through either
				_ = dst.Close()
			}
		}()
		buf := make([]byte, 64<<10)
		for {
			n, err := src.Read(buf)
			if err != nil {
				return
			}
			if quiet.Load() {
				continue
			}
			if _, err := dst.Write(buf[:n]); err != nil {
				return
			}
		}
	}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", target)
			if err != nil {
				_ = client.Close()
				continue
			}
			t.Cleanup(func() { _, _ = client.Close(), server.Close() })
			go pipe(client, server)
			go pipe(server, client)
		}
	}()
	return strings.Replace(url, target, l.Addr().String(), 1) + "?sslmode=disable", func() { quiet.Store(true) }
}

// TestSilenceForHalfOfTheTimeoutIsTold, also while nobody reads: what the socket has
// got counts, read or not, and so does the server's word over another connection.
func TestSilenceForHalfOfTheTimeoutIsTold(t *testing.T) {
	t.Parallel()
	var told atomic.Pointer[error]
	l := prepareLive(t, pgtest.NewDatabase(t), "CREATE TABLE t (id int PRIMARY KEY)",
		func(c *postgres.Config) { c.OnSilence = func(err error) { told.CompareAndSwap(nil, &err) } })
	l.exec("ALTER DATABASE " + l.conn.Config().Database + " SET wal_sender_timeout = '8s'")
	var hush func()
	l.config.URL, hush = silence(t, l.config.URL)
	l.create()
	pid := l.pid()
	wait := func(d time.Duration, each func()) {
		for began := time.Now(); time.Since(began) < d; {
			each()
			if err := l.db.Ours(); err != nil {
				t.Fatalf("after %s: %v", time.Since(began), err)
			}
			if _, err := l.conn.Exec(t.Context(), "SELECT pg_sleep(0.2)"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if runtime.GOOS == "linux" {
		wait(6*time.Second, func() {}) // the answers to status stand in the socket
	}
	hush()
	wait(6*time.Second, func() { l.db.Vouch(pid, time.Now()) })
	if err := told.Load(); err != nil {
		t.Fatalf("told: %v", *err)
	}
	quiet := time.Now()
	l.awaitOurs(func(err error) bool {
		l.db.Vouch(pid+1, time.Now()) // another session's
		return err != nil
	})
	if took := time.Since(quiet); took < 3*time.Second || took > 7*time.Second {
		t.Errorf("noticed after %s, want half of 8 s", took)
	}
	l.awaitOurs(func(error) bool { return told.Load() != nil })
	if err := *told.Load(); !strings.Contains(err.Error(), "not been heard of") {
		t.Errorf("told: %v", err)
	}
}
