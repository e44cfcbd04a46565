package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/tailrace/tailrace/internal/config"
	"github.com/tailrace/tailrace/internal/ops"
)

func newTestCommand(g *globals) *cobra.Command {
	verbose := false
	cmd := &cobra.Command{
		Use:   "test [FILE …]",
		Short: "Runs fixtures: changes in, sink writes and dead letters expected",
		Long: `Runs fixtures without broker, registry or sink: changes become records as a relay would write them, pass the
real decoder, steps and gate, and end in a sink in memory. What differs from what is expected is shown as a
script: each change, and under it what became of it, with + before what was not expected and - before what did
not come. Exit code 4 when something differs.

Without FILE, the files *_test.yaml beside the configuration.`,
		Example: "  processor test\n  processor test orders_test.yaml -v",
		RunE: func(cmd *cobra.Command, files []string) error {
			out, err := g.Out()
			if err != nil {
				return err
			}
			if len(files) == 0 {
				pattern := filepath.Join(filepath.Dir(g.Config), "*_test.yaml")
				if files, err = filepath.Glob(pattern); err != nil || len(files) == 0 {
					return ops.Usage(fmt.Errorf("no fixtures %s; name one", pattern))
				}
			}
			total, failed := 0, 0
			for _, name := range files {
				f := &fixture{}
				file, err := config.Load(name, f)
				if err != nil {
					return ops.Usage(err)
				}
				results, err := f.play(cmd.Context(), filepath.Clean(name), file, g.Config)
				if err != nil {
					return ops.Usage(err)
				}
				for _, r := range results {
					total++
					if !r.Same {
						failed++
					}
					if err := printPlayed(out, r, verbose); err != nil {
						return err
					}
				}
			}
			if !out.JSON {
				if err := out.Text("%d tests, %d failed\n", total, failed); err != nil {
					return err
				}
			}
			if failed > 0 {
				return &ops.Exit{Code: ops.ExitFound}
			}
			return nil
		},
	}
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "show the script of every test")
	return cmd
}

func printPlayed(out *ops.Output, r played, verbose bool) error {
	if out.JSON {
		return out.Object(r)
	}
	word, color := "ok    ", ops.Green
	if !r.Same {
		word, color = "FAILED", ops.Red
	}
	if err := out.Text("%s %s: %s\n", out.Paint(color, word), r.File, r.Name); err != nil {
		return err
	}
	if r.Same && !verbose {
		return nil
	}
	return out.Text("%s\n", r.Script)
}
