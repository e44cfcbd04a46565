package real

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// findJava is the java program of the oldest version that is at least min: first
// JAVA_HOME, then the one in PATH, then the usual folders.
func findJava(min int, forWhat string) (string, error) {
	var homes []string
	if home := os.Getenv("JAVA_HOME"); home != "" {
		if javaVersion(home) >= min {
			return program(home), nil
		}
		homes = append(homes, home)
	}
	if path, err := exec.LookPath("java"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			homes = append(homes, filepath.Dir(filepath.Dir(path)))
		}
	}
	user, _ := os.UserHomeDir() // "" finds nothing
	for _, pattern := range []string{
		"/usr/lib/jvm/*", "/opt/*", "/Library/Java/JavaVirtualMachines/*/Contents/Home",
		filepath.Join(user, ".jdks/*"), filepath.Join(user, ".sdkman/candidates/java/*"),
	} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return "", err
		}
		homes = append(homes, found...)
	}
	best, version := "", 0
	var seen []string
	for _, home := range homes {
		v := javaVersion(home)
		if v == 0 {
			continue
		}
		seen = append(seen, fmt.Sprintf("%d in %s", v, home))
		if v >= min && (best == "" || v < version) {
			best, version = home, v
		}
	}
	if best == "" {
		return "", fmt.Errorf("%s needs Java %d or later, and there is %s; install one, or name its folder in JAVA_HOME",
			forWhat, min, orNone(strings.Join(seen, ", ")))
	}
	return program(best), nil
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func program(home string) string { return filepath.Join(home, "bin", "java") }

// javaVersion is the major version of the Java in a folder, from its file
// "release"; 0 when there is none.
func javaVersion(home string) int {
	if !exists(program(home)) {
		return 0
	}
	b, err := os.ReadFile(filepath.Join(home, "release"))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, `JAVA_VERSION="`); ok {
			v = strings.TrimPrefix(v, "1.") // 1.8 is 8
			n, _ := strconv.Atoi(v[:strings.IndexFunc(v+".", func(r rune) bool { return r < '0' || r > '9' })])
			return n
		}
	}
	return 0
}
