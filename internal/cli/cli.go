// Package cli is what the command lines of the programs share: the root command
// with its flags and exit codes, the commands config and version, and those
// sections of the configurations that are the same.
package cli

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

// Globals are the flags that every command of a program has. S is the type of
// its settings.
type Globals[S any] struct {
	Config string // the file's name

	output, logLevel, logFormat string
}

// Run adds to root what every program has, runs the command that args name, and
// returns the exit code. Of root itself Use, the program's name, Short and
// Example are set.
func (g *Globals[S]) Run(root *cobra.Command, args []string) int {
	ctx, stop := ops.Signals(context.Background(), os.Stderr)
	defer stop()
	g.complete(root)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if !ops.Silent(err) {
		var problems config.Problems
		if errors.As(err, &problems) {
			_, _ = fmt.Fprintln(os.Stderr, problems)
		} else {
			_, _ = fmt.Fprintf(os.Stderr, "%s: %v\n", root.Name(), err)
		}
	}
	return ops.Code(err)
}

func (g *Globals[S]) complete(root *cobra.Command) {
	program := root.Name()
	root.SilenceErrors, root.SilenceUsage = true, true
	root.Args = cobra.NoArgs
	root.RunE = func(cmd *cobra.Command, _ []string) error {
		_ = cmd.Usage()
		return ops.Usage(fmt.Errorf("which command? %s --help lists them", program))
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return ops.Usage(err) })
	f := root.PersistentFlags()
	f.StringVarP(&g.Config, "config", "c", program+".yaml", "configuration `FILE`")
	f.StringVarP(&g.output, "output", "o", "text", "form of the output: text or json")
	f.StringVar(&g.logLevel, "log-level", "info", "least level that is logged: debug, info, warn or error")
	f.StringVar(&g.logFormat, "log-format", "text", "form of the log on stderr: text or json")
	root.AddCommand(g.configCommand(program), g.versionCommand(program))
	usageErrors(root)
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

// Load reads the configuration; any fault of it ends with exit code 2.
func (g *Globals[S]) Load() (*S, *config.File, error) {
	s := new(S)
	file, err := config.Load(g.Config, s)
	if err != nil {
		return nil, nil, ops.Usage(err)
	}
	return s, file, nil
}

// Out is where the command's data goes.
func (g *Globals[S]) Out() (*ops.Output, error) { return ops.NewOutput(os.Stdout, g.output) }

// Logger writes to stderr.
func (g *Globals[S]) Logger() (*slog.Logger, error) {
	return ops.NewLogger(os.Stderr, g.logLevel, g.logFormat)
}

// Open is Out and Load, with which a command begins that shows something.
func (g *Globals[S]) Open() (*ops.Output, *S, *config.File, error) {
	out, err := g.Out()
	if err != nil {
		return nil, nil, nil, err
	}
	s, file, err := g.Load()
	return out, s, file, err
}
