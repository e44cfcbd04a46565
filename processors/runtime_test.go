package processors_test

import (
	"maps"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/processors"
)

func TestSinkAwayAtStartIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.publish(w.put(1, 1, "one", "x", 1))
	link := newProxy(t, w.database)
	link.kill()
	p := w.start(through(link))
	until(t, "the state disconnected", func() bool { state, _ := p.runtime.Health(); return state == "disconnected" })
	link.revive()
	w.reach(0, 1)
	until(t, "the state streaming", func() bool { state, _ := p.runtime.Health(); return state == "streaming" })
}

func TestSinkAwayInBetweenIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.publish(w.put(1, 1, "one", "x", 1))
	link := newProxy(t, w.database)
	p := w.start(through(link))
	w.reach(0, 1)
	link.kill()
	w.publish(w.put(2, 1, "two", "x", 2))
	until(t, "the partition to retry", func() bool { return p.partitionState() == "retrying" })
	link.revive()
	w.reach(0, 2)
	until(t, "the partition to run", func() bool { return p.partitionState() == "running" })
	p.wantCounters(map[string]int{"applied": 2})
}

func TestFailureOfMostRowsIsSystemicAndDeadLettersNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.exec(`CREATE TABLE public.items (id integer PRIMARY KEY, name text, note text, amount smallint, _tailrace_gen bigint, _tailrace_pos text COLLATE "C")`)
	var records []record
	for i := range 40 {
		records = append(records, w.put(i+1, i, "n", "x", i))
	}
	w.publish(records...)
	p := w.start()
	until(t, "the partition to retry", func() bool { return p.partitionState() == "retrying" })
	if s := p.runtime.Status(); !contains(s.LastError, "40 of the last 40 rows", "ALTER TABLE", "smallint") {
		t.Errorf("last error: got %q", s.LastError)
	}
	w.exec("ALTER TABLE public.items ALTER COLUMN amount TYPE integer")
	w.reach(0, 40)
	p.wantCounters(map[string]int{"applied": 40})
	if got := w.value("SELECT count(*)::text FROM tailrace.parked"); got != "0" {
		t.Errorf("parked rows: got %s, want 0", got)
	}
}

// A trickle meets the same sink one record at a time: only what comes before it
// is known as the sink's fault goes to the dead-letter topic.
func TestATrickleDoesNotFloodTheDeadLetters(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.exec(`CREATE TABLE public.items (id integer PRIMARY KEY, name text, note text, amount smallint, _tailrace_gen bigint, _tailrace_pos text COLLATE "C")`)
	var records []record
	for i := range 40 {
		records = append(records, w.put(i+1, i, "n", "x", i))
	}
	w.publish(records...)
	p := w.start(func(s *setup) { s.config.BatchRows = 1 })
	until(t, "the partition to retry", func() bool { return p.partitionState() == "retrying" })
	if got := w.offset(0); got != 9 {
		t.Errorf("offset at which it is systemic: got %d, want 9", got)
	}
	w.exec("ALTER TABLE public.items ALTER COLUMN amount TYPE integer")
	w.reach(0, 40)
	p.wantCounters(map[string]int{"applied": 31, "dead_lettered": 9})
}

func TestRateIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	var records []record
	for i := range 60 {
		records = append(records, w.put(i+1, i, "n", "x", i))
	}
	w.publish(records...)
	began := time.Now()
	w.start(func(s *setup) { s.config.Rate = 50 })
	w.reach(0, 60)
	if took := time.Since(began); took < time.Second {
		t.Errorf("60 records at 50 records a second: took %s", took)
	}
}

func TestTopicsMadeLaterAreFound(t *testing.T) {
	t.Parallel()
	w := bareWorld(t)
	p := w.start()
	until(t, "the reason to name the topic", func() bool { _, reason := p.runtime.Health(); return contains(reason, topic) })
	w.createTopic(topic, 1)
	w.publish(w.put(1, 1, "one", "x", 1))
	w.reach(0, 1)
}

func TestPatternLeavesOutWhatIsNoData(t *testing.T) {
	t.Parallel()
	w := bareWorld(t)
	for _, name := range []string{topic, "shop.public.items.replay.7", "shop.dead_letter", "shop.transaction", "shop.message", "tailrace.shop.progress", "__debezium-heartbeat.shop"} {
		w.createTopic(name, 1)
		w.publishTo(name, w.put(1, len(name), "one", "x", 1))
	}
	w.start(func(s *setup) { s.consumer.Topics, s.consumer.Pattern = nil, ".*" })
	w.reach(0, 1)
	if got := w.value("SELECT string_agg(topic, ',') FROM tailrace.offsets"); got != topic {
		t.Errorf("topics that were read: got %s, want %s", got, topic)
	}
}

func TestLogThatExpiredBeforeItWasAppliedStops(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.publish(w.put(1, 1, "one", "x", 1))
	p := w.start()
	w.reach(0, 1)
	p.stop()
	w.publish(w.put(2, 1, "two", "x", 2), w.put(3, 1, "three", "x", 3), w.put(4, 1, "four", "x", 4))
	offsets := kadm.Offsets{}
	offsets.AddOffset(topic, 0, 3, -1)
	if _, err := kadm.NewClient(w.client).DeleteRecords(t.Context(), offsets); err != nil {
		t.Fatal(err)
	}
	p = w.start()
	until(t, "the state stopped", func() bool { state, _ := p.runtime.Health(); return state == "stopped" })
	if _, reason := p.runtime.Health(); !contains(reason, "2 records", "offset 1", "begins at 3") {
		t.Errorf("reason: got %q", reason)
	}
	w.wantRows(map[int]row{1: {"one", "x", "1"}})
}

func TestTopicMadeAnewStops(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.publish(w.put(1, 1, "one", "x", 1))
	p := w.start()
	w.reach(0, 1)
	p.stop()
	if _, err := kadm.NewClient(w.client).DeleteTopic(t.Context(), topic); err != nil {
		t.Fatal(err)
	}
	w.connect()
	w.createTopic(topic, 1)
	w.publish(w.put(1, 1, "other", "x", 1), w.put(2, 1, "other", "x", 2))
	p = w.start()
	until(t, "the state stopped", func() bool { state, _ := p.runtime.Health(); return state == "stopped" })
	if _, reason := p.runtime.Health(); !contains(reason, "made anew") {
		t.Errorf("reason: got %q", reason)
	}
}

func TestStartLatestIsRememberedInTheSink(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.publish(w.put(1, 1, "before", "x", 1))
	latest := func(s *setup) { s.consumer.Start = kafka.StartFrom{Latest: true} }
	p := w.start(latest)
	w.reach(0, 1) // nothing applied yet, and the beginning is durable
	p.stop()
	w.publish(w.put(2, 2, "while it was away", "x", 2))
	w.start(latest)
	w.reach(0, 2)
	w.wantRows(map[int]row{2: {"while it was away", "x", "2"}})
}

// noise is a text that does not compress by much.
func noise(n int) string {
	rng := rand.New(rand.NewPCG(1, 2))
	var b strings.Builder
	for b.Len() < n {
		b.WriteString(strconv.FormatUint(rng.Uint64(), 36))
	}
	return b.String()
}

// countingSource counts pauses.
type countingSource struct {
	processors.Source
	pauses *atomic.Int32
}

func (s *countingSource) Pause(parts ...kafka.TopicPartition) {
	s.pauses.Add(1)
	s.Source.Pause(parts...)
}

// A sink that hangs must not make memory grow, nor keep the group waiting.
func TestHangingSinkIsPausedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.publish(w.put(1, 1, "one", "x", 1))
	var pauses atomic.Int32
	p := w.start(func(s *setup) {
		s.config.InFlightBytes = 1 << 20
		s.wrap = func(in processors.Source) processors.Source { return &countingSource{Source: in, pauses: &pauses} }
		s.sink.LockTimeout = 10 * time.Second
	})
	w.reach(0, 1)
	unlock := w.lock()
	note := noise(100_000) // the log compresses, and the bound of a fetch is on compressed bytes
	var records []record
	for i := range 60 {
		records = append(records, w.put(i+2, i, "n", note, i))
	}
	w.publish(records...)
	gauge := func() float64 { return p.gauge("tailrace_processor_in_flight_bytes") }
	until(t, "a pause, or all of it in flight", func() bool { return pauses.Load() > 0 || gauge() > 5<<20 })
	if got := gauge(); got > 3<<20 { // the budget, and what one fetch may add
		t.Errorf("in flight: got %.0f bytes of a budget of %d", got, 1<<20)
	}
	unlock()
	w.reach(0, 61)
	if got := gauge(); got != 0 {
		t.Errorf("in flight at the end: got %.0f, want 0", got)
	}
}

// A sink that is down for longer than a session: no dead letters, no growth in
// memory, no expulsion from the group, and it catches up by itself. TAILRACE_SINK_DOWN
// is for how long, as in 10m.
func TestSinkDownForLongerThanASession(t *testing.T) {
	t.Parallel()
	down := 4 * time.Second
	if text := os.Getenv("TAILRACE_SINK_DOWN"); text != "" {
		var err error
		if down, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	w := newWorld(t, 2)
	w.publish(w.put(1, 1, "one", "x", 1))
	link := newProxy(t, w.database)
	p := w.start(through(link), func(s *setup) { s.config.InFlightBytes, s.consumer.SessionTimeout = 1<<20, 2*time.Second })
	w.reach(0, 1)
	claims := w.value("SELECT sum(epoch)::text FROM tailrace.offsets")
	link.kill()
	note, n, most := noise(20_000), 1, 0.0
	for began := time.Now(); time.Since(began) < down; {
		var records []record
		for range 10 {
			n++
			r := w.put(n, n, "n", note, n)
			r.partition = int32(n % 2)
			records = append(records, r)
		}
		w.publish(records...)
		most = max(most, p.gauge("tailrace_processor_in_flight_bytes"))
		wait := time.NewTimer(down / 40)
		<-wait.C
	}
	if most > 3<<20 { // the budget, and what a fetch of each partition may add
		t.Errorf("in flight while the sink was down: up to %.0f bytes of a budget of %d", most, 1<<20)
	}
	if state, _ := p.runtime.Health(); state != "disconnected" && down > 6*time.Second {
		t.Errorf("state while the sink was down: %s", state)
	}
	link.revive()
	until(t, "all rows", func() bool { return w.value("SELECT count(*)::text FROM public.items") == strconv.Itoa(n) })
	p.wantCounters(map[string]int{"applied": n})
	if got := w.value("SELECT sum(epoch)::text FROM tailrace.offsets"); got != claims {
		t.Errorf("epochs: got %s, want %s: the member was expelled, or had to ask what became of a commit", got, claims)
	}
	if got := w.value("SELECT count(*)::text FROM tailrace.parked"); got != "0" {
		t.Errorf("parked rows: %s", got)
	}
}

// Members come, go and are cut off while a seeded history flows; at the end the
// sink equals what the history leaves.
func TestMembersComeAndGoWithoutLoss(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	const partitions = 4
	w := newWorld(t, partitions)
	want := map[int]row{}
	ends := [partitions]int64{}
	n := 0
	burst := func(count int) {
		var records []record
		for range count {
			n++
			id := rng.IntN(60)
			cur, exists := want[id]
			var r record
			amount := strconv.Itoa(n)
			switch {
			case exists && rng.IntN(4) == 0:
				r = w.del(n, id)
				delete(want, id)
			case exists && rng.IntN(2) == 0:
				want[id] = row{"name" + amount, cur.note, amount}
				r = w.putName(n, id, want[id].name, n)
			default:
				want[id] = row{"name" + amount, "note" + amount, amount}
				r = w.put(n, id, want[id].name, want[id].note, n)
			}
			r.partition = int32(id % partitions)
			ends[r.partition]++
			records = append(records, r)
			if r.value != nil && rng.IntN(3) == 0 && len(records) > 1 {
				again := records[len(records)-1]
				again.partition = r.partition
				ends[r.partition]++
				records = append(records, again) // delivered twice
			}
		}
		w.publish(records...)
	}
	member := func() (*process, *proxy) {
		link := newProxy(t, w.database)
		rows := 1 + rng.IntN(20)
		return w.start(through(link), func(s *setup) { s.config.BatchRows = rows }), link
	}
	first, _ := member()
	processes := []*process{first}
	for range 4 {
		burst(40)
		p, link := member()
		processes = append(processes, p)
		burst(40)
		switch rng.IntN(3) {
		case 0:
			processes[0].stop()
			processes = append(processes[1:], processes[0])
		case 1:
			link.kill()
			burst(10)
			link.revive()
		default:
			fate := verdict(1 + rng.IntN(2))
			link.onCommit(func() verdict { return fate })
		}
	}
	w.start()
	for i, end := range ends {
		w.reach(i, end)
	}
	if got := w.rows(); !maps.Equal(got, want) {
		for id := range 60 {
			if got[id] != want[id] {
				t.Errorf("row %d: got %v, want %v", id, got[id], want[id])
			}
		}
	}
}

// A drain does not wait for what cannot be had.
func TestStopsSoonWhileTheSinkIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.publish(w.put(1, 1, "one", "x", 1))
	link := newProxy(t, w.database)
	patient := func(s *setup) { s.config.DrainTimeout = time.Hour }
	p := w.start(through(link), patient)
	w.reach(0, 1)
	link.kill()
	w.publish(w.put(2, 1, "two", "x", 2))
	until(t, "the partition to retry", func() bool { return p.partitionState() == "retrying" })
	p.stop() // in the middle of a batch
	p = w.start(through(link), patient)
	until(t, "the state disconnected", func() bool { state, _ := p.runtime.Health(); return state == "disconnected" })
	p.stop() // in the middle of a claim
	w.start()
	w.reach(0, 2)
}

// A rebalance that begins while claims are waited for starts them anew.
func TestMemberJoinsWhileTheSinkIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4)
	var records []record
	for i := range 40 {
		r := w.put(i+1, i, "n", "x", i)
		r.partition = int32(i % 4)
		records = append(records, r)
	}
	w.publish(records...)
	var links []*proxy
	for range 3 {
		link := newProxy(t, w.database)
		link.kill()
		links = append(links, link)
		p := w.start(through(link))
		until(t, "the state disconnected", func() bool { state, _ := p.runtime.Health(); return state == "disconnected" })
	}
	for _, link := range links {
		link.revive()
	}
	for i := range 4 {
		w.reach(i, 10)
	}
	if got := len(w.rows()); got != 40 {
		t.Errorf("rows: got %d, want 40", got)
	}
}
