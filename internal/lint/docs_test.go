package lint

import (
	"go/ast"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// documents are the Markdown files of the root and of docs.
func documents(t *testing.T, tr *tree) []string {
	t.Helper()
	var list []string
	err := tr.walk(func(name string) error {
		if dir := path.Dir(name); path.Ext(name) == ".md" && (dir == "." || dir == "docs") {
			list = append(list, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(list) < 3 {
		t.Fatalf("only %d documents: %v", len(list), list)
	}
	return list
}

var testName = regexp.MustCompile(`\bTest[A-Z][A-Za-z0-9]*`)

// TestPromisesNameTestsThatExist: a document says which test holds a promise.
func TestPromisesNameTestsThatExist(t *testing.T) {
	t.Parallel()
	tr := load(t)
	exist := map[string]bool{}
	for _, s := range tr.sources {
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && s.test && f.Recv == nil {
				exist[f.Name.Name] = true
			}
		}
	}
	for _, name := range documents(t, tr) {
		number := 0
		for line := range strings.Lines(read(t, tr, name)) {
			number++
			for _, test := range testName.FindAllString(line, -1) {
				if !exist[test] {
					t.Errorf("%s:%d: there is no %s; name the test that holds the promise now, or take the promise back", name, number, test)
				}
			}
		}
	}
}

// TestEveryRowHasItsTest: a table with a column "test" names one in each row.
func TestEveryRowHasItsTest(t *testing.T) {
	t.Parallel()
	tr := load(t)
	rows := 0
	for _, name := range documents(t, tr) {
		tested, number := false, 0
		for line := range strings.Lines(read(t, tr, name)) {
			number++
			cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
			last := strings.TrimSpace(cells[len(cells)-1])
			switch {
			case !strings.HasPrefix(line, "|"):
				tested = false
			case last == "test":
				tested = true
			case tested && strings.Trim(last, "-: ") != "":
				if rows++; !testName.MatchString(last) {
					t.Errorf("%s:%d: no test holds this row", name, number)
				}
			}
		}
	}
	if rows < 40 {
		t.Errorf("only %d rows have a test: is docs/delivery.md still read?", rows)
	}
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// TestLinksResolve follows the relative links of documents, to the heading.
func TestLinksResolve(t *testing.T) {
	t.Parallel()
	tr := load(t)
	for _, name := range documents(t, tr) {
		for _, m := range link.FindAllStringSubmatch(read(t, tr, name), -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, ":") {
				continue // another site's
			}
			file := name
			if target != "" {
				file = path.Join(path.Dir(name), target)
			}
			if !exists(tr, file) {
				t.Errorf("%s links to %s, which does not exist", name, m[1])
				continue
			}
			if anchor != "" && !headings(read(t, tr, file))[anchor] {
				t.Errorf("%s links to %s, and %s has no such heading", name, m[1], file)
			}
		}
	}
}

func exists(tr *tree, name string) bool {
	_, err := os.Stat(filepath.Join(tr.root, filepath.FromSlash(name)))
	return err == nil
}

var notInAnchors = regexp.MustCompile(`[^\p{L}\p{N} _-]`)

// headings are the anchors of a document, as GitHub makes them.
func headings(text string) map[string]bool {
	found := map[string]bool{}
	for line := range strings.Lines(text) {
		if title := strings.TrimLeft(line, "#"); title != line && strings.HasPrefix(title, " ") {
			title = notInAnchors.ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), "")
			found[strings.ReplaceAll(title, " ", "-")] = true
		}
	}
	return found
}

// codePath is a file or folder of ours in code: `cdc/relay.go`, also with the
// function that is meant: `cdc/relay.go: commit`.
var codePath = regexp.MustCompile("`([A-Za-z][A-Za-z0-9_-]*(?:/[A-Za-z0-9_.-]+)+/?)(?:: ([A-Za-z0-9_]+))?`")

// TestDocumentsNameFilesThatExist holds for DESIGN.md's tables and for every
// other mention of a path below one of our folders.
func TestDocumentsNameFilesThatExist(t *testing.T) {
	t.Parallel()
	tr := load(t)
	count := 0
	for _, name := range documents(t, tr) {
		number := 0
		for line := range strings.Lines(read(t, tr, name)) {
			number++
			for _, m := range codePath.FindAllStringSubmatch(line, -1) {
				file, function := m[1], m[2]
				if top, _, _ := strings.Cut(file, "/"); top == "bin" || top == "demo" || !exists(tr, top) {
					continue // built or fetched, or no path
				}
				count++
				switch {
				case !exists(tr, file):
					t.Errorf("%s:%d: there is no %s; name the file that does this now", name, number, file)
				case function != "" && !regexp.MustCompile(`(?m)^func (\([^)]*\) )?`+function+`\(`).MatchString(read(t, tr, file)):
					t.Errorf("%s:%d: %s has no function %s", name, number, file, function)
				}
			}
		}
	}
	if count < 20 {
		t.Errorf("only %d paths were found: the pattern does not fit the documents any more", count)
	}
}

var metricName = regexp.MustCompile(`^"(tailrace_(?:relay|processor)_[a-z_]+)"$`)

// TestEveryMetricIsOnItsPage catches a metric that the page's generator does not
// see registered.
func TestEveryMetricIsOnItsPage(t *testing.T) {
	t.Parallel()
	tr := load(t)
	page := read(t, tr, "docs/metrics.md")
	for _, s := range tr.sources {
		if s.test || !strings.HasPrefix(s.dir, "cmd/relay") && !strings.HasPrefix(s.dir, "cmd/processor") && strings.HasPrefix(s.dir, "cmd/") {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok {
				return true
			}
			if m := metricName.FindStringSubmatch(lit.Value); m != nil && !strings.Contains(page, "`"+m[1]+"`") {
				t.Errorf("%s:%s: %s is not in docs/metrics.md; let the TestPageOfTheMetrics of the program register it, and run make generate", s.path, tr.line(lit.Pos()), m[1])
			}
			return true
		})
	}
}
