package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tailrace/tailrace/internal/config"
	"github.com/tailrace/tailrace/internal/ops"
)

func newLintCommand(g *globals) *cobra.Command {
	l := &linter{}
	cmd := &cobra.Command{
		Use:   "lint [FILE …]",
		Short: "Checks configurations against the registry's schemas",
		Long: `Checks configurations without running them: keys and values, and every expression against the schemas that the
registry has for the topics of source. It neither joins the group nor touches the sink.

Each finding is a line file:line:column: level: key: what. Exit code 4 when there is an error; with --strict a
warning is enough.`,
		Example: "  processor lint\n  processor lint pipelines/*.yaml --strict\n  processor lint --topic shop.public.orders",
		RunE: func(cmd *cobra.Command, files []string) error {
			out, err := g.Out()
			if err != nil {
				return err
			}
			if len(files) == 0 {
				files = []string{g.Config}
			}
			for _, file := range files {
				if err := l.file(cmd.Context(), file); err != nil {
					return err
				}
			}
			return l.report(out)
		},
	}
	cmd.Flags().StringSliceVar(&l.topics, "topic", nil, "check against this topic's schemas instead of those of source; needed with topics_pattern")
	cmd.Flags().BoolVar(&l.strict, "strict", false, "a warning is an error")
	cmd.Flags().BoolVar(&l.offline, "offline", false, "do not ask the registry: check what can be checked without schemas")
	return cmd
}

// finding is one line of the command's output.
type finding struct {
	File    string   `json:"file"`
	Line    int      `json:"line"`
	Column  int      `json:"column"`
	Level   string   `json:"level"` // error or warning
	Path    string   `json:"path"`
	Message string   `json:"message"`
	Topics  []string `json:"topics,omitempty"` // for whose schemas it holds
}

const (
	levelError   = "error"
	levelWarning = "warning"
)

// linter collects findings of all files.
type linter struct {
	topics          []string
	strict, offline bool
	findings        []finding
}

// file checks one configuration. An error is about the check itself.
func (l *linter) file(ctx context.Context, name string) error {
	s := &settings{}
	file, err := config.Load(name, s)
	if l.problems(err) {
		return nil
	}
	if err != nil {
		return ops.Usage(err)
	}
	if err := s.available(); err != nil {
		for line := range strings.Lines(err.Error()) {
			path, message, _ := strings.Cut(strings.TrimSpace(line), ": ")
			at, column := file.Locate(path, 0)
			l.add(finding{File: name, Line: at, Column: column, Level: levelError, Path: path, Message: message})
		}
	}
	list := s.steps(name, file)
	made, err := list.build()
	if l.problems(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if l.offline || len(made) == 0 {
		return nil
	}
	check := &schemaCheck{linter: l, list: list, steps: made, skip: s.Errors.OnPoison == "skip"}
	return check.run(ctx, s, l.topics)
}

// problems takes over what is wrong with a file; it tells whether err was that.
func (l *linter) problems(err error) bool {
	var problems config.Problems
	if !errors.As(err, &problems) {
		return false
	}
	for _, p := range problems {
		l.add(finding{File: p.File, Line: p.Line, Column: p.Column, Level: levelError, Path: p.Path, Message: p.Message})
	}
	return true
}

// add notes a finding; one that several topics have is one.
func (l *linter) add(f finding) {
	for i := range l.findings {
		if k := &l.findings[i]; k.File == f.File && k.Path == f.Path && k.Line == f.Line && k.Column == f.Column && k.Message == f.Message {
			k.Topics = append(k.Topics, f.Topics...)
			return
		}
	}
	l.findings = append(l.findings, f)
}

// report writes the findings and decides about the exit code.
func (l *linter) report(out *ops.Output) error {
	slices.SortStableFunc(l.findings, func(a, b finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	found := false
	for _, f := range l.findings {
		found = found || f.Level == levelError || l.strict
		if out.JSON {
			if err := out.Object(f); err != nil {
				return err
			}
			continue
		}
		color := ops.Red
		if f.Level == levelWarning {
			color = ops.Yellow
		}
		text := fmt.Sprintf("%s:%d:%d: %s: ", f.File, f.Line, f.Column, out.Paint(color, f.Level))
		if f.Path != "" {
			text += f.Path + ": "
		}
		text += f.Message
		if len(f.Topics) > 0 {
			text += " (" + strings.Join(f.Topics, ", ") + ")"
		}
		if err := out.Text("%s\n", text); err != nil {
			return err
		}
	}
	if found {
		return &ops.Exit{Code: ops.ExitFound}
	}
	return nil
}
