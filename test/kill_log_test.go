package test

import (
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// The kill harness of topics to topics: fault points crossed with deaths, while
// records come in, some of them delivered twice as a relay does.
//
// The pipeline gathers the rows of two topics into documents (step latest), so every
// change that is applied twice, lost, or applied to a state that is not the one it was
// made for shows: the versions of a document count its changes one by one. In the end
// each document is what its rows are, and its versions are dense, each there once; each
// record without a position is one dead letter; and where one processor did all, without
// a transaction whose outcome it did not learn, its counters add up to what was consumed.
// Where the seed is odd, the key is an expression, and rows go through the pipeline's
// internal topic to the owner of their document. In a share of the runs, a burst of
// several chunks (processors/inlog_round.go) waits before the processors start, and the
// test fails unless rounds were made in chunks, and a kill hit one that was open.
//
//	TAILRACE_LOG_KILL_RUNS=300 go test ./test -run 'TestKillLogHarness$' -timeout 3h
//	TAILRACE_SEED=7 TAILRACE_KILL='before EndTxn/SIGKILL' go test ./test -run 'TestKillLogHarness$'

type logPoint struct {
	name, kind string
	after      bool
	most       int
	start      bool // the trap is set before the processor runs
}

// logChunk is the kind of message by which a processor says in its log that a chunk of a
// round is at the brokers, and the round goes on.
const logChunk = "a chunk of a round is sent"

var logPoints = []logPoint{
	{name: "poll", kind: kafkaFetched, most: 40},
	{name: "step", kind: kafkaFetched, after: true, most: 40},
	{name: "outputs", kind: kafkaData, most: 20},
	{name: "outputs acknowledged", kind: kafkaAck, most: 20},
	{name: "changelog", kind: kafkaChangelog, most: 20},
	{name: "offset commit", kind: kafkaTxnOffsets, most: 20},
	{name: "before EndTxn", kind: kafkaEnd, most: 20},
	{name: "in EndTxn", kind: kafkaEnded, most: 20},
	{name: "after EndTxn", kind: kafkaEnded, after: true, most: 20},
	{name: "rebalance", kind: kafkaJoin, start: true, most: 2},
	{name: "restore", kind: kafkaMark, start: true},
	{name: "chunk", kind: logChunk, most: 2, start: true},
}

type logDeath struct {
	name   string
	strike func(*logRun)
	mend   func(*logRun)
}

var logDeaths = []logDeath{
	{"SIGKILL", func(r *logRun) { r.process("one").kill() }, func(r *logRun) { r.start("one") }},
	{"broker stopped", func(r *logRun) { r.worker.stopBroker() }, func(r *logRun) { r.worker.restartBroker(r.t) }},
	{"connections cut", func(r *logRun) { r.worker.tap.cut() }, nil},
	{"a second processor, and the first is killed", func(r *logRun) { r.start("two") }, func(r *logRun) { r.process("one").kill() }},
	{"frozen, and a second processor", func(r *logRun) { r.must(r.process("one").cmd.Process.Signal(syscall.SIGSTOP)); r.start("two") },
		func(r *logRun) {
			pause(r.t, 1000*sessionSeconds(3)+1000)
			r.must(r.process("one").cmd.Process.Signal(syscall.SIGCONT))
		}},
}

// logWorker has a broker and a registry for one run after the other.
type logWorker struct {
	ownServers
	trap *trap
	tap  *kafkaTap
	runs int
}

type logRun struct {
	t      *testing.T
	worker *logWorker
	name   string
	dir    string
	// dynamic members have no name in the group.
	dynamic bool

	mu        sync.Mutex // guards the following
	processes map[string]*process

	stages bool // two, with the internal topic between them
	burst  bool // more than several chunks wait for the processors
	chunks atomic.Int32
	open   bool // the kill hit a round of which a chunk was sent
}

// sessionSeconds is the length of a session, or the least that the brokers take.
func sessionSeconds(seconds int) int {
	if os.Getenv(envKafka) != "" {
		seconds = max(seconds, 6)
	}
	return seconds
}

// process is one by its instance; the taps' goroutines ask as well.
func (r *logRun) process(instance string) *process {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.processes[instance]
}

func (r *logRun) must(err error) {
	if err != nil {
		r.t.Error(err)
	}
}

func TestKillLogHarness(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts servers of its own")
	}
	runs := drawKills(t, seed(t), names(logPoints, func(p logPoint) string { return p.name }), names(logDeaths, func(d logDeath) string { return d.name }),
		"TAILRACE_LOG_KILL_RUNS", 10)
	if os.Getenv("TAILRACE_KILL") == "" {
		for _, worker := range runs { // whatever was drawn
			worker[0].point, worker[0].death, worker[0].name = len(logPoints)-1, 0, "chunk/SIGKILL"
		}
	}
	var bursts, chunks, open, struck atomic.Int32
	runDrawn(t, runs, newLogWorker, func(w *logWorker, t *testing.T, c drawn) {
		w.runs++
		r := &logRun{t: t, worker: w, name: fmt.Sprintf("log%d", w.runs), dir: t.TempDir(), processes: map[string]*process{}}
		point, death := logPoints[c.point], logDeaths[c.death]
		r.burst = point.kind == logChunk || c.seed%3 == 0
		r.run(point, death, c.seed)
		chunks.Add(r.chunks.Load())
		if r.burst {
			bursts.Add(1)
		}
		if r.open {
			open.Add(1)
		}
		if c.name == "chunk/SIGKILL" {
			struck.Add(1)
		}
	})
	t.Logf("%d runs had a burst, with %d chunks ahead of the end of their rounds; %d kills hit a round that was open then", bursts.Load(), chunks.Load(), open.Load())
	if struck.Load() > 0 && open.Load() == 0 {
		t.Error("no kill hit a round of which a chunk was sent")
	}
}

func newLogWorker(t *testing.T) *logWorker {
	t.Helper()
	w := &logWorker{ownServers: newOwnServers(t), trap: &trap{}}
	t.Cleanup(func() { w.end(t) })
	address := w.broker.Addr() // also of the one that is started again
	w.tap = newKafkaTap(t, w.trap, func() string { return address })
	w.tap.linger = 20 * time.Second
	return w
}

func (r *logRun) run(point logPoint, death logDeath, number uint64) {
	rng := rand.New(rand.NewPCG(number, 0))
	r.stages = number%2 == 1
	feed := newLogFeed(r.t, r.worker, r.name, logPartitions, rand.New(rand.NewPCG(number, 1)))
	skip := 0
	if point.most > 0 {
		skip = rng.IntN(point.most)
	}
	if r.burst {
		chunks := 1 // to see
		if point.kind == logChunk {
			chunks += skip
		}
		feed.waits = func() bool { return int(r.chunks.Load()) < chunks }
		feed.burst(burst)
	}
	var hit <-chan struct{}
	strike := func() { death.strike(r) }
	if point.start {
		hit = r.worker.trap.set(point.kind, point.after, skip, strike)
	}
	r.start("one")
	if !point.start {
		hit = r.worker.trap.set(point.kind, point.after, skip, strike)
	}
	defer r.explain()
	done := make(chan struct{})
	stop := make(chan struct{})
	go func() {
		defer close(done)
		feed.run(stop)
	}()
	select {
	case <-hit:
	case <-time.After(60 * time.Second):
		close(stop)
		<-done
		r.t.Fatalf("%s: not reached within 60 s", point.name)
	}
	if death.name == "SIGKILL" {
		r.open = r.process("one").inChunks()
	}
	pause(r.t, rng.IntN(800))
	if death.mend != nil {
		death.mend(r)
	}
	pause(r.t, 100+rng.IntN(400))
	close(stop)
	<-done
	if r.burst && r.chunks.Load() == 0 {
		r.t.Error("a burst waited, and no round was made in chunks")
	}
	feed.write(20)
	feed.verify()
	feed.verifyLetters()
	if one := r.process("one"); len(r.processes) == 1 && death.name != "SIGKILL" {
		consumed := feed.sent
		if r.stages {
			for _, changes := range feed.count {
				consumed += changes // each is handed on once
			}
		}
		await(r.t, func() (bool, string) {
			sum, text := one.counters()
			unknown := strings.Contains(one.log.String(), "begins anew")
			return sum == consumed || unknown && sum < consumed, fmt.Sprintf("counters %s add up to %d, and %d records were consumed", text, sum, consumed)
		})
	}
	for _, p := range r.processes {
		p.kill()
	}
}

// explain shows what each processor says of itself when the run has failed.
func (r *logRun) explain() {
	if !r.t.Failed() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, p := range r.processes {
		resp, err := http.Get("http://" + p.ops + "/status")
		if err != nil {
			r.t.Logf("%s: %v", name, err)
			continue
		}
		b, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		r.t.Logf("%s: %v %s", name, err, b)
		if err := p.cmd.Process.Signal(syscall.SIGQUIT); err == nil { // for what its goroutines wait
			<-p.done
			r.t.Logf("%s: %s", name, tail(p.log.String(), 1500))
		}
	}
}

func (r *logRun) start(instance string) {
	addr := freeAddr(r.t)
	file := filepath.Join(r.dir, instance+".yaml")
	member := ""
	if !r.dynamic {
		member = "instance_id: " + instance + ", "
	}
	text := fmt.Sprintf(`name: %s
kafka: {brokers: [%q]}
registry: {url: %q}
source: {topics: [%s.public.a, %s.public.b]}
steps:
  - latest: {table: docs.items%s}
sink: {kafka: {topic: "{pipeline}.{schema}.{table}", topics: {replication_factor: 1}, sessions: 2}}
group: {%ssession_timeout: %ds}
errors: {retry: {initial: 20ms, max: 500ms}}
ops: {listen: %q}
`, r.name, r.worker.tap.addr(), r.worker.registry.URL(), r.name, r.name, map[bool]string{true: ", key: row.id"}[r.stages], member, sessionSeconds(3), addr)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		r.t.Error(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	p := start(r.t, addr, "processor", "run", "-c", file, "--log-level", "debug")
	p.log.watch(logChunk, func() {
		r.chunks.Add(1)
		r.worker.trap.pass(logChunk, false)
	})
	r.processes[instance] = p
}

// inChunks tells whether a process that is gone had a session with a round of which a
// chunk was sent, and whose end it did not learn.
func (p *process) inChunks() bool {
	open := map[string]bool{}
	for line := range strings.Lines(p.log.String()) {
		_, rest, found := strings.Cut(line, " session=")
		session, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
		switch {
		case !found:
		default:
			open[session] = strings.Contains(line, logChunk)
		}
	}
	return slices.Contains(slices.Collect(maps.Values(open)), true)
}
