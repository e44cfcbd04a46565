// Package test drives the product as its users do: real binaries, real
// PostgreSQL, a broker and a registry over their protocols.
package test

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/tailrace/tailrace/internal/embedded/pgtest"
)

// bin is the folder of the binaries under test.
var bin string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "tailrace-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	bin = dir
	build := exec.Command("go", "build", "-o", dir, "github.com/tailrace/tailrace/cmd/relay", "github.com/tailrace/tailrace/cmd/processor")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the programs: %v\n%s", err, out)
		return 1
	}
	return pgtest.Run(m)
}
