package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/internal/embedded/pgtest"
	"github.com/tailrace/tailrace/sinks"
	"github.com/tailrace/tailrace/sinks/sinktest"
)

// fixture is an owner of one partition.
type fixture struct {
	t     *testing.T
	url   string
	sink  *Sink
	claim sinks.Claim
	next  int64
}

func newFixture(t *testing.T, mode SchemaMode, setup string) *fixture {
	t.Helper()
	f := &fixture{t: t, url: pgtest.NewDatabase(t), next: sinks.NoOffset}
	if setup != "" {
		exec(t, f.url, setup)
	}
	f.sink = open(t, f.url, mode)
	t.Cleanup(f.sink.Close)
	var err error
	if f.claim, err = f.sink.Claim(t.Context(), sinks.Partition{Topic: "t"}); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) write(changes ...*sinks.Change) error {
	next := max(f.next, 0) + int64(len(changes))
	_, err := f.sink.Write(f.t.Context(), &sinks.Batch{Claim: f.claim, Expect: f.next, Next: next, Generation: 1, Changes: changes})
	if err == nil {
		f.next = next
	}
	return err
}

func (f *fixture) mustWrite(changes ...*sinks.Change) {
	f.t.Helper()
	if err := f.write(changes...); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) value(sql string) string {
	f.t.Helper()
	conn := connect(f.t, f.url)
	defer conn.Close(context.Background())
	var s *string
	if err := conn.QueryRow(f.t.Context(), sql).Scan(&s); err != nil {
		f.t.Fatalf("%s: %v", sql, err)
	}
	if s == nil {
		return "NULL"
	}
	return *s
}

func (f *fixture) want(sql, want string) {
	f.t.Helper()
	if got := f.value(sql); got != want {
		f.t.Errorf("%s: got %s, want %s", sql, got, want)
	}
}

// change of any shape; a value "\x00" is NULL.
func change(n int, op cdc.Op, origin *sinks.Origin, shape *sinks.Shape, values ...string) *sinks.Change {
	c := &sinks.Change{Origin: origin, Op: op, Position: sinktest.At(n), Pos: sinktest.At(n).String(), Shape: shape}
	for _, v := range values {
		switch v {
		case "\x00":
			c.Row = append(c.Row, cdc.Value{})
		case "\x01":
			c.Row = append(c.Row, cdc.Value{State: cdc.Unchanged})
		default:
			c.Row = append(c.Row, cdc.Value{State: cdc.Text, Data: []byte(v)})
		}
	}
	var key []cdc.Value
	for _, k := range shape.Key {
		key = append(key, c.Row[k])
	}
	if key != nil {
		c.Key = sinks.RowKey(key)
	}
	return c
}

func TestEveryTypeIsStoredAsItsText(t *testing.T) {
	t.Parallel()
	f := newFixture(t, SchemaAdd, "")
	type sample struct {
		column sinks.Column
		value  string
	}
	samples := []sample{
		{sinks.Column{Type: sinks.Int64}, "9223372036854775807"},
		{sinks.Column{Type: sinks.Text}, "quote ' \" \\ ü \U0001F600\n\t"},
		{sinks.Column{Type: sinks.Text}, ""},
		{sinks.Column{Type: sinks.Bool}, "true"},
		{sinks.Column{Type: sinks.Int16}, "-32768"},
		{sinks.Column{Type: sinks.Float32}, "1.1"},
		{sinks.Column{Type: sinks.Float64}, "NaN"},
		{sinks.Column{Type: sinks.Float64}, "-Infinity"},
		{sinks.Column{Type: sinks.Decimal, Precision: 10, Scale: 2}, "12345678.90"},
		{sinks.Column{Type: sinks.Decimal}, "0.00000000000000000000000000000000000001"},
		{sinks.Column{Type: sinks.Bytes}, `\x00ff5c27`},
		{sinks.Column{Type: sinks.JSON}, `{"b": 1,  "a": [1, 2], "b": 2}`},
		{sinks.Column{Type: sinks.UUID}, "b68a35a7-17ad-35b3-af2a-ae46edb4545a"},
		{sinks.Column{Type: sinks.Date}, "infinity"},
		{sinks.Column{Type: sinks.Date}, "0044-03-15 BC"},
		{sinks.Column{Type: sinks.Time}, "24:00:00"},
		{sinks.Column{Type: sinks.TimeTZ}, "11:51:30.123789+00"},
		{sinks.Column{Type: sinks.Timestamp}, "2026-11-21 13:51:30.123456"},
		{sinks.Column{Type: sinks.TimestampTZ}, "2026-11-21 13:51:30.123456+00"},
		{sinks.Column{Type: sinks.Interval}, "1 year 2 mons 3 days 04:05:06.78"},
		{sinks.Column{Type: sinks.Bits}, "1000000"},
		{sinks.Column{Type: sinks.Int32, Array: true}, "{1,NULL,3}"},
		{sinks.Column{Type: sinks.Text, Array: true}, `{a,"b,c",NULL,"\"\\"}`},
		{sinks.Column{Type: sinks.Decimal, Precision: 5, Scale: 1, Array: true}, "{1.5,NULL}"},
		{sinks.Column{Type: sinks.Text}, "\x00"},
		{sinks.Column{Type: sinks.Int32}, "\x00"},
	}
	shape := &sinks.Shape{Key: []int{0}}
	var values []string
	for i, s := range samples {
		s.column.Name = fmt.Sprintf("c%d", i)
		shape.Columns = append(shape.Columns, s.column)
		values = append(values, s.value)
	}
	f.mustWrite(change(1, cdc.OpCreate, sinktest.Origin, shape, values...))
	for i, s := range samples {
		want := s.value
		if want == "\x00" {
			want = "NULL"
		}
		f.want(fmt.Sprintf("SELECT c%d::text FROM public.items", i), want)
	}
}

func TestNamesAreKeptAsTheyAre(t *testing.T) {
	t.Parallel()
	f := newFixture(t, SchemaAdd, "")
	origin := &sinks.Origin{Topic: "t", Schema: `Odd".schema`, Table: `select; drop "x"`}
	shape := &sinks.Shape{Key: []int{1, 0}, Columns: []sinks.Column{{Name: "Key A"}, {Name: `b"`, Type: sinks.Int32}, {Name: "user", Type: sinks.Int32}}}
	f.mustWrite(change(1, cdc.OpCreate, origin, shape, "k", "1", "2"), change(2, cdc.OpUpdate, origin, shape, "k", "1", "3"),
		change(3, cdc.OpCreate, origin, shape, "k", "2", "4"))
	f.want(`SELECT string_agg("Key A" || "b""" || "user", ',' ORDER BY "b""") FROM "Odd"".schema"."select; drop ""x"""`, "k13,k24")
	f.want(`SELECT indexdef FROM pg_indexes WHERE schemaname = 'Odd".schema' AND indexdef LIKE '%UNIQUE%'`,
		`CREATE UNIQUE INDEX "select; drop ""x""_pkey" ON "Odd"".schema"."select; drop ""x""" USING btree ("b""", "Key A")`)
}

func TestTableOfKeyColumnsOnly(t *testing.T) {
	t.Parallel()
	shape := &sinks.Shape{Key: []int{0}, Columns: []sinks.Column{{Name: "id", Type: sinks.Int32}}}
	for _, mode := range []SchemaMode{SchemaAdd, SchemaNone} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			setup := ""
			if mode == SchemaNone {
				setup = "CREATE TABLE items (id integer PRIMARY KEY)"
			}
			f := newFixture(t, mode, setup)
			f.mustWrite(change(1, cdc.OpCreate, sinktest.Origin, shape, "1"))
			f.mustWrite(change(2, cdc.OpUpdate, sinktest.Origin, shape, "1"), change(3, cdc.OpCreate, sinktest.Origin, shape, "2"))
			f.mustWrite(change(4, cdc.OpDelete, sinktest.Origin, shape, "1"))
			f.want("SELECT string_agg(id::text, ',') FROM items", "2")
		})
	}
}

func TestTableWithoutKeyIsAppendedTo(t *testing.T) {
	t.Parallel()
	shape := &sinks.Shape{Columns: []sinks.Column{{Name: "event", Type: sinks.Text}}}
	for mode, setup := range map[SchemaMode]string{SchemaAdd: "", SchemaValidate: "CREATE TABLE items (event text)"} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, mode, setup)
			a, b := change(1, cdc.OpCreate, sinktest.Origin, shape, "same"), change(2, cdc.OpCreate, sinktest.Origin, shape, "same")
			f.mustWrite(a, b)
			f.mustWrite(b, a, change(3, cdc.OpRead, sinktest.Origin, shape, "other"))
			f.want("SELECT string_agg(event, ',' ORDER BY event DESC) FROM items", "same,same,other")
			err := f.write(change(4, cdc.OpDelete, sinktest.Origin, shape, "same"))
			var refused *sinks.RefusedError
			if !errors.As(err, &refused) || refused.Refusals[0].Err.Class != sinks.ClassMapping {
				t.Errorf("a delete: got %v, want a refusal of class mapping", err)
			}
		})
	}
}

func TestInstancesRaceToCreateAndExtend(t *testing.T) {
	t.Parallel()
	url := pgtest.NewDatabase(t)
	var all sync.WaitGroup
	for i := range 6 {
		all.Go(func() {
			s := open(t, url, SchemaAdd)
			defer s.Close()
			claim, err := s.Claim(t.Context(), sinks.Partition{Topic: "t", Number: int32(i)})
			if err != nil {
				t.Error(err)
				return
			}
			for round := range 3 {
				shape := &sinks.Shape{Key: []int{0}, Columns: []sinks.Column{{Name: "id", Type: sinks.Int32}}}
				values := []string{fmt.Sprint(i)}
				for c := range round + 1 {
					shape.Columns = append(shape.Columns, sinks.Column{Name: fmt.Sprintf("c%d", c)})
					values = append(values, "v")
				}
				b := &sinks.Batch{Claim: claim, Expect: int64(round - 1), Next: int64(round), Generation: 1,
					Changes: []*sinks.Change{change(round+1, cdc.OpUpdate, sinktest.Origin, shape, values...)}}
				if _, err := s.Write(t.Context(), b); err != nil {
					t.Errorf("instance %d, round %d: %v", i, round, err)
				}
			}
		})
	}
	all.Wait()
	f := &fixture{t: t, url: url}
	f.want("SELECT count(*)::text FROM items WHERE c2 = 'v'", "6")
}

func TestSchemaModes(t *testing.T) {
	t.Parallel()
	table := `CREATE TABLE items (id integer PRIMARY KEY, name text, note text, amount %s)`
	put := sinktest.Put(1, 1, sinktest.Row{Name: "n", Note: "n", Amount: "1"})
	for _, test := range []struct {
		name, setup string
		mode        SchemaMode
		want        string // in the error; "" for none
	}{
		{"none takes a narrower type", fmt.Sprintf(table, "smallint"), SchemaNone, ""},
		{"validate refuses it", fmt.Sprintf(table, "smallint"), SchemaValidate, "ALTER TABLE \"public\".\"items\" ALTER COLUMN \"amount\" TYPE integer"},
		{"add refuses it", fmt.Sprintf(table, "smallint"), SchemaAdd, "amount"},
		{"validate takes a wider one", fmt.Sprintf(table, "bigint"), SchemaValidate, ""},
		{"validate wants all columns", "CREATE TABLE items (id integer PRIMARY KEY, name text)", SchemaValidate, `no column "note"`},
		{"none does too", "CREATE TABLE items (id integer PRIMARY KEY, name text)", SchemaNone, `no column "note"`},
		{"add makes them", "CREATE TABLE items (id integer PRIMARY KEY, name text)", SchemaAdd, ""},
		{"no table", "", SchemaValidate, "does not exist"},
		{"no unique index", fmt.Sprintf(strings.Replace(table, " PRIMARY KEY", "", 1), "integer"), SchemaAdd, "no unique index"},
		{"a partial one is none", fmt.Sprintf(strings.Replace(table, " PRIMARY KEY", "", 1), "integer") + "; CREATE UNIQUE INDEX ON items (id) WHERE id > 0", SchemaAdd, "no unique index"},
		{"another unique index will do", fmt.Sprintf(strings.Replace(table, " PRIMARY KEY", "", 1), "integer") + "; CREATE UNIQUE INDEX ON items (id) INCLUDE (name)", SchemaAdd, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, test.mode, test.setup)
			err := f.write(put)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q in it", err, test.want)
			}
		})
	}
}

func TestCatalogIsReadAgainAfterItChanged(t *testing.T) {
	t.Parallel()
	f := newFixture(t, SchemaAdd, "")
	f.mustWrite(sinktest.Put(1, 1, sinktest.Row{Name: "a", Note: "a", Amount: "1"}))
	exec(t, f.url, "DROP TABLE items")
	if err := f.write(sinktest.Put(2, 1, sinktest.Row{Name: "b", Note: "b", Amount: "2"})); err == nil {
		t.Fatal("write into a table that is gone: got no error")
	}
	f.mustWrite(sinktest.Put(2, 1, sinktest.Row{Name: "b", Note: "b", Amount: "2"}))
	f.want("SELECT name FROM items", "b")
	exec(t, f.url, "ALTER TABLE items ALTER COLUMN amount TYPE bigint")
	f.mustWrite(sinktest.Put(3, 1, sinktest.Row{Name: "c", Note: "c", Amount: "3"}))
	f.want("SELECT name || amount FROM items", "c3")
}

func TestRowsOfSomebodyElseCountAsOlder(t *testing.T) {
	t.Parallel()
	f := newFixture(t, SchemaAdd, "CREATE TABLE items (id integer PRIMARY KEY, name text, note text, amount integer); INSERT INTO items VALUES (1, 'old', 'kept', 0), (2, 'old', 'old', 0), (3, 'old', 'old', 0)")
	f.mustWrite(sinktest.PutName(1, 1, "new", "1"), sinktest.Put(2, 2, sinktest.Row{Name: "new", Note: "new", Amount: "2"}), sinktest.Delete(3, 3))
	f.want("SELECT string_agg(id || name || note || amount, ',' ORDER BY id) FROM items", "1newkept1,2newnew2")
}

func TestExpiredTombstonesArePurgedInBounds(t *testing.T) {
	t.Parallel()
	f := newFixture(t, SchemaAdd, "")
	f.mustWrite(sinktest.Put(1, 1, sinktest.Row{Name: "a", Note: "a", Amount: "1"}), sinktest.Delete(2, 2))
	f.want("SELECT (expires - now() BETWEEN '167 hours' AND '169 hours')::text FROM tailrace.tombstones", "true")
	exec(t, f.url, `INSERT INTO tailrace.tombstones SELECT 'p', 't', i::text, 1, '', now() - interval '1 s' FROM generate_series(1, 6000) i`)
	exec(t, f.url, `INSERT INTO tailrace.tombstones VALUES ('other', 't', 'x', 1, '', now() - interval '1 s')`)
	conn := connect(t, f.url)
	defer conn.Close(context.Background())
	for _, want := range []int64{purgeRows, 1000, 0} {
		if got, err := f.sink.expire(t.Context(), conn); err != nil || got != want {
			t.Errorf("purged: got %d, %v; want %d", got, err, want)
		}
	}
	f.want("SELECT string_agg(pipeline, ',' ORDER BY pipeline) FROM tailrace.tombstones", "other,p")
}

func TestClaimNamesTheSessionThatBlocksIt(t *testing.T) {
	t.Parallel()
	f := newFixture(t, SchemaAdd, "")
	conn := connect(t, f.url)
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), "BEGIN; UPDATE tailrace.offsets SET epoch = epoch", pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	var log syncBuffer
	cfg := DefaultConfig()
	cfg.URL, cfg.Pipeline, cfg.LockTimeout = f.url, "p", 4*time.Second
	s, err := New(cfg, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Claim(t.Context(), sinks.Partition{Topic: "t"}); err == nil || sinks.Systemic(err) {
		t.Errorf("claim of a locked partition: got %v, want a transient error", err)
	}
	if want := "pid=" + itoa(conn.PgConn().PID()); !strings.Contains(log.String(), want) {
		t.Errorf("log: got %q, want %q in it", log.String(), want)
	}
}

type syncBuffer struct {
	mu sync.Mutex // guards the following
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestSessionSettings(t *testing.T) {
	t.Parallel()
	f := newFixture(t, SchemaAdd, "")
	conn, err := f.sink.pool.acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer f.sink.pool.release(conn)
	for name, want := range map[string]string{
		"idle_in_transaction_session_timeout": "30s", "lock_timeout": "20s", "application_name": "tailrace processor p",
		"tcp_user_timeout": "30000", "tcp_keepalives_idle": "10", "TimeZone": "UTC",
	} {
		var got string
		if err := conn.QueryRow(t.Context(), "SELECT current_setting($1)", name).Scan(&got); err != nil || got != want {
			t.Errorf("%s: got %s, %v; want %s", name, got, err, want)
		}
	}
}

func TestUserWithoutRightsIsSystemicAndNeedsNoneToCreate(t *testing.T) {
	t.Parallel()
	f := newFixture(t, SchemaAdd, "")
	f.mustWrite(sinktest.Put(1, 1, sinktest.Row{Name: "a", Note: "a", Amount: "1"}))
	role := "loader_" + strings.ReplaceAll(f.value("SELECT current_database()"), "-", "_")
	exec(t, f.url, `CREATE ROLE `+role+` LOGIN PASSWORD 'x'; GRANT USAGE ON SCHEMA tailrace TO `+role+`; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA tailrace TO `+role)
	t.Cleanup(func() {
		conn, err := pgx.Connect(context.Background(), f.url)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close(context.Background())
		if _, err := conn.Exec(context.Background(), "DROP OWNED BY "+role+"; DROP ROLE "+role); err != nil {
			t.Error(err)
		}
	})
	cfg := DefaultConfig()
	cfg.URL, cfg.Pipeline = strings.Replace(f.url, "postgres:postgres@", role+":x@", 1), "p"
	s, err := New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	claim, err := s.Claim(t.Context(), sinks.Partition{Topic: "t"})
	if err != nil {
		t.Fatal(err)
	}
	b := &sinks.Batch{Claim: claim, Expect: claim.Next, Next: claim.Next + 1, Generation: 1, Changes: []*sinks.Change{sinktest.Put(2, 1, sinktest.Row{Name: "b", Note: "b", Amount: "2"})}}
	if _, err := s.Write(t.Context(), b); !sinks.Systemic(err) || !strings.Contains(err.Error(), "grant") {
		t.Errorf("write without the right: got %v, want a systemic error that says grant", err)
	}
	exec(t, f.url, "GRANT SELECT, INSERT, UPDATE, DELETE ON items TO "+role)
	if _, err := s.Write(t.Context(), b); err != nil {
		t.Errorf("write with it: %v", err)
	}
}

// The tables of an earlier version get what they lack.
func TestStateTablesOfAnEarlierVersion(t *testing.T) {
	t.Parallel()
	f := newFixture(t, SchemaAdd, "")
	exec(t, f.url, "ALTER TABLE tailrace.parked DROP COLUMN last_pos")
	s := open(t, f.url, SchemaAdd)
	t.Cleanup(s.Close)
	park := sinks.Park{Key: sinks.ParkKey([]byte("key")), Class: sinks.ClassConstraint, FirstID: "id", Count: 1, Last: sinktest.At(3).String()}
	c, err := s.Claim(t.Context(), f.claim.Partition)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(t.Context(), &sinks.Batch{Claim: c, Expect: c.Next, Next: 1, Generation: 1, Park: []sinks.Park{park}}); err != nil {
		t.Fatal(err)
	}
	if c, err = s.Claim(t.Context(), f.claim.Partition); err != nil || len(c.Parked) != 1 || c.Parked[0] != park {
		t.Errorf("parked: %v, error %v", c.Parked, err)
	}
}
