//go:build unix

package file

import (
	"errors"
	"os"
	"syscall"
)

// flock takes the lock of f, which ends with f or with the process.
func flock(f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
