package postgres

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// EnvBin names the environment variable with the folder that holds initdb and
// postgres of an installation to use instead of a fetched one.
const EnvBin = "TAILRACE_POSTGRES_BIN"

// EnvCache names the environment variable with the folder for fetched binaries.
const EnvCache = "TAILRACE_CACHE"

// DefaultVersion is what an empty Config.Version means.
const DefaultVersion = "17.7.0"

// known are the versions that a bare major version stands for; all were tried.
var known = map[int]string{14: "14.18.0", 15: "15.13.0", 16: "16.9.0", 17: DefaultVersion, 18: "18.1.0"}

// installation is a PostgreSQL that can be started.
type installation struct {
	dir     string // holds initdb and postgres
	version string
}

var fullVersion = regexp.MustCompile(`^\d+\.\d+\.\d+$`)

func resolveVersion(v string) (string, error) {
	if v == "" {
		return DefaultVersion, nil
	}
	if fullVersion.MatchString(v) {
		return v, nil
	}
	if m, err := strconv.Atoi(v); err == nil && known[m] != "" {
		return known[m], nil
	}
	return "", fmt.Errorf("PostgreSQL version %q: want a major version from 14 to 18, or a full one as in %s", v, DefaultVersion)
}

func major(version string) int {
	m, _, _ := strings.Cut(version, ".")
	n, _ := strconv.Atoi(m)
	return n
}

// findInstallation is the one that the environment names, else the cached one,
// fetched when it is not there yet.
func findInstallation(ctx context.Context, cfg Config) (installation, error) {
	version, err := resolveVersion(cfg.Version)
	if err != nil {
		return installation{}, err
	}
	if dir := os.Getenv(EnvBin); dir != "" {
		return namedInstallation(ctx, dir, cfg.Version)
	}
	cache := cfg.Cache
	if cache == "" {
		if cache, err = cacheFolder(); err != nil {
			return installation{}, err
		}
	}
	return cached(ctx, cache, version, cfg.Logf)
}

var reportedVersion = regexp.MustCompile(`\d+(\.\d+)?`)

// namedInstallation checks that the installation in dir is of the major version
// that was asked for, if any was: a test against 16 must not pass against 15.
func namedInstallation(ctx context.Context, dir, want string) (installation, error) {
	if _, err := os.Stat(filepath.Join(dir, "postgres")); err != nil {
		if _, err := os.Stat(filepath.Join(dir, "bin", "postgres")); err != nil {
			return installation{}, fmt.Errorf("%s=%s: no postgres in it; name the folder that holds initdb and postgres", EnvBin, dir)
		}
		dir = filepath.Join(dir, "bin")
	}
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		return installation{}, fmt.Errorf("%s=%s: postgres --version: %w", EnvBin, dir, err)
	}
	version := reportedVersion.FindString(string(out))
	if want != "" && major(version) != major(want) {
		return installation{}, fmt.Errorf("%s=%s is PostgreSQL %s, but version %s was asked for; unset it, or name another installation", EnvBin, dir, version, want)
	}
	return installation{dir: dir, version: version}, nil
}

// cacheFolder is the folder for fetched binaries: what the environment names,
// the user's cache folder, or for root, whose home is closed to the account that
// runs the server, one of the system's.
func cacheFolder() (string, error) {
	if dir := os.Getenv(EnvCache); dir != "" {
		return dir, nil
	}
	var dirs []string
	if os.Geteuid() == 0 {
		dirs = append(dirs, "/var/cache/tailrace")
	} else if dir, err := os.UserCacheDir(); err == nil {
		dirs = append(dirs, filepath.Join(dir, "tailrace"))
	}
	for _, dir := range dirs {
		if os.MkdirAll(dir, 0o755) == nil {
			return dir, nil
		}
	}
	// No home, as for nobody: a temporary folder, if it is really ours.
	dir := filepath.Join(os.TempDir(), "tailrace-cache-"+strconv.Itoa(os.Getuid()))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make a cache folder for PostgreSQL: %w; name one in %s", err, EnvCache)
	}
	info, err := os.Lstat(dir)
	if err != nil || !info.IsDir() || !ownedByUs(info) || info.Mode().Perm()&0o022 != 0 {
		return "", fmt.Errorf("the cache folder %s belongs to someone else; remove it, or name another one in %s", dir, EnvCache)
	}
	return dir, nil
}
