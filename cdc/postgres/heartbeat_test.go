package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/cdc/postgres"
	"github.com/tailrace/tailrace/internal/embedded/pgtest"
	server "github.com/tailrace/tailrace/internal/embedded/postgres"
)

// TestAHeartbeatTravelsTheWholeLine on an otherwise idle server, outside of any
// transaction, also from a session that may not write.
func TestAHeartbeatTravelsTheWholeLine(t *testing.T) {
	t.Parallel()
	l := newLive(t, "CREATE TABLE t (id int)")
	l.exec("ALTER DATABASE " + l.conn.Config().Database + " SET default_transaction_read_only = on")
	conn, err := postgres.Connect(t.Context(), l.config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	now := time.Now()
	if err := postgres.EmitHeartbeat(t.Context(), conn, now); err != nil {
		t.Fatal(err)
	}
	ev := l.next()
	for ev.Kind == cdc.EventBegin || ev.Kind == cdc.EventCommit { // PostgreSQL 14 sends transactions without rows
		ev = l.next()
	}
	if ev.Kind != cdc.EventMessage || ev.Prefix != postgres.HeartbeatPrefix || string(ev.Content) != strconv.FormatInt(now.UnixNano(), 10) || ev.Tx != nil {
		t.Errorf("got %+v, want a message outside of transactions with the time", ev)
	}
	if d := time.Since(now); d > 5*time.Second {
		t.Errorf("it took %s", d)
	}
}

// TestAServerThatTakesNoHeartbeatSaysWhy: a role without the privilege.
func TestAServerThatTakesNoHeartbeatSaysWhy(t *testing.T) {
	t.Parallel()
	l := prepareLive(t, pgtest.NewDatabase(t), "CREATE TABLE t (id int)")
	role := l.conn.Config().Database + "_mute"
	l.exec("CREATE ROLE " + role + " LOGIN PASSWORD 'x'")
	t.Cleanup(func() { l.dropRole(role) })
	var functions []string
	rows, _ := l.conn.Query(t.Context(), "SELECT oid::regprocedure::text FROM pg_proc WHERE proname = 'pg_logical_emit_message'")
	functions, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range functions { // in this database only
		l.exec("REVOKE EXECUTE ON FUNCTION " + f + " FROM PUBLIC")
	}
	c := l.conn.Config()
	l.config.URL = fmt.Sprintf("postgres://%s:x@%s:%d/%s", role, c.Host, c.Port, c.Database)
	conn, err := postgres.Connect(t.Context(), l.config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if err := postgres.EmitHeartbeat(t.Context(), conn, time.Now()); !errors.Is(err, postgres.ErrNoHeartbeat) {
		t.Errorf("got %v, want ErrNoHeartbeat", err)
	}
	wantFinding(t, l.config, "warning heartbeat", role, "GRANT EXECUTE ON FUNCTION pg_logical_emit_message(boolean, text, text")
	for _, f := range functions {
		l.exec("GRANT EXECUTE ON FUNCTION " + f + " TO " + role)
	}
	if err := postgres.EmitHeartbeat(t.Context(), conn, time.Now()); err != nil {
		t.Error(err)
	}
	wantNone(t, l.config, "heartbeat")
	conn.Close(context.Background())
	if err := postgres.EmitHeartbeat(t.Context(), conn, time.Now()); err == nil || errors.Is(err, postgres.ErrNoHeartbeat) {
		t.Errorf("over a closed connection: got %v, want another error", err)
	}
}

// TestReadWALHasTheSlotsCatalogXMin, which Debezium writes as source.xmin.
func TestReadWALHasTheSlotsCatalogXMin(t *testing.T) {
	t.Parallel()
	l := newLive(t, "CREATE TABLE t (id int)")
	wal, err := postgres.ReadWAL(t.Context(), l.conn, l.config.Slot)
	if err != nil {
		t.Fatal(err)
	}
	var want int64
	if err := l.conn.QueryRow(t.Context(), "SELECT catalog_xmin::text::bigint FROM pg_replication_slots WHERE slot_name = $1", l.config.Slot).Scan(&want); err != nil {
		t.Fatal(err)
	}
	if wal.XMin == 0 || wal.XMin != want || !wal.Active {
		t.Errorf("got %+v, want xmin %d of an active slot", wal, want)
	}
	if wal, err := postgres.ReadWAL(t.Context(), l.conn, "no_such_slot"); err != nil || wal.XMin != 0 || wal.Status != "" {
		t.Errorf("no slot: got %+v, %v", wal, err)
	}
}

// TestAStandbyTakesNoHeartbeat, since it writes no WAL.
func TestAStandbyTakesNoHeartbeat(t *testing.T) {
	t.Parallel()
	s, err := server.Start(t.Context(), server.Config{Version: os.Getenv(pgtest.EnvVersion), Logf: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	signal := filepath.Join(s.DataDir(), "standby.signal")
	if err := os.WriteFile(signal, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	conn, err := postgres.Connect(t.Context(), postgres.Config{URL: s.URL("postgres")})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if err := postgres.EmitHeartbeat(t.Context(), conn, time.Now()); !errors.Is(err, postgres.ErrNoHeartbeat) || !strings.Contains(err.Error(), "standby") {
		t.Errorf("got %v, want ErrNoHeartbeat of a standby", err)
	}
	if wal, err := postgres.ReadWAL(t.Context(), conn, "no_such_slot"); err != nil || wal.End == 0 {
		t.Errorf("ReadWAL: got %+v, %v", wal, err)
	}
}
