package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// folderPrefix begins the names of our temporary folders; sweep knows them by it.
const folderPrefix = "tailrace-postgres-"

// folder is the temporary folder of one server: data, log, and a lock that
// tells sweep that its maker lives.
type folder struct {
	dir   string
	owner account
	lock  *os.File // nil: removed
}

// newFolder makes a folder that the server's account can reach, and removes
// those whose makers were killed.
func newFolder() (*folder, error) {
	owner, err := serverAccount()
	if err != nil {
		return nil, err
	}
	parent := os.TempDir()
	if owner.other && !reachable(parent) {
		parent = "/tmp"
	}
	sweep(parent)
	dir, err := os.MkdirTemp(parent, folderPrefix)
	if err != nil {
		return nil, fmt.Errorf("make a folder for PostgreSQL: %w", err)
	}
	f := &folder{dir: dir, owner: owner}
	if err := f.prepare(); err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("make a folder for PostgreSQL: %w", err)
	}
	return f, nil
}

func (f *folder) prepare() error {
	if err := os.Chmod(f.dir, 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(f.data(), 0o700); err != nil {
		return err
	}
	if f.owner.other {
		if err := os.Chown(f.data(), int(f.owner.uid), int(f.owner.gid)); err != nil {
			return err
		}
	}
	lock, err := os.OpenFile(f.path("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	f.lock = lock
	return syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}

func (f *folder) path(name string) string { return filepath.Join(f.dir, name) }
func (f *folder) data() string            { return f.path("data") }
func (f *folder) log() string             { return f.path("postgres.log") }

// write writes a file that only the server's account can read.
func (f *folder) write(path string, content []byte) error {
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return err
	}
	if f.owner.other {
		return os.Chown(path, int(f.owner.uid), int(f.owner.gid))
	}
	return nil
}

// command is a program run by the server's account in this folder, with nothing
// of our environment.
func (f *folder) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = f.dir
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + f.dir, "LC_ALL=C", "TZ=UTC"}
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	if f.owner.other {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: f.owner.uid, Gid: f.owner.gid}
	}
	return cmd
}

func (f *folder) remove() error {
	if f.lock == nil {
		return nil
	}
	err := os.RemoveAll(f.dir)
	err = errors.Join(err, f.lock.Close())
	f.lock = nil
	return err
}

// sweep removes our folders of this user in parent whose makers are gone: their
// locks are free. One younger than a minute may not have its lock yet, or a
// server that is still ending.
func sweep(parent string) {
	dirs, err := filepath.Glob(filepath.Join(parent, folderPrefix+"*"))
	if err != nil {
		return
	}
	for _, dir := range dirs {
		info, err := os.Lstat(dir)
		if err != nil || !info.IsDir() || !ownedByUs(info) || time.Since(info.ModTime()) < time.Minute {
			continue
		}
		lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR, 0)
		if err != nil {
			continue
		}
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			_ = os.RemoveAll(dir)
		}
		lock.Close()
	}
}

func ownedByUs(info os.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Getuid()
}
