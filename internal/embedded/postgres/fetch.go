package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	embedded "github.com/fergusstrange/embedded-postgres"
)

// fetchTries is how often a download is tried before its error is reported.
const fetchTries = 4

// cached is the installation of version in the cache. Several processes may ask
// at once: one fetches under a lock, the others wait for it; and a folder
// appears under its final name only when it is complete.
func cached(ctx context.Context, cache, version string, logf func(string, ...any)) (installation, error) {
	dir := filepath.Join(cache, fmt.Sprintf("postgres-%s-%s-%s", version, runtime.GOOS, runtime.GOARCH))
	found := installation{dir: filepath.Join(dir, "bin"), version: version}
	if exists(dir) {
		return found, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return installation{}, fmt.Errorf("make the cache folder for PostgreSQL: %w; name another one in %s", err, EnvCache)
	}
	unlock, err := lockFile(ctx, dir+".lock")
	if err != nil {
		return installation{}, err
	}
	defer unlock()
	if exists(dir) {
		return found, nil
	}
	logf("fetching PostgreSQL %s into %s (once, about 15 MB)", version, cache)
	for try := 1; ; try++ {
		err := fetch(ctx, cache, dir, version)
		if err == nil {
			return found, nil
		}
		if try == fetchTries || ctx.Err() != nil {
			return installation{}, fmt.Errorf("fetch PostgreSQL %s: %w; is the network there? An installed PostgreSQL can be named in %s", version, err, EnvBin)
		}
		logf("fetching PostgreSQL %s: %v; trying again", version, err)
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(try) * 2 * time.Second):
		}
	}
}

// fetch downloads, verifies and extracts version, and renames it to dir. Call it
// with the version's lock held.
func fetch(ctx context.Context, cache, dir, version string) error {
	prefix := "fetch-" + version + "-"
	left, _ := filepath.Glob(filepath.Join(cache, prefix+"*")) // by killed processes
	for _, d := range left {
		_ = os.RemoveAll(d)
	}
	tmp, err := os.MkdirTemp(cache, prefix)
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- extract(tmp, dir, version) }()
	// The library knows no context. Whoever gives up leaves the download to end
	// by itself, in a folder that it removes.
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// extract has the library download, verify and extract into tmp.
//
// The library does these as the first steps of its Start and exports neither;
// what follows there would run initdb as ourselves. So Start is given a runtime
// folder that cannot be made once the archive is extracted, since its parent is
// then a file, and stops there, with the error in stopped.
func extract(tmp, dir, version string) error {
	defer os.RemoveAll(tmp)
	const stopped = "unable to create runtime directory"
	root := filepath.Join(tmp, "root")
	err := embedded.NewDatabase(embedded.DefaultConfig().
		Version(embedded.PostgresVersion(version)).
		Port(0).
		CachePath(filepath.Join(tmp, "archive")).
		BinariesPath(root).
		RuntimePath(filepath.Join(root, "bin", "initdb", "stop")).
		Logger(io.Discard)).Start()
	if err == nil {
		return errors.New("download and extract: the library went on to start a server")
	}
	if !strings.HasPrefix(err.Error(), stopped) {
		return fmt.Errorf("download and extract: %w", err)
	}
	if err := openToAll(root); err != nil {
		return err
	}
	return os.Rename(root, dir)
}

// openToAll lets every user read and run the files: under a strict umask, root
// would have extracted them for itself alone.
func openToAll(root string) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Type()&fs.ModeSymlink != 0 {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		mode := info.Mode().Perm() | 0o444
		if d.IsDir() || mode&0o100 != 0 {
			mode |= 0o111
		}
		return os.Chmod(path, mode)
	})
}

// lockFile takes an exclusive lock that ends with the process at the latest.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock the cache: %w", err)
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("wait for another process that fetches PostgreSQL (%s): %w", path, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
