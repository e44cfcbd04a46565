package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/tailrace/tailrace/internal/config"
	"github.com/tailrace/tailrace/internal/ops"
)

func newConfigCommand(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "config",
		Short:   "Prints the effective configuration, or describes every key",
		Example: "  relay config show -c relay.yaml\n  relay config reference --markdown",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return ops.Usage(fmt.Errorf("config what? show or reference"))
		},
	}
	cmd.AddCommand(newConfigShow(g), newConfigReference(g))
	return cmd
}

func newConfigShow(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "show",
		Short:   "Prints the effective configuration with secrets hidden",
		Example: "  relay config show -c relay.yaml",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			out, err := g.out()
			if err != nil {
				return err
			}
			s, file, err := g.load()
			if err != nil {
				return err
			}
			if out.JSON {
				return out.Text("%s\n", file.ShowJSON(s))
			}
			return out.Text("%s", file.Show(s))
		},
	}
}

func newConfigReference(g *globals) *cobra.Command {
	var markdown bool
	cmd := &cobra.Command{
		Use:     "reference",
		Short:   "Describes every key: type, default, unit, meaning",
		Example: "  relay config reference\n  relay config reference --markdown > docs/relay-configuration.md",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			out, err := g.out()
			switch {
			case err != nil:
				return err
			case out.JSON:
				for _, key := range config.Keys(&settings{}) {
					if err := out.Object(key); err != nil {
						return err
					}
				}
				return nil
			case markdown:
				return out.Text("%s", config.ReferenceMarkdown(&settings{}))
			}
			return out.Text("%s", config.ReferenceText(&settings{}))
		},
	}
	cmd.Flags().BoolVar(&markdown, "markdown", false, "as Markdown tables, for the documentation")
	return cmd
}
