package oracle

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tailrace/tailrace/internal/docsgen"
)

//go:generate go test . -run ^TestPage -count=1 -args -update

// letters are what the letters of the table mean, in the page's order.
var letters = []struct{ letter, title string }{
	{"b", "Debezium loses, invents or garbles something"},
	{"a", "Debezium's task ends"},
	{"c", "The order of Java's hash tables, and names of its objects"},
	{"d", "Clocks"},
}

// TestPageOfTheDifferences makes the page's tables from the table by which records
// are compared.
func TestPageOfTheDifferences(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for _, l := range letters {
		fmt.Fprintf(&b, "### %s\n\n| what | Debezium 3.7 | the relay | shown by |\n|---|---|---|---|\n", l.title)
		for _, w := range wantedDifferences() {
			if w.letter == l.letter {
				fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", w.kind, w.debezium, w.ours, w.shownBy())
			}
		}
		b.WriteString("\n")
	}
	docsgen.Section(t, "docs/comparison.md", "differences", b.String())
}

func (w *wanted) shownBy() string {
	var parts []string
	if w.applies != nil || w.inSchema != nil {
		parts = append(parts, "seeds")
	}
	for _, g := range w.golden {
		parts = append(parts, "`"+g+"`")
	}
	if len(parts) == 0 {
		return "–"
	}
	return strings.Join(parts, ", ")
}

// TestEveryRowOfTheTableIsWhole catches a row that says too little, or twice.
func TestEveryRowOfTheTableIsWhole(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, w := range wantedDifferences() {
		if w.kind == "" || w.debezium == "" || w.ours == "" || seen[w.kind] {
			t.Errorf("%q: a row has a kind of its own, what Debezium does and what the relay does", w.kind)
		}
		seen[w.kind] = true
		if !slices.ContainsFunc(letters, func(l struct{ letter, title string }) bool { return l.letter == w.letter }) {
			t.Errorf("%q: letter %q is not in the list", w.kind, w.letter)
		}
		for _, g := range w.golden {
			if _, err := os.Stat(filepath.Join("..", "golden", "testdata", g+".json")); err != nil {
				t.Errorf("%q: there is no golden case %s", w.kind, g)
			}
		}
	}
}

var allowedCase = regexp.MustCompile(`(?m)^\t\{"([a-z0-9_]+)", "`)

// TestPageHasEveryExceptionOfTheGoldenRecords catches an exception that was
// allowed there and is not told here.
func TestPageHasEveryExceptionOfTheGoldenRecords(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "golden", "allowed_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{}
	for _, w := range wantedDifferences() {
		for _, g := range w.golden {
			told[g] = true
		}
	}
	cases := allowedCase.FindAllSubmatch(text, -1)
	if len(cases) < 10 {
		t.Fatalf("only %d exceptions found: the pattern does not fit the file any more", len(cases))
	}
	for _, m := range cases {
		if name := string(m[1]); !told[name] {
			t.Errorf("golden case %s has an exception that no row of wantedDifferences names; docs/comparison.md would not tell it", name)
		}
	}
}
