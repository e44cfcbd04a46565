package test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tailrace/tailrace/cdc"
)

// TestFiltersNeverShiftAPosition: two relays read one database, one of which leaves
// out most of it. What both publish stands at the same positions.
func TestFiltersNeverShiftAPosition(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.sql(`CREATE TABLE t (id int PRIMARY KEY, note text)`, `CREATE TABLE other (id int PRIMARY KEY)`)
	filters := *s
	filters.name, filters.dir = s.name+"_less", t.TempDir()
	for relay, extra := range map[*stack]string{s: "", &filters: "tables: {skip: [d]}\nmessages: {exclude: [left_out]}\n"} {
		file, ops := relay.relayConfig(extra)
		start(t, ops, "relay", "run", "-c", file).awaitState("streaming")
	}
	s.sql(`BEGIN; INSERT INTO other VALUES (1); INSERT INTO t VALUES (1, 'a'); DELETE FROM t; SELECT pg_logical_emit_message(true, 'left_out', 'x');
		INSERT INTO t VALUES (2, 'b'); TRUNCATE other; UPDATE t SET id = 3; COMMIT`)
	kept := func(s *stack, n int) (out []string) {
		for _, r := range s.read(s.name + ".public.t").count(n) {
			if r.op() == "c" || r.op() == "u" {
				out = append(out, fmt.Sprint(r.pos, r.op(), r.key))
			}
		}
		return out
	}
	all, less := kept(s, 7), kept(&filters, 3)
	for _, pos := range less {
		if !contains(all, pos) {
			t.Errorf("%s is published with filters, and without them there are %v", pos, all)
		}
	}
	if len(less) == 0 {
		t.Error("the relay with filters has published nothing to compare")
	}
}

// TestTheSlotIsNeverAheadOfTheProgress, in both delivery modes: progress is durable
// before the server is told.
func TestTheSlotIsNeverAheadOfTheProgress(t *testing.T) {
	t.Parallel()
	for _, delivery := range []string{"exactly_once", "at_least_once"} {
		t.Run(delivery, func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			s.sql(`CREATE TABLE t (id int PRIMARY KEY)`)
			file, ops := s.relayConfig("delivery: " + delivery + "\n")
			start(t, ops, "relay", "run", "-c", file).awaitState("streaming")
			client, err := kgo.NewClient(kgo.SeedBrokers(s.broker.Addr()), kgo.ConsumeTopics("tailrace."+s.name+".progress"), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			var progress cdc.LSN
			seen := map[cdc.LSN]bool{}
			next := 1
			for began := time.Now(); time.Since(began) < 4*time.Second || len(seen) < 3; next += 50 {
				s.sql(fmt.Sprintf(`INSERT INTO t SELECT generate_series(%d, %d)`, next, next+49))
				confirmed, err := cdc.ParseLSN(s.value(`SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = $1`, "tailrace_"+s.name))
				if err != nil {
					t.Fatal(err)
				}
				seen[confirmed] = true
				await(t, func() (bool, string) { // what is durable now is at least what was then
					ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
					defer cancel()
					for r := range client.PollFetches(ctx).RecordsAll() {
						var p cdc.Progress
						if string(r.Key) == "progress" && json.Unmarshal(r.Value, &p) == nil {
							progress = max(progress, p.Confirmed)
						}
					}
					return progress >= confirmed, fmt.Sprintf("the slot is confirmed to %s, the progress topic says %s", confirmed, progress)
				})
			}
		})
	}
}

// TestTwoRelaysUnderOneNameAreRefused: the memory belongs to one slot of one database.
func TestTwoRelaysUnderOneNameAreRefused(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.sql(`CREATE TABLE t (id int PRIMARY KEY)`)
	file, ops := s.relayConfig("")
	start(t, ops, "relay", "run", "-c", file).awaitState("streaming")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	ops2, other := freeAddr(t), filepath.Join(s.dir, "other.yaml")
	changed := strings.Replace(strings.Replace(string(text), ops, ops2, 1), "postgres: {", "postgres: {slot: {name: another_slot_"+s.name+"}, publication: {name: tailrace_"+s.name+"}, ", 1)
	if err := os.WriteFile(other, []byte(changed+"on_stop: exit\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, ops2, "relay", "run", "-c", other)
	if code := p.exit(); code != 3 || !strings.Contains(p.log.String(), "give this relay a name of its own") {
		t.Errorf("exit code %d, want 3 and that the progress topic is another relay's", code)
	}
	if n := s.value(`SELECT count(*)::text FROM pg_replication_slots WHERE slot_name = $1`, "another_slot_"+s.name); n != "0" {
		t.Error("the relay that was refused has made a slot")
	}
}

// TestThePublicationIsThereBeforeTheSlot: decoding a change from before the
// publication fails for ever.
func TestThePublicationIsThereBeforeTheSlot(t *testing.T) {
	t.Parallel()
	h := newHistory(t, nil)
	h.sql(historyTable)
	h.grant("")
	h.sql(`DROP PUBLICATION tailrace_`+h.name, `ALTER TABLE t OWNER TO `+h.role(), `GRANT CREATE ON DATABASE shop TO `+h.role()) // the relay makes it
	published := make(chan string, 1)
	h.tap.trap.set(pgSlot, false, 0, func() {
		conn, err := pgx.Connect(context.Background(), h.server.URL("shop"))
		if err != nil {
			published <- err.Error()
			return
		}
		defer conn.Close(context.Background())
		var n string
		if err := conn.QueryRow(context.Background(), "SELECT count(*)::text FROM pg_publication_tables WHERE pubname = $1", "tailrace_"+h.name).Scan(&n); err != nil {
			n = err.Error()
		}
		published <- n
	})
	h.run("").awaitState("streaming")
	if n := <-published; n != "1" {
		t.Errorf("when the slot is made, the publication has %s tables, want 1", n)
	}
	h.same("after")
}

// TestRowsBeforeANewSchemaAreNotHeldBack: no Kafka transaction is open while a schema
// waits for the registry, not even inside of a source transaction.
func TestRowsBeforeANewSchemaAreNotHeldBack(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.ownRegistry()
	s.sql(`CREATE TABLE t (id int PRIMARY KEY)`)
	file, ops := s.relayConfig("")
	p := start(t, ops, "relay", "run", "-c", file)
	p.awaitState("streaming")
	s.sql(`INSERT INTO t VALUES (0)`)
	s.read(s.name + ".public.t").count(1)
	if err := s.registry.Close(); err != nil {
		t.Fatal(err)
	}
	s.sql(`BEGIN; INSERT INTO t SELECT generate_series(1, 100); ALTER TABLE t ADD note text; INSERT INTO t VALUES (101, 'waits'); COMMIT`)
	client, err := kgo.NewClient(kgo.SeedBrokers(s.broker.Addr()), kgo.ConsumeTopics(s.name+".public.t"), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	n := 0
	await(t, func() (bool, string) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		n += client.PollFetches(ctx).NumRecords()
		return n >= 101, fmt.Sprintf("%d of the 101 records before the new schema", n)
	})
	if n != 101 {
		t.Errorf("%d records, want 101: the row behind waits", n)
	}
	if r := p.ready(); r.State != "disconnected" || !strings.Contains(r.Reason, "registry") {
		await(t, func() (bool, string) {
			r = p.ready()
			return r.State == "disconnected" && strings.Contains(r.Reason, "registry"), fmt.Sprint(r)
		})
	}
}

// TestHealthIsThatOfTheProcess: readiness is that of the stream.
func TestHealthIsThatOfTheProcess(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.sql(`CREATE TABLE t (id int PRIMARY KEY, n numeric(10,2))`)
	file, ops := s.relayConfig("format: {nonfinite: fail}\n")
	p := start(t, ops, "relay", "run", "-c", file)
	p.awaitState("streaming")
	s.sql(`INSERT INTO t VALUES (1, 'NaN')`)
	if r := p.awaitState("stopped"); r.Code != http.StatusServiceUnavailable {
		t.Errorf("readyz of a stopped relay: %d", r.Code)
	}
	for _, page := range []string{"healthz", "metrics"} {
		resp, err := http.Get("http://" + ops + "/" + page)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s of a stopped relay: %s", page, resp.Status)
		}
	}
}
