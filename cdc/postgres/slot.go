package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tailrace/tailrace/cdc"
)

// Slot is the state of the relay's slot, nil when there is none. A slot that
// cannot be streamed from is a StopError. Who made the slot does not matter: one
// that a Debezium connector with plugin pgoutput leaves behind is as good as ours.
func (d *Database) Slot(ctx context.Context) (*cdc.Slot, error) {
	conn, err := d.sql(ctx)
	if err != nil {
		return nil, err
	}
	s := cdc.Slot{Name: d.config.Slot}
	var plugin, database, wal, lsn, invalid *string
	var twoPhase, temporary bool
	err = conn.QueryRow(ctx, `SELECT plugin, database, confirmed_flush_lsn::text, active, wal_status, two_phase, temporary, to_jsonb(s) ->> 'invalidation_reason'
		FROM pg_replication_slots s WHERE slot_name = $1`, d.config.Slot).Scan(&plugin, &database, &lsn, &s.Active, &wal, &twoPhase, &temporary, &invalid)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look at slot %q: %w", d.config.Slot, err)
	}
	bad := func(what, next string) (*cdc.Slot, error) {
		return nil, &cdc.StopError{What: fmt.Sprintf("slot %q %s", d.config.Slot, what), Next: next}
	}
	own, mend := "give the relay a slot of its own: postgres.slot.name", "drop it and let the relay make its own"
	if d.config.Adopt {
		own = "set postgres.slot.name to the slot.name of a connector with plugin.name: pgoutput, and postgres.url to its database"
		mend = "let Debezium go on with another slot until its plugin.name is pgoutput and it decodes no prepared transactions, or begin anew with a snapshot: postgres.slot.adopt: false"
	}
	switch {
	case plugin == nil:
		return bad("is a physical slot, which carries no row changes", own)
	case *plugin != "pgoutput":
		return bad(fmt.Sprintf("is one of plugin %q, whose messages the relay does not read: it reads pgoutput's", *plugin), own)
	case database == nil || *database != conn.Config().Database:
		return bad(fmt.Sprintf("belongs to database %q", value(database)), own)
	case temporary:
		return bad("is temporary: it ends with the session that made it", own)
	case twoPhase:
		return bad("decodes prepared transactions (two_phase)", mend)
	case value(wal) == "lost":
		why, next := Loss(value(invalid))
		s.Lost = why + " (" + next + " before it happens again)"
		return &s, nil
	case lsn == nil:
		return bad("has no confirmed LSN yet: it is being made", "wait, or drop it")
	}
	s.Confirmed, err = cdc.ParseLSN(*lsn)
	return &s, err
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// DropSlot drops the relay's slot.
func (d *Database) DropSlot(ctx context.Context) error {
	conn, err := d.sql(ctx)
	if err != nil {
		return err
	}
	for try := 0; ; try++ {
		_, err = conn.Exec(ctx, "SELECT pg_drop_replication_slot($1)", d.config.Slot)
		if err == nil || code(err) == "42704" { // gone already
			return nil
		}
		if code(err) != "55006" || try == 20 { // the session that had it is just ending
			return fmt.Errorf("drop slot %q: %w", d.config.Slot, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// CreateSlot makes the slot with an exported snapshot, opens that snapshot in a
// reading session, and starts replication on the connection that made the slot.
// The exported snapshot lives only until that connection's next command, so the
// reading session comes in between.
func (d *Database) CreateSlot(ctx context.Context) (cdc.LSN, cdc.Rows, cdc.Stream, error) {
	fail := func(err error) (cdc.LSN, cdc.Rows, cdc.Stream, error) { return 0, nil, nil, err }
	if _, err := d.sql(ctx); err != nil {
		return fail(err)
	}
	conn, err := d.replication(ctx)
	if err != nil {
		return fail(err)
	}
	action := "EXPORT_SNAPSHOT"
	if d.config.Failover && d.version >= 170000 {
		action = "(SNAPSHOT 'export', FAILOVER)"
	}
	slot, err := pglogrepl.CreateReplicationSlot(ctx, conn, d.config.Slot, "pgoutput",
		pglogrepl.CreateReplicationSlotOptions{Mode: pglogrepl.LogicalReplication, SnapshotAction: action})
	if err != nil {
		closeConn(conn)
		return fail(fmt.Errorf("create slot %q: %w", d.config.Slot, err))
	}
	at, err := cdc.ParseLSN(slot.ConsistentPoint)
	if err != nil {
		closeConn(conn)
		return fail(fmt.Errorf("create slot %q: %w", d.config.Slot, err))
	}
	rows, err := d.rows(ctx, slot.SnapshotName)
	if err != nil {
		closeConn(conn)
		return fail(err)
	}
	d.read = map[uint32]*cdc.Table{}
	for _, t := range rows.tables {
		d.read[t.OID] = t
	}
	d.took(func(now *taken) {
		now.since = rows.since
		for _, t := range rows.tables {
			now.tables[t.OID] = t.String()
		}
	})
	stream, err := d.start(ctx, conn, d.config.Slot, 0, at)
	if err != nil {
		rows.Close()
		return fail(err)
	}
	return at, rows, stream, nil
}

// Stream starts replication where the slot stands.
func (d *Database) Stream(ctx context.Context, from cdc.LSN) (cdc.Stream, error) {
	if _, err := d.sql(ctx); err != nil {
		return nil, err
	}
	conn, err := d.replication(ctx)
	if err != nil {
		return nil, err
	}
	return d.start(ctx, conn, d.config.Slot, 0, from)
}

// start sends START_REPLICATION: protocol 1, streaming off, so that nothing but
// committed transactions arrives and their size does not matter here. Messages
// are always asked for, so that the option can never shift ordinals. at is what the
// server is asked for; it never goes behind what the slot has confirmed.
func (d *Database) start(ctx context.Context, conn *pgconn.PgConn, slot string, at, from cdc.LSN) (*stream, error) {
	err := pglogrepl.StartReplication(ctx, conn, slot, pglogrepl.LSN(at), pglogrepl.StartReplicationOptions{PluginArgs: d.pluginArgs()})
	if err != nil {
		closeConn(conn)
		if code(err) == "55006" {
			return nil, cdc.ErrSlotInUse
		}
		return nil, fmt.Errorf("START_REPLICATION of slot %q: %w", slot, err)
	}
	every, err := d.statusInterval(ctx)
	if err != nil {
		closeConn(conn)
		return nil, err
	}
	s := newStream(d, conn, from, every)
	d.live.Store(s)
	return s, nil
}

func (d *Database) pluginArgs() []string {
	name := strings.ReplaceAll(quoteIdent(d.config.Publication), "'", "''")
	return []string{"proto_version '1'", "publication_names '" + name + "'", "messages 'true'"}
}

// statusInterval is how often a status goes out by itself: a third of the time
// after which the server gives a silent client up, at most 10 s. After half of that
// time without an answer, the server may be about to give this client up.
func (d *Database) statusInterval(ctx context.Context) (pace, error) {
	conn, err := d.sql(ctx)
	if err != nil {
		return pace{}, err
	}
	var ms int64
	err = conn.QueryRow(ctx, "SELECT setting::bigint FROM pg_settings WHERE name = 'wal_sender_timeout'").Scan(&ms)
	if err != nil {
		return pace{}, fmt.Errorf("read wal_sender_timeout: %w", err)
	}
	timeout := time.Duration(ms) * time.Millisecond
	every := pace{status: 10 * time.Second, silence: timeout / 2}
	if third := timeout / 3; third > 0 {
		every.status = min(every.status, third)
	}
	return every, nil
}
