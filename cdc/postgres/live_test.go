package postgres_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/cdc/postgres"
	"github.com/tailrace/tailrace/internal/embedded/pgtest"
)

// live is a database with a slot, read as the loop reads it: a version is asked
// for when the first row needs it, and is in the history from that row on.
type live struct {
	*testing.T
	conn    *pgx.Conn
	config  postgres.Config
	history *cdc.History

	db      *postgres.Database
	stream  cdc.Stream
	tables  map[uint32]*cdc.Table
	last    cdc.LSN // end of the last commit that was read
	ordinal uint32
	at      cdc.Position
	xid     uint32   // of the transaction that is being read, or the one before since
	since   uint64   // the oldest transaction of the slot's snapshot
	read    []string // rows of that snapshot
}

// newLive makes a database and, after setup, a slot with a snapshot. Its tables
// are the history's first versions. Unless options name another one, the
// publication has all tables.
func newLive(t *testing.T, setup string, options ...func(*postgres.Config)) *live {
	t.Helper()
	l := prepareLive(t, pgtest.NewDatabase(t), setup, options...)
	l.create()
	return l
}

// prepareLive makes the slot not yet.
func prepareLive(t *testing.T, url, setup string, options ...func(*postgres.Config)) *live {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	name := conn.Config().Database + "_live"
	l := &live{T: t, conn: conn, history: &cdc.History{}, config: postgres.Config{
		URL: url, Slot: name, Publication: "live", CreatePublication: true, MaxRow: 1 << 20, Logger: slog.New(slog.DiscardHandler),
	}}
	for _, set := range options {
		set(&l.config)
	}
	l.exec(setup)
	if l.config.Publication == "live" {
		l.exec("CREATE PUBLICATION live FOR ALL TABLES")
	}
	return l
}

// create makes publication and slot, and begins the first session.
func (l *live) create() {
	l.Helper()
	l.db = postgres.New(l.config)
	if err := l.db.Publication(l.Context()); err != nil {
		l.Fatal(err)
	}
	at, rows, stream, err := l.db.CreateSlot(l.Context())
	if err != nil {
		l.Fatal(err)
	}
	l.since = rows.(interface{ Since() uint64 }).Since()
	l.xid = uint32(l.since - 1)
	for _, t := range rows.Tables() {
		l.note(t, cdc.Position{Epoch: 1, LSN: at})
	}
	l.read = l.copied(rows)
	rows.Close()
	l.begin(stream, at)
}

// copied reads a snapshot.
func (l *live) copied(rows cdc.Rows) []string {
	l.Helper()
	var out []string
	for i, t := range rows.Tables() {
		err := rows.Rows(l.Context(), i, func(row []cdc.Value) error {
			out = append(out, "r "+t.String()+" "+text(row))
			return nil
		}, func() (cdc.LongRow, error) { return nil, errors.New("a row is too long") })
		if err != nil {
			l.Fatal(err)
		}
	}
	return out
}

func (l *live) begin(stream cdc.Stream, at cdc.LSN) {
	l.stream, l.last, l.tables = stream, at, map[uint32]*cdc.Table{}
	l.db.Remember(l.history)
	l.Cleanup(l.close)
}

// close ends the session, if there is one.
func (l *live) close() {
	if l.stream != nil {
		l.stream.Close()
		l.db.Close()
		l.stream = nil
	}
}

// exec runs statements, each a transaction of its own but from BEGIN to COMMIT.
func (l *live) exec(sql string) {
	l.Helper()
	for statement := range strings.SplitSeq(sql, "; ") {
		if _, err := l.conn.PgConn().Exec(l.Context(), statement).ReadAll(); err != nil {
			l.Fatalf("%s: %v", statement, err)
		}
	}
}

// stop ends the session. What it has read is confirmed unless forget is set, as
// after a crash before the commit of its progress.
func (l *live) stop(forget bool) {
	l.Helper()
	if !forget {
		l.stream.Confirm(l.last)
	}
	l.close()
	for until := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		var active bool
		if err := l.conn.QueryRow(l.Context(), "SELECT active FROM pg_replication_slots WHERE slot_name = $1", l.config.Slot).Scan(&active); err != nil {
			l.Fatal(err)
		}
		if !active {
			return
		}
		if time.Now().After(until) {
			l.Fatal("the slot stays active")
		}
	}
}

// start begins another session, with the history read back as a start reads it.
func (l *live) start() {
	l.Helper()
	l.db = postgres.New(l.config)
	stream, err := l.db.Stream(l.Context(), 0)
	if err != nil {
		l.Fatal(err)
	}
	l.begin(stream, l.last)
}

// note puts a version into the history, unless it is in force already.
func (l *live) note(t *cdc.Table, at cdc.Position) {
	l.Helper()
	if old := l.history.At(t.OID, at); old != nil && asJSON(l, old.Table) == asJSON(l, t) {
		return
	}
	version, err := json.Marshal(cdc.Version{Version: 1, From: at.String(), XID: l.xid, Table: t})
	if err != nil {
		l.Fatal(err)
	}
	if err := l.history.Add(version); err != nil {
		l.Fatal(err)
	}
}

// newest is a position after all others.
var newest = cdc.Position{Epoch: math.MaxUint32}

func asJSON(l *live, t *cdc.Table) string {
	l.Helper()
	text, err := json.Marshal(t)
	if err != nil {
		l.Fatal(err)
	}
	return string(text)
}

// next is the next event that is not a keepalive.
func (l *live) next() *cdc.Event {
	l.Helper()
	until := time.Now().Add(20 * time.Second)
	for {
		ev, err := l.stream.Next(l.Context(), time.Second)
		if err != nil {
			l.Fatal(err)
		}
		if ev != nil && ev.Kind != cdc.EventKeepalive {
			return ev
		}
		if time.Now().After(until) {
			l.Fatal("no event came within 20 s")
		}
	}
}

// rows reads n changes and says what each was read with.
func (l *live) rows(n int) []string {
	l.Helper()
	var out []string
	for len(out) < n {
		switch ev := l.next(); ev.Kind {
		case cdc.EventBegin:
			l.ordinal = 0
		case cdc.EventCommit:
			l.last = ev.LSN
		case cdc.EventRelation:
			l.tables[ev.Relation] = nil
		case cdc.EventRow:
			l.ordinal++
			out = append(out, l.row(ev))
		}
	}
	if ev := l.next(); ev.Kind != cdc.EventCommit {
		l.Fatalf("after %d rows: got an event of kind %d, want a commit", n, ev.Kind)
	} else {
		l.last = ev.LSN
	}
	return out
}

func (l *live) row(ev *cdc.Event) string {
	l.Helper()
	l.at, l.xid = cdc.Position{Epoch: 1, LSN: ev.Tx.CommitLSN, Ordinal: l.ordinal}, ev.Tx.XID
	if l.tables[ev.Relation] == nil {
		t, err := l.stream.Resolve(l.Context(), ev.Relation, l.at)
		if err != nil {
			l.Fatal(err)
		}
		l.tables[ev.Relation] = t
		l.note(t, l.at)
	}
	t := l.tables[ev.Relation]
	row := ev.New
	if row == nil {
		row = ev.Old
	}
	return fmt.Sprintf("%s %s %s | %s", ev.Op, t.Name, text(row), describe(t))
}

// text writes a row's values with spaces between them.
func text(row []cdc.Value) string {
	var out []string
	for _, v := range row {
		switch v.State {
		case cdc.Null:
			out = append(out, "NULL")
		case cdc.Text:
			out = append(out, string(v.Data))
		default:
			out = append(out, "?")
		}
	}
	return strings.Join(out, " ")
}

// want compares what rows were read with.
func (l *live) want(want ...string) {
	l.Helper()
	for i, got := range l.rows(len(want)) {
		if got != want[i] {
			l.Errorf("row %d:\n got %s\nwant %s", i+1, got, want[i])
		}
	}
}
