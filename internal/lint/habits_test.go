package lint

import (
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"strings"
	"testing"
)

// TestEveryPackageSaysWhatItIs wants a package comment in one of its files.
func TestEveryPackageSaysWhatItIs(t *testing.T) {
	t.Parallel()
	type pkg struct{ documented bool }
	packages := map[string]*pkg{}
	for _, s := range load(t).sources {
		name := s.file.Name.Name
		if s.test && strings.HasSuffix(name, "_test") {
			continue
		}
		if packages[s.dir] == nil {
			packages[s.dir] = &pkg{}
		}
		want := "Package " + name
		if name == "main" {
			want = "Command " + path.Base(s.dir)
		}
		if s.file.Doc != nil && strings.HasPrefix(s.file.Doc.Text(), want) {
			packages[s.dir].documented = true
		}
	}
	for dir, p := range packages {
		if !p.documented {
			t.Errorf("package %s has no comment: begin one of its files with \"// Package …\" (\"// Command …\" for a program) that says what it is and who may use it how", dir)
		}
	}
}

// TestNothingHappensAtInit forbids init functions: what a program does, its main
// does.
func TestNothingHappensAtInit(t *testing.T) {
	t.Parallel()
	tr := load(t)
	for _, s := range tr.sources {
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s:%s: a func init; make it a function that main, or the constructor that needs it, calls", s.path, tr.line(f.Pos()))
			}
		}
	}
}

// TestTestsWaitForEvents forbids time.Sleep in tests, but in the virtual time of
// testing/synctest and as the pause of a loop that asks again until a deadline.
func TestTestsWaitForEvents(t *testing.T) {
	t.Parallel()
	tr := load(t)
	for _, s := range tr.sources {
		if !s.test {
			continue
		}
		for _, pos := range blindSleeps(s.file) {
			t.Errorf("%s:%s: a test that sleeps is slow or flaky; wait for the event itself (a channel), ask again in a loop that fails at a deadline, or use testing/synctest", s.path, tr.line(pos))
		}
	}
}

// blindSleeps finds the calls of time.Sleep that wait for nothing.
func blindSleeps(n ast.Node) []token.Pos {
	var found []token.Pos
	ast.Inspect(n, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.ForStmt:
			return !calls(x, "", "Fatal") && !calls(x, "", "Fatalf")
		case *ast.CallExpr:
			if isCall(x, "synctest", "Test") {
				return false
			}
			if isCall(x, "time", "Sleep") {
				found = append(found, x.Pos())
			}
		}
		return true
	})
	return found
}

func calls(n ast.Node, pkg, name string) bool {
	found := false
	ast.Inspect(n, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		found = found || ok && isCall(call, pkg, name)
		return !found
	})
	return found
}

// isCall tells whether call is pkg.name(…); pkg "" is any.
func isCall(call *ast.CallExpr, pkg, name string) bool {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || sel.Sel.Name != name {
		return false
	}
	x, ok := sel.X.(*ast.Ident)
	return ok && (pkg == "" || x.Name == pkg)
}

// machinePaths are folders of somebody's machine. The pattern is put together
// here so that this file does not hold one.
var machinePaths = regexp.MustCompile(`(^|[^A-Za-z0-9_./$}~-])/(` + strings.Join([]string{"root", "home", "Users", "work"}, "|") + `)/[A-Za-z0-9._-]+`)

// unfinished are the marks of work that was put off.
var unfinished = regexp.MustCompile(`\b(` + strings.Join([]string{"TO" + "DO", "FIX" + "ME"}, "|") + `)\b`)

// textFiles are the kinds of files that people write.
var textFiles = map[string]bool{".go": true, ".md": true, ".yaml": true, ".yml": true, ".json": true, ".sh": true, ".mod": true, ".sql": true, ".txt": true, "": true}

// TestNoTraceOfOneMachine looks into every text file, documents included.
func TestNoTraceOfOneMachine(t *testing.T) {
	t.Parallel()
	tr := load(t)
	err := tr.walk(func(name string) error {
		if !textFiles[path.Ext(name)] {
			return nil
		}
		number := 0
		for line := range strings.Lines(read(t, tr, name)) {
			number++
			if m := machinePaths.FindString(line); m != "" {
				t.Errorf("%s:%d: %s is a path of one machine; use a path relative to the repository, or a temporary folder", name, number, strings.TrimSpace(m))
			}
			if m := unfinished.FindString(line); m != "" {
				t.Errorf("%s:%d: %s; do it now, or write an issue and say in a sentence what is not done", name, number, m)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
