package lint

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/tailrace/tailrace"

// source is one Go file.
type source struct {
	path    string // from the root, with slashes
	dir     string // of the package, from the root
	test    bool
	imports []string
	file    *ast.File
}

// tree is the repository, parsed once.
type tree struct {
	root    string
	fset    *token.FileSet
	sources []*source
}

var parsed = sync.OnceValues(parseTree)

func load(t *testing.T) *tree {
	t.Helper()
	tr, err := parsed()
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func parseTree() (*tree, error) {
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		return nil, err
	}
	tr := &tree{root: root, fset: token.NewFileSet()}
	err = tr.walk(func(name string) error {
		if path.Ext(name) != ".go" {
			return nil
		}
		file, err := parser.ParseFile(tr.fset, filepath.Join(root, filepath.FromSlash(name)), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		s := &source{path: name, dir: path.Dir(name), test: strings.HasSuffix(name, "_test.go"), file: file}
		for _, i := range file.Imports {
			p, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			s.imports = append(s.imports, p)
		}
		tr.sources = append(tr.sources, s)
		return nil
	})
	return tr, err
}

// walk visits the files of the repository, without what is fetched or built.
func (tr *tree) walk(visit func(name string) error) error {
	return filepath.WalkDir(tr.root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(tr.root, p)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(rel)
		switch base := d.Name(); {
		case d.IsDir() && (name == "bin" || name == ".git" || name == ".cache" || base == "testdata" || base == "node_modules"):
			return filepath.SkipDir
		case d.IsDir() || !d.Type().IsRegular():
			return nil
		}
		return visit(name)
	})
}

func (tr *tree) line(p token.Pos) string {
	pos := tr.fset.Position(p)
	return strconv.Itoa(pos.Line)
}

func read(t *testing.T, tr *tree, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(tr.root, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
