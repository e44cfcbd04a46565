package lint

import (
	"slices"
	"strings"
	"testing"
)

// arrows says which of our packages a package may import, beside those below it
// in the list's meaning: arrows go down only. A name with /… stands for all
// packages under it, and the first line that fits a package counts.
var arrows = []struct {
	from string
	to   []string
}{
	{"cdc", nil},
	{"cdc/pgoutput", []string{"cdc"}},
	{"cdc/postgres", []string{"cdc", "cdc/pgoutput"}},
	{"kafka", []string{"cdc"}},
	{"schema", []string{"cdc"}},
	{"schema/registry", []string{"cdc"}},
	{"sinks", []string{"cdc"}},
	{"sinks/file", []string{"sinks", "sinks/jsonlines"}},
	{"sinks/stdout", []string{"sinks", "sinks/jsonlines"}},
	{"sinks/kafka", []string{"cdc", "schema", "sinks"}},
	{"sinks/…", []string{"cdc", "sinks"}},
	{"processors", []string{"cdc", "schema", "schema/registry", "kafka", "sinks", "processors/state"}},
	{"processors/state", []string{"cdc"}},
	{"processors/…", []string{"cdc", "schema", "sinks", "processors", "processors/state"}},
	{"internal/embedded/…", []string{"cdc", "schema", "internal/embedded/…"}},
	{"internal/cli", []string{"internal/config", "internal/ops", "kafka", "schema/registry"}},
	{"internal/…", []string{"cdc", "internal/embedded/…"}},
	{"cmd/relay", []string{"cdc", "cdc/…", "schema", "schema/…", "kafka", "internal/…"}},
	{"cmd/processor", []string{"cdc", "schema", "schema/…", "kafka", "sinks", "sinks/…", "processors", "processors/…", "internal/…"}},
	{"cmd/demo/…", []string{"cdc", "cmd/demo/…", "internal/…"}},
	{"cmd/demo", []string{"cdc", "cmd/demo/…", "internal/…", "schema", "schema/…", "kafka"}},
	{"test/…", []string{"…"}},
	{"test", []string{"…"}},
	{"bench/…", []string{"…"}},
	{"bench", []string{"…"}},
}

// homes says where a library may be imported; its tests may be anywhere.
var homes = []struct {
	library, why string
	packages     []string
}{
	{"github.com/twmb/franz-go", "package kafka is the only one that speaks to Kafka; add what you need there", []string{"kafka", "internal/embedded/…", "cmd/demo", "cmd/demo/…", "test", "test/…", "bench", "bench/…"}},
	{"github.com/jackc/pglogrepl", "package cdc/postgres is the only one that replicates; add what you need there", []string{"cdc/postgres", "bench", "bench/…"}},
	{"github.com/riferrei/srclient", "package schema/registry is the only one that asks the registry; add what you need there", []string{"schema/registry"}},
	{"github.com/goccy/go-yaml", "package internal/config is the only one that reads YAML", []string{"internal/config"}},
	{"github.com/spf13/cobra", "flags and commands belong into cmd; internal/cli has what the programs share", []string{"cmd/…", "internal/cli"}},
	{"github.com/fergusstrange/embedded-postgres", "only internal/embedded starts servers", []string{"internal/embedded/…"}},
}

// bare are the packages that import the standard library and our own only.
var bare = []string{"cdc", "cdc/pgoutput", "sinks"}

func fits(pattern, pkg string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "…"); ok {
		return strings.HasPrefix(pkg, prefix)
	}
	return pattern == pkg
}

func fitsAny(patterns []string, pkg string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return fits(p, pkg) })
}

// ours cuts the module from an import path.
func ours(imported string) (pkg string, ok bool) {
	if imported == module {
		return ".", true
	}
	return strings.CutPrefix(imported, module+"/")
}

func isStandard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return !strings.Contains(first, ".")
}

// TestArrowsGoDownOnly reads the import lines of all packages.
func TestArrowsGoDownOnly(t *testing.T) {
	t.Parallel()
	for _, s := range load(t).sources {
		for _, imported := range s.imports {
			if pkg, ok := ours(imported); ok {
				checkArrow(t, s, pkg)
				continue
			}
			checkLibrary(t, s, imported)
		}
	}
}

func checkArrow(t *testing.T, s *source, pkg string) {
	t.Helper()
	if strings.HasPrefix(pkg, "cmd/") && !(strings.HasPrefix(s.dir, "cmd/") && strings.HasPrefix(pkg, s.dir)) && !strings.HasPrefix(pkg, "cmd/demo/") {
		t.Errorf("%s imports %s: nobody imports a command; move what is shared below cmd", s.path, pkg)
		return
	}
	if s.test || s.dir == pkg {
		return // tests may look at anything else
	}
	for _, a := range arrows {
		if !fits(a.from, s.dir) {
			continue
		}
		if !fitsAny(a.to, pkg) {
			t.Errorf("%s: package %s may not import %s (it may: %s). Arrows go down only: let the caller pass in what is needed, behind an interface that %s declares, and wire the two in cmd",
				s.path, s.dir, pkg, strings.Join(append(a.to, "the standard library"), ", "), s.dir)
		}
		return
	}
	t.Errorf("%s: package %s has no line in the table of internal/lint/imports_test.go; add one that says what it may import", s.path, s.dir)
}

func checkLibrary(t *testing.T, s *source, imported string) {
	t.Helper()
	if s.test || isStandard(imported) {
		return
	}
	if slices.Contains(bare, s.dir) {
		t.Errorf("%s imports %s: package %s rests on the standard library only; move the code that needs it into another package", s.path, imported, s.dir)
	}
	for _, h := range homes {
		if (imported == h.library || strings.HasPrefix(imported, h.library+"/")) && !fitsAny(h.packages, s.dir) {
			t.Errorf("%s imports %s: %s", s.path, imported, h.why)
		}
	}
}

// TestTheTableOfArrowsIsSound holds that no two packages may import each other.
func TestTheTableOfArrowsIsSound(t *testing.T) {
	t.Parallel()
	for _, a := range arrows {
		for _, b := range arrows {
			if a.from < b.from && !strings.HasSuffix(a.from+b.from, "…") && fitsAny(a.to, b.from) && fitsAny(b.to, a.from) &&
				!fits("test", a.from) && !fits("test", b.from) && !fits("bench", a.from) && !fits("bench", b.from) {
				t.Errorf("%s and %s may import each other", a.from, b.from)
			}
		}
	}
}
