package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/tailrace/tailrace/cdc"
)

// Config says which database, slot and publication.
type Config struct {
	URL      string                                    // libpq URL or keywords
	Password func(ctx context.Context) (string, error) // nil: what the URL and the environment say
	Slot     string
	// Failover makes the slot one that standbys synchronise (PostgreSQL 17 and
	// later; ignored before).
	Failover    bool
	Publication string
	// CreatePublication allows making the publication and adding tables to it.
	CreatePublication bool
	// PublishViaRoot makes a publication whose changes of partitions come under the
	// name of the partitioned table.
	PublishViaRoot bool
	// Adopt says that slot and publication are another program's, which has stopped:
	// the publication is used as it is.
	Adopt            bool
	Include, Exclude []string // patterns of schema.table
	// Where is the condition in SQL that a table's rows have to meet; the table is
	// named schema.table. nil, or "": all rows.
	Where func(table string) string
	// Rules are what the configuration makes of a table's rows; nil: nothing. Only
	// Check asks.
	Rules  func(*cdc.Table) cdc.Rules
	MaxRow int // bytes; bounds what is read at once
	// OnSilence is told when the slot may be another session's by now (ours.go), also
	// while nobody reads; may be nil. It may be called more than once, and must be
	// quick.
	OnSilence func(error)
	Logger    *slog.Logger
}

// where is the configured row filter of a table.
func (c *Config) where(t *Published) string {
	if c.Where == nil {
		return ""
	}
	return strings.TrimSpace(c.Where(t.Schema + "." + t.Name))
}

// receiveBuffer is the size of the replication socket's receive buffer. Fixed,
// so that the kernel's autotuning does not hold the window open: a closed window
// makes the walsender's one-row writes travel in large pieces.
const receiveBuffer = 256 << 10

// Database is one PostgreSQL database as a relay uses it. It is not safe for
// concurrent use.
type Database struct {
	config  Config
	conn    *pgx.Conn // for the catalog; nil until needed
	catalog *Catalog
	system  cdc.System
	version int // server_version_num
	history *cdc.History
	read    map[uint32]*cdc.Table  // by the snapshot at the slot's start
	live    atomic.Pointer[stream] // the last that was started
	taken   atomic.Pointer[taken]
}

// New prepares a database; it connects when first asked.
func New(c Config) *Database { return &Database{config: c} }

// Close ends the SQL connection.
func (d *Database) Close() {
	if d.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = d.conn.Close(ctx) // nothing depends on a clean goodbye
		d.conn = nil
	}
}

// sessionSettings are those of every connection of ours, the replication
// connection included, so that a value has one text form whatever the defaults of
// the database and the role are: the stream's text is made by its walsender.
var sessionSettings = map[string]string{
	"datestyle": "ISO", "intervalstyle": "postgres", "timezone": "UTC", "bytea_output": "hex",
	"extra_float_digits": "3", "client_encoding": "UTF8", "application_name": "tailrace relay",
	"statement_timeout": "0", "lock_timeout": "0", "idle_in_transaction_session_timeout": "0",
}

// timeoutsSQL ends those timeouts that only some versions know: a server refuses a
// connection that asks for a setting which it does not have.
const timeoutsSQL = `SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings WHERE name IN ('idle_session_timeout', 'transaction_timeout')`

// Connect opens a SQL session with our settings.
func Connect(ctx context.Context, c Config) (*pgx.Conn, error) {
	return connect(ctx, c, func(*pgx.ConnConfig) {})
}

func connect(ctx context.Context, c Config, set func(*pgx.ConnConfig)) (*pgx.Conn, error) {
	pc, err := pgx.ParseConfig(c.URL)
	if err != nil {
		return nil, fmt.Errorf("postgres.url: %w", err)
	}
	if err := c.prepare(ctx, &pc.Config); err != nil {
		return nil, err
	}
	pc.RuntimeParams["row_security"] = "off" // COPY under RLS would silently return a part
	set(pc)
	conn, err := pgx.ConnectConfig(ctx, pc)
	if err != nil {
		return nil, fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	if err := endTimeouts(ctx, conn.PgConn()); err != nil {
		return nil, err
	}
	return conn, nil
}

// endTimeouts closes conn if it fails.
func endTimeouts(ctx context.Context, conn *pgconn.PgConn) error {
	if _, err := conn.Exec(ctx, timeoutsSQL).ReadAll(); err != nil {
		closeConn(conn)
		return fmt.Errorf("connect to PostgreSQL: end the session's timeouts: %w", err)
	}
	return nil
}

func (c *Config) prepare(ctx context.Context, pc *pgconn.Config) error {
	for k, v := range sessionSettings {
		pc.RuntimeParams[k] = v
	}
	if pc.ConnectTimeout == 0 {
		pc.ConnectTimeout = 10 * time.Second
	}
	if c.Password == nil {
		return nil
	}
	password, err := c.Password(ctx)
	if err != nil {
		return fmt.Errorf("password for PostgreSQL: %w", err)
	}
	pc.Password = password
	return nil
}

// SQL is a live SQL session; a broken one is replaced.
func (d *Database) sql(ctx context.Context) (*pgx.Conn, error) {
	if d.conn != nil && !d.conn.IsClosed() {
		return d.conn, nil
	}
	conn, err := Connect(ctx, d.config)
	if err != nil {
		return nil, err
	}
	d.conn, d.catalog = conn, NewCatalog(conn)
	d.catalog.Publication = d.config.Publication
	v, err := strconv.Atoi(conn.PgConn().ParameterStatus("server_version_num"))
	if err != nil { // not among the reported parameters before a query asks
		err = conn.QueryRow(ctx, "SELECT current_setting('server_version_num')::int").Scan(&v)
	}
	if err != nil {
		return nil, fmt.Errorf("read the server's version: %w", err)
	}
	d.version = v
	return conn, nil
}

// replication opens a connection in replication mode.
func (d *Database) replication(ctx context.Context) (*pgconn.PgConn, error) {
	pc, err := pgconn.ParseConfig(d.config.URL)
	if err != nil {
		return nil, fmt.Errorf("postgres.url: %w", err)
	}
	if err := d.config.prepare(ctx, pc); err != nil {
		return nil, err
	}
	pc.RuntimeParams["replication"] = "database"
	dialer := net.Dialer{KeepAlive: 30 * time.Second, Control: func(_, _ string, c syscall.RawConn) error {
		var serr error
		err := c.Control(func(fd uintptr) { serr = setReceiveBuffer(fd, receiveBuffer) })
		return errors.Join(err, serr)
	}}
	pc.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dialer.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &paced{Conn: c, unpaced: network == "unix"}, nil
	}
	pc.BuildFrontend = func(r io.Reader, w io.Writer) *pgproto3.Frontend {
		return pgproto3.NewFrontend(&alignedReader{r: r}, w)
	}
	conn, err := pgconn.ConnectConfig(ctx, pc)
	if err != nil {
		return nil, fmt.Errorf("connect to PostgreSQL for replication: %w", err)
	}
	if err := endTimeouts(ctx, conn); err != nil {
		return nil, err
	}
	return conn, nil
}

// Remember gives the stream the history of relations. Call it before the stream
// is read; what is added to h afterwards counts as well.
func (d *Database) Remember(h *cdc.History) {
	d.history = h
	if s := d.live.Load(); s != nil {
		s.versions.history = h
	}
}

// Identify tells which server and history this is.
func (d *Database) Identify(ctx context.Context) (cdc.System, error) {
	conn, err := d.replication(ctx)
	if err != nil {
		return cdc.System{}, err
	}
	defer closeConn(conn)
	id, err := pglogrepl.IdentifySystem(ctx, conn)
	if err != nil {
		return cdc.System{}, fmt.Errorf("IDENTIFY_SYSTEM: %w", err)
	}
	d.system = cdc.System{ID: id.SystemID, Timeline: id.Timeline, Position: cdc.LSN(id.XLogPos), Database: id.DBName}
	return d.system, nil
}

func closeConn(conn *pgconn.PgConn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx) // nothing depends on a clean goodbye
}

// Refused tells whether the server turned the relay away for good: a wrong
// password, role or database.
func Refused(err error) bool {
	switch code(err) {
	case "28P01", "28000", "3D000":
		return true
	}
	return false
}

// ShuttingDown tells whether err says that the server ends or is not up yet.
func ShuttingDown(err error) bool {
	switch code(err) {
	case "57P01", "57P02", "57P03":
		return true
	}
	return false
}

// Answered tells whether err is something that the server, or what stands before it,
// has said.
func Answered(err error) bool { return code(err) != "" }

func code(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}

// detailed is err with what the server says beside its message.
func detailed(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Detail != "" {
		return fmt.Errorf("%w: %s", err, pg.Detail)
	}
	return err
}

// Selected tells whether the configuration's patterns select a table that the
// publication has.
func (d *Database) Selected(ctx context.Context, t *cdc.Table) (bool, error) {
	if _, err := d.sql(ctx); err != nil {
		return false, err
	}
	return d.catalog.Selects(ctx, t, d.config.Include, d.config.Exclude)
}
