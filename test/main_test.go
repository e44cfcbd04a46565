// Package test drives the product as its users do: real binaries, real
// PostgreSQL, a broker and a registry over their protocols.
package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/tailrace/tailrace/internal/embedded/pgtest"
)

// bin is the folder of the binaries under test.
var bin string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "tailrace-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	bin = dir
	for _, name := range []string{"relay"} {
		build := exec.Command("go", "build", "-o", filepath.Join(dir, name), "github.com/tailrace/tailrace/cmd/"+name)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build %s: %v\n%s", name, err, out)
			os.Exit(1)
		}
	}
	defer os.RemoveAll(dir) // pgtest.Main exits; the folder is small and in the system's temporary folder
	pgtest.Main(m)
}
