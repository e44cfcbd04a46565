package oracle

import (
	"os"
	"strconv"
	"testing"

	"github.com/tailrace/tailrace/internal/embedded/pgtest"
	"github.com/tailrace/tailrace/internal/embedded/real"
)

const (
	envParts = "TAILRACE_TEST_PARTS"
	envSeed  = "TAILRACE_SEED"
	envSeeds = "TAILRACE_ORACLE_SEEDS"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// TestRelayWritesWhatDebeziumWrites has Debezium and the relay publish the same
// seeds, and compares what they wrote.
func TestRelayWritesWhatDebeziumWrites(t *testing.T) {
	cache := os.Getenv(envParts)
	if cache == "" {
		t.Skipf("needs Apache Kafka, Kafka Connect and Debezium, in Java; make test-real has them (%s is not set)", envParts)
	}
	parts, err := real.Installed(cache)
	if err != nil {
		t.Fatal(err)
	}
	first, n := number64(t, envSeed, 0), number64(t, envSeeds, 8)
	seeds := map[*profile][]*scenario{}
	all := profiles()
	for seed := first; seed < first+n; seed++ {
		s := newScenario(seed, all)
		seeds[s.profile] = append(seeds[s.profile], s)
	}
	w := newWorld(t, parts)
	total := newComparison()
	for _, p := range all {
		if list := seeds[p]; len(list) > 0 {
			delete(seeds, p)
			t.Run(p.name, func(t *testing.T) { total.add(newSession(t, w, p, list).compare()) })
		}
	}
	for _, line := range total.report() {
		t.Log(line)
	}
	t.Logf("%d seeds, %d records equal to Debezium's but for what is wanted, %d seeds failed", n, total.records, len(total.seeds))
}

// number64 is a number in an environment variable.
func number64(t *testing.T, name string, unset uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return unset
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// TestWorkloadsRun plays some seeds on PostgreSQL alone: a statement that fails is
// a mistake of the generator, which would otherwise show in make test-real only.
func TestWorkloadsRun(t *testing.T) {
	t.Parallel()
	const publish = "CREATE PUBLICATION p FOR ALL TABLES" // so that changes need an identity
	for seed := range uint64(8) {
		sc := newScenario(seed, profiles())
		s := newSession(t, nil, sc.profile, []*scenario{sc})
		for _, u := range append(sc.setup, statement(publish)) {
			s.run(u)
		}
		statements := 0
		for _, phase := range sc.phases {
			for _, u := range phase {
				s.run(u)
				statements += len(u.statements)
			}
		}
		if statements < 50 {
			t.Errorf("seed %d has only %d statements", seed, statements)
		}
	}
}
