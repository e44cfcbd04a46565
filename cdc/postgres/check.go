package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/cdc"
)

// CheckOptions is what the relay is going to do, as far as a check asks.
type CheckOptions struct {
	CreateSlot   bool
	Snapshot     bool   // rows will be read
	OutboxPrefix bool   // logical messages become events
	Heartbeat    bool   // heartbeats are written
	Trailing     string // the slot by which a replay can go back; empty: none is wanted
}

// Check looks at everything that the relay needs of PostgreSQL and returns what
// it found, with the tables that would be published. It changes nothing. A
// server that does not answer is a finding too.
func Check(ctx context.Context, c Config, o CheckOptions) ([]cdc.Finding, []*cdc.Table) {
	conn, err := Connect(ctx, c)
	if err != nil {
		return []cdc.Finding{{
			Level: cdc.LevelError, Name: "postgres", What: err.Error(),
			Remedy: "start PostgreSQL, or correct postgres.url and the password",
		}}, nil
	}
	defer closeConn(conn.PgConn())
	k := &checker{config: c, options: o, conn: conn}
	for _, check := range []func(context.Context) error{k.server, k.privileges, k.room, k.trailing, k.slot, k.transactions, k.limits, k.publication, k.tables, k.filters, k.identity, k.partitions, k.messages} {
		if err := check(ctx); err != nil {
			k.add(cdc.LevelError, "postgres", "a check failed: "+err.Error(), "mend that and run relay check again")
			if ctx.Err() != nil || conn.IsClosed() {
				break
			}
		}
	}
	return k.findings, k.found
}

// checker is one run of Check.
type checker struct {
	config   Config
	options  CheckOptions
	conn     *pgx.Conn
	version  int    // server_version_num
	user     string // current_user
	standby  bool
	slotLive bool // a walsender streams from our slot
	slotHere bool
	publish  publicationFacts
	findings []cdc.Finding
	found    []*cdc.Table
}

func (k *checker) add(level cdc.Level, name, what, remedy string) {
	k.findings = append(k.findings, cdc.Finding{Level: level, Name: name, What: what, Remedy: remedy})
}

func (k *checker) server(ctx context.Context) error {
	var version, level, database string
	err := k.conn.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, current_setting('server_version'),
		current_setting('wal_level'), current_user::text, current_database()::text, pg_is_in_recovery()`).
		Scan(&k.version, &version, &level, &k.user, &database, &k.standby)
	if err != nil {
		return fmt.Errorf("read the server's settings: %w", err)
	}
	k.add(cdc.LevelInfo, "postgres", fmt.Sprintf("PostgreSQL %s answers; database %q, user %q", version, database, k.user), "")
	if k.version < 140000 {
		k.add(cdc.LevelError, "version", "PostgreSQL "+version+" is older than 14", "upgrade PostgreSQL")
	}
	if k.standby {
		k.add(cdc.LevelError, "primary", "the server is a standby, where no slot and no publication can be made", "let postgres.url name the primary, or all hosts with target_session_attrs=read-write")
	}
	if level != "logical" {
		k.add(cdc.LevelError, "wal_level", "wal_level is "+level+", so the WAL does not carry row changes", "ALTER SYSTEM SET wal_level = 'logical'; then restart PostgreSQL")
	}
	return nil
}

// managedReplication tells whether a role r may replicate because a managed service
// says so, by membership in a role of its own.
const managedReplication = `EXISTS (SELECT FROM pg_roles m
	WHERE m.rolname IN ('rds_replication', 'rds_superuser', 'cloudsqlsuperuser', 'azure_pg_admin') AND pg_has_role(r.oid, m.oid, 'member'))`

func (k *checker) privileges(ctx context.Context) error {
	var replication, bypass bool
	err := k.conn.QueryRow(ctx, `SELECT rolreplication OR rolsuper OR `+managedReplication+`, rolbypassrls OR rolsuper
		FROM pg_roles r WHERE rolname = current_user`).Scan(&replication, &bypass)
	if err != nil {
		return fmt.Errorf("read the user's privileges: %w", err)
	}
	if !replication {
		k.add(cdc.LevelError, "replication", fmt.Sprintf("user %q may not replicate", k.user), "ALTER ROLE "+quoteIdent(k.user)+" REPLICATION; (on RDS: GRANT rds_replication TO "+quoteIdent(k.user)+";)")
	}
	return nil
}

// room looks whether there is a free slot and a free walsender for us.
func (k *checker) room(ctx context.Context) error {
	var slots, maxSlots, senders, maxSenders int
	err := k.conn.QueryRow(ctx, `SELECT (SELECT count(*) FROM pg_replication_slots), current_setting('max_replication_slots')::int,
		(SELECT count(*) FROM pg_stat_replication), current_setting('max_wal_senders')::int,
		EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1), EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1 AND active)`, k.config.Slot).
		Scan(&slots, &maxSlots, &senders, &maxSenders, &k.slotHere, &k.slotLive)
	if err != nil {
		return fmt.Errorf("count slots and walsenders: %w", err)
	}
	need := func(have bool) int {
		if have {
			return 0
		}
		return 1
	}
	k.headroom("max_replication_slots", slots, maxSlots, need(k.slotHere))
	k.headroom("max_wal_senders", senders, maxSenders, need(k.slotLive))
	return nil
}

// trailing looks whether the relay will make the trailing slot.
func (k *checker) trailing(ctx context.Context) error {
	if k.options.Trailing == "" {
		return nil
	}
	free, most, err := FreeSlots(ctx, k.conn)
	if err != nil {
		return err
	}
	var there bool
	if err := k.conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1)", k.options.Trailing).Scan(&there); err != nil {
		return fmt.Errorf("look for slot %q: %w", k.options.Trailing, err)
	}
	if !k.slotHere {
		free--
	}
	if !there && free <= SpareSlots {
		k.add(cdc.LevelWarning, "trailing_slot", fmt.Sprintf("beside the relay's slot %d of max_replication_slots = %d are free, and %d stay so: no trailing slot is made, and no replay can go back by replay.window", max(free, 0), most, SpareSlots),
			fmt.Sprintf("ALTER SYSTEM SET max_replication_slots = %d; then restart PostgreSQL", most+SpareSlots+1-free))
	}
	return nil
}

func (k *checker) headroom(setting string, used, limit, need int) {
	remedy := fmt.Sprintf("ALTER SYSTEM SET %s = %d; then restart PostgreSQL", setting, max(limit+4, 10))
	what := fmt.Sprintf("%d of %s = %d are in use", used, setting, limit)
	switch free := limit - used - need; {
	case free < 0:
		k.add(cdc.LevelError, setting, what+", none is left for the relay", remedy)
	case free < 1:
		k.add(cdc.LevelWarning, setting, what+", none is left beside the relay's", remedy)
	default:
		k.add(cdc.LevelInfo, setting, what, "")
	}
}

// slotFacts are the columns of pg_replication_slots; they grow by version, and
// are read by name.
type slotFacts map[string]any

func (s slotFacts) text(column string) string {
	if v, ok := s[column].(string); ok {
		return v
	}
	return ""
}

func (s slotFacts) true(column string) bool {
	v, ok := s[column].(bool)
	return ok && v
}

func (k *checker) slot(ctx context.Context) error {
	rows, _ := k.conn.Query(ctx, "SELECT to_jsonb(s) - 'xmin' - 'catalog_xmin' FROM pg_replication_slots s WHERE slot_name = $1", k.config.Slot)
	s, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[slotFacts])
	if errors.Is(err, pgx.ErrNoRows) {
		k.missingSlot()
		return nil
	}
	if err != nil {
		return fmt.Errorf("read slot %q: %w", k.config.Slot, err)
	}
	own := "give the relay a slot of its own: postgres.slot.name"
	drop := fmt.Sprintf("SELECT pg_drop_replication_slot('%s'); then begin anew, which takes a new snapshot", k.config.Slot)
	bad := func(what, remedy string) {
		k.add(cdc.LevelError, "slot", fmt.Sprintf("slot %q %s", k.config.Slot, what), remedy)
	}
	switch {
	case s.text("slot_type") != "logical" || s.text("plugin") != "pgoutput":
		bad("is not a logical slot of pgoutput", own)
	case s.text("database") != k.conn.Config().Database:
		bad(fmt.Sprintf("belongs to database %q", s.text("database")), own)
	case s.true("temporary"):
		bad("is temporary: it ends with the session that made it", own)
	case s.true("two_phase"):
		bad("decodes prepared transactions (two_phase)", drop)
	case s.text("wal_status") == "lost" || s.text("invalidation_reason") != "" || s.true("conflicting"):
		why, next := Loss(s.text("invalidation_reason"))
		bad("is lost: "+why, drop+"; "+next)
	case s.text("wal_status") == "unreserved":
		k.add(cdc.LevelWarning, "slot", fmt.Sprintf("slot %q is about to be lost: it holds back more than max_slot_wal_keep_size", k.config.Slot), "start the relay now, or raise max_slot_wal_keep_size")
	case k.slotLive:
		k.add(cdc.LevelInfo, "slot", fmt.Sprintf("slot %q is in use: a relay runs; another one waits as its standby", k.config.Slot), "")
	default:
		k.add(cdc.LevelInfo, "slot", fmt.Sprintf("slot %q is there, confirmed to %s", k.config.Slot, s.text("confirmed_flush_lsn")), "")
	}
	if k.version >= 170000 && k.config.Failover {
		return k.failover(ctx, s.true("failover"))
	}
	return nil
}

func (k *checker) missingSlot() {
	if k.config.Adopt {
		k.add(cdc.LevelError, "slot", fmt.Sprintf("slot %q, which is to be taken over (postgres.slot.adopt), does not exist", k.config.Slot),
			"name the connector's slot (slot.name) in postgres.slot.name, or set postgres.slot.adopt: false, to begin with a snapshot")
		return
	}
	if k.options.CreateSlot {
		k.add(cdc.LevelInfo, "slot", fmt.Sprintf("slot %q does not exist; relay run makes it", k.config.Slot), "")
		return
	}
	k.add(cdc.LevelError, "slot", fmt.Sprintf("slot %q does not exist, and postgres.slot.create is false", k.config.Slot),
		fmt.Sprintf("SELECT pg_create_logical_replication_slot('%s', 'pgoutput');", k.config.Slot))
}

// failover matters only where there are standbys.
func (k *checker) failover(ctx context.Context, on bool) error {
	var standbys int
	var synchronized string
	err := k.conn.QueryRow(ctx, "SELECT (SELECT count(*) FROM pg_replication_slots WHERE slot_type = 'physical'), current_setting('synchronized_standby_slots')").Scan(&standbys, &synchronized)
	if err != nil {
		return fmt.Errorf("look for standbys: %w", err)
	}
	if standbys == 0 {
		return nil
	}
	if !on {
		k.add(cdc.LevelWarning, "failover", fmt.Sprintf("slot %q is not synchronised to standbys: a failover loses it", k.config.Slot), "drop it while the relay is stopped and begin anew, or set postgres.slot.failover: false")
	}
	if synchronized == "" {
		k.add(cdc.LevelWarning, "failover", "synchronized_standby_slots is empty: the relay can publish what a standby does not have yet, and after a failover never gets", "ALTER SYSTEM SET synchronized_standby_slots = '<physical slots of the standbys>'; SELECT pg_reload_conf();")
	}
	return nil
}

// transactions that are open keep a slot from being made.
func (k *checker) transactions(ctx context.Context) error {
	if k.slotHere || !k.options.CreateSlot {
		return nil
	}
	rows, _ := k.conn.Query(ctx, `SELECT format('pid %s of %s, open for %s s', pid, coalesce(usename, '?'), extract(epoch FROM now() - xact_start)::bigint)
		FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND xact_start < now() - interval '30 s' AND pid <> pg_backend_pid()
		UNION ALL SELECT format('prepared transaction %L', gid) FROM pg_prepared_xacts LIMIT 10`)
	open, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("look for open transactions: %w", err)
	}
	if len(open) > 0 {
		k.add(cdc.LevelWarning, "transactions", "making the slot waits for: "+strings.Join(open, "; "), "end them, or wait: SELECT pg_terminate_backend(<pid>);")
	}
	return nil
}

// limits are the settings after which the server gives a slot up.
func (k *checker) limits(ctx context.Context) error {
	settings := "max_slot_wal_keep_size"
	idle := "0"
	if k.version >= 180000 {
		idle = "(SELECT setting FROM pg_settings WHERE name = 'idle_replication_slot_timeout')"
	}
	var keep, timeout string
	err := k.conn.QueryRow(ctx, "SELECT current_setting('"+settings+"'), "+idle+"::text").Scan(&keep, &timeout)
	if err != nil {
		return fmt.Errorf("read the limits of slots: %w", err)
	}
	if keep == "-1" {
		k.add(cdc.LevelWarning, settings, settings+" is -1: while the relay is away, its slot can fill the server's disk", "ALTER SYSTEM SET "+settings+" = '50GB'; SELECT pg_reload_conf(); the slot is lost beyond it")
	} else {
		k.add(cdc.LevelInfo, settings, fmt.Sprintf("%s is %s: beyond it the slot is lost", settings, keep), "")
	}
	if seconds, err := strconv.Atoi(timeout); err == nil && seconds > 0 {
		k.add(cdc.LevelWarning, "idle_replication_slot_timeout", fmt.Sprintf("idle_replication_slot_timeout is %d s: a relay that is away for longer loses its slot", seconds), "ALTER SYSTEM SET idle_replication_slot_timeout = 0; SELECT pg_reload_conf();")
	}
	return nil
}
