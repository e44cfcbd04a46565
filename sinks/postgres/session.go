package postgres

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/sinks"
)

// tcpTimeout is after how long without an answer a connection is dead, on
// either side.
const tcpTimeout = 30 * time.Second

// newPool sets up sessions that cannot hold a partition for ever: the server
// ends one that is silent inside a transaction, one that waits for a lock, and
// one whose client is gone.
func newPool(cfg Config) (*pool, error) {
	conf, err := pgx.ParseConfig(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("sink.postgres.url: %w", err)
	}
	params := conf.RuntimeParams
	if params["application_name"] == "" {
		params["application_name"] = "tailrace processor " + cfg.Pipeline
	}
	for name, value := range map[string]string{
		"client_encoding":                     "UTF8",
		"DateStyle":                           "ISO",
		"IntervalStyle":                       "postgres",
		"TimeZone":                            "UTC",
		"standard_conforming_strings":         "on",
		"statement_timeout":                   "0",
		"random_page_cost":                    "1.1", // rows are found by index, whatever share of a table a batch is
		"lock_timeout":                        millis(cfg.LockTimeout),
		"idle_in_transaction_session_timeout": millis(cfg.IdleTimeout),
		"tcp_keepalives_idle":                 "10",
		"tcp_keepalives_interval":             "5",
		"tcp_keepalives_count":                "3",
		"tcp_user_timeout":                    millis(tcpTimeout),
	} {
		params[name] = value
	}
	if conf.ConnectTimeout == 0 {
		conf.ConnectTimeout = 10 * time.Second
	}
	dialer := &net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3},
		Control:         userTimeout(tcpTimeout),
	}
	conf.DialFunc = dialer.DialContext
	connect := func(ctx context.Context) (*pgx.Conn, error) {
		c := conf.Copy()
		if cfg.PasswordFile != "" {
			b, err := os.ReadFile(cfg.PasswordFile)
			if err != nil {
				return nil, fmt.Errorf("sink.postgres.password_file: %w", err)
			}
			c.Password = strings.TrimRight(string(b), "\r\n")
		}
		return pgx.ConnectConfig(ctx, c)
	}
	return &pool{
		connect: connect,
		slots:   make(chan struct{}, cfg.Connections+2), // the batches, a claim, and who looks for what blocks it
	}, nil
}

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// blockedAfter is how long a claim waits before it says for whom.
const blockedAfter = 2 * time.Second

// watchBlockers says, while a claim waits for a lock, which sessions hold it.
// The returned function ends the watch.
func (s *Sink) watchBlockers(ctx context.Context, pid uint32, p sinks.Partition) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-ctx.Done():
			return
		case <-time.After(blockedAfter):
		}
		conn, err := s.pool.acquire(ctx)
		if err != nil {
			return
		}
		defer s.pool.release(conn)
		rows, err := conn.Query(ctx, `SELECT a.pid, coalesce(a.application_name, ''), coalesce(a.state, ''), extract(epoch FROM now() - a.xact_start)::int8
			FROM pg_stat_activity a WHERE a.pid = ANY (pg_blocking_pids($1))`, int32(pid))
		if err != nil {
			return
		}
		var blocker int32
		var name, state string
		var seconds *int64
		_, _ = pgx.ForEachRow(rows, []any{&blocker, &name, &state, &seconds}, func() error {
			age := int64(0)
			if seconds != nil {
				age = *seconds
			}
			s.log.Warn("the claim of a partition waits for another session; the server ends that one by idle_in_transaction_session_timeout, or end it with pg_terminate_backend",
				"topic", p.Topic, "partition", p.Number, "pid", blocker, "application", name, "state", state, "transaction_seconds", age)
			return nil
		})
	}()
	return func() {
		cancel()
		<-done
	}
}
