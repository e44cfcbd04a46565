// Command real runs the end-to-end tests and the demo's check against Apache
// Kafka and a real schema registry, over PostgreSQL 14 to 18. `make test-real`
// calls it, from the root of the repository. It fetches what is missing, starts
// both servers on free ports, and stops them by their process ids.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/tailrace/tailrace/internal/embedded/pgtest"
	"github.com/tailrace/tailrace/internal/embedded/real"
)

// perVersion are the tests that run on every PostgreSQL; on the default one, all
// run. killTests are repeated with other seeds.
const (
	perVersion = "^(TestSnapshotThenStreamWithoutAGap|TestUnchangedToastIsSaidAndFullIdentityFillsIt|" +
		"TestEachRowHasTheRelationOfItsPlaceInTheWAL|TestTableMadeLaterIsReadAndStreamed|TestKilledAnywhereNothingIsLostOrRepeated)$"
	killTests = "^(TestKilledAnywhereNothingIsLostOrRepeated|TestBrokerKilledUnderLoadNothingIsLostOrRepeated)$"
)

type options struct {
	cache    string
	seed     int64
	seeds    int
	versions string
	only     string
}

func main() {
	var o options
	flag.StringVar(&o.cache, "cache", filepath.Join(".cache", "real"), "folder for what is fetched")
	flag.Int64Var(&o.seed, "seed", rand.Int64N(1<<31), "first seed; default random")
	flag.IntVar(&o.seeds, "seeds", 5, "number of seeds")
	flag.StringVar(&o.versions, "postgres", "14,15,16,17,18", "versions of PostgreSQL")
	flag.StringVar(&o.only, "only", "", "part of a step's name: run the steps that have it")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "test-real:", err)
		stop()
		os.Exit(1)
	}
}

// run starts the servers, does all steps, and stops them.
func run(ctx context.Context, o options, out io.Writer) (err error) {
	logf := func(format string, args ...any) { fmt.Fprintf(out, "=== "+format+"\n", args...) }
	parts, err := real.Install(ctx, o.cache, logf)
	if err != nil {
		return err
	}
	cache, err := filepath.Abs(o.cache)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "tailrace-real-")
	if err != nil {
		return err
	}
	defer func() {
		if err == nil {
			err = os.RemoveAll(dir)
		} else {
			fmt.Fprintln(out, "=== the logs of Kafka and of the registry are in", dir)
		}
	}()
	kafka, err := parts.StartKafka(ctx, filepath.Join(dir, "kafka"))
	if err != nil {
		return err
	}
	defer kafka.Kill()
	registry, err := parts.StartRegistry(ctx, filepath.Join(dir, "registry"))
	if err != nil {
		return err
	}
	defer registry.Kill()
	logf("Kafka %s on %s (pid %d), Apicurio registry %s on %s (pid %d), seed %d",
		real.KafkaVersion, kafka.Addr(), kafka.Pid(), real.RegistryVersion, registry.URL(), registry.Pid(), o.seed)
	r := &runner{ctx: ctx, out: out, only: o.only, env: append(os.Environ(),
		"TAILRACE_TEST_KAFKA="+kafka.Addr(), "TAILRACE_TEST_REGISTRY="+registry.URL(), "TAILRACE_TEST_PARTS="+cache)}
	r.tests("all tests", "", "", o.seed)
	versions := strings.Split(o.versions, ",")
	for i, version := range versions {
		r.tests("relay on PostgreSQL "+version, perVersion, version, o.seed+int64(i))
	}
	for i := range o.seeds {
		seed := o.seed + int64(i)
		r.tests(fmt.Sprintf("kills, seed %d", seed), killTests, "", seed)
	}
	for i := range max(o.seeds, len(versions)) {
		seed, version := o.seed+int64(i), versions[i%len(versions)]
		r.step(fmt.Sprintf("check on PostgreSQL %s, seed %d", version, seed), nil, filepath.Join("bin", "demo"), "--check",
			"--seed", fmt.Sprint(seed), "--postgres-version", version, "--kafka", kafka.Addr(), "--registry", registry.URL())
	}
	return r.verdict()
}

// runner does steps one after the other and remembers those that failed.
type runner struct {
	ctx    context.Context
	out    io.Writer
	env    []string
	only   string
	done   int
	failed []string
}

func (r *runner) tests(name, pattern, version string, seed int64) {
	args := []string{"test", "./test", "-count=1", "-parallel=2", "-timeout=20m", "-v"}
	if pattern != "" {
		args = append(args, "-run", pattern)
	}
	env := []string{fmt.Sprintf("TAILRACE_SEED=%d", seed)}
	if version != "" {
		env = append(env, pgtest.EnvVersion+"="+version)
	}
	r.step(name, env, "go", args...)
}

// step runs a command. An interrupt reaches it too: it is asked to end, so that it
// stops what it has started.
func (r *runner) step(name string, env []string, command string, args ...string) {
	if r.ctx.Err() != nil || !strings.Contains(name, r.only) {
		return
	}
	began := time.Now()
	fmt.Fprintf(r.out, "=== %s: %s %s %s\n", name, strings.Join(env, " "), command, strings.Join(args, " "))
	cmd := exec.CommandContext(r.ctx, command, args...)
	cmd.Env = append(r.env, env...)
	cmd.Stdout, cmd.Stderr = r.out, r.out
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	err := cmd.Run()
	result := "ok"
	if err != nil {
		result = err.Error()
		r.failed = append(r.failed, name)
	}
	r.done++
	fmt.Fprintf(r.out, "=== %s: %s, %.0f s\n", name, result, time.Since(began).Seconds())
}

func (r *runner) verdict() error {
	if err := r.ctx.Err(); err != nil {
		return errors.Join(errors.New("interrupted"), err)
	}
	if len(r.failed) > 0 {
		return fmt.Errorf("%d of %d steps failed: %s", len(r.failed), r.done, strings.Join(r.failed, "; "))
	}
	if r.done == 0 {
		return fmt.Errorf("no step's name contains %q", r.only)
	}
	fmt.Fprintf(r.out, "=== OK, %d steps\n", r.done)
	return nil
}
