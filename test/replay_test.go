package test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/cdc"
)

// replayWorld is a relay that holds the past, under a workload.
type replayWorld struct {
	*stack
	file string
	ops  string
	rng  *rand.Rand
	live *process
}

const replayConfig = `replay: {window: 1h}
format: {truncate: true, transaction_metadata: true}
messages: {include: ["*"]}
`

func newReplayWorld(t *testing.T, rng *rand.Rand) *replayWorld {
	t.Helper()
	extra := replayConfig
	if rng.IntN(2) == 0 {
		extra = strings.Replace(extra, "format: {", "format: {compat: debezium, ", 1)
	}
	t.Log(extra)
	return newReplayWorldWith(t, rng, extra)
}

func newReplayWorldWith(t *testing.T, rng *rand.Rand, extra string) *replayWorld {
	t.Helper()
	w := &replayWorld{stack: newStack(t), rng: rng}
	w.sql(killSchema, `INSERT INTO accounts SELECT g, 'old', repeat('y', 3000) FROM generate_series(1, 300) g`)
	w.file, w.ops = w.relayConfig(extra)
	w.start()
	await(t, func() (bool, string) {
		return w.trailing() != "<null>", "there is no trailing slot"
	})
	return w
}

func (w *replayWorld) start() {
	w.live = start(w.t, w.ops, "relay", "run", "-c", w.file)
	w.live.awaitState("streaming")
}

// trailing is where the trailing slot stands.
func (w *replayWorld) trailing() string {
	return w.value("SELECT max(confirmed_flush_lsn)::text FROM pg_replication_slots WHERE slot_name LIKE $1", "tailrace_"+w.name+"_trailing_%")
}

// relay runs a command to its end.
func (w *replayWorld) relay(args ...string) (stdout, stderr string, code int) {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), filepath.Join(bin, "relay"), append(args, "-c", w.file)...)
	var out, err strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &err
	_ = cmd.Run() // the exit code tells
	return out.String(), err.String(), cmd.ProcessState.ExitCode()
}

// replay is relay replay, which has to succeed, or to be killed after some time; and
// to be gone on with then.
func (w *replayWorld) replay(kills int, args ...string) {
	w.t.Helper()
	args = append([]string{"replay"}, args...)
	for range kills {
		cmd := exec.Command(filepath.Join(bin, "relay"), append(args, "-c", w.file)...)
		if err := cmd.Start(); err != nil {
			w.t.Fatal(err)
		}
		pause(w.t, 50+w.rng.IntN(700))
		_ = cmd.Process.Kill() // it may be through
		_ = cmd.Wait()
	}
	out, stderr, code := w.relay(args...)
	if code != 0 {
		w.t.Fatalf("relay %s: exit %d\n%s\n%s", strings.Join(args, " "), code, out, stderr)
	}
	w.t.Log(strings.TrimSpace(out))
}

// tables are the topics whose records have positions of the stream.
func (w *replayWorld) topics() []string {
	var topics []string
	for _, table := range killTables {
		topics = append(topics, w.name+".public."+table.name)
	}
	return append(topics, w.name+".transaction", w.name+".message")
}

// same compares the records of a topic from a position on with those of its replay,
// partition by partition: what is due is the same, but for when the relay read it.
func (w *replayWorld) same(topic, into string, from, to cdc.LSN) (records int) {
	w.t.Helper()
	due := slices.DeleteFunc(w.readAll(topic), func(r record) bool {
		return r.pos.Ordinal == 0 && !strings.HasSuffix(topic, ".transaction") || r.pos.LSN < from || to != 0 && r.pos.LSN >= to
	})
	if len(due) == 0 {
		return 0
	}
	got := map[int32][]record{}
	for _, r := range w.readAll(into) {
		got[r.partition] = append(got[r.partition], r)
	}
	for _, want := range due {
		p := want.partition
		if len(got[p]) == 0 {
			w.t.Errorf("%s/%d: %s is missing", into, p, want.pos)
			return 0
		}
		if a, b := comparable(w.t, got[p][0]), comparable(w.t, want); a != b {
			w.t.Errorf("%s/%d:\n got %s\nwant %s", into, p, a, b)
			return 0
		}
		got[p] = got[p][1:]
	}
	for p, rest := range got {
		if len(rest) > 0 {
			w.t.Errorf("%s/%d: %d records too many, the first at %s", into, p, len(rest), rest[0].pos)
		}
	}
	return len(due)
}

// comparable is a record as text, without what tells when it was read.
func comparable(t *testing.T, r record) string {
	t.Helper()
	headers := map[string]string{}
	for name, value := range r.headers {
		if name != "__debezium.context.runId" {
			headers[name] = value
		}
	}
	value := map[string]any{}
	for name, v := range r.value {
		if !strings.HasPrefix(name, "ts_") {
			value[name] = v
		}
	}
	if source, ok := value["source"].(map[string]any); ok && source["txId"] == nil {
		for _, unit := range []string{"ts_ms", "ts_us", "ts_ns"} {
			delete(source, unit) // of a message outside of transactions, which has no time in the WAL
		}
	}
	text, err := json.Marshal(map[string]any{"key": r.key, "tombstone": r.value == nil, "value": value, "headers": headers, "schemas": r.schemas})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// work runs the workload for some time, and until much has been committed, with
// logical messages and a column that comes and goes.
func (w *replayWorld) work(work *workload, d time.Duration) {
	w.t.Helper()
	for before := work.commits; work.commits < before+40; {
		w.workOnce(work, d)
	}
}

func (w *replayWorld) workOnce(work *workload, d time.Duration) {
	w.t.Helper()
	stop, worked := make(chan struct{}), make(chan error, 1)
	go func() { worked <- work.run(w.t.Context(), stop) }()
	for end := time.Now().Add(d); time.Now().Before(end); {
		pause(w.t, 100+w.rng.IntN(200))
		switch w.rng.IntN(5) {
		case 0:
			w.sql(fmt.Sprintf(`ALTER TABLE pairs ADD COLUMN IF NOT EXISTS c%d text DEFAULT 'd'`, w.rng.IntN(4)))
		case 1:
			w.sql(fmt.Sprintf(`ALTER TABLE pairs DROP COLUMN IF EXISTS c%d`, w.rng.IntN(4)))
		case 2:
			w.sql(`SELECT pg_logical_emit_message(true, 'note', 'in a transaction')`, `SELECT pg_logical_emit_message(false, 'note', 'alone')`)
		}
	}
	close(stop)
	if err := <-worked; err != nil {
		w.t.Fatal(err)
	}
}

// settled waits until everything is published.
func (w *replayWorld) settled(mark int) {
	w.t.Helper()
	w.sql(fmt.Sprintf(`INSERT INTO done VALUES (%d)`, mark))
	w.read(w.name + ".public.done").until(func(got []record) (bool, string) {
		return len(got) >= mark, "the last row has not come: " + w.live.ready().Reason
	})
}

// now is the server's time, with nothing committed near it.
func (w *replayWorld) now() string {
	w.t.Helper()
	pause(w.t, 20)
	at := w.value("SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
	pause(w.t, 20)
	return at
}

// TestReplayGivesWhatWasPublished: for random histories, replays from random places
// have exactly the records that the relay's topics have from there on, however often
// the replay is killed, while the relay goes on.
func TestReplayGivesWhatWasPublished(t *testing.T) {
	t.Parallel()
	rng := seed(t)
	w := newReplayWorld(t, rng)
	rounds, worktime := 2, 800*time.Millisecond
	if n, err := strconv.Atoi(os.Getenv("TAILRACE_REPLAY_ROUNDS")); err == nil {
		rounds, worktime = n, 6*time.Second
	}
	work := newWorkload(w.database, rand.New(rand.NewPCG(rng.Uint64(), 1)), 3)
	work.next = 300
	w.work(work, worktime/2)
	w.live.kill() // so that versions of tables are read again, under a catalog that is ahead
	w.work(work, worktime/2)
	w.start()
	w.work(work, worktime/2)
	w.settled(1)
	trailing, err := cdc.ParseLSN(w.trailing())
	if err != nil {
		t.Fatal(err)
	}
	var places []cdc.LSN
	for _, topic := range w.topics()[:4] {
		for _, r := range w.readAll(topic) {
			if r.pos.Ordinal > 0 && r.pos.LSN >= trailing {
				places = append(places, r.pos.LSN)
			}
		}
	}
	slices.Sort(places)
	for round := range rounds {
		from := places[rng.IntN(len(places)*3/4)]
		id := fmt.Sprintf("r%d", round)
		w.replay(rng.IntN(3), "--from", from.String(), "--id", id)
		total := 0
		for _, topic := range w.topics() {
			total += w.same(topic, topic+".replay."+id, from, 0)
		}
		if total == 0 {
			t.Errorf("from %s on there was nothing to compare", from)
		}
		w.sql(fmt.Sprintf(`UPDATE accounts SET note = 'live %d'`, round)) // not part of the next comparison's past alone
		w.settled(round + 2)
	}
	// From a time: nothing commits near it.
	at := w.now()
	from, err := cdc.ParseLSN(w.value("SELECT pg_current_wal_lsn()::text"))
	if err != nil {
		t.Fatal(err)
	}
	w.work(work, worktime/2)
	w.settled(rounds + 2)
	w.replay(1, "--from", at, "--id", "time")
	total := 0
	for _, topic := range w.topics() {
		total += w.same(topic, topic+".replay.time", from, 0)
	}
	if total == 0 {
		t.Errorf("from %s on there was nothing to compare", at)
	}
	if n := w.value("SELECT count(*)::text FROM pg_replication_slots WHERE slot_name LIKE $1", "tailrace_"+w.name+"_replay_%"); n != "0" {
		t.Errorf("%s copies of slots are left", n)
	}
}

// TestReplayAcrossAFailover: the trailing slot is synchronised with the relay's own, so what
// was published before the server was lost can be published again from the new one, with
// the positions that it had: each change in the epoch of its history.
//
// A standby takes a slot over for good once it has what the slot needs of the catalogs,
// which it keeps from its first look at it on. A trailing slot moves late, so nothing may
// use up a transaction id between its making and that look.
func TestReplayAcrossAFailover(t *testing.T) {
	t.Parallel()
	h := newHistory(t, map[string]string{"autovacuum": "off"})
	if h.server.Major() < 17 {
		t.Skip("failover slots came with PostgreSQL 17")
	}
	h.sql(historyTable, `CREATE TABLE done (id int PRIMARY KEY)`)
	w := &replayWorld{stack: h.stack, rng: seed(t)}
	w.file, w.ops = w.relayConfig("replay: {window: 1h}\n")
	w.start()
	await(t, func() (bool, string) { return w.trailing() != "<null>", "there is no trailing slot" })
	standby, err := h.server.Standby(t.Context(), "standby", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.must(t, standby.Stop()) })
	admin, err := pgx.Connect(t.Context(), standby.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(context.Background())
	synchronised := func() {
		t.Helper()
		await(t, func() (bool, string) {
			if _, err := admin.Exec(t.Context(), "SELECT pg_sync_replication_slots()"); err != nil {
				return false, err.Error()
			}
			var n int
			err := admin.QueryRow(t.Context(), "SELECT count(*) FROM pg_replication_slots WHERE synced AND NOT temporary").Scan(&n)
			return err == nil && n == 2, fmt.Sprintf("%d slots are synchronised, want 2: %v", n, err)
		})
	}
	synchronised()
	from, err := cdc.ParseLSN(h.value("SELECT pg_current_wal_lsn()::text"))
	if err != nil {
		t.Fatal(err)
	}
	h.sql(`INSERT INTO t SELECT g, 'before' FROM generate_series(1, 50) g`, `UPDATE t SET note = 'changed' WHERE id < 10`, `DELETE FROM t WHERE id = 50`)
	w.settled(1)
	synchronised()
	h.failOver(standby, admin)
	w.live.awaitState("streaming")
	h.sql(`UPDATE t SET note = 'after' WHERE id BETWEEN 5 AND 20`, `INSERT INTO t VALUES (60, 'after')`)
	w.settled(2)
	w.replay(1, "--from", from.String(), "--id", "across")
	topic := w.name + ".public.t"
	if n := w.same(topic, topic+".replay.across", from, 0); n < 70 {
		t.Errorf("%d records were compared", n)
	}
	epochs := map[uint32]int{}
	for _, r := range w.readAll(topic + ".replay.across") {
		epochs[r.pos.Epoch]++
	}
	if epochs[1] == 0 || epochs[2] == 0 {
		t.Errorf("records by epoch: %v, want some of each", epochs)
	}
}
