// Command real runs what `make test` cannot: the end-to-end tests and the demo's
// check against Apache Kafka and a real schema registry, over PostgreSQL 14 to 18;
// the comparison with Debezium; clients in other languages; PostGIS. `make
// test-real` calls it, from the root of the repository. It fetches what is
// missing, starts servers on free ports, and stops them by their process ids.
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/tailrace/tailrace/internal/embedded/pgtest"
	"github.com/tailrace/tailrace/internal/embedded/postgres"
)

// perVersion are the tests that run on every PostgreSQL; on the default one, all
// run. killTests are repeated with other seeds.
const (
	perVersion = "^(TestSnapshotThenStreamWithoutAGap|TestUnchangedToastIsSaidAndFullIdentityFillsIt|" +
		"TestEachRowHasTheRelationOfItsPlaceInTheWAL|TestTableMadeLaterIsReadAndStreamed|TestKilledAnywhereNothingIsLostOrRepeated|TestReplayGivesWhatWasPublished)$"
	killTests = "^(TestKilledAnywhereNothingIsLostOrRepeated|TestBrokerKilledUnderLoadNothingIsLostOrRepeated)$"
)

// killRuns are the runs of the kill harness on each version of PostgreSQL when
// --kills does not say; a fifth of them at least once.
const killRuns = 25

// How many seeds each kind of step takes when --seeds does not say.
const (
	killSeeds   = 5
	oracleSeeds = 100
)

type options struct {
	cache    string
	seed     int64
	seeds    int
	versions string
	kills    int
	only     string
}

const usage = `Runs the tests that need Java, Maven or other languages. Steps, in this order:

  all tests                 test/ against Apache Kafka and the Apicurio registry
  relay on PostgreSQL N     the relay's end-to-end tests, for each version of --postgres
  kills, seed N             the kill tests, for each seed
  kill harness on PostgreSQL N
                            fault points crossed with deaths, for each version
  processors on PostgreSQL N
                            the suites of the processor, for each version
  kill harness of processors on PostgreSQL N
                            the same for processors, into PostgreSQL and from topics to topics,
                            and members that come and go
  check on PostgreSQL N     the demo's check, for each seed or version
  clients                   readers in Python, JavaScript and Java, and Debezium's JDBC sink
  postgis                   the golden records of PostGIS; Debian, as root
  big transactions          10 million rows in one, 200 open at once, 5,000 tables, rows of 200 MB,
                            each within 150 MiB of the relay's memory; a fifth of an hour, 15 GB
  oracle                    Debezium beside the relay, record for record; a seed that fails
                            prints the command that repeats it
  oracle with PostGIS       the same with PostGIS's types, in fewer seeds; Debian, as root

  make test-real ARGS='--only oracle --seeds 100'
  make test-real ARGS='--only oracle --seed 17 --seeds 1'

Flags:
`

func main() {
	var o options
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), usage)
		flag.PrintDefaults()
	}
	flag.StringVar(&o.cache, "cache", filepath.Join(".cache", "real"), "folder for what is fetched")
	flag.Int64Var(&o.seed, "seed", rand.Int64N(1<<31), "first seed; default random")
	flag.IntVar(&o.seeds, "seeds", 0, fmt.Sprintf("number of seeds; 0 is %d, and %d for the oracle", killSeeds, oracleSeeds))
	flag.IntVar(&o.kills, "kills", killRuns, "runs of the kill harness on each version")
	flag.StringVar(&o.versions, "postgres", "14,15,16,17,18", "versions of PostgreSQL")
	flag.StringVar(&o.only, "only", "", "part of a step's name: run the steps that have it")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "test-real:", err)
		stop()
		os.Exit(1)
	}
}

// run does all steps and stops what they started.
func run(ctx context.Context, o options) (err error) {
	s, err := newServices(ctx, o.cache, os.Stdout)
	if err != nil {
		return err
	}
	defer func() { s.stop(err == nil) }()
	r := &runner{ctx: ctx, out: os.Stdout, only: o.only, services: s}
	fmt.Fprintf(r.out, "=== seed %d\n", o.seed)
	seeds := o.seeds
	if seeds == 0 {
		seeds = killSeeds
	}
	r.tests("all tests", "", "", o.seed)
	versions := strings.Split(o.versions, ",")
	for i, version := range versions {
		r.tests("relay on PostgreSQL "+version, perVersion, version, o.seed+int64(i))
	}
	for i := range seeds {
		seed := o.seed + int64(i)
		r.tests(fmt.Sprintf("kills, seed %d", seed), killTests, "", seed)
	}
	for i, version := range versions {
		r.harness("TestKillHarness", version, o.seed+int64(i), o.kills)
		r.harness("TestKillHarnessAtLeastOnce", version, o.seed+int64(i), (o.kills+4)/5)
	}
	for i, version := range versions {
		r.processors(version, o.seed+int64(i), (o.kills+1)/2)
	}
	for i := range max(seeds, len(versions)) {
		seed, version := o.seed+int64(i), versions[i%len(versions)]
		r.step(fmt.Sprintf("check on PostgreSQL %s, seed %d", version, seed), func(at addresses) ([]string, []string) {
			return nil, []string{filepath.Join("bin", "demo"), "--check", "--seed", fmt.Sprint(seed),
				"--postgres-version", version, "--kafka", at.kafka, "--registry", at.registry}
		})
	}
	r.step("clients", func(addresses) ([]string, []string) {
		return nil, []string{"go", "test", "./test/clients", "-count=1", "-timeout=20m", "-v"}
	})
	r.postgis()
	s.stopShared() // what follows has its own, and memory is short
	r.bare("takeover from Debezium", []string{fmt.Sprintf("TAILRACE_SEED=%d", o.seed)},
		[]string{"go", "test", "./test/oracle", "-count=1", "-timeout=20m", "-v", "-run", "^TestRelayTakesOverFromDebezium$"})
	r.bare("big transactions", []string{"TAILRACE_TEST_BIG=1"}, []string{"go", "test", "./test", "-count=1", "-parallel=1", "-timeout=120m", "-v", "-run", "^TestBig"})
	r.oracle(o, "oracle")
	r.oracle(o, "oracle with PostGIS")
	return r.verdict()
}

func (r *runner) tests(name, pattern, version string, seed int64) {
	r.step(name, func(addresses) ([]string, []string) {
		args := []string{"go", "test", "./test", "-count=1", "-parallel=2", "-timeout=20m", "-v"}
		if pattern != "" {
			args = append(args, "-run", pattern)
		}
		env := []string{fmt.Sprintf("TAILRACE_SEED=%d", seed)}
		if version != "" {
			env = append(env, pgtest.EnvVersion+"="+version)
		}
		return env, args
	})
}

// harness runs a kill harness. It starts a Kafka of its own, which it kills.
func (r *runner) harness(test, version string, seed int64, runs int) {
	r.step("kill harness on PostgreSQL "+version+", "+test, func(addresses) ([]string, []string) {
		return []string{pgtest.EnvVersion + "=" + version, fmt.Sprintf("TAILRACE_SEED=%d", seed), fmt.Sprintf("TAILRACE_KILL_RUNS=%d", runs)},
			[]string{"go", "test", "./test", "-count=1", "-parallel=1", "-timeout=60m", "-v", "-run", "^" + test + "$"}
	})
}

// processors repeats the suites of the processor: those of its packages on a version of
// PostgreSQL, and its kill harnesses and the storm against a Kafka of their own.
func (r *runner) processors(version string, seed int64, runs int) {
	env := []string{pgtest.EnvVersion + "=" + version, fmt.Sprintf("TAILRACE_SEED=%d", seed)}
	r.step("processors on PostgreSQL "+version, func(addresses) ([]string, []string) {
		return env, []string{"go", "test", "./processors/...", "./sinks/...", "./cmd/processor", "-count=1", "-timeout=20m"}
	})
	r.step("kill harness of processors on PostgreSQL "+version, func(addresses) ([]string, []string) {
		return append(env, fmt.Sprintf("TAILRACE_PROCESSOR_KILL_RUNS=%d", runs), fmt.Sprintf("TAILRACE_LOG_KILL_RUNS=%d", runs), "TAILRACE_STORM=30s"),
			[]string{"go", "test", "./test", "-count=1", "-parallel=1", "-timeout=60m", "-v", "-run", "^(TestProcessorKillHarness|TestKillLogHarness|TestRebalanceStorm)$"}
	})
}

// oracle needs no shared servers: it starts those that it compares.
func (r *runner) oracle(o options, name string) {
	seeds := o.seeds
	if seeds == 0 {
		seeds = oracleSeeds
	}
	var env []string
	if name == "oracle with PostGIS" {
		if !r.wanted(name) || !r.hasPostGIS(name) {
			return
		}
		seeds = max(1, seeds/6)
		env = []string{postgres.EnvBin + "=" + debianPostgres, "TAILRACE_ORACLE_POSTGIS=1"}
	}
	r.bare(name, append(env, fmt.Sprintf("TAILRACE_SEED=%d", o.seed), fmt.Sprintf("TAILRACE_ORACLE_SEEDS=%d", seeds)),
		[]string{"go", "test", "./test/oracle", "-count=1", "-timeout=60m", "-v", "-run", "^TestRelayWritesWhatDebeziumWrites$"})
}
