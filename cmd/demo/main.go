// Command demo shows tailrace at work on one machine, with nothing to install:
// it starts an embedded PostgreSQL, broker and schema registry, the real relay
// and processor binaries, and a workload.
//
// With --check it proves what the README promises: it kills relay and processor
// again and again and then compares sink and source, value by value. With
// --services it starts the three services only. It is not shipped.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"
)

// options are the flags.
type options struct {
	check    bool
	services bool
	seed     int64
	kills    int
	rows     int
	bin      string

	postgresPort    int
	kafkaPort       int
	registryPort    int
	postgresVersion string

	kafka    string // host:port; "": an embedded broker
	registry string // URL; "": an embedded registry
}

// The ports of --services and of the demo without --check.
const (
	postgresPort = 55432
	kafkaPort    = 59092
	registryPort = 58081
)

// usageError is an error about flags: exit code 2.
type usageError struct{ error }

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once, and what it started with it
	code := 0
	cmd := command(func(o options) error {
		switch {
		case o.services:
			return runServices(ctx, o, stdout, stderr)
		case o.check:
			ok, err := runCheck(ctx, o, stdout, stderr)
			if !ok {
				code = 1
			}
			return err
		}
		return runLive(ctx, o, stdout, stderr)
	})
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	if err := cmd.Execute(); err != nil {
		if ctx.Err() != nil && errors.Is(err, context.Canceled) {
			return code // asked to stop while it was starting
		}
		fmt.Fprintln(stderr, "demo:", err)
		if errors.As(err, new(usageError)) {
			return 2
		}
		return 1
	}
	return code
}

func command(do func(options) error) *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "demo [--check | --services]",
		Short: "Shows tailrace at work: embedded services, relay, processor, a live workload",
		Example: `  demo                                  until Ctrl-C, with a live view
  demo --check --seed 7 --kills 3       proves that the sink equals the source
  demo --services --postgres-port 5433  PostgreSQL, broker and registry only`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unexpected %q; see demo --help", args[0])}
			}
			return nil
		},
		SilenceUsage:  true,
		SilenceErrors: true,
		PreRunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("seed") {
				o.seed = rand.Int64N(1 << 31)
			}
			return o.validate()
		},
		RunE: func(*cobra.Command, []string) error { return do(o) },
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{fmt.Errorf("%w; see demo --help", err)} })
	f := cmd.Flags()
	f.SortFlags = false
	f.BoolVar(&o.check, "check", false, "run a seeded workload, kill relay and processor, prove that the sink equals the source")
	f.Int64Var(&o.seed, "seed", 0, "seed of the workload and of the kills (default random)")
	f.IntVar(&o.kills, "kills", 3, "how often relay and processor are killed each")
	f.IntVar(&o.rows, "rows", 20000, "rows that the workload inserts")
	f.BoolVar(&o.services, "services", false, "start PostgreSQL, broker and registry only; prints their addresses as a line of JSON")
	f.IntVar(&o.postgresPort, "postgres-port", postgresPort, "port of PostgreSQL; --check takes free ports")
	f.IntVar(&o.kafkaPort, "kafka-port", kafkaPort, "port of the broker")
	f.IntVar(&o.registryPort, "registry-port", registryPort, "port of the schema registry")
	f.StringVar(&o.postgresVersion, "postgres-version", "", "version of PostgreSQL, 14 to 18 or in full (default a tried one)")
	f.StringVar(&o.kafka, "kafka", "", "host:port of a broker to use instead of an embedded one; the topics stay there")
	f.StringVar(&o.registry, "registry", "", "URL of a schema registry to use instead of an embedded one; the subjects stay there")
	f.StringVar(&o.bin, "bin", binFolder(), "folder with the relay and processor binaries")
	return cmd
}

func (o options) validate() error {
	switch {
	case o.check && o.services:
		return usageError{errors.New("--check and --services exclude each other")}
	case o.rows < 0:
		return usageError{fmt.Errorf("--rows %d: want 0 or more", o.rows)}
	case o.kills < 0:
		return usageError{fmt.Errorf("--kills %d: want 0 or more", o.kills)}
	}
	return nil
}

// binFolder is the folder of this program: make puts the binaries beside it.
func binFolder() string {
	exe, err := os.Executable()
	if err != nil {
		return "bin"
	}
	return filepath.Dir(exe)
}
