package postgres

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/cdc"
)

// Names are those of the slots by which a relay holds the past: one that trails
// behind its own, and bookmarks. The tag in them is of the relay and its slot, so
// that a slot of such a name is this relay's and nobody else's: it is moved on and
// dropped on the ground of its name alone.
type Names struct {
	Slot     string // the relay's own
	Trailing string
	mark     string
	replay   string
}

// maxName is the longest name of a slot (NAMEDATALEN - 1).
const maxName = 63

// NewNames makes the names for a relay and its slot.
func NewNames(relay, slot string) Names {
	sum := sha256.Sum256([]byte(relay + "\x00" + slot))
	tag := fmt.Sprintf("%x", sum[:3])
	return Names{Slot: slot, Trailing: slot + "_trailing_" + tag, mark: slot + "_mark_" + tag + "_", replay: slot + "_replay_" + tag + "_"}
}

// Mark is the slot of a bookmark. Errors say which names there can be.
func (n Names) Mark(bookmark string) (string, error) {
	if bookmark == "" || strings.Trim(bookmark, "abcdefghijklmnopqrstuvwxyz0123456789_-") != "" {
		return "", fmt.Errorf("bookmark %q: want lower-case letters, digits, dashes and underscores", bookmark)
	}
	if room := maxName - len(n.mark); len(bookmark) > room {
		return "", fmt.Errorf("bookmark %q: want at most %d characters beside slot %q", bookmark, room, n.Slot)
	}
	return n.mark + strings.ReplaceAll(bookmark, "-", "_"), nil
}

// Bookmark is the name of a bookmark by its slot, where no record tells it.
func (n Names) Bookmark(slot string) (string, bool) { return strings.CutPrefix(slot, n.mark) }

// Copy is the slot that a replay reads from.
func (n Names) Copy(nonce string) string {
	name := n.replay + nonce
	return name[max(0, len(name)-maxName):]
}

// Held is a slot of the relay's, or one by which it holds the past.
type Held struct {
	Name      string
	Confirmed cdc.LSN
	Restart   cdc.LSN // the oldest WAL that it needs
	Retained  int64   // bytes from there to the end
	// XMinAge is how many transactions old the oldest is whose catalog rows it keeps
	// from being vacuumed; FreezeAge, how many that may be until the server begins to
	// freeze by force (autovacuum_freeze_max_age).
	XMinAge   int64
	FreezeAge int64
	Status    string // wal_status: reserved, extended, unreserved, lost
	Active    bool
	Failover  bool // standbys synchronise it
}

// Lost tells whether the server cannot serve it any more.
func (h *Held) Lost() bool { return h.Status == "lost" }

// Holding is all of them.
type Holding struct {
	End       cdc.LSN // of the WAL
	Live      *Held   // nil: there is none
	Trailing  *Held
	Bookmarks []Held // by name
	Version   int    // server_version_num
}

// All are the slots that hold the past, the trailing one first.
func (h *Holding) All() []Held {
	var all []Held
	if h.Trailing != nil {
		all = append(all, *h.Trailing)
	}
	return append(all, h.Bookmarks...)
}

// ReadHeld asks the server.
func ReadHeld(ctx context.Context, conn *pgx.Conn, n Names) (Holding, error) {
	var h Holding
	var end string
	err := conn.QueryRow(ctx, `SELECT (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END)::text,
		current_setting('server_version_num')::int`).Scan(&end, &h.Version)
	if err == nil {
		h.End, err = cdc.ParseLSN(end)
	}
	if err != nil {
		return h, fmt.Errorf("ask PostgreSQL for its WAL: %w", err)
	}
	failover := "false"
	if h.Version >= 170000 {
		failover = "failover"
	}
	rows, _ := conn.Query(ctx, `
		SELECT slot_name::text, coalesce(confirmed_flush_lsn, '0/0')::text, coalesce(restart_lsn, '0/0')::text,
			coalesce(pg_wal_lsn_diff($4::pg_lsn, restart_lsn), 0)::bigint, coalesce(age(catalog_xmin), 0)::bigint,
			current_setting('autovacuum_freeze_max_age')::bigint, coalesce(wal_status, ''), active, `+failover+`
		FROM pg_catalog.pg_replication_slots
		WHERE NOT temporary AND (slot_name = $1 OR database = current_database() AND plugin = 'pgoutput' AND (slot_name = $2 OR starts_with(slot_name::text, $3)))
		ORDER BY slot_name`, n.Slot, n.Trailing, n.mark, end)
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (s Held, err error) {
		var confirmed, restart string
		if err := row.Scan(&s.Name, &confirmed, &restart, &s.Retained, &s.XMinAge, &s.FreezeAge, &s.Status, &s.Active, &s.Failover); err != nil {
			return s, err
		}
		if s.Confirmed, err = cdc.ParseLSN(confirmed); err != nil {
			return s, err
		}
		s.Restart, err = cdc.ParseLSN(restart)
		return s, err
	})
	if err != nil {
		return h, fmt.Errorf("look at the slots: %w", err)
	}
	for i := range all {
		switch all[i].Name {
		case n.Slot:
			h.Live = &all[i]
		case n.Trailing:
			h.Trailing = &all[i]
		default:
			h.Bookmarks = append(h.Bookmarks, all[i])
		}
	}
	return h, nil
}

// Hold makes a slot that holds what another one holds: a copy, at the same LSN. It
// waits for no transaction. Copies do not inherit failover, so it is set afterwards
// (ALTER_REPLICATION_SLOT, PostgreSQL 17 and later); killed in between, the relay
// that runs sets it when it sees the slot.
func Hold(ctx context.Context, c Config, conn *pgx.Conn, slot, copied string, failover bool) (cdc.LSN, error) {
	var at string
	if err := conn.QueryRow(ctx, "SELECT lsn::text FROM pg_catalog.pg_copy_logical_replication_slot($1, $2, false)", slot, copied).Scan(&at); err != nil {
		return 0, fmt.Errorf("copy slot %q: %w", slot, copyHint(err))
	}
	lsn, err := cdc.ParseLSN(at)
	if err != nil || !failover {
		return lsn, err
	}
	return lsn, SetFailover(ctx, c, copied)
}

// SetFailover has standbys synchronise a slot.
func SetFailover(ctx context.Context, c Config, slot string) error {
	conn, err := New(c).replication(ctx)
	if err != nil {
		return err
	}
	defer closeConn(conn)
	if _, err := conn.Exec(ctx, "ALTER_REPLICATION_SLOT "+quoteIdent(slot)+" (FAILOVER true)").ReadAll(); err != nil {
		return fmt.Errorf("have standbys synchronise slot %q: %w", slot, err)
	}
	return nil
}

// Advance moves a slot on that nobody streams from; it stands at or a little behind
// to afterwards. A slot that is in use is left where it is.
func Advance(ctx context.Context, conn *pgx.Conn, slot string, to cdc.LSN) error {
	_, err := conn.Exec(ctx, "SELECT pg_catalog.pg_replication_slot_advance($1, $2::text::pg_lsn)", slot, to.String())
	if code(err) == "55006" {
		return nil
	}
	if err != nil {
		return fmt.Errorf("move slot %q on: %w", slot, err)
	}
	return nil
}

// SpareSlots is how many slots stay free when one is made to hold the past: for a
// replay's copy, and for what somebody needs in a hurry.
const SpareSlots = 3

// FreeSlots is how many slots the server could still make, of how many.
func FreeSlots(ctx context.Context, conn *pgx.Conn) (free, most int, err error) {
	err = conn.QueryRow(ctx, "SELECT current_setting('max_replication_slots')::int, current_setting('max_replication_slots')::int - (SELECT count(*) FROM pg_catalog.pg_replication_slots)::int").Scan(&most, &free)
	if err != nil {
		return 0, 0, fmt.Errorf("count the slots: %w", err)
	}
	return free, most, nil
}

// MakeSlot makes the relay's slot where the server stands. That waits for the
// transactions that run; waiting is told which these are, every second.
func MakeSlot(ctx context.Context, c Config, waiting func([]string)) (cdc.LSN, error) {
	conn, err := Connect(ctx, c)
	if err != nil {
		return 0, err
	}
	defer closeConn(conn.PgConn())
	watcher, err := Connect(ctx, c)
	if err != nil {
		return 0, err
	}
	defer closeConn(watcher.PgConn())
	major, err := NewCatalog(conn).major()
	if err != nil {
		return 0, err
	}
	create := "SELECT lsn::text FROM pg_catalog.pg_create_logical_replication_slot($1, 'pgoutput')"
	if c.Failover && major >= 17 {
		create = "SELECT lsn::text FROM pg_catalog.pg_create_logical_replication_slot($1, 'pgoutput', false, false, true)"
	}
	type made struct {
		lsn string
		err error
	}
	done := beside(func() (m made) {
		m.err = conn.QueryRow(ctx, create, c.Slot).Scan(&m.lsn)
		return m
	})
	for {
		select {
		case m := <-done:
			if m.err != nil {
				return 0, fmt.Errorf("create slot %q: %w", c.Slot, copyHint(m.err))
			}
			return cdc.ParseLSN(m.lsn)
		case <-time.After(time.Second):
			who, err := Blockers(ctx, watcher, conn.PgConn().PID())
			if err == nil && len(who) > 0 {
				waiting(who)
			}
		}
	}
}

// beside runs f beside the caller, which waits for its one result.
func beside[T any](f func() T) <-chan T {
	c := make(chan T, 1)
	go func() { c <- f() }()
	return c
}

// Blockers are the sessions that one waits for, a line each.
func Blockers(ctx context.Context, conn *pgx.Conn, pid uint32) ([]string, error) {
	rows, _ := conn.Query(ctx, `
		SELECT format('pid %s (%s, %s, %s): in a transaction since %s', pid, usename, nullif(application_name, ''), state, to_char(xact_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'))
		FROM pg_catalog.pg_stat_activity WHERE pid = ANY (pg_catalog.pg_blocking_pids($1)) ORDER BY xact_start`, int32(pid))
	who, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("ask what is waited for: %w", err)
	}
	return who, nil
}
