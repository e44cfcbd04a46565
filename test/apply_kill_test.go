package test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The kill harness of the processor: fault points crossed with deaths, while a
// seeded history with repeats and poison records flows from Kafka to PostgreSQL. The
// processor is the binary that ships; taps before its servers hold one message back
// while the death happens. In the end the dead letters are replayed, and the sink
// must equal the fold of the topic, with the versions of each row strictly rising;
// where no process was killed, its counters add up to what was consumed.
//
//	TAILRACE_PROCESSOR_KILL_RUNS=300 go test ./test -run TestProcessorKillHarness -timeout 4h
//	TAILRACE_SEED=7 TAILRACE_KILL='before COMMIT/SIGKILL' go test ./test -run TestProcessorKillHarness

// applyPoints are the fault points. From start: the trap is set before the processor
// runs.
var applyPoints = []killPoint{
	{name: "poll", kind: kafkaFetched, most: 20},
	{name: "steps done, before the sink's writes", kind: pgWrite, most: 30},
	{name: "writes sent", kind: pgWrite, after: true, most: 30},
	{name: "before COMMIT", kind: pgCommit, most: 30},
	{name: "COMMIT done, answer held", kind: pgDone, most: 30},
	{name: "COMMIT done and answered", kind: pgDone, after: true, most: 30},
	{name: "dead letters on their way", kind: kafkaData, most: 3},
	{name: "dead letters in their topic", kind: kafkaAck, most: 3},
	{name: "before the group's offsets", kind: kafkaOffsets},
	{name: "group's offsets committed, answer held", kind: kafkaStored},
	{name: "rebalance: joining", kind: kafkaJoin, start: true},
	{name: "rebalance: claiming", kind: pgClaim, most: 3, start: true},
	{name: "rebalance: claimed", kind: pgClaim, after: true, most: 3, start: true},
}

var applyDeaths = []applyDeath{
	{"SIGKILL", true, func(r *applyRun) { r.first.kill() }, func(r *applyRun) { r.stay = r.process() }},
	{"PostgreSQL stops at once", false, func(r *applyRun) { r.worker.postgres.Kill() }, func(r *applyRun) { r.must(r.worker.postgres.Restart(r.t.Context())) }},
	{"broker stopped", false, func(r *applyRun) { r.worker.stopBroker() }, func(r *applyRun) { r.worker.restartBroker(r.t) }},
	{"all connections cut", false, func(r *applyRun) { r.worker.pg.cut(); r.worker.kafka.cut() }, nil},
	{"a second member, then SIGKILL of the first", true, func(r *applyRun) { r.stay = r.process() }, func(r *applyRun) { r.first.kill() }},
	{"a second member while the first is frozen", true, func(r *applyRun) {
		r.must(r.first.cmd.Process.Signal(syscall.SIGSTOP))
		r.stay = r.process()
	}, func(r *applyRun) {
		pause(r.t, 7000) // longer than the session
		r.must(r.first.cmd.Process.Signal(syscall.SIGCONT))
		pause(r.t, 1500)
		r.first.kill()
	}},
}

// applyDeath is what happens at a point; uncounted: a process dies, and its counters
// with it.
type applyDeath struct {
	name      string
	uncounted bool
	strike    func(*applyRun)
	mend      func(*applyRun)
}

func TestProcessorKillHarness(t *testing.T) {
	if testing.Short() {
		t.Skip("starts servers of its own")
	}
	t.Parallel()
	runs := drawKills(t, seed(t), names(applyPoints, func(p killPoint) string { return p.name }), names(applyDeaths, func(d applyDeath) string { return d.name }),
		"TAILRACE_PROCESSOR_KILL_RUNS", 10)
	runDrawn(t, runs, newApplyWorker, func(w *applyWorker, t *testing.T, c drawn) {
		w.run(t, applyPoints[c.point], applyDeaths[c.death], c.seed)
	})
}

func newApplyWorker(t *testing.T) *applyWorker {
	w := &applyWorker{newKillWorker(t)}
	w.kafka.linger = 20 * time.Second
	return w
}

// applyWorker is a killWorker whose PostgreSQL is the sink.
type applyWorker struct{ *killWorker }

// applyRun is one point crossed with one death.
type applyRun struct {
	t      *testing.T
	worker *applyWorker
	name   string
	dir    string
	text   string // the configuration without ops and instance
	rng    *rand.Rand
	static bool
	first  *process // the one that was there when the point was reached
	stay   *process // the one that is to be there in the end
	count  int
}

func (r *applyRun) must(err error) {
	if err != nil {
		r.t.Error(err)
	}
}

func (w *applyWorker) run(t *testing.T, point killPoint, death applyDeath, seed uint64) {
	w.runs++
	rng := rand.New(rand.NewPCG(seed, 0))
	r := &applyRun{t: t, worker: w, name: fmt.Sprintf("apply_%d_%d", w.runs, seed), dir: t.TempDir(), rng: rng, static: rng.IntN(2) == 0}
	if err := w.postgres.CreateDatabase(t.Context(), r.name); err != nil {
		t.Fatal(err)
	}
	policy := []string{"skip", "park_key"}[rng.IntN(2)]
	url := strings.Replace(w.postgres.URL(r.name), fmt.Sprintf(":%d/", w.postgres.Port()), ":"+strconv.Itoa(port(t, w.pg.addr()))+"/", 1) + "?sslmode=disable"
	r.text = fmt.Sprintf("name: %s\nkafka: {brokers: [%q]}\nregistry: {url: %q}\nsource: {topics: [%s.public.items]}\nsink: {postgres: {url: %q}}\n"+
		"steps: [{filter: row.id != 39}]\nerrors: {on_poison: %s, retry: {initial: 50ms, max: 500ms}, circuit: {open: 200ms}}\n",
		r.name, w.kafka.addr(), w.url, r.name, url, policy)
	h := newFeed(t, r, seed)
	h.publish(60) // the topic is there before anybody joins
	h.sql(`CREATE TABLE public.items (id integer PRIMARY KEY, name text, note text, amount bigint CONSTRAINT fits CHECK (amount < 1000000), _tailrace_gen bigint, _tailrace_pos text COLLATE "C")`,
		`CREATE TABLE public.audit (n bigserial PRIMARY KEY, id integer, pos text COLLATE "C")`,
		`CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.audit (id, pos) VALUES (NEW.id, NEW._tailrace_pos); RETURN NEW; END $$`,
		`CREATE TRIGGER audit AFTER INSERT OR UPDATE ON public.items FOR EACH ROW EXECUTE FUNCTION audit()`)
	skip := 0
	if point.most > 0 {
		skip = rng.IntN(point.most)
	}
	strike := func() { death.strike(r) }
	var hit <-chan struct{}
	if point.start {
		hit = w.trap.set(point.kind, point.after, skip, strike)
	}
	r.first = r.process()
	r.stay = r.first
	if !point.start {
		r.first.awaitState("streaming")
		hit = w.trap.set(point.kind, point.after, skip, strike)
	}
	// What publishes may wait for the broker that is stopped, so it does not mend.
	wait, mended := rng.IntN(1000), make(chan struct{})
	go func() {
		defer close(mended)
		select {
		case <-hit:
		case <-t.Context().Done():
			return
		}
		pause(t, wait)
		if death.mend != nil {
			death.mend(r)
		}
	}()
	for deadline := time.Now().Add(60 * time.Second); ; {
		h.publish(1 + rng.IntN(25))
		select {
		case <-hit:
		case <-time.After(time.Duration(rng.IntN(40)) * time.Millisecond):
			if time.Now().After(deadline) {
				t.Fatalf("%s: not reached within 60 s", point.name)
			}
			continue
		}
		break
	}
	<-mended
	h.publish(30)
	r.verify(h, !death.uncounted)
}

// process starts a processor.
func (r *applyRun) process() *process {
	addr := freeAddr(r.t)
	r.count++
	text := r.text + "ops: {listen: " + addr + "}\ngroup: {session_timeout: 6s"
	if r.static {
		text += ", instance_id: i" + strconv.Itoa(min(r.count, 2)) // the one that comes back after SIGKILL has another place
	}
	file := filepath.Join(r.dir, fmt.Sprintf("processor-%d.yaml", r.count))
	if err := os.WriteFile(file, []byte(text+"}\n"), 0o600); err != nil {
		r.t.Error(err)
	}
	return start(r.t, addr, "processor", "run", "-c", file, "--log-level", "warn")
}

// verify waits for the end, replays the dead letters, and compares.
func (r *applyRun) verify(h *feed, counted bool) {
	t := r.t
	t.Helper()
	await(t, func() (bool, string) {
		at := h.offsets()
		return maps.Equal(at, h.ends), fmt.Sprintf("offsets %v, want %v: %s", at, h.ends, r.stay.ready().Reason)
	})
	if counted {
		await(t, func() (bool, string) {
			sum, text := r.stay.counters()
			return sum == h.records, fmt.Sprintf("counters %s add up to %d, and %d records were consumed", text, sum, h.records)
		})
	}
	await(t, func() (bool, string) { // they follow the offsets
		n := h.value("SELECT count(*)::text FROM tailrace.dead_letters")
		return n == "0", n + " dead letters are on their way to their topic"
	})
	h.sql("ALTER TABLE public.items DROP CONSTRAINT fits")
	file := filepath.Join(r.dir, "processor-1.yaml")
	r.replay(file)
	got, want := h.sink(), h.rows
	for id := range h.ids {
		if got[id] != want[id] {
			t.Errorf("row %d: got %q, want %q; its versions were %s; its records\n%s", id, got[id], want[id],
				h.value(fmt.Sprintf("SELECT string_agg(pos, ' ' ORDER BY n) FROM public.audit WHERE id = %d", id)), strings.Join(h.trace[id], "\n"))
		}
	}
	if bad := h.value(`SELECT count(*)::text FROM (SELECT id, pos, lag(pos) OVER (PARTITION BY id ORDER BY n) AS before FROM public.audit) a WHERE pos <= before`); bad != "0" {
		t.Errorf("%s versions of rows did not rise", bad)
	}
	if n := h.value("SELECT count(*)::text FROM tailrace.parked"); n != "0" {
		t.Errorf("%s rows are still parked", n)
	}
	if code := r.stay.stop(); code != 0 {
		t.Errorf("the processor left with %d, want 0", code)
	}
}

// replay has every dead letter applied that is not superseded.
func (r *applyRun) replay(file string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 60*time.Second)
	defer cancel()
	text, err := os.ReadFile(file)
	if err != nil {
		r.t.Fatal(err)
	}
	out := run1(ctx, "dlq", "replay", "--all", "-c", file)
	list := run1(ctx, "dlq", "list", "-c", file)
	for line := range strings.Lines(list) {
		if f := strings.Fields(line); len(f) > 1 && (f[1] == "open" || f[1] == "failed" || f[1] == "due") {
			r.t.Errorf("after the replay: %s\n%s\n%s", line, out, text)
			return
		}
	}
}
