package main

import (
	"testing"

	"github.com/tailrace/tailrace/internal/config"
	"github.com/tailrace/tailrace/internal/docsgen"
	"github.com/tailrace/tailrace/internal/ops"
	"github.com/tailrace/tailrace/schema/registry"
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
	docsgen.Section(t, "docs/relay-configuration.md", "keys", marks.Apply(t, config.ReferenceMarkdown(s)))
}

func TestPageOfTheMetrics(t *testing.T) {
	t.Parallel()
	reg := docsgen.NewRecorder(ops.NewRegistry("relay"))
	newMetrics(reg, newStatus())
	registry.Metrics(reg, "relay")
	docsgen.Section(t, "docs/metrics.md", "relay", reg.Markdown(t, "tailrace_"))
}
