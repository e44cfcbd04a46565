package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/tailrace/tailrace/internal/config"
	"github.com/tailrace/tailrace/internal/ops"
)

func (g *Globals[S]) configCommand(program string) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "config",
		Short:   "Prints the effective configuration, or describes every key",
		Example: fmt.Sprintf("  %[1]s config show -c %[1]s.yaml\n  %[1]s config reference --markdown", program),
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return ops.Usage(errors.New("config what? show or reference"))
		},
	}
	cmd.AddCommand(g.showCommand(program), g.referenceCommand(program))
	return cmd
}

func (g *Globals[S]) showCommand(program string) *cobra.Command {
	return &cobra.Command{
		Use:     "show",
		Short:   "Prints the effective configuration with secrets hidden",
		Example: fmt.Sprintf("  %[1]s config show -c %[1]s.yaml", program),
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			out, s, file, err := g.Open()
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

func (g *Globals[S]) referenceCommand(program string) *cobra.Command {
	var markdown bool
	cmd := &cobra.Command{
		Use:     "reference",
		Short:   "Describes every key: type, default, unit, meaning",
		Example: fmt.Sprintf("  %[1]s config reference\n  %[1]s config reference --markdown > docs/%[1]s-configuration.md", program),
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			out, err := g.Out()
			switch {
			case err != nil:
				return err
			case out.JSON:
				for _, key := range config.Keys(new(S)) {
					if err := out.Object(key); err != nil {
						return err
					}
				}
				return nil
			case markdown:
				return out.Text("%s", config.ReferenceMarkdown(new(S)))
			}
			return out.Text("%s", config.ReferenceText(new(S)))
		},
	}
	cmd.Flags().BoolVar(&markdown, "markdown", false, "as Markdown tables, for the documentation")
	return cmd
}

func (g *Globals[S]) versionCommand(program string) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Prints version, commit and Go version",
		Example: fmt.Sprintf("  %s version -o json", program),
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			out, err := g.Out()
			if err != nil {
				return err
			}
			build := ops.Build(program)
			if out.JSON {
				return out.Object(build)
			}
			return out.Text("%s\n", build)
		},
	}
}
