package oracle

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tailrace/tailrace/internal/embedded/real"
	"github.com/tailrace/tailrace/test/program"
)

// TestRelayTakesOverFromDebezium stops a Debezium in the middle of seeds, has the
// relay take over its slot and topics (postgres.slot.adopt), and lets another
// Debezium go on from a copy of that slot. What the second Debezium writes must
// be the end of what the topics of the first have got: the same records, in the
// same partitions.
//
// The second one's topics have other names, by a transform of Connect; its
// records and schemas have not, so their keys have the same bytes.
func TestRelayTakesOverFromDebezium(t *testing.T) {
	cache := os.Getenv(envParts)
	if cache == "" {
		t.Skipf("needs Apache Kafka, Kafka Connect and Debezium, in Java; make test-real has them (%s is not set)", envParts)
	}
	parts, err := real.Installed(cache)
	if err != nil {
		t.Fatal(err)
	}
	p := &profile{name: "takeover", properties: map[string]string{"topic.creation.default.partitions": "6", "provide.transaction.metadata": "true"}}
	first := number64(t, envSeed, 0)
	var seeds []*scenario
	for seed := first; seed < first+4; seed++ {
		seeds = append(seeds, newScenario(seed, []*profile{p}))
	}
	s := newSession(t, newWorld(t, parts), p, seeds)
	halves := func(half int) {
		for _, sc := range seeds {
			work := sc.phases[0] // without definitions: a backlog is described by today's
			for _, u := range [][]unit{work[:len(work)/2], work[len(work)/2:]}[half] {
				s.run(u)
			}
		}
	}
	for _, sc := range seeds {
		for _, u := range sc.setup {
			s.run(u)
		}
	}
	s.createDebezium()
	halves(0)
	s.marker(s.name, s.running)
	if err := s.w.connect.Delete(t.Context(), s.name); err != nil {
		t.Fatal(err)
	}
	s.idle(s.name)
	before := s.byPartition(s.name)
	halves(1)
	s.run(statement("SELECT pg_copy_logical_replication_slot('%s', '%s_ref')", s.name, s.name))

	listen := program.FreeAddress(t)
	file := s.relayConfig(s.connector(), listen)
	relay := s.runOn(s.w.kafka.Addr(), file, listen)
	s.marker(s.name, relay.Healthy)
	relay.Stop(t)

	reference, config := s.name+"_ref", s.connector()
	config["slot.name"], config["snapshot.mode"] = reference, "no_data"
	config["transforms"], config["transforms.route.type"] = "route", "org.apache.kafka.connect.transforms.RegexRouter"
	config["transforms.route.regex"], config["transforms.route.replacement"] = "(.*)", "ref.$1"
	if err := s.w.connect.Create(t.Context(), reference, config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.w.connect.Delete(context.Background(), reference); err != nil {
			t.Error(err)
		}
	})
	s.awaitMarker(s.markers, "ref."+s.name, func(ctx context.Context) error {
		_, err := s.w.connect.Running(ctx, reference)
		return err
	})
	ours, theirs := s.byPartition(s.name), s.byPartition("ref."+s.name)
	added, compared := 0, newComparison()
	for place, list := range theirs {
		mine := ours[place]
		added += len(mine) - len(before[place])
		if len(mine) < len(list) {
			t.Errorf("%s: the relay has made it %d records, %d of them Debezium's; the other Debezium wrote %d", place, len(mine), len(before[place]), len(list))
			continue
		}
		knowCommit(list, mine[len(mine)-len(list):])
		compared.topic(place, mine[len(mine)-len(list):], list)
		if twice := repeated(mine); twice != "" {
			t.Errorf("%s has twice: %s", place, twice)
		}
	}
	for place := range ours {
		if theirs[place] == nil && len(ours[place]) != len(before[place]) {
			t.Errorf("%s: the relay wrote %d records, the other Debezium none", place, len(ours[place])-len(before[place]))
		}
	}
	for _, f := range compared.failed {
		t.Errorf("%s\n  repeat: TAILRACE_SEED=%d with -run ^%s$", f.text, first, t.Name())
	}
	if added < 100 || compared.records < added {
		t.Errorf("the relay wrote %d records, %d were compared", added, compared.records)
	}
	t.Logf("%d records of the relay behind %d of Debezium's, in %d partitions, are those that Debezium would have written", added, compared.records-added, len(theirs))
}

// marker makes a marker and returns when topics with a prefix have it.
func (s *session) marker(prefix string, healthy func(context.Context) error) {
	s.t.Helper()
	s.markers++
	s.run(statement("INSERT INTO oracle.marker VALUES (%d)", s.markers))
	s.awaitMarker(s.markers, prefix, healthy)
}

// awaitMarker returns when the marker n is in topics with a prefix, which may have many
// partitions.
func (s *session) awaitMarker(n int, prefix string, healthy func(context.Context) error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	topic := prefix + ".oracle.marker"
	for {
		found, err := newReader(s.w.kafka.Addr(), s.w.schemas.URL()).read(ctx, func(t string) bool { return t == topic })
		for _, r := range found[topic] {
			if err == nil && r.key.get("n") == fmt.Sprint(n) {
				return
			}
		}
		if err := healthy(ctx); err != nil {
			s.t.Fatal(err)
		}
		select {
		case <-ctx.Done():
			s.t.Fatalf("%s has no marker %d after %v: %v", topic, n, patience, err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// idle returns when nobody reads a slot.
func (s *session) idle(slot string) {
	s.t.Helper()
	for until := time.Now().Add(patience); ; {
		var active bool
		if err := s.conn.QueryRow(s.t.Context(), "SELECT active FROM pg_replication_slots WHERE slot_name = $1", slot).Scan(&active); err != nil {
			s.t.Fatal(err)
		}
		if !active {
			return
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-time.After(time.Until(until)):
			s.t.Fatalf("slot %s stays in use", slot)
		}
	}
}

// byPartition reads the topics with a prefix: records by the rest of the topic's
// name and the partition.
func (s *session) byPartition(prefix string) map[string][]*record {
	s.t.Helper()
	found, err := newReader(s.w.kafka.Addr(), s.w.schemas.URL()).read(s.t.Context(), of(prefix))
	if err != nil {
		s.t.Fatal(err)
	}
	out := map[string][]*record{}
	for topic, list := range found {
		for _, r := range list {
			place := fmt.Sprintf("%s/%d", strings.TrimPrefix(topic, prefix+"."), r.partition)
			out[place] = append(out[place], r)
		}
	}
	return out
}

// repeated is a streamed change that stands twice in a list; "" for none.
func repeated(list []*record) string {
	seen := map[string]bool{}
	for _, r := range list {
		if r.value == nil || r.snapshot() || r.value.get("source.lsn") == "" {
			continue
		}
		at := brief(r)
		if seen[at] {
			return at
		}
		seen[at] = true
	}
	return ""
}

// knowCommit gives records the last commit that a Debezium without offsets does
// not know at its first transaction, in source.sequence.
func knowCommit(theirs, ours []*record) {
	const path = "source.sequence"
	for i, r := range theirs {
		if r.value == nil || !strings.HasPrefix(r.value.get(path), `"[null,`) {
			continue
		}
		for j := range r.value.leaves {
			if l := &r.value.leaves[j]; l.path == path && ours[i].value != nil {
				l.text = ours[i].value.get(path)
			}
		}
	}
}
