package main

import (
	"os"
	"path/filepath"
	"strings"
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

// TestExamplesOfThePageAreValid reads what the page shows as YAML.
func TestExamplesOfThePageAreValid(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "relay-configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(page), "```yaml\n")[1:]
	for _, block := range blocks {
		text, _, _ := strings.Cut(block, "```")
		if _, err := config.Parse("page.yaml", []byte(minimal+text), &settings{}); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
	}
	if len(blocks) == 0 {
		t.Error("no example was found")
	}
}

func TestPageOfTheMetrics(t *testing.T) {
	t.Parallel()
	reg := docsgen.NewRecorder(ops.NewRegistry("relay"))
	newMetrics(reg, newStatus())
	registry.Metrics(reg, "relay")
	docsgen.Section(t, "docs/metrics.md", "relay", reg.Markdown(t, "tailrace_"))
}
