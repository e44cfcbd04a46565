package test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// seed is random, printed, and fixed by TAILRACE_SEED.
func seed(t *testing.T) *rand.Rand {
	t.Helper()
	n := rand.Uint64N(1 << 32)
	if s := os.Getenv("TAILRACE_SEED"); s != "" {
		var err error
		if n, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("TAILRACE_SEED: %v", err)
		}
	}
	t.Logf("repeat with: TAILRACE_SEED=%d go test ./test -run '^%s$'", n, t.Name())
	return rand.New(rand.NewPCG(n, 0))
}

func TestSnapshotThenStreamWithoutAGap(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.sql(`CREATE TABLE orders (id int PRIMARY KEY, note text)`,
		`CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL)`,
		`INSERT INTO orders SELECT i, 'n' || i FROM generate_series(1, 3) i`,
		`INSERT INTO customers VALUES (1, 'ada')`)
	file, ops := s.relayConfig("")
	p := start(t, ops, "relay", "run", "-c", file)
	p.awaitState("streaming")
	s.sql(`INSERT INTO orders VALUES (4, 'live')`,
		`UPDATE orders SET note = 'changed' WHERE id = 1`,
		`DELETE FROM orders WHERE id = 2`,
		`UPDATE orders SET id = 30 WHERE id = 3`)
	got := s.read(s.name+".public.orders", s.name+".public.customers").count(4 + 1 + 1 + 2 + 3)
	streamRises(t, got)
	var reads, markers []string
	byOrdinal := map[string][]string{}
	for _, r := range got {
		if r.op() == "r" {
			reads = append(reads, r.topic)
			source := r.value["source"].(map[string]any)
			markers = append(markers, fmt.Sprint(unwrap(source["snapshot"])))
			continue
		}
		at := fmt.Sprintf("%016x/%d", uint64(r.pos.LSN), r.pos.Ordinal)
		byOrdinal[at] = append(byOrdinal[at], fmt.Sprintf("%s/%d", r.op(), r.pos.Part))
	}
	if len(reads) != 4 {
		t.Errorf("%d snapshot rows, want 4", len(reads))
	}
	for _, want := range []string{"first", "last"} {
		if !contains(markers, want) {
			t.Errorf("markers %v lack %q", markers, want)
		}
	}
	var parts []string
	for _, p := range byOrdinal {
		parts = append(parts, strings.Join(p, " "))
	}
	for _, want := range []string{"c/0", "u/0", "d/0 tombstone/1"} {
		if !contains(parts, want) {
			t.Errorf("changes %q lack %q", parts, want)
		}
	}
	for _, r := range got {
		if r.pos.Ordinal > 0 && r.pos.Part == 2 && r.headers["__debezium.oldkey"] != `{"id":3}` {
			t.Errorf("headers of the create half: %v", r.headers)
		}
	}
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d after Ctrl-C, want 0", code)
	}
	confirmed := s.value(`SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = $1`, "tailrace_"+s.name)
	if lag := s.value(`SELECT count(*) FROM pg_logical_slot_peek_binary_changes($1, NULL, NULL, 'proto_version', '1', 'publication_names', $2)`,
		"tailrace_"+s.name, "tailrace_"+s.name); lag != "0" {
		t.Errorf("%s messages are left behind the confirmed LSN %s after a clean stop", lag, confirmed)
	}
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

func TestUnchangedToastIsSaidAndFullIdentityFillsIt(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.sql(`CREATE TABLE docs (id int PRIMARY KEY, body text, n int)`, `ALTER TABLE docs ALTER body SET STORAGE EXTERNAL`,
		`CREATE TABLE full_docs (id int PRIMARY KEY, body text, n int)`, `ALTER TABLE full_docs ALTER body SET STORAGE EXTERNAL`,
		`ALTER TABLE full_docs REPLICA IDENTITY FULL`)
	file, ops := s.relayConfig("")
	start(t, ops, "relay", "run", "-c", file).awaitState("streaming")
	for _, table := range []string{"docs", "full_docs"} {
		s.sql(`INSERT INTO `+table+` VALUES (1, repeat('x', 10000), 1)`, `UPDATE `+table+` SET n = 2`, `DELETE FROM `+table)
	}
	got := s.read(s.name+".public.docs", s.name+".public.full_docs").count(8)
	for _, r := range got {
		full := strings.HasSuffix(r.topic, "full_docs")
		switch r.op() {
		case "u":
			body, unavailable := r.row("after")["body"].(string), r.headers["tailrace.unavailable"]
			if full && (len(body) != 10000 || unavailable != "") {
				t.Errorf("FULL: body of %d bytes, unavailable %q", len(body), unavailable)
			}
			if !full && (body != "__debezium_unavailable_value" || unavailable != "after.body") {
				t.Errorf("DEFAULT: body %.40q, unavailable %q", body, unavailable)
			}
			if before := r.row("before"); full != (before != nil) {
				t.Errorf("before of the update on %s: %v", r.topic, before)
			}
		case "d":
			if full {
				if before := r.row("before"); before["n"] != int32(2) {
					t.Errorf("FULL: before of the delete: n = %v", before["n"])
				}
			} else if got, want := r.headers["tailrace.unavailable"], "before.body,before.n"; got != want {
				t.Errorf("unavailable of the delete: %q, want %q", got, want)
			}
		}
	}
}

func TestEachRowHasTheRelationOfItsPlaceInTheWAL(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.sql(`CREATE TABLE t (id int PRIMARY KEY, a text)`)
	file, ops := s.relayConfig("")
	p := start(t, ops, "relay", "run", "-c", file)
	p.awaitState("streaming")
	p.kill() // so that the backlog is decoded under a catalog that is ahead
	s.sql(`INSERT INTO t VALUES (1, 'one')`, `ALTER TABLE t ADD b int NOT NULL DEFAULT 7`, `INSERT INTO t VALUES (2, 'two', 2)`,
		`ALTER TABLE t DROP a`, `INSERT INTO t VALUES (3, 3)`, `BEGIN; INSERT INTO t VALUES (4, 4); ALTER TABLE t ADD c text; INSERT INTO t VALUES (5, 5, 'five'); COMMIT`)
	start(t, ops, "relay", "run", "-c", file)
	got := s.read(s.name + ".public.t").count(5)
	streamRises(t, got)
	want := map[int32][]string{1: {"a", "id"}, 2: {"a", "b", "id"}, 3: {"b", "id"}, 4: {"b", "id"}, 5: {"b", "c", "id"}}
	for _, r := range got {
		row := r.row("after")
		id := row["id"].(int32)
		if len(row) != len(want[id]) {
			t.Errorf("row %d has columns %v, want %v", id, row, want[id])
		}
		for _, c := range want[id] {
			if _, ok := row[c]; !ok {
				t.Errorf("row %d lacks column %s", id, c)
			}
		}
	}
}

// fold is the state of a table that its topic tells: key -> note.
func fold(got []record) map[int32]string {
	state := map[int32]string{}
	at := map[int32]string{}
	for _, r := range got {
		id, _ := unwrap(r.key["id"]).(int32)
		if pos := r.pos.String(); pos <= at[id] {
			continue
		} else {
			at[id] = pos
		}
		if r.value == nil || r.op() == "d" {
			delete(state, id)
			continue
		}
		state[id], _ = r.row("after")["note"].(string)
	}
	return state
}

func TestKilledAnywhereNothingIsLostOrRepeated(t *testing.T) {
	t.Parallel()
	rng := seed(t)
	s := newStack(t)
	s.sql(`CREATE TABLE orders (id int PRIMARY KEY, note text)`, `INSERT INTO orders SELECT i, 'seed' FROM generate_series(1, 2000) i`)
	file, ops := s.relayConfig("")
	p := start(t, ops, "relay", "run", "-c", file)
	conn := s.connect()
	defer conn.Close(t.Context())
	next := 2001
	for round := range 8 {
		end := time.Now().Add(time.Duration(100+rng.IntN(900)) * time.Millisecond)
		for n := 0; time.Now().Before(end); n++ {
			tx, err := conn.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			size := 1 + rng.IntN(20)
			if n == 5 {
				size = 3000 // longer than a Kafka transaction may get in the time there is
			}
			for range size {
				id := 1 + rng.IntN(next)
				switch rng.IntN(5) {
				case 0, 1:
					_, err = tx.Exec(t.Context(), `INSERT INTO orders VALUES ($1, $2)`, next, fmt.Sprintf("r%d", round))
					next++
				case 2, 3:
					_, err = tx.Exec(t.Context(), `UPDATE orders SET note = $2 WHERE id = $1`, id, fmt.Sprintf("u%d.%d", round, n))
				default:
					_, err = tx.Exec(t.Context(), `DELETE FROM orders WHERE id = $1`, id)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if rng.IntN(10) == 0 {
				err = tx.Rollback(t.Context())
			} else {
				err = tx.Commit(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		p.kill()
		p = start(t, ops, "relay", "run", "-c", file)
	}
	want := map[int32]string{}
	rows, err := conn.Query(t.Context(), `SELECT id, note FROM orders`)
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		var id int32
		var note string
		if err := rows.Scan(&id, &note); err != nil {
			t.Fatal(err)
		}
		want[id] = note
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	reader := s.read(s.name + ".public.orders")
	got := reader.until(func(got []record) (bool, string) {
		state := fold(got)
		bad := 0
		for id, note := range want {
			if state[id] != note {
				bad++
			}
		}
		return bad == 0 && len(state) == len(want), fmt.Sprintf("%d rows differ; topic has %d, table %d", bad, len(state), len(want))
	})
	streamRises(t, got)
}

func TestTableMadeLaterIsReadAndStreamed(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.sql(`CREATE TABLE t (id int PRIMARY KEY)`, `INSERT INTO t VALUES (1)`)
	file, ops := s.relayConfig("")
	p := start(t, ops, "relay", "run", "-c", file)
	p.awaitState("streaming")
	s.sql(`CREATE TABLE late (id int PRIMARY KEY)`, `INSERT INTO late VALUES (1), (2)`)
	s.grant("")
	got := s.read(s.name + ".public.late").count(2)
	for _, r := range got {
		if r.op() != "r" {
			t.Errorf("op %s of a row that was there before the table was published, want r", r.op())
		}
	}
	s.sql(`INSERT INTO late VALUES (3)`, `INSERT INTO t VALUES (2)`)
	s.read(s.name+".public.late", s.name+".public.t").count(5)
}

func TestKilledDuringTheSnapshotNothingIsLost(t *testing.T) {
	t.Parallel()
	rng := seed(t)
	s := newStack(t)
	const rows = 60_000
	for _, table := range []string{"a", "b"} {
		s.sql(`CREATE TABLE `+table+` (id int PRIMARY KEY, note text)`,
			fmt.Sprintf(`INSERT INTO %s SELECT i, 'old' FROM generate_series(1, %d) i`, table, rows))
	}
	file, ops := s.relayConfig("")
	for range 4 {
		p := start(t, ops, "relay", "run", "-c", file)
		select {
		case <-p.done:
		case <-time.After(time.Duration(rng.IntN(900)) * time.Millisecond):
		}
		p.kill()
		// What happens meanwhile is in the next snapshot, and in the stream again.
		s.sql(fmt.Sprintf(`UPDATE a SET note = 'new' WHERE id %% 1000 = %d`, rng.IntN(1000)), fmt.Sprintf(`DELETE FROM b WHERE id %% 1000 = %d`, rng.IntN(1000)))
	}
	start(t, ops, "relay", "run", "-c", file)
	for _, table := range []string{"a", "b"} {
		want := s.value(`SELECT count(*) || ' rows, ' || count(*) FILTER (WHERE note = 'new') || ' new' FROM ` + table)
		got := s.read(s.name + ".public." + table).until(func(got []record) (bool, string) {
			state, fresh := fold(got), 0
			for _, note := range state {
				if note == "new" {
					fresh++
				}
			}
			has := fmt.Sprintf("%d rows, %d new", len(state), fresh)
			return has == want, fmt.Sprintf("the topic of %s tells %s, the table has %s", table, has, want)
		})
		streamRises(t, got)
	}
}

// TestASnapshotLearnsFromARowThatDeniesTheFacts: an enum array's elements are
// declared without null, so the first row with one makes another version of the
// table, and the rows behind it use that.
func TestASnapshotLearnsFromARowThatDeniesTheFacts(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.sql(`CREATE TYPE mood AS ENUM ('sad', 'ok')`, `CREATE TABLE t (id int PRIMARY KEY, m mood[])`,
		`INSERT INTO t SELECT i, CASE WHEN i > 1 THEN '{ok,NULL}'::mood[] END FROM generate_series(1, 20) i`)
	file, ops := s.relayConfig("")
	start(t, ops, "relay", "run", "-c", file).awaitState("streaming")
	if got := s.read(s.name + ".public.t").count(20); len(got) != 20 {
		t.Errorf("%d records, want 20", len(got))
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(s.broker.Addr()), kgo.ConsumeTopics("tailrace."+s.name+".schema"), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	versions := 0
	await(t, func() (bool, string) {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		n := client.PollFetches(ctx).NumRecords()
		versions += n
		return versions >= 2 && n == 0, fmt.Sprintf("%d versions", versions)
	})
	if versions != 2 {
		t.Errorf("the schema topic has %d versions of the table, want 2", versions)
	}
}
