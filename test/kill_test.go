package test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tailrace/tailrace/internal/embedded/pgtest"
	"github.com/tailrace/tailrace/internal/embedded/postgres"
)

// The kill harness: fault points crossed with deaths, under a workload.
//
// The relay is the binary that ships. Taps stand between it and its servers and
// hold one message back while the death happens, so a point is exact to the
// message and nothing of it is built into the product. In the end every topic,
// folded, must equal its table, with as many records as the workload's commits are
// due; under exactly_once with each position once, rising in every partition, under
// at_least_once with positions repeated as whole runs only.
//
//	TAILRACE_KILL_RUNS=675 go test ./test -run 'TestKillHarness$' -timeout 3h
//	TAILRACE_SEED=7 TAILRACE_KILL='before EndTxn/SIGKILL of the relay' go test ./test -run 'TestKillHarness$'

// killPoints are the fault points. From start: the trap is set before the relay
// runs, else when it streams and the workload is under way.
var killPoints = []killPoint{
	{name: "after read", kind: pgRow, after: true, most: 3000},
	{name: "after encode", kind: kafkaData, most: 60},
	{name: "before ack", kind: kafkaAck, most: 60},
	{name: "after ack, before progress", kind: kafkaProgress, most: 30},
	{name: "between progress and feedback", kind: pgStatus, most: 3},
	{name: "before EndTxn", kind: kafkaEnd, most: 30, once: true},
	{name: "in EndTxn", kind: kafkaEnded, most: 30, once: true},
	{name: "after EndTxn", kind: kafkaEnded, after: true, most: 30, once: true},
	{name: "registering a schema", kind: registryAsked, most: 4, start: true},
	{name: "schema registered", kind: registryAnswered, most: 4, start: true},
	{name: "before the slot is made", kind: pgSlot, start: true},
	{name: "slot made, answer held", kind: pgMade, start: true},
	{name: "before START_REPLICATION", kind: pgStream, start: true},
	{name: "in the snapshot", kind: pgCopied, most: 50, start: true},
	{name: "between snapshot and stream", kind: pgGoodbye, start: true},
}

type killPoint struct {
	name  string
	kind  string
	after bool
	most  int // messages of the kind that pass at most
	start bool
	once  bool // there only under exactly_once
}

// killDeaths are what happens at a point. strike runs while the message is held;
// mend, when it is not nil, some time later.
var killDeaths = []killDeath{
	{"SIGKILL of the relay", func(r *killRun) { r.relay.kill() }, func(r *killRun) { r.startRelay() }},
	{"PostgreSQL stops at once", func(r *killRun) { r.worker.postgres.Kill() }, func(r *killRun) { r.must(r.worker.postgres.Restart(r.t.Context())) }},
	{"PostgreSQL's connections cut", func(r *killRun) { r.worker.pg.cut() }, nil},
	{"all connections cut", func(r *killRun) { r.worker.pg.cut(); r.worker.kafka.cut() }, nil},
	{"broker stopped", func(r *killRun) { r.worker.stopBroker() }, func(r *killRun) { r.worker.restartBroker(r.t) }},
	{"broker slow", func(r *killRun) { r.worker.kafka.slowly(between(200*time.Millisecond, 900*time.Millisecond)) }, func(r *killRun) { r.worker.kafka.slowly(nil) }},
	{"registry answers 500", func(r *killRun) { r.worker.ill.Store(true) }, func(r *killRun) { r.worker.ill.Store(false) }},
	{"a second relay", func(r *killRun) { r.second() }, func(r *killRun) { r.first.kill() }},
	{"a second relay while the first is frozen", func(r *killRun) { r.freeze() }, func(r *killRun) { r.thaw() }},
}

type killDeath struct {
	name   string
	strike func(*killRun)
	mend   func(*killRun)
}

func TestKillHarness(t *testing.T) {
	t.Parallel()
	harness(t, "exactly_once", 20)
}

// TestKillHarnessAtLeastOnce: a start after a death waits out what may be on its way,
// so a run takes longer.
func TestKillHarnessAtLeastOnce(t *testing.T) {
	t.Parallel()
	harness(t, "at_least_once", 4)
}

func harness(t *testing.T, delivery string, runs int) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts servers of its own")
	}
	rng := seed(t)
	if n := os.Getenv("TAILRACE_KILL_RUNS"); n != "" {
		var err error
		if runs, err = strconv.Atoi(n); err != nil {
			t.Fatal(err)
		}
	}
	type combination struct {
		point killPoint
		death killDeath
		seed  uint64
	}
	var all []combination
	for _, p := range killPoints {
		if p.once && delivery != "exactly_once" {
			continue
		}
		for _, d := range killDeaths {
			all = append(all, combination{p, d, 0})
		}
	}
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	var todo []combination
	if only := os.Getenv("TAILRACE_KILL"); only != "" {
		for _, c := range all {
			if c.point.name+"/"+c.death.name == only {
				c.seed, _ = strconv.ParseUint(os.Getenv("TAILRACE_SEED"), 10, 64)
				todo = append(todo, c)
			}
		}
	} else {
		for i := range runs {
			c := all[i%len(all)]
			c.seed = rng.Uint64N(1 << 32)
			todo = append(todo, c)
		}
	}
	workers := 2
	if len(todo) < 10 {
		workers = 1
	}
	next := make(chan combination, len(todo))
	for _, c := range todo {
		next <- c
	}
	close(next)
	for n := range workers {
		t.Run(fmt.Sprintf("worker %d", n), func(t *testing.T) {
			t.Parallel()
			var w *killWorker
			for c := range next {
				if w == nil {
					w = newKillWorker(t)
				}
				t.Run(c.point.name+"/"+c.death.name, func(t *testing.T) { w.run(t, delivery, c.point, c.death, c.seed) })
			}
		})
	}
}

// killWorker has servers of its own, for one run after the other.
type killWorker struct {
	postgres *postgres.Server
	ownServers

	trap  *trap
	pg    *tap
	kafka *kafkaTap
	front *http.Server // before the registry
	url   string
	ill   atomic.Bool // the registry answers 500
	runs  int
}

func newKillWorker(t *testing.T) *killWorker {
	t.Helper()
	w := &killWorker{trap: &trap{}}
	var err error
	w.postgres, err = postgres.Start(t.Context(), postgres.Config{Version: os.Getenv(pgtest.EnvVersion), Settings: map[string]string{"wal_sender_timeout": "12s"}})
	if err != nil {
		t.Fatal(err)
	}
	w.ownServers = newOwnServers(t)
	t.Cleanup(func() {
		w.end(t)
		for _, end := range []func() error{w.postgres.Stop, w.front.Close} {
			if err := end(); err != nil {
				t.Error(err)
			}
		}
	})
	w.pg = newPostgresTap(t, w.trap, func() string { return fmt.Sprintf("127.0.0.1:%d", w.postgres.Port()) })
	w.kafka = newKafkaTap(t, w.trap, w.broker.Addr)
	w.startFront(t)
	return w
}

// The kinds of registry requests that a trap can wait for.
const (
	registryAsked    = "a schema goes to the registry"
	registryAnswered = "the registry's answer to a schema"
)

func (w *killWorker) startFront(t *testing.T) {
	t.Helper()
	target, err := url.Parse(w.registry.URL())
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ModifyResponse = func(r *http.Response) error {
		if r.Request.Method == http.MethodPost {
			w.trap.pass(registryAnswered, false)
		}
		return nil
	}
	w.front = &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			w.trap.pass(registryAsked, false)
		}
		if w.ill.Load() {
			http.Error(rw, `{"error_code":50001,"message":"ill"}`, http.StatusInternalServerError)
			return
		}
		proxy.ServeHTTP(rw, r)
	})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.url = "http://" + l.Addr().String() + target.Path
	target.Path = ""                     // it stands in w.url
	go func() { _ = w.front.Serve(l) }() // ends with Close
}

// killRun is one point crossed with one death.
type killRun struct {
	*stack
	worker *killWorker
	once   bool // each position is to come once
	file   string
	first  *process // the relay that was there when the point was reached
	relay  *process // the one that is to be there in the end
	rng    *rand.Rand
}

func (r *killRun) must(err error) {
	if err != nil {
		r.t.Error(err) // from the goroutine of a tap too
	}
}

func (w *killWorker) run(t *testing.T, delivery string, point killPoint, death killDeath, seed uint64) {
	test, _, _ := strings.Cut(t.Name(), "/")
	t.Logf("repeat with: TAILRACE_SEED=%d TAILRACE_KILL='%s/%s' go test ./test -run '%s$'", seed, point.name, death.name, test)
	w.runs++
	name := fmt.Sprintf("kill_%d_%d", w.runs, seed)
	if err := w.postgres.CreateDatabase(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	r := &killRun{worker: w, rng: rng, once: delivery == "exactly_once", stack: &stack{t: t, name: name, dir: t.TempDir(), database: w.postgres.URL(name), broker: w.broker, registry: w.registry}}
	t.Cleanup(func() { r.clean(name) })
	r.sql(killSchema, `INSERT INTO accounts SELECT g, 'old', repeat('y', 3000) FROM generate_series(1, 300) g`,
		`INSERT INTO loads SELECT -g, 'old' FROM generate_series(1, 5000) g`, `INSERT INTO loose SELECT g % 3, 'old' FROM generate_series(1, 50) g`,
		`INSERT INTO done SELECT -g FROM generate_series(1, 100) g`) // rows of a snapshot that no TRUNCATE takes away
	r.grant("")
	r.file = filepath.Join(r.dir, "relay.yaml")
	text := fmt.Sprintf("name: %s\npostgres: {url: %q}\nkafka: {brokers: [%q], single_broker: true, topics: {partitions: 3}}\nregistry: {url: %q}\nformat: {truncate: true}\ndelivery: %s\n",
		name, strings.Replace(r.login, fmt.Sprintf(":%d/", w.postgres.Port()), ":"+strconv.Itoa(port(t, w.pg.addr()))+"/", 1)+"?sslmode=disable", w.kafka.addr(), w.url, delivery)
	if err := os.WriteFile(r.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}

	work := newWorkload(r.database, rand.New(rand.NewPCG(seed, 1)), 3)
	work.next = 300
	stop, worked := make(chan struct{}), make(chan error, 1)
	skip := 0
	if point.most > 0 {
		skip = rng.IntN(point.most)
	}
	if point.kind == registryAsked || point.kind == registryAnswered {
		skip = rng.IntN(3) // a table has two schemas at most, and one of the tables may come late
	}
	strike := func() { death.strike(r) }
	var hit <-chan struct{}
	if point.start {
		hit = w.trap.set(point.kind, point.after, skip, strike)
	}
	r.startRelay()
	r.first = r.relay
	if !point.start {
		r.relay.awaitState("streaming")
	}
	go func() { worked <- work.run(t.Context(), stop) }()
	if !point.start {
		hit = w.trap.set(point.kind, point.after, skip, strike)
	}
	await(t, func() (bool, string) {
		select {
		case <-hit:
			return true, ""
		case err := <-worked:
			t.Fatalf("the workload ended: %v", err)
		default:
		}
		return false, point.name + " is not reached"
	})
	pause(t, rng.IntN(1500))
	if death.mend != nil {
		death.mend(r)
	}
	pause(t, 200+rng.IntN(500))
	r.relay.awaitState("streaming")
	close(stop)
	if err := <-worked; err != nil {
		t.Fatal(err)
	}
	r.verify(work, !point.start)
}

// verify reads everything and compares. counted: every commit of the workload
// came after the slot was made, so that the records can be counted.
func (r *killRun) verify(work *workload, counted bool) {
	r.t.Helper()
	r.sql(`INSERT INTO done VALUES (1)`)
	work.due["done"]++
	r.stack.broker, r.stack.registry = r.worker.broker, r.worker.registry
	// The relay publishes in the order of commits: behind this row there is nothing.
	r.read(r.name + ".public.done").until(func(got []record) (bool, string) {
		for _, rec := range got {
			if unwrap(rec.key["id"]) == int32(1) {
				return true, ""
			}
		}
		return false, "the last row has not come: " + r.relay.ready().Reason
	})
	if code := r.relay.stop(); code != 0 {
		r.t.Errorf("the relay left with %d, want 0", code)
	}
	var all []record
	conn, err := pgx.Connect(r.t.Context(), r.database)
	if err != nil {
		r.t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for _, table := range killTables {
		got := r.readAll(r.name + ".public." + table.name)
		all = append(all, got...)
		if !r.once {
			got = firsts(got)
		}
		streamed := int64(0)
		for _, rec := range got {
			if rec.pos.Ordinal > 0 {
				streamed++
			}
		}
		if want := work.due[table.name]; counted && streamed != want {
			r.t.Errorf("%s: %d records of the stream, the commits are due %d", table.name, streamed, want)
		}
		if table.key == nil && !counted {
			continue // a snapshot that was cut off repeats rows that nothing tells apart
		}
		compare(r.t, table.name, replayed(r.t, table, got), table.selected(r.t, conn))
	}
	if r.once {
		streamRises(r.t, all)
	} else {
		wholeRuns(r.t, all)
	}
	if r.t.Failed() {
		r.t.Logf("%d transactions were committed", work.commits)
	}
}

func (r *killRun) startRelay() {
	r.relay = r.startOne()
}

func (r *killRun) startOne() *process {
	addr := freeAddr(r.t)
	text, err := os.ReadFile(r.file)
	if err != nil {
		r.t.Error(err)
	}
	file := filepath.Join(r.dir, fmt.Sprintf("relay-%s.yaml", addr[strings.LastIndex(addr, ":")+1:]))
	if err := os.WriteFile(file, []byte(string(text)+"ops: {listen: "+addr+"}\n"), 0o600); err != nil {
		r.t.Error(err)
	}
	return start(r.t, addr, "relay", "run", "-c", file)
}

// second starts another relay of the same name. It is the one that stays.
func (r *killRun) second() { r.relay = r.startOne() }

// freeze stops the first relay in the middle of what it does and takes its
// connections to PostgreSQL away, so that another one gets the slot; thaw lets it
// go on with what it had under way. It must be shut out then.
func (r *killRun) freeze() {
	r.must(r.first.cmd.Process.Signal(syscall.SIGSTOP))
	r.worker.pg.cut()
	r.relay = r.startOne()
}

func (r *killRun) thaw() {
	r.relay.awaitState("streaming")
	r.must(r.first.cmd.Process.Signal(syscall.SIGCONT))
	pause(r.t, 500+r.rng.IntN(1500))
	r.first.kill()
	r.relay.awaitState("streaming")
}

// clean leaves the worker as it was.
func (r *killRun) clean(name string) {
	w := r.worker
	w.trap.set("", false, 0, nil)
	w.ill.Store(false)
	w.kafka.slowly(nil)
	for _, p := range []*process{r.first, r.relay} {
		if p != nil {
			p.kill()
		}
	}
	if err := w.postgres.DropDatabase(context.Background(), name); err != nil {
		r.t.Errorf("clean up: %v", err)
	}
	if err := w.dropTopics(name); err != nil {
		r.t.Errorf("clean up: %v", err)
	}
}

// dropTopics removes what a run has published: hundreds of runs share a broker.
func (w *killWorker) dropTopics(name string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(w.broker.Addr()))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	admin := kadm.NewClient(client)
	listed, err := admin.ListTopics(ctx)
	if err != nil {
		return err
	}
	names := slices.DeleteFunc(listed.Names(), func(n string) bool {
		return !strings.HasPrefix(n, name+".") && !strings.HasPrefix(n, "tailrace."+name+".")
	})
	deleted, err := admin.DeleteTopics(ctx, names...)
	return errors.Join(err, deleted.Error())
}
