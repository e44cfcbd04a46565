package main

import (
	"log/slog"
	"testing"

	"github.com/tailrace/tailrace/internal/config"
	"github.com/tailrace/tailrace/internal/docsgen"
	"github.com/tailrace/tailrace/internal/ops"
	"github.com/tailrace/tailrace/processors"
)

//go:generate go test . -run ^TestPage -count=1 -args -update

func TestPageOfTheConfiguration(t *testing.T) {
	t.Parallel()
	s := &settings{}
	if _, err := config.Parse("minimal.yaml", []byte(minimal), s); err != nil {
		t.Fatal(err)
	}
	marks := docsgen.Refused(t, s, s.available)
	docsgen.Unread(t, marks, "settings", "validate.go", "available.go")
	docsgen.Section(t, "docs/processor-configuration.md", "keys", marks.Apply(t, config.ReferenceMarkdown(s)))
}

func TestPageOfTheMetrics(t *testing.T) {
	t.Parallel()
	s := &settings{}
	file, err := config.Parse("minimal.yaml", []byte(minimal), s)
	if err != nil {
		t.Fatal(err)
	}
	reg := docsgen.NewRecorder(ops.NewRegistry("processor"))
	if _, err := s.schemas(reg); err != nil {
		t.Fatal(err)
	}
	c := s.runtimeConfig(file, slog.New(slog.DiscardHandler))
	c.Registry = reg
	processors.New(c)
	docsgen.Section(t, "docs/metrics.md", "processor", reg.Markdown(t, "tailrace_"))
}
