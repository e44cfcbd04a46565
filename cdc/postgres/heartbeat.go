package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// HeartbeatPrefix is that of the logical messages by which the relay probes the
// whole line, from the server's WAL to the log. Their content is the time of
// sending, in nanoseconds since 1970-01-01 UTC.
const HeartbeatPrefix = "tailrace.heartbeat"

// ErrNoHeartbeat says that this server takes no heartbeat, now and as long as
// nothing changes there: another try is no use.
var ErrNoHeartbeat = errors.New("the server takes no heartbeat")

// EmitHeartbeat writes one heartbeat into the WAL. Where it cannot, because the
// server is a standby, or writing logical messages was revoked from PUBLIC and
// not granted to the relay, the error is an ErrNoHeartbeat that says what to do.
//
// The message is not transactional: it takes no transaction id, waits for no
// synchronous standby and makes no transaction in the stream. Such a message is
// not flushed by itself, and a walsender sends only what is: from PostgreSQL 17 on
// it asks for that, before the WAL writer does it within wal_writer_delay.
func EmitHeartbeat(ctx context.Context, conn *pgx.Conn, now time.Time) error {
	major, err := NewCatalog(conn).major()
	if err != nil {
		return err
	}
	emit := "pg_logical_emit_message(false, $1, $2::text)"
	if major >= 17 {
		emit = "pg_logical_emit_message(false, $1, $2::text, true)"
	}
	var lsn *string
	err = conn.QueryRow(ctx, "SELECT CASE WHEN pg_is_in_recovery() THEN NULL ELSE "+emit+"::text END",
		HeartbeatPrefix, strconv.FormatInt(now.UnixNano(), 10)).Scan(&lsn)
	switch {
	case code(err) == "42501":
		return fmt.Errorf("%w: the relay may not execute pg_logical_emit_message; GRANT EXECUTE ON FUNCTION %s TO %s, or set heartbeat.interval: 0s", ErrNoHeartbeat, messageFunction(major), quoteIdent(conn.Config().User))
	case err != nil:
		return fmt.Errorf("write a heartbeat: %w", err)
	case lsn == nil:
		return fmt.Errorf("%w: it is a standby, which writes no WAL; let postgres.url name the primary", ErrNoHeartbeat)
	}
	return nil
}

// messageFunction is the signature that a grant names.
func messageFunction(major int) string {
	if major >= 17 {
		return "pg_logical_emit_message(boolean, text, text, boolean)"
	}
	return "pg_logical_emit_message(boolean, text, text)"
}
