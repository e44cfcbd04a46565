// Command relay publishes the committed changes of one PostgreSQL database to
// Kafka, as Debezium-format Avro records.
//
// There is one file for each sub-command, and it only wires: what is done
// stands in the packages.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/tailrace/tailrace/internal/config"
	"github.com/tailrace/tailrace/internal/ops"
)

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	ctx, stop := ops.Signals(context.Background(), os.Stderr)
	defer stop()
	root := newRoot()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if !ops.Silent(err) {
		var problems config.Problems
		if errors.As(err, &problems) {
			_, _ = fmt.Fprintln(os.Stderr, problems)
		} else {
			_, _ = fmt.Fprintf(os.Stderr, "relay: %v\n", err)
		}
	}
	return ops.Code(err)
}

// globals are the flags that every command has.
type globals struct {
	config    string
	output    string
	logLevel  string
	logFormat string
}

func newRoot() *cobra.Command {
	g := &globals{}
	root := &cobra.Command{
		Use:           "relay",
		Short:         "Publishes the committed changes of a PostgreSQL database to Kafka",
		Example:       "  relay check -c relay.yaml\n  relay run -c relay.yaml",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_ = cmd.Usage()
			return &ops.Exit{Code: ops.ExitUsage, Err: errors.New("which command? relay --help lists them")}
		},
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return ops.Usage(err) })
	f := root.PersistentFlags()
	f.StringVarP(&g.config, "config", "c", "relay.yaml", "configuration `FILE`")
	f.StringVarP(&g.output, "output", "o", "text", "form of the output: text or json")
	f.StringVar(&g.logLevel, "log-level", "info", "least level that is logged: debug, info, warn or error")
	f.StringVar(&g.logFormat, "log-format", "text", "form of the log on stderr: text or json")

	root.AddCommand(newRunCommand(g))
	root.AddCommand(newCheckCommand(g))
	root.AddCommand(newStatusCommand(g))
	root.AddCommand(newTailCommand(g))
	root.AddCommand(newConfigCommand(g))
	root.AddCommand(newVersionCommand(g))
	usageErrors(root)
	return root
}

// usageErrors makes wrong arguments end with exit code 2, like wrong flags.
func usageErrors(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error { return ops.Usage(check(cmd, args)) }
	}
	for _, c := range cmd.Commands() {
		usageErrors(c)
	}
}

// load reads the configuration; any fault of it ends with exit code 2.
func (g *globals) load() (*settings, *config.File, error) {
	s := &settings{}
	file, err := config.Load(g.config, s)
	if err != nil {
		return nil, nil, ops.Usage(err)
	}
	return s, file, nil
}

func (g *globals) out() (*ops.Output, error) { return ops.NewOutput(os.Stdout, g.output) }

func (g *globals) logger() (*slog.Logger, error) {
	return ops.NewLogger(os.Stderr, g.logLevel, g.logFormat)
}
