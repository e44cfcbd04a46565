package ops

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Version and Commit are set by the linker:
//
//	go build -ldflags "-X github.com/tailrace/tailrace/internal/ops.Version=1.2.3 -X …ops.Commit=abcdef0"
//
// Without it they are filled in from what the Go tool records in a binary.
var (
	Version = "dev"
	Commit  = ""
)

// BuildInfo is what the version command prints.
type BuildInfo struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
}

// Build describes this binary under the program's name.
func Build(program string) BuildInfo {
	b := BuildInfo{Name: program, Version: Version, Commit: Commit, Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if b.Version == "dev" && info.Main.Version != "" && info.Main.Version != "(devel)" {
		b.Version = info.Main.Version
	}
	if b.Commit == "" {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				b.Commit = s.Value
			}
		}
	}
	return b
}

// String is one line for people.
func (b BuildInfo) String() string {
	commit := b.Commit
	if commit == "" {
		commit = "unknown"
	}
	return fmt.Sprintf("%s %s, commit %s, %s", b.Name, b.Version, commit, b.Go)
}
