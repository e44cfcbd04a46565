package docsgen

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// Unread adds to marks the keys that nothing in the package of the test reads:
// they are accepted and do nothing. root names the type of the whole
// configuration; the files that only judge it do not count as readers. A key
// with one possible value does what it says.
func Unread(t testing.TB, marks Marks, root string, judges ...string) {
	t.Helper()
	u := &usage{read: map[*types.Var]bool{}}
	pkg := u.check(t, judges)
	obj := pkg.Scope().Lookup(root)
	if obj == nil {
		t.Fatalf("no type %s", root)
	}
	u.section(obj.Type(), "", func(path string) {
		if marks[path] == "" {
			marks[path] = "Without effect in this version."
		}
	})
}

// usage is which fields a package reads.
type usage struct {
	read map[*types.Var]bool
	info types.Info
}

// check reads the package in the working directory. Other packages are not
// needed, so what they would say is left open.
func (u *usage) check(t testing.TB, judges []string) *types.Package {
	t.Helper()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	var files []*ast.File
	var readers []*ast.File
	for _, e := range entries {
		name := e.Name()
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
		if !slices.Contains(judges, name) {
			readers = append(readers, f)
		}
	}
	u.info = types.Info{Selections: map[*ast.SelectorExpr]*types.Selection{}, Types: map[ast.Expr]types.TypeAndValue{}}
	config := types.Config{Importer: nothing{}, Error: func(error) {}}
	pkg, _ := config.Check("main", fset, files, &u.info) // its errors are about the other packages
	for _, f := range readers {
		ast.Inspect(f, u.visit)
	}
	return pkg
}

func (u *usage) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.SelectorExpr:
		if s := u.info.Selections[n]; s != nil {
			if v, ok := s.Obj().(*types.Var); ok {
				u.read[v] = true
			}
		}
	case *ast.BinaryExpr: // a comparison reads every field
		if s, ok := structOf(u.info.Types[n.X].Type); ok {
			for f := range s.Fields() {
				u.read[f] = true
			}
		}
	}
	return true
}

// section calls unread with the keys below a struct that are not read.
func (u *usage) section(typ types.Type, path string, unread func(string)) {
	s, _ := structOf(typ)
	for i := range s.NumFields() {
		tag := reflect.StructTag(s.Tag(i))
		name, enum := tag.Get("yaml"), tag.Get("enum")
		if path != "" {
			name = path + "." + name
		}
		f := s.Field(i)
		below := f.Type()
		if m, ok := below.Underlying().(*types.Map); ok {
			below = m.Elem()
			if _, ok := structOf(below); ok {
				name += ".<" + tag.Get("key") + ">"
			}
		}
		switch _, ok := structOf(below); {
		case ok:
			u.section(below, name, unread)
		case !u.read[f] && (enum == "" || strings.Contains(enum, "|")):
			unread(name)
		}
	}
}

func structOf(t types.Type) (*types.Struct, bool) {
	if t == nil {
		return nil, false
	}
	if p, ok := t.Underlying().(*types.Pointer); ok {
		t = p.Elem()
	}
	s, ok := t.Underlying().(*types.Struct)
	return s, ok
}

// nothing imports no package.
type nothing struct{}

// Import implements types.Importer.
func (nothing) Import(path string) (*types.Package, error) {
	return nil, errors.New("package " + path + " is not needed")
}
