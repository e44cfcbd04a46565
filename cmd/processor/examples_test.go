package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tailrace/tailrace/internal/config"
	"github.com/tailrace/tailrace/internal/docsgen"
	"github.com/tailrace/tailrace/processors/steps"
)

var fence = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// TestExamplesOfSteps runs the fixtures of the page about steps.
func TestExamplesOfSteps(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "steps.md"))
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, m := range fence.FindAllStringSubmatch(string(page), -1) {
		if !strings.Contains(m[1], "\ntests:") {
			var s settings // a part of processor.yaml
			if _, err := config.Parse("steps.md", []byte(minimal+m[1]), &s); err != nil {
				t.Errorf("%v\n%s", err, m[1])
			}
			continue
		}
		count++
		playFixture(t, "docs/steps.md", []byte(m[1]))
	}
	if count < 8 {
		t.Errorf("only %d fixtures were found", count)
	}
}

// TestFixtures runs the fixtures of testdata: the rules of each step, one by one.
func TestFixtures(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("testdata", "*_test.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatal(err, "no fixtures")
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		playFixture(t, name, data)
	}
}

func playFixture(t *testing.T, name string, data []byte) {
	t.Helper()
	f := &fixture{}
	file, err := config.Parse(name, data, f)
	if err != nil {
		t.Errorf("%v\n%s", err, data)
		return
	}
	results, err := f.play(t.Context(), name, file, "none.yaml")
	if err != nil {
		t.Errorf("%s: %v", name, err)
	}
	for _, r := range results {
		if !r.Same {
			t.Errorf("%s: %s\n%s", name, r.Name, r.Script)
		}
	}
}

// TestPageOfTheFunctions holds the table of functions.
func TestPageOfTheFunctions(t *testing.T) {
	t.Parallel()
	docsgen.Section(t, "docs/steps.md", "functions", steps.FunctionsMarkdown())
}
