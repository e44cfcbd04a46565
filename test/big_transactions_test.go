package test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/internal/embedded/postgres"
)

// bigStack is a stack on a server of its own, with room for many sessions.
func bigStack(t *testing.T) *stack {
	t.Helper()
	server, err := postgres.Start(t.Context(), postgres.Config{Version: os.Getenv("TAILRACE_POSTGRES_VERSION"), Databases: []string{"big"}, Settings: map[string]string{
		"max_connections": "300", "max_prepared_transactions": "50", "max_wal_size": "8GB", "max_locks_per_transaction": "1000",
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	return newStackOn(t, server.URL("big"))
}

// plainRow is a row of a table (id int PRIMARY KEY, note text NOT NULL) as it
// stands in a value: fast, for millions of them.
type plainRow struct {
	id   int64
	note []byte
}

// readPlain reads before and after of a value; nil where there is none.
func readPlain(t *testing.T, value []byte) (before, after *plainRow) {
	t.Helper()
	b := value[5:]
	long := func() int64 {
		v, n := binary.Varint(b)
		if n <= 0 {
			t.Fatalf("no number in %x", b[:min(len(b), 20)])
		}
		b = b[n:]
		return v
	}
	row := func() *plainRow {
		if long() == 0 {
			return nil
		}
		r := &plainRow{id: long()}
		n := long()
		r.note, b = b[:n], b[n:]
		return r
	}
	before = row()
	return before, row()
}

// plainTables folds the topics of tables (id int PRIMARY KEY, note text NOT NULL),
// by the position in each, and compares them with the tables. It returns how many
// records there were.
func (s *stack) plainTables(names ...string) int {
	s.t.Helper()
	type state struct {
		at   cdc.Position
		note uint64 // 0: deleted
	}
	topics, tables := make([]string, len(names)), map[string]map[int64]state{}
	for i, name := range names {
		topics[i] = s.name + ".public." + name
		tables[topics[i]] = map[int64]state{}
	}
	hash := func(b []byte) uint64 {
		h := fnv.New64a()
		h.Write(b)
		return h.Sum64() | 1
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(s.broker.Addr()), kgo.ConsumeTopics(topics...), kgo.KeepControlRecords(),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		s.t.Fatal(err)
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListCommittedOffsets(s.t.Context(), topics...)
	if err != nil {
		s.t.Fatal(err)
	}
	type partition struct {
		topic  string
		number int32
	}
	left, last := map[partition]int64{}, map[partition]cdc.Position{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[partition{o.Topic, o.Partition}] = o.Offset
		}
	})
	records := 0
	for len(left) > 0 {
		ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
		fetches := client.PollFetches(ctx)
		cancel()
		if err := fetches.Err(); err != nil {
			s.t.Fatal(err)
		}
		for rec := range fetches.RecordsAll() {
			at := partition{rec.Topic, rec.Partition}
			if rec.Offset+1 >= left[at] {
				delete(left, at)
			}
			if rec.Attrs.IsControl() {
				continue
			}
			records++
			var pos cdc.Position
			for _, h := range rec.Headers {
				if h.Key == cdc.HeaderPosition {
					if pos, err = cdc.ParsePosition(string(h.Value)); err != nil {
						s.t.Fatal(err)
					}
				}
			}
			if pos.Ordinal > 0 && pos.Compare(last[at]) <= 0 {
				s.t.Fatalf("%v@%d: position %s does not rise over %s", at, rec.Offset, pos, last[at])
			}
			last[at] = pos
			if rec.Value == nil {
				continue
			}
			before, after := readPlain(s.t, rec.Value)
			next := state{at: pos}
			id := int64(0)
			switch {
			case after != nil:
				id, next.note = after.id, hash(after.note)
			case before != nil:
				id = before.id
			}
			if old, ok := tables[rec.Topic][id]; !ok || pos.Compare(old.at) > 0 {
				tables[rec.Topic][id] = next
			}
		}
	}
	conn := s.connect()
	defer conn.Close(context.Background())
	for i, name := range names {
		table := tables[topics[i]]
		rows, err := conn.Query(s.t.Context(), `SELECT id, note FROM `+name)
		if err != nil {
			s.t.Fatal(err)
		}
		n, wrong := 0, 0
		var id int64
		var note string
		if _, err := pgx.ForEachRow(rows, []any{&id, &note}, func() error {
			if n++; table[id].note != hash([]byte(note)) {
				wrong++
			}
			return nil
		}); err != nil {
			s.t.Fatal(err)
		}
		there := 0
		for _, r := range table {
			if r.note != 0 {
				there++
			}
		}
		if there != n || wrong > 0 {
			s.t.Errorf("%s: the fold of the topic has %d rows, the table %d; %d differ", name, there, n, wrong)
		}
	}
	return records
}

// run starts a relay and waits until it streams, however many tables there are.
func (s *stack) run(config string, change ...string) *process {
	s.t.Helper()
	file, ops := s.relayConfig(config)
	if len(change) == 2 {
		text, err := os.ReadFile(file)
		if err != nil {
			s.t.Fatal(err)
		}
		if err := os.WriteFile(file, bytes.ReplaceAll(text, []byte(change[0]), []byte(change[1])), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	p := start(s.t, ops, "relay", "run", "-c", file)
	deadline := time.Now().Add(20 * time.Minute)
	for p.ready().State != "streaming" {
		if r := p.ready(); r.State == "stopped" || time.Now().After(deadline) {
			s.t.Fatalf("the relay does not stream: %s %s", r.State, r.Reason)
		}
		select {
		case <-p.done:
			s.t.Fatal("the relay ended")
		case <-time.After(50 * time.Millisecond):
		}
	}
	return p
}

func TestBigTransactionOfManyRows(t *testing.T) {
	t.Parallel()
	rows := inSize(30_000, 10_000_000)
	s := newStack(t)
	if rows > 1_000_000 {
		s = bigStack(t)
	}
	s.sql(`CREATE TABLE many (id int PRIMARY KEY, note text NOT NULL)`)
	p := s.run("")
	began := time.Now()
	s.sql(fmt.Sprintf(`BEGIN; INSERT INTO many SELECT i, 'row ' || i FROM generate_series(1, %d) i; UPDATE many SET note = 'changed ' || id WHERE id %% 100 = 7;
		DELETE FROM many WHERE id %% 100 = 8; COMMIT`, rows))
	t.Logf("written in %.0f s", time.Since(began).Seconds())
	began = time.Now()
	s.published(p)
	t.Logf("%d changes published %.0f s after the commit", rows+rows/50, time.Since(began).Seconds())
	p.within(fmt.Sprintf("a transaction of %d rows", rows))
	if n, want := s.plainTables("many"), rows+3*rows/100; n != want {
		t.Errorf("%d records, want %d", n, want)
	}
}

func TestBigManyOpenTransactions(t *testing.T) {
	t.Parallel()
	sessions, batch := inSize(20, 200), inSize(50, 2000)
	s := newStack(t)
	if sessions > 100 {
		s = bigStack(t)
	}
	s.sql(`CREATE TABLE many (id int PRIMARY KEY, note text NOT NULL)`)
	p := s.run("")
	conns := make([]*pgx.Conn, sessions)
	exec := func(i int, sql string, args ...any) {
		t.Helper()
		if _, err := conns[i].Exec(t.Context(), sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	for i := range conns {
		conns[i] = s.connect()
		defer conns[i].Close(context.Background())
		exec(i, "BEGIN")
	}
	next := 0
	for range 5 {
		for i := range conns {
			exec(i, `INSERT INTO many SELECT g, 'session' || $3::text FROM generate_series($1::int, $2::int) g`, next+1, next+batch, fmt.Sprint(i))
			next += batch
		}
	}
	for i := range conns {
		end := "COMMIT"
		if i%7 == 3 {
			end = "ROLLBACK"
		}
		exec(len(conns)-1-i, end)
	}
	s.published(p)
	p.within(fmt.Sprintf("%d transactions open at once", sessions))
	s.plainTables("many")
}

func TestBigPreparedTransactions(t *testing.T) {
	t.Parallel()
	rows := inSize(2000, 200_000)
	s := newStack(t)
	s.sql(`CREATE TABLE many (id int PRIMARY KEY, note text NOT NULL)`)
	p := s.run("")
	for i := range 6 {
		s.sql(fmt.Sprintf(`BEGIN; INSERT INTO many SELECT i, 'prepared' FROM generate_series(%d, %d) i; PREPARE TRANSACTION '%s_%d'`, i*rows+1, (i+1)*rows, s.name, i))
	}
	s.sql(fmt.Sprintf(`INSERT INTO many VALUES (%d, 'between')`, 10*rows))
	s.published(p)
	if n := s.plainTables("many"); n != 1 {
		t.Errorf("%d records, want the one beside the prepared transactions", n)
	}
	for i, end := range []string{"COMMIT", "ROLLBACK", "COMMIT", "COMMIT", "ROLLBACK", "COMMIT"} {
		s.sql(fmt.Sprintf(`%s PREPARED '%s_%d'`, end, s.name, i))
	}
	s.published(p)
	p.within("prepared transactions")
	if n, want := s.plainTables("many"), 1+4*rows; n != want {
		t.Errorf("%d records, want %d", n, want)
	}
}

func TestBigSavepointsRolledBack(t *testing.T) {
	t.Parallel()
	count := inSize(500, 10_000)
	s := newStack(t)
	s.sql(`CREATE TABLE many (id int PRIMARY KEY, note text NOT NULL)`)
	p := s.run("")
	s.sql(fmt.Sprintf(`DO $$ BEGIN
		FOR i IN 1..%d LOOP
			INSERT INTO many VALUES (i, 'kept');
			BEGIN
				INSERT INTO many SELECT -i * 10 - g, 'lost' FROM generate_series(1, 5) g;
				UPDATE many SET note = 'lost' WHERE id = i;
				BEGIN
					DELETE FROM many WHERE id = i;
					IF i %% 3 = 0 THEN RAISE EXCEPTION 'inner'; END IF;
				EXCEPTION WHEN raise_exception THEN NULL;
				END;
				RAISE EXCEPTION 'outer';
			EXCEPTION WHEN raise_exception THEN NULL;
			END;
		END LOOP;
	END $$`, count))
	s.published(p)
	p.within(fmt.Sprintf("%d savepoints rolled back", count))
	if n := s.plainTables("many"); n != count {
		t.Errorf("%d records, want %d", n, count)
	}
}

func TestBigRelationsInOneTransaction(t *testing.T) {
	t.Parallel()
	count := inSize(40, 5000)
	s := newStack(t)
	if count > 100 {
		s = bigStack(t)
	}
	s.sql(fmt.Sprintf(`DO $$ BEGIN FOR i IN 1..%d LOOP EXECUTE format('CREATE TABLE many_%%s (id int PRIMARY KEY, note text NOT NULL)', i); END LOOP; END $$`, count))
	began := time.Now()
	p := s.run("", "partitions: 3", "partitions: 1")
	t.Logf("streaming after %.0f s", time.Since(began).Seconds())
	p.within(fmt.Sprintf("a start with %d tables", count))
	s.sql(fmt.Sprintf(`DO $$ BEGIN FOR r IN 1..3 LOOP FOR i IN 1..%d LOOP
		EXECUTE format('INSERT INTO many_%%s VALUES (%%s, ''round''), (%%s, ''x'')', i, r, 10 + r);
		EXECUTE format('UPDATE many_%%s SET note = note || ''!'' WHERE id < 3', i);
		EXECUTE format('DELETE FROM many_%%s WHERE id = 11', i);
	END LOOP; END LOOP; END $$`, count))
	began = time.Now()
	s.published(p)
	t.Logf("published after %.0f s", time.Since(began).Seconds())
	p.within(fmt.Sprintf("%d relations in one transaction", count))
	names := make([]string, count)
	for i := range names {
		names[i] = fmt.Sprintf("many_%d", i+1)
	}
	s.plainTables(names...)
}

func TestBigColumns(t *testing.T) {
	t.Parallel()
	const columns = 1600
	s := newStack(t)
	table := killTable{name: "wide", columns: []string{"id"}, key: []string{"id"}}
	var definitions, values strings.Builder
	for i := 1; i < columns; i++ {
		name := fmt.Sprintf("column_with_a_rather_long_name_%d", i)
		table.columns = append(table.columns, name)
		fmt.Fprintf(&definitions, ", %s int", name)
		fmt.Fprintf(&values, ", nullif(g %% %d, 1)", i+1)
	}
	s.sql(`CREATE TABLE wide (id int PRIMARY KEY`+definitions.String()+`)`, `CREATE TABLE wide_full (LIKE wide INCLUDING ALL)`, `ALTER TABLE wide_full REPLICA IDENTITY FULL`,
		`INSERT INTO wide SELECT g`+values.String()+` FROM generate_series(1, 3) g`)
	p := s.run("")
	for _, name := range []string{"wide", "wide_full"} {
		s.sql(`INSERT INTO `+name+` SELECT g`+values.String()+` FROM generate_series(10, 40) g`, `UPDATE `+name+` SET column_with_a_rather_long_name_7 = -id`,
			`DELETE FROM `+name+` WHERE id % 3 = 0`, `UPDATE `+name+` SET id = id + 100 WHERE id % 5 = 0`)
	}
	s.published(p)
	p.within("1,600 columns")
	full := table
	full.name = "wide_full"
	s.equal([]killTable{table, full}, nil)
}

func TestBigDDLAndTruncateInside(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.sql(`CREATE TABLE t (id int PRIMARY KEY, a text)`, `CREATE TABLE u (id int PRIMARY KEY, a text)`, `INSERT INTO t VALUES (1, 'snapshot'), (2, 'snapshot')`, `INSERT INTO u VALUES (1, 'snapshot')`)
	p := s.run("format: {truncate: true}\n")
	s.sql(`BEGIN; INSERT INTO t VALUES (3, 'first'); ALTER TABLE t ADD b int DEFAULT 5; UPDATE t SET a = 'second' WHERE id = 1; TRUNCATE t, u;
		INSERT INTO t VALUES (1, 'third', 6), (4, 'third', NULL); SAVEPOINT s; DELETE FROM t; ALTER TABLE t DROP b; INSERT INTO t VALUES (9, 'lost'); TRUNCATE u;
		ROLLBACK TO s; INSERT INTO u VALUES (2, 'fourth'); ALTER TABLE t RENAME a TO c; UPDATE t SET c = 'fifth ' || id; ALTER TABLE t ALTER b TYPE bigint;
		INSERT INTO t VALUES (5, 'sixth', 1 << 30); CREATE INDEX ON t (b); COMMIT`,
		`BEGIN; TRUNCATE u; INSERT INTO u VALUES (7, 'rolled back'); ROLLBACK`,
		`BEGIN; INSERT INTO u VALUES (8, 'x'); TRUNCATE u; TRUNCATE u; INSERT INTO u VALUES (8, 'y'), (9, 'z'); COMMIT`)
	s.published(p)
	p.within("DDL and TRUNCATE inside")
	s.equal([]killTable{{"t", []string{"id", "c", "b"}, []string{"id"}}, {"u", []string{"id", "a"}, []string{"id"}}}, nil)
}
