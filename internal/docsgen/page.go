// Package docsgen makes the parts of the documents that come from code, and
// tells when they are stale. Only tests use it: the test that fails on a stale
// page is, with the flag -update, the one that writes it.
//
//	//go:generate go test . -run ^TestPage -count=1 -args -update
//
// Its functions are for one goroutine at a time.
package docsgen

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write generated sections of documents instead of comparing them")

// Section holds that the section of a page is text. It stands in the page
// between <!-- begin name … --> and <!-- end name -->; what is outside of it is
// written by people. page is relative to the root of the repository.
func Section(t testing.TB, page, name, text string) {
	t.Helper()
	file := filepath.Join(root(t), filepath.FromSlash(page))
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok1 := strings.Cut(string(data), "<!-- begin "+name+": ")
	comment, rest, ok2 := strings.Cut(rest, " -->\n")
	got, tail, ok3 := strings.Cut(rest, "<!-- end "+name+" -->")
	if !ok1 || !ok2 || !ok3 {
		t.Fatalf("%s has no section %q: put the lines <!-- begin %s: made by make generate --> and <!-- end %s --> where it belongs", page, name, name, name)
	}
	want := "\n" + strings.TrimSpace(text) + "\n\n"
	switch {
	case got == want:
	case *update:
		text := head + "<!-- begin " + name + ": " + comment + " -->\n" + want + "<!-- end " + name + " -->" + tail
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s: section %q is stale; run make generate\n%s", page, name, firstDifference(got, want))
	}
}

// firstDifference shows the first line that differs.
func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(g), len(w)) {
		var a, b string
		if i < len(g) {
			a = g[i]
		}
		if i < len(w) {
			b = w[i]
		}
		if a != b {
			return "  it says:     " + a + "\n  the code is: " + b
		}
	}
	return ""
}

// root is the folder of go.mod.
func root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		above := filepath.Dir(dir)
		if above == dir {
			t.Fatal("no go.mod above the test's folder")
		}
		dir = above
	}
}
