package main

import (
	"github.com/spf13/cobra"

	"github.com/tailrace/tailrace/internal/ops"
)

func newVersionCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Prints version, commit and Go version",
		Example: "  relay version -o json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			out, err := g.out()
			if err != nil {
				return err
			}
			build := ops.Build("relay")
			if out.JSON {
				return out.Object(build)
			}
			return out.Text("%s\n", build)
		},
	}
}
