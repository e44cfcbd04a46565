// Command bench measures tailrace beside others and beside what the server alone
// can do: contenders in turn over copies of one replication slot or topic, with
// medians, CPU seconds by process, peak memory, and a verdict on each goal. It
// refuses runs that another process disturbed. `make bench` builds and runs it;
// README.md in its folder tells how to read what it prints. It is not shipped,
// and runs on Linux only.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	only, without  []string
	rows, runs     int
	rate, seconds  int
	parts, bin     string
	out            string
	profile        string
	allowDisturbed bool
	disturbedAbove float64
}

func main() {
	if len(os.Args) > 1 {
		if do := parts[os.Args[1]]; do != nil {
			os.Exit(part(do, os.Args[2:]))
		}
	}
	os.Exit(run(os.Args[1:]))
}

// parts are what the rig runs in processes of their own, so that their CPU time
// and memory can be told apart.
var parts = map[string]func(ctx context.Context, args []string) error{
	"broker": runBroker, "count": runCount, "discard": runDiscard, "clock": runClock, "loop": runLoop, "feed": runFeed,
}

func part(do func(context.Context, []string) error, args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := do(ctx, args); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	return 0
}

func run(args []string) int {
	o, err := parse(args, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once, and what it started with it
	complete, err := bench(ctx, o, os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
	}
	if err != nil || !complete {
		return 1
	}
	return 0
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	var only, without string
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		fmt.Fprintf(stderr, "bench [flags]\n\nworks:\n")
		for _, w := range works() {
			fmt.Fprintf(stderr, "  %-12s %s\n", w.name, w.about)
		}
		fmt.Fprintf(stderr, "\nflags:\n")
		f.PrintDefaults()
	}
	f.StringVar(&only, "only", "", "works to do, with commas between them (default all)")
	f.StringVar(&without, "without", "", "contenders to leave out, with commas; what they are compared with is then not judged")
	f.IntVar(&o.rows, "rows", 1_000_000, "row changes of a work; the snapshot has five times as many")
	f.IntVar(&o.runs, "runs", 3, "runs of each contender")
	f.IntVar(&o.rate, "rate", 1000, "commits per second where latency is measured")
	f.IntVar(&o.seconds, "seconds", 30, "seconds of each latency run, after ten that do not count")
	f.StringVar(&o.parts, "parts", ".cache/real", "folder of Apache Kafka, Connect and the registry; what is missing is fetched by Maven")
	f.StringVar(&o.bin, "bin", executableFolder(), "folder with the relay and processor binaries")
	f.StringVar(&o.out, "out", "", "file for the raw numbers, one JSON object per run (default .cache/bench/<time>.jsonl)")
	f.StringVar(&o.profile, "profile", "", "folder for CPU profiles of relay and processor; needs make bench PROFILE=1")
	f.BoolVar(&o.allowDisturbed, "allow-disturbed", false, "count disturbed runs too, for work on the rig; the output says so")
	f.Float64Var(&o.disturbedAbove, "disturbed-above", 0.05, "share of one core that others may use during a run")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected %q; see bench --help", f.Arg(0))
	}
	o.only, o.without = words(only), words(without)
	for _, name := range o.only {
		if !slices.ContainsFunc(works(), func(w work) bool { return w.name == name }) {
			return o, fmt.Errorf("--only %s: there is no such work; bench --help lists them", name)
		}
	}
	if o.rows < 1000 || o.runs < 1 || o.rate < 1 || o.seconds < 1 {
		return o, errors.New("want at least --rows 1000, --runs 1, --rate 1 and --seconds 1")
	}
	if o.out == "" {
		o.out = filepath.Join(".cache", "bench", time.Now().UTC().Format("20060102-150405")+".jsonl")
	}
	return o, nil
}

func words(s string) []string {
	return slices.DeleteFunc(strings.Split(s, ","), func(w string) bool { return w == "" })
}

// executableFolder is the folder of this program: make puts the binaries beside
// it.
func executableFolder() string {
	exe, err := os.Executable()
	if err != nil {
		return "bin"
	}
	return filepath.Dir(exe)
}

// bench does the works one after the other. What one of them does wrong does not
// keep the others from being done; complete is false then.
func bench(ctx context.Context, o options, stdout, stderr io.Writer) (complete bool, err error) {
	r, err := newRig(o, stderr)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	for _, w := range works() {
		if ctx.Err() != nil || len(o.only) > 0 && !slices.Contains(o.only, w.name) {
			continue
		}
		r.work(ctx, w)
	}
	if err := r.report(stdout); err != nil {
		return false, err
	}
	return ctx.Err() == nil && r.complete(), ctx.Err()
}
